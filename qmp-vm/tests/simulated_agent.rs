//! The simulated guest agent: with our own client, and compared with a real one.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use qmp_client::qga::commands::{
    GuestFsfreezeStatus, GuestGetOsinfo, GuestInfo, GuestNetworkGetInterfaces,
};
use qmp_client::qga::types::GuestFsfreezeStatus as Status;
use qmp_client::transport::Unix;
use qmp_client::{Dialect, Misuse, Options, Raw};
use qmp_server::agent::{AgentSimulator, AgentSimulatorBuilder, Program};
use qmp_vm::blocking::Agent;
use qmp_vm::{Exec, ShutdownMode, SuspendMode};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

mod real_agent;

use real_agent::RealAgent;

const PATIENCE: Duration = Duration::from_secs(30);

fn builder() -> AgentSimulatorBuilder {
    let uname = Program::exits(0).stdout("Linux\n").stderr("warning\n").after_polls(2);
    AgentSimulator::builder().file("/etc/motd", "welcome\n").program("/bin/uname", uname)
}

fn connect(simulator: &AgentSimulator) -> Agent {
    let stream = Unix::from_stream(simulator.connect().unwrap()).unwrap();
    Agent::over(stream, &Options::new()).unwrap()
}

#[test]
fn the_blocking_client_uses_every_area() {
    let simulator = builder().file_systems(3).build();
    let agent = connect(&simulator);
    agent.ping(PATIENCE).unwrap();
    let info = agent.execute(GuestInfo::new()).unwrap();
    assert_eq!(info.version, "11.1.0");
    assert!(info.supported_commands.unwrap().len() > 20);

    let output = agent.exec(&Exec::new("/bin/uname")).unwrap();
    assert!(output.success());
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"Linux\n"[..], &b"warning\n"[..]));
    let error = agent.exec(&Exec::new("/bin/false")).unwrap_err();
    assert!(error.server().unwrap().desc.contains("No such file or directory"));

    let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number * 7 % 251) as u8).collect();
    agent.write_file("/tmp/x", &bytes, PATIENCE).unwrap();
    assert_eq!(agent.read_file("/tmp/x", usize::MAX, PATIENCE).unwrap(), bytes);
    assert_eq!(agent.read_file("/etc/motd", 5, PATIENCE).unwrap(), b"welco");
    simulator.with_guest(|guest| assert_eq!(guest.file("/tmp/x"), Some(&bytes[..])));

    let frozen = agent.freeze().unwrap();
    assert_eq!(frozen.count(), 3);
    assert!(agent.exec(&Exec::new("/bin/uname")).unwrap_err().is_command_not_found());
    assert_eq!(frozen.thaw().unwrap(), 3);

    assert_eq!(agent.execute(GuestGetOsinfo::new()).unwrap().id.unwrap(), "simulated");
    let interfaces = agent.execute(GuestNetworkGetInterfaces::new()).unwrap();
    assert_eq!(interfaces[1].name, "eth0");

    agent.shutdown(ShutdownMode::Powerdown).unwrap();
    simulator.with_guest(|guest| assert_eq!(guest.shutdown_mode(), Some("powerdown")));
    assert!(agent.ping(PATIENCE).unwrap_err().is_closed());
}

thread_local! {
    /// The code that a [`Coded`] of this thread runs when it is decoded.
    static CODE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A reply that runs code when it is decoded.
struct Coded;

impl<'de> Deserialize<'de> for Coded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        if let Some(code) = CODE.take() {
            code();
        }
        Ok(Self)
    }
}

/// Runs code while the agent's client decodes a reply.
fn while_decoding(agent: &Agent, code: impl FnOnce() + 'static) {
    CODE.set(Some(Box::new(code)));
    agent.execute(Raw::<Coded>::new("guest-ping")).unwrap();
    assert!(CODE.take().is_none(), "the code has run");
}

/// A guard of a workflow could not wait for the reply to its command within a decode, and did not send it
/// either: the guest's file systems stayed frozen.
#[test]
fn a_guest_that_is_let_go_within_a_decode_is_thawed() {
    let simulator = builder().file_systems(3).build();
    let agent = connect(&simulator);
    let status = || agent.execute(GuestFsfreezeStatus::new()).unwrap();
    let frozen = agent.freeze().unwrap();
    while_decoding(&agent, move || drop(frozen));
    assert_eq!(status(), Status::Thawed);
    let frozen = agent.freeze().unwrap();
    while_decoding(&agent, move || {
        let error = frozen.thaw().unwrap_err();
        assert!(matches!(error, qmp_client::Error::Misuse(Misuse::Nested)), "{error:?}");
    });
    assert_eq!(status(), Status::Thawed);
}

/// The command that undoes another one was executed even if that one was never sent, and undid what another
/// program had done.
#[test]
fn a_command_that_was_not_sent_is_not_undone() {
    let simulator = builder().file_systems(3).build();
    let agent = connect(&simulator);
    let frozen = agent.freeze().unwrap();
    let other = agent.clone();
    while_decoding(&agent, move || {
        let error = other.freeze().unwrap_err();
        assert!(matches!(error, qmp_client::Error::Misuse(Misuse::Nested)), "{error:?}");
    });
    assert_eq!(agent.execute(GuestFsfreezeStatus::new()).unwrap(), Status::Frozen);
    assert_eq!(frozen.thaw().unwrap(), 3);
}

#[test]
fn an_agent_of_the_first_release_is_understood() {
    let simulator = builder().first_release().build();
    let agent = connect(&simulator);
    assert_eq!(agent.execute(GuestInfo::new()).unwrap().version, "0.15.1");
    assert_eq!(agent.read_file("/etc/motd", 100, PATIENCE).unwrap(), b"welcome\n");
    assert!(agent.exec(&Exec::new("/bin/uname")).unwrap_err().is_command_not_found());
    assert!(agent.suspend(SuspendMode::Ram).unwrap_err().is_command_not_found());
}

#[tokio::test]
async fn the_client_on_tokio_uses_it() {
    let simulator = builder().build();
    let stream = simulator.connect().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::UnixStream::from_std(stream).unwrap();
    let options = Options::new().dialect(Dialect::Agent);
    let (connecting, driver) = qmp_client::tokio::over(stream, &options);
    tokio::spawn(driver);
    let agent = qmp_vm::Agent::from_client(connecting.await.unwrap());
    assert_eq!(agent.exec(&Exec::new("/bin/uname")).await.unwrap().stdout, b"Linux\n");
    assert_eq!(agent.read_file("/etc/motd", 100, PATIENCE).await.unwrap(), b"welcome\n");
}

/// Commands for both agents. `FILE` is a file that contains `hello`. None changes anything else.
const COMMANDS: &[&str] = &[
    r#"{"execute":"guest-sync-delimited","arguments":{"id":7}}"#,
    r#"{"execute":"guest-sync","arguments":{"id":8},"id":{"a":5}}"#,
    r#"{"execute":"guest-sync","arguments":{"id":"8"},"id":5}"#,
    r#"{"execute":"guest-ping"}"#,
    r#"{"execute":"guest-nope"}"#,
    r#"{"execute":"query-commands"}"#,
    r#"{"execute":"qmp_capabilities"}"#,
    r#"{"exec-oob":"guest-ping"}"#,
    r#"{"execute":"guest-ping","arguments":{"x":1}}"#,
    r#"{"execute":"guest-ping","arguments":[]}"#,
    r#"{"a":1}"#,
    "[]",
    r#"{"execute":"guest-exec","arguments":{"path":"FILE-missing"}}"#,
    r#"{"execute":"guest-exec","arguments":{"path":"FILE-missing","capture-output":"nope"}}"#,
    r#"{"execute":"guest-exec","arguments":{"path":"FILE-missing","input-data":"?"}}"#,
    r#"{"execute":"guest-exec-status","arguments":{"pid":9999999}}"#,
    r#"{"execute":"guest-exec-status"}"#,
    r#"{"execute":"guest-file-open","arguments":{"path":"FILE-missing"}}"#,
    r#"{"execute":"guest-file-open","arguments":{"path":"FILE","mode":"q"}}"#,
    r#"{"execute":"guest-file-open","arguments":{"path":"FILE","mode":""}}"#,
    r#"{"execute":"guest-file-open","arguments":{"path":"FILE","mode":"br"}}"#,
    r#"{"execute":"guest-file-open","arguments":{"path":"FILE","mode":"r+"}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1000}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1000,"count":-1}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1000,"count":50331649}}"#,
    r#"{"execute":"guest-file-seek","arguments":{"handle":1000,"offset":1,"whence":"set"}}"#,
    r#"{"execute":"guest-file-seek","arguments":{"handle":1000,"offset":-9,"whence":0}}"#,
    r#"{"execute":"guest-file-seek","arguments":{"handle":1000,"offset":0,"whence":7}}"#,
    r#"{"execute":"guest-file-seek","arguments":{"handle":1000,"offset":0,"whence":"nope"}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1000,"count":2}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1000,"count":2}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1000,"count":2}}"#,
    r#"{"execute":"guest-file-write","arguments":{"handle":1000,"buf-b64":"??"}}"#,
    r#"{"execute":"guest-file-write","arguments":{"handle":1000,"buf-b64":"eHh4","count":9}}"#,
    r#"{"execute":"guest-file-write","arguments":{"handle":1000,"buf-b64":"eHh4","count":2}}"#,
    r#"{"execute":"guest-file-flush","arguments":{"handle":1000}}"#,
    r#"{"execute":"guest-file-seek","arguments":{"handle":1000,"offset":0,"whence":"end"}}"#,
    r#"{"execute":"guest-file-close","arguments":{"handle":1000}}"#,
    r#"{"execute":"guest-file-close","arguments":{"handle":1000}}"#,
    r#"{"execute":"guest-file-flush","arguments":{"handle":1000}}"#,
    r#"{"execute":"guest-file-open","arguments":{"path":"FILE","mode":"rb"}}"#,
    r#"{"execute":"guest-file-write","arguments":{"handle":1001,"buf-b64":"eHh4"}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1001}}"#,
    r#"{"execute":"guest-file-open","arguments":{"path":"FILE","mode":"a"}}"#,
    r#"{"execute":"guest-file-read","arguments":{"handle":1002}}"#,
    r#"{"execute":"guest-file-write","arguments":{"handle":1002,"buf-b64":"eHh4"}}"#,
    r#"{"execute":"guest-fsfreeze-status"}"#,
    r#"{"execute":"guest-shutdown","arguments":{"mode":"nope"}}"#,
    r#"{"execute":"guest-set-time","arguments":{"time":"now"}}"#,
];

/// Executes the commands one after the other, and returns each reply, with the file's name replaced.
fn replies(mut stream: UnixStream, file: &str) -> Vec<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let reply = |command: &&str| {
        stream.write_all(command.replace("FILE", file).as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8_lossy(&line).replace(file, "FILE")
    };
    COMMANDS.iter().map(reply).collect()
}

/// The differences that are known: in the words of older agents.
fn is_explained(ours: &str, theirs: &str) -> bool {
    let old_words = [
        "Invalid parameter 'pid'",
        "Guest agent command failed, error was",
        // Before 8.0, output is captured or not.
        "Invalid parameter type for 'capture-output', expected: boolean",
    ];
    ours.contains("\"error\"") && old_words.iter().any(|words| theirs.contains(words))
}

#[test]
#[cfg_attr(not(qemu_ga), ignore = "needs qemu-ga: see QMP_TEST_QEMU_GA in CONTRIBUTING.md")]
fn a_real_agent_gives_the_same_replies() {
    for program in real_agent::programs() {
        eprintln!("{program}");
        compare_with(&RealAgent::start(&program, "simulated"));
    }
}

fn compare_with(real: &RealAgent) {
    let file = real.file("file");
    std::fs::write(&file, "hello").unwrap();
    let begin = Instant::now();
    let stream = loop {
        match UnixStream::connect(real.socket()) {
            Ok(stream) => break stream,
            Err(_) if begin.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    };
    let file = file.display().to_string();
    let theirs = replies(stream, &file);

    let simulator = AgentSimulator::builder().file(&file, "hello").build();
    let ours = replies(simulator.connect().unwrap(), &file);
    let value = |reply: &str| {
        let json = reply.trim_start_matches('\u{fffd}');
        (json.len() < reply.len(), serde_json::from_str::<Value>(json).unwrap())
    };
    let mut differences = String::new();
    for ((command, ours), theirs) in COMMANDS.iter().zip(&ours).zip(&theirs) {
        if value(ours) != value(theirs) && !is_explained(ours, theirs) {
            differences += &format!("{command}\n  ours:   {ours}  theirs: {theirs}");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}
