//! A transport, in the terms of the protocol.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use qmp_protocol::{Deadline, End, Input, Output};

use crate::transport::Transport;

/// The number of reads after the peer has refused a write, to learn why.
const LAST_READS: usize = 64;

/// The longest time in which a transport that accepts something at once is not asked to wait.
const LONGEST_SEND: Duration = Duration::from_millis(50);

/// The progress of sending.
pub(super) enum Sent {
    /// Everything has been sent.
    All,
    /// The socket is full.
    Part,
    /// The peer accepts nothing.
    Refused(End),
}

/// A transport that reads into an input and writes an output.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) transport: Box<dyn Transport>,
    /// Whether the transport has shown that it cannot wait without reading.
    only_reads: AtomicBool,
}

impl Wire {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        Self { transport, only_reads: AtomicBool::new(false) }
    }

    /// Returns whether bytes may have arrived that the reader has not passed on. They are the
    /// transport's to show, except for those that have been read without the lock.
    pub(super) fn may_have_arrived(&self, reads_locked: bool) -> bool {
        !reads_locked || self.only_reads.load(Ordering::Relaxed) || self.transport.has_arrived()
    }

    /// Reads what the peer said before it closed the connection: as much as a socket holds.
    pub(super) fn read_last_words(&self, input: &mut Input) -> Result<(), End> {
        for _ in 0..LAST_READS {
            if self.read(input, Some(Duration::ZERO))? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Reads once, and returns the number of bytes; zero if nothing arrived in time.
    pub(super) fn read(&self, input: &mut Input, timeout: Option<Duration>) -> Result<usize, End> {
        match self.transport.read(input.spare(), timeout) {
            Ok(0) => Err(End::Eof),
            Ok(count) => {
                input.filled(count);
                Ok(count)
            }
            Err(error) if is_wait(&error) => Ok(0),
            // The peer closed the connection before it had read everything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(End::Eof),
            Err(error) => Err(End::Transport(error)),
        }
    }

    /// Sends an output, as far as the transport accepts it in time. The time is that of all writes: a
    /// peer may make a little room for each.
    pub(super) fn send(&self, output: &mut Output, timeout: Option<Duration>) -> Sent {
        // A write without time returns at once, and mostly there is only one: no clock is read.
        let begin = timeout.filter(|timeout| !timeout.is_zero()).map(|_| Instant::now());
        let mut deadline = None;
        let mut left = timeout;
        while !output.is_empty() {
            match self.transport.write(output.piece(), output.descriptors(), left) {
                Ok(count) => {
                    output.sent(count);
                    if output.is_empty() {
                        break;
                    }
                    let deadline = *deadline.get_or_insert_with(|| {
                        let longest = timeout?.max(LONGEST_SEND);
                        Deadline::after(begin.unwrap_or_else(Instant::now), longest)
                    });
                    let rest = deadline.map(|deadline| deadline.left(Instant::now()));
                    if rest == Some(Duration::ZERO) {
                        return Sent::Part;
                    }
                    left = timeout.min(rest.or(timeout));
                }
                Err(error) if is_wait(&error) => return Sent::Part,
                Err(error) => {
                    return Sent::Refused(match error.kind() {
                        io::ErrorKind::BrokenPipe => End::Eof,
                        _ => End::Transport(error),
                    });
                }
            }
        }
        Sent::All
    }

    /// Waits until bytes can be read. Returns false at once if the transport cannot wait for that,
    /// and `None` if the time has passed.
    pub(super) fn wait_readable(&self, timeout: Option<Duration>) -> Result<Option<bool>, End> {
        match self.transport.wait_readable(timeout) {
            Ok(readable) => {
                if !readable {
                    self.only_reads.store(true, Ordering::Relaxed);
                }
                Ok(Some(readable))
            }
            Err(error) if is_wait(&error) => Ok(None),
            Err(error) => Err(End::Transport(error)),
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
