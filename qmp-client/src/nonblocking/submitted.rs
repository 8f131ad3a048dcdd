//! A call that has been submitted.

use std::borrow::Cow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use qmp_protocol::{CallId, decode_reply};
use serde::de::DeserializeOwned;

use super::parting::Parting;
use super::shared::Handle;
use crate::error::{Error, Result};
use crate::trace::CallTrace;

/// A call that has been submitted, and whose answer has not been taken. Dropping it does what its
/// [`Parting`] says.
#[derive(Debug)]
pub(super) struct Submitted {
    handle: Handle,
    /// `None` once the answer has been taken.
    id: Option<CallId>,
    pub(super) name: Cow<'static, str>,
    within: Option<Duration>,
    parting: Parting,
    trace: CallTrace,
}

impl Submitted {
    pub(super) fn new(
        handle: Handle,
        id: CallId,
        name: Cow<'static, str>,
        within: Option<Duration>,
        parting: Parting,
        trace: CallTrace,
    ) -> Self {
        trace.submitted(id);
        Self { handle, id: Some(id), name, within, parting, trace }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Takes the reply, if it has arrived, and decodes it.
    pub(super) fn poll_reply<T: DeserializeOwned>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        let Some(id) = self.id else { return Poll::Pending };
        let _entered = self.trace.enter();
        let answer = ready!(self.handle.poll_answer(id, cx));
        self.id = None;
        let reply = answer.and_then(|value| {
            let mut decoding = Decoding { handle: &self.handle, has_failed: true };
            let decoded = decode_reply(|| self.name.clone(), &value).map_err(Error::from);
            decoding.has_failed = matches!(decoded, Err(Error::Decode(_)));
            decoded
        });
        self.trace.finish(reply.as_ref());
        Poll::Ready(reply)
    }
}

/// The decoding of a reply, which fails also if the caller's code panics.
struct Decoding<'s> {
    handle: &'s Handle,
    has_failed: bool,
}

impl Drop for Decoding<'_> {
    fn drop(&mut self) {
        if self.has_failed {
            self.handle.mismatched();
        }
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            match std::mem::replace(&mut self.parting, Parting::Abandon) {
                Parting::Abandon => self.handle.abandon(id),
                Parting::Detach(detach) => detach.call(&self.handle, id, &self.name, self.within),
            }
        }
    }
}
