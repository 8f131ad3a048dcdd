//! The options of a connection.

use std::time::{Duration, Instant};

use qmp_protocol::{Connection, Deadline, Dialect, Direction, Dropped, Request, Settings};
use qmp_types::recording::Recorder;

use crate::queue::EventCapacity;
use crate::trace::Monitor;
use crate::transcript::{Part, Recording};

/// The options of a connection. All of them have defaults.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) wait_for_socket: Option<Duration>,
    pub(crate) greeting_within: Duration,
    pub(crate) calls_within: Option<Duration>,
    pub(crate) dialect: Dialect,
    event_capacity: usize,
    message_size: Option<usize>,
    depth: usize,
    oob: bool,
    transcript: Option<Recording>,
    pub(crate) monitor: Monitor,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait_for_socket: None,
            greeting_within: Duration::from_secs(60),
            calls_within: None,
            dialect: Dialect::Monitor,
            event_capacity: 1024,
            message_size: None,
            depth: Settings::default().depth,
            oob: true,
            transcript: None,
            monitor: Monitor::default(),
        }
    }
}

impl Options {
    /// Returns the defaults: one attempt to connect, a minute for the greeting, the
    /// [recommended deadline](crate::deadlines::recommended) for each call, queues of 1024 events,
    /// messages of up to 48 MiB, and out-of-band execution where the server offers it.
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// let options = Options::new();
    /// assert_eq!(options.greeting_time().as_secs(), 60);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Retries connecting for this long, until the socket exists and a server listens. Zero makes a
    /// single attempt, as without this option.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Options;
    ///
    /// // QEMU creates its socket when it has read its configuration.
    /// let options = Options::new().wait_for_socket(Duration::from_secs(10));
    /// # drop(options);
    /// ```
    pub fn wait_for_socket(mut self, within: Duration) -> Self {
        self.wait_for_socket = Some(within).filter(|within| !within.is_zero());
        self
    }

    /// Sets the deadline for the greeting and the negotiation, or for a guest agent's first answer
    /// (default: 60 seconds). A QEMU that allocates a lot of memory greets late. It counts from the
    /// first attempt to connect, unless [`wait_for_socket`](Self::wait_for_socket) is set: then from
    /// the connection. [`Duration::MAX`] disables the deadline.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Options;
    ///
    /// let options = Options::new().greeting_within(Duration::from_secs(300));
    /// assert_eq!(options.greeting_time().as_secs(), 300);
    /// ```
    pub fn greeting_within(mut self, within: Duration) -> Self {
        self.greeting_within = within;
        self
    }

    /// Returns the time for the greeting and the negotiation.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Options;
    ///
    /// let options = Options::new().greeting_within(Duration::from_secs(3));
    /// assert_eq!(options.greeting_time(), Duration::from_secs(3));
    /// ```
    #[must_use]
    pub fn greeting_time(&self) -> Duration {
        self.greeting_within
    }

    /// Sets the deadline of every call that does not set its own, instead of the
    /// [recommended one](crate::deadlines::recommended). [`Duration::MAX`] disables it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_client::Options;
    ///
    /// let options = Options::new().calls_within(Duration::from_secs(5));
    /// assert_eq!(options.call_within("query-block").as_secs(), 5);
    /// ```
    pub fn calls_within(mut self, within: Duration) -> Self {
        self.calls_within = Some(within);
        self
    }

    /// Sets the kind of peer (default: a QMP monitor). `qmp_vm::Agent` sets it to
    /// [`Dialect::Agent`].
    ///
    /// ```
    /// use qmp_client::{Dialect, Options};
    ///
    /// let options = Options::new().dialect(Dialect::Agent);
    /// assert!(options.is_for_agent());
    /// ```
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Returns whether the peer is a guest agent.
    ///
    /// ```
    /// use qmp_client::{Dialect, Options};
    ///
    /// assert!(!Options::new().is_for_agent());
    /// assert!(Options::new().dialect(Dialect::Agent).is_for_agent());
    /// ```
    #[must_use]
    pub fn is_for_agent(&self) -> bool {
        self.dialect == Dialect::Agent
    }

    /// Sets the number of events that the queue of a subscription holds (default: 1024). The events of
    /// all subscriptions and the replies that have not been received may not take more memory than
    /// [one message](Self::message_size) either. When a queue is full, the oldest events are dropped,
    /// which [`Error::Lagged`](crate::Error::Lagged) reports.
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// // For a subscription that takes events rarely.
    /// let options = Options::new().event_capacity(100_000);
    /// # drop(options);
    /// ```
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// Sets the largest message that is accepted, in bytes (default: 48 MiB). A larger one ends the
    /// connection. It is also the limit on the memory of everything that has arrived and has not been
    /// received: a reply that exceeds it fails its call, and events are dropped.
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// // For a peer that is not trusted.
    /// let options = Options::new().message_size(1 << 20).depth(64);
    /// # drop(options);
    /// ```
    pub fn message_size(mut self, bytes: usize) -> Self {
        self.message_size = Some(bytes);
        self
    }

    /// Sets the deepest nesting of a reply that is accepted, in brackets (default: 1024). A deeper
    /// reply fails its call.
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// let options = Options::new().depth(64);
    /// ```
    pub fn depth(mut self, brackets: usize) -> Self {
        self.depth = brackets;
        self
    }

    /// Sets whether out-of-band execution is enabled where the server offers it (default: true).
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// // In-band commands alone, as before QEMU 2.12.
    /// let options = Options::new().oob(false);
    /// # drop(options);
    /// ```
    pub fn oob(mut self, enabled: bool) -> Self {
        self.oob = enabled;
        self
    }

    /// Calls a function with every message, in both directions. In commands, `"<secret>"` stands in
    /// the place of passwords and other secrets.
    ///
    /// A thread calls the function, and the client waits for it as long as it is quick. While it is
    /// not (it takes longer than 20 ms), up to a mebibyte of messages waits for it, and further ones
    /// are missing in the transcript, which [`Dropped::transcript`] counts. The function must not use
    /// the client. If the function panics, the connection ends with
    /// [`End::Transcript`](crate::End::Transcript), and every waiting caller is told. Other
    /// connections with the same options are not affected.
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
        self.transcript = Some(Recording::new(hook));
        self
    }

    /// Records every message, in both directions, in the format of [`recording`](crate::recording),
    /// with passwords and other secrets masked. `qmp record show` shows the recording, and
    /// `qmp replay` and `qmp_server::replay` answer from it.
    ///
    /// This is a [transcript](Self::transcript), and replaces one that was set. The recorder's
    /// [`finish`](qmp_types::recording::Recorder::finish) returns the error if the recording could
    /// not be written; the connection goes on. File descriptors are not counted.
    ///
    /// ```no_run
    /// use qmp_client::Options;
    /// use qmp_client::recording::Recorder;
    ///
    /// let recorder = Recorder::new(std::fs::File::create("session.qmp")?, "vm");
    /// let options = Options::new().record(&recorder);
    /// # #[cfg(feature = "blocking")]
    /// let vm = qmp_client::blocking::Client::connect_with("unix:/run/vm.sock", &options)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn record(self, recorder: &Recorder) -> Self {
        let recorder = recorder.clone();
        self.transcript(move |direction, message| recorder.message(direction, message, 0))
    }

    /// Sets the name of the monitor in traces (feature `tracing`), instead of its address.
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// let options = Options::new().name("web-17");
    /// # drop(options);
    /// ```
    pub fn name(mut self, name: &str) -> Self {
        self.monitor = Monitor::named(name);
        self
    }

    /// Sets the name of the monitor in traces unless one is set: for programs that open streams
    /// themselves.
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// let options = Options::new().name_or("web1");
    /// ```
    pub fn name_or(mut self, name: &str) -> Self {
        self.monitor = self.monitor.or_name(name);
        self
    }

    /// Returns the options of a connection to this address.
    #[cfg(any(feature = "blocking", feature = "tokio"))]
    pub(crate) fn at(&self, address: &crate::address::Address) -> Self {
        Self { monitor: self.monitor.or_address(address), ..self.clone() }
    }

    /// Creates the state of a connection that has just been established.
    /// The deadline for the greeting counts from `begin`. The connection is to be ended by what is set
    /// in its part of the transcript.
    pub(crate) fn connection(&self, begin: Instant) -> (Connection, Part) {
        let greeting = Deadline::after(begin, self.greeting_within);
        let mut connection = Connection::new(self.settings(), greeting);
        if greeting.is_none() {
            // A guest agent is synchronized with again and again even without a deadline.
            connection.expire(begin);
        }
        let part = Part::default();
        let recording = self.transcript.as_ref();
        connection.set_transcript(recording.map(|recording| recording.transcript(part.clone())));
        (connection, part)
    }

    /// Returns when the wait for the greeting began: with the first attempt to connect, unless the
    /// attempts have a deadline of their own.
    #[cfg(any(feature = "blocking", feature = "tokio"))]
    pub(crate) fn greeting_begin(&self, first_attempt: Instant, now: Instant) -> Instant {
        if self.wait_for_socket.is_some() { now } else { first_attempt }
    }

    /// Adds the number of messages that the transcript lacks.
    pub(crate) fn count_missing(&self, dropped: Dropped) -> Dropped {
        let mut dropped = dropped;
        dropped.transcript = self.transcript.as_ref().map_or(0, Recording::missing);
        dropped
    }

    /// Returns the limits of a queue of events. A guest agent sends no events: whatever looks like
    /// one is dropped.
    pub(crate) fn event_queue(&self) -> EventCapacity {
        match self.dialect {
            Dialect::Agent => EventCapacity { events: 0, bytes: 0 },
            _ => EventCapacity { events: self.event_capacity, bytes: self.budget() },
        }
    }

    /// Returns the limit on the bytes of replies and events that have arrived and not been taken.
    pub(crate) fn budget(&self) -> usize {
        self.message_size.unwrap_or(Settings::default().message_size)
    }

    /// Returns the deadline of a call of this command that does not set its own.
    ///
    /// ```
    /// use qmp_client::Options;
    ///
    /// // Recommended deadlines: a command that writes to disks has longer than a query.
    /// let options = Options::new();
    /// assert!(options.call_within("blockdev-snapshot-sync") >= options.call_within("query-status"));
    /// ```
    #[must_use]
    pub fn call_within(&self, command: &str) -> Duration {
        self.calls_within.unwrap_or_else(|| qmp_protocol::deadlines::recommended(command))
    }

    /// Returns the deadline of a call of this request that does not set its own.
    pub(crate) fn request_within<R: Request>(&self, request: &R) -> Duration {
        self.calls_within.unwrap_or_else(|| request.recommended_deadline())
    }

    /// Returns the settings, with a number that no earlier client of the same monitor will have
    /// used: the last reply to that client may still arrive.
    fn settings(&self) -> Settings {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // Far from the ids of other commands, and from those of other clients, since an agent's client
        // counts on from here. It is exact where numbers are floating point.
        let random = (1 << 40) + (RandomState::new().build_hasher().finish() >> 16);
        let mut settings = match self.dialect {
            Dialect::Agent => Settings::agent(),
            _ => Settings::default(),
        };
        settings.oob &= self.oob;
        settings.depth = self.depth;
        settings.negotiation_id = random;
        settings.message_size = self.message_size.unwrap_or(settings.message_size);
        settings
    }
}
