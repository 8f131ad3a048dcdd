//! Helpers for arguments, return values and errors that several commands share.

use qmp_types::{Command, ErrorClass, QmpError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::machine::Machine;
use crate::context::Context;
use crate::router::Router;

/// The result of a command, with its return value in JSON.
pub(super) type Reply = Result<Value, QmpError>;

/// A handler that reads its arguments and returns its value in JSON. The router has checked the
/// arguments, and the command's own type decodes the value before it is sent.
pub(super) type Handler = fn(&mut Machine, &Arguments, &mut Context) -> Reply;

/// Adds handlers that work with JSON.
pub(super) trait Handle: Sized {
    /// Adds a handler of the command `C`.
    fn on<C>(self, handler: Handler) -> Self
    where
        C: Command + Serialize + DeserializeOwned,
        C::Return: DeserializeOwned;
}

impl Handle for Router<Machine> {
    fn on<C>(self, handler: Handler) -> Self
    where
        C: Command + Serialize + DeserializeOwned,
        C::Return: DeserializeOwned,
    {
        self.command(move |machine: &mut Machine, command: C, context: &mut Context| {
            let arguments = Arguments::of(&command);
            check_size(C::NAME, &arguments)?;
            typed(handler(machine, &arguments, context)?)
        })
    }
}

/// The arguments of a command.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments(pub(super) Map<String, Value>);

impl Arguments {
    pub(super) fn of(command: &impl Serialize) -> Self {
        match serde_json::to_value(command) {
            Ok(Value::Object(members)) => Self(members),
            _ => Self::default(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns a string, or `None` if it is not given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Returns a string that the schema requires.
    pub(super) fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// Returns a boolean, which is false if it is not given.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_i64()
    }

    pub(super) fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.get(name)?.as_object()
    }

    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Returns the value of a command that returns nothing.
pub(super) fn done() -> Reply {
    Ok(json!({}))
}

/// Fails a command.
pub(super) fn refuse<T>(desc: impl Into<String>) -> Result<T, QmpError> {
    Err(QmpError::generic(desc.into()))
}

/// The maximum number of things of a kind that clients add. QEMU has none, but a server's memory is bounded.
const MOST: usize = 1000;

impl Machine {
    /// Checks that there is room for more things of a kind, besides those that exist. The author of the
    /// machine may add any number.
    pub(super) fn check_room(&self, exist: usize, more: usize, kind: &str) -> Result<(), QmpError> {
        match self.is_served() && more > 0 && exist + more > MOST {
            true => refuse(format!("Too many {kind}: the simulated machine has at most {MOST}")),
            false => Ok(()),
        }
    }
}

/// The maximum size in bytes of the arguments of a command, which the machine may keep.
const MAX_ARGUMENTS: usize = 64 << 10;

/// The commands whose arguments may be larger: the machine does not keep them as they are.
const NOT_KEPT: [&str; 6] = [
    "block-dirty-bitmap-merge",
    "input-send-event",
    "qom-list-get",
    "ringbuf-write",
    "send-key",
    "transaction",
];

/// Checks that the machine has room for the arguments of a command, or of an action of a transaction.
pub(super) fn check_size(name: &str, arguments: &Arguments) -> Result<(), QmpError> {
    if NOT_KEPT.contains(&name) || members_size(&arguments.0) <= MAX_ARGUMENTS {
        return Ok(());
    }
    let most = MAX_ARGUMENTS >> 10;
    refuse(format!("The arguments of {name} are too large: the simulated machine keeps {most} KiB"))
}

/// Returns about how many bytes of memory the members of an object take.
fn members_size(members: &Map<String, Value>) -> usize {
    members.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    let contents = match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(value_size).sum(),
        Value::Object(members) => members_size(members),
        _ => 0,
    };
    size_of::<Value>() + contents
}

/// Converts a return value from its JSON form to its type. Used where that is more readable than
/// calling constructors.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, QmpError> {
    serde_json::from_value(value)
        .map_err(|error| QmpError::generic(format!("bug in the simulator: {error}")))
}

/// Returns the error for a device, a network back end or a path that does not exist.
pub(super) fn not_found(name: &str) -> QmpError {
    let desc = format!("Device '{name}' not found");
    QmpError::new(ErrorClass::DeviceNotFound, desc)
}

/// Returns whether QEMU accepts the text as the identifier of a user: a letter, then letters,
/// digits, hyphens, periods and underscores.
pub(super) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// Returns what the C library says about an error of the operating system.
pub(super) fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}
