//! Sessions with a QEMU that `--launch` starts: whichever way they end, no process is left.
//!
//! `qmp` stands in for QEMU; where QEMU is installed, it is used as well: each program that
//! `QMP_TEST_QEMUS` lists, or else the one that `live.rs` uses.

#![cfg(target_os = "linux")] // Processes are found in `/proc`.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::{Directory, QMP, Ran, SHELL, VM_INFO, is_ignored, run};

const TIMEOUT: Duration = Duration::from_secs(30);
/// The time in which everything has to end after the program.
const SOON: Duration = Duration::from_secs(20);
const MACHINE: [&str; 8] =
    ["-M", "none", "-display", "none", "-nodefaults", "-S", "-name", "launched"];

/// The programs to be launched, and the directory in which one of them is.
fn programs() -> (Vec<String>, Directory) {
    let directory = Directory::new();
    let stand_in = directory.path("qemu-system-x86_64");
    std::os::unix::fs::symlink(QMP, &stand_in).unwrap();
    let mut programs = vec![stand_in];
    let named = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    programs.extend(named.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned));
    if programs.len() == 1 && cfg!(qemu) {
        let name = std::env::var("QMP_TEST_QEMU");
        programs.push(name.unwrap_or_else(|_| "qemu-system-x86_64".to_owned()));
    }
    (programs, directory)
}

fn parent_and_state(id: u32) -> Option<(u32, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.to_owned();
    Some((fields.next()?.parse().ok()?, state))
}

/// Returns whether a process runs, which one that was not waited for does not.
fn runs(id: u32) -> bool {
    parent_and_state(id).is_some_and(|(_, state)| state != "Z" && state != "X")
}

fn descendants(of: u32) -> BTreeSet<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, parent_and_state(id)?.0)))
        .collect();
    let mut found = BTreeSet::from([of]);
    loop {
        let before = found.len();
        let children: Vec<u32> =
            all.iter().filter(|(_, parent)| found.contains(parent)).map(|(id, _)| *id).collect();
        found.extend(children);
        if found.len() == before {
            break;
        }
    }
    found.remove(&of);
    found
}

/// Returns the process of a set that runs the machine.
fn machine(among: &BTreeSet<u32>) -> Option<u32> {
    among.iter().copied().find(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.contains(&&b"-nodefaults"[..]) && !words.contains(&&b"--launch"[..])
    })
}

#[track_caller]
fn assert_nothing_is_left(all: &BTreeSet<u32>, after: &str) {
    let begin = Instant::now();
    loop {
        let left: Vec<u32> = all.iter().copied().filter(|id| runs(*id)).collect();
        if left.is_empty() {
            return;
        }
        if begin.elapsed() > SOON {
            left.iter().for_each(|id| kill("KILL", *id));
            panic!("left behind after {after}: {left:?} of {all:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(signal: &str, id: u32) {
    let id = id.to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
}

/// A shell at a terminal.
struct Terminal {
    shell: Child,
    keyboard: Option<File>,
    screen: Receiver<Vec<u8>>,
    seen: String,
    _state: Directory,
}

impl Terminal {
    fn open(program: &str, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let state = Directory::new();
        let shell = Command::new(SHELL)
            .args(["--launch", program])
            .args(MACHINE)
            .args(arguments)
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", state.path(""))
            .stdin(open())
            .stdout(open())
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let mut reads = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reads.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { shell, keyboard: Some(keyboard), screen, seen: String::new(), _state: state }
    }

    #[track_caller]
    fn expect(&mut self, text: &str) {
        let until = Instant::now() + TIMEOUT;
        while !self.seen.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("{text:?} does not appear: {:?}", self.seen),
            }
        }
    }

    fn type_keys(&mut self, keys: &str) {
        self.keyboard.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn wait(&mut self, way: &str) {
        let begin = Instant::now();
        while self.shell.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < TIMEOUT, "the shell survives {way:?}: {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn a_session_at_a_terminal_leaves_no_process() {
    let (programs, _directory) = programs();
    for program in programs {
        for way in ["exit\r", "\x04", "quit\r", "TERM", "HUP", "QUIT", "KILL", "QEMU"] {
            if way == "HUP" && is_ignored(1) || way == "QUIT" && is_ignored(3) {
                continue;
            }
            let mut terminal = Terminal::open(&program, &[]);
            terminal.expect("(QEMU) ");
            let all = descendants(terminal.shell.id());
            let qemu = machine(&all).expect("the machine");
            match way {
                "TERM" | "HUP" | "QUIT" | "KILL" => kill(way, terminal.shell.id()),
                "QEMU" => kill("KILL", qemu),
                "quit\r" => {
                    terminal.type_keys(way);
                    terminal.expect("Continue?");
                    terminal.type_keys("y\r");
                }
                keys => terminal.type_keys(keys),
            }
            terminal.wait(way);
            assert_nothing_is_left(&all, &format!("{way:?} with {program}"));
        }
    }
}

/// A terminal's interrupt is for the shell. QEMU received it as well, and ended.
#[test]
fn an_interrupt_is_not_for_qemu() {
    let (programs, _directory) = programs();
    for program in programs {
        let mut terminal = Terminal::open(&program, &[]);
        terminal.expect("(QEMU) ");
        let all = descendants(terminal.shell.id());
        let group = |id| {
            let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap());
            rustix::process::getpgid(pid).unwrap()
        };
        let own = group(terminal.shell.id());
        assert!(all.iter().all(|id| group(*id) != own), "{all:?}");
        terminal.type_keys("\x04");
        terminal.wait("Ctrl-D");
        assert_nothing_is_left(&all, "Ctrl-D");
    }
}

/// Runs a script while it is observed which processes descend from it.
fn observe(program: &str, arguments: &[&str], input: &str, end: Option<&str>) -> (Ran, usize) {
    let mut child = Command::new(SHELL)
        .args(arguments)
        .args(["--launch", program])
        .args(MACHINE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut all = BTreeSet::new();
    let begin = Instant::now();
    // Looked for once: a process that becomes another program has no arguments for a moment.
    let mut found = None;
    while found.is_none() && begin.elapsed() < TIMEOUT {
        all.extend(descendants(child.id()));
        found = machine(&all);
    }
    let Some(qemu) = found else {
        let _ = child.kill();
        let ran: Ran = child.wait_with_output().unwrap().into();
        panic!("{program} does not start: {ran:?}");
    };
    let _ = stdin.write_all(input.as_bytes());
    match end {
        Some("QEMU") => kill("KILL", qemu),
        Some(signal) => kill(signal, child.id()),
        None => {}
    }
    drop(stdin);
    all.extend(descendants(child.id()));
    let ran = child.wait_with_output().unwrap().into();
    assert_nothing_is_left(&all, &format!("{arguments:?}, {input:?}, {end:?} with {program}"));
    (ran, all.len())
}

#[test]
fn a_script_leaves_no_process() {
    let (programs, _directory) = programs();
    for program in programs {
        for (arguments, input, end, status) in [
            (&[][..], "query-name\n", None, 0),
            (&[], "", None, 0),
            (&[], "query-name\nexit\nquery-name\n", None, 0),
            (&[], "quit\n", None, 0),
            (&[], "no-such-command\n", None, 1),
            (&["--exit-on-error"], "no-such-command\nquery-name\n", None, 1),
            (&[], "query-name\n", Some("KILL"), -1),
            (&[], "query-name\n", Some("TERM"), -1),
            (&[], "query-name\n", Some("HUP"), -1),
        ] {
            if end == Some("HUP") && is_ignored(1) {
                continue;
            }
            let (ran, processes) = observe(&program, arguments, input, end);
            assert_eq!(ran.status, status, "{program} {arguments:?} {input:?} {end:?}: {ran:?}");
            assert!(processes >= 1);
        }
        let (ran, _) = observe(&program, &[], "query-name\n", Some("QEMU"));
        assert_ne!(ran.status, 0, "{ran:?}");
    }
}

/// The console of a guest is printed to standard error, escaped; standard output has the replies only.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn consoles_on_standard_output() {
    let (programs, _directory) = programs();
    for program in &programs[1..] {
        for used in [&["-nographic"][..], &["-serial", "stdio"], &["-monitor", "stdio"]] {
            let arguments =
                [&["-c", "query-name", "--launch", program][..], &MACHINE, used].concat();
            let ran = run(SHELL, &arguments);
            assert_eq!(ran.out.trim(), r#"{"name": "launched"}"#, "{used:?}: {ran:?}");
            if used[0] == "-monitor" {
                assert!(ran.err.contains("monitor - type 'help'"), "{ran:?}");
                assert!(!ran.err.contains('\u{1b}') && !ran.err.contains('\r'), "{ran:?}");
            }
            ran.ok();
        }
    }
}

#[test]
fn what_a_program_writes_is_escaped() {
    let directory = Directory::new();
    let program = directory.path("hostile");
    let (programs, _stand_in) = programs();
    let text = format!(
        "#!/bin/sh\nprintf 'out \\033]0;title\\007\\n'\nprintf 'err \\033[2J\\n' >&2\n\
         exec {} \"$@\"\n",
        programs[0]
    );
    std::fs::write(&program, text).unwrap();
    Command::new("chmod").args(["+x", &program]).status().unwrap();
    for tool in [SHELL, VM_INFO] {
        let ran = if tool == SHELL {
            run(tool, &[&["-c", "query-name", "--launch", &program][..], &MACHINE].concat())
        } else {
            run(tool, &[&["--launch", &program][..], &MACHINE].concat())
        };
        assert!(ran.err.contains("out \\u{1b}]0;title\\u{7}"), "{ran:?}");
        assert!(ran.err.contains("err \\u{1b}[2J"), "{ran:?}");
        assert!(!ran.out.contains("title") && !ran.err.contains('\u{1b}'), "{ran:?}");
        ran.ok();
    }
    let ran = run(SHELL, &["--launch", &programs[0], "-daemonize"]);
    assert!(ran.err.contains("`-daemonize`"), "{ran:?}");
}
