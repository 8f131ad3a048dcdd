//! The wait for a reply.

use std::borrow::Cow;
use std::marker::PhantomData;

use qmp_protocol::{CallId, decode_reply};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::shared::{Handle, State, Wait};
use crate::error::{Error, Result};

/// Waits for the reply to a call.
pub(super) fn receive<T: DeserializeOwned>(
    handle: &Handle,
    id: CallId,
    command: &dyn Fn() -> Cow<'static, str>,
) -> Result<T> {
    let mut for_reply = ForReply::new(id, command);
    match handle.wait(None, &mut for_reply) {
        Some(answer) => for_reply.decode(answer),
        None => Err(handle.closed().into()),
    }
}

/// A wait for a reply.
pub(super) struct ForReply<'a, T> {
    pub(super) id: CallId,
    command: &'a dyn Fn() -> Cow<'static, str>,
    returns: PhantomData<fn() -> T>,
}

/// A reply that has arrived.
pub(super) enum Answer<T> {
    /// This thread has read it, and decoded it in place.
    Decoded(Result<T>),
    /// Another thread has read it. It is decoded after the lock is released.
    Text(Result<Box<RawValue>>),
}

impl<'a, T> ForReply<'a, T> {
    pub(super) fn new(id: CallId, command: &'a dyn Fn() -> Cow<'static, str>) -> Self {
        Self { id, command, returns: PhantomData }
    }
}

impl<T: DeserializeOwned> ForReply<'_, T> {
    pub(super) fn decode(&self, answer: Answer<T>) -> Result<T> {
        match answer {
            Answer::Decoded(reply) => reply,
            Answer::Text(text) => Ok(decode_reply(self.command, &text?)?),
        }
    }
}

impl<T: DeserializeOwned> Wait for ForReply<'_, T> {
    type Found = Answer<T>;

    fn look(&mut self, state: &mut State) -> Option<Answer<T>> {
        let answer = state.inbox.waiters.take_answer(self.id)?;
        Some(Answer::Text(answer.map_err(Error::from)))
    }

    fn is_for(&self, id: CallId) -> bool {
        id == self.id
    }

    fn take(&mut self, result: Result<&RawValue>) -> Option<Answer<T>> {
        Some(Answer::Decoded(result.and_then(|value| Ok(decode_reply(self.command, value)?))))
    }
}
