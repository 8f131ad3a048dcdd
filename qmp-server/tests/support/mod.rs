//! A small server with handwritten commands, and helpers for the tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qmp_server::{Context, Limits, Router, Server};
use qmp_types::{Capability, Command, Empty, Event, Greeting, QmpError, Version, VersionTriple};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Deserialize, Serialize)]
pub(crate) struct QueryName {}

impl Command for QueryName {
    const NAME: &'static str = "query-name";
    type Return = Empty;
}

#[derive(Deserialize, Serialize)]
pub(crate) struct MigratePause {}

impl Command for MigratePause {
    const NAME: &'static str = "migrate-pause";
    type Return = Empty;
}

/// Returns its own arguments.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Echo(pub(crate) Map<String, Value>);

impl Command for Echo {
    const NAME: &'static str = "echo";
    type Return = Map<String, Value>;
}

/// Emits an event with a text of the given length.
#[derive(Deserialize, Serialize)]
pub(crate) struct Emit {
    pub(crate) length: usize,
}

impl Command for Emit {
    const NAME: &'static str = "emit";
    type Return = Empty;
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Quit {}

impl Command for Quit {
    const NAME: &'static str = "quit";
    type Return = Empty;
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Emitted {
    pub(crate) text: String,
}

impl Event for Emitted {
    const NAME: &'static str = "EMITTED";
}

/// An event that is rate-limited because of its name.
#[derive(Deserialize, Serialize)]
pub(crate) struct Watchdog {
    pub(crate) text: String,
}

impl Event for Watchdog {
    const NAME: &'static str = "WATCHDOG";
}

const SCHEMA: &str = r#"[
    {"name": "query-name", "meta-type": "command", "arg-type": "0", "ret-type": "0"},
    {"name": "migrate-pause", "meta-type": "command", "arg-type": "0", "ret-type": "0", "allow-oob": true},
    {"name": "quit", "meta-type": "command", "arg-type": "0", "ret-type": "0"},
    {"name": "0", "meta-type": "object", "members": []}
]"#;

pub(crate) fn router() -> Router<()> {
    Router::new()
        .introspection(SCHEMA)
        .unchecked_command::<Echo>()
        .unchecked_command::<Emit>()
        .command(|_: &mut (), _: QueryName, _: &mut Context| Ok(Empty {}))
        .command(|_: &mut (), _: MigratePause, _: &mut Context| {
            let desc = "migrate-pause is currently only supported during postcopy-active or \
                        postcopy-recover state";
            Err(QmpError::generic(desc))
        })
        .command(|_: &mut (), Echo(arguments), _: &mut Context| Ok(arguments))
        .command(|_: &mut (), Emit { length }, context: &mut Context| {
            context.emit(&Emitted { text: "x".repeat(length) });
            Ok(Empty {})
        })
        .command(|_: &mut (), _: Quit, context: &mut Context| {
            context.end();
            Ok(Empty {})
        })
}

pub(crate) fn greeting() -> Greeting {
    let version = Version::new(VersionTriple::new(11, 1, 0), "test");
    Greeting { version, capabilities: vec![Capability::Oob] }
}

pub(crate) fn server() -> Server<()> {
    server_with(Limits::default())
}

pub(crate) fn server_with(limits: Limits) -> Server<()> {
    let builder = Server::builder(router()).version(greeting().version).limits(limits);
    builder.build(()).unwrap()
}

pub(crate) const NEGOTIATE: &[u8] = b"{'execute': 'qmp_capabilities'}\n";

/// A recorded connection: messages, each with the lines of its replies.
pub(crate) struct Recorded {
    pub(crate) title: String,
    pub(crate) exchanges: Vec<(Vec<u8>, Vec<String>)>,
}

pub(crate) fn recorded(text: &str) -> Vec<Recorded> {
    let mut connections: Vec<Recorded> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            connections.push(Recorded { title: title.to_owned(), exchanges: Vec::new() });
        } else if let Some(sent) = line.strip_prefix("-> ") {
            let connection = connections.last_mut().expect("a title precedes messages");
            connection.exchanges.push((bytes(sent), Vec::new()));
        } else if let Some(reply) = line.strip_prefix("<- ") {
            let exchange = connections.last_mut().and_then(|c| c.exchanges.last_mut());
            exchange.expect("a message precedes replies").1.push(reply.to_owned());
        }
    }
    connections.retain(|connection| !connection.exchanges.is_empty());
    assert!(!connections.is_empty());
    connections
}

fn bytes(escaped: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'\\') => b'\\',
                Some(b'x') => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).unwrap()
                }
                other => panic!("unknown escape sequence {other:?} in {escaped}"),
            },
            plain => plain,
        });
    }
    bytes
}

/// Splits output into lines. Panics unless it is ASCII and every line ends with `\r\n`.
pub(crate) fn lines(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    assert!(text.is_ascii() && (text.is_empty() || text.ends_with("\r\n")), "{text:?}");
    text.split_terminator("\r\n").map(str::to_owned).collect()
}
