//! Commands and events as data.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::decode::DecodeError;

/// A command, whose fields are the arguments. It serializes to the `arguments` object.
///
/// Implementations are generated for every command of a schema. Write one by hand for a command that
/// no schema has.
pub trait Command: Serialize {
    /// The name on the wire.
    const NAME: &'static str;
    /// Whether the command has any arguments. If not, `arguments` is left out of the request.
    const HAS_ARGUMENTS: bool = true;
    /// Whether the server replies on success. Commands that end its process get no reply.
    const SUCCESS_RESPONSE: bool = true;
    /// The names of the members in the arguments that are secret, such as passwords, at whatever
    /// depth. [`redact_members`](crate::redact_members) masks them in text, and `Debug` of the
    /// generated types does not show them.
    const SECRETS: &'static [&'static str] = &[];
    /// Whether the command has no effect on the machine and only returns something, so that it can
    /// be repeated, and be permitted to those that may only look. False if this is not known.
    const READ_ONLY: bool = false;
    /// The type of the value that a success response returns.
    type Return: DeserializeOwned + Serialize;
}

/// A command that may be executed out-of-band, ahead of the commands that are waiting
/// (`'allow-oob': true` in the schema).
#[diagnostic::on_unimplemented(
    message = "the command `{Self}` cannot be executed out-of-band",
    note = "commands with `'allow-oob': true` in the schema implement `AllowOob`, such as \
            `MigratePause`"
)]
pub trait AllowOob: Command {}

/// An event, whose fields are its `data`.
pub trait Event: DeserializeOwned + Serialize {
    /// The name on the wire.
    const NAME: &'static str;
}

/// All events of a vocabulary, as one type: the generated `AnyEvent` enum.
///
/// An event is identified by its name, before its data is read.
pub trait Vocabulary: Sized {
    /// The names of the events of the vocabulary, in the order of the schema.
    const EVENTS: &'static [&'static str];

    /// Decodes the data of the event `name`. An event without data has `None` or `{}`.
    /// The data of an event that is not in the vocabulary is kept as received.
    ///
    /// # Errors
    /// Fails if the event is in the vocabulary and the data does not fit its type.
    fn decode(name: &str, data: Option<&RawValue>) -> Result<Self, DecodeError>;

    /// Decodes the data that a text begins with, and returns the event with the length of its data.
    /// `None` leaves the event to [`decode`](Self::decode), as for one that is not in the vocabulary,
    /// or whose data does not fit its type.
    ///
    /// Clients call this to read an event and its data in one pass.
    #[doc(hidden)]
    #[must_use]
    fn decode_beginning(name: &str, text: &str) -> Option<(Self, usize)> {
        let _ = (name, text);
        None
    }

    /// Returns the name of the event on the wire.
    fn name(&self) -> &str;
}

/// The return type of commands without a return value: an empty object.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Empty {}

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    // A later QEMU may return something from a command that used to return nothing: any value will
    // do.
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
