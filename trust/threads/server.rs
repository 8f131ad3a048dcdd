//! Threads that meet in a server, in any order that a scheduler thinks of.
//!
//! # What is shared, and who meets there
//!
//! | state | guarded by | who meets |
//! | --- | --- | --- |
//! | clients, held events, the phase of the server (`hub`) | the lock of the hub | clients that come and go, events from anywhere, the thread that delivers held events, `stop` and `end` |
//! | commands, output, and what the owner has been told (`session`, `peer`) | the lock of each session | the owner of the connection, which reads and executes; handlers that reply later; events; `stop`; and any of these that send the output in the owner's place |
//! | how the owner is told (`peer`) | a lock within that of the session | the owner that begins or ends, and all who tell it |
//! | memory, and places for slow commands (`budget`, `places`) | atomics | all clients |
//! | the machine (`exclusive`) | its lock, before that of the hub | handlers that borrow it |
//! | threads, what they wait for, and what waits for them (`threads`) | the lock of the engine, that of each client's turn, queues, atomics | the threads that serve, and all who call them |
//! | the waker of a task (`tokio`) | its lock | the task, and all who wake it |
//! | scripts, recordings and their clients (`script`, `replay`) | their locks | the threads that play, the one that accepts clients, and `finish` |
//!
//! # What must hold
//!
//! - Every command is executed once and answered once, in order. Out-of-band commands are answered before
//!   the command that they overtake.
//! - Every event reaches each client that has negotiated once, in order, but for those that were replaced
//!   while they were held back.
//! - A client that waits is served as soon as there is room.
//! - `stop` and `finish` return, a client that has read everything sees the end, and all threads end.
//! - Nothing is charged when all clients have gone.
//!
//! No long wait ends by itself here (see `system`): a thread that is not told what has happened waits
//! forever, and the scheduler reports that no thread can go on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)] // tests

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use qmp_server::replay::{Recording, Replay};
use qmp_server::script::{Script, ScriptServer};
use qmp_server::system::{self, PollFd, UnixListener, UnixStream, poll};
use qmp_server::{
    Call, Clock, CloseReason, Context, Limits, MachineHandle, RateLimit, Reply, Router, Server,
};
use qmp_types::{Command, Event, Timestamp};
use rustix::event::PollFlags;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::mpsc;
use shuttle::{Config, MaxSteps, Runner, thread};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

macro_rules! commands {
    ($($type:ident = $name:literal;)*) => { $(
        #[derive(Deserialize, Serialize)]
        struct $type { n: u64 }

        impl Command for $type {
            const NAME: &'static str = $name;
            type Return = u64;
        }
    )* };
}

commands! {
    // Borrows the machine, and emits events before and after its reply.
    Tell = "tell";
    // Is answered by another thread.
    Late = "late";
    // Is executed on a thread, and in a task.
    Slow = "slow";
    Task = "task";
    // May be executed out-of-band.
    Urgent = "urgent";
    // Ends the server.
    Quit = "quit";
}

macro_rules! events {
    ($($type:ident = $name:literal;)*) => { $(
        #[derive(Deserialize, Serialize)]
        struct $type { n: u64 }

        impl Event for $type {
            const NAME: &'static str = $name;
        }
    )* };
}

events! {
    Tick = "TICK";
    Told = "TOLD";
    // One at a time is held back.
    Flood = "FLOOD";
}

const PERIOD: Duration = Duration::from_millis(30);

fn schema() -> String {
    let command = |name: &str| {
        json!({"name": name, "meta-type": "command", "arg-type": "0", "ret-type": "int",
               "allow-oob": name == "urgent"})
    };
    let event = |name: &str| json!({"name": name, "meta-type": "event", "arg-type": "0"});
    let mut all: Vec<Value> =
        ["tell", "late", "slow", "task", "urgent", "quit"].map(command).into();
    all.extend(["TICK", "TOLD", "FLOOD"].map(event));
    all.push(
        json!({"name": "0", "meta-type": "object", "members": [{"name": "n", "type": "int"}]}),
    );
    all.push(json!({"name": "int", "meta-type": "builtin", "json-type": "int"}));
    Value::Array(all).to_string()
}

/// The time of the system, and a timestamp that is always as long.
#[derive(Debug)]
struct Time;

impl Clock for Time {
    fn now(&self) -> Duration {
        system::Instant::now().saturating_duration_since(system::Instant::zero())
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp { seconds: 1, microseconds: 2 }
    }

    fn sleep_until(&self, time: Duration) {
        system::sleep(time.saturating_sub(self.now()));
    }
}

/// A server with all kinds of commands.
struct Vm {
    server: Server<u64>,
    executed: Arc<AtomicUsize>,
    replier: thread::JoinHandle<()>,
}

impl Vm {
    fn new(limits: Limits) -> Self {
        let executed = Arc::new(AtomicUsize::new(0));
        let count = || {
            let executed = Arc::clone(&executed);
            move || {
                executed.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (late, replies) = mpsc::channel::<(u64, Reply<Late>)>();
        let replier = thread::spawn(move || {
            while let Ok((n, reply)) = replies.recv() {
                reply.send(Ok(n));
            }
        });
        let [told, lated, slowed, tasked, urged, ended] = [(); 6].map(|()| count());
        let router = Router::new()
            .introspection(schema())
            .event::<Tick>()
            .event::<Told>()
            .limited_event::<Flood>(RateLimit::every(PERIOD))
            .command(move |last: &mut u64, command: Tell, context: &mut Context| {
                told();
                *last += 2;
                let n = *last;
                context.emit(&Told { n: n - 1 });
                context.after_reply(|context| context.emit(&Told { n }));
                Ok(command.n)
            })
            .deferred(move |_: &MachineHandle<u64>, command: Late, reply: Reply<Late>| {
                lated();
                late.send((command.n, reply)).unwrap();
            })
            .blocking(move |_: &MachineHandle<u64>, command: Slow, _: &Call| {
                slowed();
                Ok(command.n)
            })
            .asynchronous(move |_: MachineHandle<u64>, command: Task, _: Call| {
                tasked();
                async move { Ok(command.n) }
            })
            .deferred(move |_: &MachineHandle<u64>, command: Urgent, reply: Reply<Urgent>| {
                urged();
                reply.send(Ok(command.n));
            })
            .command(move |_: &mut u64, command: Quit, context: &mut Context| {
                ended();
                context.end();
                Ok(command.n)
            });
        let builder = Server::builder(router).limits(limits).clock(Arc::new(Time));
        Self { server: builder.build(0).unwrap(), executed, replier }
    }

    fn executed(&self) -> usize {
        self.executed.load(Ordering::Relaxed)
    }

    /// Waits until nothing is left of clients that have gone, and all threads have ended. A command that
    /// waits may be executed after its client has gone.
    fn finish(self) {
        loop {
            let usage = self.server.usage();
            if (usage.connections, usage.input_bytes, usage.output_bytes) == (0, 0, 0) {
                break;
            }
            thread::yield_now();
        }
        drop(self.server);
        self.replier.join().unwrap();
    }
}

/// The ways to serve a client.
#[derive(Clone, Copy, Debug)]
enum Front {
    /// On threads that all clients share.
    Threads,
    /// In a task, with a socket to which all write.
    Socket,
    /// In a task, with a stream to which only the task writes.
    Stream,
    /// In an event loop.
    Loop,
    /// On three threads of its own, as where the system has no Unix sockets.
    Portable,
}

/// A thread that serves a client, if it has one of its own.
type Serving = Option<thread::JoinHandle<()>>;

impl Front {
    fn connect(self, server: &Server<u64>) -> (UnixStream, Serving) {
        let (client, end) = UnixStream::pair().unwrap();
        if matches!(self, Self::Threads) {
            server.spawn(end).unwrap();
            return (client, None);
        }
        let server = server.clone();
        let serving = thread::spawn(move || match self {
            Self::Threads => {}
            Self::Socket => drop(shuttle::future::block_on(qmp_server::tokio::serve(&server, end))),
            Self::Stream => {
                let end = Wrapped(end);
                drop(shuttle::future::block_on(qmp_server::tokio::serve(&server, end)));
            }
            Self::Loop => drive(&server, &end),
            Self::Portable => drop(server.serve_portable(end).unwrap()),
        });
        (client, Some(serving))
    }
}

/// A stream that the server knows nothing about.
struct Wrapped(UnixStream);

impl AsyncRead for Wrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Serves a client as the documentation of `Connection` says.
fn drive(server: &Server<u64>, mut socket: &UnixStream) {
    let (wake, woken) = UnixStream::pair().unwrap();
    wake.set_nonblocking(true).unwrap();
    woken.set_nonblocking(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    let connection = server.connect();
    connection.on_change(move || drop((&wake).write(&[0])));
    let mut bytes = [0; 50];
    loop {
        let mut is_stuck = false;
        while connection.has_output() && !is_stuck {
            match connection.send(|bytes| socket.write(bytes)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => is_stuck = true,
                Err(_) => {
                    connection.close(CloseReason::Client);
                    drop(connection.take_output());
                }
            }
        }
        if connection.closed().is_some() && !connection.has_output() {
            return;
        }
        let mut wants_input = connection.wants_input();
        while wants_input {
            match socket.read(&mut bytes) {
                Ok(0) => connection.end_input(),
                Ok(count) => connection.receive(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => connection.close(CloseReason::Client),
            }
            wants_input = connection.wants_input();
        }
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, wants_input);
        wanted.set(PollFlags::OUT, is_stuck);
        let mut fds = vec![PollFd::new(&woken, PollFlags::IN)];
        if !wanted.is_empty() {
            fds.push(PollFd::new(&socket, wanted));
        }
        poll(&mut fds, None).unwrap();
        let _ = (&woken).read(&mut [0; 100]);
    }
}

/// The end of a client.
struct Client {
    stream: UnixStream,
    arrived: VecDeque<u8>,
    replies: Vec<Value>,
    /// The numbers of the events of each kind.
    ticks: Vec<u64>,
    told: Vec<u64>,
    floods: Vec<u64>,
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        let arrived = VecDeque::new();
        Self { stream, arrived, replies: vec![], ticks: vec![], told: vec![], floods: vec![] }
    }

    /// Negotiates. Returns false if the server has ended.
    fn negotiate(&mut self, with_oob: bool) -> bool {
        let enable: &[&str] = if with_oob { &["oob"] } else { &[] };
        let arguments = json!({"enable": enable});
        self.send(&json!({"execute": "qmp_capabilities", "arguments": arguments, "id": "ready"}));
        let has_begun = self.read() && self.read();
        if has_begun {
            assert_eq!(self.replies.pop().unwrap()["id"], "ready");
        }
        has_begun
    }

    fn send(&mut self, message: &Value) {
        let _ = (&self.stream).write_all(message.to_string().as_bytes());
    }

    fn execute(&mut self, name: &str, n: u64) {
        let key = if name == "urgent" { "exec-oob" } else { "execute" };
        // The reply is long, so that output has no room soon.
        let id = format!("{n:100}");
        self.send(&json!({key: name, "arguments": {"n": n}, "id": id}));
    }

    /// Reads a message. Returns false at the end.
    fn read(&mut self) -> bool {
        let mut bytes = vec![0; 64 << 10];
        while !self.arrived.contains(&b'\n') {
            match (&self.stream).read(&mut bytes) {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.arrived.extend(&bytes[..count]),
            }
        }
        let end = self.arrived.iter().position(|byte| *byte == b'\n').unwrap();
        let line: Vec<u8> = self.arrived.drain(..=end).collect();
        let message: Value = serde_json::from_slice(&line).unwrap();
        let n = message["data"]["n"].as_u64();
        match message["event"].as_str() {
            Some("TICK") => self.ticks.push(n.unwrap()),
            Some("TOLD") => self.told.push(n.unwrap()),
            Some("FLOOD") => self.floods.push(n.unwrap()),
            _ if message.get("QMP").is_some() => {}
            _ => self.replies.push(message),
        }
        true
    }

    /// Checks the numbers of the replies: in-band commands are answered in order, and all once.
    fn check(&self, urgent: &[u64]) {
        let numbers: Vec<u64> = self
            .replies
            .iter()
            .map(|reply| {
                let n = reply["return"].as_u64().unwrap_or_else(|| panic!("{reply}"));
                assert_eq!(reply["id"].as_str().unwrap().trim(), n.to_string());
                n
            })
            .collect();
        for are_urgent in [true, false] {
            let of_kind = numbers.iter().filter(|n| urgent.contains(n) == are_urgent);
            assert!(of_kind.is_sorted_by(|one, next| one < next), "{numbers:?}");
        }
        for events in [&self.ticks, &self.told] {
            assert!(events.is_sorted_by(|one, next| one + 1 == *next), "{events:?}");
        }
        assert!(self.floods.is_sorted_by(|one, next| one < next), "{:?}", self.floods);
    }
}

/// Few bytes, so that there is room now and then.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.output_bytes = 2 << 10;
    limits
}

const TICKS: u64 = 3;

/// One schedule: two clients with all kinds of commands, and events.
fn share(front: Front) {
    system::set_room(150);
    system::permit_idle_ends(1);
    let vm = Vm::new(limits());
    let (ready, are_ready) = mpsc::channel();
    let emitter = thread::spawn({
        let events = vm.server.events();
        move || {
            for _ in 0..2 {
                are_ready.recv().unwrap();
            }
            for n in 1..=TICKS {
                events.emit(&Tick { n });
            }
        }
    });
    let threads: Vec<_> = [false, true]
        .map(|with_oob| {
            let (stream, serving) = front.connect(&vm.server);
            let ready = ready.clone();
            let work = move || {
                let mut client = Client::new(stream);
                assert!(client.negotiate(with_oob));
                ready.send(()).unwrap();
                let commands: &[&str] = match with_oob {
                    true => &["late", "slow", "urgent", "task"],
                    false => &["tell", "late", "tell", "late", "late", "late"],
                };
                for (name, n) in commands.iter().zip(1..) {
                    client.execute(name, n);
                }
                while client.replies.len() < commands.len() || client.ticks.last() != Some(&TICKS) {
                    assert!(client.read(), "the connection has ended");
                }
                client.check(if with_oob { &[3] } else { &[] });
                assert_eq!((client.replies.len(), client.ticks[0]), (commands.len(), 1));
            };
            [Some(thread::spawn(work)), serving]
        })
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    emitter.join().unwrap();
    assert!(vm.server.stop(Duration::MAX));
    assert_eq!(vm.executed(), 10);
    vm.finish();
}

/// One schedule: the server stops, or a client ends it, while others execute commands.
fn stop(front: Front, by_command: bool) {
    system::set_room(150);
    let vm = Vm::new(limits());
    let clients: Vec<_> = [false, true]
        .map(|quits| {
            let (stream, serving) = front.connect(&vm.server);
            let work = move || {
                let mut client = Client::new(stream);
                if client.negotiate(false) {
                    let last = if quits && by_command { "quit" } else { "tell" };
                    for (name, n) in ["late", "tell", last].iter().zip(1..) {
                        client.execute(name, n);
                    }
                    while client.read() {}
                }
                client.check(&[]);
                client.replies.len()
            };
            (thread::spawn(work), serving)
        })
        .into();
    if !by_command {
        assert!(vm.server.stop(Duration::MAX));
    }
    let mut answered = 0;
    for (client, serving) in clients {
        answered += client.join().unwrap();
        serving.into_iter().for_each(|thread| thread.join().unwrap());
    }
    if !by_command {
        // A server that stops answers what it has executed. One that a client ends may be gone before.
        assert_eq!(vm.executed(), answered);
    }
    assert!(vm.server.has_ended());
    vm.finish();
}

/// One schedule: clients leave while their commands are executed.
fn leave(front: Front) {
    system::set_room(150);
    let vm = Vm::new(limits());
    let clients = [false, true].map(|with_oob| {
        let (stream, serving) = front.connect(&vm.server);
        let mut client = Client::new(stream);
        for (name, n) in ["late", "slow", "tell"].iter().zip(1..) {
            if n == 1 {
                assert!(client.negotiate(with_oob));
            }
            client.execute(name, n);
        }
        if with_oob {
            assert!(client.read());
        }
        drop(client);
        serving
    });
    vm.server.events().emit(&Tick { n: 1 });
    clients.into_iter().flatten().for_each(|thread| thread.join().unwrap());
    // Late replies are dropped.
    assert!(vm.server.stop(Duration::MAX));
    vm.finish();
}

/// One schedule: a command waits for one that is answered by another thread. Nothing else makes the owner
/// of the connection look.
fn follow(front: Front) {
    let vm = Vm::new(limits());
    let (stream, serving) = front.connect(&vm.server);
    let mut client = Client::new(stream);
    assert!(client.negotiate(false));
    let of =
        |name: &str, n: u64| json!({"execute": name, "arguments": {"n": n}, "id": n.to_string()});
    let _ = (&client.stream).write_all(format!("{}{}", of("late", 1), of("tell", 2)).as_bytes());
    while client.replies.len() < 2 {
        assert!(client.read(), "the connection has ended");
    }
    client.check(&[]);
    drop(client);
    serving.into_iter().for_each(|thread| thread.join().unwrap());
    vm.finish();
}

/// One schedule: a callback is set after an event has told of the output.
fn call_back() {
    let vm = Vm::new(limits());
    let connection = vm.server.connect();
    let events = vm.server.events();
    let emitter = thread::spawn(move || events.emit(&Tick { n: 1 }));
    let (wake, woken) = mpsc::channel();
    connection.on_change(move || {
        let _ = wake.send(());
    });
    woken.recv().unwrap();
    assert!(connection.take_output().starts_with(b"{\"QMP\""));
    emitter.join().unwrap();
    drop(connection);
    vm.finish();
}

/// One schedule: the server stops while a command is answered by another thread. The thread that stops it
/// is told of that.
fn stop_at_a_late_reply() {
    let vm = Vm::new(limits());
    let connection = vm.server.connect();
    connection.receive(b"{'execute': 'qmp_capabilities'}");
    connection.receive(b"{'execute': 'late', 'arguments': {'n': 1}}");
    assert!(vm.server.stop(Duration::MAX));
    assert!(connection.take_output().ends_with(b"{\"return\": 1}\r\n"));
    assert_eq!(connection.closed(), Some(CloseReason::Server));
    drop(connection);
    vm.finish();
}

/// One schedule: of the events that are held back, the last one is sent, by a thread that ends then.
fn hold_back(front: Front) {
    let vm = Vm::new(limits());
    let (stream, serving) = front.connect(&vm.server);
    let mut client = Client::new(stream);
    assert!(client.negotiate(false));
    let events = vm.server.events();
    let emitter = thread::spawn(move || {
        for n in 1..=4 {
            events.emit(&Flood { n });
        }
    });
    while client.floods.last() != Some(&4) {
        assert!(client.read(), "the connection has ended");
    }
    client.check(&[]);
    drop(client);
    emitter.join().unwrap();
    serving.into_iter().for_each(|thread| thread.join().unwrap());
    vm.finish();
}

/// One schedule: clients leave each other no room, because what they do not read reaches the limit of all.
fn crowd(front: Front) {
    const BYTES: usize = 70 << 10;
    system::set_room(BYTES / 2);
    let mut limits = Limits::default();
    limits.total_output_bytes = BYTES * 3 / 2;
    let vm = Vm::new(limits);
    let clients = [1, 2].map(|_| {
        let (stream, serving) = front.connect(&vm.server);
        let work = move || {
            let mut client = Client::new(stream);
            let id = "x".repeat(BYTES);
            client.send(&json!({"execute": "qmp_capabilities", "id": id}));
            // An event would end the connection.
            for (name, n) in ["late", "slow", "late"].iter().zip(1..) {
                client.execute(name, n);
            }
            while client.replies.len() < 4 {
                assert!(client.read(), "the connection has ended");
            }
            assert_eq!(client.replies.remove(0)["id"], id);
            client.check(&[]);
        };
        [Some(thread::spawn(work)), serving]
    });
    clients.into_iter().flatten().flatten().for_each(|thread| thread.join().unwrap());
    assert_eq!(vm.executed(), 6);
    vm.finish();
}

/// One schedule: a listener serves clients until the server ends, and a client comes late.
fn listen(quits: bool) {
    system::permit_idle_ends(1);
    let vm = Vm::new(limits());
    let listener = Arc::new(UnixListener::new());
    let serving = thread::spawn({
        let (server, listener) = (vm.server.clone(), Arc::clone(&listener));
        move || server.serve_unix(&listener).unwrap()
    });
    let clients = [1, 2].map(|_| {
        let stream = listener.connect();
        thread::spawn(move || {
            let mut client = Client::new(stream);
            if client.negotiate(false) {
                client.execute("late", 1);
                client.execute(if quits { "quit" } else { "tell" }, 2);
                while client.read() {}
            }
            client.check(&[]);
        })
    });
    if !quits {
        assert!(vm.server.stop(Duration::MAX));
    }
    serving.join().unwrap();
    // A client that still waits is told.
    drop(listener);
    clients.into_iter().for_each(|thread| thread.join().unwrap());
    vm.finish();
}

/// One schedule: the end of scripts does not wait for a client that comes at the same time.
fn play() {
    let listener = Arc::new(UnixListener::new());
    let script = || Script::new().expect_raw("query-name").returns_raw(json!({}));
    let server = ScriptServer::new([script(), script()]);
    server.serve_unix(UnixListener::clone(&listener)).unwrap();
    // The first one does not follow its script.
    drop(server.connect().unwrap());
    let late = thread::spawn(move || {
        let stream = listener.connect();
        drop(listener);
        while (&stream).read(&mut [0; 100]).is_ok_and(|count| count > 0) {}
    });
    assert!(server.finish().is_err());
    late.join().unwrap();
}

/// One schedule: the end of a replay does not wait for a client that comes at the same time.
fn replay(waits: bool) {
    let recording = r#"
        {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
        {"direction": "received", "message": {"return": 1, "id": 7}}"#;
    let server = Arc::new(Replay::of(Recording::parse(recording).unwrap()).start());
    let (has_ended, end) = mpsc::channel::<()>();
    let late = thread::spawn({
        let server = Arc::clone(&server);
        move || {
            let stream = server.connect().unwrap();
            // This client stays until the others have been waited for.
            assert!(end.recv().is_err());
            drop(stream);
        }
    });
    let mut client = Client::new(server.connect().unwrap());
    if client.negotiate(false) {
        client.send(&json!({"execute": "query-name", "id": 1}));
        assert!(client.read());
        assert_eq!(client.replies, [json!({"return": 1, "id": 1})]);
    }
    drop(client);
    match waits {
        // A client that has come is waited for, until it has left.
        true => drop(has_ended),
        false => {
            server.finish().unwrap();
            drop(has_ended);
        }
    }
    server.wait().unwrap();
    late.join().unwrap();
    server.wait().unwrap();
}

fn schedules() -> usize {
    std::env::var("SCHEDULES").map_or(2000, |number| number.parse().unwrap())
}

/// Tries a scenario in many orders.
fn explore(run: impl Fn() + Clone + Send + Sync + 'static) {
    explore_for(schedules(), run);
}

fn explore_for(schedules: usize, run: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = Config::new();
    // Decoding commands takes more than the default.
    config.stack_size = 256 << 10;
    config.silence_warnings = true;
    config.max_steps = MaxSteps::FailAfter(1_000_000);
    let tried = Tried::default();
    let count = Arc::clone(&tried.0);
    let run = move || {
        count.fetch_add(1, Ordering::Relaxed);
        run();
    };
    Runner::new(RandomScheduler::new(schedules), config.clone()).run(run.clone());
    Runner::new(PctScheduler::new(3, schedules), config).run(run);
}

/// The number of schedules, which is printed at the end, also if one has failed.
#[derive(Default)]
struct Tried(Arc<AtomicUsize>);

impl Drop for Tried {
    fn drop(&mut self) {
        println!("{} schedules", self.0.load(Ordering::Relaxed));
    }
}

#[test]
fn a_server_stops_at_a_late_reply() {
    explore(stop_at_a_late_reply);
}

#[test]
fn a_callback_is_called() {
    explore(call_back);
}

#[test]
fn a_listener_ends_with_its_server() {
    explore(|| listen(false));
    explore(|| listen(true));
}

#[test]
fn scripts_end() {
    explore(play);
}

#[test]
fn replays_end() {
    explore(|| replay(false));
    explore(|| replay(true));
}

macro_rules! on_all_fronts {
    ($($name:ident: $schedules:expr, $run:expr;)*) => { $(
        mod $name {
            use super::*;

            fn explore(front: Front) {
                explore_for($schedules, move || $run(front));
            }

            #[test]
            fn on_threads() {
                explore(Front::Threads);
            }

            #[test]
            fn in_tasks() {
                explore(Front::Socket);
            }

            #[test]
            fn in_tasks_with_a_stream() {
                explore(Front::Stream);
            }

            #[test]
            fn in_loops() {
                explore(Front::Loop);
            }

            #[test]
            fn on_three_threads_each() {
                explore(Front::Portable);
            }
        }
    )* };
}

on_all_fronts! {
    clients_share_a_server: schedules(), share;
    a_server_stops: schedules(), |front| stop(front, false);
    a_client_ends_the_server: schedules(), |front| stop(front, true);
    clients_leave: schedules(), leave;
    a_command_follows_a_late_reply: schedules(), follow;
    events_are_held_back: schedules() / 2, hold_back;
    clients_leave_no_room: schedules() / 10, crowd;
}
