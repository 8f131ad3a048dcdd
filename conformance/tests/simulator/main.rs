//! Asks a running QEMU and the simulated machine the same questions, and compares the answers.
//!
//! The simulated machine stands for one release, so only that one is compared. Any difference that
//! is not explained fails the test: another kind of answer, another class or text of an error, other
//! events of jobs. Values are not compared, because they depend on the host and the guest.

#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use conformance::{Scratch, TIMEOUT, beside_qemus, qemus};
use qmp_server::Simulator;
use serde_json::{Value, json};

/// The time in which the events of a command arrive.
const QUIET: Duration = Duration::from_millis(100);

/// The same machine as the simulated one.
const MACHINE: &str = "-display none -nodefaults -no-user-config -vga std -accel tcg -machine pc \
    -smp 2 -m 1G -name simulated -object iothread,id=iothread0 \
    -blockdev file,node-name=disk0-file,filename=DIR/disk.qcow2 \
    -blockdev qcow2,node-name=disk0,file=disk0-file \
    -device virtio-blk-pci,id=disk0-device,drive=disk0,addr=3 \
    -netdev user,id=net0-host \
    -device virtio-net-pci,id=net0,netdev=net0-host,mac=52:54:00:12:34:56,addr=4,romfile= \
    -device virtio-balloon-pci,id=balloon0,addr=5 -device i6300esb,id=watchdog0,addr=6 \
    -blockdev raw,node-name=cd0-medium,read-only=on,file.driver=file,file.filename=DIR/install.iso \
    -device ide-cd,id=cd0,drive=cd0-medium -qmp unix:DIR/qmp,server=on,wait=off";

/// A client of one of the two machines.
struct Client {
    stream: BufReader<UnixStream>,
    qemu: Option<Child>,
}

/// The answer of a machine: the reply, and the names of the events that come with it.
#[derive(Debug, PartialEq)]
struct Answer {
    /// `None` for a success, or the class and the text of an error.
    error: Option<(String, String)>,
    events: Vec<String>,
}

impl Client {
    fn new(stream: UnixStream, qemu: Option<Child>) -> Self {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), qemu };
        client.message().unwrap();
        client.ask(&json!({"execute": "qmp_capabilities"}), false).unwrap();
        client
    }

    fn of_qemu(program: &Path, scratch: &Scratch) -> Self {
        let directory = scratch.path().display().to_string();
        let options = MACHINE.replace("DIR", &directory);
        let qemu = Command::new(program)
            .args(options.split_whitespace())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match UnixStream::connect(scratch.file("qmp")) {
                Ok(stream) => return Self::new(stream, Some(qemu)),
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn of_simulator() -> Self {
        Self::new(Simulator::new().connect().unwrap(), None)
    }

    /// Reads a message; `None` if the machine has ended.
    fn message(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// Asks a question; `None` if the machine has ended.
    fn ask(&mut self, question: &Value, with_events: bool) -> Option<Answer> {
        let mut events = Vec::new();
        let reply = self.execute(question, &mut events)?;
        if with_events || question["execute"] == "migrate" {
            // Jobs and migrations go on after the reply.
            std::thread::sleep(QUIET);
        }
        self.execute(&json!({"execute": "query-name"}), &mut events)?;
        events.retain(|name| with_events && !is_of_guest(name));
        let text = |name: &str| reply["error"][name].as_str().unwrap_or_default().to_owned();
        let error = reply.get("error").map(|_| (text("class"), text("desc")));
        Some(Answer { error, events })
    }

    fn execute(&mut self, question: &Value, events: &mut Vec<String>) -> Option<Value> {
        let line = format!("{question}\n");
        self.stream.get_mut().write_all(line.as_bytes()).ok()?;
        loop {
            let message = self.message()?;
            match message["event"].as_str() {
                Some(name) => events.push(name.to_owned()),
                None => return Some(message),
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(qemu) = &mut self.qemu {
            let _ = qemu.kill();
            let _ = qemu.wait();
        }
    }
}

/// Returns whether an event depends on the guest, which QEMU does not run here.
fn is_of_guest(name: &str) -> bool {
    !(name.starts_with("JOB_") || name.starts_with("BLOCK_JOB_"))
}

/// Creates the files that the questions are about.
fn prepare(scratch: &Scratch, img: &Path) {
    std::fs::write(scratch.file("txt"), "hello".repeat(1000)).unwrap();
    drop(scratch.image("zero", 1 << 20));
    drop(scratch.image("install.iso", 700 << 20));
    let base = scratch.file("base.qcow2");
    let create = |name: &str, size: &str| vec![scratch.file(name), size.to_owned()];
    let overlay = vec!["-b".into(), base, "-F".into(), "qcow2".into(), scratch.file("ov.qcow2")];
    for arguments in [
        create("disk.qcow2", "8G"),
        create("base.qcow2", "4M"),
        create("small.qcow2", "1M"),
        create("big.qcow2", "4M"),
        overlay,
    ] {
        let mut command = Command::new(img);
        let status =
            command.args(["create", "-q", "-f", "qcow2"]).args(&arguments).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    }
}

/// A command, and why its answers may differ.
struct Question {
    command: String,
    reason: Option<String>,
}

/// Returns the questions of each section.
fn sections() -> Vec<(String, Vec<Question>)> {
    let mut sections: Vec<(String, Vec<Question>)> = Vec::new();
    for line in include_str!("questions.txt").lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((name.to_owned(), Vec::new()));
        } else if let Some(reason) = line.strip_prefix("! ") {
            let last = sections.last_mut().and_then(|(_, questions)| questions.last_mut());
            last.unwrap().reason = Some(reason.to_owned());
        } else if line.starts_with('{') {
            let question = Question { command: line.to_owned(), reason: None };
            sections.last_mut().unwrap().1.push(question);
        }
    }
    sections.push(("properties".to_owned(), properties()));
    sections
}

/// Returns questions about the properties of devices, with values of wrong types.
fn properties() -> Vec<Question> {
    let drivers = [
        "e1000",
        "nvme",
        "pc-dimm",
        "qemu-xhci",
        "usb-tablet",
        "virtio-blk-pci",
        "virtio-net-pci",
        "virtio-rng-pci",
        "virtio-scsi-pci",
        "virtio-serial-pci",
    ];
    let mut commands = vec![json!({"driver": "qemu-xhci", "id": "controller"})];
    let (mut driver, mut count) = (None, 0);
    for line in include_str!("../../../qmp-server/facts/devices.txt").lines() {
        let Some(property) = line.strip_prefix(' ') else {
            driver = drivers.into_iter().find(|name| line.split(' ').next() == Some(*name));
            continue;
        };
        let mut words = property.split(' ');
        let (Some(driver), Some(name), Some(kind)) = (driver, words.next(), words.next()) else {
            continue;
        };
        let is_text = matches!(kind, "str" | "busnr");
        for value in [json!("zz"), json!([1]), json!({})] {
            let is_valid = is_text && value.is_string();
            if !(is_valid || kind.starts_with("child")) {
                count += 1;
                commands.push(json!({"driver": driver, "id": format!("q{count}"), name: value}));
            }
        }
    }
    for driver in drivers {
        commands.push(json!({"driver": driver, "id": "q", "nope": 1}));
    }
    let question = |arguments: Value| Question {
        command: json!({"execute": "device_add", "arguments": arguments}).to_string(),
        reason: None,
    };
    commands.into_iter().map(question).collect()
}

/// Returns the program whose release the simulated machine stands for.
fn same_release() -> Option<PathBuf> {
    let version = Simulator::VERSION;
    let wanted = format!("version {}.{}.", version.major, version.minor);
    qemus().into_iter().find(|program| {
        let output = Command::new(program).arg("--version").output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(&wanted)
    })
}

/// Answers all questions of a section, up to one that ends the machine: some end QEMU.
fn answers(mut client: Client, questions: &[Question], directory: &str, jobs: bool) -> Vec<Answer> {
    let asked = questions.iter().map(|question| {
        let command = question.command.replace("DIR", directory);
        client.ask(&serde_json::from_str(&command).unwrap(), jobs)
    });
    asked.map_while(|answer| answer).collect()
}

/// Returns the names of all commands of a machine.
fn commands(mut client: Client) -> BTreeSet<String> {
    let reply = client.execute(&json!({"execute": "query-commands"}), &mut Vec::new()).unwrap();
    let names = reply["return"].as_array().unwrap().iter();
    names.map(|info| info["name"].as_str().unwrap().to_owned()).collect()
}

/// Each command is simulated, or the reason is known why it is not.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn commands_are_simulated_or_explained() {
    let Some(qemu) = same_release() else {
        println!("the QEMU that the simulated machine stands for is not installed");
        return;
    };
    let scratch = Scratch::new();
    prepare(&scratch, &qemu_img(&qemu));
    let expected = commands(Client::of_qemu(&qemu, &scratch));
    let simulated = commands(Client::of_simulator());
    let missing: BTreeSet<String> = expected.difference(&simulated).cloned().collect();
    let lines = include_str!("not_simulated.txt").lines();
    let explained = lines.filter(|line| !line.starts_with('#'));
    let explained = explained.filter_map(|line| Some(line.split_once(": ")?.0.to_owned()));
    assert_eq!(missing, explained.collect());
    assert_eq!(simulated.difference(&expected).next(), None);
}

/// Returns the program that creates images for a QEMU.
fn qemu_img(qemu: &Path) -> PathBuf {
    let img = qemu.with_file_name("qemu-img");
    let img = Some(img).filter(|img| img.is_file());
    let img = img.or_else(|| beside_qemus("qemu-img").into_iter().next());
    img.expect("qemu-img is installed with QEMU")
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn the_simulated_machine_answers_as_qemu_does() {
    let Some(qemu) = same_release() else {
        println!("the QEMU that the simulated machine stands for is not installed");
        return;
    };
    let img = qemu_img(&qemu);
    let (mut count, mut explained, mut differences) = (0, 0, Vec::new());
    for (name, questions) in sections() {
        let jobs = name == "jobs";
        let scratch = Scratch::new();
        let directory = scratch.path().display().to_string();
        prepare(&scratch, &img);
        let client = Client::of_qemu(&qemu, &scratch);
        let expected = answers(client, &questions, &directory, jobs);
        // The simulated machine starts with the files as they were.
        let scratch = Scratch::new();
        let own_directory = scratch.path().display().to_string();
        prepare(&scratch, &img);
        let got = answers(Client::of_simulator(), &questions, &own_directory, jobs);
        assert!(got.len() >= expected.len(), "{name}: the simulated machine has ended");
        println!("{name}: {} of {} questions", expected.len(), questions.len());
        for ((question, expected), mut got) in questions.iter().zip(expected).zip(got) {
            count += 1;
            if let Some((_, desc)) = &mut got.error {
                *desc = desc.replace(&own_directory, &directory);
            }
            match &question.reason {
                _ if got == expected => {}
                Some(_) => explained += 1,
                None => differences.push(format!(
                    "{}\n  QEMU:      {expected:?}\n  simulated: {got:?}",
                    question.command
                )),
            }
        }
    }
    println!("{count} questions, {explained} explained differences");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
