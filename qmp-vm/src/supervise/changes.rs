//! The stream of connections.

use std::sync::Arc;
use std::time::Duration;

use qmp_client::{Closed, Result, Timeout, WaitedFor};

use super::connection::{Connection, Ended};
use super::front::Supervisable;
use super::identity::{Identity, SameQemu};
use super::shared::{Hold, Phase, State, deadline_after};

/// A change of a supervised connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change<C> {
    /// A connection was made.
    Connected(Connection<C>),
    /// The connection has ended, and is going to be made again.
    Lost(Closed),
    /// The last change: no further attempt is made.
    Ended(Ended),
}

/// The changes of a supervised connection; [`Supervised::changes`](super::Supervised::changes)
/// creates it.
///
/// The first item is the present connection, or the next one. Only the newest changes are kept: a
/// connection that came and went between two calls is left out, and the next [`Connection`] compares
/// its QEMU with that of the last one that was reported here.
#[derive(Debug)]
pub struct Changes<C: Supervisable> {
    hold: Hold<C>,
    seen: Seen,
    /// The QEMU of the last connection that was reported.
    identity: Option<Arc<Identity>>,
}

/// The last change that was reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    Nothing,
    Connected(u64),
    Lost,
    Ended,
}

impl<C: Supervisable> Changes<C> {
    pub(super) fn new(hold: Hold<C>) -> Self {
        Self { hold, seen: Seen::Nothing, identity: None }
    }

    /// Waits for the next change. `None` follows [`Change::Ended`].
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(changes: &mut qmp_vm::supervise::Changes<qmp_client::blocking::Client>) {
    /// while let Some(change) = changes.next() {
    ///     println!("{change:?}");
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    #[expect(clippy::should_implement_trait, reason = "streams call it that")]
    pub fn next(&mut self) -> C::Outcome<'_, Option<Change<C>>> {
        C::run(async move {
            match self.take_within(Duration::MAX).await {
                Some(Ok(change)) => Some(change),
                _ => None,
            }
        })
    }

    /// Waits for the next change until a deadline. When the deadline passes, the item is an error
    /// ([`is_timeout`](qmp_client::Error::is_timeout)), and the stream goes on.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(changes: &mut qmp_vm::supervise::Changes<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// if let Some(change) = changes.next_within(Duration::from_secs(5)).transpose()? {
    ///     println!("{change:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    pub fn next_within(&mut self, within: Duration) -> C::Outcome<'_, Option<Result<Change<C>>>> {
        C::run(self.take_within(within))
    }

    pub(crate) async fn take_within(&mut self, within: Duration) -> Option<Result<Change<C>>> {
        if self.seen == Seen::Ended {
            return None;
        }
        let shared = self.hold.shared();
        let deadline = deadline_after(shared.now(), within);
        let (seen, identity) = (&mut self.seen, &mut self.identity);
        let change = C::wait(shared, deadline, |state| next(state, seen, identity)).await;
        Some(change.ok_or_else(|| {
            let state = format!("a change of the connection to {}", shared.name());
            Timeout::new(WaitedFor::State(state.into()), within).into()
        }))
    }
}

/// Returns the change that leads from what was seen to the present state.
fn next<C: Supervisable>(
    state: &mut State<C>,
    seen: &mut Seen,
    identity: &mut Option<Arc<Identity>>,
) -> Option<Change<C>> {
    match (&state.phase, *seen) {
        (Phase::Ended(ended), _) => {
            *seen = Seen::Ended;
            Some(Change::Ended(ended.clone()))
        }
        (Phase::Connected(connected), Seen::Connected(number)) if connected.number == number => {
            None
        }
        (Phase::Connected(connected), _) => {
            *seen = Seen::Connected(connected.number);
            let same_qemu = match identity.replace(Arc::clone(&connected.identity)) {
                Some(before) => before.compare(&connected.identity),
                None => SameQemu::First,
            };
            Some(Change::Connected(connected.connection(same_qemu)))
        }
        (Phase::Outage(outage), Seen::Connected(_)) => {
            let lost = outage.lost.clone()?;
            *seen = Seen::Lost;
            Some(Change::Lost(lost))
        }
        (Phase::Outage(_), _) => None,
    }
}
