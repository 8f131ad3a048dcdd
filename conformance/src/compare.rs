//! Decoding and encoding again without loss.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What was decoded and encoded again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// What arrived.
    pub value: Value,
}

/// Decodes a text as `T`, encodes that, and compares it with the text.
///
/// # Errors
/// It does not fit; a member is lost or another than it was; or a value is kept by name alone,
/// since the schema does not know it.
pub fn check<T: Debug + DeserializeOwned + Serialize>(text: &str) -> Result<Checked, String> {
    let arrived: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let decoded: T = qmp_client::types::decode(text).map_err(|error| error.to_string())?;
    let encoded = serde_json::to_value(&decoded).map_err(|error| error.to_string())?;
    let mut lost = Vec::new();
    differences(&arrived, &encoded, "$", &mut lost);
    // What the schema does not know is kept in a variant of this name: it is not lost, but in a
    // release that the schema covers there should be none.
    let shown = format!("{decoded:?}");
    for unknown in ["Unknown(\"", "Unknown {"] {
        if let Some(at) = shown.find(unknown) {
            lost.push(shown[at..].chars().take(80).collect());
        }
    }
    if lost.is_empty() { Ok(Checked { value: arrived }) } else { Err(lost.join("; ")) }
}

/// Where two values differ, the order of members and the spelling of numbers aside.
fn differences(arrived: &Value, encoded: &Value, path: &str, out: &mut Vec<String>) {
    match (arrived, encoded) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                match b.get(name) {
                    Some(other) => differences(value, other, &format!("{path}.{name}"), out),
                    None => out.push(format!("{path}.{name} is lost: {value}")),
                }
            }
            let made = b.keys().filter(|name| !a.contains_key(*name));
            out.extend(made.map(|name| format!("{path}.{name} is made up")));
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
    fn what_is_whole_passes() {
        check::<StatusInfo>(r#"{"status": "running", "running": true}"#).unwrap();
    }

    #[test]
    fn what_is_lost_is_told() {
        let error = |text: &str| check::<StatusInfo>(text).unwrap_err();
        let more = error(r#"{"status": "running", "running": true, "more": 1}"#);
        assert_eq!(more, "$.more is lost: 1");
        let unknown = error(r#"{"status": "asleep", "running": true}"#);
        assert!(unknown.starts_with(r#"Unknown("asleep")"#), "{unknown}");
        assert!(error(r#"{"status": "running"}"#).contains("running"));
    }

    #[test]
    fn an_unknown_branch_is_told() {
        let text = r#"{"name": "0", "meta-type": "module", "more": 1}"#;
        assert!(check::<SchemaInfo>(text).unwrap_err().contains("Unknown {"));
    }
}
