//! Futures that are dropped.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use qmp_client::Client;
use qmp_client::qmp::commands::{QueryStatus, Stop};
use qmp_vm::supervise::{Change, Gap, Item, Supervised};

use crate::front::{PATIENCE, policy};
use crate::host::{Act, Host, path, wait_until};

/// Polls a future this often, each time that it is woken, and drops it. Returns its result if it was
/// ready by then.
async fn poll_times<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (pin!(future), times);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => {
                // Also polls that nothing asked for.
                if left == 0 {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    })
    .await
}

async fn connect(host: &Host) -> Supervised<Client> {
    let vm = qmp_vm::tokio::supervise(host.path(), policy()).unwrap();
    vm.client_within(PATIENCE).await.unwrap();
    vm
}

/// A call that was dropped is executed once at most, and disturbs no other.
#[tokio::test]
async fn a_call_may_be_dropped_at_each_await() {
    let host = Host::new(|_, _| Act::Answer);
    let vm = connect(&host).await;
    let mut answered = false;
    for times in 0..8 {
        let call = vm.call(Stop::new()).within(PATIENCE).execute();
        answered |= poll_times(times, call).await.is_some();
        assert!(vm.execute(QueryStatus::new()).await.unwrap().running);
    }
    assert!(answered, "the last ones are polled to the end");
    assert!(host.executed("stop") <= 7);
    let client = vm.client().unwrap();
    assert_eq!(client.pending().calls, 0);
    assert_eq!(host.connections(), 1);
}

/// A command that waits for the connection is not sent after its future was dropped.
#[tokio::test]
async fn a_call_may_be_dropped_in_an_outage() {
    let path = path();
    let vm = qmp_vm::tokio::supervise(&path, policy()).unwrap();
    for times in 0..4 {
        let call = vm.call(Stop::new()).within(PATIENCE).execute();
        assert!(poll_times(times, call).await.is_none());
        let client = vm.client_within(PATIENCE);
        assert!(poll_times(times, client).await.is_none());
    }
    let host = Host::at(path, "a", |_, _| Act::Answer);
    vm.execute(QueryStatus::new()).await.unwrap();
    assert_eq!(host.executed("stop"), 0);
}

/// No item is lost, whenever the future is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_an_event_may_be_dropped_at_each_await() {
    let host = Host::new(|_, _| Act::Answer);
    let vm = connect(&host).await;
    let mut events = vm.raw_events();
    let mut items = String::new();
    for round in 1..6 {
        for _ in 0..4 {
            host.send("STOP");
        }
        host.cut();
        wait_until("another connection", || host.is_used() && host.connections() == round + 1);
        let mut times = 0;
        while !items.ends_with('g') || items.matches('g').count() < round as usize {
            times += 1;
            match poll_times(times % 4, events.next_within(PATIENCE)).await {
                Some(Some(Ok(Item::Event(_)))) => items.push('e'),
                Some(Some(Ok(Item::Gap(Gap::Reconnected(_))))) => items.push('g'),
                None => tokio::time::sleep(Duration::from_millis(1)).await,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(items, "eeeeg".repeat(5));
}

/// No change is lost either.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_change_may_be_dropped_at_each_await() {
    let host = Host::new(|_, _| Act::Answer);
    let vm = connect(&host).await;
    let mut changes = vm.changes();
    let mut seen = String::new();
    for _ in 0..5 {
        for last in ['c', 'l'] {
            let mut times = 0;
            while !seen.ends_with(last) {
                times += 1;
                match poll_times(times % 4, changes.next_within(PATIENCE)).await {
                    Some(Some(Ok(Change::Connected(_)))) => seen.push('c'),
                    Some(Some(Ok(Change::Lost(_)))) => seen.push('l'),
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                    other => panic!("{other:?}"),
                }
            }
            if last == 'c' {
                host.cut();
            }
        }
    }
    assert_eq!(seen, "cl".repeat(5));
}

/// The runtime drops the keeper, and with it the connection.
#[test]
fn a_runtime_that_shuts_down_ends_everything() {
    let host = Host::new(|_, name| if name == "stop" { Act::Ignore } else { Act::Answer });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let vm = runtime.block_on(connect(&host));
    let call = vm.call(Stop::new()).within(PATIENCE).execute();
    let mut changes = vm.changes();
    drop(runtime);
    let error = async_io::block_on(call).unwrap_err();
    assert!(error.error.is_closed());
    let Some(Change::Ended(ended)) = async_io::block_on(changes.next()) else { panic!() };
    assert!(ended.to_string().contains("keeper"), "{ended}");
    wait_until("the end of the connection", || !host.is_used());
}
