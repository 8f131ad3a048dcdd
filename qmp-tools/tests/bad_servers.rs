//! Peers that are not QMP servers, or that disconnect early: every program reports this in time.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use support::{Directory, SCHEMA, SHELL, VM_INFO, run};

const GREETING: &[u8] =
    b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \
    \"package\": \"\"}, \"capabilities\": []}}\r\n";

/// The behavior of a peer toward one client.
type Script = fn(&mut UnixStream);

/// Starts a server that runs the script for every client.
fn serve(path: &str, script: Script) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || script(&mut stream));
        }
    });
}

/// Reads until the client disconnects.
fn listen(stream: &mut UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Answers `qmp_capabilities`, and reads the next command.
fn negotiate(stream: &mut UnixStream) {
    let _ = stream.write_all(GREETING);
    answer(stream, b"\"return\": {}");
    let _ = stream.read(&mut [0; 64 * 1024]);
}

/// Answers the next command.
fn answer(stream: &mut UnixStream, result: &[u8]) {
    let mut command = [0; 64 * 1024];
    let length = stream.read(&mut command).unwrap_or(0);
    let command: serde_json::Value = serde_json::from_slice(&command[..length]).unwrap_or_default();
    let result = String::from_utf8_lossy(result);
    let _ = write!(stream, "{{{result}, \"id\": {}}}\r\n", command["id"]);
}

#[test]
fn every_program_reports_what_is_wrong() {
    let scripts: [(&str, Script, &str); 13] = [
        ("nothing", |_| (), "connection"),
        ("silence", listen, "greeting"),
        ("garbage", |s| drop(s.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").map(|()| listen(s))), "SSH"),
        ("VNC", |s| drop(s.write_all(b"RFB 003.008\n").map(|()| listen(s))), "a VNC server"),
        ("HTTP", |s| drop(s.write_all(b"HTTP/1.1 408 x\r\n\r\n")), "an HTTP server"),
        (
            "NBD",
            |s| drop(s.write_all(b"NBDMAGICIHAVEOPT\0\x03").map(|()| listen(s))),
            "an NBD server",
        ),
        (
            "a serial console",
            |s| drop(s.write_all(b"\r\nDebian 13 vm ttyS0\r\n\r\nvm login: ")),
            "Debian",
        ),
        (
            "a human monitor with telnet",
            |s| {
                let banner =
                    b"\xFF\xFB\x01\xFF\xFB\x03QEMU 10.0.0 monitor - type 'help'\r\n(qemu) ";
                drop(s.write_all(banner).map(|()| listen(s)));
            },
            "a human monitor",
        ),
        ("half a greeting", |s| drop(s.write_all(&GREETING[..40])), "micro"),
        ("a greeting", |s| drop(s.write_all(GREETING)), "connection"),
        (
            "a greeting, then silence",
            |s| drop(s.write_all(GREETING).map(|()| listen(s))),
            "qmp_capabilities",
        ),
        (
            "half a reply",
            |s| {
                negotiate(s);
                let _ = s.write_all(b"{\"return\": {\"sta");
            },
            "connection",
        ),
        (
            "no reply",
            |s| {
                negotiate(s);
                listen(s);
            },
            "reply",
        ),
    ];
    let directory = Directory::new();
    // In parallel, since most of them wait for a timeout.
    std::thread::scope(|threads| {
        for (index, (what, script, message)) in scripts.into_iter().enumerate() {
            let path = directory.path(&index.to_string());
            serve(&path, script);
            threads.spawn(move || check_all(&path, what, message));
        }
    });
}

/// Checks that every program fails with this message in time.
fn check_all(path: &str, what: &str, message: &str) {
    for (program, arguments, statuses) in [
        (VM_INFO, &[] as &[&str], 3..=4),
        (SHELL, &["-c", "query-status"], 3..=4),
        (SCHEMA, &["import"], 1..=1),
        (SCHEMA, &["diff", "builtin"], 2..=2),
    ] {
        let begin = Instant::now();
        let arguments = [arguments, &[path, "--timeout", "3"]].concat();
        let ran = run(program, &arguments);
        assert!(statuses.contains(&ran.status), "{what}: {program} {arguments:?}: {ran:?}");
        let err = ran.err;
        assert!(err.contains(message), "{what}: {program} {arguments:?}: {err}");
        assert!(begin.elapsed() < Duration::from_secs(25), "{what}: {program}");
    }
}

/// An error reply is shown, and so is the position in a reply that is not introspection data.
#[test]
fn a_server_without_introspection() {
    let directory = Directory::new();
    let path = directory.path("socket");
    serve(&path, |stream| {
        let _ = stream.write_all(GREETING);
        answer(stream, b"\"return\": {}");
        answer(stream, b"\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"not here\"}");
        listen(stream);
    });
    let err = run(SCHEMA, &["import", &path]).failed(1);
    assert!(err.contains("query-qmp-schema") && err.contains("not here"), "{err}");

    let path = directory.path("other");
    serve(&path, |stream| {
        let _ = stream.write_all(GREETING);
        answer(stream, b"\"return\": {}");
        answer(stream, b"\"return\": [{\"name\": \"x\", \"meta-type\": \"nonsense\"}]");
        listen(stream);
    });
    let err = run(SCHEMA, &["import", &path]).failed(1);
    assert!(err.contains(&path) && err.contains("[0]"), "{err}");
}
