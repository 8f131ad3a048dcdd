//! The events that a subscription gives out, and their type.

use std::fmt;

use qmp_types::{Event, Timestamp, Vocabulary};

use crate::error::Result;
use crate::queue::{Names, Taken};
use qmp_protocol::{Occurrence, RawEvent};

/// A test of a decoded event.
pub(crate) type Test<'t, T> = &'t mut dyn FnMut(&T) -> bool;

/// Decodes an event from its name, its time, and the text that begins with its data, and returns it
/// with the length of its data; `None` if it must be decoded on its own.
pub(crate) type DecodeBeginning<T> = fn(&str, Timestamp, &str) -> Option<(T, usize)>;

/// Selects events and decodes them as `T`.
pub(crate) struct Selector<T> {
    /// The name of the events; `None` for all.
    pub(crate) name: Option<&'static str>,
    /// Decodes an event; `None` if it is not selected.
    pub(crate) decode: fn(RawEvent) -> Option<Result<T>>,
    /// Decodes an event in one pass with what surrounds it. Events that are given out as they came have
    /// no such function.
    pub(crate) beginning: Option<DecodeBeginning<T>>,
    /// Applies a test to a decoded event. Events that cannot be decoded pass, so that the error is
    /// reported.
    pub(crate) test: fn(&RawEvent, Test<'_, T>) -> bool,
}

impl<T> Clone for Selector<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Selector<T> {}

impl<T> fmt::Debug for Selector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T> Selector<T> {
    /// Decodes an event where it lies, or else on its own. `None` if it is not selected.
    pub(crate) fn decode(&self, taken: Taken<'_>, names: &mut Names) -> Option<Result<T>> {
        if let Some(beginning) = self.beginning {
            let data = taken.data();
            match beginning(taken.name, taken.timestamp, data) {
                Some((event, length)) if length == data.len() => return Some(Ok(event)),
                _ => {}
            }
        }
        (self.decode)(taken.into_raw(names))
    }
}

impl Selector<RawEvent> {
    /// Selects all events, undecoded.
    pub(crate) fn raw() -> Self {
        Self {
            name: None,
            decode: |event| Some(Ok(event)),
            beginning: None,
            test: |event, holds| holds(event),
        }
    }
}

impl<V: Vocabulary> Selector<Occurrence<V>> {
    /// Selects all events, as those of a vocabulary.
    pub(crate) fn vocabulary() -> Self {
        fn decode<V: Vocabulary>(event: &RawEvent) -> Result<Occurrence<V>> {
            Ok(Occurrence::new(event.decode_any()?, event.timestamp))
        }
        fn decode_beginning<V: Vocabulary>(
            name: &str,
            timestamp: Timestamp,
            text: &str,
        ) -> Option<(Occurrence<V>, usize)> {
            let (event, length) = V::decode_beginning(name, text)?;
            Some((Occurrence::new(event, timestamp), length))
        }
        Self {
            name: None,
            decode: |event| Some(decode(&event)),
            beginning: Some(decode_beginning),
            test: |event, holds| decode(event).map_or(true, |found| holds(&found)),
        }
    }
}

impl<E: Event> Selector<Occurrence<E>> {
    /// Selects the events of one type.
    pub(crate) fn event() -> Self {
        fn decode<E: Event>(event: &RawEvent) -> Option<Result<Occurrence<E>>> {
            let found = event.decode().transpose()?;
            Some(found.map(|found| Occurrence::new(found, event.timestamp)).map_err(Into::into))
        }
        fn decode_beginning<E: Event>(
            name: &str,
            timestamp: Timestamp,
            text: &str,
        ) -> Option<(Occurrence<E>, usize)> {
            if name != E::NAME {
                return None;
            }
            let (event, length) = qmp_types::decode_beginning(text)?;
            Some((Occurrence::new(event, timestamp), length))
        }
        Self {
            name: Some(E::NAME),
            decode: |event| decode(&event),
            beginning: Some(decode_beginning),
            test: |event, holds| match decode(event) {
                Some(Ok(found)) => holds(&found),
                Some(Err(_)) => true,
                None => false,
            },
        }
    }
}
