//! The wait for a reply.

use std::borrow::Cow;
use std::time::Duration;

use qmp_protocol::{CallId, Descriptor, Input, Request, decode_reply};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::shared::{Handle, Locked, Purpose, Submitted};
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
    let (submitted, locked) = handle.submit_locked(request, term, descriptors, Purpose::Execute)?;
    receive(handle, submitted, locked, &|| request.name())
}

/// Waits for the reply to a call. `locked` is the lock, if it is held.
pub(super) fn receive<'h, T: DeserializeOwned>(
    handle: &'h Handle,
    submitted: Submitted,
    locked: Option<Locked<'h>>,
    command: &dyn Fn() -> Cow<'static, str>,
) -> Result<T> {
    let Submitted { id, now, mut trace, .. } = submitted;
    let reply = {
        let _entered = trace.enter();
        let mut for_reply = ForReply::new(handle, id, command);
        let is_found = handle.wait_since(now, None, &mut for_reply, locked);
        if is_found { for_reply.take() } else { None }
    };
    let reply = reply.unwrap_or_else(|| Err(handle.why_nothing()));
    trace.finish(reply.as_ref());
    reply
}

/// A wait for a reply.
pub(super) struct ForReply<'a, T> {
    pub(super) id: CallId,
    handle: &'a Handle,
    command: &'a dyn Fn() -> Cow<'static, str>,
    answer: Option<Answer<T>>,
    /// Whether the caller's code is decoding the reply.
    is_decoding: bool,
}

/// The caller's code may panic while it decodes the reply. A reply that has not been taken is dropped
/// when it is.
impl<T> Drop for ForReply<'_, T> {
    fn drop(&mut self) {
        // Where a panic ends the program, it drops nothing, and this is not compiled.
        if cfg!(panic = "unwind")
            && std::thread::panicking()
            && !(self.is_decoding && self.handle.mismatched_if_taken(self.id))
        {
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
        Self { id, handle, command, answer: None, is_decoding: false }
    }
}

impl<T> ForReply<'_, T> {
    /// Takes the reply that has been examined.
    pub(super) fn take(&mut self) -> Option<Result<T>> {
        match self.answer.take()? {
            Answer::Decoded(reply) => Some(reply),
            Answer::Text(_) => None,
        }
    }

    fn take_text(&mut self) -> Option<Result<Box<RawValue>>> {
        match self.answer.take_if(|answer| matches!(answer, Answer::Text(_)))? {
            Answer::Decoded(_) => None,
            Answer::Text(text) => Some(text),
        }
    }
}

impl<T: DeserializeOwned> ForReply<'_, T> {
    fn decode(&mut self, value: &RawValue) -> Result<T> {
        self.is_decoding = true;
        let decoded = decode_reply(self.command, value);
        self.is_decoding = false;
        Ok(decoded?)
    }
}

impl<T: DeserializeOwned> Wait for ForReply<'_, T> {
    fn collect(&mut self, state: &mut State) -> bool {
        if self.answer.is_none() {
            let answer = state.inbox.waiters.take_answer(self.id);
            self.answer = answer.map(|answer| Answer::Text(answer.map_err(Error::from)));
        }
        self.answer.is_some()
    }

    fn examine(&mut self) -> bool {
        if let Some(text) = self.take_text() {
            let reply = text.and_then(|text| self.decode(&text));
            self.answer = Some(Answer::Decoded(reply));
        }
        if let Some(Answer::Decoded(Err(Error::Decode(_)))) = &self.answer {
            self.handle.mismatched();
        }
        self.answer.is_some()
    }

    fn is_for(&self, id: CallId) -> bool {
        id == self.id
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn early(&self) -> Option<CallId> {
        Some(self.id)
    }

    fn decode_early(&mut self, input: &Input) -> bool {
        self.is_decoding = true;
        let value = input.decode_early(self.id);
        self.is_decoding = false;
        self.answer = value.map(|value| Answer::Decoded(Ok(value)));
        self.answer.is_some()
    }

    fn forget_early(&mut self) {
        self.answer = None;
    }

    fn receive(&mut self, result: Result<&RawValue>) {
        let reply = result.and_then(|value| self.decode(value));
        self.answer = Some(Answer::Decoded(reply));
    }
}
