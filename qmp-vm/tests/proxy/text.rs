//! Messages pass as they are.

use qmp_types::recording::{Reader, Recorder};
use qmp_vm::proxy::{Access, Policy, ProxyOptions};

use super::support::{Monitor, Raw, id};

/// Ids come back as they were sent, whatever they are, and the monitor sees only the proxy's.
#[test]
fn an_id_is_repeated_as_it_was_sent() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new());
    for sent in [
        "7",
        "7.0",
        "-0",
        "1e400",
        "123456789012345678901234567890",
        r#""text""#,
        r#""\u00e9é\ud83d\ude00""#,
        "true",
        "null",
        "[]",
        "{}",
        r#"[1, {"b":2,  "a": [1.50]}]"#,
    ] {
        client.send(&format!(r#"{{"execute": "query-status", "id": {sent}}}"#));
        let command = monitor.command();
        assert!(id(&command).parse::<u64>().is_ok(), "{command}");
        monitor.answer(&command, "{}");
        assert_eq!(client.line(), format!(r#"{{"return": {{}}, "id": {sent}}}"#));
        client.send(&format!(r#"{{"id": {sent}, "execute": "query-status"}}"#));
        let command = monitor.command();
        monitor.send(&format!(
            r#"{{"id": {}, "error": {{"class": "GenericError", "desc": "no"}}}}"#,
            id(&command)
        ));
        let error =
            format!(r#"{{"id": {sent}, "error": {{"class": "GenericError", "desc": "no"}}}}"#);
        assert_eq!(client.line(), error);
    }
    client.send(r#"{"execute": "query-status"}"#);
    monitor.answer(&monitor.command(), "{}");
    assert_eq!(client.line(), r#"{"return": {}}"#, "no id");
}

/// Decoding would change numbers and the order of members.
#[test]
fn arguments_and_return_values_pass_as_they_are() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new());
    let deep = format!("{}{}", "[".repeat(900), "]".repeat(900));
    for text in [
        "{}",
        r#"{"z": 1.50, "a": 1e400, "serial":0.0}"#,
        r#"{"n": 123456789012345678901234567890, "m":-0, "t": "\u00e9é\/"}"#,
        "{\"a\" :\t[1,\r\n 2]\n}",
        &format!(r#"{{"deep": {deep}}}"#),
    ] {
        client.send(&format!(r#"{{"execute":"x-any","arguments":{text}}}"#));
        let mut command = monitor.command();
        // A command may have several lines.
        while !command.ends_with('}') || !command.contains("\"id\":") {
            command = format!("{command}\n{}", monitor.command());
        }
        let expected = text.replace("\r\n", "\n");
        assert_eq!(
            command,
            format!(r#"{{"execute":"x-any","arguments":{expected},"id":{}}}"#, id(&command))
        );
        let line = text.replace(['\r', '\n'], " ");
        monitor.answer(&command, &line);
        assert_eq!(client.line(), format!(r#"{{"return": {line}}}"#));
    }
}

/// A person types single quotes, and pastes several commands at once.
#[test]
fn input_is_read_as_qemu_reads_it() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new());
    client.send(
        "{'execute': 'x', 'arguments': {'a': 'it\\'s \"so\"', 'b': 1.5}, 'id': 'i'}{'execute':'y'}",
    );
    let command = monitor.command();
    assert!(command.contains(r#""arguments":{"a": "it's \"so\"", "b": 1.5}"#), "{command}");
    monitor.answer(&command, "[]");
    assert_eq!(client.line(), r#"{"return": [], "id": "i"}"#);
    monitor.answer(&monitor.command(), "1");
    assert_eq!(client.line(), r#"{"return": 1}"#);
    // Invalid input is answered here: QEMU would answer without an id.
    for (garbage, error) in [
        ("{\"execute\": x}\n", "JSON parse error"),
        ("[]", "must be a JSON object"),
        ("{\"execute\": \"a\", \"arguments\": []}", "must be an object"),
        ("{\"exec-oob\": \"a\"}", "'exec-oob' is unexpected"),
        (
            "{\"execute\": \"a\", \"arguments\": {\"b\": \"\\ud800\"}}",
            "not a valid Unicode character",
        ),
    ] {
        let reply = client.ask(garbage);
        assert!(reply.contains(error), "{garbage}: {reply}");
    }
    assert!(monitor.is_quiet());
    // The client goes on.
    client.send("{\"execute\":\"z\"}");
    monitor.answer(&monitor.command(), "2");
    assert_eq!(client.line(), r#"{"return": 2}"#);
}

/// Each client's connection is recorded under a name of its own, without secrets.
#[test]
fn a_recording_has_all_clients_and_no_secrets() {
    let path = std::env::temp_dir().join(format!("qmp-proxy-{}.qmp", std::process::id()));
    let recorder = Recorder::new(std::fs::File::create(&path).unwrap(), "monitor");
    let (monitor, proxy) = Monitor::with_proxy(ProxyOptions::new().record(recorder));
    let mut first = Raw::connect(&proxy, Access::new());
    let mut second = Raw::connect(&proxy, Access::new().policy(Policy::nothing()));
    first.send(
        r#"{"execute": "set_password", "arguments": {"protocol": "vnc", "password": "hunter2"}, "id": 1}"#,
    );
    let command = monitor.command();
    assert!(command.contains("hunter2"), "{command}");
    monitor.answer(&command, "{}");
    first.line();
    second.ask(r#"{"execute": "quit"}"#);
    monitor.send(r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#);
    first.line();
    second.line();
    let entries: Vec<_> = Reader::open(&path).unwrap().map(Result::unwrap).collect();
    let of = |name: &str| {
        let own = entries.iter().filter(|entry| entry.monitor == name);
        own.map(|entry| format!("{:?}", entry.content)).collect::<Vec<_>>()
    };
    for (name, parts) in [
        ("client-0", ["QMP", "<secret>", "return", "STOP"]),
        ("client-1", ["QMP", "quit", "has been disabled", "STOP"]),
    ] {
        let shown = of(name);
        assert_eq!(shown.len(), parts.len(), "{shown:?}");
        for (text, part) in shown.iter().zip(parts) {
            assert!(text.contains(part), "{text}");
        }
    }
    assert!(!std::fs::read_to_string(&path).unwrap().contains("hunter2"));
    std::fs::remove_file(path).unwrap();
}
