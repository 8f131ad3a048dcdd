//! The commands on their way to the monitor, and replies and events on their way back, without I/O.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use qmp_client::protocol::{CallId, Connection, Deadline, Incoming, Input, Kind, Submission};
use qmp_client::protocol::{Error as ProtocolError, WriteArguments};
use qmp_server::{Budgets, CloseReason, Descriptor, Limits, Request, Session, Socket};
use qmp_types::recording::{Direction, Recorder};
use qmp_types::{Capability, Empty, Greeting, QmpError, Redactor, Timestamp};
use serde_json::value::{RawValue, to_raw_value};

use super::access::Access;
use super::commands::{Undo, own_error, refusal, takes_descriptors, undo};
use super::{masked, text};
use crate::another::{OFFERED, ONLY, OPEN_MONITOR};

/// The number of times that a passed socket may send no command. What a proxy sends is none, so that one
/// which talks to itself stops.
const MOST_INVALID: usize = 16;

/// The numbers of what a proxy has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// The number of clients that are connected.
    pub clients: usize,
    /// The number of commands that were passed on.
    pub commands: u64,
    /// The number of commands that were denied.
    pub denied: u64,
    /// The number of clients that were disconnected because they did not read.
    pub slow_clients: u64,
}

/// The clients, the connection to the monitor, and the calls between them.
pub(super) struct Switchboard {
    pub(super) upstream: Connection,
    greeting: Greeting,
    passes_descriptors: bool,
    limits: Limits,
    budgets: Budgets,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    calls: HashMap<CallId, Call>,
    recorder: Option<Recorder>,
    /// The clients for which there may be something to do.
    changed: Vec<u64>,
    /// Further clients, as which others have passed sockets.
    arrivals: Vec<(Socket, Arc<Access>)>,
    counts: Counts,
    /// Whether `quit` has succeeded.
    has_quit: bool,
}

struct Client {
    session: Session,
    access: Arc<Access>,
    recorder: Option<Recorder>,
    /// Commands that undo those whose replies have not been sent.
    undo: Vec<Undo>,
    /// Whether the client is among those for which there may be something to do.
    is_marked: bool,
    origin: Origin,
    /// The number of times that input of a passed socket has had no command, since the last command.
    invalid: usize,
}

/// The way by which a client has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// The client has connected.
    Connected,
    /// Another client has passed a socket, which may be anything.
    Passed,
}

/// A command that has been passed on.
struct Call {
    caller: Caller,
    request: Request,
    /// Masks the secrets in the reply, if that is the policy.
    redactor: Option<Box<Redactor>>,
}

/// The addressee of the result of a call.
enum Caller {
    Client(u64),
    /// Its client has gone: what it does is to be undone.
    Gone,
}

impl fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switchboard").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Switchboard {
    /// Creates a switchboard for a connection whose negotiation is complete.
    pub(super) fn new(
        upstream: Connection,
        passes_descriptors: bool,
        limits: Limits,
        recorder: Option<Recorder>,
    ) -> Self {
        let mut greeting = upstream.greeting().cloned().unwrap_or_default();
        greeting
            .capabilities
            .retain(|offered| *offered == Capability::Oob && upstream.oob_enabled());
        Self {
            upstream,
            greeting,
            passes_descriptors,
            budgets: Budgets::new(&limits),
            limits,
            clients: BTreeMap::new(),
            next_client: 0,
            calls: HashMap::new(),
            recorder,
            changed: Vec::new(),
            arrivals: Vec::new(),
            counts: Counts::default(),
            has_quit: false,
        }
    }

    /// Adds a client, and returns its number.
    pub(super) fn add(&mut self, access: Arc<Access>, origin: Origin) -> u64 {
        let number = self.next_client;
        self.next_client += 1;
        let greeting = self.greeting_for(&access);
        let mut session = Session::sharing(&self.budgets, &greeting, self.limits.clone());
        session.keep_arguments_as_text();
        if self.is_full() {
            session.close(CloseReason::ConnectionLimit);
        }
        let name = || format!("client-{number}");
        let recorder = self.recorder.as_ref().map(|recorder| recorder.monitor(name()));
        if let Some(recorder) = &recorder {
            let greeting = String::from_utf8_lossy(session.output());
            recorder.message(Direction::Received, greeting.trim(), 0);
        }
        let undo = Vec::new();
        let client =
            Client { session, access, recorder, undo, is_marked: false, origin, invalid: 0 };
        self.clients.insert(number, client);
        self.mark(number);
        number
    }

    /// Returns the greeting of a client, which says whether it can have further monitors, and whether
    /// all of them are to be the proxy's, as QEMU's own have no restrictions and are not recorded.
    fn greeting_for(&self, access: &Access) -> Greeting {
        let mut greeting = self.greeting.clone();
        if access.policy.allows(OPEN_MONITOR) {
            greeting.capabilities.push(Capability::Unknown(OFFERED.into()));
            if self.is_watched(access) {
                greeting.capabilities.push(Capability::Unknown(ONLY.into()));
            }
        }
        greeting
    }

    /// Returns whether all monitors of a client have to be the proxy's.
    fn is_watched(&self, access: &Access) -> bool {
        access.is_restricted() || self.recorder.is_some()
    }

    /// Takes the further clients, as which others have passed sockets.
    pub(super) fn take_arrivals(&mut self) -> Vec<(Socket, Arc<Access>)> {
        std::mem::take(&mut self.arrivals)
    }

    /// Returns whether there are as many clients as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.clients.len() + self.arrivals.len() >= self.limits.connections
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { clients: self.clients.len(), ..self.counts }
    }

    /// Returns whether `quit` has succeeded.
    pub(super) fn has_quit(&self) -> bool {
        self.has_quit
    }

    pub(super) fn session(&mut self, number: u64) -> Option<&mut Session> {
        self.clients.get_mut(&number).map(|client| &mut client.session)
    }

    /// Returns the clients for which there may be something to do.
    pub(super) fn take_changed(&mut self) -> Vec<u64> {
        let changed = std::mem::take(&mut self.changed);
        for number in &changed {
            if let Some(client) = self.clients.get_mut(number) {
                client.is_marked = false;
            }
        }
        changed
    }

    /// Forgets a client. Commands of its that have not been sent are dropped.
    pub(super) fn remove(&mut self, number: u64, now: Instant) {
        let Some(client) = self.clients.remove(&number) else { return };
        if let Some(CloseReason::OutputOverflow(_)) = client.session.closed() {
            self.counts.slow_clients += 1;
        }
        let own = |call: &Call| matches!(call.caller, Caller::Client(caller) if caller == number);
        let ids: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| own(call)).map(|(id, _)| *id).collect();
        client.undo.iter().for_each(|undo| self.execute(undo));
        for id in ids {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if takes_descriptors(&call.request.name) && self.upstream.is_in_flight(id) {
                call.caller = Caller::Gone;
            } else {
                self.upstream.abandon(id, now);
                self.calls.remove(&id);
            }
        }
    }

    /// Notes that a client has been sent everything.
    pub(super) fn delivered(&mut self, number: u64) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.undo.clear();
        }
    }

    /// Notes that there may be something to do for a client.
    pub(super) fn mark(&mut self, number: u64) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.mark(number, &mut self.changed);
        }
    }

    /// Passes on what a client has sent, as far as that is possible now.
    pub(super) fn advance(&mut self, number: u64, now: Instant) {
        let size = |this: &mut Self| this.session(number).map_or(0, |it| it.output().len());
        let before = size(self);
        let mut has_asked = false;
        while let Some(request) = self.session(number).and_then(Session::next_request) {
            has_asked = true;
            if let Err(refused) = self.pass_on(number, request, now) {
                let (request, error) = *refused;
                self.answer(number, request, &Err(error));
            }
        }
        let has_answered = size(self) > before;
        let Some(client) = self.clients.get_mut(&number) else { return };
        match client.origin {
            Origin::Passed if has_asked => client.invalid = 0,
            Origin::Passed if has_answered => client.invalid += 1,
            _ => return,
        }
        // Were both ends of a connection passed, the proxy would answer its own errors forever.
        let is_negotiated = client.session.is_negotiated();
        if (has_answered && !is_negotiated) || client.invalid > MOST_INVALID {
            client.session.close(CloseReason::Client);
        }
    }

    /// Passes a command on, or returns the error for it.
    fn pass_on(
        &mut self,
        number: u64,
        request: Request,
        now: Instant,
    ) -> Result<(), Box<(Request, QmpError)>> {
        let Some(client) = self.clients.get(&number) else { return Ok(()) };
        // Even if it is denied, so that no later command takes them.
        let takes_descriptors = takes_descriptors(&request.name);
        let descriptors = if takes_descriptors { request.take_descriptors() } else { Vec::new() };
        if let Some(recorder) = &client.recorder {
            recorder.message(Direction::Sent, &text::command(&request), descriptors.len());
        }
        if let Some(error) = refusal(&client.access, self.is_watched(&client.access), &request) {
            self.counts.denied += 1;
            return Err(Box::new((request, error)));
        }
        if request.name == OPEN_MONITOR {
            let access = Arc::clone(&client.access);
            return match self.open_monitor(descriptors, access) {
                Ok(nothing) => {
                    self.answer(number, request, &Ok(&*nothing));
                    Ok(())
                }
                Err(error) => Err(Box::new((request, error))),
            };
        }
        let mut submission = Submission::new(request.name.clone());
        submission.descriptors = descriptors;
        if takes_descriptors {
            // QEMU might still have one that it has not taken, of another client.
            if submission.descriptors.is_empty() {
                let desc = "No file descriptor supplied via SCM_RIGHTS";
                return Err(Box::new((request, QmpError::generic(desc))));
            }
            if !self.passes_descriptors {
                let desc = "the proxy's connection to the monitor cannot pass file descriptors";
                return Err(Box::new((request, QmpError::generic(desc))));
            }
        }
        if request.ticket.is_out_of_band() {
            submission.kind = Kind::OutOfBand;
        }
        submission.deadline =
            client.access.calls_within.and_then(|within| Deadline::after(now, within));
        let arguments = request.arguments_text();
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(arguments.unwrap_or_default().as_bytes());
            Ok(())
        };
        submission.arguments = arguments.is_some().then_some(WriteArguments(&write));
        let redactor =
            client.access.policy.masks_secrets().then(|| Box::new(masked::redactor(&request)));
        match self.upstream.submit(submission) {
            Ok(id) => {
                self.counts.commands += 1;
                let caller = Caller::Client(number);
                self.calls.insert(id, Call { caller, request, redactor });
                Ok(())
            }
            Err(error) => Err(Box::new((request, own_error(error)))),
        }
    }

    /// Makes a socket that a client has passed a further client, with the same rights. Returns the reply.
    fn open_monitor(
        &mut self,
        descriptors: Vec<Descriptor>,
        access: Arc<Access>,
    ) -> Result<Box<RawValue>, QmpError> {
        let [descriptor] = <[Descriptor; 1]>::try_from(descriptors).map_err(|descriptors| {
            let desc = format!("one socket has to be passed, not {}", descriptors.len());
            QmpError::generic(desc)
        })?;
        if self.is_full() {
            return Err(QmpError::generic("the proxy has as many clients as it may have"));
        }
        self.arrivals.push((UnixStream::from(descriptor).into(), access));
        to_raw_value(&Empty {}).map_err(|error| QmpError::generic(error.to_string()))
    }

    /// Takes what has arrived from the monitor.
    pub(super) fn receive(&mut self, input: &mut Input) {
        while let Some(incoming) = self.upstream.next(input) {
            match incoming {
                Incoming::Reply { id, result } => self.reply(id, result),
                Incoming::Event { name, data, timestamp } => self.event(&name, data, timestamp),
                _ => {}
            }
        }
    }

    fn reply(&mut self, id: CallId, result: Result<&RawValue, ProtocolError>) {
        let Some(Call { caller, request, redactor }) = self.calls.remove(&id) else { return };
        match caller {
            Caller::Client(number) => {
                self.has_quit |= result.is_ok() && request.name == "quit";
                let undo = result.as_ref().ok().and_then(|value| undo(&request, value));
                if let Some(client) = self.clients.get_mut(&number) {
                    client.undo.extend(undo);
                }
                if matches!(result, Err(ProtocolError::Closed(_))) && self.is_owner(number) {
                    return;
                }
                let result = result.map_err(own_error);
                match redactor {
                    Some(redactor) => {
                        let masked = masked::mask(*redactor, request.ticket.id(), result);
                        self.answer(number, request, &masked.as_deref().map_err(Clone::clone));
                    }
                    None => self.answer(number, request, &result),
                }
                self.mark(number);
            }
            Caller::Gone => {
                if let Some(undo) = result.ok().and_then(|value| undo(&request, value)) {
                    self.execute(&undo);
                }
            }
        }
    }

    fn is_owner(&self, number: u64) -> bool {
        self.clients.get(&number).is_some_and(|client| client.access.is_owner)
    }

    fn answer(&mut self, number: u64, request: Request, result: &Result<&RawValue, QmpError>) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if let Some(recorder) = &client.recorder {
            let text = text::reply(request.ticket.id(), result.as_ref().copied());
            recorder.message(Direction::Received, &text, 0);
        }
        client.session.reply(request.ticket, result);
    }

    fn event(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        for (number, client) in &mut self.clients {
            if client.session.is_negotiated() && client.access.wants(name) {
                if let Some(recorder) = &client.recorder {
                    recorder.message(Direction::Received, &text::event(name, data, timestamp), 0);
                }
                client.session.event(name, data, timestamp);
                client.mark(*number, &mut self.changed);
            }
        }
    }

    /// Executes a command whose reply does not matter. If the connection has ended, nothing is left to
    /// undo.
    fn execute(&mut self, undo: &Undo) {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(undo.arguments.as_bytes());
            Ok(())
        };
        let mut submission = Submission::new(undo.command);
        submission.arguments = Some(WriteArguments(&write));
        let _ = self.upstream.submit(submission);
    }

    /// Disconnects all clients, because the connection to the monitor has ended.
    pub(super) fn close(&mut self) {
        for (number, client) in &mut self.clients {
            client.session.close(CloseReason::Server);
            client.mark(*number, &mut self.changed);
        }
    }
}

impl Client {
    /// Adds the client to those for which there may be something to do, once.
    fn mark(&mut self, number: u64, changed: &mut Vec<u64>) {
        if !std::mem::replace(&mut self.is_marked, true) {
            changed.push(number);
        }
    }
}
