//! `qmp proxy`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use qmp_server::{Server, Simulator, SocketFile};
use qmp_types::recording::Reader;
use rustix::process::{Pid, Signal, kill_process};
use support::{Directory, Process, QMP, SHELL, run};

/// A simulated machine that listens.
fn machine(path: &str) -> Simulator {
    let simulator = Simulator::new();
    let file = SocketFile::bind(path, 0o600).unwrap();
    let server: Server<_> = simulator.server().clone();
    std::thread::spawn(move || server.serve_unix(file.listener()));
    simulator
}

/// Starts the program, and waits until it says that it listens at all places.
fn start(arguments: &[&str], places: usize) -> (Process, Vec<String>) {
    let mut child =
        Command::new(QMP).arg("proxy").args(arguments).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines = lines.take(places).map(Result::unwrap).collect();
    (Process(child), lines)
}

#[test]
fn it_serves_at_several_places_until_a_client_quits() {
    let directory = Directory::for_sockets();
    let (upstream, path) = (directory.path("vm.sock"), directory.path("proxy.sock"));
    let _machine = machine(&upstream);
    let (mut process, lines) = start(&[&path, "tcp:127.0.0.1:0", &upstream], 2);
    assert_eq!(lines[0], format!("listening on unix:{path}"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let port = lines[1].strip_prefix("listening on ").unwrap();
    for address in [port, &path] {
        let seen = run(SHELL, &[address, "-c", "query-status"]).ok();
        assert!(seen.contains("running"), "{seen}");
    }
    run(QMP, &["info", &path]).ok();
    run(SHELL, &[&path, "-c", "quit"]).ok();
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_read_only_proxy_refuses_and_records() {
    let directory = Directory::for_sockets();
    let (upstream, path) = (directory.path("vm.sock"), directory.path("proxy.sock"));
    let record = directory.path("session.qmp");
    let _machine = machine(&upstream);
    let options = ["--read-only", "--deny", "query-name", "--mode", "660", "--record", &record];
    let (mut process, _) = start(&[&options as &[&str], &[&path, &upstream]].concat(), 1);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    run(SHELL, &[&path, "-c", "query-status"]).ok();
    for command in ["stop", "query-name", "human-monitor-command command-line=info"] {
        let refused = run(SHELL, &[&path, "-c", command]);
        assert!(refused.err.contains("has been disabled: the proxy"), "{refused:?}");
        // The hint once suggested the very command that was refused.
        assert!(!refused.err.contains("did you mean"), "{refused:?}");
        assert!(refused.err.contains("but does not allow it"), "{refused:?}");
    }
    kill_process(Pid::from_child(&process.0), Signal::TERM).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    assert!(!Path::new(&path).exists());
    let entries = Reader::open(&record).unwrap().map(Result::unwrap).count();
    assert!(entries >= 8, "{entries}");
}

/// While the monitor did not greet, a signal was not obeyed, and nothing said why that took so long. When it
/// was, it cost an earlier recording.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_it_before_it_is_connected() {
    let directory = Directory::for_sockets();
    let (silent, path) = (directory.path("silent"), directory.path("proxy.sock"));
    let _silent = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    let (new, earlier) = (directory.path("new.qmp"), directory.write("earlier.qmp", "earlier\n"));
    for file in [&new, &earlier] {
        let arguments = ["--timeout", "1000", "--record", file, &path, &silent];
        let (mut process, lines) = start(&arguments, 1);
        assert!(lines[0].contains("does not answer"), "{lines:?}");
        kill_process(Pid::from_child(&process.0), Signal::TERM).unwrap();
        assert_eq!(process.0.wait().unwrap().code(), Some(0));
        assert!(!Path::new(&path).exists());
    }
    assert_eq!(std::fs::read_to_string(&earlier).unwrap(), "earlier\n");
    assert_eq!(Reader::open(&new).unwrap().count(), 0);
}

#[test]
fn its_exit_status_says_how_it_ended() {
    let directory = Directory::for_sockets();
    let (upstream, path) = (directory.path("vm.sock"), directory.path("proxy.sock"));
    let error = run(QMP, &["proxy", &path, &upstream]).failed(3);
    assert!(error.contains("cannot connect to"), "{error}");
    assert!(!Path::new(&path).exists());
    let machine = machine(&upstream);
    let (mut process, _) = start(&[&path, &upstream], 1);
    machine.server().end();
    assert_eq!(process.0.wait().unwrap().code(), Some(3));
    let silent = std::os::unix::net::UnixListener::bind(directory.path("silent")).unwrap();
    let silent_path = directory.path("silent");
    run(QMP, &["proxy", "--timeout", "0.1", &path, &silent_path]).failed(4);
    drop(silent);
    run(QMP, &["proxy", &path]).failed(2);
    run(QMP, &["proxy", &path, "tcp:localhost"]).failed(2);
    run(QMP, &["proxy", "--mode", "9", &path, &upstream]).failed(2);
    let file = directory.write("file", "");
    let error = run(QMP, &["proxy", &file, &upstream]).failed(1);
    assert!(error.contains("a file that is not a socket exists"), "{error}");
    assert_eq!(error.matches("cannot listen at").count(), 1, "{error}");
}
