//! Scrapes of simulated machines.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::time::timeout;

use common::{Directory, PATIENCE, Program, play, until};

const METRICS: &str = env!("CARGO_BIN_EXE_metrics");

/// A program that serves metrics, and its port.
struct Served {
    program: Program,
    address: String,
}

impl Served {
    async fn start(machines: &[&str]) -> Self {
        let arguments: Vec<&str> = [&["127.0.0.1:0"], machines].concat();
        let mut program = Program::start(METRICS, &arguments, &[]);
        let line = program.line("serving").await;
        let (_, address) = line.split_once("http://").unwrap();
        let address = address.strip_suffix("/metrics").unwrap().to_owned();
        Self { program, address }
    }

    async fn request(&self, request: &[u8]) -> String {
        let talk = async {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            stream.write_all(request).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        };
        timeout(PATIENCE, talk).await.unwrap()
    }

    /// Returns the samples of a scrape, each by its name and its labels but the host.
    async fn scrape(&self) -> BTreeMap<String, f64> {
        let response = self.request(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        parse(body)
    }

    async fn value(&self, sample: &str) -> f64 {
        self.scrape().await.get(sample).copied().unwrap_or(f64::NAN)
    }
}

/// Parses the text format, and checks what it demands: each family once, with its type before its
/// samples; each sample once; labels that end where they should.
fn parse(body: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families, mut family) = (BTreeMap::new(), Vec::new(), "");
    assert!(body.ends_with('\n'));
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            let (keyword, name) = (words.next().unwrap(), words.next().unwrap());
            if keyword == "TYPE" {
                assert!(!families.contains(&name), "{name} twice");
                assert!(["counter", "gauge", "histogram"].contains(&words.next().unwrap()));
                families.push(name);
                family = name;
            }
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap();
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} in {family}"));
        assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{name}");
        let (labels, value) = labels(rest);
        assert_eq!(labels[0].0, "host");
        assert_eq!(labels[1].0, "machine");
        let key = labels[1..].iter().map(|(name, value)| format!(" {name}={value}"));
        let value = value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        let key = name.to_owned() + &key.collect::<String>();
        assert!(samples.insert(key, value).is_none(), "{line} twice");
    }
    samples
}

/// Parses labels up to the closing brace, and returns them and the value after it.
fn labels(text: &str) -> (Vec<(String, String)>, &str) {
    let (mut labels, mut rest) = (Vec::new(), text);
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{text}");
        let (mut value, mut characters) = (String::new(), after.char_indices());
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        match after[end + 1..].strip_prefix(',') {
            Some(next) => rest = next,
            None => return (labels, after[end + 1..].strip_prefix("} ").unwrap()),
        }
    }
}

#[tokio::test]
async fn a_scrape_shows_each_machine() {
    let directory = Directory::new();
    let (one, two) = (directory.machine("one"), directory.machine("two"));
    let address = format!("fixed=unix:{}", directory.0.join("absent").display());
    let mut served = Served::start(&[directory.text(), &address]).await;
    one.attended().await;
    two.attended().await;
    let running = "qmp_run_state machine=one state=running";
    until("both states", async || {
        let samples = served.scrape().await;
        samples.contains_key(running)
            && samples.contains_key("qmp_run_state machine=two state=running")
    })
    .await;
    let samples = served.scrape().await;
    for (sample, value) in [
        ("qmp_connected machine=one", 1.0),
        ("qmp_connected machine=fixed", 0.0),
        ("qmp_connections_total machine=one", 1.0),
        ("qmp_connections_total machine=fixed", 0.0),
        ("qmp_calls_total machine=one outcome=refused class=GenericError", 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}: {samples:#?}");
    }
    let succeeded = samples["qmp_calls_total machine=one outcome=succeeded class="];
    assert!(succeeded >= 1.0);
    assert_eq!(samples["qmp_call_duration_seconds_count machine=one"], succeeded);
    assert_eq!(samples["qmp_call_duration_seconds_bucket machine=one le=+Inf"], succeeded);
    assert!(samples["qmp_bytes_total machine=one direction=received"] > 100.0);

    // An event changes the state of this machine at once, and of no other.
    one.execute("stop");
    until("paused", async || served.value("qmp_run_state machine=one state=paused").await == 1.0)
        .await;
    let samples = served.scrape().await;
    assert!(!samples.contains_key(running));
    assert_eq!(samples["qmp_run_state machine=two state=running"], 1.0);
    assert!(samples["qmp_events_total machine=one outcome=received"] >= 1.0);
    assert!(served.program.terminate().await);
}

/// A machine that is started again is another connection, and no counter goes back. One whose socket is
/// removed disappears.
#[tokio::test]
async fn counters_outlast_connections() {
    let directory = Directory::new();
    let machine = directory.machine("vm");
    let served = Served::start(&[directory.text()]).await;
    let (connected, made) = ("qmp_connected machine=vm", "qmp_connections_total machine=vm");
    let calls = "qmp_calls_total machine=vm outcome=succeeded class=";
    until("a call", async || served.value(calls).await >= 3.0).await;
    // More than the next connection makes in the meantime.
    for count in 4..=10 {
        machine.execute(if count % 2 == 0 { "stop" } else { "cont" });
        until("another call", async || served.value(calls).await >= f64::from(count)).await;
    }
    let before = served.scrape().await;
    machine.end().await;
    let machine = directory.machine("vm");
    until("another connection", async || {
        let now = served.scrape().await;
        now.get(made) == Some(&2.0) && now[calls] > before[calls]
    })
    .await;
    let after = served.scrape().await;
    for (name, value) in &before {
        let counts = name.contains("_total") || name.contains("_bucket") || name.contains("_count");
        assert!(!counts || after[name] >= *value, "{name}: {value}, then {}", after[name]);
    }
    machine.end().await;
    until("the end", async || served.value(connected).await.is_nan()).await;
}

/// A file's name is not a line of the reply, nor the end of a label.
#[tokio::test]
async fn hostile_names_are_labels() {
    let directory = Directory::new();
    let name = "a\"} 1\nqmp_connected{host=\"x\",machine=\"b\\";
    let machine = directory.machine(name);
    let served = Served::start(&[directory.text()]).await;
    machine.attended().await;
    let sample = format!("qmp_connected machine={name}");
    until("the machine", async || served.value(&sample).await == 1.0).await;
    let samples = served.scrape().await;
    assert!(samples.keys().all(|key| key.contains(&format!(" machine={name}"))), "{samples:#?}");
}

/// A machine does not decide what its labels are: a state that is not known has one word.
#[tokio::test]
async fn hostile_states_are_one_word() {
    let directory = Directory::new();
    let answer = json!({"status": "x\"} 1\nqmp_connected{machine=\"b", "running": true});
    let listener = UnixListener::bind(directory.0.join("vm.sock")).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            play(stream, &answer, &[]).await;
        }
    });
    let served = Served::start(&[directory.text()]).await;
    let sample = "qmp_run_state machine=vm state=other";
    until("the state", async || served.value(sample).await == 1.0).await;
    let samples = served.scrape().await;
    assert!(samples.keys().all(|key| key.contains(" machine=vm")), "{samples:#?}");
}

/// Neither a machine that does not answer nor a client that does not ask delays a scrape.
#[tokio::test]
async fn nothing_delays_a_scrape() {
    let directory = Directory::new();
    let hangs = UnixListener::bind(directory.0.join("hangs.sock")).unwrap();
    let machine = directory.machine("vm");
    let served = Served::start(&[directory.text()]).await;
    let silent = timeout(PATIENCE, hangs.accept()).await.unwrap().unwrap();
    machine.attended().await;
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(&served.address).await.unwrap();
        stream.write_all(b"GET /metrics HT").await.unwrap();
        slow.push(stream);
    }
    let begin = Instant::now();
    let samples = served.scrape().await;
    // Far less than the ten seconds that a slow client has.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(samples["qmp_connected machine=hangs"], 0.0);
    drop((silent, slow));
}

#[tokio::test]
async fn requests_are_limited() {
    let directory = Directory::new();
    let served = Served::start(&[directory.text()]).await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "404"),
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n".to_owned(), "200"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "405"),
        ("GET /metrics\r\n\r\n".to_owned(), "400"),
        ("\0\r\n\r\n".to_owned(), "400"),
        (format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(9000)), "431"),
    ] {
        let response = served.request(request.as_bytes()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.40}: {response}");
    }
    let head = served.request(b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}
