//! Clients that go away while their commands are executed or wait.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use qmp_server::{Call, Context, Limits, MachineHandle, Reply, Router, Server};
use qmp_types::Empty;

use crate::vmm::{Client, Count, DEADLINE, Front, HoldMachine, Ping, schema};

/// A machine that a command keeps until it is released, and that counts.
struct Held {
    server: Server<i64>,
    is_released: Arc<AtomicBool>,
    /// The threads that have executed `ping`.
    threads: Arc<Mutex<HashSet<ThreadId>>>,
}

impl Held {
    fn new() -> Self {
        let is_released = Arc::new(AtomicBool::new(false));
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let (release, used) = (Arc::clone(&is_released), Arc::clone(&threads));
        let router = Router::new()
            .introspection(schema())
            .command(move |_: &mut i64, _: HoldMachine, _: &mut Context| {
                let start = Instant::now();
                while !release.load(Ordering::SeqCst) && start.elapsed() < DEADLINE {
                    thread::sleep(Duration::from_millis(2));
                }
                Ok(Empty {})
            })
            .command(|count: &mut i64, _: Count, _: &mut Context| {
                *count += 1;
                Ok(*count)
            })
            .deferred(move |_: &MachineHandle<i64>, _: Ping, reply: Reply<Ping>| {
                used.lock().unwrap().insert(thread::current().id());
                reply.send(Ok(Empty {}));
            });
        Self {
            server: Server::new(qmp_types::Version::default(), router, 0).unwrap(),
            is_released,
            threads,
        }
    }

    fn wait_until_deserted(&self) {
        wait_until_gone(&self.server);
    }

    fn release(&self) {
        self.is_released.store(true, Ordering::SeqCst);
    }
}

/// Waits until no client is left.
fn wait_until_gone<M: Send + 'static>(server: &Server<M>) {
    let start = Instant::now();
    while server.usage().connections > 0 {
        assert!(start.elapsed() < DEADLINE, "{:?}", server.usage());
        thread::sleep(Duration::from_millis(2));
    }
}

fn hold(client: &mut Client) {
    client.send("{'execute': 'hold-machine', 'arguments': {'ms': 0}}");
}

/// Waits until the command before is executed or waits for the machine.
fn wait_until_accepted(client: &mut Client) {
    // No handler exists. The reply overtakes the one to the command.
    // If both arrive at once, the command is taken after the first of these replies.
    for _ in 0..5 {
        client.send("{'exec-oob': 'abort'}");
        assert_eq!(client.read()["error"]["class"], "CommandNotFound");
    }
}

/// The threads ended with the last client, and those commands with them that had been accepted and
/// waited for the machine.
#[test]
fn commands_of_clients_that_have_gone_are_executed() {
    let front = &Front::all()[0];
    let held = Held::new();
    let mut clients: Vec<_> = (0..4).map(|_| front.connect(&held.server).with_oob()).collect();
    hold(&mut clients[0]);
    wait_until_accepted(&mut clients[0]);
    for client in &mut clients[1..] {
        client.send("{'execute': 'count'}");
        wait_until_accepted(client);
    }
    drop(clients);
    held.wait_until_deserted();
    held.release();
    let mut next = front.connect(&held.server).negotiated();
    assert_eq!(next.execute("count", "{}")["return"], 4);
}

/// Each client that came back while a command had the machine used to get threads of its own, of which
/// one waited for the machine.
#[test]
fn clients_that_come_back_during_a_command_need_no_more_threads() {
    const TIMES: usize = 40;
    /// As documented in the module `threads`.
    const MAX_THREADS: usize = 16;
    let front = &Front::all()[0];
    let held = Held::new();
    let mut holder = front.connect(&held.server).with_oob();
    hold(&mut holder);
    wait_until_accepted(&mut holder);
    drop(holder);
    for _ in 0..TIMES {
        held.wait_until_deserted();
        let mut client = front.connect(&held.server).with_oob();
        client.time("ping");
        client.send("{'execute': 'count'}");
        wait_until_accepted(&mut client);
    }
    let threads = held.threads.lock().unwrap().len();
    println!("{TIMES} clients on {threads} threads");
    assert!(threads <= MAX_THREADS, "{threads}");
    held.release();
    let mut last = front.connect(&held.server).negotiated();
    assert_eq!(last.execute("count", "{}")["return"], 41);
}

/// A client that came back left another thread at each command that hung, without a limit.
#[test]
fn commands_that_clients_have_left_hanging_are_limited() {
    const CONNECTIONS: usize = 2;
    let front = &Front::all()[0];
    let is_released = Arc::new(AtomicBool::new(false));
    let release = Arc::clone(&is_released);
    let router = Router::new()
        .introspection(schema())
        .command(|count: &mut i64, _: Count, _: &mut Context| Ok(*count))
        .blocking(move |_: &MachineHandle<i64>, _: HoldMachine, _: &Call| {
            let start = Instant::now();
            while !release.load(Ordering::SeqCst) && start.elapsed() < DEADLINE {
                thread::sleep(Duration::from_millis(2));
            }
            Ok(Empty {})
        });
    let mut limits = Limits::default();
    limits.connections = CONNECTIONS;
    let server = Server::builder(router).limits(limits).build(7).unwrap();
    let connect = || {
        wait_until_gone(&server);
        front.connect(&server).with_oob()
    };
    for _ in 0..2 * CONNECTIONS {
        let mut client = connect();
        hold(&mut client);
        wait_until_accepted(&mut client);
    }
    let mut client = connect();
    let rejected = client.execute("hold-machine", "{'ms': 0}");
    let desc = rejected["error"]["desc"].as_str().unwrap();
    assert!(desc.contains("4 commands are being executed, which is the limit"), "{desc}");
    // Commands that need no thread of their own are executed.
    assert_eq!(client.execute("count", "{}")["return"], 7);
    is_released.store(true, Ordering::SeqCst);
    let start = Instant::now();
    while client.execute("hold-machine", "{'ms': 0}").get("return").is_none() {
        assert!(start.elapsed() < DEADLINE);
    }
}

/// The end of a client used to be noticed during a command of a thread that stays with it only if
/// out-of-band execution was enabled.
#[test]
fn a_client_that_leaves_during_its_slow_command_is_gone() {
    let front = &Front::all()[0];
    let is_noticed = || {
        let held = Held::new();
        let mut client = front.connect(&held.server).negotiated();
        for _ in 0..20 {
            client.time("count");
        }
        hold(&mut client);
        drop(client);
        let start = Instant::now();
        while held.server.usage().connections > 0 && start.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(2));
        }
        let is_noticed = held.server.usage().connections == 0;
        held.release();
        is_noticed
    };
    // Whether a thread stays with a client depends on the time between the commands.
    assert!((0..10).any(|_| is_noticed()));
}

/// On tokio, a client that left during a slow command counted until that had ended, so that a few such
/// clients kept all others out.
#[test]
fn a_client_that_leaves_during_a_slow_command_does_not_count() {
    const LONG: u64 = 600_000;
    for front in Front::all() {
        let mut limits = Limits::default();
        limits.connections = 1;
        let builder = Server::builder(crate::vmm::router()).limits(limits);
        let builder = builder.runtime(front.handle());
        let server = builder.build(crate::vmm::Vm::default()).unwrap();
        // One that sends nothing more, but reads, gets its replies.
        let mut client = front.connect(&server).negotiated();
        client.send("{'execute': 'await', 'arguments': {'ms': 200}}{'execute': 'count'}");
        client.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.read(), serde_json::json!({"return": {}}), "{}", front.name);
        assert_eq!(client.read(), serde_json::json!({"return": 1}), "{}", front.name);
        drop(client);
        wait_until_gone(&server);
        // Nothing is read during a command; out-of-band, until the queue is full.
        let waiting = "{'execute': 'ping'}".repeat(100);
        for (is_oob, queued) in [(false, ""), (false, &waiting), (true, ""), (true, &waiting)] {
            let client = front.connect(&server);
            let mut client = if is_oob { client.with_oob() } else { client.negotiated() };
            client.send(&format!("{{'execute': 'await', 'arguments': {{'ms': {LONG}}}}}{queued}"));
            assert_eq!(server.usage().connections, 1);
            drop(client);
            wait_until_gone(&server);
        }
    }
}
