//! Taking events.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use qmp_types::{Event, Vocabulary};

use super::Client;
use super::call::Wanted;
use crate::error::{Error, Result, Timeout, WaitedFor};
use crate::events::{Occurrence, RawEvent, decode_event};
use crate::machine::{Deadline, Incoming};

/// How long a peer may keep sending while what it has sent is being forgotten.
const CLEARING: Duration = Duration::from_secs(1);

impl Client {
    /// The next event, as one of the vocabulary `V`, such as `qmp_client::qmp::AnyEvent`. Waits
    /// for it no longer than `within`; zero takes only what has arrived, and [`Duration::MAX`]
    /// waits for ever.
    ///
    /// # Errors
    /// There is none in time; events were dropped before this one ([`Error::Lagged`], once); its
    /// data does not fit; or the connection has ended, and all events are taken.
    pub fn next_event<V: Vocabulary>(&mut self, within: Duration) -> Result<Occurrence<V>> {
        let event = self.next_raw_event(within)?;
        Ok(Occurrence::new(event.decode_any()?, event.timestamp))
    }

    /// The next event, its data still as text.
    ///
    /// # Errors
    /// Those of [`next_event`](Self::next_event), but for the data.
    pub fn next_raw_event(&mut self, within: Duration) -> Result<RawEvent> {
        if let Some(event) = self.connection.events.pop()? {
            return Ok(event);
        }
        let now = Instant::now();
        let until = Deadline::after(now, within).map(|limit| limit.at);
        let done = Cell::new(false);
        self.connection.run(now, until, &done, &mut |incoming| {
            done.set(matches!(incoming, Incoming::Event { .. }));
            Some(incoming)
        });
        match self.connection.events.pop()? {
            Some(event) => Ok(event),
            None => Err(self.no_event(None, within)),
        }
    }

    /// The events as they come, each waited for without a limit. The last item is an error that
    /// says why the connection ended.
    pub fn events<V: Vocabulary>(&mut self) -> Events<'_, V> {
        Events { client: self, ended: false, vocabulary: PhantomData }
    }

    /// The events `E` as they come, each waited for without a limit; those of other types are
    /// passed over. The last item is an error that says why the connection ended.
    pub fn events_of<E: Event>(&mut self) -> EventsOf<'_, E> {
        EventsOf { client: self, ended: false, event: PhantomData }
    }

    /// Takes the first event `E` that satisfies `predicate`, from the queue or as it comes. All
    /// others stay in the queue.
    ///
    /// To wait for what a command brings about, use [`Call::until`](super::Call::until): the
    /// queue may hold an older event.
    ///
    /// Events that stay in the queue fill it: [`clear_events`](Self::clear_events) and
    /// [`forget_events`](Self::forget_events) make room.
    ///
    /// # Errors
    /// There is none in time; an `E` does not fit; the connection ends; or there is none in the
    /// queue, and events were dropped from it, one of which may have been the one
    /// ([`Error::Lagged`], once).
    pub fn wait_for<E: Event>(
        &mut self,
        mut predicate: impl FnMut(&E) -> bool,
        within: Duration,
    ) -> Result<Occurrence<E>> {
        let mut wanted = |found: Result<Option<E>>, timestamp| match found {
            Ok(Some(event)) if predicate(&event) => Some(Ok(Occurrence::new(event, timestamp))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        };
        let queued = self
            .connection
            .events
            .take_first(&mut |event| wanted(event.decode::<E>(), event.timestamp));
        if let Some(found) = queued {
            return found;
        }
        let found = self.await_event(within, &mut |name, data, timestamp| {
            wanted(decode_event::<E>(name, data), timestamp)
        })?;
        found.unwrap_or_else(|| Err(self.no_event(Some(E::NAME), within)))
    }

    /// [`wait_for`](Self::wait_for), for whatever event `wanted` gives something for.
    ///
    /// # Errors
    /// Those of [`wait_for`](Self::wait_for), but for the event that does not fit.
    pub fn wait_for_some<T>(
        &mut self,
        mut wanted: impl FnMut(&RawEvent) -> Option<T>,
        within: Duration,
    ) -> Result<T> {
        if let Some(found) = self.connection.events.take_first(&mut wanted) {
            return Ok(found);
        }
        let found = self.await_event(within, &mut |name, data, timestamp| {
            wanted(&RawEvent::new(name.into(), data, timestamp))
        })?;
        found.ok_or_else(|| self.no_event(None, within))
    }

    /// What `wanted` gives for one of the events that come from now on, if it comes in time.
    fn await_event<T>(&mut self, within: Duration, wanted: Wanted<'_, T>) -> Result<Option<T>> {
        // What comes is looked at before it is queued: only what was queued can have been lost.
        self.connection.events.check_loss()?;
        let mut found = None;
        let now = Instant::now();
        let until = Deadline::after(now, within).map(|limit| limit.at);
        let done = Cell::new(false);
        self.connection.run(now, until, &done, &mut |incoming| {
            let Incoming::Event { name, data, timestamp } = incoming else {
                return Some(incoming);
            };
            found = wanted(&name, data, timestamp);
            done.set(found.is_some());
            if found.is_some() { None } else { Some(Incoming::Event { name, data, timestamp }) }
        });
        Ok(found)
    }

    /// Forgets those events that have arrived and that `which` says.
    pub fn forget_events(&mut self, which: impl FnMut(&RawEvent) -> bool) {
        self.connection
            .take_arrived(Deadline::after(Instant::now(), CLEARING).map(|limit| limit.at));
        self.connection.events.forget(which);
    }

    /// Forgets the events that have arrived.
    pub fn clear_events(&mut self) {
        self.connection
            .take_arrived(Deadline::after(Instant::now(), CLEARING).map(|limit| limit.at));
        self.connection.events.clear();
    }

    fn no_event(&self, name: Option<&'static str>, within: Duration) -> Error {
        let timeout = Timeout::new(WaitedFor::Event { name, command: None }, within);
        self.connection.closed().unwrap_or_else(|| timeout.into())
    }
}

/// The events of a connection, as they come.
#[derive(Debug)]
pub struct Events<'c, V> {
    client: &'c mut Client,
    ended: bool,
    vocabulary: PhantomData<fn() -> V>,
}

impl<V: Vocabulary> Iterator for Events<'_, V> {
    type Item = Result<Occurrence<V>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.client.next_event(Duration::MAX);
        self.ended = next.as_ref().is_err_and(Error::is_closed);
        Some(next)
    }
}

/// The events of one type, as they come.
#[derive(Debug)]
pub struct EventsOf<'c, E> {
    client: &'c mut Client,
    ended: bool,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Iterator for EventsOf<'_, E> {
    type Item = Result<Occurrence<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let event = match self.client.next_raw_event(Duration::MAX) {
                Ok(event) => event,
                Err(error) => {
                    self.ended = error.is_closed();
                    return Some(Err(error));
                }
            };
            match event.decode() {
                Ok(Some(found)) => return Some(Ok(Occurrence::new(found, event.timestamp))),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
