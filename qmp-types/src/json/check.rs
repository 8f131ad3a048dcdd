//! Checks values without reading them, however deep they are.

use super::scan::{after_space, plain_end_of_long};

/// Returns the index after the value that comes next from `at` on.
///
/// # Errors
/// What is wrong with the value.
pub(super) fn value_end(text: &[u8], mut at: usize) -> Result<usize, (usize, &'static str)> {
    // The brackets that close what is open, the innermost last.
    let mut open = Vec::new();
    loop {
        at = after_space(text, at);
        at = match text.get(at) {
            Some(bracket @ (b'{' | b'[')) => {
                let close = bracket + 2;
                at = after_space(text, at + 1);
                if text.get(at) != Some(&close) {
                    open.push(close);
                    if close == b'}' {
                        at = name_end(text, at)?;
                    }
                    continue;
                }
                at + 1
            }
            Some(b'"') => string_end(text, at)?,
            Some(b'-' | b'0'..=b'9') => number_end(text, at).ok_or((at, "invalid number"))?,
            None => return Err((at, "unexpected end of the text")),
            _ => word_end(text, at).ok_or((at, "expected a value"))?,
        };
        loop {
            let Some(close) = open.last() else { return Ok(at) };
            at = after_space(text, at);
            match text.get(at) {
                Some(b',') if *close == b']' => break at += 1,
                Some(b',') => break at = name_end(text, after_space(text, at + 1))?,
                Some(byte) if byte == close => {
                    open.pop();
                    at += 1;
                }
                None => return Err((at, "unexpected end of the text")),
                _ if *close == b'}' => return Err((at, "expected `,` or `}`")),
                _ => return Err((at, "expected `,` or `]`")),
            }
        }
    }
}

/// Returns the index after the name of a member and its colon.
fn name_end(text: &[u8], at: usize) -> Result<usize, (usize, &'static str)> {
    if text.get(at) != Some(&b'"') {
        return Err((at, "expected the name of a member"));
    }
    let at = after_space(text, string_end(text, at)?);
    if text.get(at) == Some(&b':') { Ok(at + 1) } else { Err((at, "expected `:`")) }
}

fn string_end(text: &[u8], start: usize) -> Result<usize, (usize, &'static str)> {
    let mut at = start + 1;
    loop {
        at = plain_end_of_long(text, at);
        at += match text.get(at..).unwrap_or_default() {
            [b'"', ..] => return Ok(at + 1),
            [b'\\', b'u', digits @ ..] => match digits.first_chunk::<4>() {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return Err((at, "invalid escape in a string")),
            },
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'\\', ..] => return Err((at, "invalid escape in a string")),
            [] => return Err((at, "unterminated string")),
            _ => return Err((at, "control character in a string")),
        }
    }
}

/// Returns the index after the number that begins at `at`.
pub(super) fn number_end(text: &[u8], mut at: usize) -> Option<usize> {
    let next_is = |at: usize, bytes: &[u8]| text.get(at).is_some_and(|byte| bytes.contains(byte));
    let digits_end = |start: usize| {
        let mut end = start;
        while matches!(text.get(end), Some(b'0'..=b'9')) {
            end += 1;
        }
        (end > start).then_some(end)
    };
    at += usize::from(next_is(at, b"-"));
    at = if next_is(at, b"0") { at + 1 } else { digits_end(at)? };
    if next_is(at, b".") {
        at = digits_end(at + 1)?;
    }
    if next_is(at, b"eE") {
        at += 1;
        at = digits_end(at + usize::from(next_is(at, b"+-")))?;
    }
    Some(at)
}

fn word_end(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let word = [&b"null"[..], b"true", b"false"].into_iter().find(|word| rest.starts_with(word))?;
    Some(at + word.len())
}
