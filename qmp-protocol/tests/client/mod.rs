//! A connection without sockets and clocks, and what tests do with it.

#![allow(dead_code)] // each test file uses a part

use std::error::Error as _;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use qmp_protocol::{
    CallId, Connection, Deadline, Error, Incoming, Input, Kind, Settings, Submission,
};

pub const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;
pub const NEGOTIATION: u64 = 100;

/// A connection and its input.
pub struct Client {
    pub connection: Connection,
    pub input: Input,
}

impl Client {
    pub fn new(settings: Settings, greeting: Option<Deadline>) -> Self {
        let connection = Connection::new(settings, greeting);
        let input = connection.new_input();
        Self { connection, input }
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }
}

impl Deref for Client {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Returns the error and its causes as text.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

pub fn connect() -> Client {
    let mut settings = Settings::default();
    settings.negotiation_id = NEGOTIATION;
    Client::new(settings, None)
}

pub fn ready() -> Client {
    let mut client = connect();
    client.receive(GREETING.as_bytes());
    client.receive(b"{\"return\": {}, \"id\": 100}\n");
    assert_eq!(drain(&mut client), ["ready"]);
    take_output(&mut client);
    client
}

pub fn command(name: &'static str, kind: Kind) -> Submission<'static> {
    let mut submission = Submission::new(name);
    submission.kind = kind;
    submission
}

pub fn submit(client: &mut Client, name: &'static str, kind: Kind) -> CallId {
    client.submit(command(name, kind)).unwrap()
}

pub fn take_output(client: &mut Client) -> String {
    let bytes = client.output().to_vec();
    client.sent(bytes.len());
    // A guest agent's delimiter is not UTF-8.
    String::from_utf8(bytes.strip_prefix(&[0xFF]).unwrap_or(&bytes).to_vec()).unwrap()
}

/// Returns the ids of the commands that are to be sent now.
pub fn sent(client: &mut Client) -> Vec<u64> {
    let number = |line: &str| {
        let command: serde_json::Value = serde_json::from_str(line).unwrap();
        command["id"].as_u64().unwrap()
    };
    take_output(client).lines().map(number).collect()
}

pub fn reply(client: &mut Client, id: CallId) {
    client.receive(format!("{{\"return\": {{}}, \"id\": {id}}}\r\n").as_bytes());
}

/// Takes everything that the connection gives out, as text.
pub fn drain(client: &mut Client) -> Vec<String> {
    let mut out = Vec::new();
    let Client { connection, input } = client;
    while let Some(incoming) = connection.next(input) {
        out.push(match incoming {
            Incoming::Greeting | Incoming::Dropped => continue,
            Incoming::Ready => "ready".to_owned(),
            Incoming::Reply { id, result: Ok(value) } => format!("{id} {value}"),
            Incoming::Reply { id, result: Err(error) } => format!("{id} {}", chain(&error)),
            Incoming::Event { name, data, .. } => {
                format!("{name} {}", data.map_or("", |data| data.get()))
            }
            Incoming::Garbage(garbage) => garbage.to_string(),
            other => panic!("{other:?}"),
        });
    }
    out
}

/// Takes the text to be sent to a guest agent, without the delimiters before its messages.
pub fn to_agent(client: &mut Client) -> String {
    let bytes: Vec<u8> = client.output().iter().copied().filter(|byte| *byte != 0xFF).collect();
    let length = client.output().len();
    client.sent(length);
    String::from_utf8(bytes).unwrap()
}

pub fn agent() -> Client {
    let mut settings = Settings::agent();
    settings.negotiation_id = 1;
    let now = Instant::now();
    Client::new(settings, Deadline::after(now, Duration::from_secs(60)))
}
