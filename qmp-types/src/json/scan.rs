//! Scans the bytes of JSON text, eight at a time where that pays.
//!
//! Every function takes the whole text and an index into it, and returns an index.

use crate::names;

/// A bit in each byte of a word: the lowest, the highest.
const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// Returns the index of the first byte from `at` on that is not white space.
#[inline(always)]
pub(super) fn after_space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(byte) if *byte > b' ' => at,
        _ => after_more_space(bytes, at),
    }
}

/// Like [`after_space`], where QEMU writes one space: after a comma or a colon.
#[inline(always)]
pub(super) fn after_one_space(bytes: &[u8], at: usize) -> usize {
    after_space(bytes, at + usize::from(bytes.get(at) == Some(&b' ')))
}

/// The slow path of [`after_space`].
#[inline(never)]
fn after_more_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Returns the index after the array or object that begins at `start`. Only its brackets and strings
/// are looked at.
pub(super) fn skip_brackets(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    let mut depth = 1_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = short_string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// Returns the index of the next member `name`, in whatever object. The inside of a string may be
/// mistaken for one.
pub(super) fn find_name(bytes: &[u8], mut at: usize, name: &str) -> Option<usize> {
    // Two bytes that are rare in other names are looked for: a hyphen and the byte before it, or the
    // quote and the first byte.
    let letters = name.as_bytes();
    let (offset, pair) = match letters.windows(2).position(|pair| pair[1] == b'-') {
        Some(index) => (index + 1, [letters[index], b'-']),
        None => (0, [b'"', *letters.first()?]),
    };
    loop {
        let found = find_pair(bytes, at + offset, pair)?;
        at = found - offset;
        if bytes.get(at) == Some(&b'"')
            && names::is_quoted(name, bytes.get(at + 1..)?)
            && bytes.get(after_space(bytes, at + 1 + name.len() + 1)) == Some(&b':')
        {
            return Some(at);
        }
        at += 1;
    }
}

/// Returns the index of the next member of the object that `at` is in whose name, as it is written, is
/// the wanted one. Nothing is checked on the way.
pub(super) fn find_member(
    text: &str,
    mut at: usize,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut is_name = true;
    loop {
        match bytes.get(at)? {
            b'"' => {
                let end = string_end(bytes, at)?;
                if is_name && text.get(at + 1..end - 1).is_some_and(is_wanted) {
                    return Some(at);
                }
                is_name = false;
                at = end;
            }
            b'{' | b'[' => at = skip_brackets(bytes, at)?,
            b'}' | b']' => return None,
            byte => {
                is_name |= *byte == b',';
                at += 1;
            }
        }
    }
}

/// Returns the index after the value that begins at `start`, if it ends. Nothing is checked on the way.
pub(super) fn skip_value(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes.get(start)? {
        b'"' => string_end(bytes, start),
        b'{' | b'[' => skip_brackets(bytes, start),
        _ => {
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let rest = &bytes[start..];
            Some(start + rest.iter().position(ends).unwrap_or(rest.len()))
        }
    }
}

/// Returns the index after the string that begins at `start`, if it ends.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    end_of_inside(bytes, start + 1)
}

/// Like [`string_end`], with a fast path for short strings.
#[inline(always)]
fn short_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let at = plain_end(bytes, start + 1);
    if bytes.get(at) == Some(&b'"') { Some(at + 1) } else { end_of_inside(bytes, at) }
}

/// Returns the index after the string that `at` is inside of, if it ends.
#[inline(never)]
fn end_of_inside(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_end_of_long(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Returns the index of the first quote, backslash or control character from `at` on, or the end of
/// the text.
#[inline(always)]
#[must_use]
pub fn plain_end(bytes: &[u8], at: usize) -> usize {
    // Most strings are shorter than a window, which may reach beyond their end.
    match bytes.get(at..).and_then(<[u8]>::first_chunk).map(special_in) {
        None => plain_end_of_text(bytes, at),
        Some(0) => plain_end_of_long(bytes, at + 8),
        Some(special) => at + special.trailing_zeros() as usize / 8,
    }
}

/// Marks the special ones of eight bytes: the lowest bit that is set is in the first of them.
#[inline(always)]
fn special_in(window: &[u8; 8]) -> u64 {
    let word = u64::from_le_bytes(*window);
    // In each of these words, the lowest high bit that is set belongs to the first byte below the
    // limit. The first word swaps neighbors at a distance of two, which puts the quote next to the
    // control characters.
    let quote_or_control = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGHS
}

/// Continues [`plain_end`] after the first window; slow paths begin with it.
#[inline(never)]
pub(super) fn plain_end_of_long(bytes: &[u8], mut at: usize) -> usize {
    while let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let special = special_in(window);
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    plain_end_of_text(bytes, at)
}

/// Finishes [`plain_end`] for the last bytes of the text.
#[cold]
fn plain_end_of_text(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    rest.iter().position(is_special).map_or(bytes.len(), |plain| at + plain)
}

/// Returns the index of the first place from `at` on where two bytes are side by side.
pub(super) fn find_pair(bytes: &[u8], mut at: usize, pair: [u8; 2]) -> Option<usize> {
    const WINDOW: usize = 32;
    // A window and one byte more: the second byte of a pair may be the first of the next window.
    while let Some(window) = bytes.get(at..)?.first_chunk::<{ WINDOW + 1 }>() {
        // Without a branch in it, this loop compares all of them at once.
        let mut found = false;
        for index in 0..WINDOW {
            found |= (window[index] == pair[0]) & (window[index + 1] == pair[1]);
        }
        if found {
            break;
        }
        at += WINDOW;
    }
    while let Some(window) = bytes.get(at..)?.first_chunk() {
        let word = u64::from_le_bytes(*window);
        let others =
            (word ^ (ONES * u64::from(pair[0]))) | ((word >> 8) ^ (ONES * u64::from(pair[1])));
        let found = others.wrapping_sub(ONES) & !others & HIGHS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 7;
    }
    bytes.get(at..)?.windows(2).position(|two| two == pair).map(|skipped| at + skipped)
}
