//! Requests, and the errors for messages that are not valid requests.

use std::borrow::Cow;
use std::fmt;

use qmp_types::QmpError;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::budget::Charge;
use crate::descriptors::{Descriptor, Descriptors};
use crate::json::{dismantle, value_to_json};

/// A command that a client has sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// The ticket with which the command is answered.
    pub ticket: Ticket,
    /// The name of the command.
    pub name: String,
    /// The arguments, unchecked. Empty if the session
    /// [keeps their text](crate::Session::keep_arguments_as_text).
    pub arguments: Map<String, Value>,
    pub(crate) arguments_text: Option<Box<str>>,
    pub(crate) descriptors: Descriptors,
    /// The memory of the message, until the command is executed.
    pub(crate) charge: Option<Charge>,
}

/// The right and the duty to answer one command.
///
/// While an in-band command is unanswered, its session returns no other in-band command.
#[derive(Debug)]
#[must_use = "a client waits for the reply to each command"]
pub struct Ticket {
    /// The client's identifier of the command, as JSON text, because it may be nested deeply.
    pub(crate) id: Option<Box<str>>,
    pub(crate) out_of_band: bool,
}

impl Ticket {
    /// Returns the client's identifier of the command as JSON text, if it has one. The reply repeats
    /// it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns whether the command is to be executed out-of-band.
    #[must_use]
    pub fn is_out_of_band(&self) -> bool {
        self.out_of_band
    }
}

impl Request {
    /// Returns the arguments as the client has written them, if there are any, and the session
    /// [keeps their text](crate::Session::keep_arguments_as_text).
    #[must_use]
    pub fn arguments_text(&self) -> Option<&str> {
        self.arguments_text.as_deref()
    }

    /// Takes the file descriptors that were received with the command, in the order in which they
    /// were sent.
    ///
    /// As in QEMU, a command may take those received before it if no other command has taken them.
    #[must_use]
    pub fn take_descriptors(&self) -> Vec<Descriptor> {
        self.descriptors.take_all()
    }
}

/// The parts of a valid message.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) out_of_band: bool,
}

/// The parts of a message that are repeated as they are.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) id: Option<Box<str>>,
    pub(crate) arguments: Option<Box<str>>,
}

impl Texts {
    /// Finds the parts of a valid message. What is not standard JSON, such as a string in single
    /// quotes, is taken from the message's value, and written anew.
    pub(crate) fn new(text: &[u8], value: &Value) -> Self {
        #[derive(Default)]
        struct Found<'t>(Option<&'t RawValue>, Option<&'t RawValue>);

        impl<'de> Visitor<'de> for Found<'de> {
            type Value = Self;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match &*key {
                        "id" => self.0 = Some(map.next_value()?),
                        "arguments" => self.1 = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(self)
            }
        }

        let found = std::str::from_utf8(text).ok().and_then(|text| {
            let mut reader = serde_json::Deserializer::from_str(text);
            reader.deserialize_map(Found::default()).ok()
        });
        let boxed = |part: Option<&RawValue>| part.map(|part| part.get().into());
        match found {
            Some(Found(id, arguments)) => Self { id: boxed(id), arguments: boxed(arguments) },
            None => {
                let part = |name| value.get(name).map(|part| value_to_json(part).into_boxed_str());
                Self { id: part("id"), arguments: part("arguments") }
            }
        }
    }
}

/// Returns whether a message asks for out-of-band execution.
pub(crate) fn is_out_of_band(message: &Value) -> bool {
    message.get("exec-oob").is_some() && message.get("execute").is_none()
}

/// Splits a message into its `id`, as JSON text, and the rest, or an error.
pub(crate) fn parse(
    message: Value,
    oob_enabled: bool,
) -> (Option<Box<str>>, Result<Parts, QmpError>) {
    let Value::Object(mut members) = message else {
        dismantle([message]);
        let error = QmpError::generic("QMP input must be a JSON object");
        return (None, Err(error));
    };
    let id = members.get("id").map(|id| value_to_json(id).into_boxed_str());
    let parts = parts(&mut members, oob_enabled);
    dismantle(members.into_iter().map(|(_, value)| value));
    (id, parts)
}

/// Returns the error for a command that does not support out-of-band execution.
pub(crate) fn oob_unsupported(name: &str) -> QmpError {
    QmpError::generic(format!("The command {name} does not support OOB"))
}

// The checks are in QEMU's order, so that a message with several errors gets the same reply.
fn parts(members: &mut Map<String, Value>, oob_enabled: bool) -> Result<Parts, QmpError> {
    if !oob_enabled && members.contains_key("exec-oob") {
        return Err(unexpected("exec-oob"));
    }
    let exec_oob = string(members, "exec-oob")?;
    let execute = string(members, "execute")?;
    let known = ["arguments", "exec-oob", "execute", "id"];
    if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(unexpected(name));
    }
    if members.get("arguments").is_some_and(|arguments| !arguments.is_object()) {
        return Err(QmpError::generic("QMP input member 'arguments' must be an object"));
    }
    let out_of_band = exec_oob.is_some();
    let name = match (execute, exec_oob) {
        (Some(name), None) | (None, Some(name)) => name,
        (Some(_), Some(_)) => {
            let desc = "QMP input member 'execute' clashes with 'exec-oob'";
            return Err(QmpError::generic(desc));
        }
        (None, None) => return Err(QmpError::generic("QMP input lacks member 'execute'")),
    };
    let arguments = match members.remove("arguments") {
        Some(Value::Object(arguments)) => arguments,
        _ => Map::new(),
    };
    Ok(Parts { name, arguments, out_of_band })
}

fn string(members: &Map<String, Value>, member: &str) -> Result<Option<String>, QmpError> {
    match members.get(member) {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(_) => Err(QmpError::generic(format!("QMP input member '{member}' must be a string"))),
    }
}

fn unexpected(member: &str) -> QmpError {
    QmpError::generic(format!("QMP input member '{member}' is unexpected"))
}
