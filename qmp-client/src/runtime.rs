//! The interface between the asynchronous client and a runtime.
//!
//! The client needs two things of a runtime: a stream ([`Link`]) and a timer ([`Clock`]). The
//! modules for tokio and for futures-io implement them, and so can a crate of your own, for any
//! other runtime:
//!
//! 1. Implement [`Link`] for the runtime's stream, and [`Clock`] for its timer.
//! 2. Connect with [`connect`], which retries as the [`Options`] say. The runtime makes the single
//!    attempt, and sleeps.
//! 3. Pass the stream to [`start`], spawn the [`Driver`] that it returns, and await the
//!    [`Connecting`] for the client.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use qmp_protocol::Descriptor;

use crate::address::Address;
use crate::attempts::{Attempts, check_alive};
use crate::error::Result;
use crate::nonblocking::{Connecting, Driver};
use crate::options::Options;

/// A stream of bytes in both directions.
pub trait Link: Unpin {
    /// Reads at least one byte. Zero bytes mean that the peer has closed the connection.
    ///
    /// # Errors
    /// The operating system's.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes at least one byte.
    ///
    /// # Errors
    /// The operating system's.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Sends what was written and buffered.
    ///
    /// # Errors
    /// The operating system's.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes at least one byte, with file descriptors that travel with the first one.
    ///
    /// # Errors
    /// The operating system's; [`Unsupported`](io::ErrorKind::Unsupported) unless the stream
    /// [passes descriptors](Self::passes_descriptors).
    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        descriptors: &[Descriptor],
    ) -> Poll<io::Result<usize>> {
        let _ = (cx, bytes, descriptors);
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Returns whether file descriptors can be passed: only over a Unix socket.
    fn passes_descriptors(&self) -> bool {
        false
    }

    /// Returns the sending side, if callers can share it with the driver: a caller writes its command
    /// itself, without waking the driver, while nothing else is being sent.
    fn sender(&self) -> Option<Arc<dyn Sender>> {
        None
    }

    /// Returns whether bytes have arrived that the runtime may not have reported yet. A stream whose
    /// reads always ask the operating system returns false.
    fn has_arrived(&self) -> bool {
        false
    }
}

/// The sending side of a [`Link`], as callers use it.
pub trait Sender: Send + Sync {
    /// Writes at least one byte, if that is possible at once.
    ///
    /// # Errors
    /// The operating system's; [`WouldBlock`](io::ErrorKind::WouldBlock) if no byte was accepted. The
    /// driver tries again, and handles the error.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// A clock, and a timer that follows it.
pub trait Clock: Unpin {
    /// Returns the current time.
    fn now() -> Instant;

    /// Waits until a moment, which may differ from the one that was passed before.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// Arranges that the task is polled again, once others have had a turn. A driver that is never out
    /// of work calls this. By default, the task is woken immediately; override it if the runtime then
    /// polls the same task again before the others.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}

/// Creates a client of an open stream, and its driver. The client works while the driver is polled:
/// spawn it, then await the client.
pub fn start<L: Link, C: Clock>(
    link: L,
    clock: C,
    options: &Options,
) -> (Connecting, Driver<L, C>) {
    crate::nonblocking::start(link, clock, options, C::now())
}

/// Connects to an address, with repeated attempts if the [options](Options::wait_for_socket) say so.
///
/// `attempt` connects once and may take the time that it is given. `sleep` waits. `try_wait` says
/// whether the process that is expected to open the socket has ended; return `Ok(None)` without such
/// a process.
///
/// # Errors
/// No attempt succeeds, the deadline passes, or the process ends.
pub async fn connect<T, C: Clock>(
    address: &Address,
    options: &Options,
    mut attempt: impl AsyncFnMut(&Address, Duration) -> io::Result<T>,
    mut sleep: impl AsyncFnMut(Duration),
    mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>,
) -> Result<T> {
    let mut attempts = Attempts::new(address, options, C::now());
    loop {
        let within = attempts.next(C::now());
        let error = match attempt(address, within).await {
            Ok(stream) => {
                attempts.succeeded(options);
                return Ok(stream);
            }
            Err(error) => error,
        };
        check_alive(&mut try_wait)?;
        sleep(attempts.failed(error)?).await;
    }
}
