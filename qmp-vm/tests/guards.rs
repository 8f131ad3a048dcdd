//! Futures and guards of the asynchronous client that are dropped leave nothing in the server.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod fake;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use qmp_client::qga::commands::GuestShutdown;
use qmp_client::qmp::commands::{BlockdevAdd, DeviceAdd, Migrate, NetdevAdd};
use qmp_client::qmp::types::{BlockdevOptions, Netdev, NetdevTapOptions, NetdevType};
use qmp_client::{Client, Connecting, Dialect, Direction, Error, Misuse, Options, Raw, RawEvent};
use qmp_vm::{Agent, Exec, NicNames, Workflows};
use serde_json::{Value, json};

use fake::{Fake, PATIENCE};

/// A deadline that is expected to pass.
const SOON: Duration = Duration::from_millis(60);

/// Connects a client and spawns its driver. Everything runs on one thread, so that the test controls
/// what happens between two polls.
trait Front {
    fn over(stream: UnixStream, options: &Options) -> Connecting;

    fn agent_over(stream: UnixStream) -> Connecting;

    async fn client(stream: UnixStream) -> Client {
        Self::over(stream, &Options::new()).await.unwrap()
    }

    async fn agent(stream: UnixStream) -> Agent {
        Agent::from_client(Self::agent_over(stream).await.unwrap())
    }
}

struct Tokio;

impl Front for Tokio {
    fn over(stream: UnixStream, options: &Options) -> Connecting {
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) = qmp_client::tokio::over(stream, options);
        tokio::spawn(driver);
        connecting
    }

    fn agent_over(stream: UnixStream) -> Connecting {
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) =
            qmp_client::tokio::over(stream, &Options::new().dialect(Dialect::Agent));
        tokio::spawn(driver);
        connecting
    }
}

/// The driver for streams of `futures-io` runs on any executor, so also on tokio's.
struct FuturesIo;

impl Front for FuturesIo {
    fn over(stream: UnixStream, options: &Options) -> Connecting {
        let stream = async_io::Async::new(stream).unwrap();
        let (connecting, driver) = qmp_client::futures_io::over(stream, options);
        tokio::spawn(driver);
        connecting
    }

    fn agent_over(stream: UnixStream) -> Connecting {
        let stream = async_io::Async::new(stream).unwrap();
        let (connecting, driver) =
            qmp_client::futures_io::over(stream, &Options::new().dialect(Dialect::Agent));
        tokio::spawn(driver);
        connecting
    }
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn several_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_tokio {
            $(#[test] fn $name() { super::one_thread().block_on(super::$name::<super::Tokio>()); })*
        }
        mod on_futures_io {
            $(#[test] fn $name() { super::one_thread().block_on(super::$name::<super::FuturesIo>()); })*
        }
    };
}

on_both! {
    a_disk_is_plugged_in_or_nothing_is_left,
    a_disk_that_cannot_be_plugged_in_leaves_nothing,
    a_node_that_was_there_before_stays,
    a_network_card_is_plugged_in_or_nothing_is_left,
    a_network_card_that_cannot_be_plugged_in_leaves_nothing,
    memory_is_plugged_in_or_nothing_is_left,
    a_monitor_that_is_not_opened_leaves_nothing,
    a_monitor_that_cannot_be_opened_leaves_nothing,
    a_screenshot_leaves_no_set,
    frozen_file_systems_are_thawed,
    a_freeze_that_fails,
    a_thaw_that_fails_is_tried_again,
    a_file_that_was_opened_is_closed,
    a_set_is_removed_kept_or_dropped,
    a_guard_waits_while_the_limit_is_reached,
    a_queued_command_is_not_sent_after_its_future_is_dropped,
    a_guard_keeps_the_connection_open_for_a_limited_time,
    close_does_not_wait_for_guards,
    a_guard_synchronizes_first,
    a_command_that_was_not_sent_has_not_succeeded,
}

/// Polls a future at most `times` times and then drops it; with `arrived`, only after the replies to
/// its commands have arrived.
async fn cut<F: Future>(
    client: &Client,
    future: F,
    times: usize,
    arrived: bool,
) -> Option<F::Output> {
    let (mut future, mut polled) = (pin!(future), 0);
    let output = std::future::poll_fn(|cx| {
        if polled == times {
            return Poll::Ready(None);
        }
        polled += 1;
        let poll = future.as_mut().poll(cx).map(Some);
        if poll.is_pending() && polled == times { Poll::Ready(None) } else { poll }
    })
    .await;
    if output.is_none() && arrived {
        client.execute(echo()).await.unwrap();
    }
    output
}

/// Cuts a future at each point, each time with another server, and returns the number of points.
async fn cut_everywhere(mut cut_at: impl AsyncFnMut(usize, bool) -> bool) -> usize {
    let mut points = 0;
    for arrived in [false, true] {
        points = 0;
        while !cut_at(points, arrived).await {
            points += 1;
            assert!(points < 20);
        }
    }
    points
}

fn echo() -> Raw {
    Raw::new("echo").arguments(&json!({}))
}

fn image() -> File {
    File::open("/dev/null").unwrap()
}

fn node(file: &str) -> BlockdevAdd {
    let options = json!({"driver": "file", "node-name": "disk", "filename": file});
    BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(options).unwrap())
}

fn device() -> DeviceAdd {
    DeviceAdd::new("usb-storage").id("stick").property("drive", "disk")
}

fn pending(future: impl Future) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(future).poll(&mut cx).is_pending());
}

async fn a_disk_is_plugged_in_or_nothing_is_left<F: Front>() {
    let points = cut_everywhere(async |times, arrived| {
        let (stream, server) = Fake::default().serve(true);
        let client = F::client(stream).await;
        let plugged =
            cut(&client, client.plug_disk(image(), "disk", node, device()), times, arrived).await;
        drop(client);
        let left = server.end().await;
        assert!(left.fdsets.is_empty(), "{times} {left:?}");
        assert_eq!(left.nodes.is_empty(), left.devices.is_empty(), "{times} {left:?}");
        if let Some(plugged) = &plugged {
            plugged.as_ref().unwrap();
            assert_eq!(left.log, ["add-fd", "blockdev-add", "remove-fd", "device_add"]);
        }
        plugged.is_some()
    })
    .await;
    // Before the first poll, and after each of four commands.
    assert_eq!(points, 5);
}

async fn a_disk_that_cannot_be_plugged_in_leaves_nothing<F: Front>() {
    for (refused, log) in [
        ("add-fd", &["add-fd"][..]),
        ("blockdev-add", &["add-fd", "blockdev-add", "remove-fd"]),
        ("remove-fd", &["add-fd", "blockdev-add", "remove-fd", "blockdev-del"]),
        ("device_add", &["add-fd", "blockdev-add", "remove-fd", "device_add", "blockdev-del"]),
    ] {
        let (stream, server) = Fake::default().refusing(refused, "GenericError").serve(true);
        let client = F::client(stream).await;
        let plugged = client.plug_disk(image(), "disk", node, device()).await;
        assert_eq!(plugged.unwrap_err().command(), Some(refused));
        drop(client);
        let left = server.end().await;
        assert_eq!(left.log, log);
        assert!(left.nodes.is_empty(), "{left:?}");
    }
}

/// `blockdev-add` is refused because the node exists. A future that is dropped before the reply must
/// not delete it, since it belongs to another client.
async fn a_node_that_was_there_before_stays<F: Front>() {
    cut_everywhere(async |times, arrived| {
        let (stream, server) = Fake::default().with_node("disk").serve(true);
        let client = F::client(stream).await;
        let plugged =
            cut(&client, client.plug_disk(image(), "disk", node, device()), times, arrived).await;
        drop(client);
        let left = server.end().await;
        assert!(left.fdsets.is_empty() && left.nodes.contains("disk"), "{times} {left:?}");
        plugged.is_some()
    })
    .await;
}

fn card() -> DeviceAdd {
    DeviceAdd::new("virtio-net-pci").id("nic1").property("netdev", "net1")
}

/// Plugs in a card with queues and descriptors for vhost.
async fn plug_nic(client: &Client, queues: usize, vhost: usize) -> Result<(), Error> {
    let open = |count| (0..count).map(|_| image().into()).collect::<Vec<_>>();
    let add = |names: &NicNames| {
        let tap = NetdevTapOptions::new().fds(names.queues.as_str());
        let tap = if vhost == 0 { tap } else { tap.vhost(true).vhostfds(names.vhost.as_str()) };
        NetdevAdd::new(Netdev::new("net1", NetdevType::Tap(tap)))
    };
    client.plug_nic("net1", open(queues), open(vhost), add, card()).await
}

async fn a_network_card_is_plugged_in_or_nothing_is_left<F: Front>() {
    for (queues, vhost) in [(1, 0), (2, 2)] {
        let points = cut_everywhere(async |times, arrived| {
            let (stream, server) = Fake::default().serve(true);
            let client = F::client(stream).await;
            let plugged = cut(&client, plug_nic(&client, queues, vhost), times, arrived).await;
            drop(client);
            let left = server.end().await;
            assert!(left.descriptors.is_empty(), "{times} {left:?}");
            assert_eq!(left.netdevs.is_empty(), plugged.is_none(), "{times} {left:?}");
            plugged.inspect(|plugged| assert!(plugged.is_ok(), "{plugged:?}")).is_some()
        })
        .await;
        // Before the first poll, and after each command.
        assert_eq!(points, 1 + queues + vhost + 2);
    }
}

async fn a_network_card_that_cannot_be_plugged_in_leaves_nothing<F: Front>() {
    for (refused, log) in [
        ("getfd", &["getfd", "closefd"][..]),
        (
            "netdev_add",
            &[
                "getfd",
                "getfd",
                "getfd",
                "getfd",
                "netdev_add",
                "closefd",
                "closefd",
                "closefd",
                "closefd",
            ],
        ),
        (
            "device_add",
            &["getfd", "getfd", "getfd", "getfd", "netdev_add", "device_add", "netdev_del"],
        ),
    ] {
        let (stream, server) = Fake::default().refusing(refused, "GenericError").serve(true);
        let client = F::client(stream).await;
        let error = plug_nic(&client, 2, 2).await.unwrap_err();
        assert_eq!(error.command(), Some(refused));
        drop(client);
        let left = server.end().await;
        assert_eq!(left.log, log);
        assert!(left.descriptors.is_empty() && left.netdevs.is_empty(), "{left:?}");
    }
}

async fn memory_is_plugged_in_or_nothing_is_left<F: Front>() {
    let points = cut_everywhere(async |times, arrived| {
        let (stream, server) = Fake::default().serve(true);
        let client = F::client(stream).await;
        let backend = Raw::<Value>::new("object-add")
            .arguments(&json!({"qom-type": "memory-backend-ram", "id": "memory1", "size": 4096}));
        let dimm = DeviceAdd::new("pc-dimm").id("dimm1").property("memdev", "memory1");
        let plugged =
            cut(&client, client.plug_memory("memory1", backend, dimm), times, arrived).await;
        drop(client);
        let left = server.end().await;
        assert_eq!(left.objects.is_empty(), left.devices.is_empty(), "{times} {left:?}");
        plugged.inspect(|plugged| assert!(plugged.is_ok(), "{plugged:?}")).is_some()
    })
    .await;
    assert_eq!(points, 3);
}

fn no_monitor_is_left(left: &Fake) {
    let Fake { descriptors, chardevs, objects, .. } = left;
    assert!(descriptors.is_empty() && chardevs.is_empty() && objects.is_empty(), "{left:?}");
}

/// The server closes the new connection, so that no attempt succeeds.
async fn a_monitor_that_is_not_opened_leaves_nothing<F: Front>() {
    let points = cut_everywhere(async |times, arrived| {
        let (stream, server) = Fake::default().serve(true);
        let client = F::client(stream).await;
        let spawn = |driver| drop(tokio::spawn(driver));
        let open = qmp_vm::futures_io::open_monitor(&client, spawn);
        let opened = cut(&client, open, times, arrived).await;
        drop(client);
        let left = server.end().await;
        no_monitor_is_left(&left);
        if let Some(opened) = &opened {
            assert!(opened.as_ref().unwrap_err().is_closed(), "{opened:?}");
            let steps = ["qom-list-types", "query-chardev", "getfd", "chardev-add", "object-add"];
            let log = [&steps[..], &["object-del", "chardev-remove"]].concat();
            let done: Vec<_> = left.log.iter().filter(|name| *name != "echo").collect();
            assert_eq!(done, log);
        }
        opened.is_some()
    })
    .await;
    // Before the first poll, after each of five commands, and while the greeting is waited for.
    assert!((6..9).contains(&points), "{points}");
}

async fn a_monitor_that_cannot_be_opened_leaves_nothing<F: Front>() {
    for (refused, expected) in [
        ("getfd", &["getfd"][..]),
        ("chardev-add", &["getfd", "chardev-add", "closefd"]),
        ("object-add", &["getfd", "chardev-add", "object-add", "chardev-remove"]),
    ] {
        let (stream, server) = Fake::default().refusing(refused, "GenericError").serve(true);
        let client = F::client(stream).await;
        let error = client.open_monitor().await.unwrap_err();
        assert_eq!(error.command(), Some(refused));
        drop(client);
        let left = server.end().await;
        no_monitor_is_left(&left);
        assert_eq!(left.log[2..], *expected);
    }
    // Whatever a QEMU without `monitor-qmp` answers.
    for ignored in [true, false] {
        let fake = Fake::default();
        let fake = if ignored { fake.refusing("qom-list-types", "CommandNotFound") } else { fake };
        let (stream, server) = fake.serve(true);
        let client = F::client(stream).await;
        let error = client.open_monitor().await.unwrap_err();
        assert_eq!(matches!(error, Error::Misuse(Misuse::OneMonitor)), ignored, "{error:?}");
        drop(client);
        no_monitor_is_left(&server.end().await);
    }
}

async fn a_screenshot_leaves_no_set<F: Front>() {
    let points = cut_everywhere(async |times, arrived| {
        let (stream, server) = Fake::default().serve(true);
        let client = F::client(stream).await;
        let image = cut(&client, client.screenshot(), times, arrived).await;
        drop(client);
        let left = server.end().await;
        assert!(left.fdsets.is_empty(), "{times} {left:?}");
        image.is_some()
    })
    .await;
    assert_eq!(points, 4);
}

async fn frozen_file_systems_are_thawed<F: Front>() {
    let points = cut_everywhere(async |times, arrived| {
        let (stream, server) = Fake::default().serve(false);
        let agent = F::agent(stream).await;
        let freeze = async {
            let frozen = agent.freeze().await?;
            assert_eq!(frozen.count(), 2);
            frozen.thaw().await
        };
        let thawed = cut(agent.client(), freeze, times, arrived).await;
        drop(agent);
        let left = server.end().await;
        assert!(!left.frozen, "{times} {left:?}");
        let count = |name| left.log.iter().filter(|command| *command == name).count();
        let freezes = count("guest-fsfreeze-freeze");
        assert_eq!(freezes, usize::from(times > 0));
        assert_eq!(count("guest-fsfreeze-thaw"), freezes, "{times} {left:?}");
        thawed.is_some_and(|thawed| thawed.unwrap() == 2)
    })
    .await;
    assert_eq!(points, 3);
}

async fn a_freeze_that_fails<F: Front>() {
    for (class, log) in [
        // Some may be frozen.
        ("GenericError", &["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"][..]),
        // The command was not executed: another client may have frozen them.
        ("CommandNotFound", &["guest-fsfreeze-freeze"]),
    ] {
        for times in [1, 20] {
            let fake = Fake::default().refusing("guest-fsfreeze-freeze", class);
            let (stream, server) = fake.serve(false);
            let agent = F::agent(stream).await;
            let frozen = cut(agent.client(), agent.freeze(), times, false).await;
            assert!(frozen.is_none_or(|frozen| frozen.is_err()));
            drop(agent);
            assert_eq!(server.end().await.log, log, "{times}");
        }
    }
}

async fn a_thaw_that_fails_is_tried_again<F: Front>() {
    let (stream, server) =
        Fake::default().refusing("guest-fsfreeze-thaw", "GenericError").serve(false);
    let agent = F::agent(stream).await;
    let frozen = agent.freeze().await.unwrap();
    drop(agent);
    assert!(frozen.thaw().await.unwrap_err().server().is_some());
    assert_eq!(
        server.end().await.log,
        ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw", "guest-fsfreeze-thaw"]
    );
}

async fn a_file_that_was_opened_is_closed<F: Front>() {
    cut_everywhere(async |times, arrived| {
        let (stream, server) = Fake::default().serve(false);
        let agent = F::agent(stream).await;
        let read =
            cut(agent.client(), agent.read_file("file", 100, PATIENCE), times, arrived).await;
        assert!(read.as_ref().is_none_or(|bytes| bytes.as_ref().unwrap() == b"x"));
        drop(agent);
        let left = server.end().await;
        assert!(left.files.is_empty(), "{times} {left:?}");
        read.is_some()
    })
    .await;
    // A guest that cannot write does not keep the file open, either.
    let (stream, server) =
        Fake::default().refusing("guest-file-write", "GenericError").serve(false);
    let agent = F::agent(stream).await;
    assert!(agent.write_file("file", b"x", PATIENCE).await.is_err());
    drop(agent);
    assert!(server.end().await.files.is_empty());
}

async fn a_set_is_removed_kept_or_dropped<F: Front>() {
    let (stream, server) = Fake::default().serve(true);
    let client = F::client(stream).await;
    let guard = client.add_descriptor(image()).await.unwrap();
    assert_eq!(guard.path(), "/dev/fdset/1");
    guard.remove().await.unwrap();
    let kept = client.add_descriptor(image()).await.unwrap().keep();
    assert_eq!(kept.path(), "/dev/fdset/2");
    client.remove_fdset(&kept).await.unwrap();
    let _ = client.add_descriptor(image()).await.unwrap().keep();
    // A removal whose future is polled once, or never, is executed once.
    pending(client.add_descriptor(image()).await.unwrap().remove());
    drop(client.add_descriptor(image()).await.unwrap().remove());
    // The guard holds the last handle of the connection.
    let guard = client.add_descriptor(image()).await.unwrap();
    drop(client);
    drop(guard);
    let left = server.end().await;
    assert_eq!(left.fdsets.into_iter().collect::<Vec<_>>(), [3]);
    assert_eq!(left.log.iter().filter(|name| *name == "remove-fd").count(), 5);
}

/// The limit of commands in flight is reached by commands that no task waits for.
async fn a_guard_waits_while_the_limit_is_reached<F: Front>() {
    let (stream, server) = Fake::default().serve(true);
    let client = F::client(stream).await;
    let guard = client.add_descriptor(image()).await.unwrap();
    for _ in 0..8 {
        pending(client.execute(Raw::<Value>::new("wait")));
    }
    drop(guard);
    assert_eq!((client.pending().calls, client.pending().subscriptions), (1, 0));
    drop(client);
    (0..8).for_each(|_| server.open_gate());
    let left = server.end().await;
    assert!(left.fdsets.is_empty());
    assert_eq!(left.log.len(), 10);
}

/// A command that was never sent does not have to be undone.
async fn a_queued_command_is_not_sent_after_its_future_is_dropped<F: Front>() {
    let (stream, server) = Fake::default().serve(true);
    let client = F::client(stream).await;
    for _ in 0..8 {
        pending(client.execute(Raw::<Value>::new("wait")));
    }
    pending(client.add_descriptor(image()));
    assert_eq!((client.pending().calls, client.pending().subscriptions), (0, 0));
    (0..8).for_each(|_| server.open_gate());
    client.execute(echo()).await.unwrap();
    drop(client);
    let log = server.end().await.log;
    assert_eq!((log.len(), &*log[8]), (9, "echo"));
}

/// A server that does not answer does not keep the connection open.
async fn a_guard_keeps_the_connection_open_for_a_limited_time<F: Front>() {
    for (ignored, times) in [("add-fd", 1), ("remove-fd", 2)] {
        let (stream, server) = Fake::default().ignoring(ignored).serve(true);
        let options = Options::new().calls_within(10 * SOON);
        let client = F::over(stream, &options).await.unwrap();
        let guard = cut(&client, client.add_descriptor(image()), times, false).await;
        drop((guard, client));
        assert_eq!(server.end().await.log.last().unwrap(), ignored);
    }
}

async fn close_does_not_wait_for_guards<F: Front>() {
    let (stream, server) = Fake::default().ignoring("remove-fd").serve(true);
    let client = F::client(stream).await;
    drop(client.add_descriptor(image()).await.unwrap());
    let late = client.add_descriptor(image()).await.unwrap();
    client.close();
    assert!(client.closed().await.to_string().contains("ended"));
    assert_eq!((client.pending().calls, client.pending().subscriptions), (0, 0));
    drop(late);
    assert_eq!((client.pending().calls, client.pending().subscriptions), (0, 0));
    drop(client);
    assert_eq!(server.end().await.log, ["add-fd", "remove-fd", "add-fd"]);
}

/// A guest agent does not say which command it answers, so nothing else can be sent while the reply
/// to a cancelled command is outstanding.
async fn a_guard_synchronizes_first<F: Front>() {
    let (stream, server) = Fake::default().serve(false);
    let agent = F::agent(stream).await;
    let frozen = agent.freeze().await.unwrap();
    pending(agent.execute(Raw::<Value>::new("wait")));
    drop(agent);
    drop(frozen);
    server.open_gate();
    let left = server.end().await;
    assert!(!left.frozen);
    assert_eq!(left.log, ["guest-fsfreeze-freeze", "wait", "guest-fsfreeze-thaw"]);
}

/// Silence is success for commands whose success is not answered, but not if the connection had ended
/// before.
async fn a_command_that_was_not_sent_has_not_succeeded<F: Front>() {
    let (stream, theirs) = UnixStream::pair().unwrap();
    stream.set_nonblocking(true).unwrap();
    let (gate, opened) = mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        let mut theirs = BufReader::new(theirs);
        let mut line = Vec::new();
        theirs.read_until(b'\n', &mut line).unwrap();
        let sync: Value = serde_json::from_slice(&line[1..]).unwrap();
        let answer = json!({"return": sync["arguments"]["id"]});
        theirs.get_mut().write_all(format!("{answer}\n").as_bytes()).unwrap();
        opened.recv_timeout(PATIENCE).unwrap();
    });
    let agent = F::agent(stream).await;
    gate.send(()).unwrap();
    server.join().unwrap();
    let error = agent.execute(GuestShutdown::new()).await.unwrap_err();
    assert!(error.is_closed(), "{error:?}");
}

/// Futures and guards can be spawned, and moved to other tasks.
#[test]
fn futures_and_guards_are_send() {
    fn is_send<T: Send>(_: &T) {}
    let (stream, server) = Fake::default().serve(true);
    one_thread().block_on(async {
        let client = Tokio::client(stream).await;
        let guard = client.add_descriptor(image());
        is_send(&guard);
        is_send(&guard.await.unwrap());
        is_send(&client.plug_disk(image(), "disk", node, device()));
        is_send(&plug_nic(&client, 1, 0));
        is_send(&client.screenshot());
        is_send(&client.type_text("a"));
        is_send(&client.shut_down(SOON));
        is_send(&client.migrate(Migrate::new(), SOON, |_| {}));
        is_send(&client.run_job(echo(), "job", SOON));
        drop(client);
        server.end().await;
    });
    let (stream, server) = Fake::default().serve(false);
    one_thread().block_on(async {
        let agent = Tokio::agent(stream).await;
        let frozen = agent.freeze();
        is_send(&frozen);
        let frozen = frozen.await.unwrap();
        is_send(&frozen);
        is_send(&frozen.thaw());
        is_send(&agent.exec(&Exec::new("true")));
        is_send(&agent.read_file("file", 1, PATIENCE));
        drop(agent);
        assert!(!server.end().await.frozen);
    });
}

/// The runtime ends with `main`, and then the driver is not polled any more.
#[test]
fn a_guard_that_is_dropped_last_in_main_thaws() {
    for runtime in [one_thread(), several_threads()] {
        let (stream, server) = Fake::default().serve(false);
        runtime.block_on(async {
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            let agent = Agent::over(stream, &Options::new()).await.unwrap();
            drop(agent.freeze().await.unwrap());
        });
        drop(runtime);
        assert!(!one_thread().block_on(server.end()).frozen);
    }
}

/// The function that receives the transcript runs on threads of callers and on that of the driver.
/// Wherever it panics, the connection ends, all waiters fail at once, and no other task panics.
/// Another connection with the same function goes on.
#[test]
fn a_transcript_that_panics_ends_the_connection() {
    for (way, text) in [
        (Direction::Sent, "\"fatal\""),
        (Direction::Received, "\"SHOUTED\""),
        // A command that was queued because the limit was reached is sent by the driver.
        (Direction::Sent, "\"9\""),
    ] {
        let options = Options::new().transcript(move |direction, message| {
            assert!(direction != way || !message.contains(text), "a transcript of the test's");
        });
        let (stream, server) = Fake::default().ignoring("hang").ignoring("fatal").serve(true);
        let (other_stream, other_server) = Fake::default().serve(true);
        let runtime = several_threads();
        let told = runtime.block_on(async {
            let connect = |stream| {
                let stream = tokio::net::UnixStream::from_std(stream).unwrap();
                qmp_client::tokio::over(stream, &options)
            };
            let (connecting, driver) = connect(stream);
            let driver = tokio::spawn(driver);
            let client = connecting.await.unwrap();
            let (connecting, other_driver) = connect(other_stream);
            tokio::spawn(other_driver);
            let other = connecting.await.unwrap();
            let mut events = client.raw_events();
            let call = tokio::spawn(client.execute(Raw::<Value>::new("hang")));
            while client.pending().calls == 0 {
                tokio::task::yield_now().await;
            }
            let numbered = |number: u32| {
                Raw::<Value>::new("echo").arguments(&json!({"number": number.to_string()}))
            };
            let many: Vec<_> =
                (0..12).map(|number| tokio::spawn(client.execute(numbered(number)))).collect();
            let fatal = tokio::time::timeout(PATIENCE, async {
                let _ = client.execute(Raw::<Value>::new("shout")).await;
                // By then, the driver is idle: nothing has arrived for a while.
                tokio::time::sleep(10 * SOON).await;
                client.execute(Raw::<Value>::new("fatal")).await
            });
            assert!(fatal.await.unwrap().unwrap_err().is_closed());
            let error = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap().unwrap_err();
            assert!(error.is_closed(), "{error:?}");
            for call in many {
                // The call was answered before the panic, or fails.
                let answer = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
                assert!(answer.map_or_else(|error| error.is_closed(), |_| true));
            }
            while let Some(Ok(_)) = events.next().await {}
            // The driver has ended.
            tokio::time::timeout(PATIENCE, driver).await.unwrap().unwrap();
            assert_eq!(client.pending().calls, 0);
            other.execute(echo()).await.unwrap();
            client.ended().unwrap()
        });
        assert!(Error::from(told).report().ends_with("its transcript hook panicked"));
        drop(runtime);
        one_thread().block_on(async {
            server.end().await;
            other_server.end().await;
        });
    }
}

/// A predicate that panics while the lock is held ends the connection, and no task waits forever.
#[test]
fn a_predicate_that_panics_ends_the_connection() {
    let (stream, server) = Fake::default().ignoring("hang").serve(true);
    let runtime = several_threads();
    let told = runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) = qmp_client::tokio::over(stream, &Options::new());
        let driver = tokio::spawn(driver);
        let client = connecting.await.unwrap();
        let mut others = client.raw_events();
        let mut events = client.raw_events().matching(|_| panic!("a predicate of the test's"));
        let call = tokio::spawn(client.execute(Raw::<Value>::new("hang")));
        let waiting = tokio::spawn(async move { events.next().await });
        while client.pending().calls == 0 {
            tokio::task::yield_now().await;
        }
        client.execute(Raw::<Value>::new("shout")).await.unwrap_err();
        let error = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap().unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        assert!(waiting.await.unwrap().unwrap().unwrap_err().is_closed());
        assert!(driver.await.unwrap_err().is_panic());
        // The client can still be used, and reports that the connection has ended.
        while let Some(Ok(_)) = others.next().await {}
        assert!(client.execute(echo()).await.unwrap_err().is_closed());
        assert_eq!(client.pending().calls, 0);
        client.ended().unwrap()
    });
    assert!(Error::from(told).report().ends_with("its driver was dropped"));
    runtime.block_on(server.end());
}

/// `close` ends the connection at once, but the command of the guard was executed before it.
#[test]
fn a_guard_that_is_dropped_before_the_connection_is_closed_thaws() {
    let (stream, server) = Fake::default().serve(false);
    let left = one_thread().block_on(async {
        let agent = Tokio::agent(stream).await;
        drop(agent.freeze().await.unwrap());
        agent.client().close();
        agent.client().closed().await;
        drop(agent);
        server.end().await
    });
    assert!(!left.frozen, "{left:?}");
}

/// A guest agent executes one command at a time. The command of a guard is sent although the one
/// before it is never answered, if the runtime ends.
#[test]
fn a_guard_that_is_queued_when_the_runtime_ends_thaws() {
    let (stream, server) = Fake::default().serve(false);
    let runtime = one_thread();
    runtime.block_on(async {
        let agent = Tokio::agent(stream).await;
        let frozen = agent.freeze().await.unwrap();
        let call = agent.client().execute(Raw::<Value>::new("wait"));
        tokio::spawn(call);
        while agent.client().pending().calls == 0 {
            tokio::task::yield_now().await;
        }
        drop(frozen);
    });
    drop(runtime);
    server.open_gate();
    let left = one_thread().block_on(server.end());
    assert!(!left.frozen, "{left:?}");
}

/// A runtime that ends drops its tasks in any order: the driver may be dropped before the guard.
#[test]
fn a_guard_that_outlives_the_driver_has_thawed() {
    let (stream, server) = Fake::default().serve(false);
    let left = one_thread().block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) =
            qmp_client::tokio::over(stream, &Options::new().dialect(Dialect::Agent));
        let driver = tokio::spawn(driver);
        let agent = Agent::from_client(connecting.await.unwrap());
        let frozen = agent.freeze().await.unwrap();
        driver.abort();
        assert!(driver.await.unwrap_err().is_cancelled());
        assert_eq!(agent.client().pending().calls, 0);
        assert!(frozen.thaw().await.unwrap_err().is_closed());
        server.end().await
    });
    assert!(!left.frozen, "{left:?}");
    assert_eq!(left.log, ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
}

/// A panic in `main` drops the runtime, too.
#[test]
fn a_guard_thaws_when_main_panics() {
    let (stream, server) = Fake::default().serve(false);
    let main = std::thread::spawn(|| {
        one_thread().block_on(async {
            let agent = Tokio::agent(stream).await;
            let _frozen = agent.freeze().await.unwrap();
            panic!("a program of the test's");
        });
    });
    main.join().unwrap_err();
    assert!(!one_thread().block_on(server.end()).frozen);
}

/// A task that is owned by its waker alone, as with the simplest executors.
struct Task(#[expect(dead_code, reason = "it is dropped")] Mutex<qmp_client::Reply<Raw>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// A waker or a predicate that is dropped may own a call of the same client. If it were dropped while
/// the lock is held, dropping the call would wait for that lock.
#[test]
fn values_of_the_caller_are_dropped_after_the_lock_is_released() {
    let (stream, server) = Fake::default().serve(true);
    let (done, told) = mpsc::channel();
    std::thread::spawn(move || {
        one_thread().block_on(async {
            let client = Tokio::client(stream).await;
            let call = || {
                let mut call = client.execute(Raw::<Value>::new("wait"));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(pin!(&mut call).poll(&mut cx).is_pending());
                call
            };
            let mut events = client.raw_events();
            let mut waiting = [call()];
            for place in 0..2 {
                let task = Waker::from(Arc::new(Task(Mutex::new(call()))));
                for waker in [task, Waker::noop().clone()] {
                    let mut cx = Context::from_waker(&waker);
                    let pending = match place {
                        0 => pin!(events.next()).poll(&mut cx).is_pending(),
                        _ => pin!(&mut waiting[0]).poll(&mut cx).is_pending(),
                    };
                    assert!(pending);
                }
            }
            let call = call();
            client.close();
            while events.next().await.is_some() {}
            let owned = move |_: &RawEvent| format!("{call:?}").is_empty();
            drop(events.matching(owned));
        });
        done.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE).unwrap();
    drop(server);
}
