//! A call that also waits for an event.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use qmp_types::Event;

use super::call::Call;
use crate::error::{Closed, End, Error, Result, Timeout, WaitedFor};
use crate::events::{Occurrence, RawEvent, decode_event};
use crate::machine::Deadline;
use crate::request::Request;

/// A call and an event that it brings about, as a future: [`Call::until`] makes it. It gives what
/// the command returns, and the event.
///
/// # Cancel safety
///
/// It may be dropped at any moment; see [`Client`](super::Client#cancel-safety).
#[must_use = "a call is made when it is awaited"]
pub struct Until<R: Request, E, P> {
    call: Call<R>,
    predicate: P,
    subscription: Option<u64>,
    taken: VecDeque<RawEvent>,
    deadline: Option<Deadline>,
    reply: Option<R::Return>,
    event: Option<Occurrence<E>>,
    begun: bool,
}

impl<R: Request, E, P> fmt::Debug for Until<R, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until").field("call", &self.call).finish_non_exhaustive()
    }
}

impl<R: Request, E: Event, P: FnMut(&E) -> bool> Until<R, E, P> {
    pub(super) fn new(call: Call<R>, predicate: P) -> Self {
        let (subscription, deadline, reply, event) = (None, None, None, None);
        let taken = VecDeque::new();
        Self { call, predicate, subscription, taken, deadline, reply, event, begun: false }
    }

    fn begin(&mut self) -> Result<()> {
        self.begun = true;
        self.deadline = self.call.client().hold().deadline_after(self.call.limit());
        self.subscription = self.call.submit(self.deadline, Some(E::NAME))?;
        Ok(())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Occurrence<E>>> {
        let Some(number) = self.subscription else { return Poll::Pending };
        loop {
            let at = self.deadline.map(|limit| limit.at);
            let polled = match self.taken.pop_front() {
                Some(event) => Poll::Ready(Ok(Some(event))),
                None => self.call.client().hold().poll_event(number, at, &mut self.taken, cx),
            };
            let event = match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(event))) => event,
                Poll::Ready(Ok(None)) => {
                    // Without a deadline, it has told that the connection has ended before.
                    let Some(limit) = self.deadline else {
                        let end = std::sync::Arc::new(End::Local);
                        return Poll::Ready(Err(Closed::new(None, &end).into()));
                    };
                    let waited_for = WaitedFor::Event(Some(E::NAME));
                    return Poll::Ready(Err(Timeout::new(waited_for, limit.within).into()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            };
            match decode_event::<E>(&event.name, event.data.as_deref()) {
                Ok(Some(found)) if (self.predicate)(&found) => {
                    return Poll::Ready(Ok(Occurrence::new(found, event.timestamp)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<R: Request, E: Event, P: FnMut(&E) -> bool> Future for Until<R, E, P> {
    type Output = Result<(R::Return, Occurrence<E>), Error>;

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

impl<R: Request, E, P> Until<R, E, P> {
    fn ended(&self) -> bool {
        self.call.client().hold().lock().machine.ended().is_some()
    }
}

// Nothing in it is pinned.
impl<R: Request, E, P> Unpin for Until<R, E, P> {}

impl<R: Request, E, P> Drop for Until<R, E, P> {
    fn drop(&mut self) {
        if let Some(number) = self.subscription {
            self.call.client().hold().unsubscribe(number);
        }
    }
}
