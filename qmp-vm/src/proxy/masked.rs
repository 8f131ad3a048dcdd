//! Replies without their secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use qmp_server::Request;
use qmp_types::{QmpError, Redactor};
use serde_json::value::RawValue;

use super::text;

/// Returns the redactor of the reply to a command.
pub(super) fn redactor(request: &Request) -> Redactor {
    let mut redactor = Redactor::new();
    let _ = redactor.sent(&text::command(request));
    redactor
}

/// Masks the secrets in the reply to a command. A reply that has none remains as it is written.
pub(super) fn mask(
    mut redactor: Redactor,
    id: Option<&str>,
    result: Result<&RawValue, QmpError>,
) -> Result<Box<RawValue>, QmpError> {
    let text = text::reply(id, result.as_ref().copied());
    match redactor.received(&text) {
        Cow::Borrowed(_) => result.map(RawValue::to_owned),
        Cow::Owned(masked) => read(&masked).unwrap_or_else(|| {
            Err(QmpError::generic("the proxy cannot mask the secrets in the reply"))
        }),
    }
}

/// Reads a reply that has been masked.
fn read(text: &str) -> Option<Result<Box<RawValue>, QmpError>> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    match members.remove("return") {
        Some(value) => Some(Ok(value)),
        None => serde_json::from_str(members.get("error")?.get()).ok().map(Err),
    }
}
