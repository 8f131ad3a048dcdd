//! The messages of the protocol itself, named as in the QMP specification.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::object::{Members, Object, Writer};
use crate::version::Version;

/// The first message of a server: its version, and the capabilities that it offers.
///
/// On the wire, it is the member `QMP` of the message (QMP specification, section "Server
/// Greeting").
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Greeting {
    /// The version of the server.
    pub version: Version,
    /// The capabilities that can be enabled during negotiation.
    pub capabilities: Vec<Capability>,
}

impl Object for Greeting {
    const NAME: &'static str = "Greeting";
    const MEMBERS: &'static [&'static str] = &["version", "capabilities"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let (mut version, mut capabilities) = (None, None);
        while let Some(index) = members.next(Self::MEMBERS)? {
            match index {
                0 => version = Some(members.value()?),
                _ => capabilities = Some(members.value()?),
            }
        }
        Ok(Self {
            version: members.required(version, "version")?,
            capabilities: capabilities.unwrap_or_default(),
        })
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        out.member("version", &self.version);
        out.member("capabilities", &self.capabilities);
    }
}

/// A protocol capability (QMP specification, section "Capabilities").
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Capability {
    /// Commands may be executed out-of-band.
    Oob,
    /// A capability that this crate does not know.
    Unknown(Box<str>),
}

crate::enumeration! { Capability = "QMPCapability" {
    Oob: "oob",
} }

/// The class of an error (QMP specification, section "Error").
///
/// QEMU has classes of their own only for errors that clients must distinguish.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Every error without a class of its own.
    GenericError,
    /// The command does not exist, or not in the current state of the virtual machine.
    CommandNotFound,
    /// The device exists but is not active.
    DeviceNotActive,
    /// The device does not exist.
    DeviceNotFound,
    /// The host's KVM lacks a capability.
    KvmMissingCap,
    /// A class that this crate does not know.
    Unknown(Box<str>),
}

crate::enumeration! { ErrorClass = "QapiErrorClass" {
    GenericError: "GenericError",
    CommandNotFound: "CommandNotFound",
    DeviceNotActive: "DeviceNotActive",
    DeviceNotFound: "DeviceNotFound",
    KvmMissingCap: "KVMMissingCap",
} }

/// The error of a command, as the server reported it.
///
/// `Display` shows the server's description, followed by the class in parentheses unless that is
/// [`ErrorClass::GenericError`].
#[derive(Clone, Debug, PartialEq)]
pub struct QmpError {
    /// The class, by which programs distinguish errors; nearly always [`ErrorClass::GenericError`].
    pub class: ErrorClass,
    /// The description, for people to read. It may change between releases: never parse it.
    pub desc: String,
    /// All other members of the error.
    pub rest: Map<String, Value>,
}

impl QmpError {
    /// Creates an error of class [`ErrorClass::GenericError`].
    pub fn generic(desc: impl Into<String>) -> Self {
        Self::new(ErrorClass::GenericError, desc)
    }

    /// Creates an error.
    pub fn new(class: ErrorClass, desc: impl Into<String>) -> Self {
        Self { class, desc: desc.into(), rest: Map::new() }
    }
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            ErrorClass::GenericError => f.write_str(&self.desc),
            ref class => write!(f, "{} ({class})", self.desc),
        }
    }
}

impl std::error::Error for QmpError {}

impl Object for QmpError {
    const NAME: &'static str = "Error";
    const MEMBERS: &'static [&'static str] = &["class", "desc"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let (mut class, mut desc, mut rest) = (None, None, Map::new());
        while let Some(index) = members.next_or_keep(Self::MEMBERS, &mut rest)? {
            match index {
                0 => class = Some(members.value()?),
                _ => desc = Some(members.value()?),
            }
        }
        Ok(Self {
            class: class.unwrap_or(ErrorClass::GenericError),
            desc: members.required(desc, "desc")?,
            rest,
        })
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        out.member("class", &self.class);
        out.member("desc", &self.desc);
        out.unlisted(&self.rest, Self::MEMBERS);
    }
}

/// The time of an event, by the server's clock.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp {
    /// Seconds since the Unix epoch; -1 if the server could not determine the time.
    pub seconds: i64,
    /// Microseconds within the second; -1 if the server could not determine the time.
    pub microseconds: i64,
}

impl Timestamp {
    /// The timestamp of a server that could not determine the time.
    pub const UNKNOWN: Self = Self { seconds: -1, microseconds: -1 };

    /// Returns the current time.
    #[must_use]
    pub fn now() -> Self {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(-1),
                microseconds: since.subsec_micros().into(),
            },
            Err(_) => Self::UNKNOWN,
        }
    }

    /// Converts to the standard library's type. Returns `None` if the server could not determine the
    /// time.
    #[must_use]
    pub fn system_time(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let microseconds = u64::try_from(self.microseconds).ok()?;
        let since =
            Duration::from_secs(seconds).checked_add(Duration::from_micros(microseconds))?;
        SystemTime::UNIX_EPOCH.checked_add(since)
    }
}

impl Object for Timestamp {
    const NAME: &'static str = "Timestamp";
    const MEMBERS: &'static [&'static str] = &["seconds", "microseconds"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let mut timestamp = Self::UNKNOWN;
        while let Some(index) = members.next(Self::MEMBERS)? {
            match index {
                0 => timestamp.seconds = members.value()?,
                _ => timestamp.microseconds = members.value()?,
            }
        }
        Ok(timestamp)
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        out.member("seconds", &self.seconds);
        out.member("microseconds", &self.microseconds);
    }
}

crate::object_impls!(Greeting);
crate::object_impls!(QmpError);
crate::object_impls!(Timestamp);

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
                MessageKey::Qmp => greeting = Some(map.next_value()?),
                MessageKey::Return => value = Some(map.next_value()?),
                MessageKey::Error => error = Some(map.next_value()?),
                MessageKey::Event => event = Some(map.next_value()?),
                MessageKey::Id => id = Some(map.next_value()?),
                MessageKey::Data => data = Some(map.next_value()?),
                MessageKey::Timestamp => timestamp = map.next_value()?,
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
    use crate::decode;

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
    fn an_unknown_time_is_none() {
        assert_eq!(Timestamp::UNKNOWN.system_time(), None);
        assert!(Timestamp::now().system_time().is_some());
    }

    #[test]
    fn an_error_keeps_unknown_members() {
        let text = r#"{"id": 7, "error": {"class": "NewClass", "desc": "no", "data": {"x": 1}}}"#;
        let ServerMessage::Error { id, error } = decode(text).unwrap() else { panic!("{text}") };
        assert_eq!(id.unwrap().get(), "7");
        assert_eq!(error.class, ErrorClass::Unknown("NewClass".into()));
        assert_eq!(error.rest["data"]["x"], 1);
        assert_eq!(serde_json::to_value(&error).unwrap()["class"], "NewClass");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["{}", "[]", "1", r#"{"return": {}, "event": "X"}"#] {
            assert!(decode::<ServerMessage<'_>>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_greeting_ever_decodes() {
        let text =
            r#"{"QMP": {"version": {"qemu": "0.12.50", "package": ""}, "capabilities": []}}"#;
        let ServerMessage::Greeting(greeting) = decode(text).unwrap() else { panic!("{text}") };
        assert_eq!(greeting.version.to_string(), "0.12.50");
    }
}
