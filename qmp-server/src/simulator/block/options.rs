//! The options of nodes.

use serde_json::{Map, Value};

/// The options of a node in JSON.
pub(super) type Options = Map<String, Value>;

pub(super) fn text<'o>(options: &'o Options, name: &str) -> Option<&'o str> {
    options.get(name).and_then(Value::as_str)
}
