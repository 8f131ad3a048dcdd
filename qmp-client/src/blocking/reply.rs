//! The wait for a reply.

use std::borrow::Cow;
use std::time::Duration;

use qmp_protocol::{CallId, Descriptor, Input, Request, decode_reply};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::shared::{Handle, Submitted};
use super::state::State;
use super::wait::Wait;
use crate::error::{Error, Result};

/// Executes a command and waits for its reply.
pub(super) fn execute<R: Request>(
    handle: &Handle,
    request: &R,
    within: Option<Duration>,
    descriptors: Vec<Descriptor>,
) -> Result<R::Return> {
    let term = handle.term(request, within);
    let submitted = handle.submit(request, term, descriptors, None)?;
    receive(handle, submitted, &|| request.name())
}

/// Waits for the reply to a call.
pub(super) fn receive<T: DeserializeOwned>(
    handle: &Handle,
    submitted: Submitted,
    command: &dyn Fn() -> Cow<'static, str>,
) -> Result<T> {
    let Submitted { id, now, mut trace, .. } = submitted;
    let reply = {
        let _entered = trace.enter();
        handle.wait_since(now, None, &mut ForReply::new(handle, id, command))
    };
    let reply = reply.unwrap_or_else(|| Err(handle.closed().into()));
    trace.finish(reply.as_ref());
    reply
}

/// A wait for a reply.
pub(super) struct ForReply<'a, T> {
    pub(super) id: CallId,
    handle: &'a Handle,
    command: &'a dyn Fn() -> Cow<'static, str>,
    answer: Option<Answer<T>>,
}

/// The caller's code may panic while it decodes the reply, which has not been taken then.
impl<T> Drop for ForReply<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.handle.abandon(self.id);
        }
    }
}

/// A reply that has arrived.
enum Answer<T> {
    /// This thread has read it, and decoded it in place.
    Decoded(Result<T>),
    /// Another thread has read it. It is decoded after the lock is released.
    Text(Result<Box<RawValue>>),
}

impl<'a, T> ForReply<'a, T> {
    pub(super) fn new(
        handle: &'a Handle,
        id: CallId,
        command: &'a dyn Fn() -> Cow<'static, str>,
    ) -> Self {
        Self { id, handle, command, answer: None }
    }
}

impl<T: DeserializeOwned> Wait for ForReply<'_, T> {
    type Found = Result<T>;

    fn collect(&mut self, state: &mut State) -> bool {
        if self.answer.is_none() {
            let answer = state.inbox.waiters.take_answer(self.id);
            self.answer = answer.map(|answer| Answer::Text(answer.map_err(Error::from)));
        }
        self.answer.is_some()
    }

    fn examine(&mut self) -> Option<Result<T>> {
        let reply = match self.answer.take()? {
            Answer::Decoded(reply) => reply,
            Answer::Text(text) => text.and_then(|text| Ok(decode_reply(self.command, &text)?)),
        };
        if let Err(Error::Decode(_)) = reply {
            self.handle.mismatched();
        }
        Some(reply)
    }

    fn is_for(&self, id: CallId) -> bool {
        id == self.id
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn decode_early(&mut self, input: &Input) -> Option<CallId> {
        let reply = input.decode_early::<T>().filter(|reply| reply.id() == self.id)?;
        self.answer = Some(Answer::Decoded(Ok(reply.into_value())));
        Some(self.id)
    }

    fn forget_early(&mut self) {
        self.answer = None;
    }

    fn receive(&mut self, result: Result<&RawValue>) {
        let reply = result.and_then(|value| Ok(decode_reply(self.command, value)?));
        self.answer = Some(Answer::Decoded(reply));
    }
}
