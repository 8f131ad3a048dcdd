//! Listeners that go on after errors which concern one client only, or which pass.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// The time to wait before clients are accepted again, after the process or the server has had too
/// many connections.
pub(crate) const BACKOFF: Duration = Duration::from_millis(50);

/// Waits for the next client of a blocking listener. A client that gives up while it waits is passed
/// over. If the process runs out of file descriptors, further clients wait until it has some again.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:4444")?;
/// let (stream, peer) = qmp_server::accept(|| listener.accept())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns an error if the listener fails.
pub fn accept<T>(mut next: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match next() {
            Err(error) => std::thread::sleep(pause_after(error)?),
            accepted => return accepted,
        }
    }
}

/// Returns the time to wait before clients are accepted again, after this error.
///
/// # Errors
/// Returns the error if the listener has failed.
pub(crate) fn pause_after(error: io::Error) -> io::Result<Duration> {
    match error.kind() {
        // On Windows, a client that has gone is reported as a reset.
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted => {
            Ok(Duration::ZERO)
        }
        _ if is_out_of_resources(&error) => Ok(BACKOFF),
        _ => Err(error),
    }
}

/// Returns whether accepting a client failed for lack of resources, which others may release.
#[cfg(unix)]
fn is_out_of_resources(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

/// Returns whether accepting a client failed for lack of resources, which others may release.
#[cfg(not(unix))]
fn is_out_of_resources(error: &io::Error) -> bool {
    // Too many open sockets (WSAEMFILE), and no buffer space (WSAENOBUFS).
    matches!(error.raw_os_error(), Some(10024 | 10055))
}
