//! Events of simulated machines, as a subscriber of a real NATS receives them.
//!
//! `NATS_SERVER` is the program to use, `nats-server` by default. Without it, the tests are left out,
//! unless `REQUIRE_NATS=1` is set.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener as StdListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::timeout;

use common::{Directory, PATIENCE, Program, play, until};

const FORWARD: &str = env!("CARGO_BIN_EXE_forward_events");
const SECRET: &str = "hunter2-in-the-environment";

/// A NATS server, which can be ended and started again at the same port.
struct Nats {
    port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts a server; `None` if there is none on this machine.
    async fn start() -> Option<Self> {
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut nats = Self { port, child: None };
        nats.run().await.then_some(nats)
    }

    fn absent() -> Self {
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { port, child: None }
    }

    async fn run(&mut self) -> bool {
        self.run_with(&["--auth", SECRET]).await
    }

    async fn run_with(&mut self, arguments: &[&str]) -> bool {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
        let port = self.port.to_string();
        let mut command = Command::new(&program);
        command.args(["--addr", "127.0.0.1", "--port", &port]).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        match command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) if std::env::var("REQUIRE_NATS").is_ok_and(|value| value == "1") => {
                panic!("cannot start {program}: {error}")
            }
            Err(error) => {
                eprintln!("left out: cannot start {program}: {error}");
                return false;
            }
        }
        let is_up = async || TcpStream::connect(("127.0.0.1", self.port)).await.is_ok();
        until("the broker", is_up).await;
        true
    }

    async fn end(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    fn url(&self) -> String {
        url(self.port)
    }

    async fn subscribe(&self, subject: &str) -> Received {
        let options = async_nats::ConnectOptions::with_token(SECRET.to_owned())
            .subscription_capacity(1 << 20);
        let client = options.connect(self.url()).await.unwrap();
        let messages = client.subscribe(subject.to_owned()).await.unwrap();
        client.flush().await.unwrap();
        // The broker has subscribed when it answers.
        let _ = client.request("nothing", "".into()).await;
        Received { messages, seen: Vec::new(), _client: client }
    }
}

fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// The messages that a subscriber has received.
struct Received {
    messages: Subscriber,
    /// The subjects and the messages.
    seen: Vec<(String, Value)>,
    _client: async_nats::Client,
}

impl Received {
    async fn next(&mut self) -> &(String, Value) {
        let message = timeout(PATIENCE, self.messages.next()).await.expect("a message").unwrap();
        let value: Value = serde_json::from_slice(&message.payload).unwrap();
        assert!(!value.to_string().contains(SECRET));
        self.seen.push((message.subject.to_string(), value));
        self.seen.last().unwrap()
    }

    /// Receives until a message is the one.
    async fn until(&mut self, is_it: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            let (subject, value) = self.next().await;
            if is_it(subject, value) {
                return value.clone();
            }
        }
    }

    /// Receives until the machine has this many events.
    async fn events(&mut self, machine: &str, count: usize) {
        let subject = format!("{machine}.RESUME");
        while self.numbers(&subject).len() < count {
            self.next().await;
        }
    }

    /// Returns the numbers of the messages whose subject ends so.
    fn numbers(&self, end: &str) -> BTreeSet<u64> {
        let seen = self.seen.iter().filter(|(subject, _)| subject.ends_with(end));
        seen.filter_map(|(_, value)| value["number"].as_u64()).collect()
    }

    /// Returns the number of events that were dropped.
    fn gaps(&self) -> usize {
        let gaps = self.seen.iter().filter(|(_, value)| value["change"] == "gap");
        // A message that was repeated counts once.
        let gaps: BTreeMap<_, _> = gaps
            .map(|(_, value)| (value["number"].as_u64(), value["missed"].as_u64().unwrap()))
            .collect();
        gaps.values().map(|missed| usize::try_from(*missed).unwrap()).sum()
    }

    /// Returns the numbers that are missing of each machine.
    fn missing(&self) -> Vec<(String, u64)> {
        let mut machines = BTreeMap::<(String, String), BTreeSet<u64>>::new();
        for (_, value) in &self.seen {
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            if let Some(number) = value["number"].as_u64() {
                machines.entry((text("machine"), text("run"))).or_default().insert(number);
            }
        }
        let missing = |((machine, _), numbers): ((String, String), BTreeSet<u64>)| {
            let last = numbers.last().copied().unwrap_or_default();
            (1..=last)
                .filter(move |number| !numbers.contains(number))
                .map(move |number| (machine.clone(), number))
        };
        machines.into_iter().flat_map(missing).collect()
    }
}

fn forward(url: &str, directory: &Directory) -> Program {
    Program::start(FORWARD, &[url, directory.text()], &[("NATS_TOKEN", SECRET)])
}

/// A wire between the program and the broker, which can swallow what is sent, and be cut.
struct Wire {
    port: u16,
    swallows: Arc<AtomicBool>,
    swallowed: Arc<AtomicUsize>,
    cut: Arc<Notify>,
}

impl Wire {
    async fn to(nats: &Nats) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, broker) = (listener.local_addr().unwrap().port(), nats.port);
        let wire =
            Self { port, swallows: Arc::default(), swallowed: Arc::default(), cut: Arc::default() };
        let (swallows, swallowed) = (Arc::clone(&wire.swallows), Arc::clone(&wire.swallowed));
        let cut = Arc::clone(&wire.cut);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", broker)).await else { continue };
                let (mut from_near, mut to_near) = near.into_split();
                let (mut from_far, mut to_far) = far.into_split();
                let (swallows, swallowed) = (Arc::clone(&swallows), Arc::clone(&swallowed));
                let sending = async move {
                    let mut piece = [0; 4096];
                    loop {
                        let count = from_near.read(&mut piece).await.unwrap_or(0);
                        if count == 0 {
                            return;
                        }
                        if swallows.load(Ordering::SeqCst) {
                            swallowed.fetch_add(count, Ordering::SeqCst);
                        } else if to_far.write_all(&piece[..count]).await.is_err() {
                            return;
                        }
                    }
                };
                let cut = Arc::clone(&cut);
                tokio::spawn(async move {
                    tokio::select! {
                        () = sending => {}
                        _ = tokio::io::copy(&mut from_far, &mut to_near) => {}
                        () = cut.notified() => {}
                    }
                });
            }
        });
        wire
    }
}

/// Three machines, two of which are named like a wildcard and like several lines: each has its own
/// subjects, with all of its events in order.
#[tokio::test]
async fn each_machine_has_its_subjects() {
    let Some(nats) = Nats::start().await else { return };
    let mut received = nats.subscribe("qmp.>").await;
    let directory = Directory::new();
    let names = [
        ("vm1", "vm1"),
        ("a.*.>", "a%2E%2A%2E%3E"),
        ("x y\r\nPUB z 0\r\n", "x%20y%0D%0APUB%20z%200%0D%0A"),
    ];
    let machines = names.map(|(name, _)| directory.machine(name));
    let mut program = forward(&nats.url(), &directory);
    for machine in &machines {
        machine.attended().await;
    }
    for (_, token) in names {
        let end = format!(".{token}.connection");
        while received.numbers(&end).is_empty() {
            received.next().await;
        }
    }
    for machine in &machines {
        machine.execute("stop");
        machine.emit(20).await;
    }
    for (name, token) in names {
        received.events(token, 20).await;
        let stop = format!(".{token}.STOP");
        let (_, value) =
            received.seen.iter().find(|(subject, _)| subject.ends_with(&stop)).unwrap();
        assert_eq!((&value["event"], &value["machine"]), (&"STOP".into(), &name.into()));
        assert!(value["timestamp"]["seconds"].as_i64() > Some(1_600_000_000), "{value}");
    }
    assert_eq!(received.missing(), []);
    assert!(received.seen.iter().all(|(subject, _)| subject.split('.').count() <= 4));
    // 22 of each: the connection, STOP and 20 times RESUME. All of them are confirmed.
    assert!(program.terminate().await);
    program.line("66 messages published, 0 not published, 0 not confirmed").await;
}

/// A message that the broker has not seen is sent again, also if the system had taken it.
#[tokio::test]
async fn lost_bytes_are_sent_again() {
    let Some(nats) = Nats::start().await else { return };
    let wire = Wire::to(&nats).await;
    let mut received = nats.subscribe("qmp.>").await;
    let directory = Directory::new();
    let machine = directory.machine("vm");
    let mut program = forward(&url(wire.port), &directory);
    received.until(|subject, _| subject.ends_with(".vm.connection")).await;

    for round in 1..=3 {
        wire.swallows.store(true, Ordering::SeqCst);
        let before = wire.swallowed.load(Ordering::SeqCst);
        machine.emit(50).await;
        until("lost bytes", async || wire.swallowed.load(Ordering::SeqCst) > before + 1000).await;
        assert_eq!(received.numbers("vm.RESUME").len(), 50 * (round - 1));
        wire.swallows.store(false, Ordering::SeqCst);
        wire.cut.notify_one();
        let told = received
            .until(|subject, value| {
                subject.ends_with(".forwarder") && value["change"] == "reconnected"
            })
            .await;
        assert!(told["repeated"].as_u64() > Some(0), "{told}");
        received.events("vm", 50 * round).await;
        assert_eq!(received.missing(), []);
        program.line("repeating").await;
    }
    assert!(program.terminate().await);
    program.line("151 messages published, 0 not published, 0 not confirmed").await;
}

/// Events that happen while the broker is restarted arrive afterwards. If there are too many, the rest
/// is counted.
#[tokio::test]
async fn a_restart_of_the_broker_loses_nothing_silently() {
    let Some(mut nats) = Nats::start().await else { return };
    // The subscriber is connected again before the program is.
    let wire = Wire::to(&nats).await;
    let mut received = nats.subscribe("qmp.>").await;
    let directory = Directory::new();
    let machine = directory.machine("vm");
    let mut program = forward(&url(wire.port), &directory);
    received.until(|subject, _| subject.ends_with(".vm.connection")).await;
    machine.emit(10).await;
    received.events("vm", 10).await;

    // What is swallowed is neither acknowledged nor kept by the broker.
    wire.swallows.store(true, Ordering::SeqCst);
    machine.emit(10).await;
    nats.end().await;
    machine.emit(5000).await;
    assert!(nats.run().await);
    let before = std::mem::take(&mut received.seen);
    let mut received = nats.subscribe("qmp.>").await;
    received.seen = before;
    wire.swallows.store(false, Ordering::SeqCst);
    wire.cut.notify_one();
    while received.numbers("vm.RESUME").len() + received.gaps() < 5020 {
        received.next().await;
    }
    let missed = received.gaps();
    assert_eq!(received.missing(), []);
    // The queue of the client and the window.
    assert!((2000..4000).contains(&missed), "{missed}");
    assert!(program.terminate().await);
    program.line(" 0 not published, 0 not confirmed").await;
}

/// The broker may be started after the program.
#[tokio::test]
async fn the_broker_may_be_late() {
    let mut nats = Nats::absent();
    let directory = Directory::new();
    let machine = directory.machine("vm");
    let mut program = forward(&nats.url(), &directory);
    machine.attended().await;
    machine.emit(5).await;
    if !nats.run().await {
        return;
    }
    let mut received = nats.subscribe("qmp.>").await;
    // The program may not have subscribed yet, so that there may be none of the first ones.
    let emit = async {
        loop {
            machine.emit(1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = emit => {}
        _ = received.until(|subject, _| subject.ends_with(".vm.RESUME")) => {}
    }
    assert!(program.terminate().await);
    program.line(" 0 not published, 0 not confirmed").await;
}

/// A machine that is started again is told, and one that disappears.
#[tokio::test]
async fn a_restart_of_a_machine_is_told() {
    let Some(nats) = Nats::start().await else { return };
    let mut received = nats.subscribe("qmp.*.*.connection").await;
    let directory = Directory::new();
    let machine = directory.machine("vm");
    let mut program = forward(&nats.url(), &directory);
    let first = received.until(|_, value| value["change"] == "connected").await;
    assert_eq!((&first["qemu"], &first["events_missed"]), (&"first".into(), &false.into()));
    machine.end().await;
    received.until(|_, value| value["change"] == "lost").await;
    // The socket is missing for a while, as it is when QEMU is started again.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let machine = directory.machine("vm");
    let second = received.until(|_, value| value["change"] == "connected").await;
    assert_ne!(second["qemu"], "same");
    assert_eq!((&second["connection"], &second["events_missed"]), (&2.into(), &true.into()));
    machine.end().await;
    received.until(|_, value| value["change"] == "ended").await;
    assert_eq!(received.missing(), []);
    assert!(program.terminate().await);
}

/// A machine decides what its events are called, but not which subjects they have, how long messages
/// are, or what a connection looks like.
#[tokio::test]
async fn hostile_events_have_one_token() {
    let Some(nats) = Nats::start().await else { return };
    let mut received = nats.subscribe("qmp.>").await;
    let directory = Directory::new();
    let (long, data) = ("L".repeat(250), "D".repeat(300_000));
    let names = [
        "connection",
        "a.b.*.>",
        "x 0\r\n\r\nPUB forged 0\r\n",
        "",
        &long,
        "LONG_DATA",
        "\u{1b}[2J",
        "END",
    ];
    let events = names.map(|name| {
        let data = if name == "LONG_DATA" { &data } else { "unix://u:hunter4@h" };
        serde_json::json!({
            "event": name, "data": {"x": data}, "timestamp": {"seconds": 1, "microseconds": 2}
        })
    });
    let listener = UnixListener::bind(directory.0.join("vm.sock")).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            play(stream, &serde_json::json!({}), &events).await;
        }
    });
    let mut program = forward(&nats.url(), &directory);
    received.until(|_, value| value["event"] == "END").await;
    let host = received.seen[0].0.split('.').nth(1).unwrap().to_owned();
    let subjects: Vec<&str> = received.seen.iter().map(|(subject, _)| subject.as_str()).collect();
    let expected = [
        "forwarder",
        "vm.connection",
        "vm.%63onnection",
        "vm.a%2Eb%2E%2A%2E%3E",
        "vm.x%200%0D%0A%0D%0APUB%20forged%200%0D%0A",
        "vm.%",
        &format!("vm.{}%", "L".repeat(190)),
        "vm.LONG_DATA",
        "vm.%1B%5B2J",
        "vm.END",
    ];
    // A first lower-case letter is escaped.
    let expected = expected.map(|name| {
        format!("qmp.{host}.{}", name.replace("vm.a%", "vm.%61%").replace("vm.x%", "vm.%78%"))
    });
    assert_eq!(subjects, expected);
    for (_, value) in &received.seen {
        assert!(value.to_string().len() < 70_000 && !value.to_string().contains("hunter4"));
    }
    assert_eq!(received.seen[7].1["data_left_out"], 300_008);
    assert_eq!(received.missing(), []);
    assert!(program.terminate().await);
}

/// A broker that does not permit a subject confirms what it drops. Its errors are counted.
#[tokio::test]
async fn errors_of_the_broker_are_counted() {
    let directory = Directory::new();
    let config = directory.0.join("nats.conf");
    let rules = r#"publish: {deny: ["qmp.*.*.RESUME"]}"#;
    let user = format!(r#"{{user: "fleet", password: "{SECRET}", permissions: {{{rules}}}}}"#);
    std::fs::write(&config, format!("authorization: {{users: [{user}]}}\n")).unwrap();
    let mut nats = Nats::absent();
    if !nats.run_with(&["--config", config.to_str().unwrap()]).await {
        return;
    }
    let machine = directory.machine("vm");
    let variables = [("NATS_USER", "fleet"), ("NATS_PASSWORD", SECRET)];
    let mut program = Program::start(FORWARD, &[&nats.url(), directory.text()], &variables);
    machine.attended().await;
    let emit = async {
        loop {
            machine.emit(1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = emit => {}
        line = program.line("broker: ") => assert!(line.contains("ermissions"), "{line}"),
    }
    assert!(!program.terminate().await);
    let line = program.line("messages published").await;
    assert!(!line.contains(" 0 errors"), "{line}");
}

/// Without the broker's confirmation, the program does not claim success.
#[tokio::test]
async fn the_exit_status_tells_of_messages_that_were_lost() {
    let Some(mut nats) = Nats::start().await else { return };
    let mut received = nats.subscribe("qmp.>").await;
    let directory = Directory::new();
    let machine = directory.machine("vm");
    let wire = Wire::to(&nats).await;
    let mut program = forward(&url(wire.port), &directory);
    received.until(|subject, _| subject.ends_with(".vm.connection")).await;
    wire.swallows.store(true, Ordering::SeqCst);
    machine.emit(7).await;
    until("lost bytes", async || wire.swallowed.load(Ordering::SeqCst) > 0).await;
    nats.end().await;
    assert!(!program.terminate().await);
    let line = program.line("messages published").await;
    assert!(!line.contains(" 0 not confirmed"), "{line}");
}

/// Messages that could not even be sent count as well.
#[tokio::test]
async fn the_exit_status_tells_of_a_broker_that_never_came() {
    let directory = Directory::new();
    let machine = directory.machine("vm");
    // Longer, if the host is too busy for the events to have arrived.
    for wait in [1, 5, 25] {
        let mut program = forward(&Nats::absent().url(), &directory);
        machine.attended().await;
        for _ in 0..10 {
            machine.emit(10).await;
            tokio::time::sleep(Duration::from_millis(100 * wait)).await;
        }
        let succeeded = program.terminate().await;
        let line = program.line("0 messages published").await;
        if !line.contains(" 0 not confirmed") {
            assert!(!succeeded);
            return;
        }
    }
    panic!("no message was counted");
}

/// Without anything to publish, a broker that is absent is not waited for.
#[tokio::test]
async fn nothing_is_published_at_once() {
    let directory = Directory::new();
    let mut program = forward(&Nats::absent().url(), &directory);
    program.line("forwarding").await;
    assert!(program.terminate().await);
    loop {
        let line = program.line("").await;
        assert!(!line.contains("in time"), "{line}");
        if line.contains("0 messages published, 0 not published, 0 not confirmed") {
            return;
        }
    }
}

/// Credentials are in the environment, where other users do not see them.
#[tokio::test]
async fn credentials_in_arguments_are_refused() {
    let directory = Directory::new();
    for url in ["nats://user:hunter3@localhost:1", "nats://hunter3@localhost:1", "nats://h unter3"]
    {
        let mut program = forward(url, &directory);
        let line = program.line("forward_events").await;
        assert!(!line.contains("hunter3"), "{line}");
        assert!(!timeout(PATIENCE, program.child.wait()).await.unwrap().unwrap().success());
    }
}
