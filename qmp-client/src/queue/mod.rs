//! The queue of events that no caller has taken yet.

mod journal;

use qmp_protocol::RawEvent;
use qmp_types::Timestamp;
use serde_json::value::RawValue;

use crate::error::Error;

pub(crate) use journal::{Journal, Names, Taken};

/// The memory of an event beside its name and its data, about, in bytes.
pub(crate) const OVERHEAD: usize = 96;

/// The limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventCapacity {
    pub(crate) events: usize,
    /// The limit on the memory of all events together.
    pub(crate) bytes: usize,
}

/// The events that a subscription has taken without its queue, in numbers.
#[cfg(feature = "blocking")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The number of events that have arrived.
    pub(crate) arrived: u64,
    /// The number of those that were dropped because of a limit.
    pub(crate) dropped: u64,
}

/// Events that no caller has taken yet. When the queue is full, the oldest are dropped.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: Journal,
    capacity: EventCapacity,
    /// The memory of all events.
    bytes: usize,
    /// The memory of the events that were taken last. Their taker holds them until it takes more.
    lent: usize,
    /// The number of events that were dropped and not reported.
    lagged: u64,
    /// The number of events that were dropped and reported.
    reported: u64,
}

impl EventQueue {
    pub(crate) fn new(capacity: EventCapacity) -> Self {
        Self { events: Journal::default(), capacity, bytes: 0, lent: 0, lagged: 0, reported: 0 }
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
        self.bytes += size;
        self.events.push(name, data, timestamp);
    }

    /// Drops the oldest event, and returns whether there was one.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let Some(size) = self.events.drop_oldest() else { return false };
        self.bytes -= size + OVERHEAD;
        self.lagged += 1;
        if self.events.is_empty() {
            self.events.clear();
        }
        true
    }

    /// Returns the memory of the events that can be dropped.
    pub(crate) fn queued(&self) -> usize {
        self.bytes
    }

    /// Returns the memory of all events, also of those that were taken last.
    pub(crate) fn held(&self) -> usize {
        self.bytes + self.lent
    }

    /// Exchanges `taken`, which is empty, for all events that have arrived. Returns whether there are
    /// any.
    ///
    /// # Errors
    /// [`Error::Lagged`] first, once, if older events were dropped.
    pub(crate) fn take(&mut self, taken: &mut Journal) -> Result<bool, Error> {
        if !taken.is_empty() {
            return Ok(true);
        }
        self.lent = 0;
        taken.clear();
        if let Some(lagged) = self.report_lagged() {
            return Err(lagged);
        }
        let Some(first) = self.events.first_size() else { return Ok(false) };
        std::mem::swap(&mut self.events, taken);
        // The first is given out at once.
        self.lent = std::mem::take(&mut self.bytes) - first - OVERHEAD;
        Ok(true)
    }

    /// Returns the limits, if there is nothing to take.
    #[cfg(feature = "blocking")]
    pub(crate) fn unused(&self) -> Option<EventCapacity> {
        (self.events.is_empty() && self.lagged == 0).then_some(self.capacity)
    }

    /// Counts events that the subscription has taken without this queue, and dropped.
    #[cfg(feature = "blocking")]
    pub(crate) fn record_dropped(&mut self, events: u64) {
        self.lagged += events;
    }

    /// Records the memory of the events that the subscription has taken without this queue.
    #[cfg(feature = "blocking")]
    pub(crate) fn record_lent(&mut self, bytes: usize) {
        self.lent = bytes;
    }

    /// Returns the number of events in the queue, their memory, and the number of those that were dropped
    /// and not reported.
    #[cfg(feature = "blocking")]
    pub(crate) fn filling(&self) -> (EventCapacity, u64) {
        (EventCapacity { events: self.events.len(), bytes: self.bytes }, self.lagged)
    }

    /// Returns the error that says how many events were dropped, once.
    pub(crate) fn report_lagged(&mut self) -> Option<Error> {
        let lagged = std::mem::take(&mut self.lagged);
        self.reported += lagged;
        (lagged > 0).then_some(Error::Lagged(lagged))
    }

    /// Returns the number of all events that were dropped because the queue was full.
    pub(crate) fn lagged_in_all(&self) -> u64 {
        self.lagged + self.reported
    }

    /// Removes those events for which `keep` returns false.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&RawEvent) -> bool) {
        self.events.retain(keep);
        self.bytes = self.events.sizes().map(|size| size + OVERHEAD).sum();
    }

    /// Frees the memory of an empty queue.
    pub(crate) fn release(&mut self) {
        self.events.release();
    }
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
        let mut taken = Journal::default();
        assert_eq!(queue.take(&mut taken).unwrap(), !taken.is_empty());
        std::iter::from_fn(|| taken.pop().map(|event| event.name.to_owned())).collect()
    }

    fn lagged(queue: &mut EventQueue) -> u64 {
        match queue.take(&mut Journal::default()) {
            Err(Error::Lagged(count)) => count,
            _ => 0,
        }
    }

    /// A few events may be as large as many.
    #[test]
    fn the_oldest_are_dropped_by_number_and_by_size() {
        let mut queue = queue(3, 100, 3);
        for name in ["A", "B", "C", "D"] {
            push(&mut queue, name, "123456789");
        }
        assert_eq!(lagged(&mut queue), 1);
        push(&mut queue, "E", &"7".repeat(79));
        assert_eq!(lagged(&mut queue), 1);
        assert_eq!(names(&mut queue), ["C", "D", "E"]);

        push(&mut queue, "F", "1");
        push(&mut queue, "G", &"7".repeat(100 + 3 * OVERHEAD));
        assert_eq!(lagged(&mut queue), 2);
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
        // Those that were taken count until more are taken, except for the first.
        assert_eq!(names(&mut queue), ["B", "C"]);
        assert_eq!((queue.queued(), queue.held()), (0, 25 + OVERHEAD));
        assert!(names(&mut queue).is_empty());
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
        assert_eq!(lagged(&mut queue), 7);
    }

    #[test]
    fn a_queue_may_have_no_capacity() {
        let mut queue = queue(0, 0, 0);
        push(&mut queue, "A", "1");
        queue.push("B", None, Timestamp::UNKNOWN);
        assert_eq!(lagged(&mut queue), 2);
        assert!(names(&mut queue).is_empty());
    }
}
