//! The queue of events that no caller has taken yet.

use std::collections::VecDeque;
use std::sync::Arc;

use qmp_types::Timestamp;
use serde_json::value::RawValue;

use crate::error::Error;
use qmp_protocol::RawEvent;

/// The most bytes of events that a consumer takes at once.
const BATCH: usize = 256 << 10;

/// The limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventCapacity {
    pub(crate) events: usize,
    /// The limit on the bytes of all names and data together.
    pub(crate) bytes: usize,
}

/// Events that no caller has taken yet. When the queue is full, the oldest are dropped.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<RawEvent>,
    capacity: EventCapacity,
    /// The bytes of all names and data.
    bytes: usize,
    /// The number of events that were dropped and not reported.
    lagged: u64,
    /// The name of the last event: in a flood, the next one mostly has the same name, and shares it.
    last: Option<Arc<str>>,
}

impl EventQueue {
    pub(crate) fn new(capacity: EventCapacity) -> Self {
        Self { events: VecDeque::new(), capacity, bytes: 0, lagged: 0, last: None }
    }

    pub(crate) fn push(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        let EventCapacity { events, bytes } = self.capacity;
        let length = name.len() + data.map_or(0, |data| data.get().len());
        while self.events.len() >= events || self.bytes.saturating_add(length) > bytes {
            if !self.drop_oldest() {
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

    /// Drops the oldest event, and counts it. Returns whether one existed.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        self.lagged += 1;
        self.take_oldest().is_some()
    }

    /// Returns the bytes of all names and data.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn take_oldest(&mut self) -> Option<RawEvent> {
        let event = self.events.pop_front()?;
        self.bytes -= event.size();
        Some(event)
    }

    /// Takes the oldest event.
    ///
    /// # Errors
    /// [`Error::Lagged`] first, once, if older events were dropped.
    pub(crate) fn pop(&mut self) -> Result<Option<RawEvent>, Error> {
        match std::mem::take(&mut self.lagged) {
            0 => Ok(self.take_oldest()),
            count => Err(Error::Lagged(count)),
        }
    }

    /// Moves events into `events`, if that is empty: all, or the oldest of them if they are large,
    /// since what the consumer has is not counted any more.
    pub(crate) fn take_all(&mut self, events: &mut VecDeque<RawEvent>) {
        if !events.is_empty() {
            return;
        }
        if self.bytes <= BATCH {
            std::mem::swap(&mut self.events, events);
            self.bytes = 0;
            return;
        }
        let most = self.bytes - BATCH;
        while self.bytes > most {
            let fits = self.events.front().is_some_and(|event| self.bytes - event.size() >= most);
            if !fits {
                return;
            }
            events.extend(self.take_oldest());
        }
    }

    /// Removes those events for which `keep` returns false.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&RawEvent) -> bool) {
        self.events.retain(keep);
        self.bytes = self.events.iter().map(RawEvent::size).sum();
    }

    /// Frees the memory of an empty queue.
    pub(crate) fn release(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
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

    /// A few events may be as large as many.
    #[test]
    fn the_oldest_are_dropped_by_number_and_by_size() {
        let mut queue = queue(3, 100);
        for name in ["A", "B", "C", "D"] {
            push(&mut queue, name, "123456789");
        }
        assert!(matches!(queue.pop(), Err(Error::Lagged(1))));
        push(&mut queue, "E", &"7".repeat(79));
        assert!(matches!(queue.pop(), Err(Error::Lagged(1))));
        assert_eq!(names(&mut queue), ["C", "D", "E"]);

        push(&mut queue, "F", "1");
        push(&mut queue, "G", &"7".repeat(100));
        assert!(matches!(queue.pop(), Err(Error::Lagged(2))));
        assert!(names(&mut queue).is_empty());
    }

    #[test]
    fn bytes_are_counted_however_events_leave() {
        let mut queue = queue(10, 100);
        for name in ["A", "B", "C"] {
            push(&mut queue, name, &"7".repeat(24));
        }
        queue.retain(|event| &*event.name != "A");
        assert_eq!(queue.bytes, 50);
        queue.pop().unwrap().unwrap();
        assert_eq!(queue.bytes, 25);
        queue.take_all(&mut VecDeque::new());
        assert_eq!(queue.bytes, 0);
    }

    /// A name is a peer's text too: a thousand of a mebibyte each took a gibibyte.
    #[test]
    fn names_count() {
        let mut queue = queue(1000, 100);
        for _ in 0..10 {
            push(&mut queue, &"X".repeat(30), "{}");
        }
        assert!(queue.bytes <= 100, "{}", queue.bytes);
        assert!(matches!(queue.pop(), Err(Error::Lagged(7))));
    }

    /// Events that a consumer has taken and not read are not counted.
    #[test]
    fn a_consumer_takes_few_large_events_at_once() {
        let mut queue = queue(10, 10 * BATCH);
        for name in ["A", "B", "C", "D"] {
            push(&mut queue, name, &"7".repeat(BATCH / 2 - 1));
        }
        let mut taken = VecDeque::new();
        queue.take_all(&mut taken);
        assert_eq!((taken.len(), queue.events.len()), (2, 2));
        assert_eq!(queue.bytes, BATCH);
    }

    #[test]
    fn a_queue_may_have_no_capacity() {
        let mut queue = queue(0, 0);
        push(&mut queue, "A", "1");
        queue.push("B", None, Timestamp::UNKNOWN);
        assert!(matches!(queue.pop(), Err(Error::Lagged(2))));
        assert!(queue.pop().unwrap().is_none());
    }
}
