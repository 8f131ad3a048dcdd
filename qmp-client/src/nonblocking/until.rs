//! A call that also waits for an event.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::call::Call;
use crate::error::{Closed, End, Error, Result, Timeout, WaitedFor};
use crate::events::RawEvent;
use crate::machine::Deadline;
use crate::request::Request;

/// A call and an event that it brings about, as a future: [`Call::until`] makes it. It gives what
/// the command returns, and the event.
///
/// # Cancel safety
///
/// It may be dropped at any moment; see [`Client`](super::Client#cancel-safety).
#[must_use = "a call is made when it is awaited"]
pub struct Until<R: Request, T, W> {
    call: Call<R>,
    /// The one event that it may be.
    name: Option<&'static str>,
    wanted: W,
    subscription: Option<u64>,
    taken: VecDeque<RawEvent>,
    deadline: Option<Deadline>,
    reply: Option<R::Return>,
    event: Option<T>,
    begun: bool,
    /// How many events were dropped, one of which may have been the one.
    lagged: u64,
}

impl<R: Request, T, W> fmt::Debug for Until<R, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until").field("call", &self.call).finish_non_exhaustive()
    }
}

impl<R: Request, T, W: FnMut(&RawEvent) -> Option<Result<T>>> Until<R, T, W> {
    pub(super) fn new(call: Call<R>, name: Option<&'static str>, wanted: W) -> Self {
        let (subscription, deadline, reply, event) = (None, None, None, None);
        let taken = VecDeque::new();
        let (begun, lagged) = (false, 0);
        Self { call, name, wanted, subscription, taken, deadline, reply, event, begun, lagged }
    }

    fn begin(&mut self) -> Result<()> {
        self.begun = true;
        self.deadline = self.call.client().hold().deadline_after(self.call.limit());
        self.subscription = self.call.submit(self.deadline, Some(self.name))?;
        Ok(())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(number) = self.subscription else { return Poll::Pending };
        loop {
            let at = self.deadline.map(|limit| limit.at);
            let polled = match self.taken.pop_front() {
                Some(event) => Poll::Ready(Ok(Some(event))),
                None => self.call.client().hold().poll_event(number, at, &mut self.taken, cx),
            };
            let event = match polled {
                // What was dropped may have been the event: another may never come.
                Poll::Pending if self.lagged > 0 && self.reply.is_some() => {
                    return Poll::Ready(Err(Error::Lagged(self.lagged)));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(event))) => event,
                // What is left may still have it.
                Poll::Ready(Err(Error::Lagged(count))) => {
                    self.lagged += count;
                    continue;
                }
                Poll::Ready(Ok(None)) => {
                    // Without a deadline, it has told that the connection has ended before.
                    let Some(limit) = self.deadline else {
                        let end = std::sync::Arc::new(End::Local);
                        return Poll::Ready(Err(Closed::new(None, &end).into()));
                    };
                    let waited_for = WaitedFor::Event {
                        name: self.name,
                        command: Some(self.call.request.name()),
                    };
                    return Poll::Ready(Err(Timeout::new(waited_for, limit.within).into()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            };
            if let Some(found) = (self.wanted)(&event) {
                return Poll::Ready(found);
            }
        }
    }
}

impl<R: Request, T, W: FnMut(&RawEvent) -> Option<Result<T>>> Future for Until<R, T, W> {
    type Output = Result<(R::Return, T), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if !this.begun {
            this.begin()?;
        }
        if this.reply.is_none()
            && let Poll::Ready(reply) = this.call.poll_reply(cx)
        {
            // A command that failed causes no event.
            this.reply = Some(reply?);
        }
        // The reply's own error says more, if the connection ends before it.
        if this.event.is_none()
            && (this.reply.is_some() || !this.ended())
            && let Poll::Ready(event) = this.poll_event(cx)
        {
            match event {
                Ok(event) => this.event = Some(event),
                // The call has the same deadline, and tells.
                Err(error) if this.reply.is_none() && error.is_timeout() => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if this.reply.is_none() || this.event.is_none() {
            return Poll::Pending;
        }
        match (this.reply.take(), this.event.take()) {
            (Some(reply), Some(event)) => Poll::Ready(Ok((reply, event))),
            _ => Poll::Pending,
        }
    }
}

impl<R: Request, T, W> Until<R, T, W> {
    fn ended(&self) -> bool {
        self.call.client().hold().lock().machine.ended().is_some()
    }
}

// Nothing in it is pinned.
impl<R: Request, T, W> Unpin for Until<R, T, W> {}

impl<R: Request, T, W> Drop for Until<R, T, W> {
    fn drop(&mut self) {
        if let Some(number) = self.subscription {
            self.call.client().hold().unsubscribe(number);
        }
    }
}
