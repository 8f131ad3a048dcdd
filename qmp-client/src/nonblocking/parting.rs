//! The fate of a command whose caller has gone.

use std::time::Duration;

use qmp_protocol::CallId;

use super::detached::Undo;
use super::shared::Handle;

/// The fate of a call whose future is dropped before it was answered.
#[derive(Debug)]
pub(super) enum Parting {
    /// A queued command is not sent; of one that was sent, the reply is dropped.
    Abandon,
    /// The command is finished or undone.
    Detach(Detach),
}

impl Parting {
    /// The command is executed anyway.
    pub(super) fn finish() -> Self {
        Self::Detach(Detach { undo: None, detach: Handle::detach })
    }

    /// A queued command is not sent; one that was sent is undone when it is answered.
    pub(super) fn undo(undo: Undo) -> Self {
        Self::Detach(Detach { undo: Some(undo), detach: Handle::detach })
    }
}

/// How a command is finished or undone without its caller. The function comes with the value, so that a
/// program without guards does not contain it.
#[derive(Debug)]
pub(super) struct Detach {
    undo: Option<Undo>,
    detach: fn(&Handle, CallId, &str, Option<Duration>, Option<Undo>),
}

impl Detach {
    pub(super) fn call(self, handle: &Handle, id: CallId, name: &str, within: Option<Duration>) {
        (self.detach)(handle, id, name, within, self.undo);
    }
}
