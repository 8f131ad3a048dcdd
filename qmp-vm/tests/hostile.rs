//! Hostile servers and hostile guest agents, against every function that talks to one and returns
//! something, on every front end: each call ends in time, with a result or an error; no call makes
//! the process grow by more than 200 MB; and what a program prints of an error is short and has no
//! control characters.
//!
//! Each front end runs in a process of its own, whose address space is limited: memory that cannot
//! be allocated ends it. The case in which that happened is reported, and the others go on in the
//! next process.

#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/rows.rs"]
mod rows;
#[path = "hostile/script.rs"]
mod script;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::Command;
use std::task::Poll;
use std::time::{Duration, Instant};

use qmp_client::transport::Unix;
use qmp_client::{Client, Dialect, Options, blocking};
use serde_json::{Value, json};

use attacks::{ATTACKS, Attack, GREETINGS, HONEST, Scene, event_after, honest};
use rows::{AGENT, AGENT_PAIRS, MONITOR, Outcome, PAIRS, Row, WITHIN};

/// The address space that all cases together may use beyond that of the process at its start.
const SPACE: u64 = 200_000_000;
/// The longest text that a program prints of an error, in bytes.
const LONGEST: usize = 1024;
/// The longest time that a case may take on a busy machine, and one with messages of many mebibytes.
const PATIENCE: Duration = Duration::from_secs(30);
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// The limit of messages of most cases. Others have the default, which costs time.
const SMALL: usize = 32 << 10;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;

/// The way in which a program uses a client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FrontEnd {
    Blocking,
    Tokio,
    FuturesIo,
}

/// The cases that are played with the default limits, too, on every front end: a part of the name of
/// an attack, and the function.
#[rustfmt::skip]
const LARGE: &[(&str, &str, &str)] = &[
    ("a greeting of many members", "Client::over", "-"),
    ("an endless greeting", "Client::over", "-"),
    ("not UTF-8", "Client::over", "-"),
    ("a large text", "Client::execute", "raw"),
    ("many zeros", "Client::execute", "raw"),
    ("a deep member and a wrong one", "Client::execute", "query-block"),
    ("many empty objects", "Client::execute", "query-block"),
    ("a large text", "Client::send", "raw"),
    ("large strings with escapes", "Client::execute", "raw"),
    ("an error of a large class", "Client::execute", "raw"),
    ("a large object without a meaning", "Call::execute", "query-status"),
    ("endless large events", "Client::events", "query-status"),
    ("endless events with large names", "Client::events", "query-status"),
    ("lists of many elements", "Workflows::capabilities", "query-qmp-schema"),
    ("large strings", "Agent::exec", "guest-exec-status"),
];

/// A function and what the peer does.
#[derive(Clone, Copy)]
struct Case {
    row: Row,
    attack: Attack,
    is_agent: bool,
    /// Whether the peer misbehaves before the first command.
    greets: bool,
    /// Whether the default limits apply.
    is_large: bool,
}

const CONNECT: Row = Row {
    name: "Client::over",
    at: "-",
    blocking: |_| Ok(()),
    nonblocking: |_| Box::pin(async { Ok(()) }),
};

fn cases(front_end: FrontEnd) -> Vec<Case> {
    let mut cases = Vec::new();
    for is_agent in [false, true] {
        let rows = if is_agent { [AGENT, AGENT_PAIRS] } else { [MONITOR, PAIRS] };
        for is_large in [false, true] {
            for attack in GREETINGS {
                if !is_large || is_played_large(attack, &CONNECT, is_agent) {
                    let (row, attack) = (CONNECT, *attack);
                    cases.push(Case { row, attack, is_agent, greets: false, is_large });
                }
            }
            for (row_index, row) in rows.concat().into_iter().enumerate() {
                for (index, attack) in ATTACKS.iter().enumerate() {
                    let is_played = match is_large {
                        _ if attack.name.contains("picture") && row.at != "screendump" => false,
                        true => is_played_large(attack, &row, is_agent),
                        // These take time, so that each front end is tried with a part of them.
                        false => !attack.is_long() || (index + row_index) % 3 == front_end as usize,
                    };
                    if is_played {
                        let (attack, greets) = (*attack, true);
                        cases.push(Case { row, attack, is_agent, greets, is_large });
                    }
                }
            }
        }
    }
    cases
}

fn is_played_large(attack: &Attack, row: &Row, is_agent: bool) -> bool {
    let is_for_agents = row.name.starts_with("Agent::");
    is_for_agents == is_agent && LARGE.contains(&(attack.name, row.name, row.at))
}

impl Case {
    fn name(&self) -> String {
        let Self { row, attack, is_agent, is_large, .. } = self;
        let peer = if *is_agent { "agent" } else { "server" };
        let limit = if *is_large { ", default limits" } else { "" };
        format!("{} at {}: {} ({peer}{limit})", row.name, row.at, attack.name)
    }

    fn patience(&self) -> Duration {
        if self.is_large { LONG_PATIENCE } else { PATIENCE }
    }

    fn options(&self) -> Options {
        let dialect = if self.is_agent { Dialect::Agent } else { Dialect::Monitor };
        // Floods end with the deadline, and everything else with its error.
        let within = match self.attack.name.contains("events") {
            true if self.is_large => Duration::from_secs(2),
            false if self.is_large => LONG_PATIENCE,
            _ => WITHIN,
        };
        let greeting = if self.greets { PATIENCE } else { within };
        let options =
            Options::new().dialect(dialect).calls_within(within).greeting_within(greeting);
        if self.is_large { options } else { options.message_size(SMALL) }
    }

    /// Plays the peer.
    fn serve(&self, stream: UnixStream) {
        stream.set_read_timeout(Some(LONG_PATIENCE)).unwrap();
        stream.set_write_timeout(Some(LONG_PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        // The client may leave at any moment.
        let _ = self.serve_until(&mut stream);
        let _ = stream.get_ref().shutdown(std::net::Shutdown::Write);
        let mut bytes = [0; 4096];
        while matches!(std::io::Read::read(&mut stream, &mut bytes), Ok(1..)) {}
    }

    fn serve_until(&self, stream: &mut BufReader<UnixStream>) -> std::io::Result<()> {
        let default = 47 << 20;
        let large = if self.is_large { default } else { SMALL as u64 - 2048 };
        let script = |id: &str, honest: &Value, event: &Value| {
            (self.attack.script)(&Scene { id, honest, event, large })
        };
        if !self.greets {
            let script = script("0", &Value::Null, &json!({"event": "STOP", "data": {}}));
            return script.play(stream.get_mut());
        }
        if !self.is_agent {
            writeln!(stream.get_mut(), "{GREETING}\r")?;
        }
        let mut is_ready = false;
        loop {
            let mut line = Vec::new();
            stream.read_until(b'\n', &mut line)?;
            let text = line.strip_prefix(&[0xFF]).unwrap_or(&line);
            let Ok(command) = serde_json::from_slice::<Value>(text) else { return Ok(()) };
            let name = command["execute"].as_str().or(command["exec-oob"].as_str()).unwrap();
            let honest = honest(name, &command["arguments"]);
            let id = if self.is_agent { String::new() } else { command["id"].to_string() };
            if name == self.row.at {
                let event = event_after(name);
                script(&id, &honest, &event).play(stream.get_mut())?;
                continue;
            }
            if name == "screendump" || name == "device_del" {
                writeln!(stream.get_mut(), "{}\r", event_after(name))?;
            }
            let mut reply = json!({"return": honest});
            if !self.is_agent {
                reply["id"] = command["id"].clone();
            } else if name == "guest-sync-delimited" {
                stream.get_mut().write_all(&[0xFF])?;
            }
            writeln!(stream.get_mut(), "{reply}\r")?;
            if !is_ready && self.row.at == "-" {
                is_ready = true;
                script("7", &json!({}), &event_after("-")).play(stream.get_mut())?;
            }
        }
    }

    fn call(&self, front_end: FrontEnd, stream: UnixStream) -> Outcome {
        let options = self.options();
        match front_end {
            FrontEnd::Blocking => {
                let client = blocking::Client::over(Unix::from_stream(stream)?, &options)?;
                (self.row.blocking)(client)
            }
            FrontEnd::Tokio => {
                stream.set_nonblocking(true)?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let stream = tokio::net::UnixStream::from_std(stream)?;
                    let client = Client::over(stream, &options).await?;
                    (self.row.nonblocking)(client).await
                })
            }
            FrontEnd::FuturesIo => {
                let stream = async_io::Async::new(stream)?;
                let (connecting, driver) = qmp_client::futures_io::over(stream, &options);
                let row = self.row;
                let mut driver = Box::pin(driver);
                let call = async move { (row.nonblocking)(connecting.await?).await };
                let mut call = pin!(call);
                let mut is_driven = true;
                async_io::block_on(std::future::poll_fn(|cx| {
                    is_driven = is_driven && driver.as_mut().poll(cx).is_pending();
                    match call.as_mut().poll(cx) {
                        // The driver has something to do for it.
                        Poll::Pending if is_driven => {
                            is_driven = driver.as_mut().poll(cx).is_pending();
                            Poll::Pending
                        }
                        poll => poll,
                    }
                }))
            }
        }
    }

    /// Returns what is wrong.
    fn play(&self, front_end: FrontEnd) -> Vec<String> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // What is in the socket is read after a deadline, too.
        rustix::net::sockopt::set_socket_send_buffer_size(&theirs, 16 << 10).unwrap();
        std::thread::scope(|scope| {
            let server = std::thread::Builder::new().stack_size(256 << 10);
            server.spawn_scoped(scope, move || self.serve(theirs)).unwrap();
            let begin = Instant::now();
            let outcome = self.call(front_end, ours);
            let mut faults = Vec::new();
            if begin.elapsed() > self.patience() {
                faults.push(format!("took {:?}", begin.elapsed()));
            }
            if let Err(error) = outcome {
                println!("\nsaid {:?}", error.to_string());
                faults.extend(judge(&*error));
                let error = error.downcast_ref::<qmp_client::Error>();
                // The attacks that keep the shape of a reply are none if it has another shape.
                if let (HONEST, Some(qmp_client::Error::Decode(_))) = (self.attack.name, error) {
                    faults.push(error.map(qmp_client::Error::report).unwrap_or_default());
                }
            }
            faults
        })
    }
}

/// Checks what a program may print of an error.
fn judge(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |what: &str, text: &str| {
        let shown: String = text.chars().take(300).collect();
        if text.len() > LONGEST {
            faults.push(format!("{what} has {} bytes: {shown:?}", text.len()));
        }
        if let Some(character) = text.chars().find(|character| is_harmful(*character)) {
            faults.push(format!("{what} contains {character:?}: {shown:?}"));
        }
    };
    check("Display", &error.to_string());
    if let Some(error) = error.downcast_ref::<qmp_client::Error>() {
        check("the report", &error.report());
    }
    let mut next = error.source();
    while let Some(error) = next {
        check("Display of a source", &error.to_string());
        next = error.source();
    }
    faults
}

/// Returns whether a character controls a terminal, is invisible, or changes the direction of text.
fn is_harmful(character: char) -> bool {
    const HARMFUL: [std::ops::RangeInclusive<char>; 5] = [
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
        '\u{fff9}'..='\u{fffb}',
    ];
    character.is_control() || HARMFUL.iter().any(|range| range.contains(&character))
}

/// Returns a figure of this process, in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// The variable that makes a process play the cases from an index on.
const FROM: &str = "QMP_TEST_HOSTILE_FROM";
/// A part of the names of the cases to play.
const ONLY: &str = "QMP_TEST_HOSTILE_ONLY";

/// Plays the cases in this process, and prints each one before it, and what is wrong with it.
fn play_all(front_end: FrontEnd, from: usize) {
    let start = memory("VmSize:");
    let limit = rustix::process::Rlimit { current: Some(start + SPACE), maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
    let only = std::env::var(ONLY).unwrap_or_default();
    for (index, case) in cases(front_end).iter().enumerate().skip(from) {
        if !case.name().contains(&only) {
            continue;
        }
        println!("\ncase {index} {}", case.name());
        let begin = Instant::now();
        for fault in case.play(front_end) {
            println!("\nfault {fault}");
        }
        let space = memory("VmPeak:").saturating_sub(start);
        println!("\ntook {:?}, peak {} MB", begin.elapsed(), space / 1_000_000);
    }
    println!("\nend");
}

/// Plays all cases on a front end, in as many processes as it takes.
fn check(front_end: FrontEnd, test: &str) {
    if let Ok(from) = std::env::var(FROM) {
        return play_all(front_end, from.parse().unwrap());
    }
    let (mut faults, mut from, begin) = (String::new(), 0, Instant::now());
    let mut peak = 0;
    let mut slowest = Vec::new();
    let count = cases(front_end).len();
    loop {
        let played = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(FROM, from.to_string())
            // Another arena reserves 64 MiB of address space for each thread.
            .env("MALLOC_ARENA_MAX", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&played.stdout);
        let mut case = "before the first case";
        let mut is_over = false;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("case ") {
                let (index, name) = rest.split_once(' ').unwrap();
                from = index.parse::<usize>().unwrap() + 1;
                case = name;
            } else if let Some(fault) = line.strip_prefix("fault ") {
                writeln!(faults, "{case}: {fault}").unwrap();
            } else if let Some((took, space)) =
                line.strip_prefix("took ").and_then(|it| it.split_once(", peak "))
            {
                peak = peak.max(space.trim_end_matches(" MB").parse::<u64>().unwrap());
                slowest.push((took.to_owned(), case.to_owned()));
            }
            is_over |= line == "end";
        }
        if is_over {
            break;
        }
        let errors = String::from_utf8_lossy(&played.stderr);
        let last = errors.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        writeln!(faults, "{case}: {} ({last})", played.status).unwrap();
        assert!(from < count, "{faults}");
    }
    println!("{front_end:?}: {count} cases, {:?}, peak {peak} MB", begin.elapsed());
    if std::env::var_os("QMP_TEST_HOSTILE_TIMES").is_some() {
        for (took, case) in slowest {
            println!("{took} {case}");
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{faults}", faults.lines().count());
}

/// Functions that are in no row, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("AnotherMonitor::remove", "its commands are those that undo `Workflows::open_monitor`"),
    ("Keeper::follow", "it runs beside the functions of a mirror"),
    ("Keeper::run", "it runs beside the functions of a mirror"),
    ("Mirror::execute", "it is `Client::execute` on the client that the mirror follows"),
    ("Agent::connect", "it is `over` with a stream of its own"),
    ("Agent::connect_to_child", "it is `over` with a stream of its own"),
    ("Agent::connect_with", "it is `over` with a stream of its own"),
    ("Agent::over", "it is `Client::over` with options for an agent, which are tried"),
    ("Call::send", "it is `Client::send` with a deadline"),
    ("Client::events_of", "it is `raw_events` of one name, and `Events` is tried"),
    ("Client::raw_events", "its events are tried in the rows of `Events` and `Client::events`"),
    ("Client::connect", "it is `over` with a stream of its own"),
    ("Client::connect_to_child", "it is `over` with a stream of its own"),
    ("Client::connect_with", "it is `over` with a stream of its own"),
    ("Launch::start", "it is `Client::over` with a stream of its own"),
    ("Launched::quit", "it is `Workflows::quit`, and waits for the process"),
    ("Launched::quit_within", "it is `Workflows::quit_within`, and waits for the process"),
    ("Launched::shut_down", "it is `Workflows::shut_down`, and waits for the process"),
];

/// The sources whose functions are compared with the rows, and what marks the type of a result that
/// depends on the peer.
const SOURCES: &[(&str, &str)] = &[
    ("src/agent/client.rs", "::Outcome<"),
    ("src/agent/exec.rs", "::Outcome<"),
    ("src/agent/file.rs", "::Outcome<"),
    ("src/agent/freeze.rs", "::Outcome<"),
    ("src/agent/mode.rs", "::Outcome<"),
    ("src/another/mod.rs", "::Outcome<"),
    ("src/disk.rs", "::Outcome<"),
    ("src/job/mod.rs", "::Outcome<"),
    ("src/launch/launched.rs", "::Outcome<"),
    ("src/launch/program.rs", "::Outcome<"),
    ("src/mirror/changes.rs", "::Outcome<"),
    ("src/mirror/handle.rs", "::Outcome<"),
    ("src/mirror/keeper.rs", "::Outcome<"),
    ("src/workflows.rs", "::Outcome<"),
    ("../qmp-client/src/blocking/call.rs", "-> Result<"),
    ("../qmp-client/src/blocking/client.rs", "-> Result<"),
    ("../qmp-client/src/blocking/client.rs", "-> Closed"),
    ("../qmp-client/src/blocking/client.rs", "-> Events<"),
    ("../qmp-client/src/blocking/events.rs", "-> Option<Result<"),
    ("../qmp-client/src/blocking/ticket.rs", "-> Result<"),
    ("../qmp-client/src/blocking/undo.rs", "-> Result<"),
];

/// Returns the public methods in a source whose result has this mark.
fn methods(text: &str, mark: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
    };
    let (mut of, mut is_trait, mut methods, mut at) = (String::new(), false, Vec::new(), 0);
    for line in text.lines() {
        let rest = &text[at..];
        at += line.len() + 1;
        let generic = line.strip_prefix("impl<").and_then(|line| Some(line.split_once("> ")?.1));
        let named = generic.or_else(|| line.strip_prefix("impl "));
        if let Some(name) = named.or_else(|| line.strip_prefix("pub trait ")) {
            (of, is_trait) = (word(name), line.starts_with("pub trait "));
        }
        let line = line.strip_prefix("    ").unwrap_or_default();
        let public = line.strip_prefix("pub fn ");
        let Some(method) = public.or_else(|| line.strip_prefix("fn ").filter(|_| is_trait)) else {
            continue;
        };
        let signature = rest.split(['{', ';']).next().unwrap_or_default();
        if signature.contains(mark) {
            methods.push(format!("{of}::{}", word(method)));
        }
    }
    methods
}

/// Every public function whose result depends on the peer has a row.
#[test]
fn every_function_has_a_row() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = [MONITOR, PAIRS, AGENT, AGENT_PAIRS].concat();
    let is_named = |name: &str| {
        rows.iter().chain([&CONNECT]).any(|row| row.name == name)
            || ELSEWHERE.iter().any(|(listed, _)| *listed == name)
    };
    let mut all = Vec::new();
    for (file, mark) in SOURCES {
        let found = methods(&std::fs::read_to_string(root.join(file)).unwrap(), mark);
        assert!(!found.is_empty(), "{file} has no function with {mark}");
        all.extend(found);
    }
    let missing: Vec<_> = all.iter().filter(|name| !is_named(name)).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    for (name, _) in ELSEWHERE {
        assert!(all.iter().any(|method| method == name), "{name} does not exist");
    }
    for name in ["Workflows::unplug", "Agent::exec", "Client::execute", "Events::next"] {
        assert!(all.iter().any(|method| method == name), "{name} is not in {all:?}");
    }
}

#[test]
fn on_the_blocking_client() {
    check(FrontEnd::Blocking, "on_the_blocking_client");
}

#[test]
fn on_tokio() {
    check(FrontEnd::Tokio, "on_tokio");
}

#[test]
fn on_futures_io() {
    check(FrontEnd::FuturesIo, "on_futures_io");
}
