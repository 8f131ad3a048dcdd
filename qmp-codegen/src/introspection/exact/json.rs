//! Records as JSON.

use std::collections::HashSet;
use std::fmt;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::layout::{Layout, Style};
use super::tree::{Exceptions, Kept};
use super::{Record, Slot};

/// The error for a text that is not a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordError(String);

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid record: {}", self.0)
    }
}

impl std::error::Error for RecordError {}

impl Record {
    /// Returns the record as JSON, which [`Record::from_json`] reads.
    ///
    /// `entries` has the name of each command and event, the names of each type in the reply and in
    /// the schema, and the text of what the schema cannot express.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let entries = self.entries.iter().map(|slot| match slot {
            Slot::Root(name) => json!(name),
            Slot::Type { wire, name } => json!([wire, name]),
            Slot::Verbatim { wire, text } => json!({"name": wire, "verbatim": text}),
        });
        let exceptions = self.exceptions.iter().map(|(entry, paths)| {
            let paths = paths.iter().map(|(path, kept)| (path.clone(), json!(kept)));
            (entry.clone(), Value::Object(paths.collect()))
        });
        let indent = match self.layout.style {
            Style::Spaced => json!("spaced"),
            Style::Compact => json!("compact"),
            Style::Indented(indent) => json!(indent),
        };
        json!({
            "entries": entries.collect::<Vec<_>>(),
            "unreachable": self.unreachable,
            "exceptions": Value::Object(exceptions.collect()),
            "whitespace": self.layout.around,
            "style": indent,
        })
    }

    /// Reads a record from JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a record, has an entry twice, or has a text that is not
    /// JSON.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| RecordError(error.to_string()))?;
        read(&value).ok_or_else(|| {
            let members = "'entries', 'unreachable', 'exceptions', 'whitespace', and 'style'";
            RecordError(format!("expected an object with {members}, as an import writes it"))
        })
    }
}

fn read(value: &Value) -> Option<Record> {
    let around: Vec<String> =
        value["whitespace"].as_array()?.iter().map(string).collect::<Option<_>>()?;
    let style = match &value["style"] {
        Value::String(style) if style == "spaced" => Style::Spaced,
        Value::String(style) if style == "compact" => Style::Compact,
        Value::Number(indent) => Style::Indented(usize::try_from(indent.as_u64()?).ok()?),
        _ => return None,
    };
    let entries: Vec<Slot> =
        value["entries"].as_array()?.iter().map(slot).collect::<Option<_>>()?;
    if !are_unique(entries.iter().map(Slot::wire)) {
        return None;
    }
    Some(Record {
        entries,
        unreachable: value["unreachable"].as_array()?.iter().map(string).collect::<Option<_>>()?,
        exceptions: members(&value["exceptions"], exceptions)?.into_iter().collect(),
        layout: Layout { around: around.try_into().ok()?, style }.limited()?,
    })
}

fn slot(value: &Value) -> Option<Slot> {
    match value {
        Value::String(name) => Some(Slot::Root(name.clone())),
        Value::Array(names) => match &names[..] {
            [wire, name] => Some(Slot::Type { wire: string(wire)?, name: string(name)? }),
            _ => None,
        },
        _ => {
            let (wire, text) = (string(&value["name"])?, verbatim(&value["verbatim"])?);
            Some(Slot::Verbatim { wire, text })
        }
    }
}

fn exceptions(value: &Value) -> Option<Exceptions> {
    let kept = |value: &Value| {
        let pair = |pair: &Value| -> Option<Kept> {
            let text = &pair[1];
            Some((string(&pair[0])?, if text.is_null() { None } else { Some(verbatim(text)?) }))
        };
        let kept = value.as_array()?.iter().map(pair).collect::<Option<Vec<Kept>>>()?;
        // Each name may stand for a large part of the entry.
        are_unique(kept.iter().map(|(name, _)| name.as_str())).then_some(kept)
    };
    Some(members(value, kept)?.into_iter().collect())
}

fn members<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<(String, T)>> {
    let object: &Map<String, Value> = value.as_object()?;
    object.iter().map(|(name, value)| Some((name.clone(), read(value)?))).collect()
}

fn are_unique<'n>(mut names: impl Iterator<Item = &'n str>) -> bool {
    let mut seen = HashSet::new();
    names.all(|name| seen.insert(name))
}

/// Returns a text that an export has as it is, so that it must be JSON.
fn verbatim(value: &Value) -> Option<String> {
    string(value).filter(|text| serde_json::from_str::<&RawValue>(text).is_ok())
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
