//! Recorded sessions.

use std::io::BufReader;

use qmp_client::recording::{Content, Direction, Reader};
use qmp_client::{Dialect, Options, Raw};
use serde_json::Value;
use serde_json::value::RawValue;

/// A recorded session: commands, with what the server sent for each.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its name.
    pub name: &'static str,
    /// Whether the server is a guest agent. Commands for one have no ids.
    pub is_agent: bool,
    pub(crate) greeting: Option<String>,
    pub(crate) steps: Vec<Step>,
    /// The events after the last reply.
    pub(crate) last_events: Vec<String>,
}

/// A command and what was sent for it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) arguments: Option<Box<RawValue>>,
    /// The events before the reply.
    pub(crate) events: Vec<String>,
    pub(crate) reply: Reply,
}

/// A reply, without its id.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Return(Box<RawValue>),
    Error(Box<RawValue>),
}

impl Reply {
    /// Returns the value of the reply.
    pub(crate) fn value(&self) -> Value {
        let (Self::Return(text) | Self::Error(text)) = self;
        serde_json::from_str(text.get()).unwrap_or_default()
    }

    /// Returns the text of the message with this id.
    pub(crate) fn message(&self, id: Option<&Value>) -> String {
        let (key, text) = match self {
            Self::Return(text) => ("return", text),
            Self::Error(text) => ("error", text),
        };
        // As QEMU writes it.
        match id {
            Some(id) => format!("{{\"{key}\": {text}, \"id\": {id}}}"),
            None => format!("{{\"{key}\": {text}}}"),
        }
    }
}

impl Step {
    /// Returns the command.
    pub(crate) fn request(&self) -> Raw {
        let request = Raw::new(self.name.clone());
        match &self.arguments {
            Some(arguments) => request.arguments(arguments),
            None => request,
        }
    }
}

impl Session {
    /// Returns the sessions that are kept beside this crate, of QEMU 11.1, its storage daemon and its
    /// guest agent.
    ///
    /// # Panics
    /// If one of them is damaged.
    #[must_use]
    pub fn recorded() -> Vec<Self> {
        let monitor = Self::parse("monitor", include_str!("../../sessions/monitor.jsonl"));
        let storage = include_str!("../../sessions/storage-daemon.jsonl");
        let storage = Self::parse("storage daemon", storage);
        let agent = Self::parse("agent", include_str!("../../sessions/agent.jsonl"));
        vec![monitor, storage, agent]
    }

    fn parse(name: &'static str, recording: &str) -> Self {
        let reader = Reader::new(BufReader::new(recording.as_bytes())).expect("a recording");
        let (mut steps, mut events, mut open) = (Vec::new(), Vec::new(), Vec::new());
        let mut greeting = None;
        for entry in reader {
            let entry = entry.expect("a recording");
            let Content::Message(text) = entry.content else { continue };
            let message: Value = serde_json::from_str(text.get()).expect("a message");
            let part = |key: &str| -> Option<Box<RawValue>> {
                let members: std::collections::BTreeMap<String, Box<RawValue>> =
                    serde_json::from_str(text.get()).ok()?;
                members.get(key).cloned()
            };
            match entry.direction {
                Direction::Sent => {
                    let command = message["execute"].as_str().unwrap_or_default().to_owned();
                    open.push((message["id"].clone(), command, part("arguments")));
                }
                Direction::Received if message.get("QMP").is_some() => {
                    greeting = Some(text.get().to_owned());
                }
                Direction::Received if message.get("event").is_some() => {
                    events.push(text.get().to_owned());
                }
                Direction::Received => {
                    let (_, name, arguments) = open.remove(0);
                    if matches!(&*name, "qmp_capabilities" | "guest-sync-delimited") {
                        continue;
                    }
                    let reply = match part("return") {
                        // An empty value could be anyone's.
                        Some(value) if value.get() == "{}" => {
                            let marked = format!("{{\"step\": {}}}", steps.len());
                            Reply::Return(RawValue::from_string(marked).expect("JSON"))
                        }
                        Some(value) => Reply::Return(value),
                        None => Reply::Error(part("error").expect("a reply")),
                    };
                    steps.push(Step {
                        name,
                        arguments,
                        events: std::mem::take(&mut events),
                        reply,
                    });
                }
            }
        }
        let is_agent = greeting.is_none();
        Self { name, is_agent, greeting, steps, last_events: events }
    }

    /// Returns the options for a client of this server.
    pub(crate) fn options(&self) -> Options {
        match self.is_agent {
            true => Options::new().dialect(Dialect::Agent),
            false => Options::new(),
        }
    }
}
