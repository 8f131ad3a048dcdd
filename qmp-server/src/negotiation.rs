//! Capabilities negotiation.

use qmp_types::{Capability, QmpError};
use serde_json::{Map, Value};

/// Decodes the arguments of `qmp_capabilities`.
pub(crate) fn requested_capabilities(
    arguments: &Map<String, Value>,
) -> Result<Vec<Capability>, QmpError> {
    let expected = |name: &str, kind: &str| {
        QmpError::generic(format!("Invalid parameter type for '{name}', expected: {kind}"))
    };
    let enable = match arguments.get("enable") {
        None => Vec::new(),
        Some(Value::Array(names)) => names
            .iter()
            .enumerate()
            .map(|(at, name)| match name.as_str() {
                Some("oob") => Ok(Capability::Oob),
                // QEMU has no name for an element of an array, and prints `null`.
                Some(name) => {
                    let desc = format!("Parameter 'null' does not accept value '{name}'");
                    Err(QmpError::generic(desc))
                }
                None => Err(expected(&format!("enable[{at}]"), "string")),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(expected("enable", "array")),
    };
    match arguments.keys().find(|name| *name != "enable") {
        Some(name) => Err(QmpError::generic(format!("Parameter '{name}' is unexpected"))),
        None => Ok(enable),
    }
}
