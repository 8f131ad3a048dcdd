//! Checks that values survive decoding and encoding.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A value that was decoded and encoded without loss.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The value as it arrived.
    pub value: Value,
}

/// Decodes a text as `T`, encodes the result, and compares it with the text.
///
/// # Errors
/// Returns a description if the text cannot be decoded, a member is lost or changed, or the schema
/// does not know a value.
pub fn check<T: Debug + DeserializeOwned + Serialize>(text: &str) -> Result<Checked, String> {
    let arrived: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let decoded: T = qmp_types::decode(text).map_err(|error| error.to_string())?;
    let encoded = serde_json::to_value(&decoded).map_err(|error| error.to_string())?;
    let mut lost = Vec::new();
    differences(&arrived, &encoded, "$", &mut lost);
    // Values that the schema does not know are kept in variants of this name. They are not lost, but
    // releases that the schema covers must not have any.
    let debug = format!("{decoded:?}");
    for unknown in ["Unknown(\"", "Unknown {"] {
        if let Some(at) = debug.find(unknown) {
            lost.push(debug[at..].chars().take(80).collect());
        }
    }
    if lost.is_empty() { Ok(Checked { value: arrived }) } else { Err(lost.join("; ")) }
}

/// Collects the differences between two values, except in the order of members and the format of
/// numbers.
fn differences(arrived: &Value, encoded: &Value, path: &str, out: &mut Vec<String>) {
    match (arrived, encoded) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                match b.get(name) {
                    Some(other) => differences(value, other, &format!("{path}.{name}"), out),
                    None => out.push(format!("{path}.{name} is lost: {value}")),
                }
            }
            let added = b.keys().filter(|name| !a.contains_key(*name));
            out.extend(added.map(|name| format!("{path}.{name} is added")));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (value, other)) in a.iter().zip(b).enumerate() {
                differences(value, other, &format!("{path}[{index}]"), out);
            }
        }
        (Value::Number(a), Value::Number(b)) if a == b || a.as_f64() == b.as_f64() => {}
        _ if arrived == encoded => {}
        _ => out.push(format!("{path}: {arrived} became {encoded}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use qmp_client::qmp::types::{SchemaInfo, StatusInfo};

    use super::check;

    #[test]
    fn a_complete_value_passes() {
        check::<StatusInfo>(r#"{"status": "running", "running": true}"#).unwrap();
    }

    #[test]
    fn lost_members_and_unknown_values_are_reported() {
        let error = |text: &str| check::<StatusInfo>(text).unwrap_err();
        let more = error(r#"{"status": "running", "running": true, "more": 1}"#);
        assert_eq!(more, "$.more is lost: 1");
        let unknown = error(r#"{"status": "asleep", "running": true}"#);
        assert!(unknown.starts_with(r#"Unknown("asleep")"#), "{unknown}");
        assert!(error(r#"{"status": "running"}"#).contains("running"));
    }

    #[test]
    fn an_unknown_branch_is_reported() {
        let text = r#"{"name": "0", "meta-type": "module", "more": 1}"#;
        assert!(check::<SchemaInfo>(text).unwrap_err().contains("Unknown {"));
    }
}
