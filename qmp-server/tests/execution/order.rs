//! The order of execution, and which commands wait for others.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use qmp_server::{Call, Limits, MachineHandle, Router, Server, Session};
use qmp_types::{Capability, Empty, Greeting, QmpError, Timestamp, Version};
use serde_json::{Value, json};

use crate::vmm::{Client, DEADLINE, FLOOD_PERIOD, Flood, Front, Sleep, Tick, server};

/// The time for something that does not wait, on a busy machine.
const PROMPT: Duration = Duration::from_secs(1);

/// A handler that borrows the machine for long delays other such handlers, and nothing else.
#[test]
fn a_handler_that_keeps_the_machine_delays_only_those_that_need_it() {
    let server = server();
    let front = &Front::all()[0];
    let mut slow = front.connect(&server).with_oob();
    let mut other = front.connect(&server).negotiated();
    let start = Instant::now();
    slow.send("{'execute': 'hold-machine', 'arguments': {'ms': 3000}, 'id': 's'}");
    thread::sleep(Duration::from_millis(50));
    slow.send("{'exec-oob': 'abort', 'id': 'a'}");
    assert_eq!(slow.read()["id"], "a");
    assert!(other.time("ping") < PROMPT);
    server.events().emit(&Tick { number: 7 });
    assert_eq!(other.read()["data"]["number"], 7);
    assert!(start.elapsed() < 2 * PROMPT, "{:?}", start.elapsed());
    assert!(other.time("count") > Duration::from_millis(400));
    assert_eq!(slow.read()["event"], "TICK");
    assert_eq!(slow.read()["id"], "s");
}

#[test]
fn commands_of_one_monitor_are_answered_in_order() {
    for front in Front::all() {
        let server = front.server();
        for oob in [false, true] {
            let client = front.connect(&server);
            let mut client = if oob { client.with_oob() } else { client.negotiated() };
            let text: String = ["sleep", "ping", "await", "count", "hold-machine", "ping", "sleep"]
                .iter()
                .enumerate()
                .map(|(id, command)| {
                    let arguments = match *command {
                        "ping" | "count" => json!({}),
                        _ => json!({"ms": 20}),
                    };
                    json!({"execute": command, "arguments": arguments, "id": id}).to_string()
                })
                .collect();
            client.send(&text);
            let ids: Vec<Value> = (0..7).map(|_| client.read()["id"].clone()).collect();
            assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6], "{} {oob}", front.name);
        }
    }
}

/// No reply is lost or late when clients, late replies and events race.
#[test]
fn many_clients_at_once_are_answered_in_order() {
    const CLIENTS: usize = 32;
    const COMMANDS: usize = 100;
    for front in Front::all() {
        let server = front.server();
        let clients: Vec<Client> =
            (0..CLIENTS).map(|_| front.connect(&server).with_oob()).collect();
        thread::scope(|scope| {
            let threads: Vec<_> = clients
                .into_iter()
                .enumerate()
                .map(|(number, mut client)| {
                    scope.spawn(move || {
                        let mut writer = client.0.get_ref().try_clone().unwrap();
                        let sender = thread::spawn(move || {
                            for id in 0..COMMANDS {
                                let (command, arguments) = match (id + number) % 7 {
                                    0 => ("sleep", json!({"ms": 0})),
                                    1 => ("await", json!({"ms": 1})),
                                    2 | 3 => ("count", json!({})),
                                    _ => ("ping", json!({})),
                                };
                                let command =
                                    json!({"execute": command, "arguments": arguments, "id": id});
                                writeln!(writer, "{command}").unwrap();
                                if id % 10 == 0 {
                                    writer.write_all(b"{'exec-oob': 'abort', 'id': -1}").unwrap();
                                }
                            }
                        });
                        let (mut next, mut urgent) = (0, 0);
                        while next < COMMANDS || urgent < COMMANDS / 10 {
                            let reply = client.read();
                            match &reply["id"] {
                                Value::Null => assert_eq!(reply["event"], "TICK"),
                                id if *id == -1 => urgent += 1,
                                id => {
                                    assert_eq!(*id, next);
                                    next += 1;
                                }
                            }
                        }
                        sender.join().unwrap();
                    })
                })
                .collect();
            // Clients that miss a reply hear events until then, and fail at their own deadline after it.
            let end = Instant::now() + 3 * DEADLINE;
            let events = server.events();
            let mut number = 0;
            while Instant::now() < end && threads.iter().any(|thread| !thread.is_finished()) {
                events.emit(&Tick { number });
                number += 1;
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

/// QEMU 11.1 executes one in-band command while eight wait, and then reads nothing more, not even an
/// out-of-band command.
#[test]
fn eight_in_band_commands_wait_and_then_nothing_is_read() {
    for (waiting, is_read) in [(8, false), (7, true)] {
        let greeting = Greeting { capabilities: vec![Capability::Oob], ..Greeting::default() };
        let mut session = Session::new(&greeting, Limits::default());
        session.receive(b"{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}");
        assert!(session.next_request().is_none());
        drop(session.take_output());
        session.receive(b"{'execute': 'slow', 'id': 0}");
        let slow = session.next_request().unwrap();
        for id in 1..=waiting {
            session.receive(format!("{{'execute': 'next', 'id': {id}}}").as_bytes());
            assert!(session.next_request().is_none());
        }
        assert_eq!(session.wants_input(), is_read);
        session.receive(b"{'exec-oob': 'urgent', 'id': 'u'}");
        let urgent = session.next_request();
        assert_eq!(urgent.is_some(), is_read);
        session.reply(slow.ticket, &Err::<(), _>(QmpError::generic("done")));
        if urgent.is_none() {
            // The first of the waiting ones has made room. Then the urgent command overtakes.
            let next = session.next_request().unwrap();
            assert_eq!(next.ticket.id(), Some("1"));
            assert_eq!(session.next_request().unwrap().ticket.id(), Some("\"u\""));
        }
    }
}

#[test]
fn without_oob_nothing_is_read_while_a_command_is_executed() {
    let mut session = Session::new(&Greeting::default(), Limits::default());
    session.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'slow'} [");
    let slow = session.next_request().unwrap();
    assert!(session.next_request().is_none() && !session.wants_input());
    session.finish(slow.ticket);
    assert!(session.next_request().is_none() && session.wants_input());
}

#[test]
fn only_commands_whose_schema_allows_it_are_executed_out_of_band() {
    let mut client = Front::all()[0].connect(&server()).with_oob();
    client.send("{'exec-oob': 'ping'}");
    assert_eq!(client.read()["error"]["desc"], "The command ping does not support OOB");
    client.send("{'exec-oob': 'abort'}");
    assert_eq!(client.read(), json!({"return": {}}));
}

#[test]
fn own_events_are_limited_per_source() {
    let server = server();
    let mut client: Client = Front::all()[0].connect(&server).negotiated();
    let start = Instant::now();
    let events = server.events();
    for number in 0..100 {
        for disk in 0..2 {
            events.emit(&Flood { disk, number });
        }
    }
    let mut received = Vec::new();
    for _ in 0..4 {
        let event = client.read();
        received.push((event["data"]["disk"].clone(), event["data"]["number"].clone()));
    }
    received.sort_by_key(|(disk, number)| (disk.as_u64(), number.as_u64()));
    assert_eq!(
        received,
        [(0, 0), (0, 99), (1, 0), (1, 99)].map(|(disk, number)| (json!(disk), json!(number)))
    );
    assert!(start.elapsed() >= FLOOD_PERIOD);
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
struct Moved(std::sync::atomic::AtomicU64);

impl qmp_server::Clock for Moved {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp { seconds: self.now().as_secs().try_into().unwrap(), microseconds: 5 }
    }

    fn sleep_until(&self, _: Duration) {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_test_drives_the_clock() {
    let clock = std::sync::Arc::new(Moved::default());
    let builder = qmp_server::Server::builder(crate::vmm::router()).clock(clock.clone());
    let server = builder.build(crate::vmm::Vm::default()).unwrap();
    let connection = server.connect();
    connection.receive(b"{'execute': 'qmp_capabilities'}");
    drop(connection.take_output());
    for number in 0..3 {
        server.events().emit(&Flood { disk: 0, number });
    }
    let first = String::from_utf8(connection.take_output()).unwrap();
    assert!(first.contains(r#"{"seconds": 0, "microseconds": 5}"#), "{first}");
    assert_eq!(first.matches("FLOOD").count(), 1);
    // An hour passes at once.
    clock.0.store(3_600_000, std::sync::atomic::Ordering::SeqCst);
    server.release_events();
    let last = String::from_utf8(connection.take_output()).unwrap();
    assert!(last.contains(r#""number": 2"#), "{last}");
    server.events().emit(&Tick { number: 0 });
    let next = String::from_utf8(connection.take_output()).unwrap();
    assert!(next.contains(r#"{"seconds": 3600, "microseconds": 5}"#), "{next}");
}

/// The owner of the machine may keep an emitter: it does not keep the machine alive.
#[test]
fn a_machine_with_an_emitter_is_dropped_with_its_server() {
    use std::sync::{Arc, Weak};

    struct Owner {
        _events: qmp_server::Events,
        _marker: Arc<()>,
    }
    let marker = Arc::new(());
    let weak: Weak<()> = Arc::downgrade(&marker);
    let router = qmp_server::Router::<Owner>::new();
    let server = qmp_server::Server::builder(router)
        .build_with(|events| Owner { _events: events, _marker: marker })
        .unwrap();
    let client = server.connect();
    drop(server);
    assert!(weak.upgrade().is_some());
    drop(client);
    assert!(weak.upgrade().is_none());
}

#[test]
fn handlers_can_be_removed_and_preceded() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let action: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let router = crate::vmm::router()
        .before("count", Arc::clone(&action))
        .before("ping", Arc::clone(&action))
        .before("missing", action)
        .without("abort");
    let server = qmp_server::Server::builder(router).build(crate::vmm::Vm::default()).unwrap();
    let weak = server.machine().downgrade();
    let connection = server.connect();
    connection.receive(
        b"{'execute': 'qmp_capabilities'} {'execute': 'count'} {'execute': 'ping'}\
          {'execute': 'abort'}",
    );
    let output = String::from_utf8(connection.take_output()).unwrap();
    assert!(output.contains("The command abort has not been found"), "{output}");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(weak.upgrade().is_some_and(|machine| !machine.has_ended()));
    drop((server, connection));
    assert!(weak.upgrade().is_none());
}

/// A loop that asks for output whenever it is told of a change comes to rest.
#[test]
fn an_event_loop_comes_to_rest() {
    use std::sync::mpsc;

    let server = server();
    let connection = server.connect();
    let (wake, woken) = mpsc::channel();
    connection.on_change(move || wake.send(()).unwrap_or_default());
    connection.receive(b"{'execute': 'qmp_capabilities'}");
    let mut turns = 0;
    while woken.recv_timeout(Duration::from_millis(100)).is_ok() {
        drop(connection.take_output());
        turns += 1;
        assert!(turns < 10, "the loop spins");
    }
    // A late reply wakes it, and the command that waited is executed by the loop.
    connection.receive(b"{'execute': 'sleep', 'arguments': {'ms': 50}} {'execute': 'ping'}");
    let mut output = Vec::new();
    while output.iter().filter(|byte| **byte == b'\n').count() < 2 {
        woken.recv_timeout(Duration::from_secs(10)).unwrap();
        output.extend(connection.take_output());
    }
}

#[test]
fn a_graceful_stop_completes_commands() {
    // Tells when the command begins.
    let new_server = || {
        let (begun, begins) = mpsc::channel();
        let router = Router::new().unchecked().blocking(
            move |_: &MachineHandle<()>, command: Sleep, _: &Call| {
                begun.send(()).unwrap();
                thread::sleep(Duration::from_millis(command.ms));
                Ok(Empty {})
            },
        );
        (Server::new(Version::default(), router, ()).unwrap(), begins)
    };
    for front in Front::all() {
        let (server, begins) = new_server();
        let mut client = front.connect(&server).negotiated();
        client.send("{'execute': 'sleep', 'arguments': {'ms': 1000}, 'id': 1}");
        begins.recv_timeout(DEADLINE).unwrap();
        client.send("{'execute': 'ping', 'id': 2}");
        assert!(server.stop(Duration::from_secs(10)), "{}", front.name);
        assert_eq!(client.read(), json!({"return": {}, "id": 1}));
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut client.0, &mut rest).unwrap();
        assert_eq!(rest, "", "{}", front.name);
        // A command that takes longer is cut off.
        let (server, begins) = new_server();
        let mut client = front.connect(&server).negotiated();
        client.send("{'execute': 'sleep', 'arguments': {'ms': 3000}}");
        begins.recv_timeout(DEADLINE).unwrap();
        assert!(!server.stop(Duration::from_millis(50)), "{}", front.name);
    }
}
