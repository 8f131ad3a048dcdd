//! Bytes and descriptors that have arrived and are not parsed yet.

use std::collections::VecDeque;

use crate::descriptors::Descriptors;

/// The capacity in bytes that an empty queue keeps.
const KEPT_CAPACITY: usize = 1 << 10;

/// A queue of bytes, and the positions in it at which descriptors have arrived.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: VecDeque<u8>,
    /// The number of bytes that have been removed.
    removed: u64,
    /// Descriptors that arrived with the byte at a position in the stream.
    arrivals: VecDeque<(u64, Descriptors)>,
    current: Descriptors,
}

impl Input {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Adds descriptors that have arrived with the bytes that are pushed next.
    #[cfg(unix)]
    pub(crate) fn push_descriptors(&mut self, descriptors: Descriptors) {
        self.arrivals.push_back((self.removed + self.bytes.len() as u64, descriptors));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Passes bytes to a parser, which returns how many of them it has read. Returns false if no byte
    /// was left.
    pub(crate) fn read(&mut self, read: impl FnOnce(&[u8]) -> usize) -> bool {
        while self.arrivals.front().is_some_and(|(at, _)| *at <= self.removed) {
            self.current = self.arrivals.pop_front().map(|(_, new)| new).unwrap_or_default();
        }
        let (bytes, _) = self.bytes.as_slices();
        if bytes.is_empty() {
            // Do not keep the memory of one large message.
            self.bytes.shrink_to(KEPT_CAPACITY);
            return false;
        }
        let up_to_arrival = match self.arrivals.front() {
            Some((at, _)) => usize::try_from(*at - self.removed).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let count = read(&bytes[..bytes.len().min(up_to_arrival)]);
        self.bytes.drain(..count);
        self.removed += count as u64;
        true
    }

    /// Returns the descriptors that a message can take that ends at the current position.
    pub(crate) fn descriptors(&self) -> Descriptors {
        self.current.clone()
    }
}
