//! Events that are taken from the input directly, without the connection.

use qmp_types::Timestamp;

/// The bytes that are taken in a turn.
const TURN: usize = 64 * 1024;

/// An event that is taken from an input directly: its parts, as they lie in the input.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct EventText<'i> {
    /// Its name.
    pub name: &'i str,
    /// Its data, which are an object, if it has any.
    pub data: Option<&'i str>,
    /// The time at which it happened, by the server's clock.
    pub timestamp: Timestamp,
}

/// Takes events from an input directly: see [`Input::take_events`](crate::Input::take_events).
#[doc(hidden)]
pub trait TakeEvents {
    /// Reads an event from its name, its time, and the text that begins with its data, and keeps what it
    /// makes of it until that is committed or undone. Returns the length of the data.
    fn decode(&mut self, name: &str, timestamp: Timestamp, text: &str) -> Option<usize>;

    /// Commits the last event, which has been taken.
    fn commit(&mut self, event: EventText<'_>);

    /// Drops the last event: the general parser takes it.
    fn undo(&mut self);
}

/// The right to take events from an input directly, without the connection: see
/// [`Input::take_events`](crate::Input::take_events). It is given by
/// [`Connection::direct`](crate::Connection::direct).
#[doc(hidden)]
#[derive(Debug)]
pub struct Direct {
    /// The length of the longest event, in bytes.
    pub(crate) longest: usize,
    /// The bytes that may still be taken.
    pub(crate) left: usize,
}

impl Direct {
    pub(crate) fn new(longest: usize) -> Self {
        Self { longest, left: TURN }
    }
}
