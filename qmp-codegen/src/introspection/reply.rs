//! Splits a reply into entries.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ImportError, ImportErrorKind};
use super::node::Node;

/// The start and end of an entry in the text.
pub(super) type Location = (u32, u32);

/// Splits the array into its entries and their locations.
pub(super) fn split(text: &str) -> Result<Vec<(Value, Location)>, ImportError> {
    let entries = entries(text)?;
    let location = |part: &str| {
        let start = offset(part, text);
        let limited = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        (limited(start), limited(start + part.len()))
    };
    let read = |(index, entry): (usize, &&RawValue)| {
        let value = serde_json::from_str(entry.get()).map_err(|error| {
            Node::entry(&Value::Null, index).error(ImportErrorKind::Json(error.to_string()))
        })?;
        Ok((value, location(entry.get())))
    };
    entries.iter().enumerate().map(read).collect()
}

/// Returns the text of each entry.
pub(super) fn entries(text: &str) -> Result<Vec<&RawValue>, ImportError> {
    serde_json::from_str(array(text)?).map_err(|error| {
        whole(match error.is_data() {
            true => ImportErrorKind::Expected("an array of entries, or a reply that contains one"),
            false => ImportErrorKind::Json(error.to_string()),
        })
    })
}

/// Returns the array that a reply returns, or else the whole text.
pub(super) fn array(text: &str) -> Result<&str, ImportError> {
    if text.trim_start().starts_with('{') { returned(text) } else { Ok(text) }
}

/// Returns the names and texts of an object's members, in order.
pub(super) fn members(object: &str) -> Option<Vec<(String, &str)>> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
    let mut members: Vec<_> =
        members.into_iter().map(|(name, value)| (name, value.get())).collect();
    members.sort_by_key(|(_, text)| offset(text, object));
    Some(members)
}

/// Returns the offset of a part in the text that it is borrowed from.
pub(super) fn offset(part: &str, text: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// Returns the value that a reply returns.
fn returned(text: &str) -> Result<&str, ImportError> {
    let reply: BTreeMap<String, &RawValue> = serde_json::from_str(text)
        .map_err(|error| whole(ImportErrorKind::Json(error.to_string())))?;
    if let Some(error) = reply.get("error") {
        let error: Value = serde_json::from_str(error.get()).unwrap_or_default();
        let description = error["desc"].as_str().unwrap_or("(without a description)");
        return Err(whole(ImportErrorKind::ErrorReply(description.to_owned())));
    }
    match reply.get("return") {
        Some(returned) => Ok(returned.get()),
        None => Err(whole(ImportErrorKind::Missing("return"))),
    }
}

fn whole(kind: ImportErrorKind) -> ImportError {
    ImportError::new(String::new(), kind)
}
