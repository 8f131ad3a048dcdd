//! Threads that share a blocking client, in any order that a scheduler thinks of.
//!
//! No wait ends by itself here: a thread that is not told what has happened waits forever, and the
//! scheduler reports that no thread can go on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)] // tests

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::protocol::Descriptor;
use qmp_client::transport::Transport;
use qmp_client::{Dialect, Options, Raw, RawEvent};
use serde_json::{Value, json};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;

/// A socket pair in memory.
#[derive(Debug, Default)]
struct Wire {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the transport can wait without reading.
    waits: bool,
}

#[derive(Debug, Default)]
struct State {
    to_client: VecDeque<u8>,
    to_server: VecDeque<u8>,
    /// The number of commands that are not answered.
    unanswered: usize,
    is_closed: bool,
    has_hung_up: bool,
}

/// The client's end, which is closed when it is dropped.
#[derive(Debug)]
struct End(Arc<Wire>);

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}

impl Transport for End {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        while state.to_client.is_empty() {
            if state.is_closed || state.has_hung_up {
                return Ok(0);
            }
            // A short wait may end or may not; a wait without a limit does not.
            if timeout.is_some() {
                drop(state);
                thread::yield_now();
                state = self.0.state.lock().unwrap();
                if state.to_client.is_empty() && !state.is_closed && !state.has_hung_up {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                continue;
            }
            state = self.0.changed.wait(state).unwrap();
        }
        let count = state.to_client.len().min(buffer.len()).min(40);
        for (place, byte) in buffer.iter_mut().zip(state.to_client.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn write(&self, bytes: &[u8], _: &[Descriptor], _: Option<Duration>) -> io::Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        if state.has_hung_up || state.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(30);
        state.to_server.extend(&bytes[..count]);
        drop(state);
        self.0.changed.notify_all();
        Ok(count)
    }

    fn close(&self) {
        self.0.state.lock().unwrap().is_closed = true;
        self.0.changed.notify_all();
    }

    fn wait_readable(&self, _: Option<Duration>) -> io::Result<bool> {
        if !self.0.waits {
            return Ok(false);
        }
        let mut state = self.0.state.lock().unwrap();
        while state.to_client.is_empty() && !state.is_closed && !state.has_hung_up {
            state = self.0.changed.wait(state).unwrap();
        }
        Ok(true)
    }

    fn has_arrived(&self) -> bool {
        !self.0.state.lock().unwrap().to_client.is_empty()
    }
}

/// Receives a command; `None` if the client has closed the connection.
fn receive(wire: &Wire) -> Option<Value> {
    let mut line = Vec::new();
    let mut state = wire.state.lock().unwrap();
    loop {
        match state.to_server.pop_front() {
            Some(b'\n') => break,
            // A delimiter, which only a guest agent is sent.
            Some(0xFF) => line.clear(),
            Some(byte) => line.push(byte),
            None if state.is_closed => return None,
            None => state = wire.changed.wait(state).unwrap(),
        }
    }
    Some(serde_json::from_slice(&line).unwrap())
}

/// Answers commands until the client closes the connection, or a number of them has been answered.
fn serve(wire: &Wire, most: usize) {
    let send = |message: String| {
        wire.state.lock().unwrap().to_client.extend(format!("{message}\r\n").bytes());
        wire.changed.notify_all();
    };
    send(GREETING.into());
    for _ in 0..=most {
        let Some(command) = receive(wire) else { return };
        let number = &command["arguments"]["n"];
        if command["execute"] == "poke" {
            send(json!({"event": "POKED", "data": {"n": number}}).to_string());
        }
        send(json!({"return": {"n": number}, "id": command["id"]}).to_string());
    }
    wire.state.lock().unwrap().has_hung_up = true;
    wire.changed.notify_all();
}

fn command(name: &'static str, number: usize) -> Raw {
    Raw::new(name).arguments(&json!({"n": number}))
}

fn check(number: usize, answer: qmp_client::Result<Value>, may_end: bool) {
    match answer {
        Ok(value) => assert_eq!(value["n"], number, "the reply to another call"),
        Err(error) => assert!(may_end && error.is_closed(), "{}", error.report()),
    }
}

/// One schedule: three threads share a client, whose server may hang up.
fn share(waits: bool, most: usize) {
    let wire = Arc::new(Wire { waits, ..Wire::default() });
    let server = thread::spawn({
        let wire = Arc::clone(&wire);
        move || serve(&wire, most)
    });
    let options =
        Options::new().greeting_within(Duration::MAX).calls_within(Duration::MAX);
    let client = Client::over(End(Arc::clone(&wire)), &options).unwrap();
    let may_end = most < usize::MAX;
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || match thread {
                0 => {
                    check(1, client.execute(command("echo", 1)), may_end);
                    check(2, client.execute(command("echo", 2)), may_end);
                }
                1 => {
                    let tickets: Vec<_> =
                        [3, 4].map(|number| (number, client.send(command("echo", number)))).into();
                    for (number, ticket) in tickets.into_iter().rev() {
                        check(number, ticket.and_then(|ticket| ticket.receive()), may_end);
                    }
                }
                _ => {
                    let own = |event: &RawEvent| (&*event.name == "POKED").then_some(());
                    let answer = client.call(command("poke", 5)).until_some(own);
                    check(5, answer.map(|(value, ())| value), may_end);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(client.pending().calls, 0);
    let calls = client.stats().calls;
    assert_eq!(calls.submitted, calls.finished(), "{calls:?}");
    drop(client);
    server.join().unwrap();
}

/// Answers commands as a guest agent does, without ids.
fn serve_as_agent(wire: &Wire) {
    while let Some(command) = receive(wire) {
        let (delimiter, answer) = match command["execute"].as_str() {
            Some("guest-sync-delimited") => (Some(0xFF), &command["arguments"]["id"]),
            Some("never") => {
                wire.state.lock().unwrap().unanswered += 1;
                wire.changed.notify_all();
                continue;
            }
            _ => (None, &command["arguments"]),
        };
        let message = format!("{}\n", json!({"return": answer}));
        wire.state.lock().unwrap().to_client.extend(delimiter.into_iter().chain(message.bytes()));
        wire.changed.notify_all();
    }
}

/// One schedule: a thread abandons two calls. The second command is sent by the thread that waits for
/// another reply, after it has read that the client is synchronized with the agent; then that must be
/// done again.
fn abandon(waits: bool) {
    let wire = Arc::new(Wire { waits, ..Wire::default() });
    let server = thread::spawn({
        let wire = Arc::clone(&wire);
        move || serve_as_agent(&wire)
    });
    let wait_until_unanswered = |count| {
        let mut state = wire.state.lock().unwrap();
        while state.unanswered < count {
            state = wire.changed.wait(state).unwrap();
        }
    };
    let options = Options::new()
        .dialect(Dialect::Agent)
        .greeting_within(Duration::MAX)
        .calls_within(Duration::MAX);
    let client = Client::over(End(Arc::clone(&wire)), &options).unwrap();
    let first = client.send(command("never", 1)).unwrap();
    wait_until_unanswered(1);
    drop(first);
    let second = client.send(command("never", 2)).unwrap();
    let waiting = client.clone();
    let waiter = thread::spawn(move || check(3, waiting.execute(command("echo", 3)), false));
    wait_until_unanswered(2);
    drop(second);
    waiter.join().unwrap();
    assert_eq!(client.pending().calls, 0);
    drop(client);
    server.join().unwrap();
}

fn schedules() -> usize {
    std::env::var("SCHEDULES").map_or(2000, |number| number.parse().unwrap())
}

/// A thread that abandoned a call left the synchronization to the reader, which had just sent something
/// else, and slept.
#[test]
fn an_agent_is_synchronized_with_in_any_order() {
    for waits in [true, false] {
        shuttle::check_random(move || abandon(waits), schedules() / 4);
        shuttle::check_pct(move || abandon(waits), schedules() / 4, 3);
    }
}

#[test]
fn threads_share_a_client_in_any_order() {
    let schedules = schedules();
    let done = Arc::new(AtomicUsize::new(0));
    for (waits, most) in [(true, usize::MAX), (false, usize::MAX), (true, 3), (false, 3)] {
        let count = Arc::clone(&done);
        let run = move || {
            count.fetch_add(1, Ordering::Relaxed);
            share(waits, most);
        };
        shuttle::check_random(run.clone(), schedules);
        shuttle::check_pct(run, schedules, 3);
    }
    println!("{} schedules", done.load(Ordering::Relaxed));
}
