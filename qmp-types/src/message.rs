//! A message from a server: the envelope around greetings, replies and events.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::decode;
use crate::error::QmpError;
use crate::greeting::Greeting;
use crate::timestamp::Timestamp;

/// A message from a server, with its payload still as text.
///
/// The keys alone decide which kind it is, in one pass and in any order. Unknown keys are skipped.
#[derive(Clone, Debug)]
pub enum ServerMessage<'a> {
    /// The greeting.
    Greeting(Greeting),
    /// A success response.
    Return {
        /// The `id` of the command; absent if the server could not read it.
        id: Option<&'a RawValue>,
        /// The value that the command returns.
        value: &'a RawValue,
    },
    /// An error response.
    Error {
        /// The `id` of the command; absent if the server could not read it.
        id: Option<&'a RawValue>,
        /// The error.
        error: QmpError,
    },
    /// An event.
    Event {
        /// The name.
        name: String,
        /// The data, if the event has any.
        data: Option<&'a RawValue>,
        /// The time of the event.
        timestamp: Timestamp,
    },
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = ServerMessage<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message of a QMP server")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut greeting, mut value, mut error, mut event) = (None, None, None, None);
        let (mut id, mut data, mut timestamp) = (None, None, Timestamp::UNKNOWN);
        while let Some(key) = map.next_key::<MessageKey>()? {
            match key {
                MessageKey::Qmp => greeting = Some(greeting_in(map.next_value()?)),
                MessageKey::Return => value = Some(map.next_value()?),
                MessageKey::Error => error = Some(error_in(map.next_value()?)),
                MessageKey::Event => event = Some(map.next_value()?),
                MessageKey::Id => id = Some(map.next_value()?),
                MessageKey::Data => data = Some(map.next_value()?),
                MessageKey::Timestamp => timestamp = timestamp_in(map.next_value()?),
                MessageKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (value, error, event, greeting) {
            (Some(value), None, None, None) => Ok(ServerMessage::Return { id, value }),
            (None, Some(error), None, None) => Ok(ServerMessage::Error { id, error }),
            (None, None, Some(name), None) => Ok(ServerMessage::Event { name, data, timestamp }),
            (None, None, None, Some(greeting)) => Ok(ServerMessage::Greeting(greeting)),
            (None, None, None, None) => Err(A::Error::custom(
                "the message has none of the keys `return`, `error`, `event` and `QMP`",
            )),
            _ => Err(A::Error::custom(
                "the message has more than one of the keys `return`, `error`, `event` and `QMP`",
            )),
        }
    }
}

/// Reads a greeting, even one with something that is nested too deep.
fn greeting_in(value: &RawValue) -> Greeting {
    decode(value.get()).unwrap_or_default()
}

/// Reads an error, even one with something that is nested too deep.
fn error_in(value: &RawValue) -> QmpError {
    decode(value.get()).unwrap_or_else(|_| QmpError::undecoded(value.get()))
}

/// Reads a timestamp, even one with a number that is too large for any type.
fn timestamp_in(value: &RawValue) -> Timestamp {
    decode(value.get()).unwrap_or(Timestamp::UNKNOWN)
}

impl<'de: 'a, 'a> Deserialize<'de> for ServerMessage<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

enum MessageKey {
    Qmp,
    Return,
    Error,
    Event,
    Id,
    Data,
    Timestamp,
    Other,
}

struct MessageKeyVisitor;

impl Visitor<'_> for MessageKeyVisitor {
    type Value = MessageKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of a message")
    }

    fn visit_str<E>(self, key: &str) -> Result<MessageKey, E> {
        Ok(match key {
            "QMP" => MessageKey::Qmp,
            "return" => MessageKey::Return,
            "error" => MessageKey::Error,
            "event" => MessageKey::Event,
            "id" => MessageKey::Id,
            "data" => MessageKey::Data,
            "timestamp" => MessageKey::Timestamp,
            _ => MessageKey::Other,
        })
    }
}

impl<'de> Deserialize<'de> for MessageKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(MessageKeyVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_any_order() {
        let text = r#"{"data": {"action": "reset"}, "timestamp": {"microseconds": 2, "seconds": 1}, "event": "WATCHDOG", "new": []}"#;
        let ServerMessage::Event { name, data, timestamp } = decode(text).unwrap() else {
            panic!("{text}");
        };
        assert_eq!((name.as_str(), data.unwrap().get()), ("WATCHDOG", r#"{"action": "reset"}"#));
        assert_eq!(timestamp, Timestamp { seconds: 1, microseconds: 2 });
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["{}", "[]", "1", r#"{"return": {}, "event": "X"}"#] {
            assert!(decode::<ServerMessage<'_>>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_is_any_value() {
        for id in ["7", "-1.5", "1e999", r#""x""#, "null", "true", "[1]", r#"{"a": {}}"#] {
            for reply in [r#""return": {}"#, r#""error": {"desc": "no"}"#] {
                let text = format!(r#"{{{reply}, "id": {id}}}"#);
                let (ServerMessage::Return { id: decoded, .. }
                | ServerMessage::Error { id: decoded, .. }) = decode(&text).unwrap()
                else {
                    panic!("{text}");
                };
                assert_eq!(decoded.unwrap().get(), id);
            }
        }
    }
}
