//! The events that a subscription gives out, and their type.

use std::fmt;

use qmp_types::{Event, Vocabulary};

use crate::error::Result;
use qmp_protocol::{Occurrence, RawEvent};

/// A test of a decoded event.
pub(crate) type Test<'t, T> = &'t mut dyn FnMut(&T) -> bool;

/// Selects events and decodes them as `T`.
pub(crate) struct Selector<T> {
    /// The name of the events; `None` for all.
    pub(crate) name: Option<&'static str>,
    /// Decodes an event; `None` if it is not selected.
    pub(crate) decode: fn(RawEvent) -> Option<Result<T>>,
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

impl Selector<RawEvent> {
    /// Selects all events, undecoded.
    pub(crate) fn raw() -> Self {
        Self { name: None, decode: |event| Some(Ok(event)), test: |event, holds| holds(event) }
    }
}

impl<V: Vocabulary> Selector<Occurrence<V>> {
    /// Selects all events, as those of a vocabulary.
    pub(crate) fn vocabulary() -> Self {
        fn decode<V: Vocabulary>(event: &RawEvent) -> Result<Occurrence<V>> {
            Ok(Occurrence::new(event.decode_any()?, event.timestamp))
        }
        Self {
            name: None,
            decode: |event| Some(decode(&event)),
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
        Self {
            name: Some(E::NAME),
            decode: |event| decode(&event),
            test: |event, holds| match decode(event) {
                Some(Ok(found)) => holds(&found),
                Some(Err(_)) => true,
                None => false,
            },
        }
    }
}
