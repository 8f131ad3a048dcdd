//! Bytes in commands and replies, as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qmp_client::{Command, Result};

use super::impossible::impossible;

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes bytes in the reply to a command.
///
/// # Errors
/// The text is not base64.
pub(super) fn decode<C: Command>(text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|error| {
        // A text may be as large as a message.
        let beginning: String = text.chars().take(SHOWN).collect();
        impossible::<C>(format_args!("`{beginning}`, which is not base64: {error}"))
    })
}

/// The number of characters of a text that an error shows.
const SHOWN: usize = 60;
