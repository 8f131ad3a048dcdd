//! The prompt at a real QEMU: what lives in it, and how soon.
//!
//! `build.rs` looks for `qemu-system-x86_64` in `PATH`, or for the program that `QMP_TEST_QEMU`
//! names. If it is not found, these tests are ignored. `QMP_TEST_QEMUS` names further programs,
//! separated by colons or newlines.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "support/person.rs"]
mod person;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use person::Terminal;
use qmp_client::Raw;
use qmp_client::blocking::Client;
use qmp_tools::shell::complete::{Candidate, Kind, Live};
use qmp_tools::shell::live::Machine;
use qmp_tools::shell::session::Peer;
use serde_json::json;
use support::{Directory, Process};

const LONG: Duration = Duration::from_secs(30);

fn programs() -> Vec<String> {
    let named = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let named = named.split([':', '\n']).map(str::trim).filter(|name| !name.is_empty());
    let mut programs: Vec<String> = named.map(str::to_owned).collect();
    if programs.is_empty() {
        let one = std::env::var("QMP_TEST_QEMU");
        programs.push(one.unwrap_or_else(|_| "qemu-system-x86_64".to_owned()));
    }
    programs
}

/// A QEMU with a few things in it.
struct Qemu {
    path: String,
    _process: Process,
    _directory: Directory,
}

impl Qemu {
    fn start(program: &str) -> Self {
        let directory = Directory::for_sockets();
        let path = directory.path("qmp");
        let monitor = format!("unix:{path},server=on,wait=off");
        let child = Command::new(program)
            .args(["-M", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-S"])
            .args(["-name", "prompted", "-m", "32", "-qmp", &monitor])
            .args(["-chardev", "null,id=chr0", "-netdev", "socket,id=net0,listen=127.0.0.1:0"])
            .args(["-device", "virtio-net-pci,netdev=net0,id=nic0,romfile="])
            .args(["-object", "iothread,id=io0", "-object", "secret,id=sec0,data=x"])
            .args(["-blockdev", "driver=null-co,node-name=node0,size=1048576"])
            .args(["-blockdev", "driver=null-co,node-name=node1,size=1048576"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(child);
        let until = Instant::now() + LONG;
        // A connection would be in the way of the next one for a moment.
        while !std::path::Path::new(&path).exists() {
            assert!(Instant::now() < until, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { path, _process: process, _directory: directory }
    }
}

/// Asks until the answer has come, as the prompt does, and returns it with the time that it took.
fn learn(machine: &Machine, kind: Kind<'_>) -> (Vec<Candidate>, Duration) {
    let begin = Instant::now();
    loop {
        let candidates = machine.candidates(kind);
        if !machine.take_pending() || begin.elapsed() > LONG {
            return (candidates, begin.elapsed());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn what_lives_in_a_machine_is_found() {
    for program in programs() {
        let qemu = Qemu::start(&program);
        let client = Client::connect(&*qemu.path).unwrap();
        let execute = |name: &str, arguments: serde_json::Value| {
            let request = Raw::<serde_json::Value>::new(name.to_owned()).arguments(&arguments);
            client.execute(request).unwrap()
        };
        execute("block-dirty-bitmap-add", json!({"node": "node0", "name": "bitmap0"}));
        let mirror =
            json!({"job-id": "job0", "device": "node0", "target": "node1", "sync": "none"});
        execute("blockdev-mirror", mirror);
        let (answered, answers) = channel();
        let machine = Machine::new(&client, Peer::Monitor, move || {
            let _ = answered.send(());
        });
        answers.recv_timeout(LONG).unwrap();
        for (kind, expected) in [
            (Kind::BlockNode, "node0"),
            (Kind::Device, "nic0"),
            (Kind::QomPath(""), "/machine"),
            (Kind::QomPath("/machine/"), "/machine/peripheral"),
            (Kind::PathProperty("/machine"), "type"),
            (Kind::Job, "job0"),
            (Kind::Chardev, "chr0"),
            (Kind::Netdev, "net0"),
            (Kind::Object(""), "sec0"),
            (Kind::Object("iothread"), "io0"),
            (Kind::Driver, "virtio-blk-pci"),
            (Kind::DriverProperty("virtio-blk-pci"), "drive"),
            (Kind::ObjectType, "secret"),
            (Kind::ObjectProperty("secret"), "data"),
            (Kind::Bitmap("node0"), "bitmap0"),
            (Kind::Bus, "pci.0"),
            (Kind::Human("in"), "info"),
            (Kind::Human("info st"), "info status"),
        ] {
            let (candidates, took) = learn(&machine, kind);
            let names: Vec<_> = candidates.iter().map(|one| one.insert.as_str()).collect();
            assert!(names.contains(&expected), "{program} {kind:?}: {names:?}");
            eprintln!("{program} {kind:?}: {} in {took:?}", names.len());
            // Meant are 30 ms, which a build for debugging on a busy machine does not always keep.
            assert!(took < LONG / 3, "{kind:?}: {took:?}");
        }
        let (candidates, _) = learn(&machine, Kind::Object("iothread"));
        assert!(!candidates.iter().any(|one| one.insert == "sec0"));
    }
}

/// The first prompt comes as soon as a bare connection has been negotiated, and little later.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn the_prompt_is_there_soon_after_the_greeting() {
    for program in programs() {
        let (mut bare, mut prompt) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let (qemu, other) = (Qemu::start(&program), Qemu::start(&program));
            let begin = Instant::now();
            let mut stream = UnixStream::connect(&qemu.path).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.next().unwrap().unwrap();
            stream.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").unwrap();
            lines.next().unwrap().unwrap();
            bare.push(begin.elapsed());
            let begin = Instant::now();
            let mut terminal = Terminal::open(&[&other.path]);
            terminal.expect_prompt();
            prompt.push(begin.elapsed());
            terminal.press("\x04");
            assert_eq!(terminal.exit(), 0);
        }
        // The shortest: a busy machine makes the others longer.
        let (bare, prompt) = (bare.iter().min().unwrap(), prompt.iter().min().unwrap());
        eprintln!("{program}: negotiated in {bare:?}, start to first prompt in {prompt:?}");
        assert!(*prompt < *bare + Duration::from_secs(2), "{prompt:?}");
    }
}

/// The machine's own names complete in the line, and soon.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn names_of_a_real_machine_are_completed() {
    for program in programs() {
        let qemu = Qemu::start(&program);
        let mut terminal = Terminal::open(&[&qemu.path]);
        terminal.expect_prompt();
        for (typed, expected) in [
            ("block_resize node-name=node", "(QEMU) block_resize node-name=node"),
            ("device_del id=ni", "(QEMU) device_del id=nic0"),
            ("device_add driver=virtio-blk-p", "(QEMU) device_add driver=virtio-blk-pci"),
            (
                "device_add driver=virtio-blk-pci driv",
                "(QEMU) device_add driver=virtio-blk-pci drive=",
            ),
        ] {
            terminal.press(typed);
            terminal.expect_line(&format!("(QEMU) {typed}"));
            let begin = Instant::now();
            terminal.press("\t");
            terminal.until(expected, |terminal| terminal.line().0.starts_with(expected));
            if expected.ends_with("node") {
                terminal.expect("  node1");
            }
            eprintln!("{program}: {typed} completed in {:?}", begin.elapsed());
            // Meant are 30 ms, which a build for debugging on a busy machine does not always keep.
            assert!(begin.elapsed() < LONG / 2);
            // Ctrl-G closes the menu, and Ctrl-U clears the line.
            terminal.press("\x07\x15");
            terminal.expect_prompt();
        }
        terminal.press("quit\r");
        terminal.expect("[y/N]");
        terminal.press("y\r");
        assert_eq!(terminal.exit(), 0);
    }
}

/// Lines for the human monitor have its commands, and a prompt of their own.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn the_human_monitor_is_completed() {
    for program in programs() {
        let qemu = Qemu::start(&program);
        let mut terminal = Terminal::open(&["-H", &qemu.path]);
        terminal.expect_line("(qemu)");
        terminal.press("info statu\t");
        terminal
            .until("info status", |terminal| terminal.line().0.starts_with("(qemu) info status"));
        terminal.press("\r");
        terminal.expect("VM status: paused");
        terminal.expect_line("(qemu)");
        terminal.press("quit\r");
        terminal.expect("[y/N]");
        terminal.press("n\r");
        terminal.expect("not executed");
        terminal.expect_line("(qemu)");
        terminal.press("exit\r");
        assert_eq!(terminal.exit(), 0);
    }
}
