//! A call that also waits for an event.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use qmp_protocol::{Closed, Deadline, End, Request, Timeout, WaitedFor};

use super::draft::Draft;
use super::parting::Parting;
use super::shared::{Follow, Handle};
use super::submitted::Submitted;
use crate::error::{Error, Result};
use crate::inbox::SubscriptionId;
use crate::queue::{Journal, Names};
use qmp_protocol::RawEvent;

/// A call and an event that follows it, as a future; [`Call::until`](super::Call::until) creates
/// it. It resolves to the reply and the event.
///
/// # Cancel safety
///
/// The future may be dropped at any moment; see [`Client`](crate::Client#cancel-safety).
#[must_use = "the call is made when the future is awaited"]
pub struct Until<R: Request, T, W> {
    stage: Stage<R>,
    /// The name of the event; `None` if any may be the one.
    name: Option<&'static str>,
    wanted: W,
    reply: Option<R::Return>,
    event: Option<T>,
    /// The number of events that were dropped, any of which may have been the one.
    lagged: u64,
}

enum Stage<R> {
    New(Draft<R>),
    Submitted(Box<Pursuit>),
    Failed,
}

/// The call and the subscription, once they exist.
struct Pursuit {
    submitted: Submitted,
    subscription: Option<SubscriptionId>,
    taken: Journal,
    names: Names,
    deadline: Option<Deadline>,
}

impl<R: Request, T, W> fmt::Debug for Until<R, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pursuit {
    #[inline]
    fn handle(&self) -> &Handle {
        self.submitted.handle()
    }

    /// Takes the next event; `None` if the deadline has passed.
    #[inline]
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RawEvent>>> {
        if self.taken.is_empty() {
            let Some(id) = self.subscription else { return Poll::Pending };
            let at = self.deadline.map(|deadline| deadline.at);
            ready!(self.submitted.handle().poll_event(id, at, &mut self.taken, cx))?;
        }
        Poll::Ready(Ok(self.taken.pop().map(|taken| taken.into_raw(&mut self.names))))
    }

    #[inline]
    fn has_ended(&self) -> bool {
        self.handle().lock().connection.ended().is_some()
    }
}

impl Drop for Pursuit {
    #[inline]
    fn drop(&mut self) {
        if let Some(id) = self.subscription {
            self.handle().unsubscribe(id);
        }
    }
}

impl<R: Request, T, W: FnMut(&RawEvent) -> Option<Result<T>>> Until<R, T, W> {
    pub(super) fn new(draft: Draft<R>, name: Option<&'static str>, wanted: W) -> Self {
        Self { stage: Stage::New(draft), name, wanted, reply: None, event: None, lagged: 0 }
    }

    fn begin(&mut self) -> Result<()> {
        let Stage::New(_) = self.stage else { return Ok(()) };
        let Stage::New(draft) = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return Ok(());
        };
        let term = draft.term();
        let follow = Follow::named(self.name);
        let (submitted, subscription) = draft.submit(term, follow, Parting::Abandon, None)?;
        let (taken, names, deadline) = (Journal::default(), Names::default(), term.deadline);
        let pursuit = Pursuit { submitted, subscription, taken, names, deadline };
        self.stage = Stage::Submitted(Box::new(pursuit));
        Ok(())
    }

    #[inline]
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Stage::Submitted(pursuit) = &mut self.stage else { return Poll::Pending };
        loop {
            let event = match pursuit.poll_event(cx) {
                // Any of the dropped events may have been the one: another may never arrive.
                Poll::Pending if self.lagged > 0 && self.reply.is_some() => {
                    return Poll::Ready(Err(Error::Lagged(self.lagged)));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(event))) => event,
                // The events that are left may still contain it.
                Poll::Ready(Err(Error::Lagged(count))) => {
                    self.lagged += count;
                    continue;
                }
                Poll::Ready(Ok(None)) => {
                    let Some(deadline) = pursuit.deadline else {
                        // Unreachable: without a deadline, only the end of the connection ends it.
                        return Poll::Ready(Err(Closed::new(None, &Arc::new(End::Local)).into()));
                    };
                    let command = Some(pursuit.submitted.name.clone());
                    let waited_for = WaitedFor::Event { name: self.name, command };
                    return Poll::Ready(Err(Timeout::new(waited_for, deadline.within).into()));
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
        this.begin()?;
        let Stage::Submitted(pursuit) = &mut this.stage else { return Poll::Pending };
        if this.reply.is_none() {
            if let Poll::Ready(reply) = pursuit.submitted.poll_reply(cx) {
                // A command that failed has no effect to wait for.
                this.reply = Some(reply?);
            }
        }
        // If the connection ends before the reply, the reply's own error says more.
        if this.event.is_none() && (this.reply.is_some() || !pursuit.has_ended()) {
            match this.poll_event(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(event)) => this.event = Some(event),
                // The call has the same deadline, and reports it.
                Poll::Ready(Err(error)) if this.reply.is_none() && error.is_timeout() => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
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

// Nothing in it is pinned.
impl<R: Request, T, W> Unpin for Until<R, T, W> {}
