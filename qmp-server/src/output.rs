//! Bytes to be sent.

use std::sync::Arc;

use crate::budget::{Budget, Charge};

/// The number of sent bytes from which the buffer is moved. Moving it after every write would take
/// quadratic time.
const MOVED_AFTER: usize = 64 << 10;

/// A buffer of bytes to be sent, which counts toward the limit of all connections together.
#[derive(Debug)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    charge: Charge,
}

impl Output {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { bytes: Vec::new(), sent: 0, charge: Charge::new(budget) }
    }

    pub(crate) fn push_line(&mut self, parts: &[&str]) {
        self.bytes.reserve(parts.iter().map(|part| part.len()).sum::<usize>() + 2);
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part.as_bytes()));
        self.bytes.extend_from_slice(b"\r\n");
        self.charge.set(self.len());
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Removes bytes from the start, because they have been sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count.min(self.len());
        if self.sent == self.bytes.len() {
            self.take();
        } else if self.sent >= MOVED_AFTER.max(self.bytes.len() / 2) {
            self.bytes.drain(..self.sent);
            self.bytes.shrink_to(self.bytes.len() * 2);
            self.sent = 0;
        }
        self.charge.set(self.len());
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.sent));
        self.charge.set(0);
        bytes
    }

    /// Returns whether all connections together have reached their limit.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.charge.is_exhausted()
    }
}
