//! Where messages go that have arrived: to the call that waits for them, and to subscriptions.
//!
//! Both clients share this. An asynchronous one registers wakers; the threads of a blocking one
//! look again after every turn.

mod passing;
mod subscriptions;
mod waiters;

use std::task::{Context, Waker};
use std::time::Instant;

use qmp_protocol::{CallId, Connection, Error, Incoming, Input};
use qmp_types::Timestamp;
use serde_json::value::RawValue;

use crate::options::Options;
#[cfg(feature = "blocking")]
use crate::queue::{EventCapacity, Tally};
use crate::stats::{EventStats, Stats};
use crate::trace::Monitor;

pub(crate) use subscriptions::{Predicate, SubscriptionId, Subscriptions};
pub(crate) use waiters::Waiters;

/// Calls that are not answered, and subscriptions to events.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) waiters: Waiters,
    pub(crate) subscriptions: Subscriptions,
    /// The limit on the bytes of all answers and events that have not been taken. Answers come first.
    budget: usize,
    /// The number of events that have arrived.
    events: u64,
    monitor: Monitor,
}

impl Inbox {
    pub(crate) fn new(options: &Options, now: fn() -> Instant) -> Self {
        let (waiters, subscriptions) = (Waiters::new(now), Subscriptions::default());
        let (budget, monitor) = (options.budget(), options.monitor.clone());
        Self { waiters, subscriptions, budget, events: 0, monitor }
    }

    /// Returns the statistics of a connection, except for what its front end knows.
    #[inline]
    pub(crate) fn stats(&self, connection: &Connection) -> Stats {
        let (calls, latency) = self.waiters.stats();
        let (delivered, lagged) = self.subscriptions.delivered_and_lagged();
        let traffic = connection.traffic();
        Stats {
            connections: 1,
            connected: None,
            calls,
            latency,
            events: EventStats { received: self.events, delivered, lagged },
            bytes_sent: traffic.sent,
            bytes_received: traffic.received,
            dropped: connection.dropped(),
        }
    }

    /// Returns the bytes that events may hold.
    fn room(&self) -> usize {
        self.budget.saturating_sub(self.waiters.held())
    }

    /// Returns the limits of a subscription's queue, if an event that arrives need be shown to nothing but
    /// this subscription, which takes all events of its name, and has taken all that arrived earlier.
    #[cfg(feature = "blocking")]
    pub(crate) fn direct(&self, id: SubscriptionId) -> Option<EventCapacity> {
        let mut capacity = self.subscriptions.direct(id)?;
        capacity.bytes = capacity.bytes.min(self.room());
        Some(capacity)
    }

    /// Counts the events that a subscription has taken from the input directly.
    #[cfg(feature = "blocking")]
    pub(crate) fn record_direct(&mut self, id: SubscriptionId, tally: Tally) {
        self.events += tally.arrived;
        self.subscriptions.record_direct(id, tally);
    }

    /// Passes on a message. Tasks to be woken are collected, for when the lock is released. Returns
    /// a reply that no caller waits for.
    #[inline]
    pub(crate) fn deliver<'i>(
        &mut self,
        incoming: Incoming<'i>,
        woken: &mut Vec<Waker>,
    ) -> Option<(CallId, Result<&'i RawValue, Error>)> {
        match incoming {
            Incoming::Reply { id, result } => {
                if let Some(result) = self.waiters.answer(id, result, self.budget, woken) {
                    return Some((id, result));
                }
                if let (Some(delivery), 1..) =
                    (self.subscriptions.delivery(), self.subscriptions.len())
                {
                    let room = self.room();
                    (delivery.shrink)(&mut self.subscriptions, room);
                }
            }
            Incoming::Event { name, data, timestamp } => {
                let room = self.room();
                self.deliver_event(&name, data, timestamp, room, woken);
            }
            _ => {}
        }
        None
    }

    /// Passes on the events that come next in the input, as far as they are plain. Without a subscription,
    /// which brings the function for it, they are counted one by one, which takes longer.
    #[inline]
    pub(crate) fn pass_events(
        &mut self,
        connection: &Connection,
        input: &mut Input,
        woken: &mut Vec<Waker>,
    ) {
        if !input.is_at_event() {
            return;
        }
        if let (Some(delivery), Some(direct)) = (self.subscriptions.delivery(), connection.direct())
        {
            (delivery.pass)(self, direct, input, woken);
        }
    }

    /// Counts an event that has arrived.
    #[inline]
    fn count_event(&mut self, name: &str) {
        self.events += 1;
        self.monitor.event(name);
    }

    /// Passes on an event. All queues together hold at most `room` bytes.
    #[inline]
    fn deliver_event(
        &mut self,
        name: &str,
        data: Option<&RawValue>,
        timestamp: Timestamp,
        room: usize,
        woken: &mut Vec<Waker>,
    ) {
        self.count_event(name);
        if let Some(delivery) = self.subscriptions.delivery() {
            (delivery.push)(&mut self.subscriptions, name, data, timestamp, room, woken);
        }
    }
}

/// Stores the waker of the task that is polled, and returns the one that it replaces. A waker may
/// own a task, and everything that the task owns: it is dropped after the lock is released.
#[must_use = "the waker is dropped after the lock is released"]
pub(crate) fn register(place: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        _ => place.replace(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{EventCapacity, Journal};

    /// Each subscription had a limit of its own, as large as a message may be.
    #[test]
    fn all_subscriptions_share_the_budget() {
        let mut inbox = Inbox::new(&Options::new().message_size(10_000), Instant::now);
        let capacity = EventCapacity { events: 1000, bytes: 10_000 };
        let ids = [(); 3].map(|()| inbox.subscriptions.add(None, capacity, None));
        let push = |inbox: &mut Inbox| {
            let name = "X".repeat(1000).into();
            let event = Incoming::Event { name, data: None, timestamp: Timestamp::UNKNOWN };
            inbox.deliver(event, &mut Vec::new());
        };
        (0..20).for_each(|_| push(&mut inbox));
        assert!(inbox.subscriptions.held() <= 10_000, "{}", inbox.subscriptions.held());
        // What is dropped is reported, and each has got the newest.
        for id in ids {
            let mut taken = Journal::default();
            assert!(inbox.subscriptions.take(id, &mut taken).is_err());
            assert!(matches!(inbox.subscriptions.take(id, &mut taken), Ok(true)));
        }
    }
}
