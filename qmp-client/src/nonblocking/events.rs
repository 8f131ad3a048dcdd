//! Subscriptions.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::Client;
use crate::error::{Error, Result, Timeout, WaitedFor};
use crate::events::RawEvent;
use crate::machine::{Deadline, Dialect};

/// Says which events are wanted.
pub(super) struct Predicate(Box<dyn FnMut(&RawEvent) -> bool + Send>);

impl Predicate {
    pub(super) fn holds(&mut self, event: &RawEvent) -> bool {
        (self.0)(event)
    }

    /// Both must hold.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        Self(Box::new(move |event| self.holds(event) && other.holds(event)))
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

/// A subscription to events, from when it was made. It is a [`Stream`], too.
///
/// Events wait in a queue of its own, [so many](crate::Options::event_capacity) and no more, beside
/// those that were in it when the last one was taken: the oldest make room, and [`Error::Lagged`]
/// says how many. The last item is the error that says why the connection ended.
#[must_use = "events are taken by `next`"]
pub struct Events<T = RawEvent> {
    client: Client,
    number: u64,
    /// Taken from the queue in one go, and not given out yet.
    taken: VecDeque<RawEvent>,
    name: Option<&'static str>,
    decode: fn(RawEvent) -> Option<Result<T>>,
    ended: bool,
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T> Events<T> {
    pub(super) fn subscribe(
        client: Client,
        name: Option<&'static str>,
        decode: fn(RawEvent) -> Option<Result<T>>,
    ) -> Self {
        let capacity = client.hold().options().kept_events(Dialect::Monitor);
        let number = client.hold().lock().subscribe(name, capacity, false);
        let taken = VecDeque::new();
        Self { client, number, taken, name, decode, ended: false }
    }

    /// Only those events that satisfy a predicate, of what was subscribed to. All others take no
    /// room in the queue, those that have arrived already included.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "qmp", feature = "tokio"))]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::events::JobStatusChange;
    ///
    /// let mut changes = vm.events_of::<JobStatusChange>().matching(|event| {
    ///     matches!(event.decode::<JobStatusChange>(), Ok(Some(change)) if change.id == "backup")
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The client calls it for each event that arrives, while it holds its lock: it should be
    /// quick, and must not use the client. If it panics, so does the [driver](super::Driver),
    /// which ends the connection: whoever waits is told that the driver was dropped.
    pub fn matching(mut self, predicate: impl FnMut(&RawEvent) -> bool + Send + 'static) -> Self {
        let mut predicate = Predicate(Box::new(predicate));
        self.taken.retain(|event| predicate.holds(event));
        let unused = self.client.hold().lock().filter(self.number, predicate);
        drop(unused);
        self
    }

    /// The next event. Nothing follows the error that says why the connection ended.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    #[expect(clippy::should_implement_trait, reason = "it is what streams call it")]
    pub fn next(&mut self) -> Next<'_, T> {
        Next { events: self, deadline: None }
    }

    /// The next event, waited for no longer than `within`; then it is an error
    /// ([`Error::is_timeout`]), and the subscription goes on.
    pub fn next_within(&mut self, within: Duration) -> Next<'_, T> {
        let deadline = self.client.hold().deadline_after(within);
        self.next_before(deadline)
    }

    pub(super) fn next_before(&mut self, deadline: Option<Deadline>) -> Next<'_, T> {
        Next { events: self, deadline }
    }

    fn poll_item(
        &mut self,
        deadline: Option<Deadline>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<T>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let at: Option<Instant> = deadline.map(|limit| limit.at);
        loop {
            let next = match self.taken.pop_front() {
                Some(event) => Ok(Some(event)),
                None => {
                    let hold = self.client.hold();
                    ready!(hold.poll_event(self.number, at, &mut self.taken, cx))
                }
            };
            match next {
                Ok(Some(event)) => {
                    if let Some(item) = (self.decode)(event) {
                        return Poll::Ready(Some(item));
                    }
                }
                Ok(None) => {
                    let timeout = deadline.map(|limit| {
                        Timeout::new(
                            WaitedFor::Event { name: self.name, command: None },
                            limit.within,
                        )
                        .into()
                    });
                    return Poll::Ready(timeout.map(Err));
                }
                Err(error) => {
                    self.ended = matches!(error, Error::Closed(_));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl<T> Stream for Events<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(None, cx)
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        self.client.hold().unsubscribe(self.number);
    }
}

/// The next event of a subscription, as a future: [`Events::next`] makes it.
#[derive(Debug)]
#[must_use = "events are taken by awaiting it"]
pub struct Next<'e, T> {
    events: &'e mut Events<T>,
    deadline: Option<Deadline>,
}

impl<T> Future for Next<'_, T> {
    type Output = Option<Result<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.events.poll_item(this.deadline, cx)
    }
}
