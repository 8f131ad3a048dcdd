//! The stream of changes.

use std::sync::Arc;
use std::time::Duration;

use qmp_client::{Result, Timeout, WaitedFor};

use super::change::{Change, changes};
use super::hold::Hold;
use super::view::View;
use crate::supervise::Supervisable;

/// The changes from one view to a later one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Update {
    /// The changes. Together they lead from the view of the update before to this one.
    pub changes: Vec<Change>,
    /// The view with these changes.
    pub view: Arc<View>,
    /// The number of views in between that this update leaves out.
    pub skipped: u64,
}

/// The changes of a mirror, from the moment of the subscription.
///
/// Changes are not queued, so that no queue can overflow: an update compares the last view that was taken from here
/// with the present one. A consumer that is slow gets fewer updates, which say more, and what came and
/// went in between is left out. So the last update always leads to the present view, also after the
/// connection was lost.
#[derive(Debug)]
pub struct Changes<M: Supervisable> {
    hold: Arc<Hold<M>>,
    seen: Arc<View>,
    is_over: bool,
}

impl<M: Supervisable> Changes<M> {
    pub(super) fn new(hold: Arc<Hold<M>>) -> Self {
        let seen = hold.view();
        Self { hold, seen, is_over: false }
    }

    /// Returns the view that the next update starts from.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(changes: &mut qmp_vm::mirror::Changes<qmp_client::blocking::Client>) {
    /// println!("{:?}", changes.view().status());
    /// # }
    /// ```
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.seen
    }

    /// Waits for the next update until a deadline. When the deadline passes, the item is an error
    /// ([`is_timeout`](qmp_client::Error::is_timeout)), and the stream goes on. The last item is the
    /// error that says why the mirror has ended, and `None` follows.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(changes: &mut qmp_vm::mirror::Changes<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// if let Some(change) = changes.next_within(Duration::from_secs(1)).transpose()? {
    ///     println!("{change:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    pub fn next_within(&mut self, within: Duration) -> M::Outcome<'_, Option<Result<Update>>> {
        M::run(async move {
            if self.is_over {
                return None;
            }
            let Self { hold, seen, is_over } = self;
            let found = hold.look(within, |view| update(seen, view)).await;
            Some(match found {
                Ok(Some(update)) => {
                    *seen = Arc::clone(&update.view);
                    Ok(update)
                }
                Ok(None) => {
                    let state = WaitedFor::State("a change of the mirror".into());
                    Err(Timeout::new(state, within).into())
                }
                Err(error) => {
                    *is_over = true;
                    Err(error)
                }
            })
        })
    }
}

/// Returns the update from one view to another; `None` if only what is stale differs.
fn update(seen: &View, view: &Arc<View>) -> Option<Update> {
    if seen.number == view.number {
        return None;
    }
    let changes = changes(seen, view);
    let skipped = view.number.saturating_sub(seen.number).saturating_sub(1);
    (!changes.is_empty()).then(|| Update { changes, view: Arc::clone(view), skipped })
}
