//! Replies that match the schema and cannot be true.

use std::fmt;

use qmp_client::{Command, Error, Mismatch};
use serde::{Deserialize, Deserializer};

/// Returns the error of a reply that matches the schema and cannot be true.
pub(super) fn impossible<C: Command>(reason: impl fmt::Display) -> Error {
    let reason = serde_json::Value::from(reason.to_string()).to_string();
    match qmp_types::decode::<Impossible>(&reason) {
        Err(error) => Mismatch::reply(C::NAME.into(), error).into(),
        Ok(never) => match never {},
    }
}

/// The reason why a reply cannot be true. It never decodes: this makes the error that says so.
enum Impossible {}

impl<'de> Deserialize<'de> for Impossible {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reason = String::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format_args!("the agent reports {reason}")))
    }
}

#[cfg(test)]
mod tests {
    use qmp_types::qga::commands::GuestFileWrite;

    use super::*;

    #[test]
    fn an_impossible_count_is_named() {
        let error = impossible::<GuestFileWrite>("70000 bytes where 1 to 5 are possible");
        assert_eq!(error.command(), Some("guest-file-write"));
        assert!(error.report().contains("reports 70000 bytes where 1 to 5"), "{error:?}");
    }
}
