//! `qmp sim`, and the other subcommands of `qmp`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::{Directory, Process, QMP, SHELL, run};

/// Starts the program, and waits until it says that it listens at all places.
fn start(arguments: &[&str], places: usize) -> (Process, Vec<String>) {
    let mut child =
        Command::new(QMP).arg("sim").args(arguments).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines = lines.take(places).map(Result::unwrap).collect();
    (Process(child), lines)
}

#[test]
fn it_listens_until_its_machine_quits() {
    let directory = Directory::for_sockets();
    let path = directory.path("vm.sock");
    let arguments = [
        &*path,
        "tcp:127.0.0.1:0,server=on,wait=off",
        "--name",
        "mine",
        "--paused",
        "--refuse",
        "stop=not today",
    ];
    let (mut process, lines) = start(&arguments, 2);
    assert_eq!(lines[0], format!("listening on unix:{path}"));
    let port = lines[1].strip_prefix("listening on ").unwrap();
    let seen = run(QMP, &["shell", port, "-c", "query-status", "-c", "query-name"]).ok();
    assert!(seen.contains("prelaunch") && seen.contains("mine"), "{seen}");
    let refused = run(SHELL, &[&path, "-c", "stop"]);
    assert!(refused.err.contains("not today"), "{refused:?}");
    run(QMP, &["info", &path]).ok();
    run(SHELL, &[&path, "-c", "quit"]).ok();
    assert!(process.0.wait().unwrap().success());
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    let directory = Directory::for_sockets();
    let (path, agent) = (directory.path("vm.sock"), directory.path("agent.sock"));
    for signal in [Signal::TERM, Signal::INT] {
        let (mut process, lines) = start(&[&*path, "--agent", &agent], 2);
        assert_eq!(lines[1], format!("the guest agent is listening on unix:{agent}"));
        kill_process(Pid::from_child(&process.0), signal).unwrap();
        assert!(process.0.wait().unwrap().success());
        for path in [&path, &agent] {
            assert!(!std::path::Path::new(path).exists(), "{path}");
        }
    }
}

/// A machine that was started with `nohup` ended with the terminal.
#[test]
#[cfg(target_os = "linux")]
fn an_ignored_signal_stays_ignored() {
    let directory = Directory::for_sockets();
    let path = directory.path("vm.sock");
    let script = "trap '' HUP; exec \"$0\" sim \"$1\"";
    let mut child =
        Command::new("sh").args(["-c", script, QMP, &path]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), format!("listening on unix:{path}"));
    let mut process = Process(child);
    let signal = |process: &Process, signal| {
        kill_process(Pid::from_child(&process.0), signal).unwrap();
    };
    signal(&process, Signal::HUP);
    run(QMP, &["info", &path]).ok();
    signal(&process, Signal::TERM);
    assert!(process.0.wait().unwrap().success());
}

#[test]
fn settings_that_qemu_refuses_are_refused() {
    let directory = Directory::for_sockets();
    let path = directory.path("vm.sock");
    for (arguments, message) in [
        (["--device", "nope"], "--device nope: 'nope' is not a valid device model name"),
        (["--machine", "nope"], "unsupported machine type: \"nope\""),
        (["--refuse", "nope=x"], "The command nope has not been found"),
    ] {
        let error = run(QMP, &["sim", &path, arguments[0], arguments[1]]).failed(1);
        assert_eq!(error, format!("qmp sim: {message}\n"));
    }
    run(QMP, &["sim"]).failed(2);
    run(QMP, &["sim", "nowhere"]).failed(2);
    let error = run(QMP, &["sim", "tcp:localhost:65536"]).failed(2);
    assert!(error.contains("a port from 0 to 65535"), "{error}");
}
