//! The cookbook's programs: what each of them runs with, and what it may leave.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_vm::Workflows;
use serde_json::json;

use crate::bench::{Bench, Server};
use crate::left::*;
use crate::vm::{OBLIGING, PATIENCE, REBOOTING, SUSPENDING, Scratch, Vm, block_on};
use crate::*;

const SOON: Duration = Duration::from_millis(200);
const MAC: &str = "52:54:00:0c:00:17";

/// A program, in one of its uses.
pub struct Program {
    /// The name of the program, and of the use if there are several.
    pub name: &'static str,
    /// The things that may be left, as the program's page says.
    pub left: &'static [Left],
    /// The intended effects.
    pub effects: &'static [Left],
    pub start: fn(&str) -> Bench,
    pub arguments: fn(&Bench) -> Vec<String>,
    /// Is called again and again, with the number of messages that have passed.
    pub stimulus: fn(&Bench, usize),
    /// Whether each run needs a machine of its own, since a guest reacts at its own pace.
    pub is_alone: bool,
    /// Whether the messages cannot be counted: then the program is killed at moments.
    pub has_moments: bool,
}

impl Program {
    /// Returns the name of the example.
    pub fn example(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or_default()
    }
}

/// The parts that most programs have in common.
const PROGRAM: Program = Program {
    name: "",
    left: &[],
    effects: &[],
    start: |qemu| Bench::with(Vm::start(qemu, "-M none")),
    arguments: |bench| vec![bench.address("qmp")],
    stimulus: |_, _| {},
    is_alone: false,
    has_moments: false,
};

pub const PROGRAMS: &[Program] = &[
    Program {
        name: "backup",
        left: &[bitmap("disk0/backup", "backup"), node("to-disk0", "to-NODE")],
        start: |qemu| {
            let bench = with_disk(qemu).and_agent();
            bench.files.qcow2("target", "4M");
            bench
        },
        arguments: |bench| {
            vec![bench.address("qmp"), bench.address("qga"), bench.files.path("target")]
        },
        ..PROGRAM
    },
    Program {
        name: "capabilities",
        effects: &[done("network net1")],
        start: |qemu| {
            let mut bench = Bench::with(Vm::start(qemu, "-M none"));
            let switch = UnixListener::bind(bench.files.path("switch")).unwrap();
            bench.kept.push(Box::new(switch));
            bench
        },
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("switch")],
        ..PROGRAM
    },
    Program {
        name: "commit",
        left: &[
            overlay("disk0-overlay", "NODE-overlay"),
            job("commit-disk0", "commit-NODE"),
            file("overlay", "OVERLAY-FILE"),
        ],
        start: with_disk,
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("overlay")],
        ..PROGRAM
    },
    Program {
        name: "guest_exec",
        left: &[GUEST_PROGRAM],
        start: |_| Bench::default().and_real_agent(),
        arguments: |bench| vec![bench.address("qga")],
        ..PROGRAM
    },
    Program {
        name: "guest_files",
        left: &[GUEST_FILE, file("file", "TO")],
        start: |_| Bench::default().and_real_agent(),
        arguments: |bench| vec![bench.address("qga"), bench.files.path("file")],
        ..PROGRAM
    },
    Program { name: "handle_errors", ..PROGRAM },
    Program {
        name: "hotplug_cpu",
        effects: &[done("device cpu1")],
        start: |qemu| Bench::with(Vm::start(qemu, "-M pc -smp 1,maxcpus=3 -S -m 32")),
        ..PROGRAM
    },
    Program {
        name: "hotplug_disk",
        left: &[FDSET, node("disk-one", "disk-ID")],
        effects: &[done("device one"), done("disk ")],
        start: |qemu| {
            // QEMU 7.2 removes sets only while the guest runs.
            let bench = Bench::with(Vm::start(qemu, "-M pc -m 32"));
            std::fs::write(bench.files.path("image"), vec![0; 1 << 20]).unwrap();
            bench
        },
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("image")],
        ..PROGRAM
    },
    Program {
        name: "hotplug_memory",
        left: &[object("memory-dimm1", "memory-ID")],
        effects: &[done("device dimm1"), done("memory dimm1")],
        start: |qemu| Bench::with(Vm::start(qemu, "-M pc -S -m 32,slots=1,maxmem=1G")),
        ..PROGRAM
    },
    Program {
        name: "hotplug_nic",
        left: &[descriptor("queue-net1-0", "queue-ID-0"), netdev("net1", "ID")],
        effects: &[done("device nic-net1"), done("network nic-net1")],
        start: |qemu| Bench::with(Vm::start(qemu, "-M pc -S -m 32")),
        ..PROGRAM
    },
    Program {
        name: "launch",
        start: |qemu| Bench { qemu: qemu.to_owned(), ..Bench::default() },
        has_moments: true,
        ..PROGRAM
    },
    Program {
        name: "live_migration",
        left: &[MIGRATION, SETTINGS, LISTENING],
        effects: &[done("run state=postmigrate"), done("migration =completed"), done("QEMU")],
        start: |qemu| {
            let source = Vm::start(qemu, "-M pc -m 16");
            Bench::with(source).and_target(Vm::start(qemu, "-M pc -m 16 -incoming defer"))
        },
        arguments: |bench| {
            let uri = format!("unix:{}", bench.files.path("migration"));
            vec![bench.address("qmp"), bench.address("target"), uri]
        },
        ..PROGRAM
    },
    Program {
        name: "mirror",
        left: &[job("mirror-disk0", "mirror-SOURCE-NODE"), node("new", "TARGET-NODE")],
        effects: &[done("disk "), done("node disk0")],
        start: |qemu| {
            let bench = with_disk(qemu);
            bench.files.qcow2("image", "4M");
            bench
        },
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("image")],
        ..PROGRAM
    },
    Program {
        name: "mirror_machine",
        start: |qemu| Bench::with(Vm::start(qemu, "-M none")),
        ..PROGRAM
    },
    Program {
        name: "nbd_export",
        left: &[export("export-disk0", "export-NODE"), NBD_SERVER],
        start: with_disk,
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("nbd")],
        ..PROGRAM
    },
    Program { name: "overview", ..PROGRAM },
    Program { name: "overview_blocking", ..PROGRAM },
    Program {
        name: "own_workflow",
        left: &[chardev("chardev-agent", "chardev-ID")],
        effects: &[done("device agent")],
        start: |qemu| Bench::with(Vm::start(qemu, "-M pc -S -m 32 -device virtio-serial-pci")),
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("port")],
        ..PROGRAM
    },
    Program { name: "raw", left: &[STOPPED], ..PROGRAM },
    Program {
        name: "reboot",
        start: |qemu| Bench::with(Vm::with_guest(qemu, REBOOTING, "")).and_guest_agent(),
        arguments: |bench| vec![bench.address("qmp"), bench.address("qga")],
        is_alone: true,
        ..PROGRAM
    },
    Program {
        name: "resize_memory",
        effects: &[done("memory vmem0")],
        start: |qemu| {
            Bench::with(Vm::start(
                qemu,
                "-M pc -S -m 64,maxmem=1G -object memory-backend-ram,id=more,size=256M \
                 -device virtio-mem-pci,id=vmem0,memdev=more,requested-size=0",
            ))
        },
        ..PROGRAM
    },
    Program {
        name: "save_to_file save",
        left: SAVED,
        effects: &[done("migration =completed"), done("QEMU")],
        start: |qemu| Bench::with(Vm::start(qemu, "-M pc -m 16")),
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("state")],
        ..PROGRAM
    },
    Program {
        name: "save_to_file restore",
        left: SAVED,
        effects: &[done("migration =completed"), done("run state=running")],
        start: |qemu| {
            let mut source = Vm::start(qemu, "-M pc -m 16");
            let bench = Bench::with(Vm::start(qemu, "-M pc -m 16 -incoming defer"));
            let state = bench.files.path("state");
            assert_eq!(save_to_file::save(&source.address(), &state).unwrap(), None);
            source.has_ended();
            bench
        },
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("state")],
        ..PROGRAM
    },
    Program {
        name: "screen",
        left: &[FDSET],
        start: |qemu| Bench::with(Vm::start(qemu, "-M pc -m 32 -device VGA")),
        ..PROGRAM
    },
    Program {
        name: "shut_down",
        left: &[OFF],
        effects: &[done("QEMU")],
        start: |qemu| Bench::with(Vm::with_guest(qemu, OBLIGING, "-no-shutdown")),
        is_alone: true,
        ..PROGRAM
    },
    Program {
        name: "stream",
        start: |qemu| {
            let scratch = Scratch::new();
            let (base, disk) = (scratch.qcow2("base", "4M"), scratch.file("disk0"));
            scratch.img(&["create", "-q", "-f", "qcow2", "-b", &base, "-F", "qcow2", &disk]);
            Bench::with(Vm::start_in(scratch, qemu, DISK))
        },
        // The backing image, once it is not needed any more.
        effects: &[done("open "), done("node without a name")],
        ..PROGRAM
    },
    Program {
        name: "supervised",
        effects: &[done("QEMU")],
        stimulus: |bench, passed| {
            // The program has asked what it asks, and listens.
            if passed >= 9 {
                let _ = bench.execute("quit", json!({}));
            }
        },
        ..PROGRAM
    },
    Program {
        name: "suspend",
        left: &[SUSPENDED],
        start: |qemu| Bench::with(Vm::with_guest(qemu, SUSPENDING, "")).and_guest_agent(),
        arguments: |bench| vec![bench.address("qmp"), bench.address("qga")],
        is_alone: true,
        ..PROGRAM
    },
    Program {
        name: "transcript",
        left: &[STOPPED, object("key", "key"), file("transcript", "FILE")],
        arguments: |bench| vec![bench.address("qmp"), bench.files.path("transcript")],
        ..PROGRAM
    },
    Program {
        name: "typed_device",
        effects: &[done("device disk0"), done("disk ")],
        start: |qemu| {
            let node = "-M pc -S -m 32 -blockdev driver=null-co,size=1048576,node-name=node0";
            Bench::with(Vm::start(qemu, node))
        },
        arguments: |bench| vec![bench.address("qmp"), "node0".to_owned()],
        ..PROGRAM
    },
    Program {
        name: "unplug_disk",
        left: &[unclosed("one", "disk-ID")],
        effects: &[done("node disk-one"), done("disk ")],
        start: |qemu| {
            let disk = "-blockdev driver=null-co,size=1048576,node-name=disk-one \
                -device virtio-blk-pci,drive=disk-one,id=one";
            Bench::with(Vm::with_guest(qemu, OBLIGING, disk))
        },
        is_alone: true,
        ..PROGRAM
    },
    Program {
        name: "wait_for_start",
        left: &[QEMU],
        start: |qemu| {
            let mut bench = Bench::default();
            let path = bench.files.path("real");
            let script = format!(
                "#!/bin/sh\nfor word; do\n    shift\n    case $word in unix:*) \
                 word=unix:{path},server=on,wait=off;; esac\n    set -- \"$@\" \"$word\"\ndone\n\
                 exec {qemu} \"$@\"\n"
            );
            let wrapper = bench.files.path("qemu");
            std::fs::write(&wrapper, script).unwrap();
            std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
            bench.servers.push(Server { name: "qmp", path, outlives: false });
            bench
        },
        arguments: |bench| vec![bench.relay("qmp"), bench.files.path("qemu")],
        ..PROGRAM
    },
    Program {
        name: "watch_shutdown",
        effects: &[done("QEMU")],
        stimulus: |bench, passed| {
            // The program listens.
            if passed == 5 {
                let _ = bench.execute("quit", json!({}));
            }
        },
        ..PROGRAM
    },
];

const SAVED: &[Left] =
    &[STOPPED, FDSET, descriptor("state", "state"), SETTINGS, file("state", "FILE")];

/// A disk with an image, for a machine that has not started.
const DISK: &str = "-M pc -S -m 32 \
    -blockdev driver=qcow2,file.driver=file,file.filename=DIR/disk0,node-name=disk0 \
    -device virtio-blk-pci,drive=disk0,share-rw=on,id=blk0";

fn with_disk(qemu: &str) -> Bench {
    let scratch = Scratch::new();
    scratch.qcow2("disk0", "4M");
    let vm = Vm::start_in(scratch, qemu, DISK);
    vm.human("qemu-io disk0 \"write -P 1 0 1M\"");
    Bench::with(vm)
}

/// Runs a program as its `main` does, in the process that is going to be killed.
pub fn main(name: &str, arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let qemu = || std::env::var("QMP_KILL_QEMU").unwrap_or_default();
    let none = || ["-M", "none", "-display", "none", "-nodefaults", "-S"].map(String::from);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (name, &words[..]) {
        ("backup", [vm, agent, target]) => {
            let disk =
                backup::Disk { node: "disk0".into(), target: (*target).to_owned(), changes: false };
            assert!(backup::run(vm, Some(agent), &[disk], PATIENCE)?.is_empty());
        }
        ("capabilities", [vm, socket]) => drop(block_on(capabilities::run(vm, "net1", socket))?),
        ("commit", [vm, overlay]) => {
            assert_eq!(commit::run(vm, "disk0", overlay, || {})?, None);
        }
        ("guest_exec", [agent]) => {
            drop(block_on(guest_exec::run(agent, "/bin/sleep", &["0.3".into()], PATIENCE))?);
        }
        ("guest_files", [agent, path]) => {
            guest_files::put(agent, path, b"contents")?;
            assert!(guest_files::get(agent, path, 100)?.is_some());
        }
        ("handle_errors", [vm]) => drop(handle_errors::run(vm)?),
        ("hotplug_cpu", [vm]) => assert!(block_on(hotplug_cpu::run(vm, "cpu1"))?),
        ("hotplug_disk", [vm, image]) => {
            let image = File::options().read(true).write(true).open(image)?;
            hotplug_disk::run(vm, image, hotplug_disk::Format::Raw, "one", None)?;
        }
        ("hotplug_memory", [vm]) => drop(hotplug_memory::run(vm, "dimm1", 128 << 20)?),
        ("hotplug_nic", [vm]) => {
            let (_peer, queue) = UnixStream::pair()?;
            let (kind, queues) = (hotplug_nic::Kind::Socket, vec![queue.into()]);
            let backend = hotplug_nic::Backend { kind, queues, vhost: Vec::new() };
            hotplug_nic::run(vm, "net1", MAC, backend)?;
        }
        ("launch", _) => {
            let use_it = |vm: &Client| vm.execute(QueryStatus::new()).map(drop);
            drop(launch::run(&qemu(), &none(), PATIENCE, use_it)?);
        }
        ("live_migration", [vm, target, uri]) => {
            assert!(block_on(live_migration::run(vm, target, uri, uri, PATIENCE))?);
        }
        ("mirror", [vm, image]) => assert!(mirror::run(vm, "disk0", "new", image, PATIENCE)?),
        ("mirror_machine", [vm]) => block_on(async {
            let mirror = mirror_machine::mirror(vm)?;
            mirror.current(PATIENCE).await?;
            Ok::<_, qmp_client::Error>(())
        })?,
        ("nbd_export", [vm, socket]) => {
            block_on(nbd_export::run(vm, "disk0", socket, async {}))?;
        }
        ("overview", [vm]) => drop(block_on(overview::run(vm))?),
        ("overview_blocking", [vm]) => drop(overview_blocking::run(vm)?),
        ("own_workflow", [vm, socket]) => {
            own_workflow::plug_agent(&Client::connect(*vm)?, "agent", socket)?;
        }
        ("raw", [vm]) => drop(raw::run(vm)?),
        ("reboot", [vm, agent]) => reboot::run(vm, agent, PATIENCE)?,
        ("resize_memory", [vm]) => {
            let reached = block_on(resize_memory::run(vm, "vmem0", 64 << 20, SOON))?;
            assert_eq!(reached, Some(0));
        }
        ("save_to_file save", [vm, path]) => assert_eq!(save_to_file::save(vm, path)?, None),
        ("save_to_file restore", [vm, path]) => {
            assert_eq!(save_to_file::restore(vm, path)?, None);
        }
        ("screen", [vm]) => drop(screen::run(vm, "a", SOON)?),
        ("shut_down", [vm]) => assert!(shut_down::run(vm, PATIENCE)?.by_guest()),
        ("stream", [vm]) => {
            assert!(block_on(stream::run(vm, "disk0", PATIENCE))?.success());
        }
        ("supervised", [vm]) => {
            let policy = qmp_vm::supervise::Supervision::new().give_up_after(SOON);
            let ended = block_on(supervised::run(vm, policy, |_| ()));
            assert!(ended.is_ok() || ended.is_err_and(|error| !error.is_timeout()));
        }
        ("suspend", [vm, agent]) => block_on(suspend::run(vm, agent, PATIENCE, async {}))?,
        ("transcript", [vm, path]) => transcript::run(vm, File::create(path)?)?,
        ("typed_device", [vm, node]) => {
            assert!(typed_device::run(vm, node, "disk0", None)?.is_some());
        }
        ("unplug_disk", [vm]) => assert!(block_on(unplug_disk::run(vm, "one", PATIENCE))?),
        ("wait_for_start", [socket, qemu]) => {
            let (vm, mut child) = wait_for_start::run(Path::new(socket), qemu, &none())?;
            vm.quit_within(PATIENCE)?;
            assert!(child.wait()?.success());
        }
        ("watch_shutdown", [vm]) => drop(block_on(watch_shutdown::run(vm))?),
        _ => return Err(format!("no program `{name}` takes {arguments:?}").into()),
    }
    Ok(())
}
