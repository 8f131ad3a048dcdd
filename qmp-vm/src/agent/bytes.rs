//! Bytes in commands and replies, as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qmp_client::{Command, Mismatch, Result};
use serde::{Deserialize, Deserializer};

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes bytes in the reply to a command.
///
/// # Errors
/// The text is not base64.
pub(super) fn decode<C: Command>(text: &str) -> Result<Vec<u8>> {
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(bytes),
        // Decoded again as JSON, for an error that shows the text.
        Err(_) => qmp_types::decode::<Bytes>(&serde_json::Value::from(text).to_string())
            .map(|bytes| bytes.0)
            .map_err(|error| Mismatch::reply(C::NAME.into(), error).into()),
    }
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}
