//! A call: a command, and the wait for its reply.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use qmp_types::Event;

use super::{Client, Until};
use crate::error::Result;
use crate::events::{Occurrence, RawEvent};
use crate::machine::{CallId, Deadline, Descriptor, Submission, WriteArguments};
use crate::request::{self, Request};

/// A call, as a future: [`Client::execute`](super::Client::execute) makes it. The command is
/// submitted when it is polled for the first time.
///
/// # Cancel safety
///
/// It may be dropped at any moment; see [`Client`](super::Client#cancel-safety).
#[must_use = "a call is made when it is awaited"]
pub struct Call<R> {
    client: Client,
    request: R,
    within: Option<Duration>,
    descriptors: Vec<Descriptor>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    Submitted(CallId),
    Done,
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl<R: Request> Call<R> {
    pub(super) fn new(client: Client, request: R) -> Self {
        Self { client, request, within: None, descriptors: Vec::new(), stage: Stage::New }
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
        // Written before the lock is taken: it is the caller's code that writes.
        let mut text = Vec::new();
        let written = match self.request.has_arguments() {
            true => self.request.write_arguments(&mut text).map(|()| true),
            false => Ok(false),
        };
        let failed = std::cell::Cell::new(None);
        let has_arguments = written.unwrap_or_else(|error| {
            failed.set(Some(error));
            true
        });
        let arguments = |out: &mut Vec<u8>| match failed.take() {
            Some(error) => Err(error),
            None => {
                out.extend_from_slice(&text);
                Ok(())
            }
        };
        let mut submission = Submission::new(self.request.name());
        submission.kind = self.request.kind();
        submission.success_response = self.request.success_response();
        submission.arguments = has_arguments.then_some(WriteArguments(&arguments));
        submission.deadline = deadline;
        submission.descriptors = std::mem::take(&mut self.descriptors);
        let (id, subscription) = self.client.hold().submit(submission, event)?;
        self.stage = Stage::Submitted(id);
        Ok(subscription)
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
impl<R> Unpin for Call<R> {}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        if let Stage::Submitted(id) = self.stage {
            self.client.hold().abandon(id);
        }
    }
}
