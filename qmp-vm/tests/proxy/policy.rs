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
