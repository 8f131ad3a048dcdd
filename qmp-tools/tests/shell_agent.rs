//! `qmp agent`, with the simulated guest agent.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "support/person.rs"]
mod person;
mod support;

use std::os::unix::net::UnixListener;

use person::Terminal;
use qmp_client::{ErrorClass, QmpError};
use qmp_server::agent::{AgentSimulator, Program};
use qmp_server::script::Script;
use serde_json::{Value, json};
use support::{Directory, QMP, Ran, SHELL, run, run_with};

/// A guest, and the folder with its agent's socket.
struct Guest {
    agent: AgentSimulator,
    directory: Directory,
}

impl Guest {
    fn new() -> Self {
        let agent = AgentSimulator::builder()
            .file("/etc/hostname", "guest\n\u{1b}[2J\n")
            .file("/bin.dat", [0, 159, 146, 150])
            .program("/bin/uname", Program::exits(0).stdout("Linux\n").after_polls(3))
            .program("/bin/false", Program::exits(3).stdout("out\n").stderr("no\u{9b}\n"))
            .program("/bin/crash", Program::killed_by(11))
            .program("/bin/sleep", Program::runs())
            .build();
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.path("agent")).unwrap();
        let serving = agent.clone();
        std::thread::spawn(move || serving.serve_unix(&listener));
        Self { agent, directory }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(QMP, &[&["agent", &self.directory.path("agent")] as &[&str], arguments].concat())
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn programs_run_in_the_guest() {
    let guest = Guest::new();
    assert_eq!(guest.run(&["-c", "exec /bin/uname -r 'a b'"]).ok(), "Linux\n");
    let ran = guest.run(&["-c", "exec /bin/false"]);
    assert_eq!(ran.out, "out\n");
    assert_eq!(ran.complaints(), "no\\u{9b}\nline 1: the program exited with the status 3\n");
    ran.failed(1);
    assert!(guest.run(&["-c", "exec /bin/crash"]).failed(1).contains("the signal 11"));
    assert!(guest.run(&["-c", "exec /bin/none"]).failed(1).contains("guest-exec failed"));
    // The program goes on in the guest.
    let err = guest.run(&["--timeout", "3", "-c", "exec /bin/sleep 100"]).failed(4);
    assert!(err.contains("`/bin/sleep` (process") && err.contains("timed out"), "{err}");

    let script = "exec /bin/uname\nexec /bin/false\n";
    let ran = run_with(QMP, &["agent", &guest.directory.path("agent"), "--jsonl"], script);
    let envelopes = lines(&ran.out);
    assert_eq!(
        envelopes[0]["return"],
        json!({"exitcode": 0, "signal": null, "stdout": "Linux\n",
        "stderr": "", "truncated": false})
    );
    assert_eq!(
        (&envelopes[1]["return"]["exitcode"], &envelopes[1]["line"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(ran.complaints(), "");
    ran.failed(1);
}

#[test]
fn files_are_copied_and_shown() {
    let guest = Guest::new();
    assert_eq!(guest.run(&["-c", "cat /etc/hostname"]).ok(), "guest\n\\u{1b}[2J\n");
    let local = guest.directory.path("local");
    let back = guest.directory.path("back");
    std::fs::write(&local, [1, 0, 255, 10]).unwrap();
    let ran =
        guest.run(&["-c", &format!("put '{local}' /tmp/x"), "-c", &format!("get /tmp/x {back}")]);
    assert_eq!(ran.ok(), "{\"bytes\": 4}\n{\"bytes\": 4}\n");
    assert_eq!(std::fs::read(&back).unwrap(), [1, 0, 255, 10]);
    assert_eq!(
        guest.agent.with_guest(|guest| guest.file("/tmp/x").unwrap().to_vec()),
        [1, 0, 255, 10]
    );
    assert!(guest.run(&["-c", "cat /nothing"]).failed(1).contains("guest-file-open failed"));
    let missing = guest.directory.path("missing");
    assert!(guest.run(&["-c", &format!("put {missing} /x")]).failed(1).contains("missing"));
    assert!(guest.run(&["-c", "get"]).failed(1).contains("expected `get PATH [FILE]`"));
}

/// Types are those of the agent's schema, and other names of the agent's shell work.
#[test]
fn commands_have_types() {
    let guest = Guest::new();
    let arguments =
        ["-c", "guest-file-open path=/etc/hostname mode=r", "-c", "guest-get-host-name"];
    let out = guest.run(&arguments).ok();
    let replies = lines(&out);
    assert!(replies[0].is_i64() && replies[1]["host-name"].is_string(), "{out}");
    let close = format!("guest-file-close handle={}", replies[0]);
    guest.run(&["-c", &close]).ok();
    let err = guest.run(&["-c", "guest-pong"]).failed(1);
    assert!(err.contains("did you mean `guest-ping`?"), "{err}");
    // qmp-shell's option for an agent.
    let path = guest.directory.path("agent");
    assert_eq!(run(SHELL, &["-N", &path, "-c", "guest-ping"]).ok(), "{}\n");
    assert_eq!(run_with(SHELL, &["-N", &path], "exec /bin/uname").ok(), "Linux\n");
    // Success is not answered: silence is.
    assert_eq!(guest.run(&["-c", "guest-shutdown mode=halt"]).status, 0);
    assert_eq!(
        guest.agent.with_guest(|guest| guest.shutdown_mode().map(str::to_owned)),
        Some("halt".to_owned())
    );
    assert_eq!(run(QMP, &["agent"]).status, 2);
    let nowhere = guest.directory.path("nowhere");
    assert_eq!(run(QMP, &["agent", &nowhere, "--timeout", "0"]).status, 3);
}

#[test]
fn file_systems_are_a_table() {
    let directory = Directory::new();
    let path = directory.path("agent");
    let list = json!([
        {"name": "vda1", "mountpoint": "/", "type": "ext4", "used-bytes": 3_221_225_472_u64,
         "total-bytes": 10_737_418_240_u64,
         "disk": [{"bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "dev": "/dev/vda1",
                   "pci-controller": {"domain": 0, "bus": 0, "slot": 4, "function": 0}}]},
        {"name": "proc\u{1b}", "mountpoint": "/proc", "type": "proc", "disk": []},
    ]);
    let script = |list: &Value| {
        let script = Script::bare().synchronize();
        script.expect_raw("guest-get-fsinfo").without_id().returns_raw(list.clone())
    };
    let refused = Script::bare().synchronize().expect_raw("guest-get-fsinfo").without_id();
    let scripts = [script(&list), script(&list), refused.fails(QmpError::generic("no"))];
    let server = qmp_server::script::ScriptServer::new(scripts);
    server.serve_unix(UnixListener::bind(&path).unwrap()).unwrap();
    let out = run(QMP, &["agent", &path, "--output", "table", "-c", "fsinfo"]).ok();
    let expected = "\
mountpoint  type  used   total   name          disk
/           ext4  3 GiB  10 GiB  vda1          /dev/vda1
/proc       proc                 \"proc\\u001b\"
";
    assert_eq!(out, expected);
    let out = run(QMP, &["agent", &path, "-c", "fsinfo"]).ok();
    assert_eq!(lines(&out)[0], list);
    assert!(run(QMP, &["agent", &path, "-c", "fsinfo"]).failed(1).contains("no"));
}

/// The hint about a command that is disabled once suggested that command.
#[test]
fn a_disabled_command_is_not_suggested() {
    let directory = Directory::new();
    let path = directory.path("agent");
    let refused = Script::bare().synchronize().expect_raw("guest-get-users").without_id();
    let disabled =
        QmpError::new(ErrorClass::CommandNotFound, "Command guest-get-users is disabled");
    let server = qmp_server::script::ScriptServer::new([refused.fails(disabled)]);
    server.serve_unix(UnixListener::bind(&path).unwrap()).unwrap();
    let err = run(QMP, &["agent", &path, "-c", "guest-get-users"]).failed(1);
    assert!(err.contains("hint: `guest-info` lists the available commands"), "{err}");
}

/// An event was waited for until the deadline, which was that of a command.
#[test]
fn an_agent_has_no_events() {
    let guest = Guest::new();
    let ran = guest.run(&["-c", "wait STOP", "-c", "guest-ping"]);
    assert_eq!((&*ran.out, &*ran.complaints()), ("{}\n", "line 1: a guest agent has no events\n"));
    ran.failed(1);
}

/// The hint was that a command may be disabled which no agent has, or that a statement may be.
#[test]
fn a_hint_is_about_the_command() {
    let guest = Guest::new();
    for (statement, hint) in [
        ("query-status", "`query-status` is not one of them"),
        ("fsinfo", "`guest-get-fsinfo` may be disabled"),
    ] {
        let error = guest.run(&["-c", statement]).failed(1);
        assert!(error.contains(hint), "{error}");
    }
}

/// A line for the human monitor is refused, and the lines after it are executed.
#[test]
fn an_agent_has_no_human_monitor() {
    let guest = Guest::new();
    for statement in ["set hmp=on", "hmp", "hmp info status"] {
        let ran = guest.run(&["-c", statement, "-c", "guest-ping"]);
        assert_eq!(ran.out, "{}\n", "{statement}");
        assert_eq!(ran.complaints(), "line 1: a guest agent has no human monitor\n");
        ran.failed(1);
    }
    assert!(guest.run(&["-H", "-c", "guest-ping"]).failed(2).contains("no human monitor"));
    // So the help does not offer it.
    let help = run(QMP, &["agent", "--help"]).ok();
    assert!(!help.contains("--hmp") && help.contains("--jsonl"), "{help}");
}

#[test]
fn the_help_of_an_agent_lists_its_statements() {
    let guest = Guest::new();
    assert!(guest.run(&["-c", "help"]).ok().contains("exec PROGRAM [ARG...]"));
    assert!(guest.run(&["-c", "help exec"]).ok().starts_with("exec: Runs a program"));
}

/// At a prompt, the agent's own statements and documentation are there, and words that look like
/// the beginning of an object do not wait for its end.
#[test]
fn an_agent_has_a_prompt() {
    let guest = Guest::new();
    let mut command = std::process::Command::new(QMP);
    command.args(["agent", &guest.directory.path("agent")]);
    let mut terminal = Terminal::start(command, |_| {});
    terminal.expect_line("(agent)");
    terminal.press("fsi\t");
    terminal.until("fsinfo", |terminal| terminal.line().0.starts_with("(agent) fsinfo"));
    terminal.press("\x03\x03guest-file-o\t");
    terminal.until("the command", |terminal| terminal.line().0.contains("guest-file-open"));
    terminal.press("\x03help guest-ping\r");
    terminal.expect("(command, since QEMU 0.15");
    terminal.press("exec /bin/uname a={\r");
    terminal.expect("Linux");
    terminal.expect_line("(agent)");
    terminal.press("exec /bin/sleep 100\r");
    terminal.expect("(waiting for `exec`");
    terminal.press("\x03");
    terminal.expect("its result is not shown");
    terminal.expect_line("(agent)");
    terminal.press("\x04");
    assert_eq!(terminal.exit(), 0);
}
