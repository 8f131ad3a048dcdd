//! Replaces escapes.

/// Returns whether the inside of a string is `text`, which may be written with escapes.
pub(crate) fn is_text(inside: &str, text: &str) -> bool {
    inside == text
        // Each byte of the text takes six at most.
        || inside.len() <= 6 * text.len()
            && inside.as_bytes().contains(&b'\\')
            && unescape(inside).as_deref() == Some(text)
}

/// Replaces the escapes in the inside of a string. The result is never longer, so that the memory for
/// it is allocated once.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        unescaped.push_str(plain);
        let mut characters = escape.chars();
        let replaced = match characters.next()? {
            'u' => {
                let (character, after) = unicode_escape(escape.get(1..)?)?;
                characters = after.chars();
                character
            }
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            same @ ('"' | '\\' | '/') => same,
            _ => return None,
        };
        unescaped.push(replaced);
        rest = characters.as_str();
    }
    unescaped.push_str(rest);
    Some(unescaped)
}

/// Reads the digits of an escape, and those of a second one if they are a pair of surrogates. Returns
/// the character, and the text after it.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (first, rest) = four_digits(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, rest));
    }
    let (second, rest) = four_digits(rest.strip_prefix("\\u")?)?;
    if !(0xD800..0xDC00).contains(&first) || !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    char::from_u32(code).map(|character| (character, rest))
}

fn four_digits(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| u32::from_str_radix(digits, 16).ok()).flatten().map(|code| (code, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    /// The other reader of JSON agrees on every string.
    #[test]
    fn escapes_are_replaced_as_by_serde_json() {
        let parts = [
            "a",
            "ä",
            "\\n",
            "\\b\\f\\r\\t\\/\\\\\\\"",
            "\\u0041",
            "\\u00e9",
            "\\ud83d\\ude00",
            "\\ud83d",
            "\\ude00",
            "\\ud83d\\u0041",
            "\\u12",
            "\\u+041",
            "\\uFFFF",
            "\\x",
            "\\u0000",
            "\\uDBFF\\uDFFF",
        ];
        let mut accepted = 0;
        for first in parts {
            for second in parts {
                let text = format!("{first}x{second}");
                let theirs = serde_json::from_str::<String>(&format!("\"{text}\"")).ok();
                assert_eq!(unescape(&text), theirs, "{text}");
                accepted += usize::from(theirs.is_some());
            }
        }
        assert!(accepted > 50, "{accepted}");
    }
}
