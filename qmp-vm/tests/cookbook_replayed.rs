//! Records the programs of `examples` while they talk to a QEMU, and runs them again without one.
//!
//! ```text
//! program <──> proxy <──> QEMU        the outcome, and a recording
//!                └──> recording
//! program <──> replay <── recording   the same outcome
//! ```
//!
//! `tests/data/cookbook` has recordings of the programs with QEMU 11.1, without the longest replies.
//! They are replayed where QEMU is not installed; `BLESS=1` records them again.

#![cfg(all(unix, feature = "blocking", feature = "proxy", feature = "qga", feature = "tokio"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)] // tests
#![allow(dead_code)] // the programs' `main`

use std::fmt::Debug;
use std::fs::File;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::recording::Recorder;
use qmp_server::SocketFile;
use qmp_server::replay::{Order, Recording, Replay};
use qmp_vm::proxy::{Access, ProxyOptions};

/// The machines of the other tests.
#[path = "cookbook/vm.rs"]
mod vm;

macro_rules! programs {
    ($($name:ident: $path:literal),* $(,)?) => {$(
        #[path = $path]
        mod $name;
    )*};
}

programs! {
    backup: "../examples/backup.rs",
    capabilities: "../examples/capabilities.rs",
    commit: "../examples/commit.rs",
    handle_errors: "../examples/handle_errors.rs",
    hotplug_cpu: "../examples/hotplug_cpu.rs",
    hotplug_disk: "../examples/hotplug_disk.rs",
    hotplug_memory: "../examples/hotplug_memory.rs",
    hotplug_nic: "../examples/hotplug_nic.rs",
    live_migration: "../examples/live_migration.rs",
    mirror: "../examples/mirror.rs",
    nbd_export: "../examples/nbd_export.rs",
    overview: "../examples/overview.rs",
    overview_blocking: "../examples/overview_blocking.rs",
    own_workflow: "../examples/own_workflow.rs",
    raw: "../examples/raw.rs",
    resize_memory: "../examples/resize_memory.rs",
    save_to_file: "../examples/save_to_file.rs",
    shut_down: "../examples/shut_down.rs",
    stream: "../examples/stream.rs",
    transcript: "../examples/transcript.rs",
    unplug_disk: "../examples/unplug_disk.rs",
}

/// The programs that cannot be replayed, with the reasons.
const NOT_REPLAYED: &[(&str, &str)] = &[
    ("another_monitor", "passes a socket, which a recording does not have"),
    ("guest_exec", "talks to a guest agent, whose protocol has no replay"),
    ("guest_files", "talks to a guest agent, whose protocol has no replay"),
    ("launch", "starts QEMU itself, and talks to it over a socket pair"),
    ("mirror_machine", "asks at moments of its own, until it is ended"),
    ("reboot", "waits for what a guest does by itself, when its agent is told to"),
    ("screen", "reads a picture that QEMU writes to a file"),
    ("supervised", "waits for QEMU to end by itself"),
    ("suspend", "waits for what a guest does by itself, when its agent is told to"),
    ("typed_device", "is compiled with another feature; it asks and plugs, as `hotplug_disk` does"),
    ("wait_for_start", "starts QEMU itself"),
    ("watch_shutdown", "waits for QEMU to end by itself"),
];

use vm::{PATIENCE, Scratch, Vm, block_on};

const SOON: Duration = Duration::from_millis(200);
/// The path that stands for the directory of a test in committed recordings.
const ANYWHERE: &str = "/scratch";
/// The longest line of a committed recording.
const MAX_LINE: usize = 6 << 10;

/// The addresses and files that a program is run with.
struct Site<'s> {
    address: String,
    /// The monitor of the destination.
    target: String,
    /// The directory as QEMU knows it.
    directory: String,
    /// The directory as it is.
    scratch: &'s Scratch,
}

impl Site<'_> {
    /// Returns the path of a file, for QEMU.
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// Opens a file, for a program that passes it on.
    fn open(&self, name: &str) -> File {
        let path = self.scratch.file(name);
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }
}

/// A program, the machine that it is recorded with, and how it is run.
struct Program {
    name: &'static str,
    /// A guest in the machine, which has to run.
    guest: Option<&'static [u8]>,
    /// The images to create: name and size.
    images: &'static [(&'static str, &'static str)],
    machine: &'static str,
    /// The destination of a migration.
    target: Option<&'static str>,
    order: Order,
    run: fn(&Site<'_>) -> String,
}

const PC: &str = "-M pc -m 32 -S";
const DISK: &str = "-M pc -S -m 32 \
    -blockdev driver=qcow2,file.driver=file,file.filename=DIR/disk0,node-name=disk0 \
    -device virtio-blk-pci,drive=disk0,share-rw=on,id=blk0";

impl Program {
    const fn new(name: &'static str, machine: &'static str, run: fn(&Site<'_>) -> String) -> Self {
        let (guest, images, target, order) = (None, &[] as &[_], None, Order::Strict);
        Self { name, guest, images, machine, target, order, run }
    }

    const fn guest(self, guest: &'static [u8]) -> Self {
        Self { guest: Some(guest), ..self }
    }

    const fn images(self, images: &'static [(&'static str, &'static str)]) -> Self {
        Self { images, ..self }
    }

    const fn target(self, target: &'static str) -> Self {
        Self { target: Some(target), ..self }
    }

    /// The number of its queries depends on the time.
    const fn in_any_order(self) -> Self {
        Self { order: Order::ByRequest, ..self }
    }
}

/// Describes the outcome of a program.
fn seen<T: Debug>(outcome: qmp_client::Result<T>) -> String {
    outcome.map_or_else(|error| error.report(), |outcome| format!("{outcome:?}"))
}

const PROGRAMS: &[Program] = &[
    Program::new("backup", DISK, |site| {
        let disk = backup::Disk { node: "disk0".into(), target: site.path("full"), changes: true };
        seen(backup::run(&site.address, None, &[disk], PATIENCE))
    })
    .images(&[("disk0", "4M"), ("full", "4M")])
    .in_any_order(),
    Program::new("capabilities", "-M none", |site| {
        let socket = site.path("switch");
        seen(block_on(capabilities::run(&site.address, "net1", &socket)))
    }),
    Program::new("commit", DISK, |site| {
        seen(commit::run(&site.address, "disk0", &site.path("overlay"), || {}))
    })
    .images(&[("disk0", "4M")])
    .in_any_order(),
    Program::new("handle_errors", "-M none", |site| seen(handle_errors::run(&site.address))),
    Program::new("hotplug_cpu", "-M pc -S -m 32 -smp 1,maxcpus=2", |site| {
        let run = || seen(block_on(hotplug_cpu::run(&site.address, "cpu1")));
        format!("{} {}", run(), run())
    })
    .in_any_order(),
    Program::new("hotplug_disk", PC, |site| {
        let format = hotplug_disk::Format::Qcow2;
        seen(hotplug_disk::run(&site.address, site.open("image"), format, "one", None))
    })
    .images(&[("image", "1M")]),
    Program::new("hotplug_memory", "-M pc -S -m 64,slots=1,maxmem=1G", |site| {
        let run = |id| seen(hotplug_memory::run(&site.address, id, 128 << 20));
        format!("{} {}", run("dimm1"), run("dimm2"))
    }),
    Program::new("hotplug_nic", PC, |site| {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let queues = vec![theirs.into()];
        let kind = hotplug_nic::Kind::Socket;
        let backend = hotplug_nic::Backend { kind, queues, vhost: Vec::new() };
        seen(hotplug_nic::run(&site.address, "net1", "52:54:00:0c:00:17", backend))
    }),
    Program::new("live_migration", PC, |site| {
        let uri = format!("unix:{}", site.path("migration"));
        let moved = live_migration::run(&site.address, &site.target, &uri, &uri, PATIENCE);
        seen(block_on(moved))
    })
    .target("-M pc -m 32 -incoming defer")
    .in_any_order(),
    Program::new("mirror", DISK, |site| {
        let image = site.path("image");
        seen(mirror::run(&site.address, "disk0", "new", &image, PATIENCE))
    })
    .images(&[("disk0", "4M"), ("image", "4M")])
    .in_any_order(),
    Program::new("nbd_export", DISK, |site| {
        seen(block_on(nbd_export::run(&site.address, "disk0", &site.path("nbd"), async {})))
    })
    .images(&[("disk0", "4M")])
    .in_any_order(),
    Program::new("overview", PC, |site| seen(block_on(overview::run(&site.address)))),
    Program::new("overview_blocking", PC, |site| seen(overview_blocking::run(&site.address))),
    Program::new("own_workflow", "-M pc -S -m 32 -device virtio-serial-pci", |site| {
        let client = Client::connect(&*site.address).unwrap();
        seen(own_workflow::plug_agent(&client, "agent", &site.path("agent")))
    }),
    Program::new("raw", "-M none", |site| seen(raw::run(&site.address))),
    Program::new(
        "resize_memory",
        "-M pc -S -m 64,maxmem=1G -object memory-backend-ram,id=more,size=256M \
            -device virtio-mem-pci,id=vmem0,memdev=more,requested-size=0",
        |site| seen(block_on(resize_memory::run(&site.address, "vmem0", 64 << 20, SOON))),
    )
    .in_any_order(),
    Program::new("save_to_file", PC, |site| {
        // QEMU looks for a descriptor with the right access mode.
        let state = File::create(site.scratch.file("state")).unwrap();
        seen(save_to_file::save_into(&site.address, state))
    })
    .in_any_order(),
    Program::new("shut_down", "-M none", |site| seen(shut_down::run(&site.address, SOON)))
        .in_any_order(),
    Program::new("stream", DISK, |site| {
        seen(block_on(stream::run(&site.address, "disk0", PATIENCE)))
    })
    .images(&[("disk0", "4M")])
    .in_any_order(),
    Program::new("transcript", "-M none", |site| {
        let memory = Memory::default();
        seen(transcript::run(&site.address, memory.clone()))
    }),
    Program::new(
        "unplug_disk",
        "-blockdev driver=null-co,size=1048576,node-name=disk-one \
            -device virtio-blk-pci,id=one,drive=disk-one",
        |site| seen(block_on(unplug_disk::run(&site.address, "one", PATIENCE))),
    )
    .guest(vm::OBLIGING)
    .in_any_order(),
];

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The recordings of a program: of its monitor, and of its second one.
struct Recorded {
    texts: Vec<String>,
    outcome: String,
    directory: String,
    /// Whether the recordings are of the release whose recordings are committed.
    is_latest: bool,
}

/// Passes a program's session with a machine on, and records it. Returns the address for the program.
fn record(scratch: &Scratch, name: &str, vm: &Vm) -> (String, Memory, qmp_vm::proxy::Proxy) {
    let memory = Memory::default();
    let options = ProxyOptions::new().record(Recorder::new(memory.clone(), name));
    let proxy = options.connect_to(&vm.address().parse().unwrap()).unwrap();
    let path = scratch.file(&format!("{name}.proxy"));
    proxy.listen(SocketFile::bind(&path, 0o600).unwrap(), Access::new()).unwrap();
    (format!("unix:{path}"), memory, proxy)
}

/// Runs a program with a QEMU.
fn run_live(program: &Program, qemu: &str, scratch: &Scratch) -> Recorded {
    let target = program.target.map(|machine| Vm::start(qemu, machine));
    let start = || {
        let own = Scratch::new();
        for (name, size) in program.images {
            own.qcow2(name, size);
        }
        if program.name == "stream" {
            let (base, disk) = (own.qcow2("base", "4M"), own.file("disk0"));
            own.img(&["create", "-q", "-f", "qcow2", "-b", &base, "-F", "qcow2", &disk]);
        }
        own
    };
    let vm = match program.guest {
        Some(guest) => Vm::with_guest(qemu, guest, program.machine),
        None => Vm::start_in(start(), qemu, program.machine),
    };
    let directory = vm.scratch.file("").trim_end_matches('/').to_owned();
    let version = vm.test.version().qemu;
    let is_latest = (version.major, version.minor) == (11, 1);
    let (address, memory, proxy) = record(scratch, "vm", &vm);
    let other = target.as_ref().map(|target| record(scratch, "target", target));
    let site = Site {
        address,
        target: other.as_ref().map(|(address, ..)| address.clone()).unwrap_or_default(),
        directory: directory.clone(),
        scratch: &vm.scratch,
    };
    let outcome = (program.run)(&site);
    let mut texts = Vec::new();
    for (_, memory, proxy) in std::iter::once((String::new(), memory, proxy)).chain(other) {
        proxy.stop();
        let _ = proxy.wait();
        texts.push(memory.text());
    }
    Recorded { texts, outcome, directory, is_latest }
}

/// Runs a program with its recordings, and returns the outcome.
fn replay(program: &Program, recorded: &Recorded, scratch: &Scratch) -> String {
    let serve = |text: &String, name: &str| {
        let path = scratch.file(&format!("{name}.replay"));
        // Another program may have been replayed here.
        let _ = std::fs::remove_file(&path);
        let recording = Recording::parse(text).unwrap();
        let server = Arc::new(Replay::of(recording).order(program.order).start());
        let listener = UnixListener::bind(&path).unwrap();
        let serving = Arc::clone(&server);
        std::thread::spawn(move || serving.serve_unix(&listener));
        (format!("unix:{path}"), server)
    };
    let names = ["vm", "target"];
    let served: Vec<_> =
        recorded.texts.iter().zip(names).map(|(text, name)| serve(text, name)).collect();
    let site = Site {
        address: served[0].0.clone(),
        target: served.get(1).map(|(address, _)| address.clone()).unwrap_or_default(),
        directory: recorded.directory.clone(),
        scratch,
    };
    let outcome = (program.run)(&site);
    for (_, server) in served {
        server.finish().unwrap_or_else(|error| panic!("{}: {error}", program.name));
    }
    outcome
}

#[test]
fn every_program_is_replayed_or_has_a_reason() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".rs") else { continue };
        let replayed = PROGRAMS.iter().filter(|program| program.name == name).count();
        let excused = NOT_REPLAYED.iter().filter(|(excused, _)| *excused == name).count();
        assert_eq!(replayed + excused, 1, "{name}");
    }
}

#[test]
#[cfg_attr(not(qemu_img), ignore = "needs QEMU: install it with its utilities")]
fn recordings_of_live_qemus_have_the_same_outcome() {
    for qemu in vm::qemus() {
        println!("== {qemu}");
        for program in PROGRAMS {
            let scratch = Scratch::new();
            let recorded = run_live(program, &qemu, &scratch);
            let bytes: usize = recorded.texts.iter().map(String::len).sum();
            println!("{}: {} bytes: {}", program.name, bytes, recorded.outcome);
            let outcome = replay(program, &recorded, &scratch);
            assert_eq!(outcome, recorded.outcome, "{} with {qemu}", program.name);
            if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") && recorded.is_latest {
                bless(program, &recorded);
            }
        }
    }
}

fn committed(program: &Program, number: usize) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cookbook");
    let suffix = if number == 0 { "" } else { "-target" };
    directory.join(format!("{}{suffix}.jsonl", program.name))
}

/// Replaces a committed recording, without what differs from host to host, and without long replies.
fn bless(program: &Program, recorded: &Recorded) {
    for (number, text) in recorded.texts.iter().enumerate() {
        let text = text.replace(&recorded.directory, ANYWHERE);
        let lines = text.lines().filter(|line| line.len() <= MAX_LINE);
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let path = committed(program, number);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// The outcome is the same as with QEMU: what is expected is written here.
#[test]
fn committed_recordings_are_replayed_without_qemu() {
    for (name, expected) in [
        ("hotplug_disk", "()"),
        ("hotplug_nic", "()"),
        ("mirror", "true"),
        ("backup", "[]"),
        ("commit", "None"),
        ("nbd_export", "()"),
        ("own_workflow", "()"),
        ("raw", "[\"RESUME\"]"),
        ("unplug_disk", "true"),
        ("live_migration", "true"),
        ("handle_errors", "[GoOn, DoWithout, DoWithout, DoWithout]"),
    ] {
        let program = PROGRAMS.iter().find(|program| program.name == name).unwrap();
        let files = [0, 1].map(|number| std::fs::read_to_string(committed(program, number)));
        let texts = files.into_iter().filter_map(Result::ok).collect();
        let (outcome, directory) = (expected.to_owned(), ANYWHERE.to_owned());
        let recorded = Recorded { texts, outcome, directory, is_latest: true };
        assert_eq!(replay(program, &recorded, &Scratch::new()), expected, "{name}");
    }
}
