//! Text as QEMU takes it: *modified* UTF-8, in which a NUL may be two bytes, and escapes.

/// What stands for bytes that are no text.
const REPLACEMENT: char = '\u{FFFD}';

/// Reads a string token: without its quotes, escapes resolved.
///
/// The error is what QEMU says of the string.
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

/// Bytes for people to read: whatever is no text is replaced. As in QEMU, a NUL ends them.
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

/// Whether a code point stands for a character at all: half of a surrogate pair does not, nor do
/// the 66 that Unicode keeps for itself.
pub(super) fn is_character(found: char) -> bool {
    let code = u32::from(found);
    !matches!(code, 0xFDD0..=0xFDEF) && code & 0xFFFE != 0xFFFE
}

/// Resolves the escape at the start of `rest`, and says how long it is.
fn unescape(token: &[u8], rest: &[u8], text: &mut String) -> Result<usize, String> {
    let plain = match rest.get(1) {
        Some(b'u') => return unescape_code(token, rest, text),
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

/// Resolves `\uXXXX`, or two of them that are a surrogate pair.
fn unescape_code(token: &[u8], rest: &[u8], text: &mut String) -> Result<usize, String> {
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
            // What stands there is quoted, up to the end of the token with its quote.
            let start = token.len() - 1 - rest.len();
            let end = (start + length).min(token.len());
            Err(format!("{} is not a valid Unicode character", lossy(&token[start..end])))
        }
    }
}

fn code_unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(br"\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    // from_str_radix would take a sign.
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// The character that the bytes start with, if they do, and how many bytes to go on by.
fn character(bytes: &[u8]) -> (Option<char>, usize) {
    let Some(&lead) = bytes.first() else { return (None, 1) };
    if lead.is_ascii() {
        return (Some(char::from(lead)), 1);
    }
    let length = match lead.leading_ones() {
        length @ 2..=6 => length as usize,
        // A byte that goes on nothing, or that no encoding has.
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
