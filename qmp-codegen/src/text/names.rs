//! Names that keep the rules for names, and those that do not.

/// Whether members and values can have this name only by an exception.
pub(crate) fn is_unusual(name: &str) -> bool {
    stem(name).contains(|c: char| c == '_' || c.is_ascii_uppercase())
}

/// A name without the prefix of a downstream extension, `__com.example_`.
pub(crate) fn stem(name: &str) -> &str {
    name.strip_prefix("__").and_then(|rest| rest.split_once('_')).map_or(name, |(_, stem)| stem)
}
