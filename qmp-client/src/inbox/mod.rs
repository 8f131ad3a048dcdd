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

/// Calls that are not answered, and subscriptions to events.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) waiters: Waiters,
    pub(crate) subscriptions: Subscriptions,
}

impl Inbox {
    /// Passes on a message. Tasks to be woken are collected, for when the lock is released. Returns
    /// a reply that no caller waits for.
    pub(crate) fn deliver<'i>(
        &mut self,
        incoming: Incoming<'i>,
        woken: &mut Vec<Waker>,
    ) -> Option<(CallId, Result<&'i RawValue, Error>)> {
        match incoming {
            Incoming::Reply { id, result } => {
                let Some(waiter) = self.waiters.get(id) else { return Some((id, result)) };
                waiter.answer(result, woken);
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
