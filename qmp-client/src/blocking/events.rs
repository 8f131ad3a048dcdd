//! Subscriptions to events.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use qmp_protocol::{Deadline, Timeout, WaitedFor};

use super::shared::Handle;
use super::state::State;
use super::wait::Until;
use crate::error::Result;
use crate::inbox::{Predicate, SubscriptionId};
use crate::selector::Selector;
use qmp_protocol::RawEvent;

/// A subscription to events, from the moment at which it was created. It is an [`Iterator`], too.
///
/// Events wait in a queue of its own, which holds [a limited
/// number](crate::Options::event_capacity) of them. When the queue is full, the oldest are dropped,
/// and [`Error::Lagged`](crate::Error::Lagged) says how many. The last item is the error that says
/// why the connection ended.
///
/// Bytes are only read while a thread waits for something: a reply, an event, or the
/// [end](super::Client::closed).
#[must_use = "`next` takes events"]
pub struct Events<T = RawEvent> {
    handle: Handle,
    id: SubscriptionId,
    /// Taken from the queue all at once, and not given out yet.
    taken: VecDeque<RawEvent>,
    selector: Selector<T>,
    ended: bool,
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("selector", &self.selector).finish_non_exhaustive()
    }
}

impl<T> Events<T> {
    pub(super) fn new(handle: Handle, selector: Selector<T>) -> Self {
        let capacity = handle.options.event_queue();
        let id = handle.lock().inbox.subscriptions.add(selector.name, capacity, None);
        Self { handle, id, taken: VecDeque::new(), selector, ended: false }
    }

    /// Takes only those events that satisfy a predicate. All others take no room in the queue,
    /// including those that have arrived already.
    ///
    /// The client calls the predicate for each event that arrives, while it holds its lock: it
    /// should be quick, and must not use the client.
    pub fn matching(mut self, mut predicate: impl FnMut(&T) -> bool + Send + 'static) -> Self
    where
        T: 'static,
    {
        let test = self.selector.test;
        let mut predicate = Predicate::new(move |event| test(event, &mut predicate));
        self.taken.retain(|event| predicate.holds(event));
        let unused = self.handle.lock().inbox.subscriptions.filter(self.id, predicate);
        drop(unused);
        self
    }

    /// Waits for the next event. The last item is the error that says why the connection ended, and
    /// `None` follows.
    #[expect(clippy::should_implement_trait, reason = "it is the same as the iterator's")]
    pub fn next(&mut self) -> Option<Result<T>> {
        self.next_before(None)
    }

    /// Waits for the next event until a deadline. When the deadline passes, the item is an error
    /// ([`Error::is_timeout`](crate::Error::is_timeout)), and the subscription goes on. A duration
    /// of zero takes only what has arrived.
    pub fn next_within(&mut self, within: Duration) -> Option<Result<T>> {
        self.next_before(Deadline::after(Instant::now(), within))
    }

    fn next_before(&mut self, deadline: Option<Deadline>) -> Option<Result<T>> {
        while !self.ended {
            let event = match self.taken.pop_front() {
                Some(event) => event,
                None => match self.wait(deadline) {
                    Ok(event) => event,
                    Err(error) => {
                        self.ended = error.is_closed();
                        return Some(Err(error));
                    }
                },
            };
            if let Some(item) = (self.selector.decode)(event) {
                return Some(item);
            }
        }
        None
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<RawEvent> {
        let Self { handle, id, taken, .. } = self;
        let mut look =
            Until::new(|state: &mut State| state.inbox.subscriptions.take(*id, taken).transpose());
        if let Some(event) = handle.wait(deadline.map(|deadline| deadline.at), &mut look) {
            return event;
        }
        match (handle.ended(), deadline) {
            (None, Some(deadline)) => {
                let waited_for = WaitedFor::Event { name: self.selector.name, command: None };
                Err(Timeout::new(waited_for, deadline.within).into())
            }
            (closed, _) => Err(closed.unwrap_or_else(|| handle.closed()).into()),
        }
    }
}

impl<T> Iterator for Events<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.next_before(None)
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        self.handle.unsubscribe(self.id);
    }
}
