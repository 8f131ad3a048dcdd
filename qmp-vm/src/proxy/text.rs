//! Messages as text, for recordings and the masking of secrets.

use qmp_server::Request;
use qmp_types::{QmpError, Timestamp};
use serde_json::value::RawValue;

pub(super) fn command(request: &Request) -> String {
    let verb = if request.ticket.is_out_of_band() { "exec-oob" } else { "execute" };
    let name = serde_json::to_string(&request.name).unwrap_or_default();
    let arguments = request.arguments_text().map(|text| format!(r#", "arguments": {text}"#));
    let id = request.ticket.id().map(|id| format!(r#", "id": {id}"#));
    format!(r#"{{"{verb}": {name}{}{}}}"#, arguments.unwrap_or_default(), id.unwrap_or_default())
}

pub(super) fn reply(id: Option<&str>, result: Result<&RawValue, &QmpError>) -> String {
    let id = id.map(|id| format!(r#", "id": {id}"#)).unwrap_or_default();
    match result {
        Ok(value) => format!(r#"{{"return": {value}{id}}}"#),
        Err(error) => {
            let error = serde_json::to_string(error).unwrap_or_default();
            format!(r#"{{"error": {error}{id}}}"#)
        }
    }
}

pub(super) fn event(name: &str, data: Option<&RawValue>, timestamp: Timestamp) -> String {
    let name = serde_json::to_string(name).unwrap_or_default();
    let time = serde_json::to_string(&timestamp).unwrap_or_default();
    let data = data.map(|data| format!(r#", "data": {data}"#)).unwrap_or_default();
    format!(r#"{{"timestamp": {time}, "event": {name}{data}}}"#)
}
