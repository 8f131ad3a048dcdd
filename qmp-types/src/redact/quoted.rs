//! Strings in quotes, as they stand in a text.

#[inline]
pub(super) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// Returns the index after the string that begins at `start`, or the length of the text.
#[inline]
pub(super) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if *byte == bytes[start] => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}
