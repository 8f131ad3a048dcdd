//! A message from a server: the envelope around greetings, replies and events.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::borrowed::Borrowed;
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
        // As texts: wherever an error occurs, little has to be dropped.
        let mut greeting: Option<&RawValue> = None;
        let mut error: Option<&RawValue> = None;
        let mut timestamp: Option<&RawValue> = None;
        let (mut value, mut event, mut id, mut data) = (None, None, None, None);
        while let Some(key) = map.next_key::<MessageKey>()? {
            match key {
                MessageKey::Qmp => greeting = Some(map.next_value()?),
                MessageKey::Return => value = Some(map.next_value()?),
                MessageKey::Error => error = Some(map.next_value()?),
                MessageKey::Event => event = Some(map.next_value::<Borrowed<'de>>()?),
                MessageKey::Id => id = Some(map.next_value()?),
                MessageKey::Data => data = Some(map.next_value()?),
                MessageKey::Timestamp => timestamp = Some(map.next_value()?),
                MessageKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (value, error, event, greeting) {
            (Some(value), None, None, None) => Ok(ServerMessage::Return { id, value }),
            (None, Some(error), None, None) => {
                Ok(ServerMessage::Error { id, error: QmpError::from_text(error.get()) })
            }
            (None, None, Some(Borrowed(name)), None) => {
                let name = name.into_owned();
                let timestamp = timestamp.map(|text| Timestamp::from_text(text.get()));
                let timestamp = timestamp.unwrap_or(Timestamp::UNKNOWN);
                Ok(ServerMessage::Event { name, data, timestamp })
            }
            (None, None, None, Some(greeting)) => {
                Ok(ServerMessage::Greeting(Greeting::from_text(greeting.get())))
            }
            (None, None, None, None) => Err(A::Error::custom(
                "the message has none of the keys `return`, `error`, `event` and `QMP`",
            )),
            _ => Err(A::Error::custom(
                "the message has more than one of the keys `return`, `error`, `event` and `QMP`",
            )),
        }
    }
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
    use crate::{ErrorClass, decode};

    #[test]
    fn keys_come_in_any_order() {
        let text = r#"{"data": {"action": "reset"}, "timestamp": {"microseconds": 2, "seconds": 1}, "event": "WATCHDOG", "new": []}"#;
        let ServerMessage::Event { name, data, timestamp } = decode(text).unwrap() else {
            panic!("{text}");
        };
        assert_eq!((name.as_str(), data.unwrap().get()), ("WATCHDOG", r#"{"action": "reset"}"#));
        assert_eq!(timestamp, Timestamp { seconds: 1, microseconds: 2 });
    }

    /// JSON allows escapes in names, too.
    #[test]
    fn keys_may_have_escapes() {
        let text = r#"{"time\u0073tamp": {"\u0073econds": 1, "micro\u0073econds": 2}, "ev\u0065nt": "ST\u004fP", "\u0064ata": {}}"#;
        let ServerMessage::Event { name, data, timestamp } = decode(text).unwrap() else {
            panic!("{text}");
        };
        assert_eq!((name.as_str(), data.unwrap().get()), ("STOP", "{}"));
        assert_eq!(timestamp, Timestamp { seconds: 1, microseconds: 2 });
        let text = r#"{"r\u0065turn": [], "\u0069d": 7}"#;
        let ServerMessage::Return { id, value } = decode(text).unwrap() else { panic!("{text}") };
        assert_eq!((id.unwrap().get(), value.get()), ("7", "[]"));
        let text = r#"{"Q\u004dP": {"v\u0065rsion": {"q\u0065mu": {"m\u0061jor": 9}}, "c\u0061pabilities": ["oob"]}}"#;
        let ServerMessage::Greeting(greeting) = decode(text).unwrap() else { panic!("{text}") };
        assert_eq!(greeting.version.qemu.major, 9);
        assert_eq!(greeting.capabilities.len(), 1);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["{}", "[]", "1", r#"{"return": {}, "event": "X"}"#] {
            assert!(decode::<ServerMessage<'_>>(text).is_err(), "{text}");
        }
    }

    /// A server wrote millions of numbers into its greeting and its errors, which took gibibytes.
    #[test]
    fn what_is_too_long_is_kept_in_part() {
        let numbers = format!("[{}0]", "0,".repeat(1 << 20));
        let text = format!(r#"{{"QMP": {{"version": {numbers}, "capabilities": ["oob"]}}}}"#);
        let ServerMessage::Greeting(greeting) = decode(&text).unwrap() else { panic!() };
        assert_eq!(greeting, Greeting::default());

        let long = "x".repeat(1 << 20);
        // Of a class or a description, 64 KiB are kept.
        const LONGEST: usize = 64 << 10;
        let shortened = LONGEST + "…".len();
        for (error, class, length) in [
            (
                format!(r#"{{"class": "DeviceNotFound", "data": {numbers}, "desc": "n\"o"}}"#),
                ErrorClass::DeviceNotFound,
                3,
            ),
            (
                format!(r#"{{"class": "{long}", "desc": "{long}"}}"#),
                ErrorClass::Unknown(long[..LONGEST].into()),
                shortened,
            ),
            (
                // The last one counts, even if one before it cannot be read.
                format!(r#"{{"desc": "\ud800", "data": {numbers}, "desc": "yes", "class": "A"}}"#),
                ErrorClass::Unknown("A".into()),
                3,
            ),
            (numbers, ErrorClass::GenericError, shortened),
        ] {
            let text = format!(r#"{{"error": {error}, "id": 7}}"#);
            let ServerMessage::Error { error, .. } = decode(&text).unwrap() else { panic!() };
            assert!(error.rest.is_empty());
            assert_eq!(error.desc.len(), length);
            assert!(error.class == class, "{} bytes", error.class.as_str().len());
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
