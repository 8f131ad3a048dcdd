//! Requests, and the errors for messages that are not valid requests.

use qmp_types::QmpError;
use serde_json::{Map, Value};

/// A command that a client has sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The client's identifier for the command, which the reply repeats.
    pub id: Option<Value>,
    /// The name of the command.
    pub name: String,
    /// The arguments, unchecked.
    pub arguments: Map<String, Value>,
    /// Whether the command is to be executed out-of-band.
    pub out_of_band: bool,
}

/// Returns whether a message asks for out-of-band execution.
pub(crate) fn is_out_of_band(message: &Value) -> bool {
    message.get("exec-oob").is_some() && message.get("execute").is_none()
}

/// Splits a message into its `id` and the request (without the `id`), or an error.
pub(crate) fn parse(
    message: Value,
    oob_enabled: bool,
) -> (Option<Value>, Result<Request, QmpError>) {
    let Value::Object(mut members) = message else {
        let error = QmpError::generic("QMP input must be a JSON object");
        return (None, Err(error));
    };
    let id = members.remove("id");
    (id, request(members, oob_enabled))
}

/// Returns the error for a command that does not support out-of-band execution.
pub(crate) fn oob_unsupported(name: &str) -> QmpError {
    QmpError::generic(format!("The command {name} does not support OOB"))
}

// The checks are in QEMU's order, so that a message with several errors gets the same reply.
fn request(mut members: Map<String, Value>, oob_enabled: bool) -> Result<Request, QmpError> {
    let exec_oob = match members.remove("exec-oob") {
        Some(_) if !oob_enabled => return Err(unexpected("exec-oob")),
        name => name.map(|name| string("exec-oob", name)).transpose()?,
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
    let out_of_band = exec_oob.is_some();
    match (execute, exec_oob) {
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
