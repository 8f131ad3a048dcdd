//! Runs the programs of `examples` with the simulated machine, so that all of them are tested where
//! QEMU is not installed.

#![cfg(all(unix, feature = "blocking", feature = "qga", feature = "tokio"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)] // tests
#![allow(dead_code)] // the programs' `main`

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use qmp_client::Raw;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    QueryBlock, QueryCpusFast, QueryNamedBlockNodes, QueryStatus, Stop,
};
use qmp_client::qmp::types::{RunState, ShutdownCause};
use qmp_server::agent::{AgentSimulator, Program};
use qmp_server::{Simulator, SimulatorBuilder};
use qmp_vm::mirror::{Change, Fate};
use qmp_vm::{EndedBy, Workflows};
use serde_json::{Value, json};

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
    guest_exec: "../examples/guest_exec.rs",
    guest_files: "../examples/guest_files.rs",
    handle_errors: "../examples/handle_errors.rs",
    hotplug_cpu: "../examples/hotplug_cpu.rs",
    hotplug_disk: "../examples/hotplug_disk.rs",
    hotplug_memory: "../examples/hotplug_memory.rs",
    hotplug_nic: "../examples/hotplug_nic.rs",
    launch: "../examples/launch.rs",
    live_migration: "../examples/live_migration.rs",
    mirror: "../examples/mirror.rs",
    mirror_machine: "../examples/mirror_machine.rs",
    nbd_export: "../examples/nbd_export.rs",
    overview: "../examples/overview.rs",
    overview_blocking: "../examples/overview_blocking.rs",
    own_workflow: "../examples/own_workflow.rs",
    raw: "../examples/raw.rs",
    reboot: "../examples/reboot.rs",
    resize_memory: "../examples/resize_memory.rs",
    save_to_file: "../examples/save_to_file.rs",
    screen: "../examples/screen.rs",
    shut_down: "../examples/shut_down.rs",
    stream: "../examples/stream.rs",
    supervised: "../examples/supervised.rs",
    suspend: "../examples/suspend.rs",
    transcript: "../examples/transcript.rs",
    unplug_disk: "../examples/unplug_disk.rs",
    wait_for_start: "../examples/wait_for_start.rs",
    watch_shutdown: "../examples/watch_shutdown.rs",
}

const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(100);

/// A directory that is removed when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("simulated-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A simulated machine that listens on a socket.
struct Vm {
    simulator: Simulator,
    directory: Directory,
    /// The test's own monitor.
    test: Client,
}

impl Vm {
    fn new(builder: SimulatorBuilder) -> Self {
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.file("qmp")).unwrap();
        let simulator = builder.build();
        let server = simulator.server().clone();
        std::thread::spawn(move || server.serve_unix(&listener));
        let test = Client::connect(format!("unix:{}", directory.file("qmp"))).unwrap();
        Self { simulator, directory, test }
    }

    fn address(&self) -> String {
        format!("unix:{}", self.file("qmp"))
    }

    fn file(&self, name: &str) -> String {
        self.directory.file(name)
    }

    fn ask(&self, command: &str, arguments: Value) -> Value {
        let connection = self.simulator.connection();
        let message = json!({"execute": command, "arguments": arguments});
        connection.receive(b"{'execute': 'qmp_capabilities'}");
        drop(connection.take_output());
        connection.receive(message.to_string().as_bytes());
        let output = String::from_utf8(connection.take_output()).unwrap();
        let mut messages = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let reply = messages.find(|message| message.get("event").is_none()).unwrap();
        assert!(reply.get("error").is_none(), "{command}: {reply}");
        reply["return"].clone()
    }

    /// Creates a qcow2 image of the given size in bytes, and returns its path.
    fn qcow2(&self, name: &str, size: u64, backing: Option<&str>) -> String {
        let path = self.file(name);
        let node = format!("new-{name}");
        let create = |options: Value| {
            self.ask("blockdev-create", json!({"job-id": "create", "options": options}));
            let jobs = self.ask("query-jobs", json!({}));
            assert_eq!(jobs[0].get("error"), None, "{jobs}");
            self.ask("job-dismiss", json!({"id": "create"}));
        };
        create(json!({"driver": "file", "filename": path, "size": 0}));
        self.ask("blockdev-add", json!({"driver": "file", "node-name": node, "filename": path}));
        let mut options = json!({"driver": "qcow2", "file": node, "size": size});
        if let Some(backing) = backing {
            options["backing-file"] = backing.into();
            options["backing-fmt"] = "qcow2".into();
        }
        create(options);
        self.ask("blockdev-del", json!({"node-name": node}));
        path
    }

    fn add_disk(&self, node: &str, path: &str) {
        let file = json!({"driver": "file", "filename": path});
        self.ask("blockdev-add", json!({"driver": "qcow2", "node-name": node, "file": file}));
        let device = json!({"driver": "virtio-blk-pci", "id": format!("{node}-device"),
            "drive": node});
        self.ask("device_add", device);
    }

    fn status(&self) -> RunState {
        self.test.execute(QueryStatus::new()).unwrap().status
    }

    /// Returns the nodes that disks use.
    fn disks(&self) -> Vec<String> {
        let disks = self.test.execute(QueryBlock::new()).unwrap();
        let inserted = disks.into_iter().filter_map(|disk| disk.inserted?.node_name);
        inserted.collect()
    }

    fn has_node(&self, name: &str) -> bool {
        let nodes = self.test.execute(QueryNamedBlockNodes::new()).unwrap();
        nodes.iter().any(|node| node.node_name.as_deref() == Some(name))
    }
}

fn bare() -> SimulatorBuilder {
    Simulator::builder().machine_type("pc")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn every_program_is_run() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let this = include_str!("cookbook_simulated.rs");
    for entry in std::fs::read_dir(examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(program) = name.strip_suffix(".rs") else { continue };
        assert!(this.contains(&format!("../examples/{name}")), "{name}");
        assert!(this.contains(&format!("{program}::")), "{name}");
    }
}

#[test]
fn overviews() {
    let builder = bare().name("cook").paused(true).memory(64 << 20);
    let builder = builder.blockdev(json!({"driver": "null-co", "node-name": "null"}));
    let vm = Vm::new(builder.device(json!({"driver": "virtio-blk-pci", "drive": "null"})));
    let line = "cook: prelaunch, 2 CPUs, 64 MiB of memory, no balloon, 1 disks";
    assert_eq!(block_on(overview::run(&vm.address())).unwrap().to_string(), line);
    assert_eq!(overview_blocking::run(&vm.address()).unwrap().to_string(), line);
}

#[test]
fn shutting_down() {
    let vm = Vm::new(Simulator::builder());
    let ended = shut_down::run(&vm.address(), PATIENCE).unwrap();
    assert_eq!((ended.by, ended.reason), (EndedBy::Guest, Some(ShutdownCause::GuestShutdown)));
    let vm = Vm::new(Simulator::builder().guest_obeys_powerdown(false));
    let ended = shut_down::run(&vm.address(), SOON).unwrap();
    assert_eq!((ended.by, ended.reason), (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit)));
}

#[test]
fn watching_the_end() {
    let vm = Vm::new(Simulator::builder());
    let reason = block_on(async {
        let client = qmp_client::Client::connect(vm.address()).await.unwrap();
        let watched = watch_shutdown::watch(&client);
        let (ended, ()) = tokio::join!(watched, async { vm.simulator.shut_down_guest() });
        ended.unwrap().reason
    });
    assert_eq!(reason, Some(ShutdownCause::GuestShutdown));
}

#[test]
fn a_machine_is_followed() {
    let vm = Vm::new(Simulator::builder());
    let (address, events) = (vm.address(), std::sync::mpsc::channel());
    let (sender, lines) = events;
    std::thread::spawn(move || {
        let policy = qmp_vm::supervise::Supervision::new().give_up_after(SOON);
        block_on(supervised::run(&address, policy, |line| sender.send(line).unwrap()))
    });
    let next = || lines.recv_timeout(PATIENCE).unwrap();
    let first = next();
    assert!(first.starts_with("connected to the first QEMU, version "), "{first}");
    assert!(first.ends_with(": running"), "{first}");
    vm.test.execute(qmp_client::qmp::commands::Stop::new()).unwrap();
    assert_eq!(next(), "STOP");
}

#[test]
fn mirroring_a_machine() {
    let vm = Vm::new(Simulator::builder());
    block_on(async {
        let mirror = mirror_machine::mirror(&vm.address()).unwrap();
        mirror.current(PATIENCE).await.unwrap();
        let mut seen = Vec::new();
        let shown = mirror_machine::show(&mirror, |update| {
            seen.extend(update.changes.clone());
            update.view.node("fresh").is_none()
        });
        let (shown, added) = tokio::join!(shown, async {
            let add = json!({"driver": "null-co", "node-name": "fresh"});
            mirror.execute(Raw::<Value>::new("blockdev-add").arguments(&add)).await
        });
        shown.unwrap();
        added.unwrap();
        assert_eq!(seen[0], Change::Node("fresh".to_owned(), Fate::Added));
        let stopped = mirror.wait_until(|vm| !vm.is_running(), PATIENCE);
        let (view, stop) = tokio::join!(stopped, mirror.execute(Stop::new()));
        stop.unwrap();
        assert_eq!(view.unwrap().run_state(), Some(&RunState::Paused));
    });
}

#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn transcripts_raw_commands_and_errors() {
    let vm = Vm::new(Simulator::builder());
    let file = Shared::default();
    transcript::run(&vm.address(), file.clone()).unwrap();
    let text = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("STOP") && text.contains("RESUME") && !text.contains("sesame"), "{text}");
    assert_eq!(raw::run(&vm.address()).unwrap(), ["RESUME"]);
    let steps = handle_errors::run(&vm.address()).unwrap();
    assert_eq!(steps[0], handle_errors::Next::GoOn);
}

#[test]
fn network_backends() {
    let vm = Vm::new(Simulator::builder());
    let path = vm.file("switch");
    let _listener = UnixListener::bind(&path).unwrap();
    let reconnect = block_on(capabilities::run(&vm.address(), "net1", &path)).unwrap();
    assert_eq!(reconnect, capabilities::Reconnect::Milliseconds);
}

#[test]
fn cpus_and_memory() {
    let vm = Vm::new(bare().cpus(1).max_cpus(3).memory(64 << 20).memory_slots(1, 1 << 30));
    let address = vm.address();
    for id in ["cpu1", "cpu2"] {
        assert!(block_on(hotplug_cpu::run(&address, id)).unwrap());
    }
    assert!(!block_on(hotplug_cpu::run(&address, "cpu3")).unwrap());
    assert_eq!(vm.test.execute(QueryCpusFast::new()).unwrap().len(), 3);
    assert_eq!(hotplug_memory::run(&address, "dimm1", 128 << 20).unwrap(), 128 << 20);
    let error = hotplug_memory::run(&address, "dimm2", 128 << 20).unwrap_err();
    assert_eq!(error.command(), Some("device_add"));
}

#[test]
fn memory_that_comes_and_goes() {
    let more = json!({"qom-type": "memory-backend-ram", "id": "more", "size": 256 << 20});
    let device = json!({"driver": "virtio-mem-pci", "id": "vmem0", "memdev": "more"});
    let builder = bare().memory(64 << 20).memory_slots(0, 1 << 30).object(more);
    let vm = Vm::new(builder.device(device));
    let address = vm.address();
    let run = |id, size| block_on(resize_memory::run(&address, id, size, SOON));
    assert_eq!(run("vmem0", 64 << 20).unwrap(), Some(0));
    assert_eq!(run("vmem0", 1 << 30).unwrap_err().command(), Some("qom-set"));
    assert_eq!(run("vmem1", 0).unwrap(), None);
}

#[test]
fn disks_are_unplugged() {
    let vm = Vm::new(bare());
    let path = vm.qcow2("image", 1 << 20, None);
    let file = json!({"driver": "file", "filename": path});
    vm.ask("blockdev-add", json!({"driver": "qcow2", "node-name": "disk-one", "file": file}));
    let device = json!({"driver": "virtio-blk-pci", "id": "one", "drive": "disk-one"});
    vm.ask("device_add", device);
    assert!(block_on(unplug_disk::run(&vm.address(), "one", PATIENCE)).unwrap());
    assert!(!vm.has_node("disk-one"));
    assert!(block_on(unplug_disk::run(&vm.address(), "one", PATIENCE)).unwrap());
}

#[test]
fn backups() {
    let vm = Vm::new(bare());
    vm.add_disk("disk0", &vm.qcow2("disk0", 4 << 20, None));
    let disk = |target: String| backup::Disk { node: "disk0".into(), target, changes: true };
    let small = [disk(vm.qcow2("small", 1 << 20, None))];
    let refused = backup::run(&vm.address(), None, &small, PATIENCE).unwrap_err();
    assert!(refused.server().is_some());
    let full = [disk(vm.qcow2("full", 4 << 20, None))];
    assert!(backup::run(&vm.address(), None, &full, PATIENCE).unwrap().is_empty());
    let bitmaps = vm.ask("query-block", json!({}))[0]["inserted"]["dirty-bitmaps"].clone();
    assert_eq!((&bitmaps[0]["name"], &bitmaps[0]["busy"]), (&json!("backup"), &json!(false)));
    assert_eq!(vm.ask("query-jobs", json!({})), json!([]));
}

#[test]
fn mirrors() {
    let vm = Vm::new(bare());
    vm.add_disk("disk0", &vm.qcow2("disk0", 4 << 20, None));
    let small = vm.qcow2("small", 1 << 20, None);
    assert!(!mirror::run(&vm.address(), "disk0", "new", &small, PATIENCE).unwrap());
    assert_eq!((vm.disks(), vm.has_node("new")), (vec!["disk0".to_owned()], false));
    let image = vm.qcow2("image", 4 << 20, None);
    assert!(mirror::run(&vm.address(), "disk0", "new", &image, PATIENCE).unwrap());
    assert_eq!((vm.disks(), vm.has_node("disk0")), (vec!["new".to_owned()], false));
}

#[test]
fn mirrors_that_take_too_long() {
    let vm = Vm::new(bare().disk_speed(1));
    vm.add_disk("disk0", &vm.qcow2("disk0", 4 << 20, None));
    let image = vm.qcow2("image", 4 << 20, None);
    assert!(!mirror::run(&vm.address(), "disk0", "new", &image, SOON).unwrap());
    assert_eq!((vm.disks(), vm.has_node("new")), (vec!["disk0".to_owned()], false));
}

#[test]
fn commits_and_streams() {
    let vm = Vm::new(bare());
    let base = vm.qcow2("disk0", 4 << 20, None);
    vm.add_disk("disk0", &base);
    let overlay = vm.file("overlay");
    let failure = commit::run(&vm.address(), "disk0", &overlay, || {
        assert_eq!(vm.disks(), ["disk0-overlay"]);
    });
    assert_eq!(failure.unwrap(), None);
    assert_eq!((vm.disks(), vm.has_node("disk0-overlay")), (vec!["disk0".to_owned()], false));
    let nowhere = vm.file("no/overlay");
    let refused = commit::run(&vm.address(), "disk0", &nowhere, || panic!("it was refused"));
    assert!(refused.unwrap_err().server().is_some());

    let other = vm.qcow2("base", 4 << 20, None);
    vm.add_disk("disk1", &vm.qcow2("disk1", 4 << 20, Some(&other)));
    let depth = || {
        let all = vm.ask("query-named-block-nodes", json!({}));
        let node = all.as_array().unwrap().iter().find(|node| node["node-name"] == "disk1");
        node.unwrap()["backing_file_depth"].clone()
    };
    assert_eq!(depth(), 1);
    assert!(block_on(stream::run(&vm.address(), "disk1", PATIENCE)).unwrap().success());
    assert_eq!(depth(), 0);
}

#[test]
fn exports() {
    let vm = Vm::new(Simulator::builder());
    let socket = vm.file("nbd");
    let exported = async {
        assert_eq!(vm.ask("query-block-exports", json!({}))[0]["node-name"], "disk0");
    };
    block_on(nbd_export::run(&vm.address(), "disk0", &socket, exported)).unwrap();
    assert_eq!(vm.ask("query-block-exports", json!({})), json!([]));
    let address = vm.address();
    let refused = nbd_export::run(&address, "no-such-node", &socket, async {});
    assert!(block_on(refused).unwrap_err().server().is_some());
}

#[test]
fn to_another_machine_and_to_nowhere() {
    for paused in [false, true] {
        let source = Vm::new(Simulator::builder());
        let target = Vm::new(Simulator::builder().paused(paused).incoming());
        let uri = format!("unix:{}", target.file("migration"));
        let (from, to) = (source.address(), target.address());
        let moved = live_migration::run(&from, &to, &uri, &uri, PATIENCE);
        assert!(block_on(moved).unwrap());
        assert_eq!(target.status(), RunState::Running);
        assert!(source.simulator.server().has_ended());
    }
    let source = Vm::new(Simulator::builder());
    let target = Vm::new(Simulator::builder().incoming());
    let uri = format!("unix:{}", target.file("migration"));
    let nowhere = format!("{uri}-not");
    let (from, to) = (source.address(), target.address());
    let moved = live_migration::run(&from, &to, &uri, &nowhere, PATIENCE);
    assert!(!block_on(moved).unwrap());
    assert_eq!(source.status(), RunState::Running);
}

#[test]
fn to_a_file_and_back() {
    let source = Vm::new(Simulator::builder());
    let state = source.file("state");
    assert_eq!(save_to_file::save(&source.address(), &state).unwrap(), None);
    assert!(source.simulator.server().has_ended());
    let target = Vm::new(Simulator::builder().paused(true).incoming());
    assert_eq!(save_to_file::restore(&target.address(), &state).unwrap(), None);
    assert_eq!(target.status(), RunState::Running);
    // The file cannot be written, so the guest goes on.
    let source = Vm::new(Simulator::builder());
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert!(!matches!(save_to_file::save_into(&source.address(), full), Ok(None)));
    assert_eq!(source.status(), RunState::Running);
    // A file that is not a saved state is not restored.
    let other = source.file("other");
    std::fs::write(&other, "something else").unwrap();
    let target = Vm::new(Simulator::builder().incoming());
    assert!(!matches!(save_to_file::restore(&target.address(), &other), Ok(None)));
}

#[test]
fn screens() {
    let vm = Vm::new(Simulator::builder());
    let picture = screen::run(&vm.address(), "Hello, World_1!\n", SOON).unwrap();
    assert!(picture.starts_with(b"P6"));
    assert!(picture.len() > 100_000);
}

fn open(path: &str) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn disks_are_plugged_in() {
    let taken = json!({"driver": "virtio-balloon-pci", "id": "taken"});
    let vm = Vm::new(bare().device(taken));
    let address = vm.address();
    let image = vm.qcow2("image", 1 << 20, None);
    let raw = vm.file("raw");
    std::fs::write(&raw, vec![0; 1 << 20]).unwrap();
    hotplug_disk::run(&address, open(&image), hotplug_disk::Format::Qcow2, "one", None).unwrap();
    hotplug_disk::run(&address, open(&raw), hotplug_disk::Format::Raw, "two", None).unwrap();
    assert_eq!(vm.disks(), ["disk-one", "disk-two"]);
    for id in ["one", "two"] {
        assert!(block_on(unplug_disk::run(&address, id, PATIENCE)).unwrap());
    }
    // Each step fails once, and the earlier ones are undone.
    let failures = [
        (hotplug_disk::Format::Qcow2, "three", None, "blockdev-add"),
        (hotplug_disk::Format::Raw, "taken", None, "device_add"),
        (hotplug_disk::Format::Raw, "three", Some("bus7"), "device_add"),
    ];
    for (format, id, bus, command) in failures {
        let failed = hotplug_disk::run(&address, open(&raw), format, id, bus).unwrap_err();
        assert_eq!(failed.command(), Some(command));
    }
    assert_eq!(vm.disks(), Vec::<String>::new());
    assert_eq!(vm.ask("query-named-block-nodes", json!({})), json!([]));
    assert_eq!(vm.ask("query-fdsets", json!({})), json!([]));
}

#[test]
fn network_cards() {
    const MAC: &str = "52:54:00:0c:00:17";
    let taken = json!({"driver": "virtio-balloon-pci", "id": "nic-net2"});
    let vm = Vm::new(bare().device(taken));
    let address = vm.address();
    let backend = |kind| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let queues = vec![theirs.into()];
        (ours, hotplug_nic::Backend { kind, queues, vhost: Vec::new() })
    };
    let (_peer, socket) = backend(hotplug_nic::Kind::Socket);
    hotplug_nic::run(&address, "net1", MAC, socket).unwrap();
    let filters = vm.ask("query-rx-filter", json!({}));
    assert_eq!((&filters[0]["name"], &filters[0]["main-mac"]), (&json!("nic-net1"), &json!(MAC)));
    // The card is refused, or the back end.
    let (_peer, socket) = backend(hotplug_nic::Kind::Socket);
    let taken = hotplug_nic::run(&address, "net2", MAC, socket).unwrap_err();
    assert_eq!(taken.command(), Some("device_add"));
    let (_peer, tap) = backend(hotplug_nic::Kind::Tap);
    let no_tap = hotplug_nic::run(&address, "net3", MAC, tap).unwrap_err();
    assert_eq!(no_tap.command(), Some("netdev_add"));
    let netdevs = vm.ask("query-rx-filter", json!({}));
    assert_eq!(netdevs.as_array().unwrap().len(), 1, "{netdevs}");
}

#[test]
fn ports_of_the_guest_agent() {
    let builder = bare().device(json!({"driver": "virtio-serial-pci", "id": "serial"}));
    let vm = Vm::new(builder.device(json!({"driver": "virtio-balloon-pci", "id": "taken"})));
    let chardevs = || vm.ask("query-chardev", json!({})).to_string();
    let (before, socket) = (chardevs(), vm.file("agent"));
    let taken = own_workflow::plug_agent(&vm.test, "taken", &socket).unwrap_err();
    assert_eq!(taken.command(), Some("device_add"));
    assert_eq!(chardevs(), before);
    own_workflow::plug_agent(&vm.test, "agent", &socket).unwrap();
    let again = own_workflow::plug_agent(&vm.test, "agent", &socket).unwrap_err();
    assert_eq!(again.command(), Some("chardev-add"));
    assert!(chardevs().contains("chardev-agent"));
}

#[test]
fn programs_and_files_of_the_guest() {
    let sh = Program::exits(3).stdout("out\n").stderr("err\n");
    let agent = AgentSimulator::builder().program("/bin/sh", sh).build();
    let directory = Directory::new();
    let listener = UnixListener::bind(directory.file("agent")).unwrap();
    let address = format!("unix:{}", directory.file("agent"));
    let server = agent.clone();
    std::thread::spawn(move || server.serve_unix(&listener));
    let run = |program: &str| block_on(guest_exec::run(&address, program, &[], PATIENCE));
    let output = run("/bin/sh").unwrap();
    assert_eq!(output.exitcode, Some(3));
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    assert!(run("/no/such/program").unwrap_err().server().is_some());
    let bytes: Vec<u8> = (0..200_001_u32).map(|number| number.to_le_bytes()[1]).collect();
    guest_files::put(&address, "/tmp/file", &bytes).unwrap();
    agent.with_guest(|guest| assert_eq!(guest.file("/tmp/file"), Some(&bytes[..])));
    for (limit, fits) in [(bytes.len(), true), (bytes.len() - 1, false)] {
        let read = guest_files::get(&address, "/tmp/file", limit).unwrap();
        assert_eq!(read.as_ref(), fits.then_some(&bytes), "{limit}");
    }
    assert!(guest_files::get(&address, "/no/such/file", 1).unwrap_err().server().is_some());
}

/// A program that takes the place of QEMU: a script that runs [`stand_in`] of this test with its
/// options.
fn stand_in_for_qemu(directory: &Directory) -> String {
    let path = directory.file("qemu-system-x86_64");
    let this = std::env::current_exe().unwrap();
    let run = format!("'{}' --exact stand_in --ignored --nocapture", this.display());
    // What the test is run by can only take a descriptor as its standard input.
    let monitor =
        "for word; do case $word in *,fd=[0-9]) eval \"exec <&${word##*=}\" ;; esac; done";
    std::fs::write(&path, format!("#!/bin/sh\n{monitor}\nOPTIONS=\"$*\" exec {run}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
#[ignore = "runs in the place of QEMU"]
fn stand_in() {
    let Ok(options) = std::env::var("OPTIONS") else { return };
    let options: Vec<&str> = options.split(' ').collect();
    let value = |name: &str| {
        let at = options.iter().position(|option| *option == name);
        at.map(|at| options[at + 1])
    };
    let builder = Simulator::builder().machine_type(value("-M").unwrap());
    let simulator = match builder.paused(options.contains(&"-S")).try_build() {
        Ok(simulator) => simulator,
        Err(error) => {
            eprintln!("{}", error.desc);
            std::process::exit(1);
        }
    };
    match value("-qmp").unwrap().strip_prefix("unix:") {
        Some(address) => {
            let path = address.split(',').next().unwrap();
            let _ = std::fs::remove_file(path);
            let listener = UnixListener::bind(path).unwrap();
            simulator.server().serve_unix(&listener).unwrap();
        }
        // The standard input is a socket.
        None => {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            let client = UnixStream::from(stdin);
            let server = simulator.connect().unwrap();
            let pump = |mut from: UnixStream, mut to: UnixStream| {
                move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                }
            };
            let requests = pump(client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(requests);
            pump(server, client)();
        }
    }
    std::process::exit(0);
}

#[test]
fn programs_that_start_qemu() {
    let directory = Directory::new();
    let qemu = stand_in_for_qemu(&directory);
    let options = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let (good, wrong) = (options("-M none -display none -S"), options("-M nonsense"));
    let ended = launch::run(&qemu, &good, PATIENCE, |vm| {
        vm.execute(QueryStatus::new()).map(|info| assert_eq!(info.status, RunState::Prelaunch))
    });
    assert_eq!(ended.unwrap().by, EndedBy::Quit);
    let error = launch::run(&qemu, &wrong, PATIENCE, |_| Ok(())).unwrap_err();
    assert!(error.report().contains("unsupported machine type"), "{error:?}");

    let socket = directory.file("qmp");
    // The stale socket of an earlier QEMU.
    drop(UnixListener::bind(&socket).unwrap());
    let (vm, mut child) = wait_for_start::run(Path::new(&socket), &qemu, &good).unwrap();
    vm.quit().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(wait_for_start::run(Path::new(&socket), &qemu, &wrong).is_err());
}

/// Serves one client as the agent of a guest, which acts on a command instead of answering it.
fn serve_guest(listener: &UnixListener, command: &str, mut act: impl FnMut()) {
    let (stream, _) = listener.accept().unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).unwrap() > 0 {
        let text = line.strip_prefix(&[0xFF]).unwrap_or(&line);
        let request: Value = serde_json::from_slice(text).unwrap();
        let name = request["execute"].as_str().unwrap();
        let reply = match name {
            "guest-sync-delimited" => {
                stream.get_mut().write_all(b"\xFF").unwrap();
                Some(request["arguments"]["id"].clone())
            }
            name if name == command => {
                act();
                None
            }
            _ => Some(json!({})),
        };
        if let Some(reply) = reply {
            let reply = format!("{}\n", json!({"return": reply}));
            stream.get_mut().write_all(reply.as_bytes()).unwrap();
        }
        line.clear();
    }
}

#[test]
fn guests_suspend_and_reboot() {
    let vm = Vm::new(Simulator::builder());
    let path = vm.file("agent");
    let agent = format!("unix:{path}");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        let suspended = scope.spawn(|| {
            let asleep = async { assert_eq!(vm.status(), RunState::Suspended) };
            block_on(suspend::run(&vm.address(), &agent, PATIENCE, asleep))
        });
        serve_guest(&listener, "guest-suspend-ram", || vm.simulator.suspend_guest());
        suspended.join().unwrap().unwrap();
    });
    assert_eq!(vm.status(), RunState::Running);
    std::thread::scope(|scope| {
        let rebooted = scope.spawn(|| reboot::run(&vm.address(), &agent, PATIENCE));
        serve_guest(&listener, "guest-shutdown", || vm.simulator.reset_guest());
        rebooted.join().unwrap().unwrap();
    });
}
