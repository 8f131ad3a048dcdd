//! Strings as QEMU reads them: *modified* UTF-8, in which NUL may be encoded as two bytes, and
//! escape sequences.

/// The replacement for bytes that are not valid text.
const REPLACEMENT: char = '\u{FFFD}';

/// Returns the value of a string token: without its quotes and with escape sequences resolved.
///
/// The error is QEMU's message for the string.
pub(super) fn unquote(token: &[u8]) -> Result<String, String> {
    let mut rest = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
    let mut text = String::with_capacity(rest.len());
    while let Some(&byte) = rest.first() {
        let length = match byte {
            b'\\' => unescape(token, rest, &mut text)?,
            0..=0x7F => {
                let plain = rest.iter().take_while(|byte| byte.is_ascii() && **byte != b'\\');
                let length = plain.count();
                text.push_str(std::str::from_utf8(&rest[..length]).unwrap_or_default());
                length
            }
            _ => match character(rest) {
                (Some(found), length) => {
                    text.push(found);
                    length
                }
                (None, _) => return Err("invalid UTF-8 sequence in string".to_owned()),
            },
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(text)
}

/// Returns bytes as text, with invalid parts replaced. As in QEMU, the text ends at a NUL byte.
pub(super) fn lossy(bytes: &[u8]) -> String {
    let mut rest = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut text = String::with_capacity(rest.len());
    while !rest.is_empty() {
        let (found, length) = character(rest);
        text.push(found.unwrap_or(REPLACEMENT));
        rest = rest.get(length..).unwrap_or_default();
    }
    text
}

/// Returns whether a code point is valid in QEMU's strings: the 66 noncharacters of Unicode are not.
pub(super) fn is_character(found: char) -> bool {
    let code = u32::from(found);
    !matches!(code, 0xFDD0..=0xFDEF) && code & 0xFFFE != 0xFFFE
}

/// Resolves the escape sequence at the start of `rest`, and returns its length in bytes.
fn unescape(token: &[u8], rest: &[u8], text: &mut String) -> Result<usize, String> {
    let plain = match rest.get(1) {
        Some(b'u') => return unescape_unicode(token, rest, text),
        Some(&found @ (b'"' | b'\'' | b'\\' | b'/')) => char::from(found),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{C}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        _ => return Err("invalid escape sequence in string".to_owned()),
    };
    text.push(plain);
    Ok(2)
}

/// Resolves `\uXXXX`, or two of them that form a surrogate pair, and returns the length in bytes.
fn unescape_unicode(token: &[u8], rest: &[u8], text: &mut String) -> Result<usize, String> {
    let first = code_unit(rest);
    let pair = first.zip(code_unit(rest.get(6..).unwrap_or_default()));
    let (code, length) = match (first, pair) {
        (_, Some((high @ 0xD800..=0xDBFF, low @ 0xDC00..=0xDFFF))) => {
            (Some(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 12)
        }
        (first, _) => (first, 6),
    };
    match code.and_then(char::from_u32).filter(|found| is_character(*found)) {
        Some(found) => {
            text.push(found);
            Ok(length)
        }
        None => {
            // Quote the sequence; at the end of the token that includes the closing quote.
            let start = token.len() - 1 - rest.len();
            let end = (start + length).min(token.len());
            Err(format!("{} is not a valid Unicode character", lossy(&token[start..end])))
        }
    }
}

fn code_unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(br"\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    // `from_str_radix` would accept a sign.
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Returns the character at the start of the bytes, or `None` if it is invalid, and the number of
/// bytes to skip.
fn character(bytes: &[u8]) -> (Option<char>, usize) {
    let Some(&lead) = bytes.first() else { return (None, 1) };
    if lead.is_ascii() {
        return (Some(char::from(lead)), 1);
    }
    let length = match lead.leading_ones() {
        length @ 2..=6 => length as usize,
        // A stray continuation byte, or one that no encoding contains.
        _ => return (None, 1),
    };
    let mut code = u32::from(lead) & (0x7F >> length);
    for at in 1..length {
        match bytes.get(at) {
            Some(&byte) if byte & 0xC0 == 0x80 => code = code << 6 | u32::from(byte & 0x3F),
            _ => return (None, at),
        }
    }
    let least = [0x80, 0x800, 0x1_0000, 0x20_0000, 0x400_0000][length - 2];
    let is_nul = code == 0 && length == 2;
    let found = char::from_u32(code).filter(|found| is_character(*found));
    (found.filter(|_| code >= least || is_nul), length)
}
