//! Whether an idle connection keeps its buffers.

use std::time::{Duration, Instant};

/// The period in which a second message makes a connection keep its buffers. A busy connection does
/// not allocate them for each message, and an idle one has none.
const PERIOD: Duration = Duration::from_millis(100);

/// Decides whether a connection keeps its buffers while nothing is in flight.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The end of the current period; `None` if nothing has arrived for a while.
    at: Option<Instant>,
    /// Whether anything has arrived in the current period.
    busy: bool,
    /// Whether messages arrive again and again.
    keep: bool,
}

impl Rest {
    /// Returns the end of the current period.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Returns whether the buffers are to be freed if nothing is in flight. The clock is read once
    /// a period, not for each message.
    pub(super) fn is_due(
        &mut self,
        received: bool,
        expired: Option<Instant>,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        match (self.at, expired) {
            (None, _) if received => self.at = Some(now() + PERIOD),
            (Some(_), _) if received => (self.busy, self.keep) = (true, true),
            (Some(at), Some(now)) if at <= now => {
                self.keep = std::mem::take(&mut self.busy);
                self.at = self.keep.then(|| now + PERIOD);
            }
            _ => {}
        }
        !received && !self.keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_kept_while_messages_arrive_again_and_again() {
        let begin = Instant::now();
        let mut rest = Rest::default();
        let mut at = |received, expired: Option<u32>| {
            let expired = expired.map(|periods| begin + PERIOD * periods);
            let due = rest.is_due(received, expired, || begin);
            (due, rest.at.is_some())
        };
        // Nothing has arrived, and then one message does.
        assert_eq!(at(false, None), (true, false));
        assert_eq!(at(true, None), (false, true));
        assert_eq!(at(false, None), (true, true));
        // A second one arrives in the first period, and nothing in the next.
        assert_eq!(at(true, None), (false, true));
        assert_eq!(at(false, None), (false, true));
        assert_eq!(at(false, Some(1)), (false, true));
        assert_eq!(at(false, Some(2)), (true, false));
        // It begins anew.
        assert_eq!(at(true, None), (false, true));
        assert_eq!(at(false, None), (true, true));
        assert_eq!(at(false, Some(1)), (true, false));
    }
}
