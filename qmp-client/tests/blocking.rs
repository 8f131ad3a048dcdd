//! The blocking client through every scenario, and what only it has.

#![cfg(all(unix, feature = "blocking"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests
#![cfg_attr(not(feature = "qmp"), allow(unused_imports))] // what only some tests use

#[macro_use]
mod scenarios;

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::machine::Dropped;
use qmp_client::transport::{Transport, Unix};
use qmp_client::{Direction, Error, Misuse, Options, Raw, RawEvent, Request};
use serde_json::Value;

use scenarios::peer::Peer;
use scenarios::{Front, PATIENCE, SOON, play_ready, status};

/// Reads and writes one byte at a time.
#[derive(Debug)]
struct Dripping(Unix);

impl Transport for Dripping {
    fn read(&mut self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.read(&mut buffer[..1], timeout)
    }

    fn write(&mut self, bytes: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.write(&bytes[..1], timeout)
    }
}

impl Front for Client {
    fn connect(stream: UnixStream, drip: bool, options: &Options) -> Result<Self, Error> {
        let stream = Unix::from_stream(stream).unwrap();
        if drip {
            Self::from_transport(Dripping(stream), options)
        } else {
            Self::from_transport(stream, options)
        }
    }

    fn execute<R: Request>(&mut self, request: R, within: Duration) -> Result<R::Return, Error> {
        self.execute_within(request, within)
    }

    fn execute_all<R: Request>(&mut self, requests: Vec<R>) -> Vec<Result<R::Return, Error>> {
        let tickets: Vec<_> = requests.into_iter().map(|request| self.send(request)).collect();
        tickets.into_iter().map(|ticket| self.receive(ticket?)).collect()
    }

    fn cancel<R: Request>(&mut self, request: R) {
        drop(self.send(request).unwrap());
    }

    fn event(&mut self, within: Duration) -> Result<RawEvent, Error> {
        self.next_raw_event(within)
    }

    fn dropped(&self) -> Dropped {
        self.dropped()
    }
}

scenarios!(Client);

#[test]
fn what_is_no_address_is_said() {
    let error = Client::connect("localhost:4444").unwrap_err();
    assert!(error.report().contains("tcp:HOST:PORT"), "{}", error.report());
}

/// Both ways, each message once, whichever way it was read.
#[test]
fn a_transcript_has_every_message() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hook = {
        let seen = std::sync::Arc::clone(&seen);
        move |direction, message: &str| {
            seen.lock().unwrap().push((direction, message.split(' ').next().unwrap().to_owned()));
        }
    };
    scenarios::play::<Client>(
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
            client.unwrap().execute(status()).unwrap();
        },
    );
    use qmp_client::Direction::{Received, Sent};
    let directions: Vec<_> = seen.lock().unwrap().iter().map(|(way, _)| *way).collect();
    assert_eq!(directions, [Received, Sent, Received, Sent, Received, Received], "{seen:?}");
}

/// Two pipes, such as a program's standard input and output.
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
        let mut client = Client::from_transport(transport, &Options::new()).unwrap();
        assert_eq!(client.execute(status()).unwrap()["running"], true);
        assert!(client.next_raw_event(SOON).unwrap_err().is_timeout());
        assert!(client.execute(status()).unwrap_err().is_closed());
    });
}

#[test]
fn a_ticket_is_good_for_its_own_client_only() {
    play_ready::<Client>(false, Peer::status, |one| {
        play_ready::<Client>(
            false,
            |_| {},
            |other| {
                let ticket = one.send(status()).unwrap();
                let error = other.receive(ticket).unwrap_err();
                assert!(matches!(error, Error::Misuse(Misuse::ForeignTicket)), "{error:?}");
            },
        );
    });
}

/// Command line programs print one line.
#[test]
fn an_error_says_each_layer_once() {
    play_ready::<Client>(
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
            let error = client.execute(Raw::<Value>::new("device_del")).unwrap_err();
            assert_eq!(
                error.report(),
                "the server refused `device_del`: Device 'd0' not found (DeviceNotFound)"
            );
            let error = client.execute(Raw::<Value>::new("device_del")).unwrap_err();
            assert_eq!(
                error.report(),
                "the connection ended before the reply to `device_del`: the peer closed it"
            );
        },
    );
}

/// The types of a vocabulary, one after the other, and why it ended.
#[test]
#[cfg(feature = "qmp")]
fn events_are_iterated_to_the_end() {
    use qmp_client::qmp::AnyEvent;
    play_ready::<Client>(
        false,
        |peer| {
            peer.send(r#"{"event": "STOP"}"#);
            peer.send(r#"{"event": "WATCHDOG", "data": {}}"#);
            peer.send(r#"{"event": "RESUME", "data": {}}"#);
            peer.hang_up();
        },
        |client| {
            let mut events = client.events::<AnyEvent>();
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
    play_ready::<Client>(
        false,
        |peer| {
            for name in ["STOP", "RESUME", "STOP"] {
                peer.send(&format!("{{\"event\": \"{name}\"}}"));
            }
            peer.hang_up();
        },
        |client| {
            let events: Vec<_> = client.events_of::<Stop>().collect();
            assert_eq!(events.len(), 3);
            assert!(events[0].is_ok() && events[1].is_ok());
            assert!(events[2].as_ref().unwrap_err().is_closed());
        },
    );
}

/// A server may say twice that a device is gone, and the second time is not about the next one.
#[test]
#[cfg(feature = "qmp")]
fn an_event_from_before_the_command_is_not_taken_for_its_own() {
    use qmp_client::qmp::commands::DeviceDel;
    use qmp_client::qmp::events::DeviceDeleted;
    let deleted = |second: u32| {
        format!(
            r#"{{"event": "DEVICE_DELETED", "data": {{"path": "/d0", "device": "d0"}},
                "timestamp": {{"seconds": {second}, "microseconds": 0}}}}"#
        )
    };
    let (has_arrived, arrived) = std::sync::mpsc::channel();
    play_ready::<Client>(
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
        move |client| {
            client.execute(status()).unwrap();
            arrived.recv_timeout(PATIENCE).unwrap();
            let call = client.call(DeviceDel::new("d0")).within(PATIENCE);
            let (_, own) = call.until(|_: &DeviceDeleted| true).unwrap();
            assert_eq!(own.timestamp.seconds, 3);
            for second in [1, 2] {
                let stale = client.wait_for(|_: &DeviceDeleted| true, PATIENCE).unwrap();
                assert_eq!(stale.timestamp.seconds, second);
            }
        },
    );
}

/// Whether the event that is waited for is among those that were dropped nobody knows: waiting on
/// could be for ever.
#[test]
#[cfg(feature = "qmp")]
fn a_wait_that_may_have_lost_its_event_says_so() {
    use qmp_client::qmp::events::{Reset, Resume, Stop};
    scenarios::play::<Client>(
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
            let mut client = client.unwrap();
            client.execute(status()).unwrap();
            // What is left is found.
            client.wait_for(|_: &Resume| true, SOON).unwrap();
            let error = client.wait_for(|_: &Stop| true, PATIENCE).unwrap_err();
            assert!(matches!(error, Error::Lagged(2)), "{error:?}");
            // It is said once: nothing has been lost since.
            assert!(client.wait_for(|_: &Stop| true, SOON).unwrap_err().is_timeout());
            let none = |_: &RawEvent| None::<()>;
            assert!(client.wait_for_some(none, SOON).unwrap_err().is_timeout());
            client.wait_for(|_: &Resume| true, SOON).unwrap();
            assert!(client.wait_for(|_: &Reset| true, SOON).unwrap_err().is_timeout());
        },
    );
}

/// The end of a job is not heard among many other events, and is seen all the same.
#[test]
#[cfg(feature = "qmp")]
fn a_job_is_followed_though_events_are_lost() {
    scenarios::play::<Client>(
        false,
        &Options::new().event_capacity(4),
        |peer| {
            peer.greet();
            let id = peer.expect("block-job-something");
            let change = serde_json::json!({"id": "job", "status": "concluded"});
            peer.send(
                &serde_json::json!({"event": "JOB_STATUS_CHANGE", "data": change}).to_string(),
            );
            (0..9).for_each(|_| peer.send(r#"{"event": "STOP"}"#));
            peer.succeed(&id, serde_json::json!({}));
            let job = serde_json::json!([{"id": "job", "type": "mirror", "status": "concluded",
                "current-progress": 1, "total-progress": 1, "error": "no space"}]);
            for _ in 0..2 {
                let id = peer.expect("query-jobs");
                peer.succeed(&id, job.clone());
            }
            let id = peer.expect("job-dismiss");
            peer.succeed(&id, serde_json::json!({}));
        },
        |client| {
            let start = Raw::<Value>::new("block-job-something");
            let outcome = client.unwrap().run_job(start, "job", PATIENCE).unwrap();
            assert_eq!(outcome.error.as_deref(), Some("no space"));
        },
    );
}

/// It ends this connection and no other, and whoever has called is told, not torn down.
#[test]
fn a_transcript_that_panics() {
    for (way, text) in [(Direction::Sent, "\"fatal\""), (Direction::Received, "\"STOP\"")] {
        let options = Options::new().transcript(move |direction, message| {
            assert!(direction != way || !message.contains(text), "a transcript of the test's");
        });
        // The connection with `harmless` comes after one has ended by the same function.
        for harmless in [false, true] {
            scenarios::play::<Client>(
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
                    let mut client = client.unwrap();
                    client.execute(status()).unwrap();
                    if !harmless {
                        // What was answered in the same breath may have been given out.
                        let _ = client.execute(Raw::<Value>::new("fatal"));
                        let error = client.execute(status()).unwrap_err();
                        let report = error.report();
                        assert!(report.ends_with("shown the transcript panicked"), "{report}");
                    }
                },
            );
        }
    }
}

/// Refuses the command named `refused`, and executes every other one; gives all their names.
#[cfg(feature = "qmp")]
fn obey(peer: &mut Peer, refused: &str) -> Vec<String> {
    let mut log = Vec::new();
    loop {
        let command = peer.command();
        let Some(name) = command["execute"].as_str() else { return log };
        log.push(name.to_owned());
        if name == refused {
            let error = serde_json::json!({"class": "GenericError", "desc": "no"});
            peer.send(&serde_json::json!({"error": error, "id": command["id"]}).to_string());
        } else {
            peer.succeed(&command["id"], serde_json::json!({"fdset-id": 7, "fd": 40}));
        }
    }
}

#[cfg(feature = "qmp")]
fn null() -> std::fs::File {
    std::fs::File::open("/dev/null").unwrap()
}

#[test]
#[cfg(feature = "qmp")]
fn a_set_is_removed_unless_it_is_kept() {
    play_ready::<Client>(
        false,
        |peer| {
            let log = obey(peer, "");
            assert_eq!(log, ["add-fd", "remove-fd", "add-fd", "stop", "remove-fd", "add-fd"]);
        },
        |client| {
            client.add_descriptor(null()).unwrap().remove().unwrap();
            let mut guard = client.add_descriptor(null()).unwrap();
            assert_eq!(guard.path(), "/dev/fdset/7");
            guard.client().execute(Raw::<Value>::new("stop")).unwrap();
            drop(guard);
            assert_eq!(client.add_descriptor(null()).unwrap().keep().id, 7);
        },
    );
    play_ready::<Client>(
        false,
        |peer| assert_eq!(obey(peer, "remove-fd"), ["add-fd", "remove-fd"]),
        |client| {
            let error = client.add_descriptor(null()).unwrap().remove().unwrap_err();
            assert_eq!(error.command(), Some("remove-fd"));
        },
    );
}

#[test]
#[cfg(feature = "qmp")]
fn a_disk_that_cannot_be_plugged_in_leaves_nothing() {
    use qmp_client::qmp::commands::{BlockdevAdd, DeviceAdd};
    use qmp_client::qmp::types::BlockdevOptions;
    for (refused, expected) in [
        ("add-fd", &["add-fd"][..]),
        ("blockdev-add", &["add-fd", "blockdev-add", "remove-fd"]),
        ("remove-fd", &["add-fd", "blockdev-add", "remove-fd", "blockdev-del"]),
        ("device_add", &["add-fd", "blockdev-add", "remove-fd", "device_add", "blockdev-del"]),
    ] {
        play_ready::<Client>(
            false,
            |peer| assert_eq!(obey(peer, refused), expected),
            |client| {
                let node = |file: &str| {
                    let node = serde_json::json!({"driver": "file", "filename": file});
                    BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(node).unwrap())
                };
                let device = DeviceAdd::new("usb-storage").property("drive", "disk");
                let error = client.plug_disk(null(), "disk", node, device).unwrap_err();
                assert_eq!(error.command(), Some(refused));
            },
        );
    }
}
