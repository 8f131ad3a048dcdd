//! The reply to a command, as a future.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use qmp_protocol::Request;

use super::draft::Draft;
use super::parting::Parting;
use super::shared::Follow;
use super::submitted::Submitted;
use crate::error::Result;

/// The reply to a command, as a future. The command is submitted when the future is polled for the
/// first time; replies that are polled together are in flight together.
///
/// # Cancel safety
///
/// The future may be dropped at any moment; see [`Client`](crate::Client#cancel-safety).
#[must_use = "the call is made when the future is awaited"]
pub struct Reply<R: Request>(Stage<R>);

enum Stage<R> {
    New(Draft<R>, Parting),
    Submitted(Submitted),
    Done,
}

impl<R: Request> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Stage::New(..) => "Reply(new)",
            Stage::Submitted(_) => "Reply(submitted)",
            Stage::Done => "Reply(done)",
        })
    }
}

impl<R: Request> Reply<R> {
    /// Does what `parting` says if the future is dropped after the command was submitted.
    pub(super) fn new(draft: Draft<R>, parting: Parting) -> Self {
        Self(Stage::New(draft, parting))
    }
}

impl<R: Request> Future for Reply<R> {
    type Output = Result<R::Return>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = &mut self.get_mut().0;
        if let Stage::New(..) = stage {
            let Stage::New(draft, parting) = std::mem::replace(stage, Stage::Done) else {
                return Poll::Pending;
            };
            let (term, waker) = (draft.term(), Some(cx.waker()));
            let (submitted, _) = draft.submit(term, Follow::Nothing, parting, waker)?;
            *stage = Stage::Submitted(submitted);
            return Poll::Pending;
        }
        let Stage::Submitted(submitted) = stage else { return Poll::Pending };
        let reply = ready!(submitted.poll_reply(cx));
        *stage = Stage::Done;
        Poll::Ready(reply)
    }
}

// Nothing in it is pinned.
impl<R: Request> Unpin for Reply<R> {}
