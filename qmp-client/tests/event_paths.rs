//! Events take several ways: a lone reader of the blocking client decodes them where they arrive, in one
//! pass, and all others have them from a queue. What comes out must be the same in every case, for every
//! event of the vocabulary, in whatever form it arrives.

#![cfg(all(unix, feature = "blocking", feature = "qmp"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // tests

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmp_client::blocking::{Client, Events};
use qmp_client::protocol::Descriptor;
use qmp_client::qmp::{AnyEvent, INTROSPECTION, events::BlockJobCompleted};
use qmp_client::transport::Transport;
use qmp_client::{Error, Options};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

const COMPLETED: &str =
    r#"{"type": "mirror", "device": "a", "len": 1, "offset": 10737418240, "speed": 0}"#;
const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

/// A peer that sends everything in pieces of a certain size.
#[derive(Clone, Debug)]
struct Script {
    piece: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    received: Vec<u8>,
    to_send: VecDeque<u8>,
    /// Whether the peer sends nothing more and has closed the connection.
    is_closed: bool,
}

impl Script {
    fn connect(piece: usize, options: &Options) -> (Client, Self) {
        let to_send = GREETING.bytes().collect();
        let state = Arc::new(Mutex::new(State { to_send, ..State::default() }));
        let script = Self { piece, state };
        (Client::over(script.clone(), options).unwrap(), script)
    }

    /// Sends these messages, and closes the connection.
    fn send(&self, messages: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.to_send.extend(messages);
        state.is_closed = true;
    }
}

impl Transport for Script {
    fn read(&self, buffer: &mut [u8], _: Option<Duration>) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        let count = buffer.len().min(self.piece).min(state.to_send.len());
        for (place, byte) in buffer.iter_mut().zip(state.to_send.drain(..count)) {
            *place = byte;
        }
        match count {
            0 if !state.is_closed => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(count),
        }
    }

    fn write(&self, bytes: &[u8], _: &[Descriptor], _: Option<Duration>) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        state.received.extend(bytes);
        if state.received.ends_with(b"\n") {
            let command: Value = serde_json::from_slice(&state.received).unwrap();
            state.received.clear();
            let reply = json!({"return": {}, "id": command["id"]});
            state.to_send.extend(format!("{reply}\r\n").bytes());
        }
        Ok(bytes.len())
    }

    fn close(&self) {}
}

/// The items of a subscription, and the statistics of its connection.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    items: Vec<String>,
    arrived: u64,
    delivered: u64,
    lagged: u64,
    garbage: u64,
}

/// Gives messages to a client, in pieces of a certain size. `subscribe` returns the subscription and
/// whatever shall exist beside it.
fn outcome<T: std::fmt::Debug, B>(
    messages: &[u8],
    piece: usize,
    capacity: usize,
    subscribe: impl FnOnce(&Client) -> (Events<T>, B),
) -> Outcome {
    outcome_with(messages, piece, &Options::new().event_capacity(capacity), subscribe)
}

fn outcome_with<T: std::fmt::Debug, B>(
    messages: &[u8],
    piece: usize,
    options: &Options,
    subscribe: impl FnOnce(&Client) -> (Events<T>, B),
) -> Outcome {
    let (client, script) = Script::connect(piece, options);
    let (events, _beside) = subscribe(&client);
    script.send(messages);
    let items = events.map(|item| match item {
        Ok(event) => format!("{event:?}"),
        Err(error) => error.report(),
    });
    let items = items.collect();
    let stats = client.stats();
    Outcome {
        items,
        arrived: stats.events.received,
        delivered: stats.events.delivered,
        lagged: stats.events.lagged,
        garbage: stats.dropped.garbage,
    }
}

/// Gives messages to clients, and compares: the subscription is alone, then it has a predicate while a
/// transcript is made, for which each message is read on its own, and then another one exists.
fn compare(messages: &[u8], piece: usize, capacity: usize) -> Outcome {
    let shown = || String::from_utf8_lossy(messages);
    let direct = outcome(messages, piece, capacity, |vm| (vm.events::<AnyEvent>(), ()));
    let filtered = |vm: &Client| (vm.events::<AnyEvent>().matching(|_| true), ());
    let recorded = Options::new().event_capacity(capacity).transcript(|_, _: &str| {});
    assert_eq!(direct, outcome_with(messages, piece, &recorded, filtered), "{}", shown());
    let beside = |vm: &Client| (vm.events::<AnyEvent>(), vm.raw_events());
    let queued = outcome(messages, piece, capacity, beside);
    // The other subscription takes nothing, and drops more.
    let Outcome { delivered, lagged, .. } = direct;
    assert_eq!(direct, Outcome { delivered, lagged, ..queued }, "{}", shown());

    // One type alone: others are skipped by their name.
    let one = outcome(messages, piece, capacity, |vm| (vm.events_of::<BlockJobCompleted>(), ()));
    let beside = |vm: &Client| (vm.events_of::<BlockJobCompleted>(), vm.raw_events());
    let queued = outcome(messages, piece, capacity, beside);
    let Outcome { delivered, lagged, .. } = one;
    assert_eq!(one, Outcome { delivered, lagged, ..queued }, "{}", shown());
    direct
}

/// A schema, as introspection describes it.
struct Schema(BTreeMap<String, Value>);

impl Schema {
    fn new() -> Self {
        let entries: Vec<Value> = serde_json::from_str(INTROSPECTION).unwrap();
        let named = |entry: Value| (entry["name"].as_str().unwrap().to_owned(), entry);
        Self(entries.into_iter().map(named).collect())
    }

    /// Returns each event with an example of its data, which has everything that is optional or nothing.
    fn events(&self, optional: bool) -> Vec<(&str, Value)> {
        let events = self.0.iter().filter(|(_, entry)| entry["meta-type"] == "event");
        events
            .map(|(name, entry)| {
                (&**name, self.example(entry["arg-type"].as_str().unwrap(), optional, 0))
            })
            .collect()
    }

    fn example(&self, name: &str, optional: bool, depth: u8) -> Value {
        let entry = &self.0[name];
        let example = |name: &Value| self.example(name.as_str().unwrap(), optional, depth + 1);
        match entry["meta-type"].as_str().unwrap() {
            "builtin" => match entry["json-type"].as_str().unwrap() {
                "string" => "a \u{e9} b".into(),
                "int" => 42.into(),
                "number" => json!(1.5),
                "boolean" => true.into(),
                "value" => json!({"x": [1, null]}),
                _ => Value::Null,
            },
            "enum" => entry["members"][0]["name"].clone(),
            "array" if depth > 4 => json!([]),
            "array" => json!([example(&entry["element-type"])]),
            "alternate" => example(&entry["members"][0]["type"]),
            "object" => {
                let mut object = serde_json::Map::new();
                let mut add = |entry: &Value| {
                    for member in entry["members"].as_array().unwrap() {
                        let wanted = optional && depth < 4;
                        if wanted || member.get("default").is_none() {
                            let name = member["name"].as_str().unwrap();
                            object.insert(name.into(), example(&member["type"]));
                        }
                    }
                };
                add(entry);
                let branches = entry["variants"].as_array().cloned().unwrap_or_default();
                if let Some(branch) = branches.first() {
                    add(&self.0[branch["type"].as_str().unwrap()]);
                    let tag = entry["tag"].as_str().unwrap();
                    object.insert(tag.into(), branch["case"].clone());
                }
                object.into()
            }
            other => panic!("{other}"),
        }
    }
}

/// Writes a value with the spaces that QEMU writes.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| format!("\"{name}\": {}", spaced(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Writes an event as QEMU does.
fn line(name: &str, data: &str) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": 1267020223, \"microseconds\": 435656}}, \
         \"event\": \"{name}\", \"data\": {data}}}"
    )
}

/// Writes an event in many forms, most of which are valid.
fn forms(name: &str, data: &Value) -> Vec<String> {
    let text = spaced(data);
    let usual = line(name, &text);
    let time = r#""timestamp": {"seconds": 7, "microseconds": 8}"#;
    let (event, member) = (format!("\"event\": \"{name}\""), format!("\"data\": {text}"));
    let parts = [time, &event, &member];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut forms: Vec<String> = orders
        .iter()
        .map(|order| format!("{{{}, {}, {}}}", parts[order[0]], parts[order[1]], parts[order[2]]))
        .collect();
    let value: Value = serde_json::from_str(&usual).unwrap();
    forms.push(value.to_string());
    forms.push(serde_json::to_string_pretty(&value).unwrap());
    forms.push(serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n"));
    // Members that are unknown, missing, of another type, or repeated.
    for extra in [r#""new": {"a": [1e5, "\u00e9"]}, "#, r#""new": -, "#, r#""new": 01, "#, "1"] {
        forms.push(line(name, &text.replacen('{', &format!("{{{extra}"), 1)));
    }
    let members = data.as_object().unwrap();
    for member in members.keys() {
        let mut other = members.clone();
        other.remove(member);
        forms.push(line(name, &spaced(&other.clone().into())));
        for value in [json!(null), json!(-1), json!("?"), json!([[]]), json!({}), json!(1e300)] {
            other.insert(member.clone(), value);
            forms.push(line(name, &spaced(&other.clone().into())));
        }
        let again = format!(", \"{member}\": {}}}", spaced(&members[member]));
        forms.push(line(name, &format!("{}{again}", text.strip_suffix('}').unwrap())));
        let escaped = text.replacen('"', "\"\\u0061", 1);
        forms.push(line(name, &escaped));
    }
    let body = usual.strip_suffix('}').unwrap();
    for end in [
        "",
        " }",
        ", \"data\": {}}",
        ", \"event\": \"STOP\"}",
        ", \"id\": 7}",
        ", \"return\": {}}",
        ", \"x\": 1}",
        "}}",
        "]",
        "}x",
    ] {
        forms.push(format!("{body}{end}"));
    }
    for data in ["null", "[]", "7", "\"x\"", "{}", "{", "{\"x\"}", "{,}", "{ }", " {}"] {
        forms.push(line(name, data));
    }
    forms.push(format!("{{{time}, {event}}}"));
    forms.push(format!("{{{time}, {event}, \"data\":{text}}}"));
    forms.push(usual.replace("1267020223", "-1"));
    forms.push(usual.replace("1267020223", "01"));
    forms.push(usual.replace("435656", "4.5"));
    forms.push(usual.replace(name, &format!("{name}_"))); // not in the vocabulary
    forms.push(usual.replace(name, "É"));
    forms
}

#[test]
fn every_event_in_every_form() {
    let schema = Schema::new();
    let (mut lines, mut names) = (String::new(), 0);
    for optional in [true, false] {
        for (name, data) in schema.events(optional) {
            names += 1;
            for form in forms(name, &data) {
                lines += &form;
                lines += if lines.len() % 2 == 0 { "\r\n" } else { "\n" };
            }
        }
    }
    assert!(names > 100, "{names}");
    let all = compare(lines.as_bytes(), usize::MAX, usize::MAX);
    assert!(all.arrived > 5000 && all.garbage > 1000, "{} {}", all.arrived, all.garbage);
    assert_eq!(compare(lines.as_bytes(), 1000, usize::MAX), all);
    let few: String = lines.split_inclusive('\n').step_by(101).collect();
    assert_eq!(compare(few.as_bytes(), 1, usize::MAX), compare(few.as_bytes(), 7, usize::MAX));
}

/// Each event of the vocabulary is read in one pass, in the form that QEMU writes.
#[test]
fn usual_events_are_decoded() {
    for optional in [true, false] {
        for (name, data) in Schema::new().events(optional) {
            let (text, name) = (spaced(&data), name.to_owned());
            let found = <AnyEvent as qmp_types::Vocabulary>::decode_beginning(&name, &text);
            assert!(matches!(found, Some((_, length)) if length == text.len()), "{name} {text}");
            let longer = format!("{text}}}\r\n{}", line(&name, &text));
            let found = <AnyEvent as qmp_types::Vocabulary>::decode_beginning(&name, &longer);
            assert!(matches!(found, Some((_, length)) if length == text.len()), "{name} {text}");
        }
    }
}

/// The peer stops, or goes on with something else, after each byte of an event.
#[test]
fn an_event_is_cut_at_each_byte() {
    let schema = Schema::new();
    let stop = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#;
    let mut lines = Vec::new();
    for (name, data) in schema.events(false) {
        let usual = line(name, &spaced(&data));
        for end in (0..usual.len()).filter(|end| usual.is_char_boundary(*end)) {
            lines.extend(format!("{}\r\n{stop}\r\n", &usual[..end]).bytes());
        }
    }
    compare(&lines, usize::MAX, usize::MAX);

    let usual = line("BLOCK_JOB_COMPLETED", COMPLETED);
    let mut damaged = Vec::new();
    for end in 0..usual.len() {
        for other in [&b"\""[..], b"{", b"}", b"\\", b"\n", b",", b" ", b"0", b"\xFF", b""] {
            let mut line = usual.clone().into_bytes();
            line.splice(end..=end, other.iter().copied());
            damaged.extend(line);
            damaged.extend(format!("\r\n{stop}\r\n{stop}\r\n").bytes());
        }
        if end % 10 == 0 {
            let text = format!("{stop}\r\n{stop}\n{}", usual.get(..end).unwrap_or_default());
            assert_eq!(compare(text.as_bytes(), usize::MAX, usize::MAX).arrived, 2);
        }
    }
    let outcome = compare(&damaged, usize::MAX, usize::MAX);
    assert!(outcome.arrived > 4000 && outcome.garbage > 1000, "{outcome:?}");
}

/// Replies, garbage and other events come between events; limits drop the same ones.
#[test]
fn limits_and_other_messages() {
    let schema = Schema::new();
    let events = schema.events(true);
    let mut lines = Vec::new();
    for round in 0..600 {
        let (name, data) = &events[round * 7 % events.len()];
        lines.extend(format!("{}\r\n", line(name, &spaced(data))).bytes());
        match round % 50 {
            0 => lines.extend(b"{\"return\": {}, \"id\": \"foreign\"}\r\n"),
            10 => lines.extend(b"garbage\n"),
            20 => lines.extend(b"\xff\xfe \xc2\xa0"),
            30 => lines.extend(b"{\"event\": \"NEW\", \"data\": {\"x\": [1]}}\n"),
            40 => lines.extend(format!("{}\r\n", line("NEW", &"[".repeat(200))).bytes()),
            _ => {}
        }
    }
    for capacity in [0, 1, 3, 50, 1024] {
        for piece in [100, 3000, usize::MAX] {
            let outcome = compare(&lines, piece, capacity);
            match capacity {
                0 => assert_eq!(outcome.lagged, outcome.arrived),
                1024 => assert_eq!(outcome.lagged, 0),
                _ => assert!(outcome.lagged > 0 || piece < usize::MAX, "{capacity} {piece}"),
            }
        }
    }
    let end = compare(&lines, usize::MAX, 1024).items.pop().unwrap();
    assert!(end.contains("closed"), "{end}");
}

/// A block job whose device may be anything: an error in it is ignored.
#[derive(Debug, Deserialize, Serialize)]
struct Tolerant {
    #[serde(deserialize_with = "tolerant")]
    device: Option<Device>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Device {
    number: u8,
}

impl qmp_types::Event for Tolerant {
    const NAME: &'static str = "TOLERANT";
}

fn tolerant<'de, D: Deserializer<'de>>(device: D) -> Result<Option<Device>, D::Error> {
    Ok(Device::deserialize(device).ok())
}

/// The end of an event was sought inside a member whose error its type ignored, and the rest was garbage.
#[test]
fn ignored_errors_do_not_shift_the_end_of_an_event() {
    let mut lines = String::new();
    for device in ["{\"number\": 3}", "{\"number\": 300}", "7", "[7]", "{\"number\": 4}"] {
        lines += &line("TOLERANT", &format!("{{\"device\": {device}}}"));
        lines += "\r\n";
    }
    let direct = outcome(lines.as_bytes(), usize::MAX, 9, |vm| (vm.events_of::<Tolerant>(), ()));
    assert_eq!((direct.arrived, direct.garbage), (5, 0), "{direct:?}");
    let beside = |vm: &Client| (vm.events_of::<Tolerant>(), vm.raw_events());
    let queued = outcome(lines.as_bytes(), usize::MAX, 9, beside);
    assert_eq!(direct.items, queued.items);
    assert_eq!((queued.arrived, queued.garbage), (5, 0));
}

/// A deadline leaves the subscription as it is, and the next events are found.
#[test]
fn what_was_decoded_stays_with_the_subscription() {
    let usual = line("BLOCK_JOB_COMPLETED", COMPLETED);
    let lines = format!("{usual}\r\n").repeat(10);
    let (client, script) = Script::connect(usize::MAX, &Options::new());
    let mut events = client.events::<AnyEvent>();
    script.send(lines.as_bytes());
    assert!(events.next_within(Duration::ZERO).unwrap().is_ok());
    // What is decoded already is tested as well.
    let mut odd = false;
    let events = events.matching(move |_| {
        odd = !odd;
        odd
    });
    let rest: Vec<_> = events.collect();
    assert_eq!(rest.iter().filter(|item| item.is_ok()).count(), 5);
    assert!(matches!(rest.last(), Some(Err(Error::Closed(_)))));
}

/// The asynchronous client decodes what its driver has queued.
#[cfg(feature = "tokio")]
#[test]
fn both_clients_give_the_same() {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;

    let schema = Schema::new();
    let events = schema.events(true);
    let lines: Vec<String> =
        events.iter().flat_map(|(name, data)| forms(name, data)).step_by(3).collect();
    let lines = lines.join("\r\n") + "\r\n";
    let expected =
        outcome(lines.as_bytes(), usize::MAX, usize::MAX, |vm| (vm.events::<AnyEvent>(), ()));

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (subscribed, begin) = std::sync::mpsc::channel();
    let peer = std::thread::spawn(move || {
        theirs.write_all(GREETING.as_bytes()).unwrap();
        let mut command = String::new();
        BufReader::new(&theirs).read_line(&mut command).unwrap();
        let command: Value = serde_json::from_str(&command).unwrap();
        writeln!(theirs, "{}", json!({"return": {}, "id": command["id"]})).unwrap();
        begin.recv().unwrap();
        theirs.write_all(lines.as_bytes()).unwrap();
    });
    ours.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let items = runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        let options = Options::new().event_capacity(usize::MAX);
        let client = qmp_client::Client::over(stream, &options).await.unwrap();
        let mut events = client.events::<AnyEvent>();
        subscribed.send(()).unwrap();
        let mut items = Vec::new();
        while let Some(item) = events.next().await {
            items.push(match item {
                Ok(event) => format!("{event:?}"),
                Err(error) => error.report(),
            });
        }
        items
    });
    peer.join().unwrap();
    assert_eq!(items, expected.items);
    assert!(items.len() > 500, "{}", items.len());
}
