//! Subscriptions to events.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use qmp_protocol::{Deadline, Timeout, WaitedFor};

use super::shared::Handle;
use crate::error::{Error, Result};
use crate::inbox::{Predicate, SubscriptionId};
use crate::queue::{Journal, Names};
use crate::selector::Selector;
use qmp_protocol::RawEvent;

/// A subscription to events, from the moment at which it was created. With the
/// feature `tokio` or `futures-io` it is a `Stream`, too.
///
/// Events wait in a queue of its own, which holds [a limited number](crate::Options::event_capacity)
/// of them. When the queue is full, the oldest are dropped, and [`Error::Lagged`] says how many. The
/// last item is the error that says why the connection ended.
#[must_use = "`next` takes events"]
pub struct Events<T = RawEvent> {
    handle: Handle,
    id: SubscriptionId,
    /// Taken from the queue all at once, and not given out yet.
    taken: Journal,
    names: Names,
    selector: Selector<T>,
    ended: bool,
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("selector", &self.selector).finish_non_exhaustive()
    }
}

impl<T> Events<T> {
    #[inline]
    pub(super) fn new(handle: Handle, selector: Selector<T>) -> Self {
        let id = handle.subscribe(selector.name);
        let (taken, names) = (Journal::default(), Names::default());
        Self { handle, id, taken, names, selector, ended: false }
    }

    /// Takes only those events that satisfy a predicate. All others take no room in the queue,
    /// including those that have arrived already.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::events::JobStatusChange;
    ///
    /// let mut changes =
    ///     vm.events_of::<JobStatusChange>().matching(|change| change.event.id == "backup");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The client calls the predicate for each event that arrives, while it holds its lock: it
    /// should be quick, and must not use the client. If it panics, so does the
    /// [driver](super::Driver), which ends the connection.
    pub fn matching(mut self, mut predicate: impl FnMut(&T) -> bool + Send + 'static) -> Self
    where
        T: 'static,
    {
        let test = self.selector.test;
        let mut predicate = Predicate::new(move |event| test(event, &mut predicate));
        self.taken.retain(|event| predicate.holds(event));
        self.handle.filter(self.id, predicate);
        self
    }

    /// Waits for the next event. The last item is the error that says why the connection ended, and
    /// `None` follows.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::events::Reset;
    ///
    /// let mut resets = vm.events_of::<Reset>();
    /// // `None` after the end of the connection.
    /// while let Some(reset) = resets.next().await {
    ///     println!("{}", reset?.event.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    #[expect(clippy::should_implement_trait, reason = "streams call it that")]
    pub fn next(&mut self) -> Next<'_, T> {
        Next { events: self, deadline: None }
    }

    /// Waits for the next event until a deadline. When the deadline passes, the item is an error
    /// ([`Error::is_timeout`]), and the subscription goes on.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::events::Reset;
    ///
    /// let mut resets = vm.events_of::<Reset>();
    /// match resets.next_within(Duration::from_secs(10)).await {
    ///     Some(Ok(reset)) => println!("{}", reset.event.reason),
    ///     Some(Err(error)) => println!("{}", error.report()),
    ///     None => println!("the connection has ended"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub fn next_within(&mut self, within: Duration) -> Next<'_, T> {
        let deadline = self.handle.deadline_after(within);
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
        let at = deadline.map(|deadline| deadline.at);
        loop {
            if let Some(event) = self.taken.pop() {
                match self.selector.decode(event, &mut self.names) {
                    Some(item) => return Poll::Ready(Some(item)),
                    None => continue,
                }
            }
            match ready!(self.handle.poll_event(self.id, at, &mut self.taken, cx)) {
                Ok(true) => {}
                Ok(false) => {
                    let waited_for = WaitedFor::Event { name: self.selector.name, command: None };
                    let timeout =
                        deadline.map(|deadline| Timeout::new(waited_for, deadline.within).into());
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

#[cfg(any(feature = "tokio", feature = "futures-io"))]
impl<T> futures_core::Stream for Events<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(None, cx)
    }
}

// Nothing in it is pinned.
impl<T> Unpin for Events<T> {}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        self.handle.unsubscribe(self.id);
    }
}

/// The next event of a subscription, as a future; [`Events::next`] creates it.
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
