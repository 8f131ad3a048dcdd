//! How bytes get to a monitor and back.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::machine::Descriptor;

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

/// A connection that a [`blocking::Client`](crate::blocking::Client) can use: an ordered stream of
/// bytes each way, and a limit on every wait.
///
/// [`Unix`] and [`Tcp`] are what QEMU offers; [`Adapter`] makes one of anything that reads and
/// writes.
pub trait Transport: fmt::Debug + Send {
    /// Reads what there is, at least a byte, waiting for it no longer than `timeout`: not at all
    /// if it is zero, for ever if it is `None`. Zero bytes mean that the peer has closed.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut) when
    /// nothing arrived in time, and what the system reports.
    fn read(&mut self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize>;

    /// Writes what can be written, at least a byte, waiting for room no longer than `timeout`.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut) when
    /// there is no room in time, or sooner, when there is something to be read: a peer may wait
    /// for that before it makes room. And what the system reports.
    fn write(&mut self, bytes: &[u8], timeout: Option<Duration>) -> io::Result<usize>;

    /// Whether descriptors can be passed: only over a Unix socket.
    fn passes_descriptors(&self) -> bool {
        false
    }

    /// [`write`](Self::write), with descriptors that go with the first byte.
    ///
    /// # Errors
    /// Those of [`write`](Self::write);
    /// [`Unsupported`](io::ErrorKind::Unsupported) where none can be passed.
    fn write_with_descriptors(
        &mut self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let _ = (bytes, descriptors, timeout);
        Err(io::ErrorKind::Unsupported.into())
    }
}
