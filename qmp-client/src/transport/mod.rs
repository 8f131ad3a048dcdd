//! Streams for the blocking client.

use std::fmt;
use std::io;
use std::time::Duration;

use qmp_protocol::Descriptor;

mod adapter;
#[cfg(unix)]
mod socket;
mod tcp;
#[cfg(unix)]
mod unix;

pub use adapter::Adapter;
pub use tcp::Tcp;
#[cfg(unix)]
pub use unix::Unix;

/// A stream that a [`blocking::Client`](crate::blocking::Client) can use: bytes in both directions,
/// and a limit on every wait.
///
/// [`Unix`] and [`Tcp`] are the streams that QEMU offers, and [`Adapter`] makes one of anything that
/// reads and writes. Threads share a transport: one reads while others write.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Reads at least one byte, and waits for it at most `timeout`: not at all if that is zero, and
    /// without a limit if it is `None`. Zero bytes mean that the peer has closed the connection.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut) when
    /// nothing arrives in time, and the operating system's.
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize>;

    /// Writes at least one byte, with file descriptors that travel with the first one, and waits for
    /// room at most `timeout`.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut) when no
    /// room is made in time, or sooner, when the transport becomes readable: a peer may wait for that
    /// before it makes room. [`Unsupported`](io::ErrorKind::Unsupported) if there are descriptors and
    /// the transport does not [pass](Self::passes_descriptors) them. And the operating system's.
    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize>;

    /// Closes the connection. A read that waits, in another thread, returns.
    fn close(&self);

    /// Returns whether file descriptors can be passed: only over a Unix socket.
    fn passes_descriptors(&self) -> bool {
        false
    }

    /// Waits at most `timeout` until [`read`](Self::read) returns at once, and returns true. Returns
    /// false at once if the transport cannot do that: then a client that threads share may take an
    /// event for the effect of a command although it arrived just before.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let _ = timeout;
        Ok(false)
    }

    /// Returns whether bytes have arrived that have not been read, as far as that is known.
    fn has_arrived(&self) -> bool {
        false
    }
}
