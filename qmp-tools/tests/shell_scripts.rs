//! Scripts of the shell: statuses, and the output in each mode.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Directory, Process, QMP, Ran, SHELL, run, run_with};

/// Thirty lines, of which one fails.
const SCRIPT: &str = "\
# Backs a disk up, and removes it.
set timeout=20

query-status
{\"execute\": \"query-name\", \"id\": \"named\"}
blockdev-add driver=null-co node-name=n0 size=1048576 read-zeroes=on
blockdev-add {'driver': 'null-co',
  'node-name': 'n1',
  'size': 1048576}
transaction(
  block-dirty-bitmap-add node=n0 name=b0
  block-dirty-bitmap-add node=n0 name=b1 granularity=65536  # a comment
)
blockdev-backup job-id=j0 device=n0 target=n1 sync=full
wait BLOCK_JOB_COMPLETED device=j0
# This node does not exist.
blockdev-del node-name=nothing

stop
wait STOP
query-status
cont
wait RESUME --timeout 5
block-dirty-bitmap-remove node=n0 name=b0
block-dirty-bitmap-remove node=n0 name=b1
query-named-block-nodes
blockdev-del node-name=n1
blockdev-del node-name=n0
query-named-block-nodes
# The end.
";
/// The number of replies: of all commands, except for the one that fails.
const REPLIES: usize = 15;
const FAILS_AT: u64 = 17;

/// Runs the script with these arguments.
fn scripted(arguments: &[&str]) -> (Ran, String) {
    let directory = Directory::new();
    let file = directory.write("backup.qmp", SCRIPT);
    let ran = run(SHELL, &[&["-f", &file] as &[&str], arguments].concat());
    (ran, file)
}

fn values(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text).into_iter().map(Result::unwrap).collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks what a script prints in each mode.
fn check_modes(machine: &[&str]) {
    assert_eq!(SCRIPT.lines().count(), 30);
    for (mode, parse) in [
        ("--output=compact", lines as fn(&str) -> Vec<Value>),
        ("--pretty", values as fn(&str) -> Vec<Value>),
    ] {
        let (ran, file) = scripted(&[&[mode] as &[&str], machine].concat());
        let (events, replies): (Vec<Value>, Vec<Value>) =
            parse(&ran.out).into_iter().partition(|value| value.get("event").is_some());
        assert_eq!(replies.len(), REPLIES, "{mode}: {ran:?}");
        assert!(events.iter().any(|event| event["event"] == "BLOCK_JOB_COMPLETED"), "{ran:?}");
        let error = ran.err.lines().find(|line| line.contains(":17: ")).unwrap();
        assert!(error.starts_with(&format!("{file}:17: blockdev-del failed: ")), "{error}");
        ran.failed(1);
    }

    let (ran, _) = scripted(&[&["--output=raw"] as &[&str], machine].concat());
    let count = |name| lines(&ran.out).iter().filter(|line| line.get(name).is_some()).count();
    assert_eq!((count("return"), count("error")), (REPLIES, 1), "{ran:?}");
    assert!(count("event") >= 3 && count("id") == 1, "{ran:?}");
    ran.failed(1);

    let (ran, file) = scripted(&[&["--jsonl"] as &[&str], machine].concat());
    let of = |kind| lines(&ran.out).into_iter().filter(move |line| line["type"] == kind);
    // Three statements are waits.
    assert_eq!((of("reply").count(), of("error").count()), (REPLIES + 3, 1), "{ran:?}");
    let error = of("error").next().unwrap();
    assert_eq!((&error["line"], &error["file"]), (&json!(FAILS_AT), &json!(file)));
    assert_eq!(error["command"], "blockdev-del");
    assert_eq!(
        (&error["error"]["kind"], &error["error"]["class"]),
        (&json!("server"), &json!("GenericError"))
    );
    let waits = of("reply").filter(|reply| reply["command"] == "wait");
    let waits = waits.map(|reply| (reply["line"].as_u64(), reply["return"]["event"].clone()));
    assert_eq!(
        waits.collect::<Vec<_>>(),
        [
            (Some(15), json!("BLOCK_JOB_COMPLETED")),
            (Some(20), json!("STOP")),
            (Some(23), json!("RESUME")),
        ]
    );
    let named = of("reply").find(|reply| reply["id"] == "named").unwrap();
    assert_eq!((&named["line"], &named["command"]), (&json!(5), &json!("query-name")));
    // A statement over several lines has the number of the first.
    let numbers = of("reply").filter_map(|reply| reply["line"].as_u64()).collect::<Vec<_>>();
    assert!(numbers.contains(&7) && numbers.contains(&10), "{numbers:?}");
    assert!(of("event").all(|event| event["data"].is_object() && event["time"].is_f64()));
    ran.failed(1);

    let (ran, _) = scripted(&[&["--output=table"] as &[&str], machine].concat());
    let header = ran.out.lines().find(|line| line.contains("node-name")).unwrap();
    let column = header.find("node-name").unwrap();
    let node =
        ran.out.lines().find(|line| line.get(column..).is_some_and(|it| it.starts_with("n1 ")));
    assert!(node.is_some(), "{ran:?}");
    ran.failed(1);

    // The script ends where it fails.
    let (ran, _) = scripted(&[&["--jsonl", "--exit-on-error"] as &[&str], machine].concat());
    assert_eq!(lines(&ran.out).last().unwrap()["type"], "error", "{ran:?}");
    ran.failed(1);
}

#[test]
fn a_script_in_each_mode_on_the_simulated_machine() {
    check_modes(&[]);
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn a_script_in_each_mode_on_qemu() {
    let program =
        std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    check_modes(&["--launch", &program, "-M", "none", "-display", "none", "-nodefaults"]);
}

/// Starts a server whose clients are served by a function.
fn serve(path: &str, serve: fn(UnixStream)) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
}

/// Serves a machine that answers every command except for `hang`, and ends at `die`.
fn answer(stream: UnixStream) {
    let mut output = stream.try_clone().unwrap();
    let version = json!({"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""});
    let greeting = json!({"QMP": {"version": version, "capabilities": []}});
    let _ = writeln!(output, "{greeting}");
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap();
        match command["execute"].as_str() {
            Some("hang") => continue,
            Some("die") => break,
            Some("event") => {
                let time = json!({"seconds": 5, "microseconds": 6});
                let event = json!({"event": "POWERDOWN", "timestamp": time});
                let _ = writeln!(output, "{event}");
            }
            _ => {}
        }
        let _ = writeln!(output, "{}", json!({"return": {}, "id": command["id"]}));
    }
    let _ = output.shutdown(std::net::Shutdown::Both);
}

#[test]
fn each_exit_status() {
    let directory = Directory::new();
    let path = directory.path("socket");
    serve(&path, answer);
    let path = path.as_str();
    let missing = directory.path("missing");
    for (status, arguments) in [
        (0, &[path, "-c", "query-name"] as &[&str]),
        (0, &[path, "-c", "exit", "-c", "nonsense ="]),
        (1, &[path, "-c", "nonsense =", "-c", "query-name"]),
        (1, &[path, "-c", "set color=pink"]),
        (2, &["--nonsense"]),
        (2, &[path, "--output", "xml"]),
        (2, &[path, "-f", &missing]),
        // A directory can be opened, and not read.
        (2, &[path, "-f", &directory.path("")]),
        (2, &[path, "-l", &format!("{missing}/log"), "-c", "query-name"]),
        (2, &["tcp:localhost", "-c", "query-name"]),
        (2, &["--timeout", "-1"]),
        (2, &["--timeout", "inf"]),
        (3, &[&missing, "--timeout", "0", "-c", "query-name"]),
        (3, &[path, "-c", "die", "-c", "query-name"]),
        (4, &[path, "--timeout", "2", "-c", "hang"]),
        (4, &[path, "-c", "set timeout=0.1", "-c", "hang", "-c", "query-name"]),
        (4, &[path, "-c", "wait SHUTDOWN --timeout 0.1"]),
        // The worst counts.
        (4, &[path, "-c", "nonsense =", "-c", "wait SHUTDOWN --timeout 0.1"]),
        (3, &[path, "-c", "wait SHUTDOWN --timeout 0.1", "-c", "die"]),
    ] {
        let ran = run(SHELL, arguments);
        assert_eq!(ran.status, status, "{arguments:?}: {ran:?}");
        assert_eq!(ran.complaints().is_empty(), status == 0, "{arguments:?}: {ran:?}");
    }
    let err = run(SHELL, &[path, "--timeout", "2", "-c", "hang"]).err;
    for part in ["line 1: ", " 2 s", "`hang`", "--timeout", "set timeout="] {
        assert!(err.contains(part), "{err}");
    }
    for arguments in [
        &["shell", "--timeout", "-1"] as &[&str],
        &["info", "--timeout", "-1"],
        &["ls", "--timeout", "-1"],
        &["record", "-o", "-", "--for", "-1"],
        &["record", "show", "-", "--slower", "-1"],
        &["proxy", "--timeout", "-1", path, path],
        &["proxy", "--reply-timeout", "-1", path, path],
        &["sim", "--delay", "stop=-1"],
    ] {
        assert!(run(QMP, arguments).failed(2).contains("must not be negative"), "{arguments:?}");
    }
    let help = run(SHELL, &["--help"]).ok();
    assert!(
        ["0  all", "1  a", "2  the", "3  no", "4  a"].iter().all(|it| help.contains(it)),
        "{help}"
    );
}

/// The envelopes are a contract: this is what programs read.
#[test]
fn envelopes() {
    let directory = Directory::new();
    let path = directory.path("socket");
    serve(&path, answer);
    let script =
        "query-name\n{'execute': 'event', 'id': [1]}\nbroken =\nset timeout=0.1\nhang\ndie\n";
    let ran = run_with(SHELL, &[&path, "--jsonl"], script);
    let mut found = lines(&ran.out);
    for envelope in &mut found {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time = envelope["time"].as_f64().unwrap();
        assert!((time - now.as_secs_f64()).abs() < 60.0, "{time}");
        envelope["time"] = json!(0);
        if let Some(desc) = envelope.pointer_mut("/error/desc") {
            assert!(desc.is_string());
            *desc = json!("?");
        }
    }
    let time = json!({"seconds": 5, "microseconds": 6});
    let expected = [
        json!({"type": "reply", "command": "query-name", "line": 1, "time": 0, "return": {}}),
        json!({"type": "event", "event": "POWERDOWN", "time": 0, "timestamp": time, "data": {}}),
        json!({"type": "reply", "command": "event", "line": 2, "id": [1], "time": 0, "return": {}}),
        json!({"type": "error", "line": 3, "time": 0, "error": {"kind": "syntax", "desc": "?"}}),
        json!({"type": "error", "command": "hang", "line": 5, "time": 0,
            "error": {"kind": "timeout", "desc": "?"}}),
        json!({"type": "error", "command": "die", "line": 6, "time": 0,
            "error": {"kind": "connection", "desc": "?"}}),
    ];
    assert_eq!(found, expected, "{ran:?}");
    // The kind of an envelope comes first, so that a person can read the lines.
    assert!(ran.out.lines().all(|line| line.starts_with("{\"type\": \"")), "{ran:?}");
    assert_eq!(ran.complaints(), "");
    assert_eq!(ran.status, 3);
}

/// Scripts that were written for a bare socket work as they are.
#[test]
fn scripts_for_a_bare_socket() {
    let script = "\u{feff}{\"execute\":\"qmp_capabilities\"}\r\n\
        { \"execute\": \"query-status\" , \"id\": 1 }\r\n\
        {'execute': 'query-name'}\r\n\
        {\"exec-oob\": \"migrate-pause\", \"id\": 2}\r\n\
        {\"execute\": \"human-monitor-command\",\r\n  \"arguments\": {\"command-line\": \"info status\"}}\r\n";
    let ran = run_with(SHELL, &["--output=raw"], script);
    let found = lines(&ran.out);
    assert_eq!(found.len(), 5, "{ran:?}");
    assert_eq!(found[0], json!({"return": {}}));
    assert_eq!((&found[1]["return"]["status"], &found[1]["id"]), (&json!("running"), &json!(1)));
    assert!(found[2]["return"].is_object());
    // The machine does not migrate.
    assert!(found[3]["error"].is_object() && found[3]["id"] == 2, "{ran:?}");
    assert!(found[4]["return"].as_str().unwrap().contains("running"));
    ran.failed(1);
}

/// The last statement of a file is not executed if it is not complete, and the line on which it begins
/// is named.
#[test]
fn a_statement_that_does_not_end() {
    for (script, line) in [
        ("query-name\n\n{\"execute\":\n  \"stop\",\n", "line 3: "),
        ("transaction(\n  block-dirty-bitmap-add node=n name=b\n", "line 1: "),
        ("query-name\nset_link name=[\n1,\n", "line 2: "),
    ] {
        let ran = run_with(SHELL, &[], script);
        let error = ran.err.lines().find(|line| line.contains("unclosed")).unwrap_or_default();
        assert!(error.starts_with(line), "{script:?}: {ran:?}");
        ran.failed(1);
    }
    // A line that is not text fails alone.
    let directory = Directory::new();
    let file = directory.path("binary");
    std::fs::write(&file, b"query-name\n\xff\xfe\nquery-name\n").unwrap();
    let ran = run(SHELL, &["-f", &file]);
    assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
    assert!(ran.failed(1).contains(":2: the line is not UTF-8"));
}

/// A shell whose standard input stays open.
fn open(arguments: &[&str]) -> (Process, Receiver<String>) {
    let mut child = Command::new(SHELL)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    (Process(child), lines)
}

/// Nothing was shown until the next line of the script arrived.
#[test]
fn events_are_shown_while_standard_input_is_idle() {
    const SOON: Duration = Duration::from_secs(20);
    let directory = Directory::new();
    let path = directory.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (mut shell, lines) = open(&[&path]);
    let (stream, _) = listener.accept().unwrap();
    let mut server = stream.try_clone().unwrap();
    std::thread::spawn(move || answer(stream));
    let mut stdin = shell.0.stdin.take().unwrap();
    writeln!(stdin, "query-name").unwrap();
    assert_eq!(lines.recv_timeout(SOON).unwrap(), "{}");
    let time = json!({"seconds": 1, "microseconds": 2});
    writeln!(server, "{}", json!({"event": "RESET", "timestamp": time})).unwrap();
    assert!(lines.recv_timeout(SOON).unwrap().contains("RESET"));
    writeln!(stdin, "query-name").unwrap();
    assert_eq!(lines.recv_timeout(SOON).unwrap(), "{}");
    // The shell ends with the connection, though its input does not.
    server.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(shell.0.wait().unwrap().code(), Some(3));
}

/// `qmp-shell | head` ended with an error message.
/// A server that sends events without end keeps neither a reply nor a deadline from being seen.
#[test]
fn a_flood_of_events_delays_neither_replies_nor_deadlines() {
    let directory = Directory::new();
    let path = directory.path("socket");
    serve(&path, flood);
    for (status, arguments) in [
        (0, &["-c", "query-name"] as &[&str]),
        (4, &["--timeout", "0.5", "-c", "hang"]),
        (4, &["-c", "wait SHUTDOWN --timeout 0.5"]),
    ] {
        let begun = Instant::now();
        let ran = run(SHELL, &[&[&path, "-c", "set events=none"] as &[&str], arguments].concat());
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.err);
        assert!(begun.elapsed() < Duration::from_secs(25), "{arguments:?}");
    }
}

/// Answers `query-name`, and sends events all the time.
fn flood(stream: UnixStream) {
    let mut events = stream.try_clone().unwrap();
    let mut replies = stream.try_clone().unwrap();
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let version = json!({"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""});
    let _ = writeln!(replies, "{}", json!({"QMP": {"version": version, "capabilities": []}}));
    let event = "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\n";
    while events.write_all(event.repeat(500).as_bytes()).is_ok() {
        let Ok(line) = lines.try_recv() else { continue };
        let command = serde_json::from_str::<Value>(&line).unwrap();
        if command["execute"] != "hang" {
            let reply = json!({"return": {}, "id": command["id"]});
            let _ = replies.write_all(format!("{reply}\n").as_bytes());
        }
    }
}

#[test]
fn a_closed_output_is_silent() {
    for arguments in [&["--output=compact"] as &[&str], &["--jsonl"], &["--output=table"]] {
        let mut child = Command::new(SHELL)
            .args(arguments)
            .args(["-c", "query-status", "-c", "query-qmp-schema", "-c", "query-status"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.status, 0, "{ran:?}");
        let lines = ran.err.lines().filter(|line| !line.contains("simulated machine"));
        assert_eq!(lines.count(), 0, "{ran:?}");
    }
}

/// An output that fails is reported by its name.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let no_space = "No space left on device (os error 28)";
    for (program, arguments) in [
        (SHELL, &["-c", "query-name"][..]),
        (QMP, &["info"]),
        (QMP, &["completions", "bash"]),
        (QMP, &["record", "-o", "-", "-c", "stop"]),
    ] {
        let mut command = Command::new(program);
        let output = command.args(arguments).stdin(Stdio::null()).stdout(full()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let expected = format!(": cannot write to standard output: {no_space}\n");
        assert!(error.ends_with(&expected), "{arguments:?}: {error}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
    let ran = run(SHELL, &["-l", "/dev/full", "-c", "query-name", "-c", "query-status"]);
    let log = format!("the log is incomplete: /dev/full: {no_space}\n");
    assert_eq!(ran.err.matches(&log).count(), 1, "{ran:?}");
    ran.ok();
}

/// Passwords were in the log and on the screen.
#[test]
fn logs_and_verbose_output_have_no_secrets() {
    let directory = Directory::new();
    let log = directory.path("log");
    let arguments = ["-v", "-l", &log];
    let script = "set_password protocol=vnc password=hunter2\n\
        {'execute': 'set_password', 'arguments': {'protocol': 'vnc', 'password': 'hunter2'}}\n\
        object-add qom-type=secret id=s0 data=hunter2\nquery-name\n";
    for times in 1..=2 {
        let ran = run_with(SHELL, &arguments, script);
        assert!(ran.err.contains("-> {\"execute\": \"query-name\"}"), "{ran:?}");
        assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"), "{ran:?}");
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        // It is appended to.
        assert_eq!(text.matches("-> {\"execute\":\"query-name\"").count(), times, "{text}");
        assert!(text.lines().any(|line| line.contains(" <- {\"return\"")), "{text}");
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Errors of lines that are wrong showed these lines.
#[test]
fn errors_show_no_secrets() {
    for line in [
        "set_password hunter2",
        "set_password protocol=vnc hunter2",
        "set_password protocol=vnc password.x=hunter2",
        "object-add qom-type=secret id=s0 dta=hunter2",
        "object-add qom-type=secret id=s0 data:={'a': hunter2}",
    ] {
        for mode in ["--pretty", "--jsonl"] {
            let ran = run(SHELL, &["-v", mode, "-c", line]);
            assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"), "{ran:?}");
            ran.failed(1);
        }
    }
}

#[test]
fn a_misspelled_command_is_recognized() {
    let err = run(SHELL, &["-c", "query-sttaus"]).failed(1);
    assert!(err.contains("did you mean `query-status`?"), "{err}");
}

#[test]
fn help_is_shown() {
    let ran = run(SHELL, &["-c", "help", "-c", "help blockdev-add", "-c", "help STOP"]);
    assert!(["wait", "blockdev-add", "STOP"].iter().all(|it| ran.out.contains(it)), "{ran:?}");
    ran.ok();
    let err = run(SHELL, &["-c", "help blockdev-ad"]).failed(1);
    assert!(err.contains("blockdev-add"), "{err}");
}

#[test]
fn a_human_monitor() {
    let ran = run(SHELL, &["-H", "-c", "info status", "-c", "", "-c", "nonsense"]);
    assert!(ran.out.starts_with("VM status: running\n"), "{ran:?}");
    assert!(ran.failed(1).contains("line 3: unknown command: 'nonsense'"));
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn a_wrapped_qemu_ends_with_the_shell() {
    let program =
        std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    let directory = Directory::for_sockets();
    let pid_file = directory.path("pid");
    let arguments = [
        "-c",
        "query-status",
        "--",
        &program,
        "-M",
        "none",
        "-display",
        "none",
        "-pidfile",
        &pid_file,
    ];
    let out = run(env!("CARGO_BIN_EXE_qmp-shell-wrap"), &arguments).ok();
    assert_eq!(lines(&out)[0]["running"], true, "{out}");
    // QEMU removes it when it exits.
    assert!(!std::path::Path::new(&pid_file).exists());
}
