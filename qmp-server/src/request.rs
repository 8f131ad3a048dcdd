//! A message of a client: what it asks for, or what is wrong with it.

use qmp_types::QmpError;
use serde_json::{Map, Value};

/// A command that a client wants executed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The client's own mark, to be echoed.
    pub id: Option<Value>,
    /// The name of the command.
    pub name: String,
    /// Its arguments, unchecked.
    pub arguments: Map<String, Value>,
    /// Whether it is to be executed out-of-band.
    pub out_of_band: bool,
}

/// Whether a message asks to be executed ahead of others.
pub(crate) fn is_out_of_band(message: &Value) -> bool {
    message.get("exec-oob").is_some() && message.get("execute").is_none()
}

/// Takes a message apart: its `id`, and the request (without the `id`) or what is wrong with it.
pub(crate) fn check(message: Value, oob: bool) -> (Option<Value>, Result<Request, QmpError>) {
    let Value::Object(mut members) = message else {
        let error = QmpError::generic("QMP input must be a JSON object");
        return (None, Err(error));
    };
    let id = members.remove("id");
    (id, request(members, oob))
}

/// The error for a command that cannot be executed out-of-band.
pub(crate) fn no_oob(name: &str) -> QmpError {
    QmpError::generic(format!("The command {name} does not support OOB"))
}

// The order of the checks is the order in which QEMU happens to report several faults at once.
fn request(mut members: Map<String, Value>, oob: bool) -> Result<Request, QmpError> {
    let urgent = match members.remove("exec-oob") {
        Some(_) if !oob => return Err(unexpected("exec-oob")),
        urgent => urgent.map(|name| string("exec-oob", name)).transpose()?,
    };
    let execute = members.remove("execute").map(|name| string("execute", name)).transpose()?;
    if let Some(name) = members.keys().find(|name| *name != "arguments") {
        return Err(unexpected(name));
    }
    let arguments = match members.remove("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(_) => {
            return Err(QmpError::generic("QMP input member 'arguments' must be an object"));
        }
    };
    let out_of_band = urgent.is_some();
    match (execute, urgent) {
        (Some(_), Some(_)) => {
            Err(QmpError::generic("QMP input member 'execute' clashes with 'exec-oob'"))
        }
        (Some(name), None) | (None, Some(name)) => {
            Ok(Request { id: None, name, arguments, out_of_band })
        }
        (None, None) => Err(QmpError::generic("QMP input lacks member 'execute'")),
    }
}

fn string(member: &str, value: Value) -> Result<String, QmpError> {
    match value {
        Value::String(name) => Ok(name),
        _ => Err(QmpError::generic(format!("QMP input member '{member}' must be a string"))),
    }
}

fn unexpected(member: &str) -> QmpError {
    QmpError::generic(format!("QMP input member '{member}' is unexpected"))
}
