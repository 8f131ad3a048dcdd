//! Runs every scenario with the blocking client, and tests what only it does.

#![cfg(all(unix, feature = "blocking"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests
#![cfg_attr(not(feature = "qmp"), allow(unused_imports))] // only some tests use them

#[macro_use]
mod scenarios;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use qmp_client::blocking::{Client, Events, over};
use qmp_client::protocol::Descriptor;
use qmp_client::transport::{Transport, Unix};
use qmp_client::{Direction, Dropped, Error, Options, Raw, RawEvent, Request};
use serde_json::Value;

use scenarios::peer::Peer;
use scenarios::{Front, PATIENCE, SOON, play_ready, status};

/// Reads and writes one byte at a time.
#[derive(Debug)]
struct Dripping(Unix);

impl Transport for Dripping {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.read(&mut buffer[..1], timeout)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.0.write(&bytes[..1], descriptors, timeout)
    }

    fn close(&self) {
        self.0.close();
    }
}

/// A client, and a subscription from before the greeting.
struct Blocking {
    client: Client,
    events: Events,
}

impl Front for Blocking {
    fn connect(stream: UnixStream, drip: bool, options: &Options) -> Result<Self, Error> {
        let stream = Unix::from_stream(stream).unwrap();
        let connecting = if drip { over(Dripping(stream), options) } else { over(stream, options) };
        let events = connecting.raw_events();
        Ok(Self { client: connecting.negotiate()?, events })
    }

    fn execute<R: Request>(&mut self, request: R, within: Duration) -> Result<R::Return, Error> {
        self.client.call(request).within(within).execute()
    }

    fn execute_all<R: Request>(&mut self, requests: Vec<R>) -> Vec<Result<R::Return, Error>> {
        let tickets: Vec<_> =
            requests.into_iter().map(|request| self.client.send(request)).collect();
        tickets.into_iter().map(|ticket| ticket?.receive()).collect()
    }

    fn cancel<R: Request>(&mut self, request: R) {
        drop(self.client.send(request).unwrap());
    }

    fn event(&mut self, within: Duration) -> Result<RawEvent, Error> {
        match self.events.next_within(within) {
            Some(event) => event,
            None => Err(Error::Closed(Box::new(self.client.ended().unwrap()))),
        }
    }

    fn dropped(&self) -> Dropped {
        self.client.dropped()
    }
}

scenarios!(Blocking);

#[test]
fn an_invalid_address_is_reported() {
    let error = Client::connect("fd:4").unwrap_err();
    assert!(error.report().contains("file descriptor"), "{}", error.report());
}

type Shown = (Direction, String);

/// Creates the function of a transcript, and returns a receiver of what it is called with.
fn transcript() -> (impl FnMut(Direction, &str) + Send + 'static, mpsc::Receiver<Shown>) {
    let (sender, shown) = mpsc::channel();
    let hook = move |direction, message: &str| drop(sender.send((direction, message.to_owned())));
    (hook, shown)
}

/// Returns all that a transcript is called with. It is called later than a message arrives, and until
/// the last connection with it has ended.
fn until_the_end(shown: &mpsc::Receiver<Shown>) -> Vec<Shown> {
    let mut all = Vec::new();
    loop {
        match shown.recv_timeout(PATIENCE) {
            Ok(message) => all.push(message),
            Err(mpsc::RecvTimeoutError::Disconnected) => return all,
            Err(timeout) => panic!("{timeout}: {all:?}"),
        }
    }
}

/// Each message appears once, in both directions, whether or not the fast path read it.
#[test]
fn a_transcript_has_every_message() {
    let (hook, shown) = transcript();
    scenarios::play::<Blocking>(
        false,
        &Options::new().transcript(hook),
        |peer| {
            peer.greet();
            let id = peer.expect("query-status");
            peer.send("{\"event\": \"STOP\"}");
            peer.send("rubbish");
            peer.running(&id);
        },
        |client| {
            client.unwrap().client.execute(status()).unwrap();
        },
    );
    use qmp_client::Direction::{Received, Sent};
    let seen = until_the_end(&shown);
    let directions: Vec<_> = seen.iter().map(|(way, _)| *way).collect();
    assert_eq!(directions, [Received, Sent, Received, Sent, Received, Received], "{seen:?}");
}

/// A transcript ends up in log files and bug reports.
#[test]
fn a_transcript_shows_no_secrets() {
    let (hook, shown) = transcript();
    let arguments = serde_json::json!({
        "protocol": "vnc", "password": "hunter2", "nested": {"admin_password": "hunter3"},
    });
    scenarios::play::<Blocking>(
        false,
        &Options::new().transcript(hook),
        |peer| {
            peer.greet();
            let command = peer.command();
            assert_eq!(command["arguments"]["password"], "hunter2");
            peer.succeed(&command["id"], serde_json::json!({}));
        },
        |client| {
            let command = Raw::<Value>::new("set_password").arguments(&arguments);
            client.unwrap().client.execute(command).unwrap();
        },
    );
    let seen: String = until_the_end(&shown).into_iter().map(|(_, message)| message).collect();
    assert!(seen.contains("set_password") && seen.contains("vnc"), "{seen}");
    assert!(!seen.contains("hunter"), "{seen}");
}

/// Two pipes are one, such as a program's standard input and output.
#[test]
fn anything_that_reads_and_writes_is_a_transport() {
    use qmp_client::transport::Adapter;
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            Peer::play(theirs, |peer| {
                peer.greet();
                peer.status();
                peer.expect("query-status");
                peer.hang_up();
            });
        });
        let transport = Adapter::new(ours.try_clone().unwrap(), ours);
        let client = Client::over(transport, &Options::new()).unwrap();
        let mut events = client.raw_events();
        assert_eq!(client.execute(status()).unwrap()["running"], true);
        assert!(events.next_within(SOON).unwrap().unwrap_err().is_timeout());
        assert!(client.execute(status()).unwrap_err().is_closed());
    });
}

/// The report is a single line, for command line programs.
#[test]
fn an_error_reports_each_layer_once() {
    play_ready::<Blocking>(
        false,
        |peer| {
            let id = peer.expect("device_del");
            let error =
                serde_json::json!({"class": "DeviceNotFound", "desc": "Device 'd0' not found"});
            peer.send(&serde_json::json!({"error": error, "id": id}).to_string());
            peer.expect("device_del");
            peer.hang_up();
        },
        |client| {
            let client = &client.client;
            let error = client.execute(Raw::<Value>::new("device_del")).unwrap_err();
            assert_eq!(error.report(), "device_del failed: Device 'd0' not found");
            let error = client.execute(Raw::<Value>::new("device_del")).unwrap_err();
            assert_eq!(
                error.report(),
                "the connection ended before the reply to `device_del`: the peer closed it"
            );
        },
    );
}

/// The iterator returns the events of a vocabulary, and at last why the connection ended.
#[test]
#[cfg(feature = "qmp")]
fn events_are_iterated_to_the_end() {
    use qmp_client::qmp::AnyEvent;
    play_ready::<Blocking>(
        false,
        |peer| {
            peer.status();
            peer.send(r#"{"event": "STOP"}"#);
            peer.send(r#"{"event": "WATCHDOG", "data": {}}"#);
            peer.send(r#"{"event": "RESUME", "data": {}}"#);
            peer.hang_up();
        },
        |Blocking { client, .. }| {
            let mut events = client.events::<AnyEvent>();
            client.execute(status()).unwrap();
            assert!(matches!(events.next().unwrap().unwrap().event, AnyEvent::Stop(_)));
            let error = events.next().unwrap().unwrap_err();
            assert!(error.report().contains("`action`"), "{}", error.report());
            assert!(matches!(events.next().unwrap().unwrap().event, AnyEvent::Resume(_)));
            assert!(events.next().unwrap().unwrap_err().is_closed());
            assert!(events.next().is_none());
        },
    );
}

#[test]
#[cfg(feature = "qmp")]
fn events_of_one_type_are_iterated() {
    use qmp_client::qmp::events::Stop;
    play_ready::<Blocking>(
        false,
        |peer| {
            peer.status();
            for name in ["STOP", "RESUME", "STOP"] {
                peer.send(&format!("{{\"event\": \"{name}\"}}"));
            }
            peer.hang_up();
        },
        |Blocking { client, .. }| {
            let events = client.events_of::<Stop>();
            client.execute(status()).unwrap();
            let events: Vec<_> = events.collect();
            assert_eq!(events.len(), 3);
            assert!(events[0].is_ok() && events[1].is_ok());
            assert!(events[2].as_ref().unwrap_err().is_closed());
        },
    );
}

/// A server may report the removal of a device twice; the second event is not about the next device.
#[test]
#[cfg(feature = "qmp")]
fn an_event_from_before_the_command_is_not_taken_for_its_effect() {
    use qmp_client::qmp::commands::DeviceDel;
    use qmp_client::qmp::events::DeviceDeleted;
    let deleted = |second: u32| {
        format!(
            r#"{{"event": "DEVICE_DELETED", "data": {{"path": "/d0", "device": "d0"}},
                "timestamp": {{"seconds": {second}, "microseconds": 0}}}}"#
        )
    };
    let (has_arrived, arrived) = std::sync::mpsc::channel();
    play_ready::<Blocking>(
        false,
        move |peer| {
            let id = peer.expect("query-status");
            peer.send(&deleted(1));
            peer.running(&id);
            peer.send(&deleted(2));
            has_arrived.send(()).unwrap();
            let id = peer.expect("device_del");
            peer.succeed(&id, serde_json::json!({}));
            peer.send(&deleted(3));
        },
        move |Blocking { client, .. }| {
            let mut all = client.events_of::<DeviceDeleted>();
            client.execute(status()).unwrap();
            arrived.recv_timeout(PATIENCE).unwrap();
            let call = client.call(DeviceDel::new("d0")).within(PATIENCE);
            let (_, own) = call.until(|_: &DeviceDeleted| true).unwrap();
            assert_eq!(own.timestamp.seconds, 3);
            for second in [1, 2] {
                let stale = all.next_within(PATIENCE).unwrap().unwrap();
                assert_eq!(stale.timestamp.seconds, second);
            }
        },
    );
}

/// The awaited event may be among those that were dropped, and then the wait would never end.
#[test]
#[cfg(feature = "qmp")]
fn a_wait_that_may_have_missed_its_event_reports_it() {
    use qmp_client::qmp::events::{Reset, Resume};
    scenarios::play::<Blocking>(
        false,
        &Options::new().event_capacity(4),
        |peer| {
            peer.greet();
            let id = peer.expect("query-status");
            for name in ["STOP", "RESUME", "RESUME", "RESUME", "RESUME", "POWERDOWN"] {
                peer.send(&format!("{{\"event\": \"{name}\"}}"));
            }
            peer.running(&id);
        },
        |client| {
            let Blocking { client, .. } = client.unwrap();
            let mut all = client.raw_events();
            let mut resumes = client.events_of::<Resume>();
            let mut resets = client.events_of::<Reset>();
            client.execute(status()).unwrap();
            assert!(matches!(all.next_within(SOON), Some(Err(Error::Lagged(2)))));
            for name in ["RESUME", "RESUME", "RESUME", "POWERDOWN"] {
                assert_eq!(&*all.next_within(SOON).unwrap().unwrap().name, name);
            }
            // Subscriptions do not depend on each other.
            for _ in 0..4 {
                resumes.next_within(SOON).unwrap().unwrap();
            }
            // The loss is reported once.
            assert!(all.next_within(SOON).unwrap().unwrap_err().is_timeout());
            assert!(resets.next_within(SOON).unwrap().unwrap_err().is_timeout());
        },
    );
}

/// The panic ends this connection and no other. Callers get an error, and do not panic.
#[test]
fn a_transcript_that_panics_ends_only_its_own_connection() {
    for (way, text) in [(Direction::Sent, "\"fatal\""), (Direction::Received, "\"STOP\"")] {
        let options = Options::new().transcript(move |direction, message| {
            assert!(direction != way || !message.contains(text), "the test's panic");
        });
        // The harmless connection follows one that the same function has ended.
        for harmless in [false, true] {
            scenarios::play::<Blocking>(
                false,
                &options,
                |peer| {
                    peer.greet();
                    peer.status();
                    if !harmless {
                        let id = peer.command()["id"].clone();
                        peer.send(r#"{"event": "STOP"}"#);
                        peer.succeed(&id, serde_json::json!({}));
                    }
                },
                |client| {
                    let Blocking { client, .. } = client.unwrap();
                    client.execute(status()).unwrap();
                    if !harmless {
                        // A reply that arrived with the message may have been given out.
                        let _ = client.execute(Raw::<Value>::new("fatal"));
                        let error = client.execute(status()).unwrap_err();
                        let report = error.report();
                        assert!(report.ends_with("its transcript hook panicked"), "{report}");
                    }
                },
            );
        }
    }
}

/// A thread waits for events without a deadline while others execute commands. Each gets its own
/// replies, and closing the connection wakes them all.
#[test]
fn threads_share_a_connection() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const THREADS: usize = 8;
    const COMMANDS: usize = 50;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        Peer::play(theirs, |peer| {
            peer.greet();
            loop {
                let command = peer.command();
                if command.is_null() {
                    return;
                }
                peer.send(r#"{"event": "ECHOED"}"#);
                peer.succeed(&command["id"], command["arguments"]["number"].clone());
            }
        });
    });
    let client = Client::over(Unix::from_stream(ours).unwrap(), &Options::new()).unwrap();
    let received = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let mut events = client.raw_events();
        let received = &received;
        let watcher = scope.spawn(move || {
            loop {
                match events.next().unwrap() {
                    Ok(_) => received.fetch_add(1, Ordering::Relaxed),
                    Err(error) => return error,
                };
            }
        });
        let waiter = scope.spawn(|| client.closed());
        let callers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let client = client.clone();
                scope.spawn(move || {
                    for turn in 0..COMMANDS {
                        let number = thread * 1000 + turn;
                        let echo = Raw::<usize>::new("echo")
                            .arguments(&serde_json::json!({"number": number}));
                        assert_eq!(client.execute(echo).unwrap(), number);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        client.close();
        let error = watcher.join().unwrap();
        assert!(error.report().ends_with("this side closed it"), "{}", error.report());
        assert!(!waiter.join().unwrap().by_peer());
    });
    assert_eq!(received.load(Ordering::Relaxed), THREADS * COMMANDS);
    assert_eq!(client.pending().calls, 0);
    server.join().unwrap();
}

/// A call keeps its own deadline while another thread reads and waits for longer.
#[test]
fn a_deadline_passes_while_another_thread_reads() {
    play_ready::<Blocking>(
        false,
        |peer| {
            peer.expect("never");
            let id = peer.expect("query-status");
            peer.running(&id);
        },
        |Blocking { client, events }| {
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| events.next_within(PATIENCE));
                // The reader waits by now, or will soon. The deadline holds either way.
                std::thread::sleep(SOON);
                let begin = std::time::Instant::now();
                let call = client.call(Raw::<Value>::new("never")).within(SOON);
                let error = call.execute().unwrap_err();
                assert!(error.is_timeout(), "{error:?}");
                assert!((SOON..PATIENCE / 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
                client.execute(status()).unwrap();
                client.close();
                assert!(reader.join().unwrap().unwrap().unwrap_err().is_closed());
            });
        },
    );
}

/// A guard executes its command when it is dropped or run, but not when it is disarmed. A command
/// that failed is undone if the caller asks for that.
#[test]
fn guards_undo_commands() {
    play_ready::<Blocking>(
        false,
        |peer| {
            let mut log = Vec::new();
            loop {
                let command = peer.command();
                let Some(name) = command["execute"].as_str() else { break };
                log.push(name.to_owned());
                if name == "refused" {
                    let error = serde_json::json!({"class": "GenericError", "desc": "no"});
                    let reply = serde_json::json!({"error": error, "id": command["id"]});
                    peer.send(&reply.to_string());
                } else {
                    peer.succeed(&command["id"], serde_json::json!({}));
                }
            }
            assert_eq!(log, ["do", "undo", "do", "undo", "do", "refused", "undo", "undo"]);
        },
        |Blocking { client, .. }| {
            let run = |name: &'static str| {
                let call = client.call(Raw::<Value>::new(name));
                call.execute_undoable(|_| Some(Raw::<Value>::new("undo")))
            };
            drop(run("do").unwrap());
            assert!(run("do").unwrap().1.run().unwrap().is_some());
            run("do").unwrap().1.disarm();
            assert_eq!(run("refused").unwrap_err().command(), Some("refused"));
            drop(client.call(Raw::<Value>::new("undo")).guard());
        },
    );
}

/// A command of which a part was left counted as sent when this side closed the connection.
#[test]
fn a_command_that_is_cut_short_by_closing_was_not_sent() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (closed, is_closed) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            Peer::play(theirs, move |peer: &mut Peer| {
                peer.greet();
                // It reads nothing until then.
                is_closed.recv_timeout(PATIENCE).unwrap();
            });
        });
        let client = Client::over(Unix::from_stream(ours).unwrap(), &Options::new()).unwrap();
        let arguments = serde_json::json!({"text": "x".repeat(4 << 20)});
        let call = client.call(Raw::<Value>::new("large").arguments(&arguments));
        let ticket = call.send().unwrap();
        client.close();
        let Error::Closed(error) = ticket.receive().unwrap_err() else { panic!() };
        assert!(!error.sent, "{error:?}");
        closed.send(()).unwrap();
    });
}
