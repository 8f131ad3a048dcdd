//! The queue of events that no caller has taken yet.

use std::collections::VecDeque;
use std::sync::Arc;

use qmp_types::Timestamp;
use serde_json::value::RawValue;

use crate::error::Error;
use qmp_protocol::RawEvent;

/// The memory of an event beside its name and its data, about, in bytes.
const OVERHEAD: usize = 96;

/// The limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventCapacity {
    pub(crate) events: usize,
    /// The limit on the memory of all events together.
    pub(crate) bytes: usize,
}

/// Events that no caller has taken yet. When the queue is full, the oldest are dropped.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<RawEvent>,
    capacity: EventCapacity,
    /// The memory of all events.
    bytes: usize,
    /// The memory of the events that were taken last. Their taker holds them until it takes more.
    lent: usize,
    /// The number of events that were dropped and not reported.
    lagged: u64,
    /// The number of events that were dropped and reported.
    reported: u64,
    /// The name of the last event: in a flood, the next one mostly has the same name, and shares it.
    last: Option<Arc<str>>,
}

impl EventQueue {
    pub(crate) fn new(capacity: EventCapacity) -> Self {
        Self {
            events: VecDeque::new(),
            capacity,
            bytes: 0,
            lent: 0,
            lagged: 0,
            reported: 0,
            last: None,
        }
    }

    pub(crate) fn push(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        let EventCapacity { events, bytes } = self.capacity;
        let size = name.len() + data.map_or(0, |data| data.get().len()) + OVERHEAD;
        while self.events.len() >= events || self.held().saturating_add(size) > bytes {
            if !self.drop_oldest() {
                self.lagged += 1;
                return;
            }
        }
        let name = match &self.last {
            Some(last) if **last == *name => Arc::clone(last),
            _ => Arc::clone(self.last.insert(name.into())),
        };
        self.bytes += size;
        self.events.push_back(RawEvent::new(name, data, timestamp));
    }

    fn take_oldest(&mut self) -> Option<RawEvent> {
        let event = self.events.pop_front()?;
        self.bytes -= size(&event);
        Some(event)
    }

    /// Drops the oldest event, and returns whether there was one.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let is_dropped = self.take_oldest().is_some();
        self.lagged += u64::from(is_dropped);
        is_dropped
    }

    /// Returns the memory of the events that can be dropped.
    pub(crate) fn queued(&self) -> usize {
        self.bytes
    }

    /// Returns the memory of all events, also of those that were taken last.
    pub(crate) fn held(&self) -> usize {
        self.bytes + self.lent
    }

    /// Takes the oldest event.
    ///
    /// # Errors
    /// [`Error::Lagged`] first, once, if older events were dropped.
    pub(crate) fn pop(&mut self) -> Result<Option<RawEvent>, Error> {
        self.lent = 0;
        match std::mem::take(&mut self.lagged) {
            0 => Ok(self.take_oldest()),
            count => {
                self.reported += count;
                Err(Error::Lagged(count))
            }
        }
    }

    /// Returns the number of all events that were dropped because the queue was full.
    pub(crate) fn lagged_in_all(&self) -> u64 {
        self.lagged + self.reported
    }

    /// Moves all events into `events`, if that is empty.
    pub(crate) fn take_all(&mut self, events: &mut VecDeque<RawEvent>) {
        if events.is_empty() {
            std::mem::swap(&mut self.events, events);
            self.lent = std::mem::take(&mut self.bytes);
        }
    }

    /// Removes those events for which `keep` returns false.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&RawEvent) -> bool) {
        self.events.retain(keep);
        self.bytes = self.events.iter().map(size).sum();
    }

    /// Frees the memory of an empty queue.
    pub(crate) fn release(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }
}

fn size(event: &RawEvent) -> usize {
    event.size() + OVERHEAD
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Creates a queue with room for some events of this many bytes together.
    fn queue(events: usize, bytes: usize, together: usize) -> EventQueue {
        EventQueue::new(EventCapacity { events, bytes: bytes + together * OVERHEAD })
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
        let mut queue = queue(3, 100, 3);
        for name in ["A", "B", "C", "D"] {
            push(&mut queue, name, "123456789");
        }
        assert!(matches!(queue.pop(), Err(Error::Lagged(1))));
        push(&mut queue, "E", &"7".repeat(79));
        assert!(matches!(queue.pop(), Err(Error::Lagged(1))));
        assert_eq!(names(&mut queue), ["C", "D", "E"]);

        push(&mut queue, "F", "1");
        push(&mut queue, "G", &"7".repeat(100 + 3 * OVERHEAD));
        assert!(matches!(queue.pop(), Err(Error::Lagged(2))));
        assert!(names(&mut queue).is_empty());
    }

    #[test]
    fn bytes_are_counted_however_events_leave() {
        let mut queue = queue(10, 100, 10);
        for name in ["A", "B", "C"] {
            push(&mut queue, name, &"7".repeat(24));
        }
        queue.retain(|event| &*event.name != "A");
        assert_eq!(queue.bytes, 50 + 2 * OVERHEAD);
        queue.pop().unwrap().unwrap();
        assert_eq!(queue.bytes, 25 + OVERHEAD);
        // Those that were taken count until more are taken.
        queue.take_all(&mut VecDeque::new());
        assert_eq!((queue.queued(), queue.held()), (0, 25 + OVERHEAD));
        assert!(queue.pop().unwrap().is_none());
        assert_eq!(queue.held(), 0);
    }

    /// A name is a peer's text too: a thousand of a mebibyte each took a gibibyte.
    #[test]
    fn names_count() {
        let mut queue = queue(1000, 100, 3);
        for _ in 0..10 {
            push(&mut queue, &"X".repeat(30), "{}");
        }
        assert!(queue.bytes <= 100 + 3 * OVERHEAD, "{}", queue.bytes);
        assert!(matches!(queue.pop(), Err(Error::Lagged(7))));
    }

    #[test]
    fn a_queue_may_have_no_capacity() {
        let mut queue = queue(0, 0, 0);
        push(&mut queue, "A", "1");
        queue.push("B", None, Timestamp::UNKNOWN);
        assert!(matches!(queue.pop(), Err(Error::Lagged(2))));
        assert!(queue.pop().unwrap().is_none());
    }
}
