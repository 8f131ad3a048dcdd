//! `qmp record` and `qmp replay`: a session with a live QEMU or the simulated machine is recorded,
//! shown, checked, and replayed without it.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Directory, Process, QMP, Ran, run};

/// Starts a program that listens, and waits until it does.
fn listening(arguments: &[&str]) -> Process {
    let mut child = Command::new(QMP).args(arguments).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let process = Process(child);
    let (sender, receiver) = std::sync::mpsc::channel();
    // The rest is read, too, so that the program never waits.
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let line = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(line.starts_with("listening on"), "{line}");
    process
}

fn ends(child: &mut Child) -> i32 {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "the program does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends text, and returns everything that is received.
fn talk(path: &str, text: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    received
}

const NEGOTIATE: &str = "{'execute': 'qmp_capabilities'}";

/// Secrets in the syntaxes that a client may use.
const SECRETS: &str = "{'execute': 'object-add', 'arguments': {'qom-type': 'secret', 'id': 's', 'data': 'hunter2'}}
    {\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/objects/s\", \"property\": \"data\"}}
    {\"arguments\": {\"d\\u0061ta\": \"hunter2\", \"id\": \"t\", \"qom-type\": \"secret\"}, \"execute\": \"object\\u002dadd\"}
    {\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"object_add secret,id=u,data=hunter2\"}}
    {\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"qom-get /objects/s data\"}}
    {\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"hunter2\"}}
    {\"execute\": \"set_password\", \"arguments\": {\"protocol\": \"vnc\", \"password\": \"hunter2\"}}
    {\"execute\": \"change-vnc-password\", \"arguments\": {\"password\": \"hunter2\"}}
    {\"execute\": \"set_password\", \"arguments\": {\"password\": \"hunter2\"";

fn count(text: &str, pattern: &str) -> usize {
    text.matches(pattern).count()
}

/// A session that is passed on arrives unchanged, and its recording has no secret.
fn passes_on_and_masks(directory: &Directory, monitor: &str) {
    let (file, socket) = (directory.path("session.qmp"), directory.path("recorded.sock"));
    let direct = talk(monitor, &format!("{NEGOTIATE}{{'execute': 'query-version'}}"));
    let mut recording =
        listening(&["record", monitor, "-o", &file, "--listen", &socket, "--name", "vm"]);
    let passed = talk(&socket, &format!("{NEGOTIATE}{{'execute': 'query-version'}}"));
    assert_eq!(passed, direct);
    let secrets = talk(&socket, &format!("{NEGOTIATE}{SECRETS}"));
    assert!(secrets.contains("hunter2"), "the server returns the secret: {secrets}");
    let pid = rustix::process::Pid::from_child(&recording.0);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(ends(&mut recording.0), 0);
    assert!(!std::path::Path::new(&socket).exists(), "the socket is removed");

    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(count(&text, "<secret>") >= 9, "{text}");
    assert!(text.contains("\"monitor\": \"vm-2\""), "{text}");
    assert!(text.contains("object_add <secret>"), "{text}");
    let shown = run(QMP, &["record", "show", &file]).ok();
    assert!(!shown.contains("hunter2") && shown.contains(">  set_password"), "{shown}");
    let errors = run(QMP, &["record", "show", &file, "--errors", "--monitor", "vm"]).ok();
    assert_eq!(count(&errors, "\n"), 2, "a title and a summary: {errors}");
}

/// A recorded session is replayed with the same replies, without the machine.
fn replays(directory: &Directory, arguments: &[&str]) {
    let file = directory.path("replayed.qmp");
    let commands = [
        "query-status",
        "query-version",
        "stop",
        "query-status",
        "qom-list path=/machine",
        "human-monitor-command command-line='info status'",
        "no-such-command",
    ];
    let with_commands = |first: &[&str], last: &[&str]| {
        let mut arguments: Vec<String> = first.iter().map(|text| (*text).to_owned()).collect();
        commands.iter().for_each(|line| arguments.extend(["-c".to_owned(), (*line).to_owned()]));
        arguments.extend(last.iter().map(|text| (*text).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(QMP, &arguments)
    };
    let replies = |ran: &Ran| {
        let lines = ran.out.lines().filter(|line| !line.contains("\"timestamp\""));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let recorded = with_commands(&["record", "-o", &file], arguments);
    assert_eq!(recorded.status, 1, "one command fails: {recorded:?}");
    assert!(replies(&recorded).len() >= commands.len() - 1, "{recorded:?}");

    let socket = directory.path("replay.sock");
    let mut replay = listening(&["replay", &file, &socket, "--strict", "--once"]);
    let again_file = directory.path("again.qmp");
    // A QEMU that was launched was quit at the end, which is a command, too.
    let quit: &[&str] = if arguments.is_empty() { &[&socket] } else { &["-c", "quit", &socket] };
    let again = with_commands(&["record", "-o", &again_file], quit);
    assert_eq!(replies(&again)[..replies(&recorded).len()], replies(&recorded));
    assert_eq!(ends(&mut replay.0), 0, "the commands fit");

    let timeline = run(QMP, &["record", "show", &file, "--json"]).ok();
    let moments: Vec<Value> =
        timeline.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str, name: &str| {
        moments.iter().filter(|one| one["kind"] == kind && one["name"] == name).count()
    };
    assert_eq!((of("command", "query-status"), of("reply", "query-status")), (2, 2));
    assert_eq!((of("event", "STOP"), of("error", "no-such-command")), (1, 1));
    let latencies = moments.iter().filter(|one| one["kind"] == "reply");
    assert!(latencies.clone().all(|one| one["latency"].is_u64()), "{timeline}");

    let mut other = listening(&["replay", &file, &socket, "--strict", "--once"]);
    assert!(talk(&socket, &format!("{NEGOTIATE}{{'execute': 'cont'}}")).contains("continues with"));
    assert_eq!(ends(&mut other.0), 1, "the commands do not fit");
}

#[test]
fn the_simulated_machine_is_recorded_and_replayed() {
    let directory = Directory::new();
    replays(&directory, &[]);
    let socket = directory.path("sim.sock");
    let _machine = listening(&["sim", &socket]);
    passes_on_and_masks(&directory, &socket);
}

/// Starts each QEMU that tests use, with a monitor.
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
#[test]
fn live_qemus_are_recorded_and_replayed() {
    let list = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let one = std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    let mut qemus: Vec<&str> = list.split([':', '\n']).filter(|path| !path.is_empty()).collect();
    if qemus.is_empty() {
        qemus.push(&one);
    }
    for qemu in qemus {
        println!("{qemu}");
        let directory = Directory::for_sockets();
        replays(&directory, &["--launch", qemu, "-M", "none", "-nodefaults", "-display", "none"]);
        let socket = directory.path("qemu.sock");
        let server = format!("unix:{socket},server=on,wait=off");
        let arguments = ["-M", "none", "-nodefaults", "-display", "none", "-qmp", &server];
        let _machine = Process(Command::new(qemu).args(arguments).spawn().unwrap());
        let begin = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{qemu} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        passes_on_and_masks(&directory, &socket);
    }
}

/// File descriptors pass through, and are counted.
#[test]
fn descriptors_are_passed_on() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let directory = Directory::new();
    let (file, socket, monitor) =
        (directory.path("fds.qmp"), directory.path("fds.sock"), directory.path("sim.sock"));
    let _machine = listening(&["sim", &monitor]);
    let mut recording = listening(&["record", &monitor, "-o", &file, "--listen", &socket]);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(NEGOTIATE.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.by_ref().take(2).all(|line| line.is_ok()));
    let (reader, _writer) = UnixStream::pair().unwrap();
    let descriptors = [reader.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let command = b"{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"f\"}, \"id\": 1}";
    sendmsg(&stream, &[IoSlice::new(command)], &mut control, SendFlags::empty()).unwrap();
    let reply = lines.next().unwrap().unwrap();
    assert!(reply.contains("\"return\": {}"), "{reply}");
    drop((stream, lines));
    let pid = rustix::process::Pid::from_child(&recording.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(ends(&mut recording.0), 0);
    let shown = run(QMP, &["record", "show", &file, "--command", "getfd"]).ok();
    assert!(shown.contains("{\"fdname\":\"f\"}  [1 fds]"), "{shown}");
}

/// Only what succeeded when it was recorded is checked.
#[test]
fn a_recording_is_checked_against_a_schema() {
    let directory = Directory::new();
    let recording = directory.write(
        "check.qmp",
        "{\"direction\": \"sent\", \"message\": {\"execute\": \"query-status\", \"id\": 1}}\n\
         {\"direction\": \"received\", \"message\": {\"return\": {}, \"id\": 1}}\n\
         {\"direction\": \"sent\", \"message\": {\"execute\": \"old\", \"arguments\": {\"a\": 1, \"b\": 2}, \"id\": 2}}\n\
         {\"direction\": \"received\", \"message\": {\"return\": {}, \"id\": 2}}\n\
         {\"direction\": \"sent\", \"message\": {\"execute\": \"failed\", \"id\": 3}}\n\
         {\"direction\": \"received\", \"message\": {\"error\": {\"class\": \"GenericError\", \"desc\": \"\"}, \"id\": 3}}\n\
         {\"direction\": \"sent\", \"message\": {\"execute\": \"device_add\", \"arguments\": {\"driver\": \"x\", \"any\": 1}, \"id\": 4}}\n\
         {\"direction\": \"received\", \"message\": {\"event\": \"GONE\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 1}}}\n",
    );
    let schema = directory.write(
        "schema.json",
        "{ 'pragma': { 'doc-required': false, 'command-name-exceptions': [ 'device_add' ] } }\n\
         { 'command': 'query-status', 'features': [ 'deprecated' ] }\n\
         { 'command': 'old', 'data': { 'a': 'int' } }\n\
         { 'command': 'device_add', 'data': { 'driver': 'str' }, 'gen': false, 'features': [ 'json-cli' ] }\n",
    );
    let ran = run(QMP, &["replay", &recording, "--check", "--against", &schema]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "line 1: query-status deprecated",
            "line 3: old refused: Parameter 'b' is unexpected",
            "line 8: GONE not sent",
        ],
        "{ran:?}"
    );
    let builtin = run(QMP, &["replay", &recording, "--check", "--json"]);
    let json: Value = serde_json::from_str(&builtin.out).unwrap();
    assert_eq!(json["findings"].as_array().unwrap().len(), 2, "{json}");
}

/// Whatever is in a file, it reaches the terminal as text, and a broken one is named by its line.
#[test]
fn hostile_recordings_are_shown_as_text() {
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\u{200b}";
    let escaped = serde_json::to_string(hostile).unwrap();
    let directory = Directory::new();
    let line = |direction: &str, message: &str| {
        format!(
            "{{\"direction\": \"{direction}\", \"monitor\": {escaped}, \"message\": {message}}}\n"
        )
    };
    let text = [
        format!("{{\"qmp-recording\": 1, \"by\": {escaped}, \"qemu\": {{\"qemu\": {escaped}, \"package\": {escaped}}}}}\n"),
        line("received", &format!("{{\"QMP\": {{\"version\": {{\"package\": {escaped}}}}}}}")),
        line("sent", &format!("{{\"execute\": {escaped}, \"arguments\": {{{escaped}: {escaped}}}, \"id\": 1}}")),
        line("received", &format!("{{\"error\": {{\"class\": {escaped}, \"desc\": {escaped}}}, \"id\": 1}}")),
        line("received", &format!("{{\"event\": {escaped}, \"data\": {{{escaped}: 1}}}}")),
        line("received", "{\"return\": 1, \"return\": {}, \"id\": [[]]}"),
        "{\"direction\": \"sent\", \"monitor\": \"other\", \"text\": \"\u{9b}\u{202e}\"}\n".to_owned(),
        "{\"direction\": \"sent\", \"message\": {\"exec".to_owned(),
    ]
    .concat();
    let file = directory.write("hostile.qmp", &text);
    let is_clean = |ran: &Ran| {
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.is_empty());
        let control =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}');
        assert!(!shown.contains(control), "{shown:?}");
    };
    for more in [&[] as &[&str], &["--full"], &["--json"], &["--errors"]] {
        let ran = run(QMP, &[&["record", "show", &file], more].concat());
        assert_eq!(ran.status, 0, "{ran:?}");
        is_clean(&ran);
    }
    is_clean(&run(QMP, &["replay", &file, "--check"]));
    let broken = directory
        .write("broken\u{1b}.qmp", &format!("{{\"qmp-recording\": 1}}\n{{\"{hostile}\": x}}\n"));
    for arguments in [&["record", "show", &broken] as &[&str], &["replay", &broken, "--check"]] {
        let ran = run(QMP, arguments);
        assert!(ran.status == 1 && ran.err.contains("line 2"), "{ran:?}");
        is_clean(&ran);
    }
    // A server that speaks something else.
    let socket = directory.path("odd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.write_all(format!("{hostile}\n").as_bytes());
        }
    });
    let recorded = directory.path("odd.qmp");
    let arguments = ["record", &socket, "-o", &recorded, "-c", "stop", "--timeout", "2"];
    is_clean(&run(QMP, &arguments));
    let text = std::fs::read_to_string(&recorded).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text:?}");
}

/// A connection that fails, or a mistyped name, must not cost the recording that a file already has.
#[test]
fn a_failed_connection_leaves_an_earlier_recording() {
    let directory = Directory::new();
    let file = directory.path("session.qmp");
    let record = |arguments: &[&str]| run(QMP, &[&["record", "-o", &file], arguments].concat());
    record(&["-c", "query-status", "-c", "query-version"]).ok();
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(first.contains("query-version"), "{first}");
    let nowhere = directory.path("nowhere");
    record(&[&nowhere, "--timeout", "0", "-c", "query-name"]).failed(3);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
    // Nor does an interrupt before a client has come.
    let socket = directory.path("recorded.sock");
    let mut recording = listening(&["record", &nowhere, "-o", &file, "--listen", &socket]);
    let id = rustix::process::Pid::from_child(&recording.0);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(ends(&mut recording.0), 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
    // A recording that begins has nothing of the earlier one.
    record(&["-c", "query-name"]).ok();
    let second = std::fs::read_to_string(&file).unwrap();
    assert!(second.len() < first.len() && !second.contains("query-version"), "{second}");
    run(QMP, &["record", "show", &file]).ok();
}

/// The status of a lost connection, and of a deadline, was that of a command that failed.
#[test]
fn the_exit_status_says_what_went_wrong() {
    let directory = Directory::new();
    let (file, path) = (directory.path("session.qmp"), directory.path("vm"));
    let mut sim = Command::new(QMP);
    sim.args(["sim", &path, "--delay", "query-name=1000"]).stderr(Stdio::null());
    let mut sim = Process(sim.spawn().unwrap());
    let record = |arguments: &[&str]| {
        run(QMP, &[&["record", &path, "-o", &file] as &[&str], arguments].concat())
    };
    record(&["-c", "query-status"]).ok();
    record(&["-c", "no-such-command"]).failed(1);
    record(&["-c", "query-name", "--timeout", "3"]).failed(4);
    record(&["-c", "quit"]).ok();
    sim.0.wait().unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    // The machines end at a command, between two messages, and in the middle of one.
    let ends = [(true, ""), (false, ""), (false, "{\"event\": ")];
    std::thread::spawn(move || {
        for (at_command, last) in ends {
            let (mut stream, _) = listener.accept().unwrap();
            let mut input = BufReader::new(stream.try_clone().unwrap());
            stream.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n").unwrap();
            let mut line = String::new();
            input.read_line(&mut line).unwrap();
            let command: Value = serde_json::from_str(&line).unwrap();
            writeln!(stream, "{{\"return\": {{}}, \"id\": {}}}", command["id"]).unwrap();
            if at_command {
                input.read_line(&mut line).unwrap();
            }
            stream.write_all(last.as_bytes()).unwrap();
        }
    });
    record(&["-c", "query-status"]).failed(3);
    // Without a time, and with one that the clock cannot represent.
    record(&[]).ok();
    assert!(record(&["--for", "1e19"]).failed(3).contains("in the middle"));
}

/// A recording that lasts until an interrupt ends with it as it should, and successfully.
#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_ends_a_recording() {
    let directory = Directory::new();
    let file = directory.path("session.qmp");
    let mut record = Command::new(QMP);
    record.args(["record", "-o", &file]).stderr(Stdio::null());
    let mut record = Process(record.spawn().unwrap());
    let status = format!("/proc/{}/status", record.0.id());
    let is_handled = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let has_term = |set| {
            let set = status.lines().find_map(|line| line.strip_prefix(set)).unwrap().trim();
            // SIGTERM is 15.
            u64::from_str_radix(set, 16).unwrap() >> 14 & 1 == 1
        };
        // It is blocked while its handlers are registered.
        has_term("SigCgt:") && !has_term("SigBlk:")
    };
    let until = Instant::now() + Duration::from_secs(30);
    while !is_handled() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = rustix::process::Pid::from_child(&record.0);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(ends(&mut record.0), 0);
    assert!(run(QMP, &["record", "show", &file]).ok().contains("qmp_capabilities"));
}

/// An error in the middle of a recording did not say in which one.
#[test]
fn a_recording_that_is_damaged_is_named() {
    let directory = Directory::new();
    let file = directory.path("session.qmp");
    run(QMP, &["record", "-o", &file, "-c", "query-name"]).ok();
    let mut text = std::fs::read_to_string(&file).unwrap();
    text += "garbage\n";
    let file = directory.write("damaged.qmp", &text);
    let ran = run(QMP, &["record", "show", &file]);
    assert!(ran.out.contains("query-name"), "{ran:?}");
    let place = format!("qmp record: '{file}': line {} ", text.lines().count());
    assert!(ran.failed(1).starts_with(&place), "{place}");
}

/// Without this, the replay of a connection whose name is mistyped knows no command, and a timeline
/// of it is empty.
#[test]
fn a_connection_that_was_not_recorded_is_an_error() {
    let directory = Directory::new();
    let file = directory.path("session.qmp");
    run(QMP, &["record", "-o", &file, "--name", "web\u{1b}", "-c", "query-name"]).ok();
    let socket = directory.path("replayed");
    for arguments in [
        &["replay", &file, &socket, "--once", "--monitor", "wbe"][..],
        &["record", "show", &file, "--monitor", "wbe"],
    ] {
        let err = run(QMP, arguments).failed(1);
        assert!(err.contains("no connection with the name `wbe`, only `web\\u{1b}`"), "{err}");
    }
    let shown = run(QMP, &["record", "show", &file, "--monitor", "web\u{1b}"]).ok();
    assert!(shown.contains("query-name"), "{shown}");
}

/// `-o -` created a file of this name.
#[test]
fn a_hyphen_is_standard_output_and_input() {
    let directory = Directory::new();
    let record = std::process::Command::new(QMP)
        .args(["record", "-o", "-", "-c", "query-name"])
        .current_dir(directory.path(""))
        .output()
        .unwrap();
    let text = String::from_utf8(record.stdout).unwrap();
    assert!(record.status.success() && text.starts_with("{\"qmp-recording\": 1"), "{text}");
    let replies = String::from_utf8(record.stderr).unwrap();
    assert!(replies.contains('{'), "{replies}");
    assert!(!std::path::Path::new(&directory.path("-")).exists());
    let shown = support::run_with(QMP, &["record", "show", "-"], &text).ok();
    assert!(shown.contains("query-name"), "{shown}");
    let one = support::run_with(QMP, &["record", "show", "-", "--monitor", "qmp"], &text).ok();
    assert_eq!(one, shown);
    support::run_with(QMP, &["replay", "-", "--check"], &text).ok();
}

/// A line of many small values took nineteen times its size.
#[cfg(target_os = "linux")]
#[test]
fn hostile_recordings_take_memory_in_proportion() {
    const COUNT: usize = 4_000_000;
    let directory = Directory::new();
    let arguments = format!("{{\"a\": [{}0]}}", "0,".repeat(COUNT));
    let message = format!("{{\"execute\": \"stop\", \"arguments\": {arguments}}}");
    let line = format!("{{\"direction\": \"sent\", \"message\": {message}}}\n");
    let file = directory.write("session.qmp", &line);
    for arguments in [
        format!("record show '{file}'"),
        format!("record show '{file}' --json"),
        format!("replay '{file}' --check"),
        format!("schema diff builtin builtin --used-by '{file}'"),
    ] {
        // In KiB. The program alone takes a third of this.
        let script = format!("ulimit -v 170000; exec '{QMP}' {arguments}");
        let ran = run("sh", &["-c", &script]);
        assert!((0..2).contains(&ran.status), "{arguments}: {ran:?}");
        assert!(!ran.out.is_empty(), "{arguments}: {ran:?}");
    }
}
