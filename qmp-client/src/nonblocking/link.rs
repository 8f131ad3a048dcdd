//! What a driver needs of a runtime: a stream, and a timer.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::machine::Descriptor;

/// A stream of bytes each way.
pub trait Link: Unpin {
    /// Reads what there is, at least a byte; zero bytes mean that the peer has closed.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes what can be written, at least a byte.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Sends on what was written, if it was kept back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// [`poll_write`](Self::poll_write), with descriptors that go with the first byte.
    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        descriptors: &[Descriptor],
    ) -> Poll<io::Result<usize>>;

    /// Whether descriptors can be passed: only over a Unix socket.
    fn passes_descriptors(&self) -> bool;

    /// Whether something has arrived of which the runtime may not have told yet.
    fn has_arrived(&self) -> bool;
}

/// A timer, and the clock that goes with it.
pub trait Clock: Unpin {
    /// The time now.
    fn now() -> Instant;

    /// Waits for a moment. It is the same one as before, or another.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;
}
