//! Questions about text in ASCII, for which patterns of the standard library would be compiled again each
//! time.

/// Returns whether a text begins with a character of this kind, such as `u8::is_ascii_digit`.
pub(crate) fn begins_with(text: &str, is_it: fn(&u8) -> bool) -> bool {
    text.as_bytes().first().is_some_and(is_it)
}

/// Returns whether a text has a character of this kind.
pub(crate) fn contains(text: &str, is_it: fn(&u8) -> bool) -> bool {
    text.as_bytes().iter().any(is_it)
}

/// Returns whether all characters of a text are of this kind.
pub(crate) fn consists_of(text: &str, is_it: fn(&u8) -> bool) -> bool {
    text.as_bytes().iter().all(is_it)
}

/// Returns how many characters of this kind a text begins with.
pub(crate) fn count(text: &str, is_it: fn(&u8) -> bool) -> usize {
    text.bytes().position(|byte| !is_it(&byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_characters_are_of_no_kind() {
        assert!(begins_with("1a", u8::is_ascii_digit) && !begins_with("a1", u8::is_ascii_digit));
        assert!(!begins_with("\u{b2}", u8::is_ascii_digit) && !begins_with("", u8::is_ascii_digit));
        assert!(
            contains("\u{e4}A", u8::is_ascii_uppercase)
                && !contains("\u{c4}", u8::is_ascii_uppercase)
        );
        assert_eq!(
            (count("12a", u8::is_ascii_digit), count("1\u{b2}", u8::is_ascii_digit)),
            (2, 1)
        );
        assert_eq!((count("12", u8::is_ascii_digit), count("", u8::is_ascii_digit)), (2, 0));
        assert!(consists_of("", u8::is_ascii_digit) && !consists_of("1\u{b2}", u8::is_ascii_digit));
    }
}
