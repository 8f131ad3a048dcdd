//! The handles of a mirror, on both clients: what waits for it, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{BlockdevAdd, Cont, QueryStatus, Stop};
use qmp_client::qmp::types::{BlockdevOptions, RunState};
use qmp_client::transport::Unix;
use qmp_client::{Client, Error, Options, Result, blocking};
use qmp_server::Simulator;
use qmp_vm::mirror::{Absence, Change, Fate, Mirror, Part, Policy};
use qmp_vm::supervise::Supervision;
use serde_json::json;

use super::PATIENCE;
use super::link::cut_after;

/// A time that is expected to pass.
const SOON: Duration = Duration::from_millis(80);

fn connect(simulator: &Simulator) -> blocking::Client {
    let transport = Unix::from_stream(simulator.connect().unwrap()).unwrap();
    blocking::Client::over(transport, &Options::new()).unwrap()
}

fn mirror(simulator: &Simulator) -> (Mirror<blocking::Client>, thread::JoinHandle<bool>) {
    let (mirror, keeper) = Mirror::of(&connect(simulator));
    (mirror, thread::spawn(move || keeper.run().is_some()))
}

async fn connect_pending(simulator: &Simulator) -> Client {
    let stream = simulator.connect().unwrap();
    stream.set_nonblocking(true).unwrap();
    Client::over(tokio::net::UnixStream::from_std(stream).unwrap(), &Options::new()).await.unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

fn node(name: &str) -> BlockdevAdd {
    let options = json!({"driver": "null-co", "node-name": name});
    BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(options).unwrap())
}

#[test]
fn a_program_sees_what_it_did_itself_at_once() {
    let simulator = Simulator::builder().empty().build();
    let (mirror, _) = mirror(&simulator);
    for number in 0..20 {
        let name = format!("n{number}");
        mirror.execute(node(&name)).unwrap();
        assert!(mirror.current(PATIENCE).unwrap().node(&name).is_some(), "{name}");
    }
    block_on(async {
        let (mirror, keeper) = Mirror::of(&connect_pending(&simulator).await);
        tokio::spawn(keeper.run());
        for number in 20..40 {
            let name = format!("n{number}");
            mirror.execute(node(&name)).await.unwrap();
            assert!(mirror.current(PATIENCE).await.unwrap().node(&name).is_some(), "{name}");
        }
    });
}

/// The event arrives between the view and the wait for the next one, or not: the wait ends.
#[test]
fn no_wake_up_is_lost() {
    let simulator = Simulator::builder().empty().build();
    let other = connect(&simulator);
    let (mirror, _) = mirror(&simulator);
    let run = Arc::new(AtomicBool::new(true));
    thread::scope(|scope| {
        let run = &run;
        scope.spawn(move || {
            for _ in 0..30 {
                while run.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                other.execute(Stop::new()).unwrap();
                while !run.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                other.execute(Cont::new()).unwrap();
            }
        });
        for _ in 0..30 {
            run.store(false, Ordering::SeqCst);
            mirror.wait_until(|vm| vm.run_state() == Some(&RunState::Paused), PATIENCE).unwrap();
            run.store(true, Ordering::SeqCst);
            mirror.wait_until(|vm| vm.is_running(), PATIENCE).unwrap();
        }
    });
}

#[test]
fn what_another_program_does_without_an_event_is_seen_after_the_period() {
    let simulator = Simulator::builder().empty().build();
    let other = connect(&simulator);
    let policy = Policy::new().period(Some(Duration::from_millis(20)));
    let (mirror, keeper) = Mirror::with(&connect(&simulator), policy);
    thread::spawn(move || keeper.run());
    mirror.current(PATIENCE).unwrap();
    let mut changes = mirror.changes();
    other.execute(node("theirs")).unwrap();
    let update = changes.next_within(PATIENCE).unwrap().unwrap();
    assert_eq!(update.changes[0], Change::Node("theirs".to_owned(), Fate::Added));
    assert!(update.view.node("theirs").is_some() && changes.view().node("theirs").is_some());
    let late = changes.next_within(SOON).unwrap().unwrap_err();
    assert!(late.is_timeout(), "{late:?}");
}

#[test]
fn a_query_that_a_release_lacks_is_no_failure() {
    let simulator =
        Simulator::builder().empty().without::<qmp_client::qmp::commands::QueryBlockExports>();
    let (mirror, _) = mirror(&simulator.build());
    let view = mirror.current(PATIENCE).unwrap();
    assert!(view.is_current() && view.exports().is_none());
    assert_eq!(view.absence(Part::Exports), Some(&Absence::NotSupported));
    assert!(matches!(view.absence(Part::Balloon), Some(Absence::Missing(_))));
    assert_eq!((view.failure(Part::Exports), view.absence(Part::Status)), (None, None));
}

/// A part that cannot be asked for is never silently old, and does not stop waits for others.
#[test]
fn a_query_that_is_not_answered_is_told() {
    let slow = Simulator::builder().delay::<qmp_client::qmp::commands::QueryPci>(PATIENCE).empty();
    let simulator = slow.build();
    let transport = Unix::from_stream(simulator.connect().unwrap()).unwrap();
    // The other queries are answered by then.
    let options = Options::new().calls_within(15 * SOON);
    let vm = blocking::Client::over(transport, &options).unwrap();
    let (mirror, keeper) = Mirror::of(&vm);
    thread::spawn(move || keeper.run());
    let view = mirror.wait_until(|vm| vm.failure(Part::Pci).is_some(), PATIENCE).unwrap();
    assert!(view.stale().any(|part| part == Part::Pci) && !view.is_current());
    assert!(view.status().is_some());
    let error = mirror.current(SOON).unwrap_err().report();
    assert!(error.contains("the mirror to be current") && error.contains("query-"), "{error}");
}

#[test]
fn a_mirror_ends_with_its_connection() {
    let simulator = Simulator::builder().empty().build();
    let vm = connect(&simulator);
    let (mirror, keeper) = Mirror::of(&vm);
    let thread = thread::spawn(move || keeper.run().is_some());
    let view = mirror.current(PATIENCE).unwrap();
    let mut changes = mirror.changes();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| mirror.wait_until(|_| false, PATIENCE));
        vm.close();
        assert!(waiting.join().unwrap().unwrap_err().is_closed());
    });
    assert!(thread.join().unwrap(), "ended for another reason");
    assert!(mirror.current(PATIENCE).unwrap_err().is_closed());
    assert!(mirror.execute(QueryStatus::new()).unwrap_err().is_closed());
    // The last view stays, and says that it is one.
    assert!(!mirror.view().is_connected() && mirror.view().status() == view.status());
    let update = changes.next_within(PATIENCE).unwrap().unwrap();
    assert_eq!(update.changes, [Change::Disconnected]);
    assert!(changes.next_within(PATIENCE).unwrap().unwrap_err().is_closed());
    assert!(changes.next_within(PATIENCE).is_none());
}

/// A task that saw the end of the connection before the keeper did kept the thread that both are on.
#[test]
fn a_wait_leaves_the_thread_to_the_keeper() {
    let simulator = Simulator::builder().empty().build();
    block_on(async {
        let vm = connect_pending(&simulator).await;
        let (mirror, keeper) = Mirror::of(&vm);
        vm.close();
        vm.closed().await;
        let keeper = tokio::spawn(keeper.run());
        let error = mirror.current(Duration::from_secs(5)).await.unwrap_err();
        assert!(error.is_closed(), "{}", error.report());
        assert!(keeper.await.unwrap().is_some());
    });
}

/// A machine at rest wakes nothing, so that nothing else removed the tasks that had given up.
#[test]
fn a_wait_that_is_given_up_leaves_nothing() {
    struct Task;
    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let (mirror, _keeper) = Mirror::<Client>::unconnected(Policy::new());
    let task = Arc::new(Task);
    let waker = std::task::Waker::from(Arc::clone(&task));
    let mut wait = mirror.current(PATIENCE);
    assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    drop((wait, waker));
    assert_eq!(Arc::strong_count(&task), 1);
}

#[test]
fn a_keeper_ends_with_the_last_handle() {
    let simulator = Simulator::builder().empty().build();
    let vm = connect(&simulator);
    let (mirror, keeper) = Mirror::of(&vm);
    let thread = thread::spawn(move || keeper.run().is_some());
    mirror.current(PATIENCE).unwrap();
    drop((mirror.clone(), mirror.changes(), mirror));
    assert!(!thread.join().unwrap(), "the connection has ended");
    assert_eq!((vm.pending().calls, vm.pending().subscriptions), (0, 0));
    block_on(async {
        let vm = connect_pending(&simulator).await;
        let (mirror, keeper) = Mirror::of(&vm);
        let keeper = tokio::spawn(keeper.run());
        mirror.current(PATIENCE).await.unwrap();
        drop(mirror);
        assert!(keeper.await.unwrap().is_none());
        assert_eq!((vm.pending().calls, vm.pending().subscriptions), (0, 0));
    });
}

/// A future may be dropped wherever it waits; the next call works all the same.
#[test]
fn futures_may_be_dropped_at_each_await() {
    let simulator = Simulator::builder().empty().build();
    block_on(async {
        for polls in 0..60 {
            let (mirror, keeper) = Mirror::of(&connect_pending(&simulator).await);
            let mut keeper = Box::pin(keeper.run());
            let mut wait = Box::pin(mirror.refresh(PATIENCE));
            for _ in 0..polls {
                poll_once(&mut keeper).await;
                poll_once(&mut wait).await;
                tokio::task::yield_now().await;
            }
            drop(wait);
            let current = mirror.current(PATIENCE);
            let view = tokio::select! {
                _ = &mut keeper => panic!("the keeper has ended"),
                view = current => view.unwrap(),
            };
            assert!(view.is_current());
            // And the keeper itself.
            drop(keeper);
            assert!(mirror.current(PATIENCE).await.unwrap_err().is_closed());
        }
    });
}

async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) {
    let mut future = std::pin::Pin::new(future);
    std::future::poll_fn(|cx| {
        let _ = future.as_mut().poll(cx).is_ready();
        std::task::Poll::Ready(())
    })
    .await;
}

/// The deadlines of waits pass during an outage, when no connection has a timer.
#[test]
fn a_supervised_connection_is_followed_through_outages() {
    let simulator = Arc::new(Simulator::builder().empty().build());
    let is_out = Arc::new(AtomicBool::new(false));
    let check = |result: Result<Arc<qmp_vm::mirror::View>>, begin: Instant| {
        let error = result.unwrap_err();
        assert!(error.is_timeout() && begin.elapsed() < PATIENCE, "{}", error.report());
        assert!(error.report().contains("not connected"), "{}", error.report());
    };
    let supervision =
        || Supervision::new().pauses(Duration::from_millis(5), Duration::from_millis(20));
    let (server, out) = (Arc::clone(&simulator), Arc::clone(&is_out));
    let open = move || match out.load(Ordering::SeqCst) {
        true => Err(std::io::ErrorKind::ConnectionRefused.into()),
        false => server.connect().map(|stream| cut_after(stream, 60_000)),
    };

    let dial = open.clone();
    let source = qmp_vm::blocking::connector("test", move |_| Unix::from_stream(dial()?));
    let vm = qmp_vm::blocking::supervise_source(source, supervision()).unwrap();
    let (mirror, keeper) = Mirror::supervised(&vm, Policy::new());
    drop(vm);
    let thread = thread::spawn(move || keeper.run().is_none());
    for _ in 0..20 {
        let view = mirror.refresh(PATIENCE).unwrap();
        assert!(view.is_connected());
    }
    assert!(mirror.view().connections() > 1, "never cut");
    is_out.store(true, Ordering::SeqCst);
    while mirror.refresh(SOON).is_ok() || mirror.view().is_connected() {}
    check(mirror.current(SOON), Instant::now());
    is_out.store(false, Ordering::SeqCst);
    assert!(mirror.current(PATIENCE).unwrap().is_connected());
    drop(mirror);
    assert!(thread.join().unwrap());

    block_on(async {
        let source = qmp_vm::tokio::connector("test", move || {
            let stream = open();
            async move {
                let stream = stream?;
                stream.set_nonblocking(true)?;
                tokio::net::UnixStream::from_std(stream)
            }
        });
        let vm = qmp_vm::tokio::supervise_source(source, supervision());
        let (mirror, keeper) = Mirror::supervised(&vm, Policy::new());
        drop(vm);
        let keeper = tokio::spawn(keeper.run());
        for _ in 0..20 {
            assert!(mirror.refresh(PATIENCE).await.unwrap().is_connected());
        }
        assert!(mirror.view().connections() > 1, "never cut");
        is_out.store(true, Ordering::SeqCst);
        while mirror.refresh(SOON).await.is_ok() || mirror.view().is_connected() {}
        check(mirror.current(SOON).await, Instant::now());
        is_out.store(false, Ordering::SeqCst);
        assert!(mirror.current(PATIENCE).await.unwrap().is_connected());
        drop(mirror);
        assert!(keeper.await.unwrap().is_none());
    });
}

#[test]
fn a_mirror_that_is_never_connected_says_so() {
    let (mirror, keeper) = Mirror::<blocking::Client>::unconnected(Policy::new());
    assert!(mirror.view().number() == 0 && !mirror.view().is_connected());
    let error = mirror.current(SOON).unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    drop(keeper);
    assert!(mirror.current(PATIENCE).unwrap_err().is_closed());
}
