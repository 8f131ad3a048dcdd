//! The blocking client against a real QEMU.
//!
//! `build.rs` looks for one: `qemu-system-x86_64` on the path, or what `QMP_TEST_QEMU` names.
//! Without one these tests are ignored, unless `QMP_REQUIRE_QEMU` is set: then they fail.
//! `QMP_TEST_SOCKETS` names the directory for sockets, for a QEMU that sees no other.

#![cfg(all(unix, feature = "blocking", feature = "qmp"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use qmp_client::blocking::{Client, Launch};
use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{
    AddFd, BlockdevAdd, BlockdevMirror, Cont, DeviceAdd, Getfd, Migrate, MigratePause, QomList,
    QueryFdsets, QueryJobs, QueryNamedBlockNodes, QueryQmpSchema, QueryStatus, Stop as StopMachine,
    Transaction,
};
use qmp_client::qmp::events::{BlockJobReady, Resume, Shutdown, Stop, Watchdog};
use qmp_client::qmp::types::{
    BlockdevBackup, BlockdevBackupWrapper, BlockdevOptions, JobStatus, MigrationStatus,
    MirrorSyncMode, RunState, ShutdownCause, TransactionAction, WatchdogAction,
};
use qmp_client::{Address, EndedBy, Error, Misuse, Options, Raw, Unplugged};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn program() -> String {
    std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned())
}

/// A path for a socket that is removed in the end.
struct Socket(PathBuf);

impl Socket {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from);
        Self(directory.join(format!("qmp-client-{}-{count}", std::process::id())))
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

/// A QEMU that is killed in the end.
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

fn launch() -> Client {
    let arguments = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
    Launch::new(program()).args(arguments).options(options()).start().unwrap()
}

fn status(client: &mut Client) -> RunState {
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
fn qemu_is_there_if_it_is_required() {
    let required = std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0");
    assert!(!required || cfg!(qemu), "QMP_REQUIRE_QEMU is set, and there is no {}", program());
}

live! {
    fn unix_socket() {
        let socket = Socket::new();
        let qmp = format!("unix:{},server=on,wait=off", socket.0.display());
        let mut qemu = Qemu::start(&["-M", "none", "-S", "-qmp", &qmp]);
        let mut client = Client::connect_to_child(&socket.address(), &options(), &mut qemu.0).unwrap();
        assert!(client.version().qemu.major >= 2);
        assert_eq!(status(&mut client), RunState::Prelaunch);

        // A monitor has one client: the second is not greeted before the first has left.
        let hasty = Options::new().greeting_within(Duration::from_millis(100));
        let error = Client::connect_with(&qmp, &hasty).unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert!(error.to_string().contains("one client at a time"), "{error}");
        drop(client);

        let mut client = Client::connect_with(&qmp, &options()).unwrap();
        client.quit().unwrap();
        assert!(qemu.0.wait().unwrap().success());
    }
}

live! {
    fn tcp() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let qmp = format!("tcp:127.0.0.1:{port},server=on,wait=off");
        let mut qemu = Qemu::start(&["-M", "none", "-S", "-qmp", &qmp]);
        let address = qmp.parse().unwrap();
        let mut client = Client::connect_to_child(&address, &options(), &mut qemu.0).unwrap();
        assert_eq!(status(&mut client), RunState::Prelaunch);
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
        let mut client = Client::connect_to_child(&socket.address(), &options(), &mut qemu.0).unwrap();
        assert!(client.execute(QueryQmpSchema::new()).unwrap().len() > 500);
        assert_eq!(status(&mut client), RunState::Prelaunch);
    }
}

live! {
    fn human_monitor() {
        let socket = Socket::new();
        let monitor = format!("unix:{},server=on,wait=off", socket.0.display());
        let mut qemu = Qemu::start(&["-M", "none", "-S", "-monitor", &monitor]);
        let error = Client::connect_to_child(&socket.address(), &options(), &mut qemu.0).unwrap_err();
        assert!(error.to_string().contains("monitor for people"), "{error}");
        assert!(error.to_string().contains("QEMU "), "{error}");
    }
}

live! {
    fn launched() {
        let mut client = launch();
        assert_eq!(status(&mut client), RunState::Prelaunch);
        client.quit().unwrap();
        assert!(client.process().unwrap().try_wait().unwrap().unwrap().success());
        let event = client.next_event::<AnyEvent>(Duration::ZERO).unwrap().event;
        let AnyEvent::Shutdown(shutdown) = event else { panic!("{event:?}") };
        assert_eq!(shutdown.reason, ShutdownCause::HostQmpQuit);
        assert!(client.next_raw_event(PATIENCE).unwrap_err().is_closed());
    }
}

live! {
    /// Somebody else ends it; no command waits, and the end is noticed.
    fn killed() {
        let mut client = launch();
        client.process().unwrap().kill().unwrap();
        let error = client.execute(QueryStatus::new()).unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        client.quit().unwrap();
    }
}

live! {
    fn bad_options_are_told_by_qemu() {
        let begin = Instant::now();
        let error = Launch::new(program()).args(["-M", "nonsense"]).start().unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(error.to_string().contains("unsupported machine type"), "{error}");
        assert!(begin.elapsed() < PATIENCE);

        // With a socket that never comes, it is not waited for.
        let socket = Socket::new();
        let mut qemu = Command::new(program())
            .args(["-M", "nonsense"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let error = Client::connect_to_child(&socket.address(), &options(), &mut qemu).unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(begin.elapsed() < PATIENCE);
    }
}

live! {
    fn out_of_band() {
        let mut client = launch();
        assert!(client.oob_enabled());
        let error = client.execute_oob(MigratePause::new()).unwrap_err();
        assert!(error.server().unwrap().desc.contains("postcopy"), "{error:?}");
        drop(client);

        let arguments = ["-M", "none", "-display", "none", "-nodefaults"];
        let options = options().oob(false);
        let mut client =
            Launch::new(program()).args(arguments).options(options).start().unwrap();
        assert!(!client.oob_enabled());
        let error = client.execute_oob(MigratePause::new()).unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::OobNotEnabled { .. })), "{error:?}");
    }
}

live! {
    /// More commands than may be in flight, and their replies in another order.
    fn pipelined() {
        let mut client = launch();
        let ask = |client: &mut Client, path: &str| {
            client.send(QomList::new(path)).unwrap()
        };
        let mut tickets: Vec<_> = (0..50).map(|_| ask(&mut client, "/machine")).collect();
        let wrong = ask(&mut client, "/nowhere");
        assert!(client.receive(wrong).unwrap_err().class().is_some());
        while let Some(ticket) = tickets.pop() {
            assert!(!client.receive(ticket).unwrap().is_empty());
        }
    }
}

live! {
    /// A guest starts its watchdog and dies: the device's timer ends after two seconds at most.
    fn watchdog() {
        let qtest = Socket::new();
        let mut client = Launch::new(program())
            .args(["-M", "pc", "-accel", "tcg", "-display", "none", "-nodefaults"])
            .args(["-device", "ib700", "-action", "watchdog=pause"])
            .args(["-qtest", &format!("unix:{},server=on,wait=off", qtest.0.display())])
            .options(options())
            .start()
            .unwrap();
        let mut guest = UnixStream::connect(&qtest.0).unwrap();
        guest.write_all(b"outb 0x443 0xe\n").unwrap();
        let watchdog = client.wait_for(|_: &Watchdog| true, PATIENCE).unwrap();
        assert_eq!(watchdog.event.action, WatchdogAction::Pause);
        assert!(watchdog.timestamp.system_time().is_some());
        client.wait_for(|_: &Stop| true, PATIENCE).unwrap();
        assert_eq!(status(&mut client), RunState::Watchdog);
    }
}

live! {
    /// The event that a command brings about, and not one that was there before it.
    fn command_and_its_event() {
        let mut client = launch();
        let resumed = client.call(Cont::new()).until(|_: &Resume| true).unwrap();
        assert!(resumed.1.timestamp.system_time().is_some());
        client.execute(StopMachine::new()).unwrap();
        client.execute(Cont::new()).unwrap();
        let (_, stopped) = client.call(StopMachine::new()).until(|_: &Stop| true).unwrap();
        let stale = client.wait_for(|_: &Stop| true, PATIENCE).unwrap();
        assert!(stale.timestamp < stopped.timestamp);

        // A second `stop` stops nothing.
        let call = client.call(StopMachine::new()).within(Duration::from_millis(50));
        let error = call.until(|_: &Stop| true).unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        // A command that fails is not waited for.
        let call = client.call(Raw::<Value>::new("no-such-command"));
        assert!(call.until(|_: &Stop| true).unwrap_err().is_command_not_found());
    }
}

live! {
    fn descriptors() {
        let mut client = launch();
        let open = || std::fs::File::open("/dev/null").unwrap();
        let add = |set: i64| AddFd::new().fdset_id(set);
        let first = client.call(add(7)).descriptor(open()).send().unwrap();
        let second = client.call(add(8)).descriptor(open()).send().unwrap();
        assert_eq!(client.receive(second).unwrap().fdset_id, 8);
        assert_eq!(client.receive(first).unwrap().fdset_id, 7);
        assert_eq!(client.execute(QueryFdsets::new()).unwrap().len(), 2);

        client.call(Getfd::new("null")).descriptor(open()).execute().unwrap();
        let error = client.execute(add(9)).unwrap_err();
        assert!(error.server().unwrap().desc.contains("file descriptor"), "{error:?}");
    }
}

/// A machine with what the helpers need: a USB bus, where a device goes at once and no guest has
/// to agree, a screen, and two disks of nothing.
fn launch_pc(arguments: &[&str]) -> Client {
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
        .start()
        .unwrap()
}

live! {
    fn unplugging() {
        let mut client = launch_pc(&[]);
        assert_eq!(client.unplug("tablet", PATIENCE).unwrap(), Unplugged::Deleted);
        let error = client.unplug("tablet", PATIENCE).unwrap_err();
        assert!(error.server().is_some(), "{error:?}");
    }
}

live! {
    fn a_job_to_its_conclusion() {
        let mut client = launch_pc(&[]);
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

/// One transaction of backups, from a disk to a disk, by these jobs.
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
        let mut client = launch_pc(&DISKS);
        let jobs = ["good", "bad"];
        for dismiss in [false, true] {
            let backups =
                backups(&[("good", "source", "target"), ("bad", "bad", "target2")], dismiss);
            client.execute(backups).unwrap();
            // Something else is done meanwhile, and takes longer than the jobs do.
            while client.execute(QueryJobs::new()).unwrap().iter().any(|job| {
                !matches!(job.status, JobStatus::Concluded)
            }) {}
            let outcomes = client.finish_jobs(&jobs, PATIENCE).unwrap();
            assert!(outcomes[0].success(), "{outcomes:?}");
            assert_eq!(outcomes[1].error.as_deref(), Some("Input/output error"));
            assert_eq!(client.execute(QueryJobs::new()).unwrap(), []);
        }
        assert!(!client.finish_jobs(&["no-such-job"], PATIENCE).unwrap()[0].success());
    }
}

live! {
    /// Nothing is left of it, in whatever state it is cancelled.
    fn a_job_that_is_cancelled() {
        let mut client = launch_pc(&DISKS);
        client.execute(backups(&[("job", "slow", "target3")], false)).unwrap();
        let soon = Duration::from_millis(50);
        assert!(client.finish_jobs(&["job"], soon).unwrap_err().is_timeout());
        assert!(!client.cancel_job("job", PATIENCE).unwrap().success());
        assert_eq!(client.execute(QueryJobs::new()).unwrap(), []);
        assert!(client.cancel_job("job", PATIENCE).unwrap_err().server().is_some());

        // One that is ready is not completed by that.
        let mirror = BlockdevMirror::new("source", "target", MirrorSyncMode::Full);
        client.execute(mirror.job_id("job").auto_dismiss(false)).unwrap();
        client.wait_for(|ready: &BlockJobReady| ready.device == "job", PATIENCE).unwrap();
        assert!(!client.cancel_job("job", PATIENCE).unwrap().success());
        assert_eq!(client.execute(QueryJobs::new()).unwrap(), []);
    }
}

live! {
    fn a_migration_followed() {
        let mut client = launch_pc(&[]);
        let mut looks = 0;
        let migrate = Migrate::new().uri("exec:cat > /dev/null");
        let info = client.migrate(migrate, PATIENCE, |_| looks += 1).unwrap();
        assert_eq!(info.status, Some(MigrationStatus::Completed));
        assert!(looks > 0);

        let mut client = launch_pc(&[]);
        let migrate = Migrate::new().uri("exec:false");
        let info = client.migrate(migrate, PATIENCE, |_| {}).unwrap();
        assert_eq!(info.status, Some(MigrationStatus::Failed));
    }
}

live! {
    fn a_disk_that_is_an_open_file() {
        let mut client = launch_pc(&[]);
        // QEMU 7.2 closes descriptors only while the machine runs.
        client.execute(Cont::new()).unwrap();
        let path = std::env::temp_dir().join(format!("qmp-client-disk-{}", std::process::id()));
        std::fs::write(&path, vec![0; 65536]).unwrap();
        let open = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let node = |file: &str| {
            let options = json!({"driver": "file", "node-name": "disk", "filename": file});
            BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(options).unwrap())
        };
        let device = |id: &str| DeviceAdd::new("usb-storage").id(id).property("drive", "disk");
        client.plug_disk(open(), "disk", node, device("stick")).unwrap();
        assert_eq!(client.unplug("stick", PATIENCE).unwrap(), Unplugged::Deleted);
        client.execute_raw::<Value>("blockdev-del", Some(&json!({"node-name": "disk"}))).unwrap();
        assert!(client.execute(QueryFdsets::new()).unwrap().is_empty());

        // What a failure leaves behind: nothing.
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
        let mut client = launch_pc(&[]);
        client.execute(Cont::new()).unwrap();
        let image = client.screenshot().unwrap();
        assert!(image.starts_with(b"P6"), "{:?}", &image[..image.len().min(20)]);
        assert!(image.len() > 100_000);
        client.type_text("Hello, World!\n").unwrap();
        let error = client.type_text("é").unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::NoSuchKey { .. })), "{error:?}");
    }
}

live! {
    fn what_it_can_do() {
        let mut client = launch();
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
        assert!(client.human_monitor("info status").unwrap().contains("VM status"));
    }
}

live! {
    /// There is no guest that would react: QEMU is ended, at once where that is known.
    fn shutting_down() {
        let begin = Instant::now();
        let mut client = launch_pc(&[]);
        let how = client.shut_down(PATIENCE).unwrap();
        assert_eq!((how.by, how.reason), (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit)));
        assert!(client.process().unwrap().try_wait().unwrap().is_some());
        assert!(begin.elapsed() < PATIENCE);

        let mut client = launch();
        client.execute(Cont::new()).unwrap();
        let how = client.shut_down(Duration::from_secs(1)).unwrap();
        assert_eq!((how.by, how.reason), (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit)));
    }
}

live! {
    /// Its user presses Ctrl+C while the guest is waited for: that was not the guest.
    fn somebody_else_shuts_down() {
        for (signal, reason) in [("-INT", Some(ShutdownCause::HostSignal)), ("-KILL", None)] {
            let process = Arc::new(AtomicU32::new(0));
            let id = Arc::clone(&process);
            // The button has been pressed.
            let options = options().transcript(move |_, message| {
                if message.contains("\"POWERDOWN\"") {
                    let id = id.load(Ordering::Relaxed).to_string();
                    Command::new("kill").args([signal, &id]).status().unwrap();
                }
            });
            let arguments = ["-M", "none", "-display", "none", "-nodefaults"];
            let mut client =
                Launch::new(program()).args(arguments).options(options).start().unwrap();
            process.store(client.process().unwrap().id(), Ordering::Relaxed);
            let how = client.shut_down(PATIENCE).unwrap();
            assert_eq!((how.by, how.reason), (EndedBy::Other, reason));
        }
    }
}

live! {
    /// QEMU goes on with the commands of a client that has left, and gives their replies to the
    /// next one, which uses the same ids.
    fn replies_to_an_earlier_client_are_nobodys() {
        let socket = Socket::new();
        let option = format!("unix:{},server=on,wait=off", socket.0.display());
        let _qemu = Qemu::start(&["-M", "none", "-qmp", &option]);
        let mut foreign = 0;
        for _ in 0..40 {
            let mut earlier = Client::connect_to(&socket.address(), &options()).unwrap();
            let tickets: Vec<_> =
                (0..8).map(|_| earlier.send(QueryQmpSchema::new()).unwrap()).collect();
            drop((earlier, tickets));
            let mut client = Client::connect_to(&socket.address(), &options()).unwrap();
            for _ in 0..8 {
                client.execute(QueryStatus::new()).unwrap();
            }
            foreign += client.dropped().foreign_replies;
        }
        println!("{foreign} replies to the earlier client");
    }
}
