//! What a caller may set about a connection.

use std::time::{Duration, Instant};

use crate::events::EventCapacity;
use crate::machine::{Deadline, Dialect, Direction, Machine, Settings, Transcript};

/// What may be set about a connection. Every one of these has a default.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) wait_for_socket: Option<Duration>,
    pub(crate) greeting_within: Duration,
    pub(crate) calls_within: Option<Duration>,
    event_capacity: usize,
    message_size: Option<usize>,
    settings: Settings,
    transcript: Option<Transcript>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait_for_socket: None,
            greeting_within: Duration::from_secs(60),
            calls_within: None,
            event_capacity: 1024,
            message_size: None,
            settings: Settings::default(),
            transcript: None,
        }
    }
}

impl Options {
    /// The defaults: one attempt to connect, a minute for the greeting, the
    /// [recommended deadline](crate::deadlines::recommended) for each call, 1024 events, 64 MiB a
    /// message, out-of-band execution where it is offered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Try to connect again and again for so long, until the socket is there.
    pub fn wait_for_socket(mut self, within: Duration) -> Self {
        self.wait_for_socket = Some(within);
        self
    }

    /// Greeting and negotiation must be through within this time, or a guest agent have answered. A QEMU with much memory to
    /// allocate takes its time; [`Duration::MAX`] waits for ever.
    pub fn greeting_within(mut self, within: Duration) -> Self {
        self.greeting_within = within;
        self
    }

    /// The deadline of every call that names none itself, in place of the
    /// [recommended one](crate::deadlines::recommended). [`Duration::MAX`] waits for ever.
    pub fn calls_within(mut self, within: Duration) -> Self {
        self.calls_within = Some(within);
        self
    }

    /// How many events are kept until somebody takes them, and no more bytes of them than
    /// [one message](Self::message_size) may have; then the oldest are dropped, which
    /// [`Error::Lagged`](crate::Error::Lagged) reports.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// The largest message that is accepted, in bytes: 64 MiB from a monitor, 4 MiB from a guest
    /// agent. A larger one ends the connection.
    pub fn message_size(mut self, bytes: usize) -> Self {
        self.message_size = Some(bytes);
        self
    }

    /// The deepest nesting of a reply that is accepted. A deeper one fails its call.
    pub fn depth(mut self, brackets: usize) -> Self {
        self.settings.depth = brackets;
        self
    }

    /// Whether out-of-band execution is enabled where the server offers it.
    pub fn oob(mut self, enabled: bool) -> Self {
        self.settings.oob = enabled;
        self
    }

    /// Shows every message, both ways, to a function; which ones it keeps is its own affair. It
    /// must not call the client that calls it. An asynchronous client calls it while it holds its
    /// lock: it should be quick.
    ///
    /// If it panics, the panic goes no further, but the connection ends ([`End::Transcript`]):
    /// whoever waits is told. Other connections that have it too are not harmed.
    ///
    /// [`End::Transcript`]: crate::End::Transcript
    ///
    /// ```
    /// use qmp_client::{Direction, Options};
    ///
    /// let options = Options::new().transcript(|direction, message| match direction {
    ///     Direction::Sent => eprintln!("> {message}"),
    ///     Direction::Received => eprintln!("< {message}"),
    /// });
    /// ```
    pub fn transcript(mut self, hook: impl FnMut(Direction, &str) + Send + 'static) -> Self {
        self.transcript = Some(Transcript::new(hook));
        self
    }

    /// A machine for a connection that has just been made.
    pub(crate) fn machine(&self, dialect: Dialect, now: Instant) -> Machine {
        let mut machine = Machine::new(self.settings(dialect), self.greeting_deadline(now));
        machine.set_transcript(self.transcript.clone());
        machine
    }

    /// How many events are kept. A guest agent sends none: whatever looks like one is not kept.
    pub(crate) fn kept_events(&self, dialect: Dialect) -> EventCapacity {
        match dialect {
            Dialect::Monitor => EventCapacity {
                events: self.event_capacity,
                bytes: self.message_size.unwrap_or(Settings::default().message_size),
            },
            Dialect::Agent => EventCapacity { events: 0, bytes: 0 },
        }
    }

    pub(crate) fn call_within(&self, command: &str) -> Duration {
        self.calls_within.unwrap_or_else(|| crate::deadlines::recommended(command))
    }

    fn greeting_deadline(&self, now: Instant) -> Option<Deadline> {
        Deadline::after(now, self.greeting_within)
    }

    /// The settings, with a number that no earlier client of the same monitor will have used: its
    /// last reply may still arrive.
    fn settings(&self, dialect: Dialect) -> Settings {
        use std::hash::{BuildHasher, RandomState};
        // Far from the ids of other commands, and exact wherever numbers are floating point.
        let random = (1 << 40) + (RandomState::new().hash_one(0_u8) >> 16);
        let chosen = &self.settings;
        let defaults = match dialect {
            Dialect::Monitor => Settings { oob: chosen.oob, ..Settings::default() },
            Dialect::Agent => Settings::agent(),
        };
        Settings {
            message_size: self.message_size.unwrap_or(defaults.message_size),
            depth: chosen.depth,
            negotiation_id: random,
            ..defaults
        }
    }
}
