//! Events that the reading thread takes from the input itself.
//!
//! A thread that waits for the events of the only subscription of a connection decodes them where they
//! lie in the input, in one pass, and keeps the results: no text is copied to a queue and read again.
//! Everything that is not plain goes through the queue as ever, and comes after what the burst holds.
//! The limits are those of the queue, by the size of the text.

use std::collections::VecDeque;

use qmp_protocol::{Direct, Input, TakeEvents};
use qmp_types::Timestamp;

use crate::queue::{EventCapacity, EventQueue, OVERHEAD, Tally};
use crate::selector::DecodeBeginning;

/// The largest memory that is kept for further events, in bytes.
const KEPT: usize = 256 * 1024;

/// Decoded events that have not been given out.
#[derive(Debug)]
pub(super) struct Burst<T> {
    /// Each with the memory of its text.
    events: VecDeque<(T, usize)>,
    /// The memory of the text of all events.
    bytes: usize,
    /// The limits, and the number of events that were dropped, until the queue has been looked at.
    unsettled: Option<(EventCapacity, u64)>,
}

impl<T> Burst<T> {
    pub(super) fn new() -> Self {
        Self { events: VecDeque::new(), bytes: 0, unsettled: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes events from the input. The oldest are dropped if there are more than the queue would hold.
    pub(super) fn take(
        &mut self,
        input: &mut Input,
        direct: Direct,
        limits: EventCapacity,
        decode: DecodeBeginning<T>,
    ) -> Tally {
        if self.events.capacity() * size_of::<(T, usize)>() > KEPT {
            self.events = VecDeque::new();
        }
        self.bytes = 0;
        let mut taker = Taker { burst: self, limits, decode, tally: Tally::default() };
        input.take_events(direct, &mut taker);
        let tally = taker.tally;
        self.unsettled = Some((limits, tally.dropped));
        tally
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, size)) = self.events.pop_front() else { return false };
        self.bytes -= size;
        true
    }

    /// Drops the oldest events if the queue holds newer ones since, which came in the same turn, and
    /// together they are more than it would hold.
    pub(super) fn make_way(&mut self, queue: &mut EventQueue) {
        let Some((limits, dropped)) = self.unsettled.take() else { return };
        let (newer, lagged) = queue.filling();
        // The queue has dropped newer ones already.
        let is_over = lagged > dropped;
        while is_over
            || self.events.len() + newer.events > limits.events
            || self.bytes.saturating_add(newer.bytes) > limits.bytes
        {
            if !self.drop_oldest() {
                break;
            }
            queue.record_dropped(1);
        }
        // The first is given out at once.
        let first = self.events.front().map_or(0, |(_, size)| *size);
        queue.record_lent(self.bytes - first);
    }

    /// Returns the next event.
    pub(super) fn next(&mut self) -> Option<T> {
        self.events.pop_front().map(|(event, _)| event)
    }

    /// Removes those events for which `keep` returns false.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.events.retain(|(event, _)| keep(event));
    }
}

/// Takes events into a burst.
struct Taker<'b, T> {
    burst: &'b mut Burst<T>,
    limits: EventCapacity,
    decode: DecodeBeginning<T>,
    tally: Tally,
}

impl<T> TakeEvents for Taker<'_, T> {
    #[inline]
    fn decode(&mut self, name: &str, timestamp: Timestamp, text: &str) -> Option<usize> {
        // Events may be large values, which are not moved again.
        let (event, length) = (self.decode)(name, timestamp, text)?;
        self.burst.events.push_back((event, 0));
        Some(length)
    }

    #[inline]
    fn commit(&mut self, size: usize) {
        let Self { burst, limits, tally, .. } = self;
        if let Some((_, memory)) = burst.events.back_mut() {
            *memory = size + OVERHEAD;
            burst.bytes += *memory;
        }
        tally.arrived += 1;
        while (burst.events.len() > limits.events || burst.bytes > limits.bytes)
            && burst.drop_oldest()
        {
            tally.dropped += 1;
        }
    }

    fn undo(&mut self) {
        self.burst.events.pop_back();
    }
}
