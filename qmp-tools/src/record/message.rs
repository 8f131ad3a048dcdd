//! The kinds of messages in recordings.
//!
//! A recording may come from anywhere. Reading it takes memory in proportion to its longest line: the
//! parts of a message are borrowed from its text, and names are cut. What has to be kept from a command
//! to its reply is in [`Waiting`], which is bounded.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;

use qmp_client::recording::Direction;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest name that is kept, in bytes. Those of schemas have up to 40.
const MAX_NAME: usize = 256;

/// The greatest number of commands that wait for their replies.
const MAX_WAITING: usize = 1 << 16;

/// A message by its kind.
#[derive(Debug)]
pub(crate) enum Message<'m> {
    Greeting(&'m RawValue),
    Command {
        name: String,
        out_of_band: bool,
        arguments: Option<&'m RawValue>,
        id: Option<&'m RawValue>,
    },
    Reply {
        value: &'m RawValue,
        id: Option<&'m RawValue>,
    },
    Error {
        error: &'m RawValue,
        id: Option<&'m RawValue>,
    },
    Event {
        name: String,
        data: Option<&'m RawValue>,
    },
    Other,
}

impl<'m> Message<'m> {
    pub(crate) fn read(direction: Direction, message: &'m RawValue) -> Self {
        let Ok(members) = serde_json::from_str::<Members<'m>>(message.get()) else {
            return Self::Other;
        };
        let Members { id, .. } = members;
        if direction == Direction::Sent {
            let out_of_band = members.execute.is_none();
            let name = members.execute.or(members.exec_oob).and_then(name);
            let arguments = members.arguments;
            return match name {
                Some(name) => Self::Command { name, out_of_band, arguments, id },
                None => Self::Other,
            };
        }
        if let Some(greeting) = members.greeting {
            return Self::Greeting(greeting);
        }
        if let Some(event) = members.event {
            let data = members.data;
            return name(event).map_or(Self::Other, |name| Self::Event { name, data });
        }
        match (members.error, members.value) {
            (Some(error), _) => Self::Error { error, id },
            (None, Some(value)) => Self::Reply { value, id },
            (None, None) => Self::Other,
        }
    }
}

/// Decodes a part of a message, within a limit of memory. A missing part is an empty object.
pub(crate) fn decode(part: Option<&RawValue>) -> Result<Value, qmp_types::DecodeError> {
    part.map_or_else(
        || Ok(Value::Object(serde_json::Map::new())),
        |part| qmp_types::decode(part.get()),
    )
}

/// Returns a name that is a string; the end of a very long one is cut off.
fn name(name: &RawValue) -> Option<String> {
    let name: Cow<'_, str> = serde_json::from_str(name.get()).ok()?;
    if name.len() <= MAX_NAME {
        return Some(name.into_owned());
    }
    let end = (0..=MAX_NAME).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    Some(format!("{}...", &name[..end]))
}

/// The members that messages have. Unlike in a map, others take no memory.
#[derive(Default)]
struct Members<'m> {
    arguments: Option<&'m RawValue>,
    data: Option<&'m RawValue>,
    error: Option<&'m RawValue>,
    event: Option<&'m RawValue>,
    exec_oob: Option<&'m RawValue>,
    execute: Option<&'m RawValue>,
    greeting: Option<&'m RawValue>,
    id: Option<&'m RawValue>,
    value: Option<&'m RawValue>,
}

impl<'m> Deserialize<'m> for Members<'m> {
    fn deserialize<D: Deserializer<'m>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'m> Visitor<'m> for MembersVisitor {
    type Value = Members<'m>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'m>>(self, mut map: A) -> Result<Members<'m>, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            let member = match &*name {
                "arguments" => &mut members.arguments,
                "data" => &mut members.data,
                "error" => &mut members.error,
                "event" => &mut members.event,
                "exec-oob" => &mut members.exec_oob,
                "execute" => &mut members.execute,
                "QMP" => &mut members.greeting,
                "id" => &mut members.id,
                "return" => &mut members.value,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *member = Some(map.next_value()?);
        }
        Ok(members)
    }
}

/// Commands that wait for their replies: by connection and id, in order. Commands beyond a limit are
/// not kept, and their replies are not recognized.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    /// Ids can be long: their hashes are kept.
    commands: HashMap<u64, VecDeque<T>>,
    hasher: RandomState,
    count: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { commands: HashMap::new(), hasher: RandomState::new(), count: 0 }
    }
}

impl<T> Waiting<T> {
    fn key(&self, monitor: &str, id: Option<&RawValue>) -> u64 {
        // Ids are equal if their texts are, without the whitespace that `RawValue` keeps within.
        let id = id.map(|id| compact(id.get()).collect::<String>());
        self.hasher.hash_one((monitor, id))
    }

    /// Returns the command if it is not kept.
    pub(crate) fn sent(&mut self, monitor: &str, id: Option<&RawValue>, command: T) -> Option<T> {
        if self.count == MAX_WAITING {
            return Some(command);
        }
        self.count += 1;
        let key = self.key(monitor, id);
        self.commands.entry(key).or_default().push_back(command);
        None
    }

    pub(crate) fn replied(&mut self, monitor: &str, id: Option<&RawValue>) -> Option<T> {
        let key = self.key(monitor, id);
        let queue = self.commands.get_mut(&key)?;
        let command = queue.pop_front()?;
        self.count -= 1;
        if queue.is_empty() {
            self.commands.remove(&key);
        }
        Some(command)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns the commands that were not answered, in no order.
    pub(crate) fn into_rest(self) -> impl Iterator<Item = T> {
        self.commands.into_values().flatten()
    }
}

/// Returns the characters of JSON text without the whitespace between tokens.
pub(crate) fn compact(json: &str) -> impl Iterator<Item = char> + '_ {
    let (mut in_string, mut after_backslash) = (false, false);
    json.chars().filter(move |character| {
        in_string ^= *character == '"' && !after_backslash;
        after_backslash = in_string && *character == '\\' && !after_backslash;
        in_string || !character.is_ascii_whitespace()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn messages_are_told_apart() {
        for (direction, text, expected) in [
            (Direction::Sent, r#"{"execute": "stop", "id": 1}"#, "Command"),
            (Direction::Sent, r#"{"exec-oob": "st\u006fp"}"#, "Command"),
            (Direction::Sent, r#"{"execute": 1}"#, "Other"),
            (Direction::Received, r#"{"QMP": {}}"#, "Greeting"),
            (Direction::Received, r#"{"x": [{}], "event": "STOP"}"#, "Event"),
            (Direction::Received, r#"{"return": {}, "id": [1, 2]}"#, "Reply"),
            (Direction::Received, r#"{"error": {}}"#, "Error"),
            (Direction::Received, r#"{}"#, "Other"),
        ] {
            let message = raw(text);
            let kind = format!("{:?}", Message::read(direction, &message));
            assert!(kind.starts_with(expected), "{text}: {kind}");
        }
    }

    #[test]
    fn a_reply_belongs_to_the_command_with_its_id() {
        let mut waiting = Waiting::default();
        let (one, other) = (raw("[1, \"a b\"]"), raw("[1,\"a b\"]"));
        assert_eq!(waiting.sent("vm", Some(&one), 1), None);
        assert_eq!(waiting.sent("vm", None, 2), None);
        assert_eq!(waiting.replied("other", None), None);
        assert_eq!(waiting.replied("vm", Some(&other)), Some(1));
        assert_eq!((waiting.len(), waiting.into_rest().next()), (1, Some(2)));
    }

    #[test]
    fn long_names_are_cut() {
        let long = format!("{{\"execute\": \"{}\"}}", "\u{e9}".repeat(1 << 20));
        let message = raw(&long);
        let Message::Command { name, .. } = Message::read(Direction::Sent, &message) else {
            unreachable!()
        };
        assert!(name.len() < 300 && name.ends_with("\u{e9}..."), "{name}");
    }
}
