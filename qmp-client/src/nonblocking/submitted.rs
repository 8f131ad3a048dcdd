//! A call that has been submitted.

use std::borrow::Cow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use qmp_protocol::CallId;
use serde_json::value::RawValue;

use super::detached::Parting;
use super::shared::Handle;
use crate::error::Result;

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
}

impl Submitted {
    pub(super) fn new(
        handle: Handle,
        id: CallId,
        name: Cow<'static, str>,
        within: Option<Duration>,
        parting: Parting,
    ) -> Self {
        Self { handle, id: Some(id), name, within, parting }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<RawValue>>> {
        let Some(id) = self.id else { return Poll::Pending };
        let answer = ready!(self.handle.poll_answer(id, cx));
        self.id = None;
        Poll::Ready(answer)
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let parting = std::mem::replace(&mut self.parting, Parting::Abandon);
            self.handle.part(id, &self.name, self.within, parting);
        }
    }
}
