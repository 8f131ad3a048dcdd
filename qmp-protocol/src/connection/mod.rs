//! The client's side of a connection.

mod agent;
mod early;
mod receive;

use std::sync::Arc;
use std::time::Instant;

use qmp_types::Greeting;
use serde_json::value::RawValue;

use crate::deadline::{Deadline, sooner};
use crate::direct::Direct;
use crate::error::{Closed, End, Error, ProtocolError, Timeout, WaitedFor};
use crate::exchange::Exchange;
use crate::garbage::Garbage;
use crate::id::CallId;
use crate::incoming::{Dropped, Incoming, Traffic};
use crate::input::{Frame, Input};
use crate::message::not_qmp;
use crate::negotiation::Negotiation;
use crate::output::{Descriptor, Output};
use crate::raw_value;
use crate::settings::{Dialect, Settings};
use crate::submission::Submission;
use crate::sync::{DELIMITER, Sync};
use crate::transcript::Transcript;

/// The longest line that the fast paths try.
pub(crate) const SHORT: usize = 1024;

#[derive(Debug)]
enum Phase {
    /// The greeting has not arrived.
    Connected,
    /// `qmp_capabilities` has been sent, and whether it has been answered is not known.
    Negotiating,
    /// The synchronization with a guest agent is not complete.
    Syncing,
    /// Commands may be sent.
    Ready,
    /// Nothing more is received or sent.
    Ended(Arc<End>),
}

/// The client's side of a connection, without I/O. The [crate's page](crate) shows how a driver
/// uses it.
#[derive(Debug)]
pub struct Connection {
    settings: Settings,
    phase: Phase,
    exchange: Exchange,
    greeting: Option<Greeting>,
    greeting_deadline: Option<Deadline>,
    /// The line before the greeting that may be the rest of a reply to an earlier client.
    rest: Option<Garbage>,
    negotiation: Negotiation,
    sync: Sync,
    /// Whether a guest agent has answered the first synchronization.
    has_synced: bool,
    /// The latest moment that the driver has named. Before the present, so that a deadline at this
    /// moment has passed.
    latest: Option<Instant>,
    /// Whether output that a driver took out was discarded.
    output_lost: bool,
    /// The position in the output from which on nothing has been sent, if a driver knows it.
    unsent_from: Option<u64>,
    /// Whether output that a driver took out has not been sent.
    output_unsent: bool,
    /// The reason for the end, until everything that arrived before it has been given out.
    ending: Option<End>,
    dropped: Dropped,
    traffic: Traffic,
}

impl Connection {
    /// Creates the state of a connection that has just been established. The negotiation, or the
    /// synchronization with a guest agent, must be complete by `greeting`.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use qmp_protocol::{Connection, Deadline, Settings};
    ///
    /// let greeting = Deadline::after(Instant::now(), Duration::from_secs(10));
    /// let connection = Connection::new(Settings::default(), greeting);
    /// assert_eq!(connection.deadline(), greeting.map(|deadline| deadline.at));
    /// ```
    #[must_use]
    pub fn new(settings: Settings, greeting: Option<Deadline>) -> Self {
        let is_agent = settings.dialect == Dialect::Agent;
        let mut connection = Self {
            phase: Phase::Connected,
            exchange: Exchange::new(settings.window, !is_agent),
            greeting: None,
            greeting_deadline: greeting,
            rest: None,
            negotiation: Negotiation::new(settings.negotiation_id),
            sync: Sync::new(settings.negotiation_id),
            has_synced: false,
            latest: greeting.and_then(|deadline| deadline.at.checked_sub(deadline.within)),
            output_lost: false,
            unsent_from: None,
            output_unsent: false,
            ending: None,
            dropped: Dropped::default(),
            traffic: Traffic::default(),
            settings,
        };
        if is_agent {
            if let Some(now) = connection.latest {
                connection.sync.repeat_after(now);
            }
            connection.start_sync();
        }
        connection
    }

    /// Calls a function with every message from now on, in both directions.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use qmp_protocol::{Connection, Incoming, Settings, Transcript};
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let mut connection = Connection::new(Settings::default(), None);
    /// connection.set_transcript(Some(Transcript::new(move |direction, message| {
    ///     let _ = sender.send((direction, message.to_owned()));
    /// })));
    ///
    /// let mut input = connection.new_input();
    /// input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": []}}"#);
    /// assert!(matches!(connection.next(&mut input), Some(Incoming::Greeting)));
    /// assert!(receiver.try_recv()?.1.starts_with(r#"{"QMP": "#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_transcript(&mut self, transcript: Option<Transcript>) {
        let Exchange { recorder, output, .. } = &mut self.exchange;
        recorder.set_transcript(transcript);
        // The first command to a guest agent has been written by now.
        recorder.record_output(output, 0);
        self.check_transcript();
    }

    /// Returns whether commands may be sent: the negotiation is complete, and the connection has
    /// not ended.
    ///
    /// ```
    /// use qmp_protocol::{Connection, Settings};
    ///
    /// let mut connection = Connection::new(Settings::default(), None);
    /// let mut input = connection.new_input();
    /// input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": []}}"#);
    /// while connection.next(&mut input).is_some() {}
    /// assert!(connection.output().starts_with(br#"{"execute":"qmp_capabilities""#));
    /// assert!(!connection.is_ready());
    ///
    /// connection.sent(connection.output().len());
    /// input.push(br#"{"return": {}, "id": 0}"#);
    /// while connection.next(&mut input).is_some() {}
    /// assert!(connection.is_ready());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Returns the reason why the connection ended, once everything that arrived before has been
    /// given out.
    ///
    /// ```
    /// use qmp_protocol::{Connection, End, Settings};
    ///
    /// let mut connection = Connection::new(Settings::default(), None);
    /// let mut input = connection.new_input();
    /// connection.end(End::Eof);
    /// assert!(connection.ended().is_none());
    /// while connection.next(&mut input).is_some() {}
    /// assert!(matches!(connection.ended().map(|end| &**end), Some(End::Eof)));
    /// ```
    #[inline]
    #[must_use]
    pub fn ended(&self) -> Option<&Arc<End>> {
        match &self.phase {
            Phase::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Takes the reason why the connection ended, for the first and only caller who asks. Later
    /// callers see [`End::Local`].
    ///
    /// ```
    /// use qmp_protocol::{Connection, End, Settings};
    ///
    /// let mut connection = Connection::new(Settings::default(), None);
    /// let mut input = connection.new_input();
    /// connection.end(End::Eof);
    /// while connection.next(&mut input).is_some() {}
    /// assert!(matches!(connection.take_ended().as_deref(), Some(End::Eof)));
    /// assert!(matches!(connection.take_ended().as_deref(), Some(End::Local)));
    /// ```
    pub fn take_ended(&mut self) -> Option<Arc<End>> {
        match &mut self.phase {
            Phase::Ended(end) => Some(std::mem::replace(end, Arc::new(End::Local))),
            _ => None,
        }
    }

    /// Takes the greeting out, for a driver that keeps it itself, and leaves an empty one.
    #[doc(hidden)]
    pub fn greeting_out(&mut self) -> Greeting {
        self.greeting.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns the greeting, once it has arrived, unless a driver has taken it out.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// // The negotiation is complete.
    /// let greeting = connection.greeting().expect("a monitor greets");
    /// assert_eq!(greeting.version.qemu.major, 11);
    /// ```
    #[must_use]
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Returns whether out-of-band execution is enabled.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// // The greeting offered it, and the negotiation is complete.
    /// assert!(connection.oob_enabled());
    /// ```
    #[must_use]
    pub fn oob_enabled(&self) -> bool {
        self.exchange.oob
    }

    /// Returns the number of messages that were received and dropped.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// // An earlier client of this monitor did not wait for its reply.
    /// input.push(br#"{"return": {}, "id": "libvirt-7"}"#);
    /// assert!(matches!(connection.next(&mut input), Some(Incoming::Dropped)));
    /// assert_eq!(connection.dropped().foreign_replies, 1);
    /// ```
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Returns the number of bytes in each direction.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// let before = connection.traffic().sent;
    /// connection.submit(Submission::new("query-status"))?;
    /// let count = connection.output().len();
    /// connection.sent(count);
    /// assert_eq!(connection.traffic().sent - before, count as u64);
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Accepts a command, which is sent as soon as it may be.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// // The negotiation is complete.
    /// let call = connection.submit(Submission::new("query-status"))?;
    /// assert_eq!(connection.output(), b"{\"execute\":\"query-status\",\"id\":1}\n");
    ///
    /// input.push(br#"{"return": {"status": "running", "running": true}, "id": 1}"#);
    /// match connection.next(&mut input) {
    ///     Some(Incoming::Reply { id, result }) if id == call => {
    ///         assert_eq!(result?.get(), r#"{"status": "running", "running": true}"#);
    ///     }
    ///     other => panic!("unexpected: {other:?}"),
    /// }
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    ///
    /// # Errors
    /// The connection has ended, the arguments are not a JSON object, or the command is
    /// out-of-band and out-of-band execution was not negotiated.
    #[inline]
    pub fn submit(&mut self, submission: Submission<'_>) -> Result<CallId, Error> {
        if let Phase::Ended(end) = &self.phase {
            return Err(Closed::new(Some(submission.name), end).into());
        }
        let id = self.exchange.submit(submission)?;
        self.check_transcript();
        Ok(id)
    }

    /// Gives up a call: its result is not reported. With a guest agent this may start another
    /// synchronization, so that there is something to send, and a deadline.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// let call = connection.submit(Submission::new("query-block"))?;
    /// connection.sent(connection.output().len());
    /// connection.abandon(call, std::time::Instant::now());
    /// assert!(!connection.is_pending(call));
    ///
    /// // The late reply answers no other call.
    /// input.push(br#"{"return": [], "id": 1}"#);
    /// assert!(matches!(connection.next(&mut input), Some(Incoming::Dropped)));
    /// assert_eq!(connection.dropped().late_replies, 1);
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    pub fn abandon(&mut self, id: CallId, now: Instant) {
        self.latest = Some(now);
        self.exchange.calls.abandon(id);
        self.forget_silent();
        self.synchronize(now);
    }

    /// Returns whether the result of this call is still to be reported.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// let call = connection.submit(Submission::new("query-status"))?;
    /// assert!(connection.is_pending(call));
    /// input.push(br#"{"return": {}, "id": 1}"#);
    /// while connection.next(&mut input).is_some() {}
    /// assert!(!connection.is_pending(call));
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[must_use]
    pub fn is_pending(&self, id: CallId) -> bool {
        self.exchange.calls.is_pending(id)
    }

    /// Returns whether the command of this call has been given out to be sent, and not been
    /// answered.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// // Eight in-band commands are in flight at a time; the others are queued.
    /// let calls: Vec<_> = (0..9)
    ///     .map(|_| connection.submit(Submission::new("query-status")))
    ///     .collect::<Result<_, _>>()?;
    /// assert!(connection.is_in_flight(calls[7]));
    /// assert!(!connection.is_in_flight(calls[8]));
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[must_use]
    pub fn is_in_flight(&self, id: CallId) -> bool {
        self.exchange.calls.is_in_flight(id)
    }

    /// Returns whether the command of this call waits for others, and has not been given out to be
    /// sent.
    ///
    /// ```
    /// use qmp_protocol::{Connection, Settings, Submission};
    ///
    /// // Nothing is sent before the negotiation.
    /// let mut connection = Connection::new(Settings::default(), None);
    /// let call = connection.submit(Submission::new("query-status"))?;
    /// assert!(connection.is_queued(call));
    /// assert!(connection.output().is_empty());
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn is_queued(&self, id: CallId) -> bool {
        self.exchange.calls.is_queued(id)
    }

    /// Returns whether no call is queued, in flight, or to be reported.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// assert!(connection.is_idle());
    /// connection.submit(Submission::new("query-status"))?;
    /// assert!(!connection.is_idle());
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.exchange.calls.is_idle()
    }

    /// Creates an input buffer with this connection's limit on the size of a message.
    ///
    /// ```
    /// use qmp_protocol::{Connection, Settings};
    ///
    /// let mut settings = Settings::default();
    /// settings.message_size = 1 << 20;
    /// let connection = Connection::new(settings, None);
    /// let mut input = connection.new_input();
    /// assert!(!input.spare().is_empty());
    /// ```
    #[must_use]
    pub fn new_input(&self) -> Input {
        Input::new(self.settings.message_size)
    }

    /// Returns the bytes to send next. More may follow when they have been [sent](Self::sent).
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use std::io::Write;
    ///
    /// # let mut socket = Vec::new();
    /// connection.submit(Submission::new("query-status"))?;
    /// while !connection.output().is_empty() {
    ///     let count = socket.write(connection.output())?;
    ///     connection.sent(count);
    /// }
    /// assert_eq!(socket, b"{\"execute\":\"query-status\",\"id\":1}\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.exchange.output.piece()
    }

    /// Returns the file descriptors that travel with the first byte of [`output`](Self::output).
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// # #[cfg(unix)] {
    /// # use std::os::fd::OwnedFd;
    /// let mut command = Submission::new("getfd");
    /// command.descriptors.push(OwnedFd::from(std::fs::File::open("/dev/null")?));
    /// connection.submit(command)?;
    /// // They are sent with the first byte of their command.
    /// assert_eq!(connection.descriptors().len(), 1);
    /// connection.sent(1);
    /// assert!(connection.descriptors().is_empty());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn descriptors(&self) -> &[Descriptor] {
        self.exchange.output.descriptors()
    }

    /// Records that the first `count` bytes of [`output`](Self::output) have been sent, and with
    /// them the [`descriptors`](Self::descriptors), which are closed on this side.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// connection.submit(Submission::new("query-status"))?;
    /// connection.sent(11);
    /// assert!(connection.output().starts_with(b"\"query-status\""));
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.traffic.sent += count as u64;
        self.exchange.output.sent(count);
    }

    /// Moves everything that is to be sent into `output`, if that is empty. The driver sends it
    /// from there without the lock that guards this connection.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use qmp_protocol::Output;
    ///
    /// connection.submit(Submission::new("query-status"))?;
    /// let mut output = Output::default();
    /// connection.take_output(&mut output);
    /// // From here on, the connection's lock is not needed.
    /// assert_eq!(output.piece(), b"{\"execute\":\"query-status\",\"id\":1}\n");
    /// output.sent(output.piece().len());
    /// assert!(output.is_empty());
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    pub fn take_output(&mut self, output: &mut Output) {
        if output.is_empty() && !self.exchange.output.is_empty() {
            self.traffic.sent += self.exchange.output.length() as u64;
            std::mem::swap(&mut self.exchange.output, output);
            self.exchange.output.follow(output);
        }
    }

    /// Records that not everything that was taken out has been sent, and that it will not be.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use qmp_protocol::{End, Error, Output};
    ///
    /// connection.submit(Submission::new("quit"))?;
    /// let mut output = Output::default();
    /// connection.take_output(&mut output);
    ///
    /// // How much of it was sent is not known.
    /// connection.output_lost();
    /// connection.end(End::Eof);
    /// match connection.next(&mut input) {
    ///     Some(Incoming::Reply { result: Err(Error::Closed(closed)), .. }) => {
    ///         assert!(!closed.sent && !closed.not_executed);
    ///     }
    ///     other => panic!("unexpected: {other:?}"),
    /// }
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    pub fn output_lost(&mut self) {
        self.output_lost = true;
    }

    /// Records that nothing from a [position](Output::position) on has been sent, and that it will not
    /// be.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use qmp_protocol::{End, Error, Output};
    ///
    /// connection.submit(Submission::new("stop"))?;
    /// let mut output = Output::default();
    /// connection.take_output(&mut output);
    ///
    /// // The socket failed before the first byte: the command has not been executed.
    /// connection.lost_from(output.position());
    /// connection.end(End::Eof);
    /// match connection.next(&mut input) {
    ///     Some(Incoming::Reply { result: Err(Error::Closed(closed)), .. }) => {
    ///         assert!(closed.not_executed);
    ///     }
    ///     other => panic!("unexpected: {other:?}"),
    /// }
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    pub fn lost_from(&mut self, position: u64) {
        self.output_lost = true;
        let known = self.unsent_from.get_or_insert(position);
        *known = position.min(*known);
    }

    /// Records whether anything that was taken out has not been sent yet. A command whose success is
    /// not answered does not succeed by its deadline if it may not have been sent.
    pub fn set_unsent(&mut self, unsent: bool) {
        self.output_unsent = unsent;
    }

    /// Sends those queued commands for which `which` returns true now, beyond the window, because
    /// the connection is about to be closed. Does nothing before the negotiation.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// let calls: Vec<_> = (0..9)
    ///     .map(|_| connection.submit(Submission::new("query-status")))
    ///     .collect::<Result<_, _>>()?;
    /// assert!(connection.is_queued(calls[8]));
    /// connection.send_now(|call| call == calls[8]);
    /// assert!(connection.is_in_flight(calls[8]));
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    pub fn send_now(&mut self, which: impl Fn(CallId) -> bool) {
        if let Phase::Ready | Phase::Syncing = self.phase {
            for queued in self.exchange.calls.take_queued(which) {
                self.exchange.send(queued);
            }
            self.check_transcript();
        }
    }

    /// Frees memory that is not in use. An empty output buffer of up to `keep` bytes stays.
    #[inline]
    pub fn release(&mut self, keep: usize) {
        self.exchange.output.release(keep);
        self.exchange.calls.release();
    }

    /// Returns the next moment at which [`expire`](Self::expire) has something to do.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use std::time::{Duration, Instant};
    ///
    /// use qmp_protocol::Deadline;
    ///
    /// assert_eq!(connection.deadline(), None);
    /// let mut command = Submission::new("query-status");
    /// command.deadline = Deadline::after(Instant::now(), Duration::from_secs(2));
    /// let at = command.deadline.map(|deadline| deadline.at);
    /// connection.submit(command)?;
    /// assert_eq!(connection.deadline(), at);
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let greeting = match self.phase {
            // The only deadlines of most connections.
            Phase::Ready => return self.exchange.deadline(),
            Phase::Ended(_) => None,
            _ => self.greeting_deadline.map(|deadline| deadline.at),
        };
        sooner(sooner(greeting, self.sync_deadline()), self.exchange.deadline())
    }

    /// Fails everything whose deadline is at or before `now`; [`next`](Self::next) reports it.
    /// Bytes that have arrived by then come first: call `next` until it returns `None`, then this.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use std::time::{Duration, Instant};
    ///
    /// use qmp_protocol::{Deadline, Error};
    ///
    /// let now = Instant::now();
    /// let mut command = Submission::new("query-status");
    /// command.deadline = Deadline::after(now, Duration::from_secs(2));
    /// connection.submit(command)?;
    ///
    /// // Time is what the driver says it is.
    /// connection.expire(now + Duration::from_secs(2));
    /// match connection.next(&mut input) {
    ///     Some(Incoming::Reply { result: Err(Error::Timeout(timeout)), .. }) => {
    ///         assert_eq!(timeout.command(), Some("query-status"));
    ///     }
    ///     other => panic!("unexpected: {other:?}"),
    /// }
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    pub fn expire(&mut self, now: Instant) {
        self.latest = Some(now);
        let waited_for = match self.phase {
            Phase::Connected => Some(WaitedFor::Greeting),
            Phase::Negotiating => Some(WaitedFor::Reply("qmp_capabilities".into())),
            Phase::Syncing => Some(WaitedFor::Agent),
            Phase::Ready | Phase::Ended(_) => None,
        };
        let passed = self.greeting_deadline.filter(|deadline| deadline.has_passed(now));
        if let (Some(waited_for), Some(deadline)) = (waited_for, passed) {
            let refusal = self.negotiation.take_error();
            let timeout = Timeout::new(waited_for, deadline.within).because(refusal);
            self.end(End::Handshake(timeout));
        }
        let sent = !self.output_lost && !self.output_unsent && self.exchange.output.is_empty();
        self.exchange.calls.expire(now, sent);
        self.forget_silent();
        self.synchronize(now);
    }

    /// Returns whether the connection ends with the next calls of [`next`](Self::next).
    ///
    /// ```
    /// use qmp_protocol::{Connection, End, Settings};
    ///
    /// let mut connection = Connection::new(Settings::default(), None);
    /// assert!(!connection.is_ending());
    /// connection.end(End::Eof);
    /// assert!(connection.is_ending());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Ends the connection. [`next`](Self::next) gives out what arrived before, then finishes every
    /// call that is left with this reason. If there is a reason already, it stays.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use qmp_protocol::{End, Error};
    ///
    /// let call = connection.submit(Submission::new("query-status"))?;
    /// // The driver has read the end of the stream.
    /// connection.end(End::Eof);
    /// match connection.next(&mut input) {
    ///     Some(Incoming::Reply { id, result: Err(Error::Closed(closed)) }) if id == call => {
    ///         assert!(closed.by_peer());
    ///     }
    ///     other => panic!("unexpected: {other:?}"),
    /// }
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    pub fn end(&mut self, end: End) {
        self.ending.get_or_insert(end);
    }

    /// Takes the next message from `input`, or the next call that has finished without a reply.
    /// Returns `None` when all bytes that have arrived are examined.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// input.push(br#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 0}}{"#);
    /// match connection.next(&mut input) {
    ///     Some(Incoming::Event { name, data, .. }) => {
    ///         assert_eq!(name, "STOP");
    ///         assert!(data.is_none());
    ///     }
    ///     other => panic!("unexpected: {other:?}"),
    /// }
    /// // The beginning of the next message stays in the input.
    /// assert!(connection.next(&mut input).is_none());
    /// assert!(!input.is_empty());
    /// ```
    #[inline]
    pub fn next<'i>(&mut self, input: &'i mut Input) -> Option<Incoming<'i>> {
        self.traffic.received += input.take_received();
        if self.exchange.calls.has_finished() {
            return self.next_finished();
        }
        match self.phase {
            Phase::Ended(_) => return None,
            Phase::Ready if self.ending.is_none() && input.is_exhausted() => return None,
            _ => {}
        }
        if let Phase::Syncing = self.phase {
            // Everything before a delimiter belongs to an earlier exchange.
            input.skip_past(DELIMITER);
        }
        if let Some(line) = input.line(self.longest_line()) {
            let incoming = self.take_line(line, input);
            self.check_transcript();
            return Some(incoming);
        }
        self.next_frame(input)
    }

    /// Takes the next message that the fast path does not understand.
    fn next_frame<'i>(&mut self, input: &'i mut Input) -> Option<Incoming<'i>> {
        let may_be_inside = matches!(self.phase, Phase::Connected);
        let incoming = match input.frame(may_be_inside, self.ending.is_some()) {
            Some(Frame::Message { place, depth }) => self.take_message(input.bytes(place), depth),
            Some(Frame::Garbage { garbage, ends_object: true, .. })
                if self.may_be_rest(&garbage) =>
            {
                self.dropped.garbage += 1;
                self.rest = Some(garbage.clone());
                Incoming::Garbage(garbage)
            }
            Some(Frame::Garbage { garbage, id, .. }) => self.take_junk(garbage, id),
            Some(Frame::TooLarge) => {
                let limit = self.settings.message_size;
                self.finish(End::Protocol(ProtocolError::TooLarge { limit }), Some(input));
                return self.next_finished();
            }
            None => {
                let end = self.other_service(input).map(End::Protocol).or(self.ending.take())?;
                self.finish(end, Some(input));
                return self.next_finished();
            }
        };
        self.check_transcript();
        Some(incoming)
    }

    /// Returns whether a line that ends as an object does may be the rest of a reply to an earlier client,
    /// which a server sends before the greeting. There is only one.
    fn may_be_rest(&self, garbage: &Garbage) -> bool {
        matches!(self.phase, Phase::Connected)
            && self.rest.is_none()
            && matches!(not_qmp(garbage.clone()), ProtocolError::NotQmp(_))
    }

    /// Returns the right to take the events that come next from the input directly, as [`next`](Self::next)
    /// would give them out; `None` while messages are recorded, or have another meaning. It holds for
    /// what has arrived, and until the next call of `next`.
    #[doc(hidden)]
    #[must_use]
    pub fn direct(&self) -> Option<Direct> {
        let is_plain = self.is_ready()
            && !self.exchange.recorder.is_listening()
            && !self.exchange.calls.has_finished();
        is_plain.then(|| Direct::new(self.longest_line()))
    }

    /// Returns the length of the longest line that the fast paths accept. A line that is no longer than
    /// the depth limit cannot be nested deeper.
    fn longest_line(&self) -> usize {
        SHORT.min(self.settings.depth)
    }

    /// Takes the next call that has finished without a reply: it failed, expired, or succeeded
    /// silently. [`next`](Self::next) includes these; this is for a driver whose input another
    /// thread is using.
    #[inline]
    pub fn next_finished<'i>(&mut self) -> Option<Incoming<'i>> {
        if self.exchange.calls.has_finished() { self.take_finished() } else { None }
    }

    fn take_finished<'i>(&mut self) -> Option<Incoming<'i>> {
        let (id, result) = self.exchange.calls.next_finished()?;
        let empty = || raw_value::from_checked("{}").unwrap_or(RawValue::NULL);
        Some(Incoming::Reply { id, result: result.map(|()| empty()) })
    }

    /// Returns an error if a server of another protocol is recognized by a line that is still
    /// arriving, or that never ends.
    fn other_service(&self, input: &Input) -> Option<ProtocolError> {
        let is_greeting = matches!(self.phase, Phase::Connected) && input.is_short_junk();
        let garbage = is_greeting.then(|| input.unfinished()).flatten()?;
        match not_qmp(garbage) {
            error @ ProtocolError::OtherService { .. } => Some(error),
            _ => None,
        }
    }

    /// Ends the connection at once. Nothing more is taken from the peer.
    pub(super) fn finish(&mut self, end: End, input: Option<&mut Input>) {
        // What came first says more.
        let rest = self.rest.take_if(|_| self.greeting.is_none());
        let garbage = rest.or_else(|| input.as_ref().and_then(|input| input.unfinished()));
        let end = match (end, garbage) {
            (End::Eof, Some(garbage)) if self.greeting.is_none() && !self.is_agent() => {
                End::Protocol(not_qmp(garbage))
            }
            (End::Eof, Some(garbage)) => End::Truncated(garbage),
            (End::Handshake(timeout), Some(garbage)) => {
                End::Handshake(timeout.because(Some(garbage)))
            }
            (end, _) => end,
        };
        let end = Arc::new(end);
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "qmp_protocol", reason = %end, "the connection has ended");
        let sent = !self.output_lost && self.exchange.output.is_empty();
        let unsent = self.unsent_from.unwrap_or_else(|| self.exchange.output.position());
        self.exchange.calls.finish_all(&end, sent, unsent);
        self.exchange.output.clear();
        self.exchange.open = false;
        if let Some(input) = input {
            input.clear();
        }
        self.phase = Phase::Ended(end);
    }

    pub(super) fn check_transcript(&mut self) {
        if self.exchange.recorder.take_panicked() {
            self.end(End::Transcript);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle connection keeps no buffer that a large command needed.
    #[test]
    fn a_connection_frees_its_output() {
        let mut connection = Connection::new(Settings::default(), None);
        connection.exchange.output.end().extend_from_slice(&[b' '; 100_000]);
        connection.release(0);
        connection.sent(100_000);
        assert!(connection.exchange.output.end().capacity() >= 100_000);
        connection.release(4096);
        assert_eq!(connection.exchange.output.end().capacity(), 0);
    }
}
