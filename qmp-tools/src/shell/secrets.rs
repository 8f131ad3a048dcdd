//! Masks secrets in lines, so that they do not get into a history, a log or an error.

use std::borrow::Cow;

/// Returns a line as it may be kept or shown: without passwords, keys and the data of secret objects.
#[must_use]
pub fn masked(line: &str) -> Cow<'_, str> {
    qmp_types::redact("", line)
}
