//! The commands that a proxy treats in a way of their own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use qmp_client::Error;
use qmp_client::protocol::Error as ProtocolError;
use qmp_server::Request;
use qmp_types::QmpError;
use serde_json::value::RawValue;

use super::access::Access;
use crate::another::OPEN_MONITOR;

/// A command that undoes another one.
pub(super) struct Undo {
    pub(super) command: &'static str,
    pub(super) arguments: String,
}

/// Returns the error for a command that a client may not execute. `is_watched` says whether all monitors
/// of the client have to be the proxy's.
pub(super) fn refusal(access: &Access, is_watched: bool, request: &Request) -> Option<QmpError> {
    let escapes = || {
        let desc =
            "the proxy can neither restrict nor record a monitor that QEMU creates, and denies it";
        (is_watched && creates_monitor(request)).then(|| QmpError::generic(desc))
    };
    access.policy.refusal(&request.name).or_else(escapes)
}

/// Returns whether a command takes file descriptors. No other one does, in any release of QEMU.
pub(super) fn takes_descriptors(command: &str) -> bool {
    matches!(command, "add-fd" | "getfd" | OPEN_MONITOR)
}

/// Returns whether a command makes QEMU open a monitor.
fn creates_monitor(request: &Request) -> bool {
    let arguments = request.arguments_text().filter(|_| request.name == "object-add");
    let members = arguments
        .and_then(|text| serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text).ok());
    let kind = members.and_then(|members| members.get("qom-type").copied());
    let kind = kind.and_then(|kind| serde_json::from_str::<String>(kind.get()).ok());
    kind.is_some_and(|kind| kind.starts_with("monitor-"))
}

/// Returns an error of the monitor as it is, and any other one as the proxy's.
pub(super) fn own_error(error: ProtocolError) -> QmpError {
    let outcome = match &error {
        ProtocolError::Server(error) => return error.error.clone(),
        ProtocolError::Closed(closed) if closed.not_executed => "; it has not been executed",
        ProtocolError::Closed(_) => "; it may have been executed",
        ProtocolError::Timeout(_) => "; it may still be executed",
        _ => "",
    };
    QmpError::generic(format!("the proxy failed: {}{outcome}", Error::from(error).report()))
}

/// Returns the command that removes the descriptors which a command has added.
pub(super) fn undo(request: &Request, value: &RawValue) -> Option<Undo> {
    match request.name.as_str() {
        "add-fd" => Some(Undo { command: "remove-fd", arguments: value.get().to_owned() }),
        "getfd" => {
            let arguments: serde_json::Value =
                serde_json::from_str(request.arguments_text()?).ok()?;
            let name = arguments.get("fdname")?;
            Some(Undo { command: "closefd", arguments: format!(r#"{{"fdname": {name}}}"#) })
        }
        _ => None,
    }
}
