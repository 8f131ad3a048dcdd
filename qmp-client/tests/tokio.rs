//! Runs every scenario with the client on tokio, and tests what only asynchronous clients do.

#![cfg(all(unix, feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

#[macro_use]
mod scenarios;

use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use qmp_client::tokio::over;
use qmp_client::{
    Client, Dropped, End, Error, Events, Occurrence, Options, Pending, Raw, RawEvent, Request,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

use scenarios::peer::Peer;
use scenarios::{Front, PATIENCE, SOON, play_ready, status};

/// Reads and writes one byte at a time.
#[derive(Debug)]
struct Dripping(tokio::net::UnixStream);

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        buffer.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..1])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct Tokio {
    client: Client,
    events: Events,
    runtime: Runtime,
}

impl Front for Tokio {
    fn connect(stream: UnixStream, drip: bool, options: &Options) -> Result<Self, Error> {
        let runtime = runtime();
        stream.set_nonblocking(true).unwrap();
        let connected = runtime.block_on(async {
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            // Before the driver runs, since some events arrive before the greeting.
            let (connecting, events) = if drip {
                let (connecting, driver) = over(Dripping(stream), options);
                let events = connecting.raw_events().unwrap();
                tokio::spawn(driver);
                (connecting, events)
            } else {
                let (connecting, driver) = over(stream, options);
                let events = connecting.raw_events().unwrap();
                tokio::spawn(driver);
                (connecting, events)
            };
            connecting.await.map(|client| (client, events))
        });
        connected.map(|(client, events)| Self { client, events, runtime })
    }

    fn execute<R: Request>(&mut self, request: R, within: Duration) -> Result<R::Return, Error> {
        self.runtime.block_on(self.client.call(request).within(within).execute())
    }

    fn execute_all<R: Request>(&mut self, requests: Vec<R>) -> Vec<Result<R::Return, Error>> {
        let calls: Vec<_> = requests.into_iter().map(|one| self.client.execute(one)).collect();
        self.runtime.block_on(all(calls))
    }

    fn cancel<R: Request>(&mut self, request: R) {
        let mut call = pin!(self.client.execute(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }

    fn event(&mut self, within: Duration) -> Result<RawEvent, Error> {
        match self.runtime.block_on(self.events.next_within(within)) {
            Some(event) => event,
            None => Err(Error::Closed(Box::new(self.client.ended().unwrap()))),
        }
    }

    fn dropped(&self) -> Dropped {
        self.client.dropped()
    }
}

scenarios!(Tokio);

/// Creates a runtime that polls the driver in its own thread.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Polls all futures together, and returns their outputs in order.
async fn all<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    std::future::poll_fn(move |cx| {
        for (future, output) in &mut futures {
            if let Some(running) = future
                && let Poll::Ready(ready) = Pin::new(running).poll(cx)
            {
                (*future, *output) = (None, Some(ready));
            }
        }
        if futures.iter().any(|(future, _)| future.is_some()) {
            return Poll::Pending;
        }
        Poll::Ready(futures.drain(..).filter_map(|(_, output)| output).collect())
    })
    .await
}

/// Polls a future at most this many times, and returns its output if it is ready by then.
async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let (mut future, mut polled) = (pin!(future), 0);
    std::future::poll_fn(move |cx| {
        if polled == times {
            return Poll::Ready(None);
        }
        polled += 1;
        let poll = future.as_mut().poll(cx).map(Some);
        if poll.is_pending() && polled == times {
            return Poll::Ready(None);
        }
        poll
    })
    .await
}

fn echo(number: usize) -> Raw<usize> {
    Raw::new("echo").arguments(&json!({"number": number}))
}

/// Plays a server that sends the event `ECHOED` and then the reply for each `echo`.
fn echoing(peer: &mut Peer) {
    peer.greet();
    loop {
        let command = peer.command();
        if command.is_null() {
            return;
        }
        peer.send(&json!({"event": "ECHOED", "data": command["arguments"]}).to_string());
        peer.succeed(&command["id"], command["arguments"]["number"].clone());
    }
}

#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Echoed {
    number: usize,
}

impl qmp_client::Event for Echoed {
    const NAME: &'static str = "ECHOED";
}

fn with_echo<T: Future>(check: impl FnOnce(UnixStream) -> T) -> T::Output {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    std::thread::spawn(move || Peer::play(theirs, echoing));
    // With one thread, the test controls what happens between two polls.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check(ours))
}

fn pending(client: &Client) -> (usize, usize) {
    let Pending { calls, subscriptions, .. } = client.pending();
    (calls, subscriptions)
}

async fn connect(stream: UnixStream) -> Client {
    let stream = tokio::net::UnixStream::from_std(stream).unwrap();
    Client::over(stream, &Options::new()).await.unwrap()
}

/// A task that does more than one thing may have used up its budget when it polls the driver. No timer
/// was set then, and it was never tried again.
#[test]
fn a_deadline_holds_in_a_task_that_has_used_up_its_budget() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let script = |peer: &mut Peer| {
        peer.greet();
        peer.expect("query-status");
        peer.expect("query-status");
        assert_eq!(peer.command(), Value::Null);
    };
    let server = std::thread::spawn(move || Peer::play(theirs, script));
    runtime().block_on(async {
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        let (connecting, driver) = over(stream, &Options::new());
        let is_busy = std::cell::Cell::new(false);
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        sender.send(()).unwrap();
        let busy = std::future::poll_fn(|cx| {
            if is_busy.take() {
                while receiver.poll_recv(cx).is_ready() {
                    sender.send(()).unwrap();
                }
            }
            Poll::<()>::Pending
        });
        let program = async {
            let client = connecting.await.unwrap();
            // The timer of the greeting is reset, and fires.
            let error = client.call(status()).within(SOON).execute().await.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            let mut call = pin!(client.call(status()).within(SOON).execute());
            assert!(poll_times(call.as_mut(), 1).await.is_none());
            is_busy.set(true);
            call.await.unwrap_err()
        };
        let error = tokio::select! {
            biased;
            () = busy => unreachable!(),
            () = driver => panic!("the connection has ended"),
            error = program => error,
            () = tokio::time::sleep(PATIENCE) => panic!("the deadline has passed"),
        };
        assert!(error.is_timeout(), "{error:?}");
    });
    server.join().unwrap();
}

/// A command that follows `close` was sent, and answered, as long as the driver had not closed the
/// connection.
#[test]
fn a_closed_client_sends_nothing() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let script = |peer: &mut Peer| {
        peer.greet();
        assert_eq!(peer.command(), Value::Null);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| Peer::play(theirs, script));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = connect(ours).await;
            client.close();
            // The driver has not been polled since.
            assert!(client.execute(status()).await.unwrap_err().is_closed());
        });
    });
}

/// Wherever a call is dropped, it leaves nothing, and the next call gets its own reply.
#[test]
fn a_call_is_dropped_at_each_await_point() {
    with_echo(|stream| async {
        let client = connect(stream).await;
        let mut dropped = 0;
        for times in 0.. {
            let answered = poll_times(client.execute(echo(1000 + times)), times).await;
            if answered.is_none() {
                dropped += 1;
                assert_eq!(pending(&client), (0, 0));
            }
            assert_eq!(client.execute(echo(times)).await.unwrap(), times);
            assert_eq!(pending(&client), (0, 0));
            if let Some(answer) = answered {
                assert_eq!(answer.unwrap(), 1000 + times);
                break;
            }
        }
        // Before the first poll, and after it.
        assert_eq!(dropped, 2);
        assert_eq!(client.dropped().late_replies, 1);
    });
}

#[test]
fn a_call_with_its_event_is_dropped_at_each_await_point() {
    with_echo(|stream| async {
        let client = connect(stream).await;
        let mut dropped = 0;
        for times in 0.. {
            let number = 1000 + times;
            let call = client.call(echo(number)).until(move |e: &Echoed| e.number == number);
            let answered = poll_times(call, times).await;
            dropped += usize::from(answered.is_none());
            assert_eq!(pending(&client), (0, 0));
            let own = client.call(echo(times)).until(|e: &Echoed| e.number < 1000);
            let (reply, event) = own.await.unwrap();
            assert_eq!((reply, event.event.number), (times, times));
            if let Some(answer) = answered {
                assert_eq!(answer.unwrap().1.event.number, number);
                break;
            }
        }
        assert!(dropped >= 2);
        assert_eq!(pending(&client), (0, 0));
    });
}

#[test]
fn a_wait_for_an_event_is_dropped_and_loses_none() {
    with_echo(|stream| async {
        let client = connect(stream).await;
        let mut events = client.events_of::<Echoed>();
        for times in [0, 1, 1] {
            assert!(poll_times(events.next(), times).await.is_none());
            client.execute(echo(times)).await.unwrap();
            let event = events.next().await.unwrap().unwrap();
            assert_eq!(event.event.number, times);
        }
        assert_eq!(pending(&client), (0, 1));
        drop(events);
        assert_eq!(pending(&client), (0, 0));
    });
}

#[test]
fn connecting_is_dropped_at_each_await_point() {
    for times in 0.. {
        let connected = with_echo(|stream| async move {
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            let options = Options::new();
            let connecting = pin!(Client::over(stream, &options));
            let client = poll_times(connecting, times).await?.unwrap();
            Some(client.execute(echo(1)).await.unwrap())
        });
        if connected.is_some() {
            break;
        }
        assert!(times < 20);
    }
}

/// Every wait fails when the driver is dropped, however often it was polled before.
#[test]
fn a_dropped_driver_fails_every_wait() {
    for polled in 0..3 {
        with_echo(|stream| async move {
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            let (connecting, driver) = over(stream, &Options::new());
            let mut events = connecting.raw_events().unwrap();
            let waiter = tokio::spawn(connecting);
            let listener = tokio::spawn(async move { events.next().await });
            tokio::task::yield_now().await;
            assert!(poll_times(driver, polled).await.is_none());
            let error = waiter.await.unwrap().unwrap_err();
            let Error::Closed(closed) = &error else { panic!("{error:?}") };
            assert!(matches!(*closed.reason, End::NoDriver), "{error:?}");
            assert!(listener.await.unwrap().unwrap().unwrap_err().is_closed());
        });
    }
}

#[test]
fn a_dropped_driver_fails_calls() {
    with_echo(|stream| async {
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) = over(stream, &Options::new());
        let driver = tokio::spawn(driver);
        let client = connecting.await.unwrap();
        driver.abort();
        assert!(driver.await.unwrap_err().is_cancelled());
        let error = client.execute(echo(1)).await.unwrap_err();
        assert_eq!(error.command(), Some("echo"));
        assert!(error.report().ends_with("its driver was dropped"), "{}", error.report());
        assert!(client.closed().await.command.is_none());
    });
}

/// The connection is closed with the last handle, and its driver ends.
#[test]
fn dropping_the_last_handle_closes_the_connection() {
    with_echo(|stream| async {
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) = over(stream, &Options::new());
        let driver = tokio::spawn(driver);
        let client = connecting.await.unwrap();
        let (other, events) = (client.clone(), client.raw_events());
        drop(client);
        assert_eq!(other.execute(echo(1)).await.unwrap(), 1);
        drop(other);
        assert!(!driver.is_finished());
        drop(events);
        tokio::time::timeout(PATIENCE, driver).await.unwrap().unwrap();
    });
}

/// Many tasks share one connection, and each gets its own replies.
#[test]
fn tasks_share_a_connection() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    std::thread::spawn(move || Peer::play(theirs, echoing));
    runtime().block_on(async {
        let client = connect(ours).await;
        let mut events = client.raw_events();
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let client = client.clone();
                tokio::spawn(async move {
                    for turn in 0..50 {
                        let number = task * 1000 + turn;
                        assert_eq!(client.execute(echo(number)).await.unwrap(), number);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        for _ in 0..800 {
            events.next().await.unwrap().unwrap();
        }
        assert_eq!(pending(&client), (0, 1));
    });
}

/// Subscriptions are independent, and a slow one reports how many events it missed.
#[test]
fn a_slow_subscription_lags_alone() {
    let options = Options::new().event_capacity(4);
    scenarios::play::<Tokio>(
        false,
        &options,
        |peer| {
            peer.greet();
            let id = peer.expect("query-status");
            for number in 0..10 {
                peer.send(&json!({"event": "ECHOED", "data": {"number": number}}).to_string());
            }
            peer.send(r#"{"event": "STOP"}"#);
            peer.running(&id);
        },
        |front| {
            let front = front.unwrap();
            let Tokio { client, runtime, .. } = &front;
            runtime.block_on(async {
                let mut all = client.raw_events();
                let mut stops =
                    client.raw_events().matching(|event: &RawEvent| &*event.name == "STOP");
                let mut named = client.events_of::<Echoed>();
                client.execute(status()).await.unwrap();
                assert!(matches!(all.next().await, Some(Err(Error::Lagged(7)))));
                for number in [7, 8, 9] {
                    let event = all.next().await.unwrap().unwrap();
                    assert_eq!(event.decode::<Echoed>().unwrap().unwrap().number, number);
                }
                // Events that do not satisfy the predicate take no room.
                assert_eq!(&*stops.next().await.unwrap().unwrap().name, "STOP");
                assert!(matches!(named.next().await, Some(Err(Error::Lagged(6)))));
                assert_eq!(named.next().await.unwrap().unwrap().event.number, 6);
                let late = all.next().await.unwrap().unwrap();
                assert_eq!(&*late.name, "STOP");
                let error = all.next_within(SOON).await.unwrap().unwrap_err();
                assert!(error.is_timeout(), "{error:?}");
            });
        },
    );
}

/// A predicate that is set later also applies to events that have arrived by then.
#[test]
fn a_predicate_applies_to_events_that_have_arrived() {
    with_echo(|stream| async {
        let client = connect(stream).await;
        let mut events = client.events_of::<Echoed>();
        for number in 0..6 {
            client.execute(echo(number)).await.unwrap();
        }
        assert_eq!(events.next().await.unwrap().unwrap().event.number, 0);
        let events = events.matching(|echoed| echoed.event.number % 2 == 1);
        let mut events = events.matching(|echoed: &Occurrence<Echoed>| echoed.event.number > 1);
        for number in 6..9 {
            client.execute(echo(number)).await.unwrap();
        }
        for number in [3, 5, 7] {
            assert_eq!(events.next().await.unwrap().unwrap().event.number, number);
        }
        assert!(events.next_within(SOON).await.unwrap().unwrap_err().is_timeout());
    });
}

/// The awaited event may be among those that were dropped, and then the wait would never end.
#[test]
fn a_wait_that_may_have_missed_its_event_reports_it() {
    for (wanted, found) in [(0, false), (9, true)] {
        let (has_polled, polled) = std::sync::mpsc::channel();
        scenarios::play::<Tokio>(
            false,
            &Options::new().event_capacity(4),
            move |peer| {
                peer.greet();
                let id = peer.expect("echo");
                polled.recv_timeout(PATIENCE).unwrap();
                for number in 0..10 {
                    peer.send(&json!({"event": "ECHOED", "data": {"number": number}}).to_string());
                }
                peer.succeed(&id, json!(1));
                peer.status();
            },
            |front| {
                let Tokio { client, runtime, .. } = &front.unwrap();
                runtime.block_on(async {
                    let mut call =
                        client.call(echo(1)).until(|event: &Echoed| event.number == wanted);
                    let first =
                        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx)));
                    assert!(first.await.is_pending());
                    has_polled.send(()).unwrap();
                    // The task is slow.
                    client.execute(status()).await.unwrap();
                    match call.await {
                        Ok((1, event)) => assert!(found && event.event.number == wanted),
                        Err(Error::Lagged(6)) => assert!(!found),
                        other => panic!("{other:?}"),
                    }
                });
            },
        );
    }
}

/// A server may report the removal of a device twice; the second event is not about the next device.
#[test]
fn an_event_from_before_the_command_is_not_taken_for_its_effect() {
    let (has_arrived, arrived) = std::sync::mpsc::channel();
    play_ready::<Tokio>(
        false,
        move |peer| {
            let id = peer.expect("query-status");
            peer.running(&id);
            peer.send(r#"{"event": "ECHOED", "data": {"number": 1}}"#);
            has_arrived.send(()).unwrap();
            let id = peer.expect("echo");
            peer.succeed(&id, json!(2));
            peer.send(r#"{"event": "ECHOED", "data": {"number": 2}}"#);
        },
        move |front| {
            let Tokio { client, runtime, .. } = front;
            runtime.block_on(async {
                client.execute(status()).await.unwrap();
                arrived.recv_timeout(PATIENCE).unwrap();
                let (_, own) = client.call(echo(2)).until(|_: &Echoed| true).await.unwrap();
                assert_eq!(own.event.number, 2);
                let call = client.call(Raw::<Value>::new("echo")).within(SOON);
                let error = call.until(|_: &Echoed| true).await.unwrap_err();
                assert!(error.is_timeout(), "{error:?}");
            });
        },
    );
}

/// Deadlines follow the runtime's clock, which a test can pause.
#[test]
fn deadlines_follow_the_runtimes_clock() {
    let (ours, _theirs) = tokio::io::duplex(64);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let begin = std::time::Instant::now();
    runtime.block_on(async {
        let error = Client::over(ours, &Options::new()).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
    });
    assert!(begin.elapsed() < PATIENCE);
}

/// A server sent its last event and closed the connection while the runtime was busy. When the next
/// command could not be written, the event that was still in the socket was lost.
#[test]
fn events_before_the_end_are_not_lost() {
    use std::io::Write;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut last = theirs.try_clone().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Peer::play(theirs, Peer::greet));
        runtime.block_on(async {
            ours.set_nonblocking(true).unwrap();
            let ours = tokio::net::UnixStream::from_std(ours).unwrap();
            let client = Client::over(ours, &Options::new()).await.unwrap();
            let mut events = client.raw_events();
            last.write_all(format!("{}\r\n", scenarios::peer::EVENT).as_bytes()).unwrap();
            last.shutdown(std::net::Shutdown::Both).unwrap();
            let error = client.execute(Raw::<Value>::new("query-status")).await.unwrap_err();
            assert!(error.is_closed(), "{error:?}");
            assert_eq!(&*events.next().await.unwrap().unwrap().name, "STOP");
            assert!(events.next().await.unwrap().unwrap_err().is_closed());
        });
    });
}

/// A command of this many bytes does not fit into the buffers of a socket.
const LARGE: usize = 4 << 20;

fn large(name: &'static str) -> Raw<Value> {
    Raw::new(name).arguments(&json!({"filler": "x".repeat(LARGE)}))
}

/// A command that was submitted while the one before did not fit into the socket was forgotten: the
/// driver sent the rest of the other one, and went to sleep.
#[test]
fn a_command_after_one_that_did_not_fit_is_sent() {
    let (submitted, go) = std::sync::mpsc::channel();
    play_ready::<Tokio>(
        false,
        move |peer| {
            go.recv_timeout(PATIENCE).unwrap();
            let large = peer.expect("large");
            let small = peer.command();
            assert_eq!(small["exec-oob"], "small");
            peer.succeed(&small["id"], json!({}));
            peer.succeed(&large, json!({}));
        },
        |Tokio { client, runtime, .. }| {
            runtime.block_on(async {
                let first = client.call(large("large")).within(PATIENCE).send().unwrap();
                tokio::time::sleep(SOON).await;
                let small = Raw::<Value>::new("small").out_of_band();
                let second = client.call(small).within(PATIENCE / 2).send().unwrap();
                tokio::time::sleep(SOON).await;
                submitted.send(()).unwrap();
                second.receive().await.unwrap();
                first.receive().await.unwrap();
            });
        },
    );
}

/// A command left the queue while the one before did not fit into the socket. An event that arrived
/// meanwhile was taken for its effect.
#[test]
fn an_event_from_before_there_was_room_is_not_taken_for_its_effect() {
    let (has_seen, seen) = std::sync::mpsc::channel();
    play_ready::<Tokio>(
        false,
        move |peer| {
            seen.recv_timeout(PATIENCE).unwrap();
            peer.send(r#"{"event": "ECHOED", "data": {"number": 1}}"#);
            seen.recv_timeout(PATIENCE).unwrap();
            let large = peer.expect("large");
            peer.succeed(&large, json!({}));
            let id = peer.expect("echo");
            peer.succeed(&id, json!(2));
            peer.send(r#"{"event": "ECHOED", "data": {"number": 2}}"#);
        },
        |Tokio { client, runtime, .. }| {
            runtime.block_on(async {
                let mut events = client.raw_events();
                let first = client.call(large("large")).within(PATIENCE).send().unwrap();
                tokio::time::sleep(SOON).await;
                let call = client.call(echo(2)).within(PATIENCE);
                let call = tokio::spawn(call.until(|_: &Echoed| true));
                tokio::time::sleep(SOON).await;
                has_seen.send(()).unwrap();
                events.next().await.unwrap().unwrap();
                has_seen.send(()).unwrap();
                let (_, own) = call.await.unwrap().unwrap();
                assert_eq!(own.event.number, 2);
                first.receive().await.unwrap();
            });
        },
    );
}

/// An event that arrives while the command is queued is not its effect.
#[test]
fn an_event_from_before_a_queued_command_is_not_taken_for_its_effect() {
    play_ready::<Tokio>(
        false,
        |peer| {
            let ids: Vec<_> = (0..8).map(|_| peer.expect("slow")).collect();
            std::thread::sleep(SOON);
            peer.send(r#"{"event": "ECHOED", "data": {"number": 1}}"#);
            std::thread::sleep(SOON);
            for id in ids {
                peer.succeed(&id, json!({}));
            }
            let id = peer.expect("echo");
            peer.succeed(&id, json!(2));
            peer.send(r#"{"event": "ECHOED", "data": {"number": 2}}"#);
        },
        |Tokio { client, runtime, .. }| {
            runtime.block_on(async {
                let slow = (0..8).map(|_| client.send(Raw::<Value>::new("slow")).unwrap());
                let slow: Vec<_> = slow.collect();
                let call = client.call(echo(2)).within(PATIENCE);
                let (_, own) = call.until(|_: &Echoed| true).await.unwrap();
                assert_eq!(own.event.number, 2);
                drop(slow);
            });
        },
    );
}

/// A guard without a deadline is executed like any other.
#[test]
fn a_guard_without_a_deadline_acts() {
    let (sender, undone) = std::sync::mpsc::channel();
    play_ready::<Tokio>(
        false,
        move |peer| {
            let ids: Vec<_> = (0..8).map(|_| peer.expect("slow")).collect();
            std::thread::sleep(SOON);
            for id in ids {
                peer.succeed(&id, json!({}));
            }
            sender.send(peer.command()["execute"].clone()).unwrap();
        },
        |Tokio { client, runtime, .. }| {
            runtime.block_on(async {
                let slow = (0..8).map(|_| client.send(Raw::<Value>::new("slow")).unwrap());
                let slow: Vec<_> = slow.collect();
                let guard = client.call(Raw::<Value>::new("undo")).within(Duration::MAX).guard();
                drop(guard);
                for ticket in slow {
                    ticket.receive().await.unwrap();
                }
                assert_eq!(undone.recv_timeout(PATIENCE).unwrap(), "undo");
            });
        },
    );
}

/// The function that undoes a call is dropped without the lock, since it may own the last client.
#[test]
fn an_undo_may_own_the_last_client() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (sender, undone) = std::sync::mpsc::channel();
    let (canceled, is_canceled) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        Peer::play(theirs, |peer| {
            peer.greet();
            let id = peer.expect("do");
            is_canceled.recv_timeout(PATIENCE).unwrap();
            peer.succeed(&id, json!({}));
            let id = peer.expect("undo");
            peer.succeed(&id, json!({}));
            sender.send(peer.command()).unwrap();
        });
    });
    std::thread::spawn(move || {
        runtime().block_on(async {
            let client = connect(ours).await;
            let owned = client.clone();
            let call = client.call(Raw::<Value>::new("do")).execute_undoable(move |_| {
                let _ = &owned;
                Some(Raw::<Value>::new("undo"))
            });
            drop(client);
            assert!(tokio::time::timeout(SOON / 2, call).await.is_err());
            canceled.send(()).unwrap();
            tokio::time::sleep(PATIENCE).await;
        });
    });
    // The peer sees the end of the connection, since no handle is left.
    assert_eq!(undone.recv_timeout(PATIENCE / 2), Ok(Value::Null));
}

/// A command whose arguments cannot be written.
struct Unwritable;

impl Request for Unwritable {
    type Return = Value;

    fn name(&self) -> std::borrow::Cow<'static, str> {
        "unwritable".into()
    }

    fn has_arguments(&self) -> bool {
        true
    }

    fn write_arguments(&self, _: &mut Vec<u8>) -> serde_json::Result<()> {
        Err(serde::ser::Error::custom("a refusal of the test's"))
    }
}

/// A guard whose command cannot be written is not the same as nothing to undo.
#[test]
fn a_guard_that_cannot_be_executed_reports_it() {
    with_echo(|stream| async {
        let client = connect(stream).await;
        let error = client.call(Unwritable).guard().run().await.unwrap_err();
        assert!(error.report().contains("a refusal of the test's"), "{}", error.report());
    });
}

/// A reply that arrived in time counts, although the runtime was busy, or the process stopped, until
/// after the deadline.
#[test]
fn a_reply_is_in_time_although_the_runtime_was_busy() {
    let (replied, has_replied) = std::sync::mpsc::channel();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        Peer::play(theirs, |peer| {
            peer.greet();
            for _ in 0..3 {
                // More than a single read returns.
                let id = peer.expect("query-status");
                let reply = json!({"return": {"status": "running"}, "id": id});
                let event = scenarios::peer::EVENT;
                std::thread::sleep(SOON / 3);
                peer.send(&format!("{}\n{reply}", [event; 1000].join("\n")));
                replied.send(()).unwrap();
            }
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = connect(ours).await;
        for _ in 0..3 {
            let ticket = client.call(status()).within(SOON * 20).send().unwrap();
            // The driver sends it.
            tokio::time::sleep(SOON / 6).await;
            has_replied.recv_timeout(PATIENCE).unwrap();
            std::thread::sleep(SOON * 20);
            ticket.receive().await.unwrap();
        }
    });
}

/// A predicate that panics ends the connection. It is not called again while the driver unwinds: a
/// second panic would abort the process.
#[test]
fn a_predicate_that_panics_for_every_event_ends_the_connection() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        Peer::play(theirs, |peer| {
            peer.greet();
            let id = peer.expect("query-status");
            let event = scenarios::peer::EVENT;
            peer.send_bytes(format!("{event}\n{event}\n{event}\n").as_bytes());
            peer.running(&id);
        });
    });
    runtime().block_on(async {
        let client = connect(ours).await;
        let _events = client.raw_events().matching(|_| panic!("a predicate of the test's"));
        let error = client.call(status()).within(PATIENCE).execute().await.unwrap_err();
        assert!(error.is_closed(), "{error:?}");
    });
}

/// Many tasks on several threads, with each kind of call, and calls that are dropped: each task gets
/// its own replies, and the subscription every event, once and in order.
#[test]
fn tasks_on_several_threads_share_a_connection() {
    const TASKS: usize = 16;
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    std::thread::spawn(move || Peer::play(theirs, echoing));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        let options = Options::new().event_capacity(TASKS * 100);
        let client = Client::over(stream, &options).await.unwrap();
        let mut events = client.events_of::<Echoed>();
        let watcher = tokio::spawn(async move {
            let mut last = [None; TASKS];
            loop {
                match events.next().await.unwrap() {
                    Ok(event) => {
                        let number = event.event.number;
                        let last = &mut last[number / 1000];
                        assert!(last.is_none_or(|last| last < number));
                        *last = Some(number);
                    }
                    Err(error) => return (last, error),
                }
            }
        });
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let client = client.clone();
                tokio::spawn(async move {
                    for turn in 0..100 {
                        let number = task * 1000 + turn;
                        let call = client.call(echo(number)).within(PATIENCE);
                        match turn % 5 {
                            0 => {
                                let own = move |event: &Echoed| event.number == number;
                                assert_eq!(call.until(own).await.unwrap().0, number);
                            }
                            1 => drop(call.send().unwrap()),
                            2 => {
                                let ticket = call.send().unwrap();
                                assert_eq!(ticket.receive().await.unwrap(), number);
                            }
                            3 => drop(poll_times(call.execute(), 1).await),
                            _ => assert_eq!(call.execute().await.unwrap(), number),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
        }
        assert_eq!(pending(&client), (0, 1));
        client.close();
        let (last, error) = tokio::time::timeout(PATIENCE, watcher).await.unwrap().unwrap();
        assert!(error.is_closed());
        assert!(last.iter().enumerate().all(|(task, last)| *last == Some(task * 1000 + 99)));
    });
}

/// Closing the connection ends each kind of wait, also while the peer reads nothing.
#[test]
fn closing_ends_every_kind_of_wait() {
    for stuck in [false, true] {
        let (done, hold) = std::sync::mpsc::channel::<()>();
        play_ready::<Tokio>(
            false,
            move |_| {
                let _ = hold.recv_timeout(PATIENCE);
            },
            |Tokio { client, runtime, .. }| {
                runtime.block_on(async {
                    let large = stuck.then(|| client.send(large("large")).unwrap());
                    let call = || client.call(Raw::<Value>::new("never")).within(PATIENCE);
                    let mut events = client.raw_events();
                    let close = async {
                        tokio::time::sleep(SOON).await;
                        client.close();
                    };
                    let ticket = call().send().unwrap();
                    let waits = async {
                        tokio::join!(
                            call().execute(),
                            call().until(|_: &Echoed| true),
                            ticket.receive(),
                            events.next(),
                            client.closed(),
                            client.pause(PATIENCE),
                            close,
                        )
                    };
                    let ended = tokio::time::timeout(PATIENCE / 2, waits).await.unwrap();
                    assert!(ended.0.unwrap_err().is_closed());
                    assert!(ended.1.unwrap_err().is_closed());
                    assert!(ended.2.unwrap_err().is_closed());
                    assert!(ended.3.unwrap().unwrap_err().is_closed());
                    assert!(!ended.4.by_peer());
                    drop(large);
                });
                drop(done);
            },
        );
    }
}

/// Commands of every size, of many tasks, arrive once and whole at a peer that pauses.
#[test]
fn large_commands_of_many_tasks_wait_for_a_peer_that_pauses() {
    play_ready::<Tokio>(
        false,
        |peer| {
            loop {
                std::thread::sleep(SOON / 6);
                let command = peer.command();
                if command.is_null() {
                    return;
                }
                let length = command["arguments"]["filler"].as_str().unwrap().len();
                peer.succeed(&command["id"], json!(length));
            }
        },
        |Tokio { client, runtime, .. }| {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..12)
                    .map(|task| {
                        let client = client.clone();
                        tokio::spawn(async move {
                            for turn in 0..6 {
                                let length = [10, 100_000, 700_000][(task + turn) % 3];
                                let arguments = json!({"filler": "x".repeat(length)});
                                let request = Raw::<usize>::new("large").arguments(&arguments);
                                let call = client.call(request).within(PATIENCE * 2);
                                assert_eq!(call.execute().await.unwrap(), length);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        },
    );
}

/// A task that makes a call sent its command by way of the driver, which had to be woken first. Now
/// the command has arrived at the server before the driver can run.
#[test]
fn a_command_is_sent_without_the_driver() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let script = move |peer: &mut Peer| {
        peer.greet();
        for _ in 0..2 {
            let id = peer.expect("query-status");
            arrived.send(()).unwrap();
            peer.running(&id);
        }
    };
    ours.set_nonblocking(true).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Peer::play(theirs, script));
        // Dropped here: the peer waits until its client, which is a task, closes the socket.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = connect(ours).await;
            for _ in 0..2 {
                let mut reply = client.execute(status());
                assert!(poll_times(&mut reply, 1).await.is_none());
                // This blocks the only thread of the runtime.
                arrivals.recv_timeout(PATIENCE).unwrap();
                assert_eq!(reply.await.unwrap()["status"], "running");
            }
            let bytes = client.stats().bytes_sent;
            assert!(bytes > 100, "{bytes}");
        });
    });
}
