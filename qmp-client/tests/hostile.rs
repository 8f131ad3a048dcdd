//! Servers and guest agents that send too much, or never finish what they send, against every client.
//! Each connection ends with the error that says so, in time, and within bounded memory.
//!
//! This is a single test, since memory is measured for the whole process.

#![cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use qmp_client::{Dialect, Error, Options, ProtocolError, Raw, Result};
use serde_json::{Value, json};

/// Longer than anything that succeeds takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A short wait for something that does not happen.
const SOON: Duration = Duration::from_millis(60);
/// The largest message that is accepted, in bytes: the default for a guest agent.
const LIMIT: usize = 4 << 20;
/// The most by which the process may grow in all, in KiB. Memory that is freed may stay with it.
const GROWTH: u64 = 96 << 10;

/// When a peer begins to misbehave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum When {
    /// Instead of the greeting, or of the reply to the synchronization.
    First,
    /// Instead of the reply to a command.
    Later,
    /// From the first command on, which it does not read.
    Deaf,
}
use When::{Deaf, First, Later};

/// The expected result.
#[derive(Clone, Copy, Debug)]
enum Ending {
    TooLarge,
    TooDeep,
    Timeout,
}
use Ending::{Timeout, TooDeep, TooLarge};

struct Attack {
    name: &'static str,
    when: When,
    /// Sent once.
    head: Vec<u8>,
    /// Sent repeatedly after that, without end.
    piece: Vec<u8>,
    ending: Ending,
    /// The deadline of a client whose wait times out.
    deadline: Duration,
}

fn attack(
    name: &'static str,
    when: When,
    ending: Ending,
    head: impl Into<Vec<u8>>,
    piece: &str,
) -> Attack {
    // Pieces are large, so that the peer is not the slower side.
    let piece = piece.repeat((32_usize << 10).div_ceil(piece.len().max(1))).into_bytes();
    Attack { name, when, head: head.into(), piece, ending, deadline: SOON }
}

fn attacks() -> Vec<Attack> {
    const EVENT: &str = "{\"event\": \"STOP\", \"data\": {}}\r\n";
    const FOREIGN: &str = "{\"return\": 7, \"id\": \"libvirt-7\"}\r\n";
    let deep = format!("{{\"return\": {}{}}}\n", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        attack("an endless line", First, Timeout, "", "x"),
        attack("endless white space", First, Timeout, "", " "),
        attack("an endless string", First, TooLarge, "{\"QMP\": \"", "x"),
        attack("endless brackets", First, TooLarge, "{\"QMP\": ", "["),
        attack("events without end", First, Timeout, "", EVENT),
        attack("an endless line", Later, Timeout, "", "x"),
        attack("endless white space", Later, Timeout, "", "\n"),
        attack("an endless string", Later, TooLarge, "{\"return\": \"", "x"),
        attack("endless brackets", Later, TooLarge, "{\"return\": ", "["),
        attack("an endless list", Later, TooLarge, "{\"return\": [0", ", 0"),
        attack("events without end", Later, Timeout, "", EVENT),
        // These are few, but their bytes must not pile up.
        Attack {
            deadline: SOON * 16,
            ..attack("large events", Later, Timeout, "", &large_event())
        },
        attack("half a line and silence", Later, Timeout, "{\"return\": \"", ""),
        attack("a deep reply", Later, TooDeep, deep, ""),
        attack("no reading", Deaf, Timeout, "", ""),
    ]
    .into_iter()
    .chain([attack("replies to others", Later, Timeout, "", FOREIGN)])
    .collect()
}

/// Returns the attacks that only a guest agent can make, whose replies have no ids.
fn attacks_of_agents() -> Vec<Attack> {
    let stale = "{\"return\": {\"status\": \"fro";
    vec![
        attack("replies to another client without end", First, Timeout, "", "{\"return\": 7}\n"),
        attack("delimiters without end", First, Timeout, "", "\u{0}"),
        attack("half a reply and silence", First, Timeout, stale, ""),
        attack("half a reply without end", First, TooLarge, stale, "x"),
        attack(
            "refusals without end",
            First,
            Timeout,
            "",
            "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n",
        ),
    ]
    .into_iter()
    .map(|mut attack| {
        attack.piece.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 0xFF);
        attack
    })
    .collect()
}

fn large_event() -> String {
    format!("{{\"event\": \"LARGE\", \"data\": {{\"x\": \"{}\"}}}}\n", "x".repeat(LIMIT / 2))
}

/// Plays the peer, until the client has left.
fn misbehave(stream: UnixStream, attack: &Attack, is_agent: bool, left: &Receiver<()>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(stream);
    if attack.when != First {
        if is_agent {
            let token = next_command(&mut stream)["arguments"]["id"].clone();
            let answer = json!({"return": token}).to_string();
            stream.get_mut().write_all(format!("\n{answer}\n").as_bytes()).unwrap();
        } else {
            let greeting = json!({"QMP": {"capabilities": [],
                "version": {"package": "", "qemu": {"major": 10, "minor": 0, "micro": 0}}}});
            stream.get_mut().write_all(format!("{greeting}\n").as_bytes()).unwrap();
            let id = next_command(&mut stream)["id"].clone();
            let answer = json!({"return": {}, "id": id}).to_string();
            stream.get_mut().write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
        if attack.when == Deaf {
            let _ = left.recv();
            return;
        }
        let id = next_command(&mut stream)["id"].clone();
        let mut head = attack.head.clone();
        if head.ends_with(b"}\n") && !is_agent {
            head.truncate(head.len() - 2);
            head.extend_from_slice(format!(", \"id\": {id}}}\n").as_bytes());
        }
        let _ = stream.get_mut().write_all(&head);
    } else {
        let _ = stream.get_mut().write_all(&attack.head);
    }
    while !attack.piece.is_empty() && stream.get_mut().write_all(&attack.piece).is_ok() {}
    // Wait until the client has left.
    let _ = stream.read_to_end(&mut Vec::new());
}

fn next_command(stream: &mut BufReader<UnixStream>) -> Value {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).unwrap();
    serde_json::from_slice(line.strip_prefix(&[0xFF]).unwrap_or(&line)).unwrap()
}

/// Creates a command. A large one does not fit into any buffer on the way.
fn command(large: bool) -> Raw<Value> {
    let command = Raw::new("query-status");
    if large { command.arguments(&json!({"x": "x".repeat(LIMIT / 2)})) } else { command }
}

/// Connects and executes one command with one of the clients.
type Try = fn(UnixStream, &Options, Raw<Value>) -> Result<Value>;

fn memory_kib(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Plays an attack. `before` is the memory of the process before the first one, in KiB.
fn play(attack: &Attack, name: &str, is_agent: bool, client: Try, before: u64) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let deadline = if matches!(attack.ending, Timeout) { attack.deadline } else { PATIENCE };
    let is_first = attack.when == First;
    let (greeting, calls) = if is_first { (deadline, PATIENCE) } else { (PATIENCE, deadline) };
    let options = Options::new().greeting_within(greeting).calls_within(calls).message_size(LIMIT);
    let options = if is_agent { options.dialect(Dialect::Agent) } else { options };
    let what = format!("{name}: {} ({:?})", attack.name, attack.when);
    let (begin, error) = std::thread::scope(|scope| {
        let (leave, left) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || misbehave(theirs, attack, is_agent, &left));
        let begin = Instant::now();
        let error = client(ours, &options, command(attack.when == Deaf)).unwrap_err();
        drop(leave);
        (begin, error)
    });
    assert!(begin.elapsed() < PATIENCE, "{what}: {:?}", begin.elapsed());
    let grown = memory_kib("VmHWM").unwrap_or_default().saturating_sub(before);
    println!("{what}: {} ({grown} KiB)", error.report());
    assert!(grown < GROWTH, "{what}: {grown} KiB");
    let as_expected = match attack.ending {
        Timeout => error.is_timeout(),
        TooLarge => error.report().contains(&format!("limit of {LIMIT} bytes")),
        TooDeep => matches!(
            &error,
            Error::Protocol(error) if matches!(**error, ProtocolError::TooDeep { .. })
        ),
    };
    assert!(as_expected, "{what}: {error:?}");
}

#[test]
fn every_attack_ends_with_its_error_in_time_and_within_bounds() {
    let before = memory_kib("VmRSS").unwrap_or_default();
    for (name, client) in clients() {
        for attack in attacks() {
            play(&attack, name, false, client, before);
        }
    }
    for (name, client) in clients() {
        let name = &format!("agent, {name}");
        for attack in attacks().into_iter().chain(attacks_of_agents()) {
            // Without ids, that would be a reply.
            if attack.name != "replies to others" {
                play(&attack, name, true, client, before);
            }
        }
    }
}

fn clients() -> Vec<(&'static str, Try)> {
    vec![
        #[cfg(feature = "blocking")]
        ("blocking", |stream, options, command| {
            let stream = qmp_client::transport::Unix::from_stream(stream).unwrap();
            qmp_client::blocking::Client::over(stream, options)?.execute(command)
        }),
        #[cfg(feature = "tokio")]
        ("tokio", |stream, options, command| {
            on_tokio(stream, |stream| async {
                qmp_client::Client::over(stream, options).await?.execute(command).await
            })
        }),
        #[cfg(feature = "futures-io")]
        ("futures-io", |stream, options, command| {
            let stream = async_io::Async::new(stream).unwrap();
            let (connecting, driver) = qmp_client::futures_io::over(stream, options);
            let driver = std::thread::spawn(|| async_io::block_on(driver));
            let result = async_io::block_on(async { connecting.await?.execute(command).await });
            driver.join().unwrap();
            result
        }),
    ]
}

#[cfg(feature = "tokio")]
fn on_tokio<F: Future>(
    stream: UnixStream,
    client: impl FnOnce(tokio::net::UnixStream) -> F,
) -> F::Output {
    stream.set_nonblocking(true).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { client(tokio::net::UnixStream::from_std(stream).unwrap()).await })
}
