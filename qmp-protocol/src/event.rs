//! Events.

use std::sync::Arc;

use qmp_types::{Event, Timestamp, Vocabulary};
use serde_json::value::RawValue;

use crate::error::{Error, Mismatch};

/// An event that has not been decoded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawEvent {
    /// The event's name on the wire. Consecutive events with the same name share it.
    pub name: Arc<str>,
    /// The event's data, if it has any.
    pub data: Option<Box<RawValue>>,
    /// The time at which the event happened, by the server's clock.
    pub timestamp: Timestamp,
}

impl RawEvent {
    /// Creates an event from its parts.
    ///
    /// ```
    /// use qmp_protocol::RawEvent;
    /// use qmp_types::Timestamp;
    ///
    /// let event = RawEvent::new("STOP".into(), None, Timestamp::now());
    /// assert_eq!(&*event.name, "STOP");
    /// assert!(event.data.is_none());
    /// ```
    #[must_use]
    pub fn new(name: Arc<str>, data: Option<&RawValue>, timestamp: Timestamp) -> Self {
        Self { name, data: data.map(RawValue::to_owned), timestamp }
    }

    /// Returns the bytes of the name and the data.
    ///
    /// ```
    /// use qmp_protocol::RawEvent;
    /// use qmp_types::Timestamp;
    ///
    /// let event = RawEvent::new("STOP".into(), None, Timestamp::now());
    /// assert_eq!(event.size(), 4);
    /// ```
    #[must_use]
    pub fn size(&self) -> usize {
        self.name.len() + self.data.as_ref().map_or(0, |data| data.get().len())
    }

    /// Returns whether the event is an `E`.
    #[must_use]
    pub fn is<E: Event>(&self) -> bool {
        *self.name == *E::NAME
    }

    /// Decodes the event as an `E`; `None` if it is a different event.
    ///
    /// # Errors
    /// The event is an `E` by name, and its data does not match the schema.
    pub fn decode<E: Event>(&self) -> Result<Option<E>, Error> {
        if !self.is::<E>() {
            return Ok(None);
        }
        qmp_types::decode(self.data.as_deref().map_or("{}", RawValue::get))
            .map(Some)
            .map_err(|error| Mismatch::event(&self.name, error).into())
    }

    /// Decodes the event as one of the vocabulary `V`, such as `qmp::AnyEvent`.
    ///
    /// # Errors
    /// The vocabulary knows the event, and its data does not match the schema.
    pub fn decode_any<V: Vocabulary>(&self) -> Result<V, Error> {
        V::decode(&self.name, self.data.as_deref())
            .map_err(|error| Mismatch::event(&self.name, error).into())
    }
}

/// An event of type `E`, and the time at which it happened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Occurrence<E> {
    /// The event.
    pub event: E,
    /// The time at which the event happened, by the server's clock.
    pub timestamp: Timestamp,
}

impl<E> Occurrence<E> {
    /// Creates an event with its time.
    pub fn new(event: E, timestamp: Timestamp) -> Self {
        Self { event, timestamp }
    }
}
