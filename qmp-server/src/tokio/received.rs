//! Results of reads.

use crate::descriptors::Descriptor;

/// The result of a read.
pub(super) struct Received {
    pub(super) count: usize,
    pub(super) descriptors: Vec<Descriptor>,
}
