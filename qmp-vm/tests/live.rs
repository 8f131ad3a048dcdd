//! Tests the blocking client and its workflows with a real QEMU.
//!
//! `build.rs` looks for QEMU: the program that `QMP_TEST_QEMU` names, or `qemu-system-x86_64` on the
//! path. Without it, these tests are ignored, unless `QMP_REQUIRE_QEMU` is set: then one of them
//! fails. `QMP_TEST_SOCKETS` is the directory for sockets, for a QEMU that sees only that one.

#![cfg(all(unix, feature = "blocking"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    AddFd, BlockdevAdd, BlockdevMirror, Cont, CxlInjectDramEvent, DeviceAdd, Getfd, InputSendEvent,
    JobResume, Migrate, MigrateCancel, MigrateContinue, MigratePause, MigrateSetCapabilities,
    MigrateSetParameters, QomList, QueryFdsets, QueryJobs, QueryNamedBlockNodes, QueryQmpSchema,
    QueryStatus, Screendump, Stop as StopMachine, Transaction,
};
use qmp_client::qmp::events::{BlockJobReady, Resume, Shutdown, Stop, Watchdog};
use qmp_client::qmp::types::{
    BlockdevBackup, BlockdevBackupWrapper, BlockdevOnError, BlockdevOptions, CxlEventLog,
    ImageFormat, InputBtnEvent, InputBtnEventWrapper, InputButton, InputEvent, JobStatus,
    MigrationCapability, MigrationCapabilityStatus, MigrationStatus, MirrorSyncMode, QKeyCode,
    RunState, ShutdownCause, TransactionAction, WatchdogAction,
};
use qmp_client::qmp::{AnyEvent, commands};
use qmp_client::{Address, Error, Misuse, Options, Raw};
use qmp_vm::blocking::Launched;
use qmp_vm::{EndedBy, Launch, MigrationOutcome, Unplugged, Workflows};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn program() -> String {
    std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned())
}

/// A path for a socket, which is removed when this is dropped.
struct Socket(PathBuf);

impl Socket {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from);
        Self(directory.join(format!("qmp-vm-{}-{count}", std::process::id())))
    }

    fn address(&self) -> Address {
        self.0.clone().into()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A QEMU that is killed when this is dropped.
struct Qemu(Child);

impl Qemu {
    fn start(arguments: &[&str]) -> Self {
        let command = [&["-display", "none", "-nodefaults"], arguments].concat();
        let spawned = Command::new(program()).args(command).stdin(Stdio::null()).spawn();
        Self(spawned.unwrap())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn options() -> Options {
    Options::new().wait_for_socket(PATIENCE).calls_within(PATIENCE)
}

fn launch() -> Launched {
    let arguments = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
    Launch::new(program()).args(arguments).options(options()).start::<Client>().unwrap()
}

fn status(client: &Client) -> RunState {
    client.execute(QueryStatus::new()).unwrap().status
}

macro_rules! live {
    ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
        $(#[$attribute])*
        #[test]
        #[cfg_attr(
            not(qemu),
            ignore = "needs QEMU: install qemu-system-x86, or name a program in QMP_TEST_QEMU"
        )]
        fn $name() $body
    };
}

#[test]
fn qemu_is_installed_if_it_is_required() {
    let required = std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0");
    assert!(!required || cfg!(qemu), "QMP_REQUIRE_QEMU is set, and {} is not installed", program());
}

live! {
    fn unix_socket() {
        let socket = Socket::new();
        let qmp = format!("unix:{},server=on,wait=off", socket.0.display());
        let mut qemu = Qemu::start(&["-M", "none", "-S", "-qmp", &qmp]);
        let client = Client::connect_to_child(socket.address(), &options(), || qemu.0.try_wait()).unwrap();
        assert!(client.version().qemu.major >= 2);
        assert_eq!(status(&client), RunState::Prelaunch);

        // A monitor serves one client: the second is greeted when the first has left.
        let hasty = Options::new().greeting_within(Duration::from_millis(100));
        let error = Client::connect_with(&qmp, &hasty).unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert!(error.to_string().contains("one client at a time"), "{error}");
        drop(client);

        let client = Client::connect_with(&qmp, &options()).unwrap();
        client.quit().unwrap();
        assert!(qemu.0.wait().unwrap().success());
    }
}

live! {
    fn tcp() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let qmp = format!("tcp:127.0.0.1:{port},server=on,wait=off");
        let mut qemu = Qemu::start(&["-M", "none", "-S", "-qmp", &qmp]);
        let address: Address = qmp.parse().unwrap();
        let client =
            Client::connect_to_child(&address, &options(), || qemu.0.try_wait()).unwrap();
        assert_eq!(status(&client), RunState::Prelaunch);
        client.quit().unwrap();
        assert!(qemu.0.wait().unwrap().success());
    }
}

live! {
    fn pretty_printed() {
        let socket = Socket::new();
        let chardev = format!("socket,id=m,path={},server=on,wait=off", socket.0.display());
        let mut qemu = Qemu::start(&[
            "-M", "none", "-S", "-chardev", &chardev, "-mon", "chardev=m,mode=control,pretty=on",
        ]);
        let client = Client::connect_to_child(socket.address(), &options(), || qemu.0.try_wait()).unwrap();
        assert!(client.execute(QueryQmpSchema::new()).unwrap().len() > 500);
        assert_eq!(status(&client), RunState::Prelaunch);
    }
}

live! {
    fn human_monitor() {
        let socket = Socket::new();
        let monitor = format!("unix:{},server=on,wait=off", socket.0.display());
        let mut qemu = Qemu::start(&["-M", "none", "-S", "-monitor", &monitor]);
        let error = Client::connect_to_child(socket.address(), &options(), || qemu.0.try_wait()).unwrap_err();
        assert!(error.to_string().contains("the peer is a human monitor"), "{error}");
        assert!(error.to_string().contains("QEMU "), "{error}");
    }
}

live! {
    fn launched() {
        let vm = launch();
        let (mut events, mut raw_events) = (vm.events::<AnyEvent>(), vm.raw_events());
        assert_eq!(status(&vm), RunState::Prelaunch);
        assert!(vm.quit().unwrap().success());
        assert!(vm.process().try_wait().unwrap().unwrap().success());
        let event = events.next_within(Duration::ZERO).unwrap().unwrap().event;
        let AnyEvent::Shutdown(shutdown) = event else { panic!("{event:?}") };
        assert_eq!(shutdown.reason, ShutdownCause::HostQmpQuit);
        assert!(raw_events.next_within(Duration::ZERO).unwrap().unwrap().is::<Shutdown>());
        assert!(raw_events.next_within(PATIENCE).unwrap().unwrap_err().is_closed());
        assert!(raw_events.next_within(PATIENCE).is_none());
    }
}

live! {
    /// The process is killed while no command waits, and the next one fails.
    fn killed() {
        let vm = launch();
        vm.process().kill().unwrap();
        let error = vm.execute(QueryStatus::new()).unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        assert!(!vm.quit().unwrap().success());
    }
}

live! {
    fn the_error_of_bad_options_is_that_of_qemu() {
        let begin = Instant::now();
        let error = Launch::new(program()).args(["-M", "nonsense"]).start::<Client>().unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(error.to_string().contains("unsupported machine type"), "{error}");
        assert!(begin.elapsed() < PATIENCE);

        // A socket that is never created is not waited for.
        let socket = Socket::new();
        let mut qemu = Command::new(program())
            .args(["-M", "nonsense"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let error = Client::connect_to_child(socket.address(), &options(), || qemu.try_wait())
            .unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(begin.elapsed() < PATIENCE);
    }
}

live! {
    fn out_of_band() {
        let client = launch();
        assert!(client.oob_enabled());
        let error = client.execute_oob(MigratePause::new()).unwrap_err();
        assert!(error.server().unwrap().desc.contains("postcopy"), "{error:?}");
        drop(client);

        let arguments = ["-M", "none", "-display", "none", "-nodefaults"];
        let options = options().oob(false);
        let client =
            Launch::new(program()).args(arguments).options(options).start::<Client>().unwrap();
        assert!(!client.oob_enabled());
        let error = client.execute_oob(MigratePause::new()).unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::OobNotEnabled { .. })), "{error:?}");
    }
}

live! {
    /// More commands than may be in flight, whose replies are received in another order.
    fn pipelined() {
        let client = launch();
        let send = |path: &str| client.send(QomList::new(path)).unwrap();
        let mut tickets: Vec<_> = (0..50).map(|_| send("/machine")).collect();
        let wrong = send("/nowhere");
        assert!(wrong.receive().unwrap_err().class().is_some());
        while let Some(ticket) = tickets.pop() {
            assert!(!ticket.receive().unwrap().is_empty());
        }
    }
}

live! {
    /// A guest starts its watchdog and hangs: the device's timer expires after at most two seconds.
    fn watchdog() {
        let qtest = Socket::new();
        let client = Launch::new(program())
            .args(["-M", "pc", "-accel", "tcg", "-display", "none", "-nodefaults"])
            .args(["-device", "ib700", "-action", "watchdog=pause"])
            .args(["-qtest", &format!("unix:{},server=on,wait=off", qtest.0.display())])
            .options(options())
            .start::<Client>()
            .unwrap();
        let (mut watchdogs, mut stops) = (client.events_of::<Watchdog>(), client.events_of::<Stop>());
        let mut guest = UnixStream::connect(&qtest.0).unwrap();
        guest.write_all(b"outb 0x443 0xe\n").unwrap();
        let watchdog = watchdogs.next_within(PATIENCE).unwrap().unwrap();
        assert_eq!(watchdog.event.action, WatchdogAction::Pause);
        assert!(watchdog.timestamp.system_time().is_some());
        stops.next_within(PATIENCE).unwrap().unwrap();
        assert_eq!(status(&client), RunState::Watchdog);
    }
}

live! {
    /// The event that follows a command, and not one that arrived before it.
    fn command_and_its_event() {
        let client = launch();
        let mut stops = client.events_of::<Stop>();
        let resumed = client.call(Cont::new()).until(|_: &Resume| true).unwrap();
        assert!(resumed.1.timestamp.system_time().is_some());
        client.execute(StopMachine::new()).unwrap();
        client.execute(Cont::new()).unwrap();
        let (_, stopped) = client.call(StopMachine::new()).until(|_: &Stop| true).unwrap();
        let stale = stops.next_within(PATIENCE).unwrap().unwrap();
        assert!(stale.timestamp < stopped.timestamp);

        // A second `stop` has no effect.
        let call = client.call(StopMachine::new()).within(Duration::from_millis(50));
        let error = call.until(|_: &Stop| true).unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        // If the command fails, the event is not waited for.
        let call = client.call(Raw::<Value>::new("no-such-command"));
        assert!(call.until(|_: &Stop| true).unwrap_err().is_command_not_found());
    }
}

live! {
    fn descriptors() {
        let client = launch();
        let open = || std::fs::File::open("/dev/null").unwrap();
        let add = |set: i64| AddFd::new().fdset_id(set);
        let first = client.call(add(7)).with_fd(open()).send().unwrap();
        let second = client.call(add(8)).with_fd(open()).send().unwrap();
        assert_eq!(second.receive().unwrap().fdset_id, 8);
        assert_eq!(first.receive().unwrap().fdset_id, 7);
        assert_eq!(client.execute(QueryFdsets::new()).unwrap().len(), 2);

        client.call(Getfd::new("null")).with_fd(open()).execute().unwrap();
        let error = client.execute(add(9)).unwrap_err();
        assert!(error.server().unwrap().desc.contains("file descriptor"), "{error:?}");
    }
}

/// Launches a VM with what the workflows need: a USB bus, from which devices are unplugged at once,
/// without asking the guest, a screen, and empty disks.
fn launch_pc(arguments: &[&str]) -> Launched {
    Launch::new(program())
        .args(["-M", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-S"])
        .args(["-device", "qemu-xhci,id=usb", "-device", "usb-tablet,id=tablet"])
        .args(["-device", "VGA"])
        .args(["-blockdev", "null-co,node-name=source,size=16777216,read-zeroes=on"])
        .args(["-blockdev", "null-co,node-name=target,size=16777216"])
        .args(["-blockdev", "null-co,node-name=target2,size=16777216"])
        .args(["-blockdev", "null-co,node-name=target3,size=268435456"])
        .args(arguments)
        .options(options())
        .start::<Client>()
        .unwrap()
}

live! {
    fn unplugging() {
        let client = launch_pc(&[]);
        assert_eq!(client.unplug("tablet", PATIENCE).unwrap(), Unplugged::Deleted);
        let error = client.unplug("tablet", PATIENCE).unwrap_err();
        assert!(error.server().is_some(), "{error:?}");
    }
}

live! {
    fn a_job_to_its_conclusion() {
        let client = launch_pc(&[]);
        for _ in 0..2 {
            let mirror = BlockdevMirror::new("source", "target", MirrorSyncMode::Full)
                .job_id("mirror")
                .auto_dismiss(false)
                .auto_finalize(false);
            let outcome = client.run_job(mirror, "mirror", PATIENCE).unwrap();
            assert!(outcome.success(), "{outcome:?}");
        }
        let wrong = BlockdevMirror::new("source", "nowhere", MirrorSyncMode::Full).job_id("m");
        assert!(client.run_job(wrong, "m", PATIENCE).unwrap_err().server().is_some());
    }
}

/// A disk that takes seconds to read, and one that cannot be read.
const DISKS: [&str; 4] = [
    "-blockdev",
    "null-co,node-name=slow,size=268435456,latency-ns=200000000",
    "-blockdev",
    r#"{"driver": "blkdebug", "node-name": "bad", "image": {"driver": "null-co", "size": 16777216},
        "inject-error": [{"event": "none", "iotype": "read"}]}"#,
];

/// Returns a transaction of backups, each of which is a job, its source and its target.
fn backups(jobs: &[(&str, &str, &str)], dismiss: bool) -> Transaction {
    let action = |(job, source, target): &(&str, &str, &str)| {
        let backup = BlockdevBackup::new(*source, MirrorSyncMode::Full, *target);
        let backup = backup.job_id(*job).auto_dismiss(dismiss);
        TransactionAction::BlockdevBackup(BlockdevBackupWrapper::new(backup))
    };
    Transaction::new(jobs.iter().map(action).collect())
}

live! {
    fn jobs_of_a_transaction() {
        let client = launch_pc(&DISKS);
        let jobs = ["good", "bad"];
        for dismiss in [false, true] {
            let backups =
                backups(&[("good", "source", "target"), ("bad", "bad", "target2")], dismiss);
            let mut watched = client.watch_jobs(jobs);
            client.execute(backups).unwrap();
            // The program does something else meanwhile, which takes longer than the jobs.
            while client.execute(QueryJobs::new()).unwrap().iter().any(|job| {
                !matches!(job.status, JobStatus::Concluded)
            }) {}
            let outcomes = watched.finish(PATIENCE).unwrap();
            assert!(outcomes[0].success(), "{outcomes:?}");
            assert_eq!(outcomes[1].error.as_deref(), Some("Input/output error"));
            assert_eq!(client.execute(QueryJobs::new()).unwrap(), []);
        }
        assert!(!client.watch_jobs(["no-such-job"]).finish(PATIENCE).unwrap()[0].success());
    }
}

live! {
    /// In whatever state the job is cancelled, it is dismissed.
    fn a_job_that_is_cancelled() {
        let client = launch_pc(&DISKS);
        let mut jobs = client.watch_jobs(["job"]);
        client.execute(backups(&[("job", "slow", "target3")], false)).unwrap();
        let soon = Duration::from_millis(50);
        assert!(jobs.finish(soon).unwrap_err().is_timeout());
        assert!(!client.cancel_job("job", PATIENCE).unwrap().success());
        assert_eq!(client.execute(QueryJobs::new()).unwrap(), []);
        assert!(client.cancel_job("job", PATIENCE).unwrap_err().server().is_some());

        // A mirror that is ready is not completed.
        let mirror = BlockdevMirror::new("source", "target", MirrorSyncMode::Full);
        let mirror = client.call(mirror.job_id("job").auto_dismiss(false)).within(PATIENCE);
        mirror.until(|ready: &BlockJobReady| ready.device == "job").unwrap();
        assert!(!client.cancel_job("job", PATIENCE).unwrap().success());
        assert_eq!(client.execute(QueryJobs::new()).unwrap(), []);
    }
}

live! {
    /// The first write fails as on a full disk. The job waits for a command, and then goes on.
    fn a_job_that_an_io_error_has_paused() {
        let full = "blkdebug,node-name=full,image.driver=null-co,image.size=16777216,\
            inject-error.0.event=none,inject-error.0.iotype=write,inject-error.0.errno=28,\
            inject-error.0.once=on";
        let client = launch_pc(&["-blockdev", full]);
        let backup = commands::BlockdevBackup::new("target", MirrorSyncMode::Full, "full")
            .job_id("backup")
            .auto_dismiss(false)
            .on_target_error(BlockdevOnError::Stop);
        let mut jobs = client.watch_jobs(["backup"]);
        client.execute(backup).unwrap();
        let begin = Instant::now();
        for _ in 0..2 {
            let outcomes = jobs.finish(PATIENCE).unwrap();
            assert!(!outcomes[0].concluded && !outcomes[0].success(), "{outcomes:?}");
        }
        client.execute(JobResume::new("backup")).unwrap();
        let outcomes = jobs.finish(PATIENCE).unwrap();
        assert!(outcomes[0].concluded && outcomes[0].success(), "{outcomes:?}");
        assert!(begin.elapsed() < PATIENCE);
    }
}

live! {
    fn a_migration_followed() {
        let client = launch_pc(&[]);
        let mut looks = 0;
        let migrate = Migrate::new().uri("exec:cat > /dev/null");
        let outcome = client.migrate(migrate, PATIENCE, |_| looks += 1).unwrap();
        assert!(outcome.is_completed());
        assert_eq!(outcome.info().status, Some(MigrationStatus::Completed));
        assert!(looks > 0);

        let client = launch_pc(&[]);
        let migrate = Migrate::new().uri("exec:false");
        let outcome = client.migrate(migrate, PATIENCE, |_| {}).unwrap();
        assert!(matches!(outcome, MigrationOutcome::Failed(_)), "{outcome:?}");
        assert_eq!(outcome.info().status, Some(MigrationStatus::Failed));
    }
}

live! {
    /// Another client cancels the migration, and the guest goes on.
    fn a_migration_that_is_cancelled() {
        let client = launch_pc(&[]);
        client.execute(Cont::new()).unwrap();
        // It needs a megabyte, so that it does not end by itself. QEMU takes less than 10 for no limit.
        client.execute(MigrateSetParameters::new().max_bandwidth(50_000_u64)).unwrap();
        let begin = Instant::now();
        let cancelling = client.clone();
        let migrate = Migrate::new().uri("exec:cat >/dev/null");
        let outcome = client.migrate(migrate, PATIENCE, move |info| {
            if info.status == Some(MigrationStatus::Active) {
                cancelling.execute(MigrateCancel::new()).unwrap();
            }
        });
        let outcome = outcome.unwrap();
        assert!(matches!(outcome, MigrationOutcome::Cancelled(_)), "{outcome:?}");
        assert!(begin.elapsed() < PATIENCE);
        assert_eq!(status(&client), RunState::Running);
    }
}

live! {
    /// The connection has ended because a limit was hit, and QEMU lives.
    fn the_end_of_a_connection_is_not_that_of_qemu() {
        let options = options().message_size(10_000);
        let arguments = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
        let vm = Launch::new(program()).args(arguments).options(options).start::<Client>().unwrap();
        vm.execute(QueryQmpSchema::new()).unwrap_err();
        let client = vm.client();
        for error in [client.quit().unwrap_err(), client.shut_down(PATIENCE).unwrap_err()] {
            assert!(error.report().contains("limit of 10000 bytes"), "{}", error.report());
        }
        assert!(vm.process().try_wait().unwrap().is_none());
        // The owner of the process knows a way.
        assert_eq!(vm.shut_down(Duration::from_secs(1)).unwrap().by, EndedBy::Kill);
    }
}

live! {
    /// The guest is stopped until the caller continues the migration.
    fn a_migration_that_pauses_before_the_switchover() {
        let client = launch_pc(&[]);
        let pause = MigrationCapability::PauseBeforeSwitchover;
        let pause = vec![MigrationCapabilityStatus::new(pause, true)];
        client.execute(MigrateSetCapabilities::new(pause)).unwrap();
        let begin = Instant::now();
        let migrate = Migrate::new().uri("exec:cat >/dev/null");
        let outcome = client.migrate(migrate, PATIENCE, |_| {}).unwrap();
        assert!(outcome.is_waiting(), "{outcome:?}");
        assert!(!client.execute(QueryStatus::new()).unwrap().running);
        let switch = MigrateContinue::new(MigrationStatus::PreSwitchover);
        let outcome = client.migrate(switch, PATIENCE, |_| {}).unwrap();
        assert!(outcome.is_completed(), "{outcome:?}");
        assert!(begin.elapsed() < PATIENCE);
        assert_eq!(status(&client), RunState::Postmigrate);
    }
}

live! {
    fn a_disk_that_is_an_open_file() {
        let client = launch_pc(&[]);
        // QEMU 7.2 closes descriptors only while the VM runs.
        client.execute(Cont::new()).unwrap();
        let path = std::env::temp_dir().join(format!("qmp-vm-disk-{}", std::process::id()));
        std::fs::write(&path, vec![0; 65536]).unwrap();
        let open = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let node = |file: &str| {
            let options = json!({"driver": "file", "node-name": "disk", "filename": file});
            BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(options).unwrap())
        };
        let device = |id: &str| DeviceAdd::new("usb-storage").id(id).property("drive", "disk");
        client.plug_disk(open(), "disk", node, device("stick")).unwrap();
        assert_eq!(client.unplug("stick", PATIENCE).unwrap(), Unplugged::Deleted);
        let delete: Raw = Raw::new("blockdev-del").arguments(&json!({"node-name": "disk"}));
        client.execute(delete).unwrap();
        assert!(client.execute(QueryFdsets::new()).unwrap().is_empty());

        // A failure leaves nothing in QEMU.
        let nodes = client.execute(QueryNamedBlockNodes::new()).unwrap().len();
        let error = client.plug_disk(open(), "disk", node, device("tablet")).unwrap_err();
        assert_eq!(error.command(), Some("device_add"));
        assert_eq!(client.execute(QueryNamedBlockNodes::new()).unwrap().len(), nodes);
        assert!(client.execute(QueryFdsets::new()).unwrap().is_empty());
        std::fs::remove_file(&path).unwrap();
    }
}

live! {
    #[cfg(target_os = "linux")]
    fn the_screen_and_the_keyboard() {
        let client = launch_pc(&["-device", "secondary-vga,id=second"]);
        client.execute(Cont::new()).unwrap();
        let image = client.screenshot().unwrap();
        assert!(image.starts_with(b"P6"), "{:?}", &image[..image.len().min(20)]);
        assert!(image.len() > 100_000);
        // Other screens, and another format.
        let other = |path: &str| Screendump::new(path).device("second").head(0);
        let other = client.screenshot_with(other).unwrap();
        assert!(other.starts_with(b"P6"));
        let missing = |path: &str| Screendump::new(path).device("second").head(7);
        assert!(client.screenshot_with(missing).unwrap_err().server().is_some());
        assert!(client.execute(QueryFdsets::new()).unwrap().is_empty());
        if client.capabilities().unwrap().has("screendump/format/png") {
            let png = |path: &str| Screendump::new(path).format(ImageFormat::Png);
            let png = client.screenshot_with(png).unwrap();
            assert!(png.starts_with(b"\x89PNG") && png.len() < image.len());
            println!("{:?}", client.execute(QueryFdsets::new()).unwrap());
        }
        let keys = [QKeyCode::Ctrl, QKeyCode::Alt, QKeyCode::Delete];
        client.press_keys(keys, Duration::from_millis(20)).unwrap();
        let button = |down| {
            let button = InputBtnEvent::new(InputButton::Left, down);
            InputSendEvent::new(vec![InputEvent::Btn(InputBtnEventWrapper::new(button))])
        };
        client.send_input([button(true), button(false)], Duration::from_millis(20)).unwrap();
        client.type_text("Hello, World!\n").unwrap();
        let error = client.type_text("é").unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::NoSuchKey { .. })), "{error:?}");
    }
}

live! {
    fn capabilities() {
        let client = launch();
        let qemu = client.capabilities().unwrap();
        assert!(qemu.supports::<BlockdevMirror>());
        assert!(qemu.emits::<Shutdown>());
        for path in [
            "query-status",
            "blockdev-add/arg-type/driver/qcow2",
            "blockdev-add/driver/qcow2",
            "blockdev-add/arg-type/qcow2/lazy-refcounts",
            "query-status/ret-type/status/running",
            "query-block/ret-type/inserted/image/filename",
            "SHUTDOWN/reason/guest-reset",
            "query-cpus-fast/ret-type/target/x86_64",
            "blockdev-add/arg-type/qcow2/data-file",
            "device_add/$json-cli",
        ] {
            assert!(qemu.has(path), "{path}");
        }
        for path in [
            "query-stotus",
            "query-status/ret-type/status/levitating",
            "blockdev-add/arg-type/driver/qcow2/more",
            "blockdev-add/$no-such-feature",
            "RunState",
        ] {
            assert!(!qemu.has(path), "{path}");
        }
    }
}

live! {
    /// 11.1 requires an argument that 10.0 refuses: the typed command can be used with both.
    fn an_argument_that_only_some_releases_have() {
        let client = launch();
        let qemu = client.capabilities().unwrap();
        let mut inject =
            CxlInjectDramEvent::new("/machine", CxlEventLog::Informational, 0, 0, 0, 0, 0);
        if qemu.has("cxl-inject-dram-event/sub-type") {
            inject = inject.sub_type(0);
        }
        let exists = qemu.supports::<CxlInjectDramEvent>();
        let error = client.execute(inject).unwrap_err();
        println!("{error}");
        // The arguments are accepted, and the object is not memory of that kind.
        assert_eq!(error.is_command_not_found(), !exists);
        assert!(!error.to_string().contains("sub-type"), "{error}");
    }
}

live! {
    /// QEMU does not say that a command of the human monitor failed, other than in the text.
    fn text_of_the_human_monitor() {
        let client = launch();
        let text = client.human_monitor("info status").unwrap();
        assert!(text.as_str().contains("VM status") && text.error().is_none(), "{text}");
        let text = client.human_monitor("device_del nothing").unwrap();
        assert_eq!(text.error(), Some("Device 'nothing' not found"));
        let text = client.human_monitor("no_such_command").unwrap();
        assert_eq!(text.error(), Some("unknown command: 'no_such_command'"));
    }
}

live! {
    /// No guest reacts, so QEMU is ended, and at once where that is known.
    fn shutting_down() {
        let begin = Instant::now();
        let client = launch_pc(&[]);
        let ended = client.shut_down(PATIENCE).unwrap();
        assert_eq!((ended.by, ended.reason), (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit)));
        assert!(client.process().try_wait().unwrap().is_some());
        assert!(begin.elapsed() < PATIENCE);

        let client = launch();
        client.execute(Cont::new()).unwrap();
        let ended = client.shut_down(Duration::from_secs(1)).unwrap();
        assert_eq!((ended.by, ended.reason), (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit)));
    }
}

live! {
    /// QEMU receives a signal while the guest is waited for, which is not the work of the guest.
    fn shut_down_by_a_signal() {
        for (signal, reason) in [("-INT", Some(ShutdownCause::HostSignal)), ("-KILL", None)] {
            let process = Arc::new(AtomicU32::new(0));
            let id = Arc::clone(&process);
            // QEMU sends this event when it has pressed the power button.
            let options = options().transcript(move |_, message| {
                if message.contains("\"POWERDOWN\"") {
                    let id = id.load(Ordering::Relaxed).to_string();
                    Command::new("kill").args([signal, &id]).status().unwrap();
                }
            });
            let arguments = ["-M", "none", "-display", "none", "-nodefaults"];
            let client =
                Launch::new(program()).args(arguments).options(options).start::<Client>().unwrap();
            process.store(client.process().id(), Ordering::Relaxed);
            let ended = client.shut_down(PATIENCE).unwrap();
            assert_eq!((ended.by, ended.reason), (EndedBy::Other, reason));
        }
    }
}

live! {
    /// QEMU goes on executing the commands of a client that has left, and sends their replies to the
    /// next one, which uses the same ids.
    fn replies_to_an_earlier_client_are_dropped() {
        let socket = Socket::new();
        let option = format!("unix:{},server=on,wait=off", socket.0.display());
        let _qemu = Qemu::start(&["-M", "none", "-qmp", &option]);
        let mut foreign = 0;
        for _ in 0..40 {
            let earlier = Client::connect_with(socket.address(), &options()).unwrap();
            let tickets: Vec<_> =
                (0..8).map(|_| earlier.send(QueryQmpSchema::new()).unwrap()).collect();
            drop((earlier, tickets));
            let client = Client::connect_with(socket.address(), &options()).unwrap();
            for _ in 0..8 {
                client.execute(QueryStatus::new()).unwrap();
            }
            foreign += client.dropped().foreign_replies;
        }
        println!("{foreign} replies to the earlier client");
    }
}
