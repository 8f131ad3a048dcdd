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

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::collections::VecDeque;

    use qmp_protocol::{Connection, ProtocolError, RawEvent, Settings, Submission};
    use qmp_types::Timestamp;

    use super::*;
    use crate::queue::EventCapacity;

    const BUDGET: Budget = Budget { replies: 100, events: 100 };

    fn text(length: usize) -> Box<RawValue> {
        RawValue::from_string("7".repeat(length)).unwrap()
    }

    /// Eight calls could keep eight replies of the largest size.
    #[test]
    fn replies_share_one_limit() {
        let mut inbox = Inbox::new(BUDGET);
        let mut connection = Connection::new(Settings::default(), None);
        let ids: Vec<_> =
            (0..4).map(|_| connection.submit(Submission::new("x")).unwrap()).collect();
        for id in &ids {
            inbox.waiters.add(*id);
        }
        let deliver = |inbox: &mut Inbox, index: usize, length| {
            let (id, text) = (ids[index], text(length));
            inbox.deliver(Incoming::Reply { id, result: Ok(&text) }, &mut Vec::new());
        };
        deliver(&mut inbox, 0, 60);
        deliver(&mut inbox, 1, 41);
        deliver(&mut inbox, 2, 40);
        assert_eq!(inbox.waiters.take_answer(ids[0]).unwrap().unwrap().get().len(), 60);
        let refused = inbox.waiters.take_answer(ids[1]).unwrap().unwrap_err();
        assert!(matches!(
            refused,
            Error::Protocol(error) if matches!(*error, ProtocolError::TooManyReplies { limit: 100 })
        ));
        // What was taken does not count.
        deliver(&mut inbox, 3, 60);
        assert!(inbox.waiters.take_answer(ids[2]).unwrap().is_ok());
        assert!(inbox.waiters.take_answer(ids[3]).unwrap().is_ok());
    }

    /// Each queue could hold as much as one message.
    #[test]
    fn events_of_all_queues_share_one_limit() {
        let mut inbox = Inbox::new(BUDGET);
        let capacity = EventCapacity { events: 10, bytes: 100 };
        let first = inbox.subscriptions.add(None, capacity, None);
        let push = |inbox: &mut Inbox, length: usize| {
            let (name, data) = ("E".into(), text(length - 1));
            let data = Some(&*data);
            let event = Incoming::Event { name, data, timestamp: Timestamp::UNKNOWN };
            inbox.deliver(event, &mut Vec::new());
        };
        push(&mut inbox, 60);
        let second = inbox.subscriptions.add(None, capacity, None);
        push(&mut inbox, 30);
        // Now the first queue, which was the larger one, has lost its oldest event.
        let take = |inbox: &mut Inbox, id| inbox.subscriptions.take(id, &mut VecDeque::new());
        assert!(matches!(take(&mut inbox, first), Err(crate::Error::Lagged(1))));
        let size = |event: Option<RawEvent>| event.map(|event| event.size());
        assert_eq!(size(take(&mut inbox, first).unwrap()), Some(30));
        assert_eq!(size(take(&mut inbox, second).unwrap()), Some(30));
    }
}
