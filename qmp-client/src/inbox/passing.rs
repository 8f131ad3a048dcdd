//! Events that go from the input to the queues, many at a time.
//!
//! A flood is checked as text in large pieces, and each event is read once: where it ends, and whether it
//! is valid. It stays text, since the task that takes it decodes it.

use std::task::Waker;

use qmp_protocol::{Direct, EventText, Input, TakeEvents, object_length, raw_value};
use qmp_types::Timestamp;

use super::Inbox;

/// Passes events on to the subscriptions of an inbox.
pub(super) struct Passing<'a> {
    pub(super) inbox: &'a mut Inbox,
    /// The bytes that all queues together may hold.
    pub(super) room: usize,
    /// Tasks to be woken when the lock is released.
    pub(super) woken: &'a mut Vec<Waker>,
}

impl Passing<'_> {
    /// Passes the events on that come next in the input.
    pub(super) fn pass(
        inbox: &mut Inbox,
        direct: Direct,
        input: &mut Input,
        woken: &mut Vec<Waker>,
    ) {
        let room = inbox.room();
        input.take_events(direct, &mut Passing { inbox, room, woken });
    }
}

impl TakeEvents for Passing<'_> {
    #[inline]
    fn decode(&mut self, _: &str, _: Timestamp, text: &str) -> Option<usize> {
        let length = object_length(text)?;
        raw_value(text.get(..length)?)?;
        Some(length)
    }

    #[inline]
    fn commit(&mut self, EventText { name, data, timestamp }: EventText<'_>) {
        let data = data.and_then(raw_value);
        self.inbox.count_event(name);
        self.inbox.subscriptions.push(name, data, timestamp, self.room, self.woken);
    }

    fn undo(&mut self) {}
}
