//! Subscriptions to events.

use std::fmt;
use std::time::{Duration, Instant};

use qmp_protocol::{Deadline, Direct, Input, Timeout, WaitedFor};

use super::burst::Burst;
use super::shared::Handle;
use super::state::State;
use super::wait::Wait;
use crate::error::{Error, Result};
use crate::inbox::{Predicate, SubscriptionId};
use crate::queue::{EventCapacity, Journal, Names, Tally};
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
    /// Taken from the input, and not given out yet. These are older than those of the queue.
    burst: Burst<T>,
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
    pub(super) fn new(handle: Handle, selector: Selector<T>) -> Self {
        let capacity = handle.options.event_queue();
        let id = handle.lock().inbox.subscriptions.add(selector.name, capacity, None);
        let burst = Burst::new(selector.beginning, handle.options.monitor.clone());
        let (taken, names) = (Journal::default(), Names::default());
        Self { handle, id, burst, taken, names, selector, ended: false }
    }

    /// Takes only those events that satisfy a predicate. All others take no room in the queue,
    /// including those that have arrived already.
    ///
    /// The client calls the predicate for each event that arrives, while it holds its lock: it
    /// should be quick, and must not use the client.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::events::JobStatusChange;
    ///
    /// let mut changes =
    ///     vm.events_of::<JobStatusChange>().matching(|change| change.event.id == "backup");
    /// println!("{:?}", changes.next());
    /// # Ok(())
    /// # }
    /// ```
    pub fn matching(mut self, mut predicate: impl FnMut(&T) -> bool + Send + 'static) -> Self
    where
        T: 'static,
    {
        self.burst.retain(&mut predicate);
        let test = self.selector.test;
        let mut predicate = Predicate::new(move |event| test(event, &mut predicate));
        self.taken.retain(|event| predicate.holds(event));
        let unused = self.handle.lock().inbox.subscriptions.filter(self.id, predicate);
        drop(unused);
        self
    }

    /// Waits for the next event. The last item is the error that says why the connection ended, and
    /// `None` follows.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::events::Reset;
    ///
    /// let mut resets = vm.events_of::<Reset>();
    /// // `None` after the end of the connection.
    /// while let Some(reset) = resets.next() {
    ///     println!("{}", reset?.event.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[expect(clippy::should_implement_trait, reason = "it is the same as the iterator's")]
    pub fn next(&mut self) -> Option<Result<T>> {
        self.next_item(None)
    }

    /// Waits for the next event until a deadline. When the deadline passes, the item is an error
    /// ([`Error::is_timeout`](crate::Error::is_timeout)), and the subscription goes on. A duration
    /// of zero takes only what has arrived.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::events::Reset;
    ///
    /// let mut resets = vm.events_of::<Reset>();
    /// match resets.next_within(Duration::from_secs(10)) {
    ///     Some(Ok(reset)) => println!("{}", reset.event.reason),
    ///     Some(Err(error)) => println!("{}", error.report()),
    ///     None => println!("the connection has ended"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_within(&mut self, within: Duration) -> Option<Result<T>> {
        self.next_item(Some(within))
    }

    fn next_item(&mut self, within: Option<Duration>) -> Option<Result<T>> {
        // The clock is read when there is something to wait for.
        let mut deadline = None;
        while !self.ended {
            if let Some(event) = self.burst.next() {
                return Some(Ok(event));
            }
            if let Some(event) = self.taken.pop() {
                match self.selector.decode(event, &mut self.names) {
                    Some(item) => return Some(item),
                    None => continue,
                }
            }
            let deadline =
                *deadline.get_or_insert_with(|| Deadline::after(Instant::now(), within?));
            if let Err(error) = self.wait(deadline) {
                self.ended = error.is_closed();
                return Some(Err(error));
            }
        }
        None
    }

    /// Waits until there are events in the burst or taken from the queue.
    fn wait(&mut self, deadline: Option<Deadline>) -> Result<()> {
        let Self { handle, id, burst, taken, .. } = self;
        let mut look = Look { id: *id, burst, taken, lagged: None };
        if handle.wait(deadline.map(|deadline| deadline.at), &mut look) {
            return look.lagged.map_or(Ok(()), Err);
        }
        Err(match (handle.hindrance(), deadline) {
            (None, Some(deadline)) => {
                let waited_for = WaitedFor::Event { name: self.selector.name, command: None };
                Timeout::new(waited_for, deadline.within).into()
            }
            (hindrance, _) => hindrance.unwrap_or_else(|| handle.why_nothing()),
        })
    }
}

/// A wait for events.
struct Look<'e, T> {
    id: SubscriptionId,
    burst: &'e mut Burst<T>,
    taken: &'e mut Journal,
    /// The error that says how many events were dropped.
    lagged: Option<Error>,
}

impl<T> Wait for Look<'_, T> {
    fn collect(&mut self, state: &mut State) -> bool {
        if let Some(queue) = state.inbox.subscriptions.queue(self.id) {
            if self.burst.make_way(queue) {
                self.lagged = queue.report_lagged();
                return true;
            }
        }
        match state.inbox.subscriptions.take(self.id, self.taken) {
            Ok(arrived) => arrived,
            Err(error) => {
                self.lagged = Some(error);
                true
            }
        }
    }

    fn examine(&mut self) -> bool {
        self.burst.drop_surplus();
        true
    }

    fn subscription(&self) -> Option<SubscriptionId> {
        self.burst.takes_events().then_some(self.id)
    }

    fn take_events(
        &mut self,
        input: &mut Input,
        direct: Direct,
        capacity: EventCapacity,
        tally: &mut Tally,
    ) {
        self.burst.take(input, direct, capacity, tally);
    }
}

impl<T> Iterator for Events<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.next_item(None)
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        self.handle.unsubscribe(self.id);
    }
}
