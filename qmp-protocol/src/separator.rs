//! Separators between messages: white space of any kind, byte order marks, control characters, and
//! what a telnet server says about itself.

/// The separators of more than one byte, as the first and the last of a range, in UTF-8: byte order marks,
/// and white space and invisible characters of Unicode.
const WIDE: [(&[u8], &[u8]); 9] = [
    (b"\xC2\x80", b"\xC2\x9F"),         // C1 control characters
    (b"\xC2\xA0", b"\xC2\xA0"),         // no-break space
    (b"\xE1\x9A\x80", b"\xE1\x9A\x80"), // Ogham space mark
    (b"\xE2\x80\x80", b"\xE2\x80\x8F"), // spaces, zero-width characters and marks of direction
    (b"\xE2\x80\xA8", b"\xE2\x80\xAF"), // line and paragraph separators, narrow space
    (b"\xE2\x81\x9F", b"\xE2\x81\xAF"), // mathematical space, word joiner
    (b"\xE3\x80\x80", b"\xE3\x80\x80"), // ideographic space
    (b"\xEF\xBB\xBF", b"\xEF\xBB\xBF"), // byte order mark
    (b"\xEF\xBF\xBD", b"\xEF\xBF\xBD"), // replacement character
];

/// The beginning of some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Beginning {
    /// A separator of this many bytes.
    Separator(usize),
    /// A part of a separator, whose other bytes have not arrived.
    Partial,
    /// Something else, or nothing.
    Other,
}

/// Returns whether bytes begin with a separator.
pub(crate) fn beginning(bytes: &[u8]) -> Beginning {
    match bytes {
        // A telnet server offers options (WILL, WONT, DO) before it sends text. JSON has no such
        // bytes, so that nothing else of telnet matters.
        [0xFF, 0xFB..=0xFD, _, ..] => return Beginning::Separator(3),
        [0xFF] | [0xFF, 0xFB..=0xFD] => return Beginning::Partial,
        _ => {}
    }
    match bytes.first() {
        // 0xFF is the delimiter of guest agents, and both bytes are the mark of UTF-16.
        Some(0..=b' ' | 0x7F | 0xFE..) => return Beginning::Separator(1),
        Some(0xC2 | 0xE1..=0xE3 | 0xEF) => {}
        _ => return Beginning::Other,
    }
    for (first, last) in WIDE {
        let Some(start) = bytes.get(..first.len()) else {
            if first.starts_with(bytes) {
                return Beginning::Partial;
            }
            continue;
        };
        if first <= start && start <= last {
            return Beginning::Separator(first.len());
        }
    }
    Beginning::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_of_any_kind_separates() {
        let invisible = "\0\u{1}\t\n\u{b}\u{c}\r\u{1e} \u{7f}\u{85}\u{9b}\u{a0}\u{1680}\u{2000}\
                         \u{200b}\u{200e}\u{2028}\u{202e}\u{202f}\u{205f}\u{2060}\u{3000}\u{feff}\u{fffd}";
        for character in invisible.chars() {
            let text = character.to_string();
            let found = beginning(text.as_bytes());
            assert_eq!(found, Beginning::Separator(text.len()), "{character:?}");
            for end in 1..text.len() {
                let part = beginning(&text.as_bytes()[..end]);
                assert_eq!(part, Beginning::Partial, "{character:?} to {end}");
            }
        }
        assert_eq!(beginning(b"\xFF\xFE{"), Beginning::Separator(1));
        assert_eq!(beginning(b"\xFE\xFF{"), Beginning::Separator(1));
        for text in ["", "{", "x", "é", "¡", "‐", "•", "\u{2030}", "、", "￼"] {
            assert_eq!(beginning(text.as_bytes()), Beginning::Other, "{text}");
        }
        assert_eq!(beginning(b"\xFF\xFB\x01\xFF"), Beginning::Separator(3));
        assert_eq!(beginning(b"\xFF\xFD"), Beginning::Partial);
        assert_eq!(beginning(b"\xFF"), Beginning::Partial);
        assert_eq!(beginning(b"\x80"), Beginning::Other);
        assert_eq!(beginning(b"\xC2{"), Beginning::Other);
    }
}
