//! Helpers for return values and errors that several commands share.

use qmp_types::QmpError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Converts a return value from its JSON form to its type. Used where that is more readable than
/// calling constructors.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, QmpError> {
    serde_json::from_value(value)
        .map_err(|error| QmpError::generic(format!("bug in the simulator: {error}")))
}

/// Returns the error for a device, a network back end or a path that does not exist.
pub(super) fn not_found(name: &str) -> QmpError {
    let desc = format!("Device '{name}' not found");
    QmpError::new(qmp_types::ErrorClass::DeviceNotFound, desc)
}
