//! Subscriptions that outlast connections.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qmp_client::{Error, Event, Occurrence, RawEvent, Result, Timeout, Vocabulary, WaitedFor};

use super::call::{Missing, Wait};
use super::connection::Connection;
use super::front::Supervisable;
use super::identity::{Identity, SameQemu};
use super::shared::{Connected, Hold, Phase, deadline_after};
use crate::monitor::session::Events as _;

/// An item of a subscription.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item<C, T> {
    /// An event.
    Event(T),
    /// A place at which events may be missing.
    Gap(Gap<C>),
}

/// A place in a subscription at which events may be missing. Whatever was learnt from events has to be
/// asked for again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Gap<C> {
    /// A connection was made. Its events follow, all that happen from now on.
    Reconnected(Connection<C>),
    /// This many events were dropped, because the program did not take them in time.
    Lagged(u64),
}

impl<C> fmt::Display for Gap<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reconnected(connection) => {
                write!(f, "connected anew, to {}", connection.same_qemu)
            }
            Self::Lagged(count) => write!(f, "{count} events were dropped: the queue was full"),
        }
    }
}

/// A subscription to events that outlasts connections;
/// [`Supervised::events`](super::Supervised::events) and its siblings create it.
///
/// Events wait in a queue for each connection, which holds [a limited
/// number](qmp_client::Options::event_capacity) of them. A subscription that begins in an outage
/// begins with a [`Gap`].
#[must_use = "`next` takes events"]
pub struct Events<C: Supervisable, T = RawEvent> {
    hold: Hold<C>,
    selector: Selector<T>,
    /// The subscription to the events of the present connection.
    current: Option<C::Events>,
    /// The number of the last connection that was subscribed to.
    number: u64,
    /// Its QEMU.
    identity: Option<Arc<Identity>>,
    ended: bool,
}

impl<C: Supervisable, T> fmt::Debug for Events<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("name", &self.selector.name).finish_non_exhaustive()
    }
}

/// Selects events and decodes them.
pub(super) struct Selector<T> {
    /// The name of the events; `None` for all.
    name: Option<&'static str>,
    /// Decodes an event; `None` if it is not selected.
    decode: fn(RawEvent) -> Option<Result<T>>,
    predicate: Option<Arc<Mutex<Predicate<T>>>>,
}

type Predicate<T> = dyn FnMut(&T) -> bool + Send;

impl<T> Clone for Selector<T> {
    fn clone(&self) -> Self {
        Self { predicate: self.predicate.clone(), ..*self }
    }
}

impl Selector<RawEvent> {
    pub(super) fn raw() -> Self {
        Self { name: None, decode: |event| Some(Ok(event)), predicate: None }
    }
}

impl<V: Vocabulary> Selector<Occurrence<V>> {
    pub(super) fn vocabulary() -> Self {
        let decode = |event: RawEvent| {
            let decoded = event.decode_any().map_err(Error::from);
            Some(decoded.map(|found| Occurrence::new(found, event.timestamp)))
        };
        Self { name: None, decode, predicate: None }
    }
}

impl<E: Event> Selector<Occurrence<E>> {
    pub(super) fn event() -> Self {
        let decode = |event: RawEvent| {
            let found = event.decode().map_err(Error::from).transpose()?;
            Some(found.map(|found| Occurrence::new(found, event.timestamp)))
        };
        Self { name: Some(E::NAME), decode, predicate: None }
    }
}

impl<T> Selector<T> {
    /// Returns whether an event is wanted. One that cannot be decoded is, so that the error is
    /// reported.
    fn wants(&self, event: &RawEvent) -> bool {
        if self.name.is_some_and(|name| *event.name != *name) {
            return false;
        }
        let Some(predicate) = &self.predicate else { return true };
        match (self.decode)(event.clone()) {
            Some(Ok(event)) => predicate.lock().unwrap_or_else(PoisonError::into_inner)(&event),
            Some(Err(_)) => true,
            None => false,
        }
    }
}

impl<C: Supervisable, T: Send + 'static> Events<C, T> {
    pub(super) fn new(hold: Hold<C>, selector: Selector<T>) -> Self {
        let mut events =
            Self { hold, selector, current: None, number: 0, identity: None, ended: false };
        let connected = match &events.hold.shared().lock().phase {
            Phase::Connected(connected) => Some(connected.clone()),
            _ => None,
        };
        if let Some(connected) = connected {
            events.subscribe(&connected);
        }
        events
    }

    /// Takes only those events that satisfy a predicate. All others take no room in the queue.
    ///
    /// The client calls the predicate for each event that arrives, while it holds its lock: it
    /// should be quick, and must not use the client.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// let jobs = vm.raw_events().matching(|event| event.name.starts_with("JOB_"));
    /// # }
    /// ```
    pub fn matching(self, predicate: impl FnMut(&T) -> bool + Send + 'static) -> Self {
        let selector = self.selector.clone();
        let predicate: Arc<Mutex<Predicate<T>>> = Arc::new(Mutex::new(predicate));
        let mut events =
            Self { selector: Selector { predicate: Some(predicate), ..selector }, ..self };
        let again = match &events.hold.shared().lock().phase {
            Phase::Connected(connected) if connected.number == events.number => {
                Some(connected.clone())
            }
            _ => None,
        };
        match again {
            Some(connected) => events.subscribe(&connected),
            // What an earlier connection left in the queue was not selected.
            None => events.current = None,
        }
        events
    }

    /// Waits for the next item. The last item is the error that says why the supervision ended, and
    /// `None` follows.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// use qmp_client::qmp::AnyEvent;
    ///
    /// let mut events = vm.events::<AnyEvent>();
    /// while let Some(item) = events.next() {
    ///     println!("{item:?}");
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// An event that does not match the schema, and the end. Other events follow the former.
    ///
    /// # Cancel safety
    /// No item is lost when the future is dropped.
    #[expect(clippy::should_implement_trait, reason = "streams call it that")]
    pub fn next(&mut self) -> C::Outcome<'_, Option<Result<Item<C, T>>>> {
        self.next_within(Duration::MAX)
    }

    /// Waits for the next item until a deadline. When the deadline passes, the item is an error
    /// ([`is_timeout`](Error::is_timeout)), and the subscription goes on.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::AnyEvent;
    ///
    /// let mut events = vm.events::<AnyEvent>();
    /// println!("{:?}", events.next_within(Duration::from_secs(5)));
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`next`](Self::next), and the deadline passes.
    ///
    /// # Cancel safety
    /// No item is lost when the future is dropped.
    pub fn next_within(&mut self, within: Duration) -> C::Outcome<'_, Option<Result<Item<C, T>>>> {
        C::run(self.take_within(within))
    }

    async fn take_within(&mut self, within: Duration) -> Option<Result<Item<C, T>>> {
        let until = deadline_after(self.hold.shared().now(), within);
        while !self.ended {
            let left = until.map_or(Duration::MAX, |until| {
                until.saturating_duration_since(self.hold.shared().now())
            });
            let Some(events) = &mut self.current else {
                let shared = self.hold.shared();
                let wait = Wait { shared, until, fails_fast: false };
                let found = wait.connection(self.number).await;
                return Some(self.resume(found, within));
            };
            match events.next_within(left).await {
                Some(Ok(event)) => {
                    if let Some(item) = (self.selector.decode)(event) {
                        return Some(item.map(Item::Event));
                    }
                }
                Some(Err(Error::Lagged(count))) => return Some(Ok(Item::Gap(Gap::Lagged(count)))),
                Some(Err(error)) if error.is_timeout() => return Some(Err(self.passed(within))),
                Some(Err(error)) if !error.is_closed() => return Some(Err(error)),
                Some(Err(_)) | None => self.current = None,
            }
        }
        None
    }

    fn resume(
        &mut self,
        found: Result<Connected<C>, Missing>,
        within: Duration,
    ) -> Result<Item<C, T>> {
        match found {
            Ok(connected) => {
                let before = self.identity.take();
                self.subscribe(&connected);
                let same_qemu = match before {
                    Some(before) => before.compare(&connected.identity),
                    None => SameQemu::First,
                };
                Ok(Item::Gap(Gap::Reconnected(connected.connection(same_qemu))))
            }
            Err(Missing::Ended(ended)) => {
                self.ended = true;
                Err(ended.error(None))
            }
            Err(_) => Err(self.passed(within)),
        }
    }

    fn subscribe(&mut self, connected: &Connected<C>) {
        let selector = self.selector.clone();
        self.current = Some(connected.client.subscribe(move |event| selector.wants(event)));
        self.number = connected.number;
        self.identity = Some(Arc::clone(&connected.identity));
    }

    fn passed(&self, within: Duration) -> Error {
        let waited_for = WaitedFor::Event { name: self.selector.name, command: None };
        Timeout::new(waited_for, within).into()
    }
}
