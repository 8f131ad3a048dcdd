//! The two machines that are compared: a running QEMU, and the simulated one.

#![allow(unreachable_pub)] // a module of a test

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
pub(crate) struct Client {
    pub(crate) stream: BufReader<UnixStream>,
    qemu: Option<Child>,
}

/// The answer of a machine: the reply, and the names of the events that come with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    /// `None` for a success, or the class and the text of an error.
    pub(crate) error: Option<(String, String)>,
    pub(crate) events: Vec<String>,
}

impl Client {
    fn new(stream: UnixStream, qemu: Option<Child>) -> Self {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), qemu };
        client.message().unwrap();
        client.ask(&json!({"execute": "qmp_capabilities"}), false).unwrap();
        client
    }

    pub(crate) fn of_qemu(program: &Path, scratch: &Scratch) -> Self {
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

    pub(crate) fn of_simulator() -> Self {
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
    pub(crate) fn ask(&mut self, question: &Value, with_events: bool) -> Option<Answer> {
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

    pub(crate) fn execute(&mut self, question: &Value, events: &mut Vec<String>) -> Option<Value> {
        let line = format!("{question}\n");
        self.stream.get_mut().write_all(line.as_bytes()).ok()?;
        self.receive(events)
    }

    /// Reads up to a reply.
    pub(crate) fn receive(&mut self, events: &mut Vec<String>) -> Option<Value> {
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
pub(crate) fn prepare(scratch: &Scratch, img: &Path) {
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

/// Returns the program whose release the simulated machine stands for.
pub(crate) fn same_release() -> Option<PathBuf> {
    let version = Simulator::VERSION;
    let wanted = format!("version {}.{}.", version.major, version.minor);
    qemus().into_iter().find(|program| {
        let output = Command::new(program).arg("--version").output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(&wanted)
    })
}

/// Returns the program that creates images for a QEMU.
pub(crate) fn qemu_img(qemu: &Path) -> PathBuf {
    let img = qemu.with_file_name("qemu-img");
    let img = Some(img).filter(|img| img.is_file());
    let img = img.or_else(|| beside_qemus("qemu-img").into_iter().next());
    img.expect("qemu-img is installed with QEMU")
}
