//! The commands that clients may execute.

use qmp_client::qmp;
use qmp_vm::proxy::{Access, Policy};

use super::support::{Monitor, Raw};

/// Every command of the schema.
fn commands() -> Vec<&'static str> {
    let surface = include_str!("../../../qmp-types/surface.txt");
    let qmp = surface.split("# qga").next().unwrap();
    let commands: Vec<_> = qmp
        .lines()
        .filter_map(|line| line.strip_prefix("command "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(commands.len() > 200, "{}", commands.len());
    commands
}

/// Over the whole list: what the table names reaches the monitor, and nothing else does.
#[test]
fn read_only_denies_every_command_that_has_an_effect() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new().policy(Policy::read_only()));
    let (mut passed, mut denied) = (0, 0);
    let unknown = ["x-of-the-future", "query-weather", "", "__org_query-status", "QUERY-STATUS"];
    for name in commands().into_iter().filter(|name| *name != "qmp_capabilities").chain(unknown) {
        client.send(&format!(r#"{{"execute": "{name}", "id": "{name}"}}"#));
        if qmp::is_read_only(name) {
            let command = monitor.command();
            assert!(command.contains(&format!(r#""execute":"{name}""#)), "{command}");
            monitor.answer(&command, "{}");
            assert_eq!(client.line(), format!(r#"{{"return": {{}}, "id": "{name}"}}"#));
            passed += 1;
        } else {
            let desc = format!(
                "Command {name} has been disabled: the proxy is read-only, and it may change the machine"
            );
            let error = format!(
                r#"{{"id": "{name}", "error": {{"class": "CommandNotFound", "desc": "{desc}"}}}}"#
            );
            assert_eq!(client.line(), error);
            denied += 1;
        }
    }
    assert!(monitor.is_quiet());
    assert_eq!((passed, proxy.counts().denied), (qmp::READ_ONLY.len() as u64, denied));
    for name in ["human-monitor-command", "quit", "screendump", "transaction", "ringbuf-read"] {
        assert!(!Policy::read_only().allows(name), "{name}");
    }
    println!("read-only: {passed} commands pass, {denied} are denied");
}

/// With some arguments, these end some releases of QEMU.
#[test]
fn a_read_only_client_cannot_create_objects() {
    for name in ["device-list-properties", "qom-list-properties", "x-query-virtio-status"] {
        assert!(!Policy::read_only().allows(name), "{name}");
    }
}

/// Properties can be read, but not those that are secret, however the command and the reply are
/// written.
#[test]
fn secrets_are_masked_for_clients_that_only_read() {
    let (monitor, proxy) = Monitor::new();
    let policy = || Policy::read_only().allow(["qom-get"]);
    let mut client = Raw::connect(&proxy, Access::new().policy(policy()));
    for (command, value, seen) in [
        (
            r#"{"execute": "qom-get", "arguments": {"path": "/objects/s", "property": "data"}, "id": 1}"#,
            r#""hunter2""#,
            r#"{"return": "<secret>", "id": 1}"#,
        ),
        (
            r"{'arguments': {'property': 'd\u0061ta', 'path': 's'}, 'execute': 'qom-get'}",
            r#"{"a": "hunter2"}"#,
            r#"{"return": "<secret>"}"#,
        ),
        (
            r#"{"execute": "qom-list-get", "arguments": {"paths": ["/objects/s"]}, "id": {"return": "x"}}"#,
            r#"[{"properties": [{"name": "data", "type": "string", "value": "hunter2"}, {"name": "type", "type": "string", "value": "secret"}]}]"#,
            r#"{"return": [{"properties":[{"name":"data","type":"string","value":"<secret>"},{"name":"type","type":"string","value":"secret"}]}], "id": {"return": "x"}}"#,
        ),
        (
            r#"{"execute": "query-named-block-nodes"}"#,
            r#"[{"file": "json:{\"driver\": \"https\", \"cookie\": \"hunter2\"}"}, {"file": "https://me:hunter2@host/x"}]"#,
            r#"{"return": [{"file": "json:{\"driver\": \"https\", \"cookie\": \"<secret>\"}"}, {"file": "https://me:<secret>@host/x"}]}"#,
        ),
        // Without secrets, the text is QEMU's.
        (
            r#"{"execute": "qom-get", "arguments": {"path": "x", "property": "size"}}"#,
            r#"{"b": 1e2, "a" :18446744073709551615}"#,
            r#"{"return": {"b": 1e2, "a" :18446744073709551615}}"#,
        ),
    ] {
        client.send(command);
        monitor.answer(&monitor.command(), value);
        assert_eq!(client.line(), seen, "{command}");
    }
    client.send(r#"{"execute": "qom-get", "arguments": {"path": "s", "property": "data"}}"#);
    let command = monitor.command();
    let error = r#"{"class": "GenericError", "desc": "not 'hunter2'"}"#;
    monitor.send(&format!(r#"{{"error": {error}, "id": {}}}"#, super::support::id(&command)));
    let line = client.line();
    assert!(line.contains("GenericError") && !line.contains("hunter2"), "{line}");
    // Who may do everything may also see everything.
    let mut all = Raw::connect(&proxy, Access::new());
    all.send(r#"{"execute": "qom-get", "arguments": {"path": "s", "property": "data"}}"#);
    monitor.answer(&monitor.command(), r#""hunter2""#);
    assert_eq!(all.line(), r#"{"return": "hunter2"}"#);
}

#[test]
fn names_that_are_denied_win_over_those_that_are_allowed() {
    for (policy, allowed, denied) in [
        (Policy::everything().deny(["quit"]), "stop", "quit"),
        (Policy::everything().allow(["quit"]).deny(["quit"]), "stop", "quit"),
        (Policy::read_only().allow(["stop"]), "stop", "cont"),
        (Policy::read_only().deny(["query-vnc"]), "query-status", "query-vnc"),
        (Policy::nothing().allow(["query-status"]), "query-status", "query-name"),
    ] {
        assert!(policy.allows(allowed) && !policy.allows(denied), "{policy:?}");
    }
}

/// Each socket has its own policy, and a denied out-of-band command does not pass either.
#[test]
fn each_client_has_its_own_policy() {
    let (monitor, proxy) = Monitor::new();
    let mut all = Raw::connect(&proxy, Access::new());
    let some = Access::new().policy(Policy::everything().deny(["migrate-pause"]));
    let mut some = Raw::over(proxy.connect(some).unwrap());
    some.ask(r#"{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}"#);
    let reply = some.ask(r#"{"exec-oob": "migrate-pause", "id": 1}"#);
    assert!(reply.contains("has been disabled: the proxy denies it"), "{reply}");
    all.send(r#"{"execute": "migrate-pause"}"#);
    monitor.answer(&monitor.command(), "{}");
    assert_eq!(all.line(), r#"{"return": {}}"#);
}
