//! A call: a command, and the wait for its reply.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use qmp_types::Event;

use super::detached::Parting;
use super::written::Written;
use super::{Client, Until};
use crate::error::Result;
use crate::events::{Occurrence, RawEvent};
use crate::machine::{CallId, Deadline, Descriptor};
use crate::request::{self, Request};

/// A call, as a future: [`Client::execute`](super::Client::execute) makes it. The command is
/// submitted when it is polled for the first time.
///
/// # Cancel safety
///
/// It may be dropped at any moment; see [`Client`](super::Client#cancel-safety).
#[must_use = "a call is made when it is awaited"]
pub struct Call<R: Request> {
    client: Client,
    pub(super) request: R,
    within: Option<Duration>,
    descriptors: Vec<Descriptor>,
    stage: Stage,
    /// What becomes of it if it is dropped.
    pub(super) parting: Parting,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    Submitted(CallId),
    Done,
}

impl<R: Request> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl<R: Request> Call<R> {
    pub(super) fn new(client: Client, request: R) -> Self {
        let (within, descriptors) = (None, Vec::new());
        let (stage, parting) = (Stage::New, Parting::Abandon);
        Self { client, request, within, descriptors, stage, parting }
    }

    /// The deadline, in place of that of the [options](crate::Options::calls_within). It begins
    /// when the command is submitted. [`Duration::MAX`] waits for ever.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }

    /// A file descriptor that travels with the command, as `getfd` and `add-fd` want one. It is
    /// closed on this side when it is sent. QEMU's commands take one each and close any others.
    #[cfg(unix)]
    pub fn descriptor(mut self, descriptor: impl Into<std::os::fd::OwnedFd>) -> Self {
        self.descriptors.push(descriptor.into());
        self
    }

    /// Executes the command and waits for its reply and for an event `E` that satisfies
    /// `predicate`; the deadline is for both. The event may come before the reply, but not before
    /// the command is sent: one that has arrived by then is not it.
    ///
    /// # Errors
    /// Those of [`Client::execute`](super::Client::execute); and the event does not fit, or does
    /// not come in time.
    #[expect(clippy::type_complexity, reason = "nobody has to write it")]
    pub fn until<E: Event, P: FnMut(&E) -> bool>(
        self,
        mut predicate: P,
    ) -> Until<R, Occurrence<E>, impl FnMut(&RawEvent) -> Option<Result<Occurrence<E>>>> {
        Until::new(self, Some(E::NAME), move |event: &RawEvent| match event.decode::<E>() {
            Ok(Some(found)) if predicate(&found) => {
                Some(Ok(Occurrence::new(found, event.timestamp)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// [`until`](Self::until), for whatever event `wanted` gives something for.
    ///
    /// # Errors
    /// Those of [`until`](Self::until).
    pub fn until_some<T, W: FnMut(&RawEvent) -> Option<T>>(
        self,
        mut wanted: W,
    ) -> Until<R, T, impl FnMut(&RawEvent) -> Option<Result<T>>> {
        Until::new(self, None, move |event: &RawEvent| wanted(event).map(Ok))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    #[cfg(any(feature = "qga", all(feature = "qmp", unix)))]
    pub(super) fn limit_of_its_own(&self) -> Option<Duration> {
        self.within
    }

    pub(super) fn limit(&self) -> Duration {
        let options = self.client.hold().options();
        self.within.unwrap_or_else(|| options.call_within(&self.request.name()))
    }

    /// Submits the command, if that is not done yet; subscribes to an event, or to all.
    pub(super) fn submit(
        &mut self,
        deadline: Option<Deadline>,
        event: Option<Option<&'static str>>,
    ) -> Result<Option<u64>> {
        let Stage::New = self.stage else { return Ok(None) };
        self.stage = Stage::Done;
        self.client.check_descriptors(&self.request, &self.descriptors)?;
        let command = Written::new(&self.request, None)?;
        let descriptors = std::mem::take(&mut self.descriptors);
        let hold = self.client.hold();
        let (id, subscription) = hold.submit(&command, deadline, descriptors, event)?;
        self.stage = Stage::Submitted(id);
        if let Parting::Finish(guard) = self.parting {
            hold.remove_guard(guard);
        }
        Ok(subscription)
    }

    /// It is no guard any more.
    #[cfg(all(unix, feature = "qmp"))]
    pub(super) fn disarm(&mut self) {
        if let Parting::Finish(guard) = std::mem::replace(&mut self.parting, Parting::Abandon) {
            self.client.hold().remove_guard(guard);
        }
    }

    pub(super) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<R::Return>> {
        let Stage::Submitted(id) = self.stage else { return Poll::Pending };
        let answer = ready!(self.client.hold().poll_answer(id, cx));
        self.stage = Stage::Done;
        let request = &self.request;
        Poll::Ready(answer.and_then(|value| request::decode_reply(|| request.name(), &value)))
    }
}

impl<R: Request> Future for Call<R> {
    type Output = Result<R::Return>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Stage::New = this.stage {
            let deadline = this.client.hold().deadline_after(this.limit());
            this.submit(deadline, None)?;
        }
        this.poll_reply(cx)
    }
}

// The request is never pinned.
impl<R: Request> Unpin for Call<R> {}

impl<R: Request> Drop for Call<R> {
    fn drop(&mut self) {
        let hold = self.client.hold();
        match (self.stage, &mut self.parting) {
            (Stage::Submitted(id), parting) => {
                let parting = std::mem::replace(parting, Parting::Abandon);
                hold.part(id, &self.request.name(), self.within, parting);
            }
            (Stage::New, Parting::Finish(guard)) => hold.finish(*guard),
            // It could not be submitted, or it has been removed.
            (Stage::Done, Parting::Finish(guard)) => hold.remove_guard(*guard),
            _ => {}
        }
    }
}
