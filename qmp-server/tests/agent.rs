//! The simulated guest agent, byte by byte.

#![allow(clippy::unwrap_used, missing_docs)] // tests
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::Shutdown;

use qmp_server::agent::{AgentSimulator, AgentSimulatorBuilder, Program};
use qmp_types::QmpError;
use qmp_types::qga::commands::{GuestGetUsers, GuestPing};

/// Sends bytes in two pieces, ends the sending side, and returns everything that the agent sends.
fn ask(agent: &AgentSimulator, bytes: &[u8]) -> Vec<u8> {
    let mut stream = agent.connect().unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let (begin, end) = bytes.split_at(bytes.len() / 2);
    stream.write_all(begin).unwrap();
    // The agent may have closed the connection after the first piece.
    let _ = stream.write_all(end);
    let _ = stream.shutdown(Shutdown::Write);
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

fn builder() -> AgentSimulatorBuilder {
    AgentSimulator::builder().file("/f", "hello").program("/p", Program::exits(3).stdout("out"))
}

fn text(agent: &AgentSimulator, bytes: &str) -> String {
    String::from_utf8(ask(agent, bytes.as_bytes())).unwrap()
}

#[test]
fn synchronization_begins_with_a_delimiter() {
    let agent = AgentSimulator::new();
    let sync = br#"{"execute":"guest-sync-delimited","arguments":{"id":7}}"#;
    assert_eq!(ask(&agent, sync), b"\xff{\"return\": 7}\n");
    // Half a command of an earlier client, and the delimiter.
    let reply = ask(&agent, &[b"{\"execute\": \"gue\xff", &sync[..]].concat());
    assert!(reply.starts_with(b"{\"error\": {\"class\": \"GenericError\", "), "{reply:?}");
    assert!(reply.ends_with(b"\n\xff{\"return\": 7}\n"), "{reply:?}");
    let sync = r#"{"execute":"guest-sync","arguments":{"id":8},"id":"x"}"#;
    assert_eq!(text(&agent, sync), "{\"return\": 8, \"id\": \"x\"}\n");
}

#[test]
fn a_guest_that_shuts_down_does_not_answer() {
    let agent = AgentSimulator::new();
    let command = r#"{"execute":"guest-shutdown","arguments":{"mode":"reboot"}}"#;
    assert_eq!(text(&agent, command), "");
    assert_eq!(
        agent.with_guest(|guest| guest.shutdown_mode().map(str::to_owned)).unwrap(),
        "reboot"
    );
    agent.with_guest(qmp_server::agent::Guest::boot);
    assert_eq!(text(&agent, r#"{"execute":"guest-ping"}"#), "{\"return\": {}}\n");
    assert_eq!(text(&agent, r#"{"execute":"guest-suspend-ram"}"#), "");
    agent.with_guest(|guest| assert_eq!(guest.suspensions(), ["guest-suspend-ram"]));
}

/// A client could create files, without writing to them, until the memory was full.
#[test]
fn files_take_room_although_they_are_empty() {
    let mut builder = AgentSimulator::builder();
    for at in 0..(1 << 16) - 1 {
        builder = builder.file(format!("/{at}"), "");
    }
    let agent = builder.build();
    let open = |path: &str| {
        let command = r#"{"execute":"guest-file-open","arguments":{"path":"PATH","mode":"w"}}"#;
        text(&agent, &command.replace("PATH", path))
    };
    assert!(open("/last").contains("return"), "{}", open("/last"));
    assert!(open("/more").contains("No space left on device"), "{}", open("/more"));
    // Those that exist can be opened.
    assert!(open("/last").contains("return"));
    assert!(open(&"x".repeat(4096)).contains("File name too long"));
}

#[test]
fn frozen_guests_disable_commands() {
    let agent = builder().file_systems(2).build();
    assert_eq!(text(&agent, r#"{"execute":"guest-fsfreeze-freeze"}"#), "{\"return\": 2}\n");
    assert!(agent.with_guest(|guest| guest.is_frozen()));
    let disabled = text(&agent, r#"{"execute":"guest-exec","arguments":{"path":"/p"}}"#);
    let desc = "Command guest-exec has been disabled: the agent is in frozen state";
    assert!(disabled.contains("CommandNotFound") && disabled.contains(desc), "{disabled}");
    let info = text(&agent, r#"{"execute":"guest-info"}"#);
    assert!(info.contains(r#""name": "guest-exec", "enabled": false"#), "{info}");
    assert!(info.contains(r#""name": "guest-ping", "enabled": true"#), "{info}");
    assert_eq!(
        text(&agent, r#"{"execute":"guest-fsfreeze-status"}"#),
        "{\"return\": \"frozen\"}\n"
    );
    assert_eq!(text(&agent, r#"{"execute":"guest-fsfreeze-thaw"}"#), "{\"return\": 2}\n");
    assert_eq!(text(&agent, r#"{"execute":"guest-fsfreeze-thaw"}"#), "{\"return\": 0}\n");
}

#[test]
fn old_agents_lack_commands() {
    let agent = builder().first_release().build();
    let reply = text(&agent, r#"{"execute":"guest-sync-delimited","arguments":{"id":1}}"#);
    assert!(reply.contains(r#""data": {"name": "guest-sync-delimited"}"#), "{reply}");
    assert_eq!(
        text(&agent, r#"{"execute":"guest-info"}"#),
        "{\"return\": {\"version\": \"0.15.1\"}}\n"
    );
    assert!(
        text(&agent, r#"{"execute":"guest-file-open","arguments":{"path":"/f"}}"#).contains("1000")
    );
    assert!(
        text(&agent, r#"{"execute":"guest-exec","arguments":{"path":"/p"}}"#).contains("NotFound")
    );
}

#[test]
fn commands_can_be_replaced_and_removed() {
    let agent = builder()
        .command(|guest, _: GuestPing| {
            guest.set_file("/pinged", "");
            Err(QmpError::generic("not now"))
        })
        .command(|_, _: GuestGetUsers| -> Result<Vec<_>, _> { panic!("a defect of the test") })
        .without("guest-exec")
        .build();
    let reply = text(&agent, r#"{"execute":"guest-ping"}"#);
    assert_eq!(reply, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}}\n");
    agent.with_guest(|guest| assert_eq!(guest.file("/pinged"), Some(&[][..])));
    let reply = text(
        &agent,
        r#"{"execute":"guest-get-users"} {"execute":"guest-sync","arguments":{"id":1}}"#,
    );
    assert!(reply.contains("panicked") && reply.ends_with("{\"return\": 1}\n"), "{reply}");
    let info = text(&agent, r#"{"execute":"guest-info"}"#);
    assert!(!info.contains("guest-exec\"") && info.contains("guest-exec-status"), "{info}");
}

#[test]
fn programs_report_their_output_once() {
    let agent = AgentSimulator::builder()
        .program("/p", Program::exits(0).stdout("out").stderr("err").after_polls(1))
        .program("/killed", Program::killed_by(9))
        .build();
    let run = |path: &str, capture: &str| {
        let run = format!(r#"{{"execute":"guest-exec","arguments":{{"path":"{path}"{capture}}}}}"#);
        let reply = text(&agent, &run);
        assert!(reply.contains("pid"), "{reply}");
        let pid = reply.trim_matches(|letter: char| !letter.is_ascii_digit()).to_owned();
        let status = format!(r#"{{"execute":"guest-exec-status","arguments":{{"pid":{pid}}}}}"#);
        text(&agent, &status.repeat(3))
    };
    let lines = run("/p", r#", "capture-output": true"#);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], r#"{"return": {"exited": false}}"#);
    // As the newest agents do, it says of each stream whether all of it is there.
    let ended = r#"{"return": {"exited": true, "exitcode": 0, "out-data": "b3V0", "err-data": "ZXJy", "out-truncated": false, "err-truncated": false}}"#;
    assert_eq!(lines[1], ended);
    assert!(lines[2].contains("does not exist"));
    let merged = run("/p", r#", "capture-output": "merged""#);
    assert!(merged.contains(r#""out-data": "b3V0ZXJy", "out-truncated": false}"#), "{merged}");
    assert!(!run("/p", "").contains("data"));
    assert!(run("/killed", "").contains(r#""exited": true, "signal": 9}"#));
}
