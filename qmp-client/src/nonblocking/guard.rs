//! Calls that are made whatever happens: guards are made of them.

use super::call::Call;
use super::detached::{Outcome, Parting, Undo};
use super::written::Written;
use crate::error::Result;
use crate::request::{self, Request};

impl<R: Request> Call<R> {
    /// If it is dropped, the command is executed all the same, even if it was never polled.
    /// Awaiting it executes the command now. Either way that is done once.
    pub(super) fn regardless(mut self) -> Self {
        // The arguments of a guard's command are numbers and names: writing them cannot fail.
        if let Ok(command) = Written::new(&self.request, self.limit_of_its_own()) {
            self.parting = Parting::Finish(self.client().hold().add_guard(command));
        }
        self
    }

    /// It is not made any more, unless it has been.
    #[cfg(all(unix, feature = "qmp"))]
    pub(super) fn spare(mut self) {
        self.disarm();
    }

    /// If it is dropped after the command was sent, what `undo` says is executed as soon as the
    /// command is answered.
    pub(super) fn or_undo(
        mut self,
        undo: impl FnOnce(Outcome<'_, R::Return>) -> Option<Written> + Send + Sync + 'static,
    ) -> Self {
        let name = self.request.name();
        self.parting = Parting::Undo(Undo::new(move |outcome| {
            match outcome.map(|value| request::decode_reply(|| name, value)) {
                Ok(Ok(value)) => undo(Ok(value)),
                Ok(Err(error)) => undo(Err(Some(&error))),
                Err(error) => undo(Err(error)),
            }
        }));
        self
    }

    /// Executes the command, and gives the call that undoes it, to be dropped or awaited. If this
    /// future is dropped after the command was sent, it is undone when it is answered.
    pub(super) async fn guarded<U: Request>(
        self,
        undo: impl Fn(&R::Return) -> U + Clone + Send + Sync + 'static,
    ) -> Result<(R::Return, Call<U>)> {
        let client = self.client().clone();
        let abandoned = undo.clone();
        let call = self.or_undo(move |outcome| {
            let command = abandoned(&outcome.ok()?);
            Written::new(&command, None).ok()
        });
        let returned = call.await?;
        let undoing = client.execute(undo(&returned)).regardless();
        Ok((returned, undoing))
    }
}
