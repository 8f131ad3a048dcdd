//! Strings in quotes.

use std::borrow::Cow;

/// Returns the content of a string in quotes, or none if it is not a string.
#[inline]
pub(super) fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(&super::to_strict(quoted)).ok().map(Cow::Owned)
}
