//! Events that the reading thread takes from the input itself.
//!
//! A thread that waits for the events of the only subscription of a connection decodes them where they
//! lie in the input, in one pass, and keeps the results: no text is copied to a queue and read again.
//! Everything that is not plain goes through the queue as ever, and comes after what the burst holds.
//! The limits are those of the queue, by the size of the text.

use std::collections::VecDeque;

use qmp_protocol::{Direct, Input};

use crate::error::{Error, Result};
use crate::queue::{EventCapacity, OVERHEAD, Tally};
use crate::selector::DecodeBeginning;

/// The largest memory that is kept for further events, in bytes.
const KEPT: usize = 256 * 1024;

/// Decoded events that have not been given out.
#[derive(Debug)]
pub(super) struct Burst<T> {
    /// Each with the memory of its text.
    events: VecDeque<(T, usize)>,
    /// The number of events that were dropped and not reported.
    lagged: u64,
}

impl<T> Burst<T> {
    pub(super) fn new() -> Self {
        Self { events: VecDeque::new(), lagged: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.lagged == 0
    }

    /// Takes events from the input. The oldest are dropped if there are more than the queue would hold.
    pub(super) fn take(
        &mut self,
        input: &mut Input,
        direct: Direct,
        capacity: EventCapacity,
        decode: DecodeBeginning<T>,
    ) -> Tally {
        if self.events.capacity() * size_of::<(T, usize)>() > KEPT {
            self.events = VecDeque::new();
        }
        let (mut tally, mut bytes) = (Tally::default(), 0_usize);
        let Self { events, lagged } = self;
        input.take_events(direct, decode, |event, size| {
            let size = size + OVERHEAD;
            tally.arrived += 1;
            while events.len() >= capacity.events || bytes.saturating_add(size) > capacity.bytes {
                *lagged += 1;
                let Some((_, dropped)) = events.pop_front() else { return };
                bytes -= dropped;
            }
            bytes += size;
            events.push_back((event, size));
        });
        tally.dropped = self.lagged;
        tally.held = bytes - self.events.front().map_or(0, |(_, size)| *size);
        tally
    }

    /// Returns the next event, or the number of those that were dropped before it, once.
    pub(super) fn next(&mut self) -> Option<Result<T>> {
        match std::mem::take(&mut self.lagged) {
            0 => self.events.pop_front().map(|(event, _)| Ok(event)),
            lagged => Some(Err(Error::Lagged(lagged))),
        }
    }

    /// Removes those events for which `keep` returns false.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.events.retain(|(event, _)| keep(event));
    }
}
