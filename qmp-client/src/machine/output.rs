//! What is to be sent: bytes, and descriptors that go with a command.

use std::collections::VecDeque;

/// A file descriptor that travels with a command.
#[cfg(unix)]
pub type Descriptor = std::os::fd::OwnedFd;
/// There are none here.
#[cfg(not(unix))]
pub type Descriptor = std::convert::Infallible;

/// Bytes to be sent, in pieces: one begins wherever descriptors do, so that they go out with the
/// first byte of their command and not with an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    /// Where a command with descriptors begins, counted from the beginning of `bytes`.
    descriptors: VecDeque<(usize, Vec<Descriptor>)>,
}

impl Output {
    /// Where the next command is written, behind all others.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The command that begins at `start` takes these with it.
    pub(super) fn attach(&mut self, start: usize, descriptors: Vec<Descriptor>) {
        if !descriptors.is_empty() {
            self.descriptors.push_back((start, descriptors));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes to be sent in one piece.
    pub(crate) fn piece(&self) -> &[u8] {
        let mut starts = self.descriptors.iter().map(|(start, _)| *start);
        let end = starts.find(|start| *start > self.sent).unwrap_or(self.bytes.len());
        &self.bytes[self.sent..end]
    }

    /// What goes with the first byte of the piece.
    pub(crate) fn descriptors(&self) -> &[Descriptor] {
        match self.descriptors.front() {
            Some((start, descriptors)) if *start == self.sent => descriptors,
            _ => &[],
        }
    }

    pub(crate) fn sent(&mut self, count: usize) {
        if count > 0 && !self.descriptors().is_empty() {
            // Once they are sent, they are the peer's.
            self.descriptors.pop_front();
        }
        self.sent += count;
        if self.sent >= self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives memory back, but for `keep` bytes, if there is nothing to be sent.
    pub(crate) fn release(&mut self, keep: usize) {
        if self.bytes.is_empty() && self.bytes.capacity() > keep {
            self.clear();
        }
    }
}
