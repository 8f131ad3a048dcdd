//! The sending half of a driver.

use std::io;
use std::task::{Context, Poll};

use qmp_protocol::{Connection, End, Output};

use crate::runtime::Link;

/// The output that is being sent.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) output: Output,
    state: State,
    /// The position in the output from which on nothing was accepted.
    refused: Option<u64>,
}

#[derive(Debug, Default)]
enum State {
    /// Everything that was written has been sent on.
    #[default]
    Flushed,
    /// The link may have buffered something.
    Unflushed,
    /// The peer accepts nothing any more, for this reason.
    Refused(io::Error),
    /// The same, and the reason has been reported.
    Closed,
}

impl Writer {
    /// Sends what the link accepts now.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, link: &mut impl Link) {
        while !self.output.is_empty() {
            let bytes = self.output.piece();
            let written = match self.output.descriptors() {
                [] => link.poll_write(cx, bytes),
                descriptors => link.poll_write_with_descriptors(cx, bytes, descriptors),
            };
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => return self.refuse(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.output.sent(count);
                    self.state = State::Unflushed;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return self.refuse(error),
            }
        }
        if let State::Unflushed = self.state {
            match link.poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.state = State::Flushed,
                Poll::Ready(Err(error)) => self.refuse(error),
            }
        }
    }

    /// Discards the output: the peer accepts nothing any more. It may have said why, so the driver
    /// goes on reading.
    #[inline]
    fn refuse(&mut self, error: io::Error) {
        self.state = State::Refused(error);
        self.refused.get_or_insert(self.output.position());
        self.output.clear();
    }

    #[inline]
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused(_))
    }

    /// Returns whether anything that was written has not been sent.
    #[inline]
    pub(super) fn has_lost(&self) -> bool {
        !matches!(self.state, State::Flushed) || !self.output.is_empty()
    }

    /// Tells the connection, which is about to end, what has not been sent.
    #[inline]
    pub(super) fn report_loss(&self, connection: &mut Connection) {
        if self.has_lost() {
            // What was buffered by the link may have been sent.
            connection.lost_from(self.refused.unwrap_or_else(|| self.output.position()));
        }
    }

    /// Takes the reason why the peer accepts nothing, as the end of the connection.
    #[inline]
    pub(super) fn take_refusal(&mut self) -> Option<End> {
        if !self.is_refused() {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Refused(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(End::Eof),
            State::Refused(error) => Some(End::Transport(error)),
            _ => None,
        }
    }
}
