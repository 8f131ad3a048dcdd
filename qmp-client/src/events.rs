//! Events as a client gives them out.

use std::collections::VecDeque;
use std::sync::Arc;

use qmp_types::{Event, Timestamp, Vocabulary};
use serde_json::value::RawValue;

use crate::error::{Error, Mismatch};

/// An event, its data still as text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawEvent {
    /// Its name on the wire. Events that follow each other share it.
    pub name: Arc<str>,
    /// Its data, if it has any.
    pub data: Option<Box<RawValue>>,
    /// When it happened, by the server's clock.
    pub timestamp: Timestamp,
}

impl RawEvent {
    pub(crate) fn new(name: Arc<str>, data: Option<&RawValue>, timestamp: Timestamp) -> Self {
        Self { name, data: data.map(RawValue::to_owned), timestamp }
    }

    /// Whether it is an `E`.
    #[must_use]
    pub fn is<E: Event>(&self) -> bool {
        *self.name == *E::NAME
    }

    /// The event as the type of its name; `None` if it is another one.
    ///
    /// # Errors
    /// It is an `E` by name, and its data does not fit.
    pub fn decode<E: Event>(&self) -> Result<Option<E>, Error> {
        decode_event(&self.name, self.data.as_deref())
    }

    /// The event as one of a vocabulary.
    ///
    /// # Errors
    /// The vocabulary knows the event, and its data does not fit.
    pub fn decode_any<V: Vocabulary>(&self) -> Result<V, Error> {
        V::decode(&self.name, self.data.as_deref())
            .map_err(|error| Mismatch::event(&self.name, error).into())
    }
}

/// The event as an `E`, if it is one by name.
pub(crate) fn decode_event<E: Event>(
    name: &str,
    data: Option<&RawValue>,
) -> Result<Option<E>, Error> {
    if name != E::NAME {
        return Ok(None);
    }
    qmp_types::decode(data.map_or("{}", RawValue::get))
        .map(Some)
        .map_err(|error| Mismatch::event(name, error).into())
}

/// An event of type `E`, and when it happened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Occurrence<E> {
    /// The event.
    pub event: E,
    /// When it happened, by the server's clock.
    pub timestamp: Timestamp,
}

impl<E> Occurrence<E> {
    pub(crate) fn new(event: E, timestamp: Timestamp) -> Self {
        Self { event, timestamp }
    }
}

/// Events that nobody has taken yet: so many and no more. The oldest make room.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<RawEvent>,
    capacity: usize,
    lagged: u64,
    /// The name of the last event: in a flood it is mostly that of the next one too.
    last: Option<Arc<str>>,
}

impl EventQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { events: VecDeque::new(), capacity, lagged: 0, last: None }
    }

    pub(crate) fn push(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        if self.events.len() >= self.capacity {
            self.lagged += 1;
            self.events.pop_front();
        }
        if self.capacity > 0 {
            let name = match &self.last {
                Some(last) if **last == *name => Arc::clone(last),
                _ => Arc::clone(self.last.insert(name.into())),
            };
            self.events.push_back(RawEvent::new(name, data, timestamp));
        }
    }

    /// The oldest event.
    ///
    /// # Errors
    /// [`Error::Lagged`] first, once, if there were older ones.
    pub(crate) fn pop(&mut self) -> Result<Option<RawEvent>, Error> {
        match std::mem::take(&mut self.lagged) {
            0 => Ok(self.events.pop_front()),
            count => Err(Error::Lagged(count)),
        }
    }

    /// Takes all events out, into a queue that is empty.
    pub(crate) fn take_all(&mut self, events: &mut VecDeque<RawEvent>) {
        if events.is_empty() {
            std::mem::swap(&mut self.events, events);
        }
    }

    /// Whether nothing was dropped.
    ///
    /// # Errors
    /// [`Error::Lagged`], once.
    pub(crate) fn check_loss(&mut self) -> Result<(), Error> {
        match std::mem::take(&mut self.lagged) {
            0 => Ok(()),
            count => Err(Error::Lagged(count)),
        }
    }

    /// Takes out the first event that `wanted` gives something for; the others stay.
    pub(crate) fn take_first<T>(
        &mut self,
        wanted: &mut dyn FnMut(&RawEvent) -> Option<T>,
    ) -> Option<T> {
        let (index, found) = self
            .events
            .iter()
            .enumerate()
            .find_map(|(index, event)| wanted(event).map(|found| (index, found)))?;
        self.events.remove(index);
        Some(found)
    }

    pub(crate) fn forget(&mut self, mut which: impl FnMut(&RawEvent) -> bool) {
        self.events.retain(|event| !which(event));
    }

    /// Gives memory back if nobody has left anything in it.
    pub(crate) fn release(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.lagged = 0;
    }
}
