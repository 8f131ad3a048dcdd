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
#[tokio::test]
async fn a_wait_for_an_event_may_be_dropped_at_each_await() {
    let host = Host::new(|_, _| Act::Answer);
    let vm = connect(&host).await;
    let (mut events, mut changes) = (vm.raw_events(), vm.changes());
    let (mut items, mut seen) = (Vec::new(), Vec::new());
    for round in 0..20 {
        host.send("STOP");
        if round % 4 == 3 {
            host.cut();
            wait_until("another connection", || host.is_used() && host.connections() == round / 4 + 2);
        }
        loop {
            let mut found = None;
            for times in 0..6 {
                found = poll_times(times, events.next_within(Duration::from_millis(50))).await;
                if found.is_some() {
                    break;
                }
            }
            match found {
                Some(Some(Ok(Item::Event(_)))) => items.push('e'),
                Some(Some(Ok(Item::Gap(Gap::Reconnected(_))))) => items.push('g'),
                // Nothing has arrived.
                Some(Some(Err(error))) if error.is_timeout() => break,
                other => assert!(other.is_none(), "{other:?}"),
            }
            if items.iter().filter(|item| **item == 'e').count() > round as usize
                && (round % 4 != 3 || items.last() == Some(&'g'))
            {
                break;
            }
        }
        for times in 0..4 {
            match poll_times(times, changes.next_within(PATIENCE)).await {
                Some(Some(Ok(Change::Connected(connection)))) => seen.push(connection.number),
                Some(Some(Ok(Change::Lost(_)))) | None => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(items.iter().collect::<String>(), "eeeeg".repeat(5));
    assert!(seen.is_sorted() && seen.len() >= 2, "{seen:?}");
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
