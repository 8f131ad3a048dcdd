//! The state that the handles of a connection share, and the loop that does its I/O.
//!
//! No thread is dedicated to a connection. A thread that waits for something takes the input buffer,
//! which makes it the reader: it reads, passes on what arrives, and puts the buffer back when it has
//! what it waits for. Other threads that wait sleep until a turn of the reader is over. A thread that submits a command sends it itself.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use qmp_protocol::{
    CallId, Closed, Connection, Deadline, Descriptor, EncodedRequest, End, Incoming, Input, Output,
    Request,
};
use qmp_types::Greeting;
use serde_json::value::RawValue;

use crate::error::{Error, Result, handshake_error};
use crate::inbox::{Inbox, SubscriptionId};
use crate::misuse::check_descriptors;
use crate::options::Options;
use crate::transport::Transport;

/// The size of the buffers that stay allocated between two calls, in bytes.
const KEPT: usize = 64 * 1024;
/// The number of reads after the peer has refused a write, to learn why.
const LAST_READS: usize = 64;
/// The longest time for which a thread waits for room to write, with the lock of the writer.
const WRITE_SLICE: Duration = Duration::from_millis(50);
/// The longest pause between two looks at what another thread does.
const LOOK: Duration = Duration::from_millis(1);

/// A connection: the part that never changes, and the parts that locks guard. Where a thread holds
/// both locks, it has locked the writer first.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Signaled after each turn of the reader, if threads wait for that.
    turned: Condvar,
    /// The output that is being sent.
    writer: Mutex<Output>,
    transport: Box<dyn Transport>,
    pub(super) options: Options,
    /// Set before a client is given out.
    greeting: OnceLock<Greeting>,
}

/// The part that the lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) inbox: Inbox,
    /// The input buffer; `None` while a thread reads into it.
    input: Option<Input>,
    /// Whether the writer has output that could not be sent.
    unsent: bool,
    /// Why the peer accepts nothing any more, until what it said before has been read.
    refused: Option<End>,
    /// The number of threads that wait for the reader.
    waiting: usize,
}

/// The progress of sending.
enum Sent {
    /// Everything has been sent.
    All,
    /// The socket is full.
    Part,
    /// The peer accepts nothing.
    Refused(End),
}

/// The object of a wait.
pub(super) trait Wait {
    /// The result of the wait.
    type Found;

    /// Looks for it in what has been passed on.
    fn look(&mut self, state: &mut State) -> Option<Self::Found>;

    /// Returns whether the reply to this call is waited for, to be decoded in place.
    fn is_for(&self, _: CallId) -> bool {
        false
    }

    /// Decodes that reply. No lock is held.
    fn take(&mut self, _: Result<&RawValue>) -> Option<Self::Found> {
        None
    }
}

impl<T, F: FnMut(&mut State) -> Option<T>> Wait for F {
    type Found = T;

    fn look(&mut self, state: &mut State) -> Option<T> {
        self(state)
    }
}

/// A handle of a connection: cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Handle(Arc<Shared>);

impl std::ops::Deref for Handle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Handle {
    /// Creates the state of a connection that has just been established.
    pub(super) fn new(transport: Box<dyn Transport>, options: &Options) -> Self {
        let connection = options.connection(Instant::now());
        let input = Some(connection.new_input());
        let state = State {
            connection,
            inbox: Inbox::default(),
            input,
            unsent: false,
            refused: None,
            waiting: 0,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            turned: Condvar::new(),
            writer: Mutex::new(Output::default()),
            transport,
            options: options.clone(),
            greeting: OnceLock::new(),
        }))
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the negotiation is complete.
    ///
    /// # Errors
    /// The reason why the connection ended instead.
    pub(super) fn negotiate(&self) -> Result<()> {
        let ready =
            self.wait(None, &mut |state: &mut State| state.connection.is_ready().then_some(()));
        let mut state = self.lock();
        if ready.is_none() {
            return Err(handshake_error(state.connection.take_ended()));
        }
        let greeting = state.connection.greeting().cloned().unwrap_or_default();
        drop(state);
        // Not set yet: this is the first client of the connection.
        let _ = self.greeting.set(greeting);
        Ok(())
    }

    /// Returns the deadline of a call that begins now.
    pub(super) fn deadline<R: Request>(
        &self,
        request: &R,
        within: Option<Duration>,
    ) -> Option<Deadline> {
        let within = within.unwrap_or_else(|| self.options.call_within(&request.name()));
        Deadline::after(Instant::now(), within)
    }

    pub(super) fn greeting(&self) -> &Greeting {
        self.greeting.get_or_init(Greeting::default)
    }

    /// Returns why the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<Closed> {
        self.lock().connection.ended().map(|end| Closed::new(None, end))
    }

    /// Returns the error of a wait that found nothing because the connection has ended.
    pub(super) fn closed(&self) -> Closed {
        self.ended().unwrap_or_else(|| Closed::new(None, &Arc::new(End::Local)))
    }

    /// Closes the connection, and wakes every thread that waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.connection.end(End::Local);
        self.transport.close();
        // A thread that reads returns, and does this itself.
        if let Some(mut input) = state.input.take() {
            state.distribute(&mut input);
            state.input = Some(input);
            self.turned.notify_all();
        }
    }

    /// Submits a request and sends it, as far as there is room.
    pub(super) fn submit<R: Request>(
        &self,
        request: &R,
        deadline: Option<Deadline>,
        descriptors: Vec<Descriptor>,
        follow: Option<Option<&'static str>>,
    ) -> Result<(CallId, Option<SubscriptionId>)> {
        check_descriptors(|| request.name(), &descriptors, self.transport.passes_descriptors())?;
        // The caller's code that writes the arguments runs without a lock.
        let command = EncodedRequest::new(request)?;
        let mut writer = self.lock_writer();
        let (submitted, unsent) = {
            let mut state = self.lock();
            let id = command.submit(&mut state.connection, deadline, descriptors)?;
            state.inbox.waiters.add(id);
            let capacity = self.options.event_queue();
            let subscription =
                follow.map(|name| state.inbox.subscriptions.add(name, capacity, false));
            state.connection.take_output(&mut writer);
            ((id, subscription), state.unsent)
        };
        let sent = self.send(&mut writer, Some(Duration::ZERO));
        drop(writer);
        if unsent || !matches!(sent, Sent::All) {
            self.record(sent);
        }
        Ok(submitted)
    }

    /// Gives up a call whose ticket was dropped.
    pub(super) fn abandon(&self, id: CallId) {
        let mut state = self.lock();
        state.connection.abandon(id, Instant::now());
        let removed = state.inbox.waiters.remove(id);
        drop(state);
        drop(removed);
    }

    /// Removes a subscription.
    pub(super) fn unsubscribe(&self, id: SubscriptionId) {
        let removed = self.lock().inbox.subscriptions.remove(id);
        drop(removed);
    }

    /// Waits until `wait` finds what it looks for, the connection has ended, or `until`. Returns
    /// `None` in the latter two cases.
    pub(super) fn wait<W: Wait>(&self, until: Option<Instant>, wait: &mut W) -> Option<W::Found> {
        let mut state = self.lock();
        loop {
            if let Some(found) = wait.look(&mut state) {
                return Some(found);
            }
            if state.connection.ended().is_some() {
                return None;
            }
            // Even if it is late, what has arrived in time counts: this process may have been stopped.
            let now = Instant::now();
            let is_late = until.is_some_and(|at| at <= now);
            let before = state.connection.deadline().into_iter().chain(until).min();
            let timeout = before.map(|at| at.saturating_duration_since(now));
            let Some(mut input) = state.input.take() else {
                state = self.wait_for_reader(state, timeout);
                if is_late {
                    return wait.look(&mut state);
                }
                continue;
            };
            let must_send = state.unsent || !state.connection.output().is_empty();
            let refused = state.refused.take();
            drop(state);
            let end = match refused {
                Some(refused) => Some(self.read_last_words(&mut input).unwrap_or(refused)),
                None => self.turn(&mut input, must_send, timeout),
            };
            let found = self.pass_on(&mut input, end, wait);
            state = self.lock();
            if found.is_none() {
                // What has arrived comes first.
                state.connection.expire(Instant::now());
                state.distribute(&mut input);
            }
            let found = found.or_else(|| wait.look(&mut state));
            if found.is_some() {
                input.release(KEPT);
                state.connection.release(KEPT);
            }
            state.input = Some(input);
            if state.waiting > 0 {
                self.turned.notify_all();
            }
            if found.is_some() || is_late {
                return found;
            }
        }
    }

    /// Passes on everything that has arrived. The message that `wait` waits for is decoded in place,
    /// without the lock.
    fn pass_on<W: Wait>(
        &self,
        input: &mut Input,
        mut end: Option<End>,
        wait: &mut W,
    ) -> Option<W::Found> {
        let mut found = None;
        loop {
            let mut state = self.lock();
            if let Some(end) = end.take() {
                state.connection.end(end);
            }
            let wanted = loop {
                match state.connection.next(input) {
                    Some(Incoming::Reply { id, result }) if wait.is_for(id) => {
                        drop(state.inbox.waiters.remove(id));
                        break Some(result);
                    }
                    Some(incoming) => {
                        state.inbox.deliver(incoming, &mut Vec::new());
                    }
                    None => break None,
                }
            };
            drop(state);
            let Some(result) = wanted else { return found };
            found = wait.take(result.map_err(Error::from));
            if input.is_empty() {
                return found;
            }
        }
    }

    /// Waits until the reader has finished a turn, or for `timeout`.
    fn wait_for_reader<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'s, State> {
        let mut longest = timeout;
        if state.unsent {
            // A reader that waits for bytes does not wait for room: this thread does, for a while.
            drop(state);
            let slice = timeout.map_or(WRITE_SLICE, |timeout| timeout.min(WRITE_SLICE));
            let sent = self.send(&mut self.lock_writer(), Some(slice));
            self.record(sent);
            state = self.lock();
            longest = Some(LOOK);
        }
        if state.input.is_some() {
            return state;
        }
        state.waiting += 1;
        state = match longest {
            Some(longest) => {
                let waited = self.turned.wait_timeout(state, longest);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.turned.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.waiting -= 1;
        // The reader may sleep past the deadline of a call that was submitted after it began to.
        state.connection.expire(Instant::now());
        while let Some(finished) = state.connection.next_finished() {
            state.inbox.deliver(finished, &mut Vec::new());
        }
        state
    }

    /// Sends what is to be sent, and reads once. Returns why the connection has ended, if it has.
    fn turn(&self, input: &mut Input, must_send: bool, timeout: Option<Duration>) -> Option<End> {
        if !must_send {
            return self.read(input, timeout).err();
        }
        match self.send_pending(Some(Duration::ZERO)) {
            Sent::All => self.read(input, timeout).err(),
            // A peer that accepts nothing may want to send something first.
            Sent::Part => match self.read(input, Some(Duration::ZERO)) {
                Ok(0) => {
                    let slice = timeout.map_or(WRITE_SLICE, |timeout| timeout.min(WRITE_SLICE));
                    match self.send_pending(Some(slice)) {
                        Sent::Refused(end) => Some(self.read_last_words(input).unwrap_or(end)),
                        Sent::All | Sent::Part => None,
                    }
                }
                Ok(_) => None,
                Err(end) => Some(end),
            },
            Sent::Refused(end) => Some(self.read_last_words(input).unwrap_or(end)),
        }
    }

    /// Sends what is to be sent, and records whether anything is left. A refusal is the caller's to
    /// handle.
    fn send_pending(&self, timeout: Option<Duration>) -> Sent {
        let sent = {
            let mut writer = self.lock_writer();
            self.lock().connection.take_output(&mut writer);
            self.send(&mut writer, timeout)
        };
        let mut state = self.lock();
        state.unsent = matches!(sent, Sent::Part);
        if let Sent::Refused(_) = sent {
            state.connection.output_lost();
        }
        sent
    }

    /// Reads what the peer said before it closed the connection: as much as a socket holds.
    fn read_last_words(&self, input: &mut Input) -> Option<End> {
        for _ in 0..LAST_READS {
            match self.read(input, Some(Duration::ZERO)) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(end) => return Some(end),
            }
        }
        None
    }

    /// Reads once, and returns the number of bytes; zero if nothing arrived in time.
    fn read(&self, input: &mut Input, timeout: Option<Duration>) -> Result<usize, End> {
        match self.transport.read(input.spare(), timeout) {
            Ok(0) => Err(End::Eof),
            Ok(count) => {
                input.filled(count);
                Ok(count)
            }
            Err(error) if is_wait(&error) => Ok(0),
            // The peer closed the connection before it had read everything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(End::Eof),
            Err(error) => Err(End::Transport(error)),
        }
    }

    fn send(&self, output: &mut Output, timeout: Option<Duration>) -> Sent {
        while !output.is_empty() {
            match self.transport.write(output.piece(), output.descriptors(), timeout) {
                Ok(count) => output.sent(count),
                Err(error) if is_wait(&error) => return Sent::Part,
                Err(error) => {
                    output.clear();
                    return Sent::Refused(match error.kind() {
                        io::ErrorKind::BrokenPipe => End::Eof,
                        _ => End::Transport(error),
                    });
                }
            }
        }
        Sent::All
    }

    /// Records the outcome of a thread that is not the reader.
    fn record(&self, sent: Sent) {
        let mut state = self.lock();
        state.unsent = matches!(sent, Sent::Part);
        if let Sent::Refused(end) = sent {
            state.connection.output_lost();
            state.refused = Some(end);
            // The reader reads what the peer said, and then sees the end.
            if state.input.is_none() {
                self.transport.close();
            }
        }
    }

    /// Reads everything that has arrived, so that nothing older is taken for the effect of a command
    /// that is submitted next. Stops at `until` if more keeps arriving.
    pub(super) fn read_arrived(&self, until: Option<Instant>) {
        let is_past = || until.is_some_and(|at| at <= Instant::now());
        while !is_past() {
            let mut state = self.lock();
            if state.connection.ended().is_some() {
                return;
            }
            if let Some(mut input) = state.input.take() {
                drop(state);
                let read = self.read(&mut input, Some(Duration::ZERO));
                let arrived = matches!(read, Ok(1..));
                state = self.lock();
                if let Err(end) = read {
                    state.connection.end(end);
                }
                state.distribute(&mut input);
                state.input = Some(input);
                if state.waiting > 0 {
                    self.turned.notify_all();
                }
                if !arrived {
                    return;
                }
            } else {
                drop(state);
                if !self.transport.has_arrived() {
                    // The reader may be about to pass on what it has just read.
                    std::thread::yield_now();
                    return;
                }
                let state = self.lock();
                drop(self.turned.wait_timeout(state, LOOK));
            }
        }
    }

    fn lock_writer(&self) -> MutexGuard<'_, Output> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Passes on everything that has arrived.
    fn distribute(&mut self, input: &mut Input) {
        while let Some(incoming) = self.connection.next(input) {
            self.inbox.deliver(incoming, &mut Vec::new());
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
