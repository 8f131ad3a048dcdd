//! Names that violate the rules for names.

/// Whether a member or value needs an exception for this name.
pub(crate) fn is_unusual(name: &str) -> bool {
    stem(name).contains(|c: char| c == '_' || c.is_ascii_uppercase())
}

/// Returns a name without the prefix of a downstream extension, such as `__com.example_`.
pub(crate) fn stem(name: &str) -> &str {
    name.strip_prefix("__").and_then(|rest| rest.split_once('_')).map_or(name, |(_, stem)| stem)
}
