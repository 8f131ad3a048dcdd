//! Peers that are no QMP servers, or leave in the middle: every program says so, in time.

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

/// What a peer does with a client.
type Script = fn(&mut UnixStream);

/// Starts a server that does the same with every client.
fn serve(path: &str, script: Script) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || script(&mut stream));
        }
    });
}

/// Reads until the client is gone.
fn listen(stream: &mut UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Answers `qmp_capabilities`, and reads the command that follows it.
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
fn every_program_says_what_is_wrong() {
    let scripts: [(&str, Script, &str); 8] = [
        ("nothing", |_| (), "ended"),
        ("silence", listen, "no greeting within 1s"),
        ("garbage", |s| drop(s.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").map(|()| listen(s))), "SSH"),
        ("half a greeting", |s| drop(s.write_all(&GREETING[..40])), "unfinished"),
        ("a greeting", |s| drop(s.write_all(GREETING)), "ended"),
        (
            "a greeting, and silence",
            |s| drop(s.write_all(GREETING).map(|()| listen(s))),
            "within 1s",
        ),
        (
            "half a reply",
            |s| {
                negotiate(s);
                let _ = s.write_all(b"{\"return\": {\"sta");
            },
            "ended",
        ),
        (
            "no reply",
            |s| {
                negotiate(s);
                listen(s);
            },
            "within 1s",
        ),
    ];
    let directory = Directory::new();
    // All at once: most of them wait.
    std::thread::scope(|threads| {
        for (index, (what, script, said)) in scripts.into_iter().enumerate() {
            let path = directory.path(&index.to_string());
            serve(&path, script);
            threads.spawn(move || ask_all(&path, what, said));
        }
    });
}

/// Every program says this of a server, in time.
fn ask_all(path: &str, what: &str, said: &str) {
    for (program, arguments, status) in [
        (VM_INFO, &[] as &[&str], 1),
        (SHELL, &["-c", "query-status"], 1),
        (SCHEMA, &["import"], 1),
        (SCHEMA, &["diff", "builtin"], 2),
    ] {
        let begin = Instant::now();
        let arguments = [arguments, &[path, "--timeout", "1"]].concat();
        let err = run(program, &arguments).failed(status);
        assert!(err.contains(said), "{what}: {program} {arguments:?}: {err}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}: {program}");
    }
}

/// What a server says in place of its introspection is told with the place in it.
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
