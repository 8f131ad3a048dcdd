//! Commands and events as data.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::decode::DecodeError;

/// A command: its fields are the arguments, and serialising it gives the `arguments` object.
///
/// Generated for every command of a schema; write it by hand for a command that no schema has.
pub trait Command: Serialize {
    /// The name on the wire.
    const NAME: &'static str;
    /// Whether the command has arguments at all. Without them, `arguments` is left out.
    const HAS_ARGUMENTS: bool = true;
    /// Whether success is answered. Commands that end their process are not.
    const SUCCESS_RESPONSE: bool = true;
    /// What a successful reply returns.
    type Return: DeserializeOwned + Serialize;
}

/// A command that may be executed out-of-band, ahead of the commands that are waiting
/// (`'allow-oob': true` in the schema).
pub trait AllowOob: Command {}

/// An event, its fields being the event's `data`.
pub trait Event: DeserializeOwned + Serialize {
    /// The name on the wire.
    const NAME: &'static str;
}

/// All events of a vocabulary, as one type: the generated `AnyEvent` enum.
///
/// Which event it is is known by name before its data is read.
pub trait Vocabulary: Sized {
    /// The names of the events that the vocabulary knows, in the order of the schema.
    const EVENTS: &'static [&'static str];

    /// Decodes the data of the event `name`; an event without data has none or `{}`.
    /// One that the vocabulary does not know is kept as it is.
    ///
    /// # Errors
    /// The vocabulary knows the event, and the data does not fit.
    fn decode(name: &str, data: Option<&RawValue>) -> Result<Self, DecodeError>;

    /// The event's name on the wire.
    fn name(&self) -> &str;
}

/// What a command without a return value returns: an empty object.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Empty {}

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    // QEMU may return more from a command one day than from an older release: nothing is
    // mandatory here, and nothing is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self {})
    }
}

/// The built-in type `null`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Null;

impl Serialize for Null {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Null {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

impl fmt::Display for Null {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null")
    }
}
