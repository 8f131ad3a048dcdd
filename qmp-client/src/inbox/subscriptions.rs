//! Subscriptions to events, each with a queue of its own.

use std::fmt;
use std::task::{Context, Waker};
use std::time::Instant;

use qmp_protocol::{CallId, Direct, Input, sooner};
use qmp_types::Timestamp;
use serde_json::value::RawValue;

use super::passing::Passing;
use super::{Inbox, register};
use crate::error::Result;
#[cfg(feature = "blocking")]
use crate::queue::Tally;
use crate::queue::{EventCapacity, EventQueue, Journal};
use qmp_protocol::RawEvent;

/// A test that says which events are wanted.
pub(crate) struct Predicate(Box<dyn FnMut(&RawEvent) -> bool + Send>);

impl Predicate {
    pub(crate) fn new(predicate: impl FnMut(&RawEvent) -> bool + Send + 'static) -> Self {
        Self(Box::new(predicate))
    }

    pub(crate) fn holds(&mut self, event: &RawEvent) -> bool {
        (self.0)(event)
    }

    /// Combines two tests: both must hold.
    fn and(mut self, mut other: Self) -> Self {
        Self(Box::new(move |event| self.holds(event) && other.holds(event)))
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

/// The number of a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SubscriptionId(u64);

/// All subscriptions of a connection.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    subscriptions: Vec<Subscription>,
    next: u64,
    /// The number of events that all subscriptions have taken.
    delivered: u64,
    /// The number of events that subscriptions which do not exist any more have dropped.
    lagged: u64,
    delivery: Option<Delivery>,
}

/// The functions that give events to subscriptions. The first subscription sets them, so that a program
/// that never subscribes does not contain them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    /// Gives an event to the subscriptions that take it.
    pub(super) push: Push,
    /// Gives them the events that come next in the input.
    pub(super) pass: fn(&mut Inbox, Direct, &mut Input, &mut Vec<Waker>),
    /// Drops events until all queues together hold at most this many bytes.
    pub(super) shrink: fn(&mut Subscriptions, room: usize),
}

type Push =
    fn(&mut Subscriptions, &str, Option<&RawValue>, Timestamp, room: usize, &mut Vec<Waker>);

#[derive(Debug)]
pub(crate) struct Subscription {
    id: SubscriptionId,
    /// The name of the events that are taken; `None` for all.
    name: Option<&'static str>,
    /// Selects among those.
    predicate: Option<Predicate>,
    events: EventQueue,
    waker: Option<Waker>,
    deadline: Option<Instant>,
    /// The command that this subscription is for, until it is sent: events that arrive before are
    /// older.
    fence: Option<CallId>,
}

impl Subscription {
    fn takes(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) -> bool {
        if self.fence.is_some() || self.name.is_some_and(|wanted| wanted != name) {
            return false;
        }
        let Some(predicate) = &mut self.predicate else { return true };
        predicate.holds(&RawEvent::new(name.into(), data, timestamp))
    }
}

impl Subscriptions {
    /// Subscribes to the events of a name, or to all. A subscription for a command takes nothing
    /// until the command is sent, which [`lift_fences`](Self::lift_fences) reports.
    pub(crate) fn add(
        &mut self,
        name: Option<&'static str>,
        capacity: EventCapacity,
        fence: Option<CallId>,
    ) -> SubscriptionId {
        let id = SubscriptionId(self.next);
        self.next += 1;
        self.delivery =
            Some(Delivery { push: Self::push, pass: Passing::pass, shrink: Self::shrink });
        self.subscriptions.push(Subscription {
            id,
            name,
            predicate: None,
            events: EventQueue::new(capacity),
            waker: None,
            deadline: None,
            fence,
        });
        id
    }

    pub(super) fn delivery(&self) -> Option<Delivery> {
        self.delivery
    }

    fn position(&self, id: SubscriptionId) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| subscription.id == id)
    }

    fn get(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.id == id)
    }

    /// Removes a subscription. Its predicate is the caller's code and may own a client, so it is
    /// dropped after the lock is released.
    #[must_use = "the subscription is dropped after the lock is released"]
    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let removed = self.subscriptions.remove(self.position(id)?);
        self.lagged += removed.events.lagged_in_all();
        Some(removed)
    }

    /// Returns the number of events that subscriptions have taken, and of those that they dropped
    /// because of a limit.
    pub(crate) fn delivered_and_lagged(&self) -> (u64, u64) {
        let mut lagged = self.lagged;
        for subscription in &self.subscriptions {
            lagged += subscription.events.lagged_in_all();
        }
        (self.delivered, lagged)
    }

    /// Takes only what satisfies this predicate too from now on, and removes everything else from
    /// the queue. Returns the predicate if the subscription does not exist any more.
    #[must_use = "the predicate is dropped after the lock is released"]
    #[inline]
    pub(crate) fn filter(
        &mut self,
        id: SubscriptionId,
        mut predicate: Predicate,
    ) -> Option<Predicate> {
        let Some(subscription) = self.get(id) else { return Some(predicate) };
        subscription.events.retain(|event| predicate.holds(event));
        subscription.predicate = Some(match subscription.predicate.take() {
            Some(earlier) => earlier.and(predicate),
            None => predicate,
        });
        None
    }

    /// Passes on an event. All queues together hold at most `room` bytes.
    pub(super) fn push(
        &mut self,
        name: &str,
        data: Option<&RawValue>,
        timestamp: Timestamp,
        room: usize,
        woken: &mut Vec<Waker>,
    ) {
        for index in 0..self.subscriptions.len() {
            let subscription = &mut self.subscriptions[index];
            if subscription.takes(name, data, timestamp) {
                self.delivered += 1;
                subscription.events.push(name, data, timestamp);
                woken.extend(subscription.waker.take());
                self.shrink(room);
            }
        }
    }

    /// Returns the bytes that all queues hold.
    pub(crate) fn held(&self) -> usize {
        let mut held = 0;
        for subscription in &self.subscriptions {
            held += subscription.events.held();
        }
        held
    }

    /// Drops the oldest events of the largest queues until all together hold at most `room` bytes.
    fn shrink(&mut self, room: usize) {
        while self.held() > room {
            let (mut largest, mut most) = (None, 0);
            for Subscription { events, .. } in &mut self.subscriptions {
                if events.queued() >= most {
                    most = events.queued();
                    largest = Some(events);
                }
            }
            if !largest.is_some_and(EventQueue::drop_oldest) {
                return;
            }
        }
    }

    /// Exchanges `taken`, which is empty, for the events of a subscription that have arrived. Returns
    /// whether there are any.
    ///
    /// # Errors
    /// [`Error::Lagged`](crate::Error::Lagged), once, if events were dropped.
    pub(crate) fn take(&mut self, id: SubscriptionId, taken: &mut Journal) -> Result<bool> {
        let Some(subscription) = self.get(id) else { return Ok(false) };
        subscription.events.take(taken)
    }

    /// Returns the limits of the queue of this subscription, if it is the only one, takes all events of
    /// its name, and has nothing to take.
    #[cfg(feature = "blocking")]
    pub(super) fn direct(&self, id: SubscriptionId) -> Option<EventCapacity> {
        let [only] = &*self.subscriptions else { return None };
        let is_plain = only.id == id && only.predicate.is_none() && only.fence.is_none();
        if is_plain { only.events.unused() } else { None }
    }

    /// Returns the queue of a subscription.
    #[cfg(feature = "blocking")]
    pub(crate) fn queue(&mut self, id: SubscriptionId) -> Option<&mut EventQueue> {
        self.get(id).map(|subscription| &mut subscription.events)
    }

    /// Counts the events that a subscription has taken from the input directly.
    #[cfg(feature = "blocking")]
    pub(super) fn record_direct(&mut self, id: SubscriptionId, tally: Tally) {
        self.delivered += tally.arrived;
        match self.queue(id) {
            Some(queue) => queue.record_dropped(tally.dropped),
            None => self.lagged += tally.dropped,
        }
    }

    /// Registers a task that waits for an event until a deadline, and returns the waker that it
    /// replaces.
    #[must_use = "the waker is dropped after the lock is released"]
    #[inline]
    pub(crate) fn register(
        &mut self,
        id: SubscriptionId,
        deadline: Option<Instant>,
        cx: &Context<'_>,
    ) -> Option<Waker> {
        let subscription = self.get(id)?;
        subscription.deadline = deadline;
        register(&mut subscription.waker, cx)
    }

    /// Returns the earliest deadline of a task that waits for an event.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let mut earliest = None;
        for subscription in &self.subscriptions {
            earliest = sooner(earliest, subscription.deadline);
        }
        earliest
    }

    /// Wakes the tasks whose deadline is at or before `now`.
    #[inline]
    pub(crate) fn expire(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        for subscription in &mut self.subscriptions {
            if subscription.deadline.is_some_and(|at| at <= now) {
                subscription.deadline = None;
                woken.extend(subscription.waker.take());
            }
        }
    }

    /// Wakes every task that waits for an event.
    #[inline]
    pub(crate) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.subscriptions.iter_mut().filter_map(|one| one.waker.take()));
    }

    /// Returns whether any of these commands has a subscription that waits for it to be sent.
    pub(crate) fn is_fenced(&self, which: impl Fn(CallId) -> bool) -> bool {
        self.subscriptions.iter().filter_map(|subscription| subscription.fence).any(which)
    }

    /// Records that these commands are being sent.
    pub(crate) fn lift_fences(&mut self, which: impl Fn(CallId) -> bool) {
        for subscription in &mut self.subscriptions {
            subscription.fence = subscription.fence.filter(|call| !which(*call));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Frees the memory of empty queues.
    pub(crate) fn release(&mut self) {
        self.subscriptions.iter_mut().for_each(|subscription| subscription.events.release());
    }
}
