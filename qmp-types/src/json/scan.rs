//! Looks at the bytes of JSON text, eight at a time where that pays.
//!
//! Every function takes the whole text and a place in it, and gives a place.

/// A bit in each byte of a word: the lowest, the highest.
const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// The index of the first byte from `at` on that is no white space.
#[inline(always)]
pub(super) fn after_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The index behind an array or object that begins at `start`. Whether it is one shows when it is
/// read.
pub(super) fn skip_brackets(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    let mut depth = 1_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = skip_string(bytes, at)?;
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

/// Where a member `name` begins next, in whatever object. What looks like one in a string is taken
/// for one.
pub(super) fn find_name(bytes: &[u8], mut at: usize, name: &[u8]) -> Option<usize> {
    let first = *name.first()?;
    loop {
        at = find_pair(bytes, at, [b'"', first])?;
        let end = at + 1 + name.len();
        if bytes.get(at + 1..end) == Some(name)
            && bytes.get(end) == Some(&b'"')
            && bytes.get(after_space(bytes, end + 1)) == Some(&b':')
        {
            return Some(at);
        }
        at += 1;
    }
}

/// Where the member `name` begins of the object that `at` is in. Nothing is checked on the way: what
/// is wrong there shows when it is read.
pub(super) fn find_member(bytes: &[u8], mut at: usize, name: &[u8]) -> Option<usize> {
    let mut is_name = true;
    loop {
        match bytes.get(at)? {
            b'"' => {
                let end = skip_string(bytes, at)?;
                if is_name && bytes.get(at + 1..end - 1) == Some(name) {
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

/// The index behind a string that begins at `start`.
#[inline(always)]
fn skip_string(bytes: &[u8], start: usize) -> Option<usize> {
    let at = plain_end(bytes, start + 1);
    if bytes.get(at) == Some(&b'"') { Some(at + 1) } else { skip_escapes(bytes, at) }
}

/// The same from the first byte on that is not plain.
#[inline(never)]
fn skip_escapes(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The index of the first quote, backslash or control character from `at` on.
#[inline(always)]
#[must_use]
pub fn plain_end(bytes: &[u8], at: usize) -> usize {
    // Most strings are shorter than a window; it may reach beyond their end.
    match bytes.get(at..).and_then(<[u8]>::first_chunk).map(special_in) {
        None => plain_end_of_text(bytes, at),
        Some(0) => plain_end_of_long(bytes, at + 8),
        Some(special) => at + special.trailing_zeros() as usize / 8,
    }
}

/// Which of eight bytes are special: the lowest bit that is set is in the first of them.
#[inline(always)]
fn special_in(window: &[u8; 8]) -> u64 {
    let word = u64::from_le_bytes(*window);
    // The lowest high bit that is set is that of the first byte below the limit, in each of these.
    // The first exchanges neighbours, by twos, so that the quote comes next to the controls.
    let quote_or_control = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGHS
}

/// The same behind the first window.
#[inline(never)]
fn plain_end_of_long(bytes: &[u8], mut at: usize) -> usize {
    while let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let special = special_in(window);
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    plain_end_of_text(bytes, at)
}

/// The same for the last bytes of the text.
#[cold]
fn plain_end_of_text(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    rest.iter().position(is_special).map_or(bytes.len(), |plain| at + plain)
}

/// Where two bytes are beside each other, from `at` on.
pub(super) fn find_pair(bytes: &[u8], mut at: usize, pair: [u8; 2]) -> Option<usize> {
    while let Some(window) = bytes.get(at..)?.first_chunk() {
        let word = u64::from_le_bytes(*window);
        let others =
            (word ^ (ONES * u64::from(pair[0]))) | ((word >> 8) ^ (ONES * u64::from(pair[1])));
        let found = others.wrapping_sub(ONES) & !others & HIGHS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        // The second byte of a pair may be the first of the next window.
        at += 7;
    }
    bytes.get(at..)?.windows(2).position(|two| two == pair).map(|before| at + before)
}
