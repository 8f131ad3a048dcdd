//! Finds the ends of lines.

/// Returns the index of the first newline.
pub(crate) fn newline(bytes: &[u8]) -> Option<usize> {
    // The search in a block of this size is vectorized.
    const BLOCK: usize = 32;
    let mut start = 0;
    for block in bytes.chunks(BLOCK) {
        if is_newline_in(block) {
            return block.iter().position(|byte| *byte == b'\n').map(|at| start + at);
        }
        start += block.len();
    }
    None
}

/// Looks at every byte of a block, even after a newline.
#[inline(always)]
fn is_newline_in(block: &[u8]) -> bool {
    let mut found = false;
    for byte in block {
        found |= *byte == b'\n';
    }
    found
}

/// Returns whether there is a newline.
#[inline]
pub(crate) fn has_newline(bytes: &[u8]) -> bool {
    // As in `newline`; the last block may overlap the one before it.
    const BLOCK: usize = 16;
    let Some(last) = bytes.last_chunk::<BLOCK>() else { return bytes.contains(&b'\n') };
    if is_newline_in(last) {
        return true;
    }
    for block in bytes.chunks_exact(BLOCK) {
        if is_newline_in(block) {
            return true;
        }
    }
    false
}
