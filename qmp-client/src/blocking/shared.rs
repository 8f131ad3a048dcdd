//! The state that the handles of a connection share, and the loop that does its I/O.
//!
//! No thread is dedicated to a connection. A thread that waits for something takes the input
//! buffer, which makes it the reader: it reads, passes on what arrives, and puts the buffer back.
//! Other threads that wait sleep until a turn of the reader is over. A thread that submits a
//! command sends it itself.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use qmp_protocol::{
    CallId, Closed, Descriptor, EncodedRequest, End, Incoming, Input, Misuse, Output, Request,
    sooner,
};
use qmp_types::Greeting;

use super::state::State;
use super::wait::{Until, Wait};
use super::wire::{Sent, Wire};
use crate::error::{Error, Result, handshake_error};
use crate::inbox::SubscriptionId;
use crate::options::Options;
use crate::queue::Tally;
use crate::stats::Stats;
use crate::term::Term;
use crate::trace::CallTrace;
use crate::transport::Transport;

/// The size of the buffers that stay allocated between two calls, in bytes.
const KEPT: usize = 64 * 1024;
/// The longest time for which a thread waits for room to write, with the lock of the writer.
const WRITE_SLICE: Duration = Duration::from_millis(50);
/// The longest sleep of a thread that cannot wait.
const SLEEP_SLICE: Duration = Duration::from_millis(50);
/// The longest pause between two looks at what another thread does.
const LOOK: Duration = Duration::from_millis(1);
/// The longest read of a thread that holds back what it reads until its turn is over.
const QUICK: Duration = Duration::from_millis(8);
/// The number of such looks by a thread that is late, while the reader has bytes to pass on.
const LATE_LOOKS: usize = 100;
/// The number of turns of a reader that is late, while bytes keep arriving: more than a socket holds.
const LATE_TURNS: usize = 16;

/// A connection: the part that never changes, and the parts that locks guard. Where a thread holds
/// both locks, it has locked the writer first.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Signaled after each turn of the reader, if threads wait for that.
    turned: Condvar,
    /// The output that is being sent.
    writer: Mutex<Output>,
    wire: Wire,
    pub(super) options: Options,
    /// Set before a client is given out.
    greeting: OnceLock<Greeting>,
    connected: SystemTime,
}

/// Writes the arguments of a request.
type Encode<'r> = dyn Fn() -> Result<EncodedRequest, qmp_protocol::Error> + 'r;

/// A command to be submitted.
struct Order<'r> {
    command: Cow<'static, str>,
    encode: &'r Encode<'r>,
    term: Term,
    descriptors: Vec<Descriptor>,
    purpose: Purpose,
}

/// The state, while its lock is held.
pub(super) type Locked<'s> = MutexGuard<'s, State>;

/// The next step of a caller that has submitted a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Something else: the reply is received later.
    Send,
    /// Waits for the reply.
    Execute,
    /// Waits for the reply and an event of this name, or any event.
    Pursue(Option<&'static str>),
}

/// A call that has been submitted.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) id: CallId,
    /// The current time, if it has just been submitted.
    pub(super) now: Option<Instant>,
    /// The subscription that was made with it.
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) trace: CallTrace,
}

/// The state of the connection at the start of a turn of the reader.
struct Turn {
    must_send: bool,
    refused: Option<End>,
    is_ending: bool,
    reads_locked: bool,
    timeout: Option<Duration>,
}

/// The input buffer, while a thread reads into it. It is put back when this is dropped, also if the
/// thread panics: another one takes over then.
struct Reader<'s> {
    shared: &'s Shared,
    input: Option<Box<Input>>,
}

impl<'s> Reader<'s> {
    fn input(&mut self) -> &mut Input {
        self.input.get_or_insert_with(|| Box::new(Input::new(0)))
    }

    /// Puts the buffer back, and wakes the threads that wait for that.
    fn put_back(&mut self) -> Locked<'s> {
        let mut state = self.shared.lock();
        self.put_back_to(&mut state);
        state
    }

    fn put_back_to(&mut self, state: &mut State) {
        state.input = self.input.take();
        if state.waiting > 0 {
            self.shared.turned.notify_all();
        }
    }
}

/// The attempt to decode a reply that the connection has not seen. If the caller's code panics, the
/// connection sees it all the same.
struct Attempt<'a> {
    shared: &'a Shared,
    input: &'a mut Input,
    id: CallId,
    is_over: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Where a panic ends the program, it is always over.
        if cfg!(panic = "unwind") && !self.is_over {
            self.shared.lock().take_one(self.id, self.input);
        }
    }
}

/// The counts of events that are taken from the input. They are recorded also if the caller's code
/// panics.
struct Taking<'a> {
    shared: &'a Shared,
    id: SubscriptionId,
    tally: Tally,
}

impl<'a> Taking<'a> {
    fn finish(mut self) -> Locked<'a> {
        let mut state = self.shared.lock();
        state.inbox.record_direct(self.id, std::mem::take(&mut self.tally));
        state
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if self.tally.arrived > 0 {
            self.shared.lock().inbox.record_direct(self.id, self.tally);
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if self.input.is_some() {
            self.put_back().interrupted |= std::thread::panicking();
        }
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
    /// Creates the state of a connection that has just been established. The deadline for the
    /// greeting counts from `begin`.
    pub(super) fn new(transport: Box<dyn Transport>, options: &Options, begin: Instant) -> Self {
        let (connection, part) = options.connection(begin);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(connection, options)),
            turned: Condvar::new(),
            writer: Mutex::new(Output::default()),
            wire: Wire::new(transport),
            options: options.clone(),
            greeting: OnceLock::new(),
            connected: SystemTime::now(),
        });
        let weak = Arc::downgrade(&shared);
        part.set_end(move || {
            weak.upgrade().into_iter().for_each(|shared| shared.end(End::Transcript));
        });
        Self(shared)
    }
}

impl Shared {
    pub(super) fn lock(&self) -> Locked<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the negotiation is complete.
    ///
    /// # Errors
    /// The reason why the connection ended instead.
    pub(super) fn negotiate(&self) -> Result<()> {
        let ready = self.wait(None, &mut Until(|state: &mut State| state.connection.is_ready()));
        let mut state = self.lock();
        if !ready {
            return Err(handshake_error(state.connection.take_ended()));
        }
        let greeting = state.connection.greeting_out();
        drop(state);
        // Not set yet: this is the first client of the connection.
        let _ = self.greeting.set(greeting);
        Ok(())
    }

    /// Returns the term of a call that begins now.
    pub(super) fn term<R: Request>(&self, request: &R, within: Option<Duration>) -> Term {
        let within = within.unwrap_or_else(|| self.options.request_within(request));
        Term::new(Instant::now(), within)
    }

    pub(super) fn greeting(&self) -> &Greeting {
        self.greeting.get_or_init(Greeting::default)
    }

    /// Returns why the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<Closed> {
        self.lock().connection.ended().map(|end| Closed::new(None, end))
    }

    /// Returns why nothing can be waited for: the connection has ended, or this thread decodes what it has
    /// received on this connection.
    pub(super) fn hindrance(&self) -> Option<Error> {
        let state = self.lock();
        let nested = || state.is_nested().then(|| Misuse::Nested.into());
        let closed = state.connection.ended().map(|end| Closed::new(None, end).into());
        closed.or_else(nested)
    }

    /// Returns the error of a wait without a deadline that found nothing.
    pub(super) fn why_nothing(&self) -> Error {
        self.hindrance().unwrap_or_else(|| self.closed().into())
    }

    /// Returns the error of a wait that found nothing because the connection has ended, or because nothing
    /// can be waited for.
    pub(super) fn closed(&self) -> Closed {
        let end = || match self.is_nested() {
            true => End::Transport(io::Error::other(Misuse::Nested)),
            false => End::Local,
        };
        self.ended().unwrap_or_else(|| Closed::new(None, &Arc::new(end())))
    }

    /// Returns whether this thread decodes what it has received on this connection, and so cannot wait.
    pub(super) fn is_nested(&self) -> bool {
        self.lock().is_nested()
    }

    /// Sleeps until a moment, or until the connection is closed, if this thread cannot wait.
    #[inline]
    pub(super) fn sleep_if_nested(&self, until: Option<Instant>) {
        loop {
            let state = self.lock();
            if !state.is_nested() || state.connection.is_ending() {
                return;
            }
            drop(state);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return;
            }
            std::thread::sleep(left.map_or(SLEEP_SLICE, |left| left.min(SLEEP_SLICE)));
        }
    }

    #[inline]
    pub(super) fn stats(&self) -> Stats {
        let state = self.lock();
        let mut stats = state.inbox.stats(&state.connection);
        drop(state);
        stats.connected = Some(self.connected);
        stats.dropped = self.options.count_missing(stats.dropped);
        stats
    }

    /// Closes the connection, and wakes every thread that waits.
    pub(super) fn close(&self) {
        self.end(End::Local);
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        state.end(end);
        self.wire.transport.close();
        // A thread that reads returns, and does this itself.
        drop(self.distribute_rest(state));
    }

    /// Passes on what the input holds, unless a thread reads into it. That thread does it.
    fn distribute_rest<'s>(&'s self, mut state: Locked<'s>) -> Locked<'s> {
        let Some(input) = state.take_input() else { return state };
        drop(state);
        // Puts the input back, also if a predicate panics.
        let mut reader = Reader { shared: self, input: Some(input) };
        {
            let mut state = self.lock();
            state.distribute(reader.input());
        }
        reader.put_back()
    }

    /// Submits a request and sends it, as far as the socket accepts it. A subscription that is made
    /// for the purpose takes events from the moment at which the command is sent.
    pub(super) fn submit<R: Request>(
        &self,
        request: &R,
        term: Term,
        descriptors: Vec<Descriptor>,
        purpose: Purpose,
    ) -> Result<Submitted> {
        self.submit_locked(request, term, descriptors, purpose).map(|(submitted, _)| submitted)
    }

    /// Does the same, and returns the lock, unless something listens to the trace of the call, which
    /// runs without it.
    pub(super) fn submit_locked<R: Request>(
        &self,
        request: &R,
        term: Term,
        descriptors: Vec<Descriptor>,
        purpose: Purpose,
    ) -> Result<(Submitted, Option<Locked<'_>>)> {
        let encode = || EncodedRequest::new(request);
        let command = request.name();
        self.submit_order(Order { command, encode: &encode, term, descriptors, purpose })
    }

    /// Does the same. It is compiled once for all types of requests.
    fn submit_order(&self, order: Order<'_>) -> Result<(Submitted, Option<Locked<'_>>)> {
        let begin = order.term.begin;
        let mut trace = CallTrace::new(&order.command, &self.options.monitor);
        let submitted = {
            let _entered = trace.enter();
            let submitted = self.submit_traced(order);
            // Released before the span is left, which runs the subscriber.
            submitted.map(|(id, subscription, locked)| {
                (id, subscription, Some(locked).filter(|_| !trace.is_open()))
            })
        };
        match submitted {
            Ok((id, subscription, locked)) => {
                trace.submitted(id);
                Ok((Submitted { id, now: Some(begin), subscription, trace }, locked))
            }
            Err(error) => {
                trace.finish::<()>(Err(&error));
                Err(error)
            }
        }
    }

    fn submit_traced(
        &self,
        order: Order<'_>,
    ) -> Result<(CallId, Option<SubscriptionId>, Locked<'_>)> {
        let Order { command, encode, term, descriptors, purpose } = order;
        if !descriptors.is_empty() && !self.wire.transport.passes_descriptors() {
            return Err(Misuse::NoDescriptors { command }.into());
        }
        // The caller's code that writes the arguments runs without a lock.
        let command = encode()?;
        let mut writer = self.lock_writer();
        let mut state = self.lock();
        if !matches!(purpose, Purpose::Send) && state.is_nested() {
            return Err(Misuse::Nested.into());
        }
        let id = command.submit(&mut state.connection, term.deadline, descriptors)?;
        state.inbox.waiters.add(id, command.name().clone(), term.begin);
        let subscription = match purpose {
            Purpose::Send | Purpose::Execute => None,
            Purpose::Pursue(name) => {
                let capacity = self.options.event_queue();
                Some(state.inbox.subscriptions.add(name, capacity, Some(id)))
            }
        };
        self.wake_if_ending(&state);
        let (sent, mut state) = self.send_all(&mut writer, state, Some(Duration::ZERO));
        drop(writer);
        self.handle_refusal(sent, &mut state);
        Ok((id, subscription, state))
    }

    /// Counts a reply that does not match the type.
    pub(super) fn mismatched(&self) {
        self.lock().inbox.waiters.mismatched();
    }

    /// Does the same for a reply that could not be decoded, if it has been taken, and returns whether it
    /// has.
    pub(super) fn mismatched_if_taken(&self, id: CallId) -> bool {
        let mut state = self.lock();
        let is_taken = state.inbox.waiters.get(id).is_none();
        if is_taken {
            state.inbox.waiters.mismatched();
        }
        is_taken
    }

    /// Gives up a call whose ticket was dropped.
    pub(super) fn abandon(&self, id: CallId) {
        let mut state = self.lock();
        state.connection.abandon(id, Instant::now());
        let removed = state.inbox.waiters.remove(id);
        let has_output = !state.connection.output().is_empty();
        drop(state);
        drop(removed);
        if has_output {
            // A guest agent is synchronized with.
            self.try_flush(Some(Duration::ZERO));
        }
    }

    /// Removes a subscription.
    pub(super) fn unsubscribe(&self, id: SubscriptionId) {
        let removed = self.lock().inbox.subscriptions.remove(id);
        drop(removed);
    }

    /// Waits until `wait` finds what it looks for, the connection has ended, or `until`. Returns
    /// false in the latter two cases.
    pub(super) fn wait(&self, until: Option<Instant>, wait: &mut dyn Wait) -> bool {
        self.wait_since(None, until, wait, None)
    }

    /// Does the same as [`wait`](Self::wait). `now` is the current time, if it has just been read, and
    /// `locked` is the lock, if it is held.
    pub(super) fn wait_since<'s>(
        &'s self,
        mut now: Option<Instant>,
        until: Option<Instant>,
        wait: &mut dyn Wait,
        locked: Option<Locked<'s>>,
    ) -> bool {
        // The number of turns in all, and since the deadline has passed.
        let (mut turns, mut late_turns) = (0_u64, 0);
        let mut state = locked.unwrap_or_else(|| self.lock());
        loop {
            // A reply that was decoded in place may have shown that others are lost.
            while let Some(finished) = state.connection.next_finished() {
                state.inbox.deliver(finished, &mut Vec::new());
            }
            // Again after each examination, during which other threads may have passed on more.
            while wait.collect(&mut state) {
                state.release(KEPT);
                drop(state);
                if wait.examine() {
                    return true;
                }
                state = self.lock();
            }
            if state.connection.ended().is_some() || state.is_nested() {
                return false;
            }
            // What has arrived in time counts, however late it is seen: this process may have been
            // stopped. So a deadline passes only after a read that was begun after it found nothing.
            // One that is slightly old delays the end of a short read, and nothing else.
            let known = now.take().filter(|_| !state.is_shared && state.input.is_some());
            let now = known.unwrap_or_else(Instant::now);
            let before = sooner(state.connection.deadline(), until);
            let left = || before.map(|at| at.saturating_duration_since(now));
            late_turns = if before.is_some_and(|at| at <= now) { late_turns + 1 } else { 0 };
            let has_passed = until.is_some_and(|at| at <= now);
            if std::mem::take(&mut state.interrupted) {
                // The thread that panicked has read more than it has passed on.
                state = self.distribute_rest(state);
                continue;
            }
            let Some(input) = state.take_input() else {
                let arrived;
                (state, arrived) = self.wait_for_reader(state, left(), late_turns);
                if has_passed && !arrived {
                    let collected = wait.collect(&mut state);
                    drop(state);
                    return collected && wait.examine();
                }
                continue;
            };
            state.reads_locked = state.is_shared || turns > 0 || !wait.is_quick();
            turns += 1;
            let (must_send, reads_locked) = (state.has_output(), state.reads_locked);
            // Mostly the deadline is later than the end of the read.
            let is_far = || before.zip(now.checked_add(QUICK)).is_some_and(|(at, end)| at > end);
            let is_quick = !must_send && !reads_locked && is_far();
            let turn = Turn {
                must_send,
                refused: state.refused.take(),
                is_ending: state.connection.is_ending(),
                reads_locked,
                timeout: if is_quick { Some(QUICK) } else { left() },
            };
            drop(state);
            let mut reader = Reader { shared: self, input: Some(input) };
            let (arrived, locked) = self.take_turn(turn, reader.input(), wait);
            let is_over = !arrived || late_turns > LATE_TURNS;
            let mut locked = locked.unwrap_or_else(|| self.lock());
            if is_over && late_turns > 0 {
                locked.expire(now);
                locked.distribute(reader.input());
            }
            reader.put_back_to(&mut locked);
            state = locked;
            if has_passed && is_over {
                let collected = wait.collect(&mut state);
                drop(state);
                return collected && wait.examine();
            }
        }
    }

    /// Sends what is to be sent, reads once, and passes on what has arrived. Returns whether anything
    /// has, and the lock, if it is held.
    fn take_turn<'s>(
        &'s self,
        turn: Turn,
        input: &mut Input,
        wait: &mut dyn Wait,
    ) -> (bool, Option<Locked<'s>>) {
        if let Some(refused) = turn.refused {
            let end = self.wire.read_last_words(input).err().unwrap_or(refused);
            return (true, self.pass_on(self.lock(), input, Some(end), wait));
        }
        let mut timeout = turn.timeout;
        if turn.is_ending {
            timeout = Some(Duration::ZERO);
        } else if turn.must_send {
            match self.flush(Some(Duration::ZERO)) {
                Sent::All => {}
                // A peer that accepts nothing may want to send something first.
                Sent::Part => timeout = Some(Duration::ZERO),
                // The next turn reads what the peer said before.
                Sent::Refused(end) => {
                    self.lock().refused = Some(end);
                    return (true, None);
                }
            }
            if timeout != turn.timeout {
                let (arrived, locked) = self.read_and_pass_on(false, input, timeout, wait);
                drop(locked);
                if !arrived {
                    let slice = turn.timeout.map_or(WRITE_SLICE, |left| left.min(WRITE_SLICE));
                    if let Sent::Refused(end) = self.flush(Some(slice)) {
                        self.lock().refused = Some(end);
                    }
                }
                return (arrived, None);
            }
        }
        self.read_and_pass_on(turn.reads_locked, input, timeout, wait)
    }

    /// Reads once, and passes on what has arrived. Returns whether anything has, and the lock, if it
    /// is held.
    fn read_and_pass_on<'s>(
        &'s self,
        reads_locked: bool,
        input: &mut Input,
        timeout: Option<Duration>,
        wait: &mut dyn Wait,
    ) -> (bool, Option<Locked<'s>>) {
        let (readable, timeout) = match reads_locked {
            true => (self.wire.wait_readable(timeout), timeout),
            false => (Ok(Some(false)), Some(timeout.map_or(QUICK, |left| left.min(QUICK)))),
        };
        let (state, read) = match readable {
            Ok(Some(true)) => {
                let state = self.lock();
                (state, self.wire.read(input, Some(Duration::ZERO)))
            }
            Ok(Some(false)) => {
                let read = self.wire.read(input, timeout);
                // Mostly the reply is all that has arrived: it is decoded first.
                let early =
                    if matches!(read, Ok(1..)) { self.decode_early(input, wait) } else { None };
                let mut state = self.lock();
                if let Some(id) = early {
                    if state.take_early(id, input) {
                        return (true, Some(state));
                    }
                    drop(state);
                    wait.forget_early();
                    state = self.lock();
                }
                (state, read)
            }
            Ok(None) => return (false, None),
            Err(end) => (self.lock(), Err(end)),
        };
        let arrived = !matches!(read, Ok(0));
        (arrived, self.pass_on(state, input, read.err(), wait))
    }

    /// Decodes the reply that is waited for, if it is all that has arrived, and returns its call.
    fn decode_early(&self, input: &mut Input, wait: &mut dyn Wait) -> Option<CallId> {
        let id = wait.early()?;
        let mut attempt = Attempt { shared: self, input, id, is_over: false };
        let is_decoded = wait.decode_early(attempt.input);
        attempt.is_over = true;
        is_decoded.then_some(id)
    }

    /// Passes on everything that has arrived. The reply that `wait` waits for is decoded in place,
    /// without the lock, and so are the events, if nothing else takes events. Returns the lock, if it is
    /// held.
    fn pass_on<'s>(
        &'s self,
        mut state: Locked<'s>,
        input: &mut Input,
        end: Option<End>,
        wait: &mut dyn Wait,
    ) -> Option<Locked<'s>> {
        let mut has_ended = end.is_some();
        if let Some(end) = end {
            let refused = state.refused.take();
            state.end(refused.unwrap_or(end));
        }
        if let Some((id, direct, capacity)) = wait.subscription().and_then(|id| state.direct(id)) {
            // What the input holds is out of sight meanwhile.
            state.reads_locked = false;
            drop(state);
            let mut taking = Taking { shared: self, id, tally: Tally::default() };
            wait.take_events(input, direct, capacity, &mut taking.tally);
            state = taking.finish();
        }
        loop {
            let wanted = loop {
                match state.connection.next(input) {
                    Some(Incoming::Reply { id, result }) if wait.is_for(id) => {
                        state.inbox.waiters.complete(id, result.as_deref());
                        break Some(result);
                    }
                    Some(incoming) => {
                        let State { connection, inbox, .. } = &mut *state;
                        inbox.deliver(incoming, &mut Vec::new());
                        inbox.pass_events(connection, input, &mut Vec::new());
                    }
                    None => break None,
                }
            };
            let Some(result) = wanted else { return Some(state) };
            // What else the input holds is out of sight meanwhile.
            state.reads_locked = false;
            drop(state);
            // The end of the connection is the answer to all other calls, too.
            has_ended |= matches!(result, Err(qmp_protocol::Error::Closed(_)));
            wait.receive(result.map_err(Error::from));
            if input.is_empty() && !has_ended {
                return None;
            }
            state = self.lock();
        }
    }

    /// Waits until the reader has finished a turn, or for `timeout`. Returns whether bytes have
    /// arrived that the reader has yet to pass on.
    fn wait_for_reader<'s>(
        &'s self,
        mut state: Locked<'s>,
        timeout: Option<Duration>,
        late_turns: usize,
    ) -> (Locked<'s>, bool) {
        state.is_shared = true;
        let mut longest = timeout;
        if state.has_output() {
            // A reader that waits for bytes does not wait for room. One thread does, for a while.
            drop(state);
            let slice = timeout.map_or(WRITE_SLICE, |timeout| timeout.min(WRITE_SLICE));
            longest = Some(if self.try_flush(Some(slice)) { LOOK } else { slice.max(LOOK) });
            state = self.lock();
        }
        if state.input.is_some() {
            return (state, true);
        }
        // Bytes that have arrived are the reader's to pass on, before any deadline passes.
        let now = Instant::now();
        let arrived = late_turns > 0
            && late_turns <= LATE_LOOKS
            && self.wire.may_have_arrived(state.reads_locked);
        if late_turns > 0 && !arrived {
            // The reader may sleep past the deadline of a call that was submitted after it began to.
            state.expire(now);
            while let Some(finished) = state.connection.next_finished() {
                state.inbox.deliver(finished, &mut Vec::new());
            }
            return (state, false);
        }
        if arrived {
            longest = Some(LOOK);
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
        (state, true)
    }

    /// Sends what is to be sent. A refusal is the caller's to handle, who is the reader.
    fn flush(&self, timeout: Option<Duration>) -> Sent {
        let mut writer = self.lock_writer();
        let (sent, state) = self.send_all(&mut writer, self.lock(), timeout);
        // Before the state, so that a thread that adds output either is seen by `send_all`, or finds the
        // writer unlocked.
        drop(writer);
        drop(state);
        sent
    }

    /// Sends what is to be sent, unless another thread does. Returns whether this thread did.
    fn try_flush(&self, timeout: Option<Duration>) -> bool {
        let Ok(mut writer) = self.writer.try_lock() else { return false };
        let (sent, mut state) = self.send_all(&mut writer, self.lock(), timeout);
        drop(writer);
        self.handle_refusal(sent, &mut state);
        true
    }

    /// Sends what is to be sent, and records whether anything is left, while the writer is locked. Returns
    /// the lock, too.
    fn send_all<'s>(
        &'s self,
        writer: &mut Output,
        mut state: Locked<'s>,
        timeout: Option<Duration>,
    ) -> (Sent, Locked<'s>) {
        loop {
            let State { connection, inbox, .. } = &mut *state;
            if writer.is_empty() {
                connection.take_output(writer);
                inbox.subscriptions.lift_fences(|call| !connection.is_queued(call));
            }
            if writer.is_empty() {
                state.unsent = false;
                return (Sent::All, state);
            }
            state.is_sending = true;
            drop(state);
            let sent = self.wire.send(writer, timeout);
            state = self.lock();
            state.is_sending = false;
            state.unsent = matches!(sent, Sent::Part);
            match sent {
                Sent::All if state.connection.output().is_empty() => return (sent, state),
                Sent::All => {}
                Sent::Part => return (sent, state),
                Sent::Refused(_) => {
                    state.connection.lost_from(writer.position());
                    writer.clear();
                    return (sent, state);
                }
            }
        }
    }

    /// Keeps the reason why the peer accepts nothing, until the reader has read what the peer said
    /// before.
    fn handle_refusal(&self, sent: Sent, state: &mut State) {
        let Sent::Refused(end) = sent else { return };
        state.refused = Some(end);
        // Another thread that reads returns.
        if state.input.is_none() {
            self.wire.transport.close();
        }
    }

    /// Wakes a reader if the connection is ending for a reason of this side.
    fn wake_if_ending(&self, state: &State) {
        if state.connection.is_ending() && state.input.is_none() {
            self.wire.transport.close();
        }
    }

    /// Reads everything that has arrived, so that nothing older is taken for the effect of a command
    /// that is submitted next. Stops at `until` if more keeps arriving.
    #[inline]
    pub(super) fn read_arrived(&self, until: Option<Instant>) {
        let mut never = Until(|_: &mut State| false);
        let mut looks = 0;
        loop {
            let mut state = self.lock();
            if state.connection.ended().is_some() || state.is_nested() {
                return;
            }
            if let Some(input) = state.take_input() {
                drop(state);
                let mut reader = Reader { shared: self, input: Some(input) };
                let zero = Some(Duration::ZERO);
                let (arrived, locked) =
                    self.read_and_pass_on(false, reader.input(), zero, &mut never);
                // Before the input is put back.
                drop(locked);
                if !arrived {
                    return;
                }
            } else if self.wire.transport.has_arrived() {
                // The reader passes it on.
                state.waiting += 1;
                let waited = self.turned.wait_timeout(state, LOOK);
                waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
            } else if state.reads_locked || looks > LATE_LOOKS {
                return;
            } else {
                // A thread that waits for a reply may hold bytes, until its turn is over.
                state.is_shared = true;
                looks += 1;
                state.waiting += 1;
                let waited = self.turned.wait_timeout(state, LOOK);
                waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
            }
            if until.is_some_and(|at| at <= Instant::now()) {
                return;
            }
        }
    }

    fn lock_writer(&self) -> MutexGuard<'_, Output> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
