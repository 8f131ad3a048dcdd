//! Finds members by their names in JSON text, which need not be valid, and masks their values.

use std::borrow::Cow;

use super::quoted::{is_quote, string_end};
use super::strict::unquote;
use super::{SECRET, human};

/// The beginning of a file name that is JSON.
const MARK: &str = "json:";

/// How the value of a member is masked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Masking {
    Show,
    Hide,
    /// The value is a command of the human monitor, which may have secrets.
    HumanLine,
}

/// Masks values of members, and passes everything that is hidden to a function, as it is written.
#[inline]
pub(super) fn mask<'t>(
    text: &'t str,
    masking: &dyn Fn(&str) -> Masking,
    hidden: &mut dyn FnMut(&str),
) -> Cow<'t, str> {
    let bytes = text.as_bytes();
    let (mut masked, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        if !is_quote(bytes[at]) {
            at += 1;
            continue;
        }
        let end = string_end(bytes, at);
        let begin = std::mem::replace(&mut at, end);
        let colon = after_space(bytes, end);
        let found = if bytes.get(colon) == Some(&b':') {
            let start = after_space(bytes, colon + 1);
            let masking = unquote(&text[begin..end]).map_or(Masking::Show, |name| masking(&name));
            match masking {
                Masking::Show => None,
                Masking::Hide | Masking::HumanLine => {
                    let end = value_end(bytes, start);
                    let shown = match masking {
                        Masking::HumanLine => human::mask(&text[start..end]),
                        _ => Some(format!("\"{SECRET}\"")),
                    };
                    Some((start, end, shown))
                }
            }
        } else {
            let shown = mask_nested(&text[begin..end], masking, hidden);
            shown.map(|shown| (begin, end, Some(shown)))
        };
        let Some((start, end, shown)) = found else { continue };
        at = end;
        if let Some(shown) = shown {
            hidden(&text[start..end]);
            masked.push_str(&text[copied..start]);
            masked.push_str(&shown);
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// Masks the members of the file names in a text that are JSON, and nothing else. Returns none if they
/// have no secrets.
#[inline]
pub(super) fn mask_file_names(text: &str, masking: &dyn Fn(&str) -> Masking) -> Option<String> {
    if !text.contains(MARK) {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut masked, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = bytes[at..].iter().position(|byte| is_quote(*byte)) {
        let begin = at + found;
        at = string_end(bytes, begin);
        if let Some(shown) = mask_nested(&text[begin..at], masking, &mut |_| ()) {
            masked.push_str(&text[copied..begin]);
            masked.push_str(&shown);
            copied = at;
        }
    }
    if copied == 0 {
        return None;
    }
    masked.push_str(&text[copied..]);
    Some(masked)
}

/// Masks the members of a file name that is JSON, as in `"json:{\"driver\": \"https\", ...}"`, at any
/// place in a string: errors and the human monitor have it in a sentence. Returns none if it has no
/// secrets.
#[inline]
fn mask_nested(
    quoted: &str,
    masking: &dyn Fn(&str) -> Masking,
    hidden: &mut dyn FnMut(&str),
) -> Option<String> {
    let inner = unquote(quoted)?;
    let (before, name) = inner.split_at(inner.find(MARK)? + MARK.len());
    // Each level doubles the backslashes, so that the recursion is not deep.
    match mask(name, masking, hidden) {
        Cow::Borrowed(_) => None,
        Cow::Owned(shown) => serde_json::to_string(&format!("{before}{shown}")).ok(),
    }
}

/// Returns the strings in a text, as they are written, with their quotes.
#[inline]
pub(super) fn strings(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = text.as_bytes();
        at += bytes.get(at..)?.iter().position(|byte| is_quote(*byte))?;
        let begin = at;
        at = string_end(bytes, at);
        Some(&text[begin..at])
    })
}

#[inline]
fn after_space(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Returns the index after the value that begins at `start`, or the length of the text.
#[inline]
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => return at,
            _ => at += 1,
        }
        let ended =
            depth == 0 && matches!(bytes[at.min(bytes.len()) - 1], b'"' | b'\'' | b'}' | b']');
        if ended {
            return at.min(bytes.len());
        }
    }
    bytes.len()
}
