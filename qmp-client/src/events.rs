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

    /// The bytes of its data.
    fn size(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.get().len())
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

/// How many events are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventCapacity {
    pub(crate) events: usize,
    /// And no more than so many bytes of data.
    pub(crate) bytes: usize,
}

/// Events that nobody has taken yet: so many and no more. The oldest make room.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<RawEvent>,
    capacity: EventCapacity,
    /// The data of all of them.
    bytes: usize,
    lagged: u64,
    /// The name of the last event: in a flood it is mostly that of the next one too.
    last: Option<Arc<str>>,
}

impl EventQueue {
    pub(crate) fn new(capacity: EventCapacity) -> Self {
        Self { events: VecDeque::new(), capacity, bytes: 0, lagged: 0, last: None }
    }

    pub(crate) fn push(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        let EventCapacity { events, bytes } = self.capacity;
        let length = data.map_or(0, |data| data.get().len());
        while self.events.len() >= events || self.bytes.saturating_add(length) > bytes {
            self.lagged += 1;
            if self.take_oldest().is_none() {
                return;
            }
        }
        let name = match &self.last {
            Some(last) if **last == *name => Arc::clone(last),
            _ => Arc::clone(self.last.insert(name.into())),
        };
        self.bytes += length;
        self.events.push_back(RawEvent::new(name, data, timestamp));
    }

    fn take_oldest(&mut self) -> Option<RawEvent> {
        let event = self.events.pop_front()?;
        self.bytes -= event.size();
        Some(event)
    }

    /// The oldest event.
    ///
    /// # Errors
    /// [`Error::Lagged`] first, once, if there were older ones.
    pub(crate) fn pop(&mut self) -> Result<Option<RawEvent>, Error> {
        match std::mem::take(&mut self.lagged) {
            0 => Ok(self.take_oldest()),
            count => Err(Error::Lagged(count)),
        }
    }

    /// Takes all events out, into a queue that is empty.
    pub(crate) fn take_all(&mut self, events: &mut VecDeque<RawEvent>) {
        if events.is_empty() {
            std::mem::swap(&mut self.events, events);
            self.bytes = 0;
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
        self.bytes -= self.events.remove(index).map_or(0, |event| event.size());
        Some(found)
    }

    pub(crate) fn forget(&mut self, mut which: impl FnMut(&RawEvent) -> bool) {
        self.events.retain(|event| !which(event));
        self.bytes = self.events.iter().map(RawEvent::size).sum();
    }

    /// Gives memory back if nobody has left anything in it.
    pub(crate) fn release(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
        (self.bytes, self.lagged) = (0, 0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn queue(events: usize, bytes: usize) -> EventQueue {
        EventQueue::new(EventCapacity { events, bytes })
    }

    fn push(queue: &mut EventQueue, name: &str, data: &str) {
        let data: Box<RawValue> = RawValue::from_string(data.to_owned()).unwrap();
        queue.push(name, Some(&data), Timestamp::UNKNOWN);
    }

    fn names(queue: &mut EventQueue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop().unwrap()).map(|event| event.name.to_string()).collect()
    }

    /// Few events may be as large as many.
    #[test]
    fn the_oldest_make_room_in_number_and_in_bytes() {
        let mut queue = queue(3, 100);
        for name in ["A", "B", "C", "D"] {
            push(&mut queue, name, "1234567890");
        }
        assert!(matches!(queue.pop(), Err(Error::Lagged(1))));
        push(&mut queue, "E", &"7".repeat(75));
        assert!(matches!(queue.pop(), Err(Error::Lagged(1))));
        assert_eq!(names(&mut queue), ["C", "D", "E"]);

        push(&mut queue, "F", "1");
        push(&mut queue, "G", &"7".repeat(101));
        assert!(matches!(queue.pop(), Err(Error::Lagged(2))));
        assert!(names(&mut queue).is_empty());
    }

    #[test]
    fn bytes_are_counted_however_events_leave() {
        let mut queue = queue(10, 100);
        for name in ["A", "B", "C", "D"] {
            push(&mut queue, name, &"7".repeat(25));
        }
        queue.take_first(&mut |event| (&*event.name == "C").then_some(())).unwrap();
        queue.forget(|event| &*event.name == "A");
        assert_eq!(queue.bytes, 50);
        queue.pop().unwrap().unwrap();
        assert_eq!(queue.bytes, 25);
        queue.take_all(&mut VecDeque::new());
        assert_eq!(queue.bytes, 0);
        push(&mut queue, "E", &"7".repeat(100));
        queue.clear();
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn a_queue_may_have_no_room_at_all() {
        let mut queue = queue(0, 0);
        push(&mut queue, "A", "1");
        queue.push("B", None, Timestamp::UNKNOWN);
        assert!(matches!(queue.pop(), Err(Error::Lagged(2))));
        assert!(queue.pop().unwrap().is_none());
    }
}
