//! Names of machines and events, fit for subjects and labels.
//!
//! A name may come from a peer, or from a file that a guest's owner has named. It must not become two
//! tokens of a subject, a wildcard, or the end of a label.

use std::fmt::Write as _;

/// The longest token, in bytes. A broker limits the line that has the subject.
const LONGEST: usize = 192;

/// The longest label, in bytes: twice that of a machine's name.
const LONGEST_LABEL: usize = 512;

/// Returns a name as one token of a subject: letters, digits, `-` and `_` stay, and each other byte
/// becomes `%` and two digits. Different names become different tokens, except that a long name is cut
/// off, which a final `%` shows.
pub fn token(name: &str) -> String {
    let mut token = String::new();
    for byte in name.bytes() {
        if token.len() + 3 > LONGEST {
            token.push('%');
            return token;
        }
        push(&mut token, byte, matches!(byte, b'-' | b'_') || byte.is_ascii_alphanumeric());
    }
    if token.is_empty() {
        token.push('%');
    }
    token
}

/// Returns the name of an event as a token. It is never the token of another kind of message, which
/// are lower-case words.
pub fn event_token(name: &str) -> String {
    match name.as_bytes() {
        [first, ..] if first.is_ascii_lowercase() => {
            let mut escaped = String::new();
            push(&mut escaped, *first, false);
            escaped + &token(&name[1..])
        }
        _ => token(name),
    }
}

fn push(token: &mut String, byte: u8, is_plain: bool) {
    if is_plain {
        token.push(char::from(byte));
    } else {
        // Writing to a string does not fail.
        let _ = write!(token, "%{byte:02X}");
    }
}

/// Returns a text as the value of a label, without its quotation marks. Backslashes, quotation marks
/// and newlines are escaped; other control characters are replaced, and a long text is cut off.
pub fn label(text: &str) -> String {
    let mut label = String::new();
    for character in text.chars() {
        if label.len() >= LONGEST_LABEL {
            label.push('…');
            break;
        }
        match character {
            '\\' => label.push_str("\\\\"),
            '"' => label.push_str("\\\""),
            '\n' => label.push_str("\\n"),
            character if character.is_control() => label.push(char::REPLACEMENT_CHARACTER),
            character => label.push(character),
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that is named like the wildcard, or like another machine's subject, has one token.
    #[test]
    fn tokens_are_tokens() {
        let names = [
            ("vm1", "vm1"),
            ("", "%"),
            ("*", "%2A"),
            (">", "%3E"),
            ("a.b", "a%2Eb"),
            ("a%2Eb", "a%252Eb"),
            ("a b\r\nPUB x 0\r\n", "a%20b%0D%0APUB%20x%200%0D%0A"),
            ("\"ü\0", "%22%C3%BC%00"),
        ];
        for (name, expected) in names {
            assert_eq!(token(name), expected);
        }
        for length in 0..300 {
            for character in ["x", ".", "ü"] {
                let name = character.repeat(length);
                let token = token(&name);
                assert!(token.len() <= LONGEST + 1 && !token.is_empty(), "{length}");
                assert!(!token.contains(['.', '*', '>', ' ', '\n']), "{token}");
            }
        }
        assert_eq!(token(&"x".repeat(190)), "x".repeat(190));
        assert_eq!(token(&"x".repeat(191)), "x".repeat(190) + "%");
    }

    #[test]
    fn an_event_does_not_pose_as_a_connection() {
        assert_eq!(event_token("STOP"), "STOP");
        assert_eq!(event_token("connection"), "%63onnection");
        assert_eq!(event_token("c"), "%63%");
        assert_eq!(event_token("éa"), "%C3%A9a");
    }

    #[test]
    fn a_label_ends_where_it_should() {
        assert_eq!(
            label("a\"} 1\nqmp_connected{machine=\"b\\"),
            r#"a\"} 1\nqmp_connected{machine=\"b\\"#
        );
        assert_eq!(label("\r\x1b[31m"), "\u{fffd}\u{fffd}[31m");
        assert!(label(&"\"".repeat(1000)).len() < 520);
    }
}
