//! Upper bounds of the memory that values use.

use super::lexer::Kind;

// Objects and arrays allocate room for several members at a time. The minimum of an object is
// 11 members of 24 bytes for the name and 32 for the value.
pub(super) const OBJECT_COST: usize = 704;
const ARRAY_COST: usize = 160;
pub(super) const OTHER_COST: usize = 64;

/// Returns the bytes that a token adds to a value, at most.
pub(super) fn cost(kind: Kind, bytes: &[u8]) -> usize {
    match kind {
        Kind::BraceOpen => OBJECT_COST,
        Kind::BracketOpen => ARRAY_COST,
        Kind::Text => OTHER_COST + bytes.len(),
        _ => OTHER_COST,
    }
}
