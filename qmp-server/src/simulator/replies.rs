//! Return values and errors that several commands have in common.

use qmp_types::QmpError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A large value as it looks on the wire, as the type that it is.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, QmpError> {
    serde_json::from_value(value)
        .map_err(|error| QmpError::generic(format!("the simulator is wrong about it: {error}")))
}

/// The error for a device, a network back end or a path that is not there.
pub(super) fn not_found(name: &str) -> QmpError {
    let desc = format!("Device '{name}' not found");
    QmpError::new(qmp_types::ErrorClass::DeviceNotFound, desc)
}
