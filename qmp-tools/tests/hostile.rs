//! A server that sends control characters wherever it can: none of them reaches the terminal.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[cfg(feature = "watch")]
#[path = "support/pty.rs"]
mod pty;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use qmp_server::Simulator;
use qmp_server::agent::{AgentSimulator, Program};
use serde_json::{Value, json};
use support::{Directory, QMP, Ran, SCHEMA, SHELL, VM_INFO, run, run_with};

/// Sets the window's title, clears the screen (with a C1 control, too), hides text, reverses it,
/// and forges a row of a report.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{200b}\nState  forged\r";

/// Appends the hostile text to all strings of a value except in the ID, and to all names if `names`.
fn poison(value: &mut Value, names: bool) {
    match value {
        Value::String(text) => text.push_str(HOSTILE),
        Value::Array(elements) => elements.iter_mut().for_each(|element| poison(element, names)),
        Value::Object(members) => {
            for (name, mut value) in std::mem::take(members) {
                poison(&mut value, names);
                let hostile = if names { HOSTILE } else { "" };
                members.insert(format!("{name}{hostile}"), value);
            }
        }
        _ => {}
    }
}

/// Returns a message of the simulated machine with all that a server may choose poisoned.
fn poisoned(line: &str, names: bool) -> Value {
    let mut message: Value = serde_json::from_str(line).unwrap();
    for member in ["return", "error", "data", "event", "timestamp"] {
        if let Some(value) = message.get_mut(member) {
            poison(value, names && member != "error");
        }
    }
    if let Some(package) = message.pointer_mut("/QMP/version/package") {
        poison(package, names);
    }
    message
}

/// Starts a server that relays to a simulated machine and poisons what comes back. JSON may contain
/// C1 controls, DEL and Unicode's controls as they are; this server does not escape them.
fn serve(path: &str, names: bool) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let simulator = Simulator::new();
        for client in listener.incoming().flatten() {
            let machine = simulator.connect().unwrap();
            let (mut to_machine, commands) =
                (machine.try_clone().unwrap(), BufReader::new(client.try_clone().unwrap()));
            std::thread::spawn(move || {
                for line in commands.lines().map_while(Result::ok) {
                    let _ = writeln!(to_machine, "{line}");
                }
                let _ = to_machine.shutdown(std::net::Shutdown::Both);
            });
            std::thread::spawn(move || relay(machine, client, names));
        }
    });
}

fn relay(machine: UnixStream, mut client: UnixStream, names: bool) {
    let extra = json!({"event": format!("X{HOSTILE}"), "data": {HOSTILE: HOSTILE},
        "timestamp": {"seconds": 1, "microseconds": 2}});
    for (number, line) in BufReader::new(machine).lines().map_while(Result::ok).enumerate() {
        // Negotiation and the list of commands pass: a client must get as far as possible.
        let passes = number == 1;
        let message = if passes { line } else { poisoned(&line, names).to_string() };
        let _ = writeln!(client, "{message}");
        if number > 1 {
            let _ = writeln!(client, "{extra}");
        }
    }
}

/// Checks that a program printed something, and nothing but text and line feeds.
#[track_caller]
fn is_clean(what: &str, ran: &Ran) {
    has_no_controls(what, ran);
    for (stream, text) in [("output", &ran.out), ("errors", &ran.err)] {
        assert!(!text.contains("\nState  forged"), "{what}: {stream} has a forged row");
    }
}

/// Checks that a program printed something, and no control characters but line feeds.
#[track_caller]
fn has_no_controls(what: &str, ran: &Ran) {
    assert!(!ran.out.is_empty() || !ran.err.is_empty(), "{what}: no output");
    for (stream, text) in [("output", &ran.out), ("errors", &ran.err)] {
        let control = text.lines().find(|line| {
            line.contains(|c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}'))
        });
        assert_eq!(control, None, "{what}: {stream}");
    }
}

#[test]
fn no_program_prints_control_characters() {
    let directory = Directory::new();
    for names in [false, true] {
        let path = directory.path(if names { "names" } else { "values" });
        serve(&path, names);
        let path = path.as_str();
        for arguments in [
            &[path] as &[&str],
            &["--json", path],
            &["--metrics", path],
            &["--tree", "block", path],
            &["--tree", "pci", path],
            &["--tree", "qom", path],
            &["--tree", "qom", "--json", path],
            &[path, path],
            &["--timeout", "1", path, HOSTILE],
        ] {
            is_clean(&format!("vm-info {arguments:?}"), &run(VM_INFO, arguments));
        }
        let commands = "query-name\nquery-status\nquery-block\nno-such-command\nquery-commands\nstop\n\
            cont\ndevice_del id=nothing\nquery-chardev\nset event-style=line\nstop\n\
            nonsense x=1\nwait STOP --timeout 0.1\n";
        for mode in ["pretty", "compact", "table", "raw", "jsonl"] {
            let arguments = [path, "-v", "--output", mode];
            is_clean(&format!("qmp-shell {mode}"), &run_with(SHELL, &arguments, commands));
            // The text of the human monitor has lines of its own.
            let human = ["-H", "-c", "info status", "-c", "nonsense"];
            let ran = run(SHELL, &[&arguments as &[&str], &human].concat());
            has_no_controls(&format!("qmp-shell -H {mode}"), &ran);
        }
        let show = ["show", "query-status", "--schema", path];
        let devices = ["import", "--devices", "--only", "*", path];
        for arguments in [&["import", path] as &[&str], &["diff", "builtin", path], &show, &devices]
        {
            is_clean(&format!("qmp-schema {arguments:?}"), &run(SCHEMA, arguments));
        }
    }
}

/// A file keeps what a server said, and is shown and served later.
#[test]
fn no_recording_or_reference_has_control_characters() {
    let directory = Directory::new();
    for names in [false, true] {
        let path = directory.path(if names { "names" } else { "values" });
        serve(&path, names);
        let path = path.as_str();
        let file = directory.path("session.qmp");
        let record =
            ["record", path, "-o", &file, "-c", "query-name", "-c", "stop", "-c", "nonsense"];
        is_clean("qmp record", &run(QMP, &record));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        for arguments in [
            &["record", "show", &file] as &[&str],
            &["record", "show", &file, "--json", "--full"],
            &["replay", &file, "--check", "--against", path],
        ] {
            is_clean(&format!("qmp {arguments:?}"), &run(QMP, arguments));
        }
        for more in [&[] as &[&str], &["--format", "short"], &["--format", "json"], &["--json"]] {
            // Nothing of it is in the other schema.
            let empty = directory.write("empty.json", "{ 'command': 'nothing' }\n");
            let arguments = ["diff", path, &empty, "--used-by", &file];
            let ran = run(SCHEMA, &[&arguments as &[&str], more].concat());
            is_clean(&format!("qmp-schema {arguments:?} {more:?}"), &ran);
        }
        let site = directory.path("site\u{1b}[2J");
        is_clean("qmp-schema site", &run(SCHEMA, &["site", &site, path]));
    }
}

/// The live view controls the terminal itself, but nothing of what it shows does.
#[cfg(feature = "watch")]
#[test]
fn the_live_view_obeys_no_machine() {
    let directory = Directory::new();
    let path = directory.path("watched");
    serve(&path, false);
    let arguments = ["info", "--watch", "--interval", "0.1", &path, &format!("tcp:{HOSTILE}:1")];
    let terminal = pty::Terminal::open(QMP, &arguments, 40, 200);
    // The last part to appear.
    terminal.expect("X\\u{1b}]0;owned");
    terminal.with_screen(|screen| {
        assert_eq!(screen.title(), "");
        let contents = screen.contents();
        assert!(!contents.contains(['\u{202e}', '\u{200b}']), "{contents}");
        assert!(!contents.contains("\nState  forged"), "{contents}");
        assert!(contents.contains("MACHINE") && contents.contains("q quit"), "{contents}");
    });
}

/// Text that a guest chose is shown, too.
#[test]
fn the_shell_of_an_agent_prints_no_control_characters() {
    let hostile = HOSTILE.replace('\n', " ");
    let agent = AgentSimulator::builder()
        .file("/hostile", hostile.as_str())
        .program("/hostile", Program::exits(3).stdout(hostile.as_str()).stderr(hostile.as_str()))
        .host_name(HOSTILE)
        .build();
    let directory = Directory::new();
    let path = directory.path("agent");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || agent.serve_unix(&listener));
    let script = format!(
        "cat /hostile\nexec /hostile\nguest-get-host-name\nexec '/{hostile}'\nput '/{hostile}'\n\
         guest-exec path='{hostile}'\n"
    );
    for mode in ["pretty", "compact", "table", "raw", "jsonl"] {
        let ran = run_with(QMP, &["agent", &path, "-v", "--output", mode], &script);
        is_clean(&format!("qmp agent {mode}"), &ran);
    }
}

/// The text of a person or of a file is quoted in errors, too.
#[test]
fn no_program_prints_control_characters_of_its_input() {
    let directory = Directory::new();
    let script = format!(
        "{0}\nquery-status {0}\n{{\"execute\": \"{0}\"}}\nstop a={0} a=1\nset {0}={0}\n\
         set output={0}\nwait {0} --timeout 0\nwait STOP {0}={0} --timeout 0\nhelp {0}\nhmp {0}\n",
        "x\u{1b}[2J\u{202e}"
    );
    is_clean("qmp-shell", &run_with(SHELL, &[], &script));
    let schema =
        directory.write("hostile.json", &format!("{{ 'enum': 'X', 'data': [ '{HOSTILE}' }}\n"));
    is_clean("qmp-schema check", &run(SCHEMA, &["check", &schema]));
    is_clean("qmp-schema generate", &run(SCHEMA, &["generate", &schema]));
    is_clean("qmp-schema show", &run(SCHEMA, &["show", "x\u{1b}[2J\u{202e}"]));
    is_clean("qmp-schema show", &run(SCHEMA, &["show", "X", "--schema", &schema]));
    let nowhere = directory.path("no\u{1b}[2J\u{9b}where");
    for program in [VM_INFO, SHELL] {
        is_clean(program, &run(program, &[&nowhere, "--timeout", "0"]));
    }
    is_clean("qmp-schema diff", &run(SCHEMA, &["diff", &nowhere, "builtin"]));
    let one_line = HOSTILE.replace('\n', " ");
    let exceptions = directory.write("exceptions", &format!("command x{one_line} # {one_line}\n"));
    let names =
        directory.write("names\u{1b}[2J\u{9b}", &format!("x\u{1b}[2J\u{202e}{}\n", '\u{9b}'));
    let script = directory.write("build\u{202e}.rs", &format!(".commands([\"{HOSTILE}\"])"));
    for arguments in [
        &["diff", "builtin", "builtin", "--exceptions", &exceptions] as &[&str],
        &["diff", "builtin", "builtin", "--exceptions", &names],
        &["diff", "builtin", "builtin", "--used-by", &names],
        &["diff", "builtin", "builtin", "--used-by", &script],
        &["diff", "builtin", "builtin", "--used-by", &script, "--json"],
        &["diff", "builtin", "builtin", "--used-by", &nowhere],
        &["diff", &schema, "--against", &format!("git:{HOSTILE}")],
        &["diff", &schema, "--against", HOSTILE],
        &["check", &nowhere, "--against", &format!("git:{HOSTILE}")],
    ] {
        is_clean(&format!("qmp-schema {arguments:?}"), &run(SCHEMA, arguments));
    }
    let unreachable = format!("{nowhere}/vm.sock");
    for arguments in [
        &["sim", &unreachable] as &[&str],
        &["sim", "tcp:127.0.0.1:0", "--device", HOSTILE],
        &["proxy", &unreachable, "tcp:127.0.0.1:1"],
        &["proxy", "tcp:127.0.0.1:0", &unreachable],
        &["proxy", "tcp:127.0.0.1:0", HOSTILE],
        &["proxy", "--record", &unreachable, "tcp:127.0.0.1:0", &nowhere],
        &["sim", "tcp:127.0.0.1:0", "--machine", HOSTILE],
        &["sim", "--as-qemu", "-device", HOSTILE],
        &["sim", "--as-qemu", HOSTILE, "-M", HOSTILE],
        &["sim", "--as-qemu", &format!("-{HOSTILE}")],
        &["sim", "--as-qemu", "-pidfile", &unreachable],
        &["sim", "--as-qemu", "-netdev", &format!("user,id=a,{HOSTILE}=1")],
    ] {
        is_clean(&format!("qmp {arguments:?}"), &run(QMP, arguments));
    }
    let process = format!("{nowhere}/proc/7");
    std::fs::create_dir_all(&process).unwrap();
    let line = format!(
        "qemu-system-x86_64\0-name\0{HOSTILE}\0-qmp\0unix:{HOSTILE},server=on\0-monitor\0{HOSTILE}"
    );
    std::fs::write(format!("{process}/cmdline"), line).unwrap();
    std::fs::write(format!("{process}/comm"), HOSTILE).unwrap();
    for arguments in [&["ls", "--root", &nowhere] as &[&str], &["ls", "--json", "--root", &nowhere]]
    {
        is_clean(&format!("qmp {arguments:?}"), &run(QMP, arguments));
    }
    for program in [VM_INFO, SHELL] {
        is_clean(program, &run(program, &[HOSTILE, "--timeout", "0"]));
    }
}
