//! Tests the asynchronous client and its workflows with a real QEMU; `live.rs` says how it is found.

#![cfg(all(unix, feature = "tokio"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod stopped;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{
    AddFd, BlockdevAdd, BlockdevDel, BlockdevMirror, Cont, DeviceAdd, Getfd, Migrate,
    MigrateCancel, MigratePause, MigrateSetParameters, QueryFdsets, QueryJobs,
    QueryNamedBlockNodes, QueryQmpSchema, QueryStatus, QueryVersion, Stop, Transaction,
};
use qmp_client::qmp::events::{BlockJobReady, Resume};
use qmp_client::qmp::types::{
    BlockdevBackup, BlockdevBackupWrapper, BlockdevOptions, JobStatus, MigrationStatus,
    MirrorSyncMode, ShutdownCause, TransactionAction,
};
use qmp_client::{Client, Error, Misuse, Options, Pending, Raw};
use qmp_vm::{EndedBy, MigrationOutcome, Unplugged, Workflows};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use stopped::stop;

const PATIENCE: Duration = Duration::from_secs(30);

/// A QEMU that is killed when this is dropped.
struct Qemu {
    child: Child,
    socket: PathBuf,
}

impl Qemu {
    fn start(arguments: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from);
        let socket = directory.join(format!("qmp-tokio-{}-{count}", std::process::id()));
        let program =
            std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
        let child = Command::new(program)
            .args(["-display", "none", "-nodefaults", "-S", "-accel", "tcg"])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn();
        Self { child: child.unwrap(), socket }
    }

    async fn connect(&self) -> Client {
        let options = Options::new().wait_for_socket(PATIENCE).calls_within(PATIENCE);
        let address = format!("unix:{}", self.socket.display());
        Client::connect_with(&address, &options).await.unwrap()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

macro_rules! live {
    ($(#[$attribute:meta])* async fn $name:ident() $body:block) => {
        $(#[$attribute])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[cfg_attr(
            not(qemu),
            ignore = "needs QEMU: install qemu-system-x86, or name a program in QMP_TEST_QEMU"
        )]
        async fn $name() $body
    };
}

live! {
    /// Sixteen tasks execute a thousand commands, while events arrive.
    async fn many_tasks() {
        let qemu = Qemu::start(&["-M", "none"]);
        let client = qemu.connect().await;
        let mut events = client.events::<AnyEvent>();
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let client = client.clone();
                tokio::spawn(async move {
                    for _ in 0..63 {
                        match task {
                            0 => drop(client.execute(Cont::new()).await.unwrap()),
                            1 => drop(client.execute(Stop::new()).await.unwrap()),
                            2 => drop(client.execute(QueryVersion::new()).await.unwrap()),
                            _ => drop(client.execute(QueryStatus::new()).await.unwrap()),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(events.next_within(PATIENCE).await.unwrap().is_ok());
        assert_eq!((client.pending().calls, client.pending().subscriptions), (0, 1));
        assert_eq!(client.dropped(), Default::default());
        client.quit().await.unwrap();
    }
}

live! {
    /// The queries of an overview of a VM. On a busy host, a single round does not show the
    /// difference, so they are repeated until it shows, for a limited time.
    async fn pipelined_queries_are_faster() {
        const QUERIES: [&str; 12] = [
            "query-name",
            "query-status",
            "query-version",
            "query-uuid",
            "query-cpus-fast",
            "query-block",
            "query-blockstats",
            "query-named-block-nodes",
            "query-pci",
            "query-chardev",
            "query-iothreads",
            "query-memory-size-summary",
        ];
        let qemu = Qemu::start(&["-M", "q35", "-blockdev", "null-co,node-name=n0"]);
        let client = qemu.connect().await;
        let query = |name| client.execute(Raw::<Box<RawValue>>::new(name));
        let (mut one_by_one, mut together) = (Duration::ZERO, Duration::ZERO);
        let begin = Instant::now();
        loop {
            for _ in 0..20 {
                let now = Instant::now();
                for name in QUERIES {
                    query(name).await.unwrap();
                }
                one_by_one += now.elapsed();
                let now = Instant::now();
                let calls = QUERIES.map(|name| tokio::spawn(query(name)));
                for call in calls {
                    call.await.unwrap().unwrap();
                }
                together += now.elapsed();
            }
            let ratio = one_by_one.as_secs_f64() / together.as_secs_f64();
            println!("together {ratio:.2} times as fast as one by one");
            if ratio >= 1.3 {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "{one_by_one:?} {together:?}");
        }
    }
}

live! {
    /// Out-of-band commands do not wait for earlier commands.
    async fn out_of_band_overtakes() {
        let qemu = Qemu::start(&["-M", "none"]);
        let client = qemu.connect().await;
        let slow: Vec<_> =
            (0..30).map(|_| tokio::spawn(client.execute(QueryQmpSchema::new()))).collect();
        tokio::task::yield_now().await;
        let error = client.execute_oob(MigratePause::new()).await.unwrap_err();
        assert!(error.server().is_some(), "{error:?}");
        assert!(slow.iter().any(|call| !call.is_finished()));
        for call in slow {
            assert!(call.await.unwrap().unwrap().len() > 500);
        }
    }
}

live! {
    /// All waiters fail at once, rather than when their deadlines pass.
    async fn a_killed_qemu_fails_all_waiters() {
        let mut qemu = Qemu::start(&["-M", "none"]);
        let client = qemu.connect().await;
        let mut events = client.raw_events();
        stop(qemu.child.id());
        let calls: Vec<_> =
            (0..20).map(|_| tokio::spawn(client.execute(QueryStatus::new()))).collect();
        let submitted = async {
            while client.pending().calls < calls.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, submitted).await.unwrap();
        assert!(calls.iter().all(|call| !call.is_finished()));
        let begin = Instant::now();
        qemu.child.kill().unwrap();
        for call in calls {
            let error = call.await.unwrap().unwrap_err();
            assert!(error.is_closed(), "{error:?}");
        }
        assert!(events.next().await.unwrap().unwrap_err().is_closed());
        assert!(events.next().await.is_none());
        assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
        assert_eq!(client.pending().calls, 0);
        drop(events);
        assert_eq!(client.pending(), Pending::default());
    }
}

live! {
    async fn commands_and_their_events() {
        let qemu = Qemu::start(&["-M", "pc", "-device", "qemu-xhci,id=usb",
            "-device", "usb-tablet,id=tablet",
            "-blockdev", "null-co,node-name=source,size=16777216,read-zeroes=on",
            "-blockdev", "null-co,node-name=target,size=16777216",
        ]);
        let client = qemu.connect().await;
        client.call(Cont::new()).until(|_: &Resume| true).await.unwrap();
        assert_eq!(client.unplug("tablet", PATIENCE).await.unwrap(), Unplugged::Deleted);
        let mirror = BlockdevMirror::new("source", "target", MirrorSyncMode::Full)
            .job_id("mirror")
            .auto_dismiss(false);
        assert!(client.run_job(mirror, "mirror", PATIENCE).await.unwrap().success());
        assert!(client.capabilities().await.unwrap().supports::<AddFd>());
        assert_eq!(client.pending(), Pending::default());
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
    async fn jobs_of_a_transaction() {
        let mut arguments = vec!["-M", "none"];
        let targets = [
            "null-co,node-name=source,size=16777216,read-zeroes=on",
            "null-co,node-name=target,size=16777216",
            "null-co,node-name=target2,size=16777216",
            "null-co,node-name=target3,size=268435456",
        ];
        arguments.extend(targets.iter().flat_map(|target| ["-blockdev", target]));
        arguments.extend(DISKS);
        let qemu = Qemu::start(&arguments);
        let client = qemu.connect().await;
        for dismiss in [false, true] {
            let mut jobs = client.watch_jobs(["good", "bad"]);
            let backups =
                backups(&[("good", "source", "target"), ("bad", "bad", "target2")], dismiss);
            client.execute(backups).await.unwrap();
            // The program does something else meanwhile, which takes longer than the jobs.
            while client.execute(QueryJobs::new()).await.unwrap().iter().any(|job| {
                !matches!(job.status, JobStatus::Concluded)
            }) {}
            let outcomes = jobs.finish(PATIENCE).await.unwrap();
            assert!(outcomes[0].success(), "{outcomes:?}");
            assert_eq!(outcomes[1].error.as_deref(), Some("Input/output error"));
            assert_eq!(client.execute(QueryJobs::new()).await.unwrap(), []);
        }
        let mut jobs = client.watch_jobs(["job"]);
        client.execute(backups(&[("job", "slow", "target3")], false)).await.unwrap();
        let soon = Duration::from_millis(50);
        assert!(jobs.finish(soon).await.unwrap_err().is_timeout());
        assert!(!client.cancel_job("job", PATIENCE).await.unwrap().success());
        assert_eq!(client.execute(QueryJobs::new()).await.unwrap(), []);
        assert!(client.cancel_job("job", PATIENCE).await.unwrap_err().server().is_some());

        // A mirror that is ready is not completed.
        let mirror = BlockdevMirror::new("source", "target", MirrorSyncMode::Full);
        let mirror = client.call(mirror.job_id("job").auto_dismiss(false));
        mirror.until(|ready: &BlockJobReady| ready.device == "job").await.unwrap();
        assert!(!client.cancel_job("job", PATIENCE).await.unwrap().success());
        drop(jobs);
        assert_eq!(client.execute(QueryJobs::new()).await.unwrap(), []);
        assert_eq!(client.pending(), Pending::default());
    }
}

live! {
    async fn descriptors() {
        let qemu = Qemu::start(&["-M", "pc"]);
        let client = qemu.connect().await;
        let open = || {
            std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap()
        };
        let (one, two) = tokio::join!(
            client.call(AddFd::new().fdset_id(7)).with_fd(open()).execute(),
            client.call(AddFd::new().fdset_id(8)).with_fd(open()).execute(),
        );
        assert_eq!((one.unwrap().fdset_id, two.unwrap().fdset_id), (7, 8));
        assert_eq!(client.execute(QueryFdsets::new()).await.unwrap().len(), 2);
        let node = json!({"driver": "file", "node-name": "null", "filename": "/dev/fdset/7",
            "read-only": true});
        let add: Raw = Raw::new("blockdev-add").arguments(&node);
        client.execute(add).await.unwrap();

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.call(Getfd::new("tap")).with_fd(tap).execute().await.unwrap();
        let netdev = json!({"type": "socket", "id": "net", "fd": "tap"});
        let added: Value =
            client.execute(Raw::new("netdev_add").arguments(&netdev)).await.unwrap();
        assert_eq!(added, json!({}));
    }
}

/// A file that every QEMU sees, and that is removed when this is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let directory =
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from);
        Self(directory.join(format!("qmp-tokio-{name}-{}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

live! {
    /// No guest reacts, so QEMU is ended, and at once where that is known.
    async fn shutting_down() {
        let begin = Instant::now();
        for (started, patience) in [(false, PATIENCE), (true, Duration::from_secs(1))] {
            let mut qemu = Qemu::start(&["-M", "none"]);
            let client = qemu.connect().await;
            if started {
                client.execute(Cont::new()).await.unwrap();
            }
            let ended = client.shut_down(patience).await.unwrap();
            assert_eq!((ended.by, ended.reason), (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit)));
            assert!(qemu.child.wait().unwrap().success());
        }
        assert!(begin.elapsed() < PATIENCE);
    }
}

live! {
    async fn a_migration_to_a_file() {
        let qemu = Qemu::start(&["-M", "pc"]);
        let client = qemu.connect().await;
        let file = Temporary::new("state");
        let mut seen = Vec::new();
        let uri = format!("exec:cat > {}", file.0.display());
        let outcome = client
            .migrate(Migrate::new().uri(uri), PATIENCE, |info| seen.push(info.status.clone()))
            .await
            .unwrap();
        assert!(outcome.is_completed());
        assert_eq!(outcome.info().status, Some(MigrationStatus::Completed));
        assert_eq!(seen.last().unwrap(), &outcome.info().status);
        assert!(std::fs::metadata(&file.0).unwrap().len() > 10_000);

        let qemu = Qemu::start(&["-M", "pc"]);
        let client = qemu.connect().await;
        let failing = Migrate::new().uri("exec:false");
        let outcome = client.migrate(failing, PATIENCE, |_| {}).await.unwrap();
        assert!(matches!(outcome, MigrationOutcome::Failed(_)), "{outcome:?}");
        assert_eq!(outcome.info().status, Some(MigrationStatus::Failed));
    }
}

live! {
    /// Another client cancels the migration, and the guest goes on.
    async fn a_migration_that_is_cancelled() {
        let qemu = Qemu::start(&["-M", "pc"]);
        let client = qemu.connect().await;
        client.execute(Cont::new()).await.unwrap();
        // It needs a megabyte, so that it does not end by itself. QEMU takes less than 10 for no limit.
        client.execute(MigrateSetParameters::new().max_bandwidth(50_000_u64)).await.unwrap();
        let active = tokio::sync::Notify::new();
        let migrate = async {
            let migrate = Migrate::new().uri("exec:cat >/dev/null");
            let outcome = client.migrate(migrate, PATIENCE, |info| {
                if info.status == Some(MigrationStatus::Active) {
                    active.notify_one();
                }
            });
            let outcome = outcome.await;
            // If it has ended before, the outcome is shown.
            active.notify_one();
            outcome
        };
        let cancel = async {
            active.notified().await;
            client.execute(MigrateCancel::new()).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(migrate, cancel);
        let outcome = outcome.unwrap();
        assert!(matches!(outcome, MigrationOutcome::Cancelled(_)), "{outcome:?}");
        assert!(client.execute(QueryStatus::new()).await.unwrap().running);
    }
}

live! {
    /// The connection has ended because a limit was hit, or by `close`, and QEMU lives.
    async fn the_end_of_a_connection_is_not_that_of_qemu() {
        let mut qemu = Qemu::start(&["-M", "none"]);
        let options = Options::new().message_size(10_000).wait_for_socket(PATIENCE);
        let address = format!("unix:{}", qemu.socket.display());
        for closes in [false, true] {
            // QEMU may first send what is left of its reply to the previous client.
            let begin = Instant::now();
            let client = loop {
                match Client::connect_with(&address, &options).await {
                    Err(Error::Protocol(_)) if begin.elapsed() < PATIENCE => {}
                    connected => break connected.unwrap(),
                }
            };
            match closes {
                true => client.close(),
                false => drop(client.execute(QueryQmpSchema::new()).await.unwrap_err()),
            }
            assert!(client.quit().await.unwrap_err().is_closed());
            assert!(client.shut_down(PATIENCE).await.unwrap_err().is_closed());
            assert!(qemu.child.try_wait().unwrap().is_none());
        }
    }
}

live! {
    async fn a_disk_that_is_an_open_file() {
        let qemu = Qemu::start(&["-M", "pc", "-device", "qemu-xhci,id=usb",
            "-device", "usb-tablet,id=tablet"]);
        let client = qemu.connect().await;
        // QEMU 7.2 closes descriptors only while the VM runs.
        client.execute(Cont::new()).await.unwrap();
        let image = Temporary::new("disk");
        std::fs::write(&image.0, vec![0; 65536]).unwrap();
        let open = || std::fs::File::options().read(true).write(true).open(&image.0).unwrap();
        let node = |file: &str| {
            let options = json!({"driver": "file", "node-name": "disk", "filename": file});
            BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(options).unwrap())
        };
        let device = |id: &str| DeviceAdd::new("usb-storage").id(id).property("drive", "disk");
        client.plug_disk(open(), "disk", node, device("stick")).await.unwrap();
        assert_eq!(client.unplug("stick", PATIENCE).await.unwrap(), Unplugged::Deleted);
        client.execute(BlockdevDel::new("disk")).await.unwrap();
        assert!(client.execute(QueryFdsets::new()).await.unwrap().is_empty());

        // A failure leaves nothing in QEMU.
        let nodes = client.execute(QueryNamedBlockNodes::new()).await.unwrap().len();
        let error = client.plug_disk(open(), "disk", node, device("tablet")).await.unwrap_err();
        assert_eq!(error.command(), Some("device_add"));
        assert_eq!(client.execute(QueryNamedBlockNodes::new()).await.unwrap().len(), nodes);
        assert!(client.execute(QueryFdsets::new()).await.unwrap().is_empty());

        // Neither does a future that is dropped at any point: the disk is plugged in, or nothing is left.
        for times in 0_u32.. {
            let plugging = client.plug_disk(open(), "disk", node, device("stick"));
            let plugged = poll_times(plugging, times).await.is_some();
            nothing_pending(&client).await;
            let left = client.execute(QueryNamedBlockNodes::new()).await.unwrap().len();
            if left > nodes {
                assert_eq!(client.unplug("stick", PATIENCE).await.unwrap(), Unplugged::Deleted);
                client.execute(BlockdevDel::new("disk")).await.unwrap();
            }
            // A set that is in use is listed even after it was removed.
            assert!(client.execute(QueryFdsets::new()).await.unwrap().is_empty());
            if plugged {
                assert_eq!(left, nodes + 1);
                break;
            }
        }
        assert_eq!(client.pending(), Pending::default());
    }
}

/// Waits until the commands of dropped futures and guards have been executed.
async fn nothing_pending(client: &Client) {
    while client.pending() != Pending::default() {
        client.execute(QueryStatus::new()).await.unwrap();
    }
}

/// Polls a future at most this number of times, and returns its output if it has completed.
async fn poll_times<F: Future>(future: F, times: u32) -> Option<F::Output> {
    let (mut future, mut polled) = (std::pin::pin!(future), 0);
    std::future::poll_fn(move |cx| {
        use std::task::Poll;
        if polled == times {
            return Poll::Ready(None);
        }
        polled += 1;
        let poll = future.as_mut().poll(cx).map(Some);
        if poll.is_pending() && polled == times { Poll::Ready(None) } else { poll }
    })
    .await
}

live! {
    #[cfg(target_os = "linux")]
    async fn the_screen_and_the_keyboard() {
        let qemu = Qemu::start(&["-M", "pc", "-device", "VGA"]);
        let client = qemu.connect().await;
        client.execute(Cont::new()).await.unwrap();
        let image = client.screenshot().await.unwrap();
        assert!(image.starts_with(b"P6"), "{:?}", &image[..image.len().min(20)]);
        assert!(image.len() > 100_000);
        client.type_text("Hello, World!\n").await.unwrap();
        let error = client.type_text("é").await.unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::NoSuchKey { .. })), "{error:?}");

        for times in 0.. {
            let image = poll_times(client.screenshot(), times).await;
            nothing_pending(&client).await;
            assert!(client.execute(QueryFdsets::new()).await.unwrap().is_empty());
            if image.is_some() {
                break;
            }
        }
        // The guard is the last handle; another client connects afterwards.
        let guard = client.add_descriptor(std::fs::File::open("/dev/null").unwrap()).await.unwrap();
        assert_eq!(client.execute(QueryFdsets::new()).await.unwrap().len(), 1);
        drop(client);
        drop(guard);
        let client = qemu.connect().await;
        assert!(client.execute(QueryFdsets::new()).await.unwrap().is_empty());
    }
}
