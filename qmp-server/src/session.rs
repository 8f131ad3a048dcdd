//! The protocol of one connection, without I/O: bytes go in, requests come out, replies go in, and
//! bytes to send come out.

use std::io;
use std::sync::Arc;

use qmp_types::{Capability, ErrorClass, Greeting, QmpError, Timestamp};
use serde::Serialize;
use serde_json::Map;
use serde_json::value::RawValue;

use crate::budget::Budget;
use crate::close_reason::CloseReason;
use crate::incoming::{Content, Incoming, Message};
use crate::json::{Plain, depth, dismantle, encode_return, pretty, to_json};
use crate::limits::Limits;
use crate::negotiation::requested_capabilities;
use crate::output::Output;
use crate::request::{self, Parts, Request, Texts, Ticket};

/// The number of bytes that every connection may leave unread, even if all together have reached
/// their limit.
const FREE_OUTPUT: usize = 64 << 10;

/// The protocol of one connection.
///
/// A session answers by itself whatever needs no handler: capabilities negotiation and messages
/// that are not valid commands. It returns all other commands from
/// [`next_request`](Self::next_request); answer each with [`reply`](Self::reply), at once or later.
/// A session does no I/O and never blocks.
///
/// As in QEMU, in-band commands are executed one at a time, in order. If the client has enabled
/// out-of-band execution, up to eight more can wait, and out-of-band commands overtake them, also in
/// order. Otherwise, a session reads nothing while a command is executed.
///
/// ```
/// use qmp_server::{Limits, Session};
/// use qmp_types::{Greeting, QmpError};
///
/// let mut session = Session::new(&Greeting::default(), Limits::default());
/// session.take_output(); // the greeting
/// session.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'hello', 'id': 1}");
/// let request = session.next_request().ok_or("a request")?;
/// assert_eq!(request.name, "hello");
/// session.reply(request.ticket, &Err::<(), _>(QmpError::generic("good-bye")));
/// assert_eq!(
///     String::from_utf8(session.take_output())?,
///     "{\"return\": {}}\r\n\
///      {\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"good-bye\"}}\r\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    offered: Vec<Capability>,
    incoming: Incoming,
    output: Output,
    pretty: bool,
    keeps_text: bool,
    negotiated: bool,
    oob_enabled: bool,
    input_state: InputState,
    closed: Option<CloseReason>,
    /// Whether the owner of the connection has something to do: new output, room for input, or the
    /// end.
    changed: bool,
    /// Whether that is more than output.
    needs_owner: bool,
    /// Whether input was refused, or messages were left unprocessed for lack of room, since the owner
    /// was last told that there is room.
    has_refused: bool,
    /// Whether nothing can be sent any more.
    is_removed: bool,
}

/// Whether more messages are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum InputState {
    Open,
    /// The client sends nothing more. The connection ends once everything is answered.
    Ended,
    /// The server stops.
    Stopped,
}

/// The memory budgets that several sessions share: their clients together use no more than
/// [`Limits::total_input_bytes`] and [`Limits::total_output_bytes`].
#[derive(Clone, Debug)]
pub struct Budgets {
    pub(crate) input: Arc<Budget>,
    pub(crate) output: Arc<Budget>,
}

impl Budgets {
    /// Creates budgets, of which nothing is in use.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            input: Budget::new(limits.total_input_bytes),
            output: Budget::new(limits.total_output_bytes),
        }
    }
}

impl Session {
    /// Creates the session of a new connection. The greeting is its first output.
    #[must_use]
    pub fn new(greeting: &Greeting, limits: Limits) -> Self {
        let budgets = Budgets::new(&limits);
        Self::within(&budgets, greeting, limits, false)
    }

    /// Creates a session that shares its budgets with others.
    ///
    /// ```
    /// use qmp_server::{Budgets, Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let limits = Limits::default();
    /// // All sessions of a server together stay within these.
    /// let budgets = Budgets::new(&limits);
    /// let session = Session::sharing(&budgets, &greeting, limits);
    /// ```
    #[must_use]
    pub fn sharing(budgets: &Budgets, greeting: &Greeting, limits: Limits) -> Self {
        Self::within(budgets, greeting, limits, false)
    }

    /// Creates a session that shares its budgets with others.
    pub(crate) fn within(
        budgets: &Budgets,
        greeting: &Greeting,
        limits: Limits,
        pretty: bool,
    ) -> Self {
        let incoming = Incoming::new(&limits, &budgets.input);
        let mut session = Self {
            limits,
            offered: greeting.capabilities.clone(),
            incoming,
            output: Output::new(&budgets.output),
            pretty,
            keeps_text: false,
            negotiated: false,
            oob_enabled: false,
            input_state: InputState::Open,
            closed: None,
            changed: false,
            needs_owner: false,
            has_refused: false,
            is_removed: false,
        };
        if let Ok(greeting) = to_json(greeting) {
            session.send_line(&[r#"{"QMP": "#, &greeting, "}"]);
        }
        session
    }

    /// Sets whether output is spread over several lines, as by QEMU with `pretty=on`. The greeting,
    /// if it has not been taken, is not changed.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.set_pretty(true);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_pretty(&mut self, pretty: bool) {
        self.pretty = pretty;
    }

    /// Keeps the arguments of commands as the client has written them, for
    /// [`Request::arguments_text`], instead of decoding them; and their ids, too. Call this before any
    /// bytes arrive.
    ///
    /// What is not standard JSON, such as strings in single quotes, is written anew.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.keep_arguments_as_text();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep_arguments_as_text(&mut self) {
        self.keeps_text = true;
        self.incoming.keep_text();
    }

    /// Accepts bytes from the client. Call [`next_request`](Self::next_request) until it returns
    /// `None` before passing more.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// assert!(session.next_request().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.closed.is_none() {
            self.incoming.push(bytes);
        }
    }

    /// Accepts bytes from the client, and file descriptors that have arrived with the first of them.
    ///
    /// As in QEMU, they replace descriptors that no command has taken.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.receive_with_descriptors(b"{'execute': 'qmp_capabilities'}", Vec::new());
    /// assert!(session.next_request().is_none());
    /// assert!(session.is_negotiated());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn receive_with_descriptors(&mut self, bytes: &[u8], descriptors: Vec<crate::Descriptor>) {
        if self.closed.is_none() {
            if !descriptors.is_empty() {
                self.incoming.push_descriptors(crate::descriptors::Descriptors::new(descriptors));
            }
            self.incoming.push(bytes);
        }
    }

    /// Returns whether more bytes should be read from the client. This is false while the client
    /// leaves replies unread or too many of its commands wait, and after the end.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// assert!(session.wants_input());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.closed.is_none()
            && self.input_state == InputState::Open
            && !self.is_congested()
            && self.incoming.wants_bytes(self.oob_enabled)
    }

    /// Returns the next command to execute.
    ///
    /// Returns `None` if more bytes are needed, if the client has to read its replies first, or if
    /// an earlier command has to be answered first.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// let request = session.next_request().expect("a command has arrived");
    /// assert_eq!(request.name, "query-name");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_request(&mut self) -> Option<Request> {
        while self.closed.is_none() && !self.is_congested() {
            let may_parse = self.input_state != InputState::Stopped;
            let Some(message) = self.incoming.next(self.oob_enabled, may_parse) else {
                self.close_if_complete();
                return None;
            };
            if let Some(request) = self.process(message) {
                return Some(request);
            }
        }
        self.has_refused |= self.closed.is_none();
        None
    }

    /// Tells the session that the client sends nothing more. The connection ends once everything that
    /// has arrived is answered.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.end_input();
    /// assert!(!session.wants_input());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_input(&mut self) {
        if self.input_state == InputState::Open {
            self.input_state = InputState::Ended;
        }
    }

    /// Stops reading messages. Commands that have been read are still executed.
    pub(crate) fn stop(&mut self) {
        self.input_state = InputState::Stopped;
        self.changed = true;
        self.needs_owner = true;
    }

    /// Answers a command. A command without a success response gets a reply only if `result` is an
    /// error; for its success, call [`finish`](Self::finish).
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// let request = session.next_request().expect("a command has arrived");
    /// session.reply(request.ticket, &Ok(serde_json::json!({"name": "vm"})));
    /// assert!(String::from_utf8(session.take_output())?.ends_with("{\"return\": {\"name\": \"vm\"}}\r\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reply<T: Serialize>(&mut self, ticket: Ticket, result: &Result<T, QmpError>) {
        let encoded = match result {
            Ok(value) => encode_return(value),
            Err(error) => return self.fail(ticket, error),
        };
        match encoded {
            Ok(value) => self.succeed(ticket, &value),
            Err(error) => self.fail(ticket, &error),
        }
    }

    /// Ends a command without a reply, as QEMU does for those without a success response.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}");
    /// let request = session.next_request().expect("a command has arrived");
    /// assert_eq!(request.name, "query-name");
    /// // Nothing is sent, as for `guest-shutdown`.
    /// session.finish(request.ticket);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finish(&mut self, ticket: Ticket) {
        self.incoming.finish(ticket.out_of_band);
        self.changed = true;
        self.needs_owner = true;
    }

    /// Sends an event. Events before the end of capabilities negotiation are discarded, as the
    /// protocol requires.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// session.receive(b"{'execute': 'qmp_capabilities'}");
    /// // Answers it. A client hears nothing before.
    /// assert!(session.next_request().is_none());
    /// session.event("POWERDOWN", None, qmp_types::Timestamp::now());
    /// assert!(String::from_utf8(session.take_output())?.contains("POWERDOWN"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn event(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        self.event_line(&event_line(name, data.map(RawValue::get), timestamp));
    }

    /// Returns the bytes to send. Call [`sent`](Self::sent) once some of them have been sent.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// assert!(session.output().starts_with(b"{\"QMP\": "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.unsent()
    }

    /// Removes the given number of bytes from the start of the output, because they have been sent.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// let count = session.output().len();
    /// session.sent(count);
    /// assert!(session.output().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sent(&mut self, bytes: usize) {
        self.output.sent(bytes);
    }

    /// Takes all bytes to send.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// assert!(session.take_output().starts_with(b"{\"QMP\": "));
    /// assert!(session.output().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_output(&mut self) -> Vec<u8> {
        self.output.take()
    }

    /// Ends the connection. Pending output should still be sent; it is discarded only for
    /// [`CloseReason::OutputOverflow`].
    pub fn close(&mut self, reason: CloseReason) {
        if matches!(reason, CloseReason::OutputOverflow(_)) {
            self.output.take();
        }
        self.incoming.clear();
        if self.closed.is_none() {
            self.closed = Some(reason);
            self.changed = true;
            self.needs_owner = true;
        }
    }

    /// Ends the connection of a client that has gone. Returns its output, which cannot be sent any more.
    /// Later replies are discarded.
    pub(crate) fn remove(&mut self) -> Vec<u8> {
        self.close(CloseReason::Client);
        self.is_removed = true;
        self.output.take()
    }

    /// Returns the reason why the connection has ended, if it has.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// assert!(session.closed().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }

    /// Returns whether capabilities negotiation is complete.
    ///
    /// ```
    /// use qmp_server::{Limits, Session};
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let mut session = Session::new(&greeting, Limits::default());
    /// assert!(!session.is_negotiated());
    /// session.receive(b"{'execute': 'qmp_capabilities'}");
    /// // The session answers it by itself.
    /// assert!(session.next_request().is_none());
    /// assert!(session.is_negotiated());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    /// Returns whether no message waits for being processed, and the end is not awaited.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.input_state == InputState::Open && self.incoming.is_empty()
    }

    /// Returns whether no command of the client is being executed or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.incoming.is_idle()
    }

    /// Returns whether a command of this kind is being executed.
    pub(crate) fn is_executing(&self, out_of_band: bool) -> bool {
        self.incoming.is_executing(out_of_band)
    }

    /// Returns the memory in bytes that an unfinished message uses.
    #[cfg(unix)]
    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.incoming.unfinished_bytes()
    }

    /// Notes that the owner of the connection has to look at it.
    pub(crate) fn note_change(&mut self) {
        self.changed = true;
    }

    /// Returns whether more bytes should be read. If not, the owner waits until it is told.
    pub(crate) fn asks_for_input(&mut self) -> bool {
        let wants_input = self.wants_input();
        self.has_refused |= !wants_input;
        wants_input
    }

    /// Notes that the owner has to look if it was refused input for which there is room now. The room
    /// may come from sent output, also that of another client, or from messages having been processed.
    ///
    /// Returns whether there is such room.
    pub(crate) fn note_room(&mut self) -> bool {
        let has_room = self.has_refused && self.wants_input();
        self.changed |= has_room;
        has_room
    }

    /// Notes that input is refused, if that is for lack of room in the output.
    #[cfg(feature = "tokio")]
    pub(crate) fn note_congestion(&mut self) {
        self.has_refused |= self.is_congested();
    }

    /// Notes that the owner is told to look. If there is no room even now, it is told again.
    pub(crate) fn note_told(&mut self) {
        self.has_refused &= !self.wants_input();
    }

    /// Returns whether there is room in the output again since messages were left unprocessed.
    pub(crate) fn take_room(&mut self) -> bool {
        let has_room = self.has_refused && !self.is_congested();
        self.has_refused &= !has_room;
        has_room
    }

    /// Returns whether the owner of the connection has something to do since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Returns whether the owner has had more to do since the last call than to send output: there is
    /// room for input, or the connection has ended.
    pub(crate) fn take_needs_owner(&mut self) -> bool {
        std::mem::take(&mut self.needs_owner)
    }

    /// Passes the output to a function that sends bytes without waiting, and returns whether all of it
    /// has been sent.
    pub(crate) fn write_with(
        &mut self,
        write: &dyn Fn(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while !self.output().is_empty() {
            match write(self.output()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Sends an event that [`event_line`] has encoded.
    pub(crate) fn event_line(&mut self, line: &str) {
        if !self.negotiated || self.closed.is_some() {
            return;
        }
        let unsent = self.output.len() + line.len();
        if unsent > self.limits.output_bytes || (unsent > FREE_OUTPUT && self.output.is_exhausted())
        {
            return self.close(CloseReason::OutputOverflow(unsent));
        }
        self.send_line(&[line]);
    }

    /// Sends a success response with a return value in JSON.
    pub(crate) fn succeed(&mut self, ticket: Ticket, value: &str) {
        self.send_success(ticket.id(), value);
        self.finish(ticket);
    }

    pub(crate) fn fail(&mut self, ticket: Ticket, error: &QmpError) {
        self.send_error(ticket.id(), error);
        self.finish(ticket);
    }

    /// Returns whether the client has to read its replies before more messages are processed.
    pub(crate) fn is_congested(&self) -> bool {
        let unsent = self.output.len();
        unsent > self.limits.output_bytes / 2
            || (unsent > FREE_OUTPUT && self.output.is_exhausted())
    }

    /// Ends the connection if the client sends nothing more and everything is answered.
    fn close_if_complete(&mut self) {
        if self.input_state == InputState::Ended && self.is_idle() {
            self.close(CloseReason::Client);
        }
    }

    /// Answers negotiation and invalid messages, and returns any other command.
    fn process(&mut self, mut message: Message) -> Option<Request> {
        let (Texts { id, arguments }, parts) = match std::mem::take(&mut message.content) {
            Content::Plain(Plain { name, arguments, arguments_text, id }) => {
                let texts = Texts { id, arguments: arguments_text };
                (texts, Ok(Parts { name, arguments, out_of_band: false }))
            }
            Content::Value(value) => {
                let texts = message.text.take().map(|text| Texts::new(&text, &value));
                let (id, parts) = request::parse(value, self.oob_enabled);
                (texts.unwrap_or(Texts { id, arguments: None }), parts)
            }
            Content::Invalid(desc) => {
                self.send_error(None, &QmpError::generic(desc));
                return None;
            }
        };
        let result = match parts.and_then(|parts| self.check_depth(parts)) {
            Ok(parts) if parts.name == "qmp_capabilities" => self.negotiate(&parts),
            Ok(parts) if self.negotiated => {
                let request = self.request(id, parts, &mut message);
                return Some(Request { arguments_text: arguments, ..request });
            }
            Ok(_) => Err(QmpError::new(
                ErrorClass::CommandNotFound,
                "Expecting capabilities negotiation with 'qmp_capabilities'",
            )),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => self.send_success(id.as_deref(), "{}"),
            Err(error) => self.send_error(id.as_deref(), &error),
        }
        None
    }

    /// Rejects arguments whose decoding might not fit on the stack.
    fn check_depth(&self, parts: Parts) -> Result<Parts, QmpError> {
        let limit = self.limits.argument_depth;
        if self.keeps_text && parts.name != "qmp_capabilities" {
            dismantle(parts.arguments.into_iter().map(|(_, value)| value));
            return Ok(Parts { arguments: Map::new(), ..parts });
        }
        if depth(&parts.arguments) <= limit {
            return Ok(parts);
        }
        dismantle(parts.arguments.into_iter().map(|(_, value)| value));
        Err(QmpError::generic(format!("arguments are nested more than {limit} levels deep")))
    }

    fn request(&mut self, id: Option<Box<str>>, parts: Parts, message: &mut Message) -> Request {
        let Parts { name, arguments, out_of_band } = parts;
        self.incoming.start(out_of_band);
        Request {
            ticket: Ticket { id, out_of_band },
            name,
            arguments,
            arguments_text: None,
            descriptors: message.descriptors.clone(),
            charge: Some(message.charge.take()),
        }
    }

    fn negotiate(&mut self, request: &Parts) -> Result<(), QmpError> {
        if request.out_of_band {
            return Err(request::oob_unsupported(&request.name));
        }
        let enable = requested_capabilities(&request.arguments)?;
        if self.negotiated {
            return Err(QmpError::new(
                ErrorClass::CommandNotFound,
                "Capabilities negotiation is already complete, command ignored",
            ));
        }
        if let Some(missing) = enable.iter().find(|wanted| !self.offered.contains(wanted)) {
            return Err(QmpError::generic(format!("Capability {missing} not available")));
        }
        self.oob_enabled = enable.contains(&Capability::Oob);
        self.negotiated = true;
        Ok(())
    }

    fn send_success(&mut self, id: Option<&str>, value: &str) {
        match id {
            Some(id) => self.send_line(&[r#"{"return": "#, value, r#", "id": "#, id, "}"]),
            None => self.send_line(&[r#"{"return": "#, value, "}"]),
        }
    }

    fn send_error(&mut self, id: Option<&str>, error: &QmpError) {
        let Ok(error) = to_json(error) else { return };
        match id {
            Some(id) => self.send_line(&[r#"{"id": "#, id, r#", "error": "#, &error, "}"]),
            None => self.send_line(&[r#"{"error": "#, &error, "}"]),
        }
    }

    fn send_line(&mut self, parts: &[&str]) {
        if self.is_removed {
            return;
        }
        match self.pretty {
            true => self.output.push_line(&[&pretty(&parts.concat())]),
            false => self.output.push_line(parts),
        }
        self.changed = true;
    }
}

/// Returns an event as it is sent, without the end of the line.
pub(crate) fn event_line(name: &str, data: Option<&str>, timestamp: Timestamp) -> String {
    let name = to_json(name).unwrap_or_default();
    let time = to_json(&timestamp).unwrap_or_default();
    let data = data.map(|data| format!(r#", "data": {data}"#)).unwrap_or_default();
    format!(r#"{{"timestamp": {time}, "event": {name}{data}}}"#)
}
