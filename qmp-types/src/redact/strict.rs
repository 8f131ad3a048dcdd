//! Turns what QEMU reads as JSON into JSON.

use std::borrow::Cow;

use super::quoted::string_end;

/// Replaces strings in single quotes, which QEMU accepts, with strings in double quotes. Other text is
/// returned as it is.
#[inline]
pub(crate) fn to_strict(text: &str) -> Cow<'_, str> {
    if !text.contains('\'') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let (mut strict, mut at) = (String::with_capacity(text.len() + 16), 0);
    while let Some(found) = text[at..].find(['"', '\'']) {
        let begin = at + found;
        strict.push_str(&text[at..begin]);
        at = string_end(bytes, begin);
        push_string(&mut strict, &text[begin..at]);
    }
    strict.push_str(&text[at..]);
    Cow::Owned(strict)
}

/// Appends a string, which may lack its closing quote at the end of the text.
#[inline]
fn push_string(strict: &mut String, quoted: &str) {
    let mut characters = quoted.chars();
    let quote = characters.next();
    strict.push('"');
    let mut is_open = true;
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('\'') => strict.push('\''),
                Some(escaped) => strict.extend(['\\', escaped]),
                None => strict.push('\\'),
            },
            _ if Some(character) == quote => {
                strict.push('"');
                is_open = false;
            }
            '"' => strict.push_str("\\\""),
            _ => strict.push(character),
        }
    }
    if is_open && quoted.len() == 1 {
        // A lone quote.
        strict.pop();
        strict.extend(quote);
    }
}

/// Returns the content of a string in quotes, or none if it is not a string.
#[inline]
pub(super) fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(&to_strict(quoted)).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_quotes_become_double_quotes() {
        for (text, expected) in [
            ("{'a': 1}", "{\"a\": 1}"),
            (r#"{'it\'s "x"': "it's \'y\' \" \\"}"#, r#"{"it's \"x\"": "it's 'y' \" \\"}"#),
            ("'", "'"),
            ("{'a", "{\"a"),
            ("{'a\\", "{\"a\\"),
            ("é'ü", "é\"ü"),
        ] {
            assert_eq!(to_strict(text), expected, "{text}");
        }
    }
}
