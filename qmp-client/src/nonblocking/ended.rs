//! The end of a connection, as a future.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::shared::Handle;

/// The end of a connection, or a deadline, whichever comes first. Resolves to whether the connection
/// has ended.
#[derive(Debug)]
pub(super) struct Ended<'c> {
    handle: &'c Handle,
    deadline: Option<Instant>,
    waiter: Option<u64>,
}

impl<'c> Ended<'c> {
    #[inline]
    pub(super) fn new(handle: &'c Handle, deadline: Option<Instant>) -> Self {
        Self { handle, deadline, waiter: None }
    }
}

impl Future for Ended<'_> {
    type Output = bool;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        let ended = ready!(this.handle.poll_end(&mut this.waiter, this.deadline, cx));
        Poll::Ready(ended)
    }
}

impl Drop for Ended<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.handle.forget_end(waiter);
        }
    }
}
