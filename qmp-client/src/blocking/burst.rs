//! Events that the reading thread takes from the input itself.
//!
//! A thread that waits for the events of the only subscription of a connection decodes them where they
//! lie in the input, in one pass, and keeps the results: no text is copied to a queue and read again.
//! Everything that is not plain goes through the queue as ever, and comes after what the burst holds.
//! The limits are those of the queue.

use std::collections::VecDeque;
use std::fmt;

use qmp_protocol::{Direct, EventText, Input, TakeEvents};
use qmp_types::Timestamp;

use crate::queue::{EventCapacity, EventQueue, OVERHEAD, Tally};
use crate::selector::DecodeBeginning;
use crate::trace::Monitor;

/// The largest memory that is kept for further events, in bytes.
const KEPT: usize = 256 * 1024;

/// Decoded events that have not been given out.
pub(super) struct Burst<T> {
    /// Decodes an event, if events can be taken from the input.
    decode: Option<DecodeBeginning<T>>,
    monitor: Monitor,
    /// Each with its memory.
    events: VecDeque<(T, usize)>,
    /// The memory of all events, without the surplus.
    bytes: usize,
    /// The number of the oldest events that are to be dropped. They are the caller's values, and are
    /// dropped after the lock is released.
    surplus: usize,
    /// The limits, and the number of events that were dropped, until the queue has been looked at.
    unsettled: Option<(EventCapacity, u64)>,
}

impl<T> fmt::Debug for Burst<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Burst").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

impl<T> Burst<T> {
    /// The memory of an event beside its name and its data, about, in bytes. Strings and lists are as
    /// large as their text, about.
    const OVERHEAD: usize =
        if size_of::<(T, usize)>() > OVERHEAD { size_of::<(T, usize)>() } else { OVERHEAD };

    pub(super) fn new(decode: Option<DecodeBeginning<T>>, monitor: Monitor) -> Self {
        let (events, bytes, surplus, unsettled) = (VecDeque::new(), 0, 0, None);
        Self { decode, monitor, events, bytes, surplus, unsettled }
    }

    /// Returns whether events of this type can be taken from the input.
    pub(super) fn takes_events(&self) -> bool {
        self.decode.is_some()
    }

    /// Takes events from the input, and counts them. The oldest are dropped if there are more than the
    /// queue would hold.
    pub(super) fn take(
        &mut self,
        input: &mut Input,
        direct: Direct,
        limits: EventCapacity,
        tally: &mut Tally,
    ) {
        let Some(decode) = self.decode else { return };
        if self.events.capacity() * size_of::<(T, usize)>() > KEPT {
            self.events = VecDeque::new();
        }
        self.bytes = 0;
        self.unsettled = Some((limits, 0));
        input.take_events(direct, &mut Taker { burst: self, limits, decode, tally });
    }

    /// Decides which events are to be dropped because the queue holds newer ones since, which came in the
    /// same turn, and together they are more than it would hold. Returns whether there are events.
    pub(super) fn make_way(&mut self, queue: &mut EventQueue) -> bool {
        if let Some((limits, dropped)) = self.unsettled.take() {
            let (newer, lagged) = queue.filling();
            // The queue has dropped newer ones already.
            let is_over = lagged > dropped;
            let mut left = self.events.len();
            for (_, size) in &self.events {
                let is_full = left + newer.events > limits.events
                    || self.bytes.saturating_add(newer.bytes) > limits.bytes;
                if !is_over && !is_full {
                    break;
                }
                left -= 1;
                self.bytes -= size;
            }
            self.surplus = self.events.len() - left;
            queue.record_dropped(self.surplus as u64);
            // The first is given out at once.
            let first = self.events.get(self.surplus).map_or(0, |(_, size)| *size);
            queue.record_lent(self.bytes - first);
        }
        !self.events.is_empty()
    }

    /// Drops the events that [`make_way`](Self::make_way) has found.
    pub(super) fn drop_surplus(&mut self) {
        self.events.drain(..std::mem::take(&mut self.surplus));
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
    tally: &'b mut Tally,
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
    fn commit(&mut self, event: EventText<'_>) {
        let Self { burst, limits, tally, .. } = self;
        burst.monitor.event(event.name);
        if let Some((_, memory)) = burst.events.back_mut() {
            *memory = event.name.len() + event.data.map_or(0, str::len) + Burst::<T>::OVERHEAD;
            burst.bytes += *memory;
        }
        tally.arrived += 1;
        while burst.events.len() > limits.events || burst.bytes > limits.bytes {
            let Some((oldest, size)) = burst.events.pop_front() else { break };
            burst.bytes -= size;
            tally.dropped += 1;
            if let Some((_, dropped)) = &mut burst.unsettled {
                *dropped += 1;
            }
            drop(oldest);
        }
    }

    fn undo(&mut self) {
        self.burst.events.pop_back();
    }
}
