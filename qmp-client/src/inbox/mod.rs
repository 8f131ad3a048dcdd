//! Where messages go that have arrived: to the call that waits for them, and to subscriptions.
//!
//! Both clients share this. An asynchronous one registers wakers; the threads of a blocking one
//! look again after every turn.

mod subscriptions;
mod waiters;

use std::task::{Context, Waker};

use qmp_protocol::{CallId, Error, Incoming};
use serde_json::value::RawValue;

pub(crate) use subscriptions::{Predicate, SubscriptionId, Subscriptions};
pub(crate) use waiters::Waiters;

/// The limits of what the peer has sent and no caller has taken, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The replies of all calls.
    pub(crate) replies: usize,
    /// The names and the data of events, in the queues of all subscriptions.
    pub(crate) events: usize,
}

/// Calls that are not answered, and subscriptions to events.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) waiters: Waiters,
    pub(crate) subscriptions: Subscriptions,
}

impl Inbox {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            waiters: Waiters::new(budget.replies),
            subscriptions: Subscriptions::new(budget.events),
        }
    }

    /// Passes on a message. Tasks to be woken are collected, for when the lock is released. Returns
    /// a reply that no caller waits for.
    pub(crate) fn deliver<'i>(
        &mut self,
        incoming: Incoming<'i>,
        woken: &mut Vec<Waker>,
    ) -> Option<(CallId, Result<&'i RawValue, Error>)> {
        match incoming {
            Incoming::Reply { id, result } => {
                return self.waiters.answer(id, result, woken).map(|result| (id, result));
            }
            Incoming::Event { name, data, timestamp } => {
                self.subscriptions.push(&name, data, timestamp, woken);
            }
            _ => {}
        }
        None
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
