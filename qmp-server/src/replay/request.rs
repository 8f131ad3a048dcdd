//! Requests as they are compared with recorded ones.

use serde_json::{Map, Value};

use crate::json::value_to_json;

/// The text that transcripts show in the place of a secret.
const SECRET: &str = "<secret>";

/// A request without its identifier.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) out_of_band: bool,
}

impl Request {
    /// Returns whether a request that was sent equals this recorded one. The order of members does not
    /// matter, and a masked secret equals any.
    pub(super) fn equals(&self, sent: &Self) -> bool {
        self.name == sent.name
            && self.out_of_band == sent.out_of_band
            && same_members(&self.arguments, &sent.arguments)
    }

    pub(super) fn describe(&self) -> String {
        let verb = if self.out_of_band { " out-of-band" } else { "" };
        match self.arguments.is_empty() {
            true => format!("`{}`{verb} without arguments", self.name),
            false => {
                let arguments = value_to_json(&Value::Object(self.arguments.clone()));
                format!("`{}`{verb} with {arguments}", self.name)
            }
        }
    }
}

// The depth is limited: that of the recording by its reader, and that of the client by the session.
fn same(recorded: &Value, sent: &Value) -> bool {
    match (recorded, sent) {
        (Value::String(recorded), _) if recorded == SECRET => true,
        (Value::String(recorded), Value::String(sent)) => same_text(recorded, sent),
        (Value::Object(recorded), Value::Object(sent)) => same_members(recorded, sent),
        (Value::Array(recorded), Value::Array(sent)) => {
            recorded.len() == sent.len()
                && recorded.iter().zip(sent).all(|(recorded, sent)| same(recorded, sent))
        }
        _ => recorded == sent,
    }
}

/// Compares texts. A part that is a masked secret, as in a URL, equals any text.
fn same_text(recorded: &str, sent: &str) -> bool {
    let Some((first, parts)) = recorded.split_once(SECRET) else { return recorded == sent };
    let Some(mut rest) = sent.strip_prefix(first) else { return false };
    let (parts, last) = parts.rsplit_once(SECRET).unwrap_or(("", parts));
    let parts = parts.split(SECRET).filter(|part| !part.is_empty());
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn same_members(recorded: &Map<String, Value>, sent: &Map<String, Value>) -> bool {
    recorded.len() == sent.len()
        && recorded.iter().all(|(name, value)| sent.get(name).is_some_and(|sent| same(value, sent)))
}
