//! The state that the handles of a connection share with its driver.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use qmp_protocol::{
    CallId, Closed, Connection, Deadline, Descriptor, EncodedRequest, End, Input, Misuse, sooner,
};
use qmp_types::Greeting;
use serde_json::value::RawValue;

use super::detached::{Detached, GuardId, Undo};
use super::direct::Direct;
use super::ends::EndWaiters;
use crate::error::{Error, Result, handshake_error};
use crate::inbox::{Inbox, Predicate, SubscriptionId, register};
use crate::options::Options;
use crate::queue::Journal;
use crate::stats::Stats;
use crate::term::Term;

/// A connection: the part that never changes, and the part that the lock guards.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    options: Options,
    now: fn() -> Instant,
    passes_descriptors: bool,
    /// Set before a client is given out.
    greeting: OnceLock<Greeting>,
    connected: SystemTime,
}

/// The part that the lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) inbox: Inbox,
    /// Calls that no task waits for, and that keep the connection open.
    pub(super) detached: Detached,
    pub(super) ends: EndWaiters,
    /// The means by which callers send their commands.
    pub(super) direct: Direct,
    /// The task that waits for the negotiation.
    negotiation: Option<Waker>,
    pub(super) driver: Option<Waker>,
    /// When the driver looks at the deadlines next, without being woken.
    pub(super) armed: Option<Instant>,
    users: Users,
}

/// The users that keep a connection open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Users {
    /// Handles.
    Handles,
    /// Only detached calls.
    Detached,
    /// No one: it is closed at once.
    None,
}

/// The event that a command is submitted with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Follow {
    /// None.
    Nothing,
    /// An event of this name.
    Event(&'static str),
    /// Any event.
    AnyEvent,
}

impl Follow {
    /// Follows the event of this name, or any event.
    pub(super) fn named(name: Option<&'static str>) -> Self {
        name.map_or(Self::AnyEvent, Self::Event)
    }
}

impl Shared {
    #[inline]
    pub(super) fn new(
        connection: Connection,
        options: Options,
        now: fn() -> Instant,
        passes_descriptors: bool,
        direct: Direct,
    ) -> Self {
        let state = State {
            connection,
            inbox: Inbox::new(&options, now),
            detached: Detached::new(&options, now),
            ends: EndWaiters::default(),
            direct,
            negotiation: None,
            driver: None,
            armed: None,
            users: Users::Handles,
        };
        let (state, greeting) = (Mutex::new(state), OnceLock::new());
        let connected = SystemTime::now();
        Self { state, options, now, passes_descriptors, greeting, connected }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that can panic. A predicate that
        // panics takes the driver with it, which ends the connection.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, and wakes the driver.
    #[inline]
    pub(super) fn end(&self, end: End) {
        self.change(|state| state.connection.end(end));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, driver) = {
            let mut state = self.lock();
            (change(&mut state), state.driver.take())
        };
        driver.into_iter().for_each(Waker::wake);
        changed
    }
}

/// A handle of a connection: cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Handle(Arc<Hold>);

/// The share that all handles have in a connection. When the last handle is dropped, the connection
/// is closed as soon as no [detached](Detached) call is left.
#[derive(Debug)]
struct Hold(Arc<Shared>);

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Hold(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared().lock()
    }

    pub(super) fn options(&self) -> &Options {
        &self.shared().options
    }

    pub(super) fn greeting(&self) -> &Greeting {
        self.shared().greeting.get_or_init(Greeting::default)
    }

    pub(super) fn now(&self) -> Instant {
        (self.shared().now)()
    }

    pub(super) fn deadline_after(&self, within: Duration) -> Option<Deadline> {
        Deadline::after(self.now(), within)
    }

    #[inline]
    pub(super) fn stats(&self) -> Stats {
        let state = self.lock();
        let mut stats = state.inbox.stats(&state.connection);
        drop(state);
        stats.connected = Some(self.shared().connected);
        stats.dropped = self.options().count_missing(stats.dropped);
        stats
    }

    /// Closes the connection at once.
    #[inline]
    pub(super) fn close(&self) {
        self.change(|state| state.users = Users::None);
    }

    /// Changes something that the driver must look at, and wakes the driver.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared().change(change)
    }

    /// Submits a command, and subscribes to events from the moment at which it is sent.
    pub(super) fn submit(
        &self,
        command: &EncodedRequest,
        term: Term,
        descriptors: Vec<Descriptor>,
        follow: Follow,
        waker: Option<&Waker>,
    ) -> Result<(CallId, Option<SubscriptionId>)> {
        if !descriptors.is_empty() && !self.shared().passes_descriptors {
            return Err(Misuse::NoDescriptors { command: command.name().clone() }.into());
        }
        let (submitted, driver) = {
            let mut state = self.lock();
            // The driver sends several commands at once.
            let is_alone = state.connection.is_idle();
            let submitted = self.submit_to(&mut state, command, term, descriptors, follow);
            if let (Ok((id, _)), Some(waker)) = (&submitted, waker) {
                state.inbox.waiters.wake_newest(*id, waker);
            }
            let driver = match is_alone && state.send_directly() {
                true => state.driver_to_wake(term.end()),
                false => state.driver.take(),
            };
            (submitted, driver)
        };
        driver.into_iter().for_each(Waker::wake);
        submitted
    }

    fn submit_to(
        &self,
        state: &mut State,
        command: &EncodedRequest,
        term: Term,
        descriptors: Vec<Descriptor>,
        follow: Follow,
    ) -> Result<(CallId, Option<SubscriptionId>)> {
        let id = command.submit(&mut state.connection, term.deadline, descriptors)?;
        state.inbox.waiters.add(id, command.name().clone(), term.begin);
        let name = match follow {
            Follow::Nothing => return Ok((id, None)),
            Follow::Event(name) => Some(name),
            Follow::AnyEvent => None,
        };
        let subscriptions = &mut state.inbox.subscriptions;
        Ok((id, Some(subscriptions.add(name, self.options().event_queue(), Some(id)))))
    }

    pub(super) fn poll_answer(
        &self,
        id: CallId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<RawValue>>> {
        let _replaced;
        let mut state = self.lock();
        if let Some(answer) = state.inbox.waiters.take_answer(id) {
            return Poll::Ready(answer.map_err(Error::from));
        }
        // Always there: an answer is taken once.
        if let Some(waiter) = state.inbox.waiters.get(id) {
            // Dropped after the lock is released.
            _replaced = register(&mut waiter.waker, cx);
        }
        Poll::Pending
    }

    /// Counts a reply that does not match the type.
    pub(super) fn mismatched(&self) {
        self.lock().inbox.waiters.mismatched();
    }

    #[inline]
    pub(super) fn subscribe(&self, name: Option<&'static str>) -> SubscriptionId {
        let capacity = self.options().event_queue();
        self.lock().inbox.subscriptions.add(name, capacity, None)
    }

    #[inline]
    pub(super) fn filter(&self, id: SubscriptionId, predicate: Predicate) {
        let unused = self.lock().inbox.subscriptions.filter(id, predicate);
        drop(unused);
    }

    #[inline]
    pub(super) fn unsubscribe(&self, id: SubscriptionId) {
        let removed = self.lock().inbox.subscriptions.remove(id);
        drop(removed);
    }

    /// Exchanges `taken`, which is empty, for the events of a subscription that have arrived. False
    /// means that the deadline has passed.
    #[inline]
    pub(super) fn poll_event(
        &self,
        id: SubscriptionId,
        deadline: Option<Instant>,
        taken: &mut Journal,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool>> {
        let now = deadline.map(|_| self.now());
        let (driver, _replaced) = {
            let mut state = self.lock();
            match state.inbox.subscriptions.take(id, taken) {
                Ok(false) => {}
                found => return Poll::Ready(found),
            }
            if let Some(end) = state.connection.ended() {
                return Poll::Ready(Err(Closed::new(None, end).into()));
            }
            if deadline.zip(now).is_some_and(|(at, now)| at <= now) {
                return Poll::Ready(Ok(false));
            }
            let replaced = state.inbox.subscriptions.register(id, deadline, cx);
            (state.driver_to_wake(deadline), replaced)
        };
        driver.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Waits for the end of the connection, or for a deadline; returns whether the connection has
    /// ended.
    #[inline]
    pub(super) fn poll_end(
        &self,
        waiter: &mut Option<u64>,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let now = deadline.map(|_| self.now());
        let (driver, _replaced) = {
            let mut state = self.lock();
            if state.connection.ended().is_some() {
                return Poll::Ready(true);
            }
            if deadline.zip(now).is_some_and(|(at, now)| at <= now) {
                return Poll::Ready(false);
            }
            let replaced = state.ends.register(waiter, deadline, cx);
            (state.driver_to_wake(deadline), replaced)
        };
        driver.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Stops waiting for the end.
    #[inline]
    pub(super) fn forget_end(&self, waiter: u64) {
        let waker = self.lock().ends.remove(waiter);
        drop(waker);
    }

    /// Returns whether the negotiation is complete, and keeps the greeting.
    pub(super) fn poll_negotiated(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let _replaced;
        let mut state = self.lock();
        if state.connection.ended().is_some() {
            return Poll::Ready(Err(handshake_error(state.connection.take_ended())));
        }
        if !state.connection.is_ready() {
            // Dropped after the lock is released.
            _replaced = register(&mut state.negotiation, cx);
            return Poll::Pending;
        }
        let greeting = state.connection.greeting_out();
        drop(state);
        // Not set yet: this is the first client of the connection.
        let _ = self.shared().greeting.set(greeting);
        Poll::Ready(Ok(()))
    }

    /// Registers a guard, and the command that it executes when it is dropped.
    #[inline]
    pub(super) fn add_guard(&self, command: EncodedRequest, within: Option<Duration>) -> GuardId {
        self.lock().detached.add_guard(command, within)
    }

    /// Removes a guard that has nothing to do any more.
    #[inline]
    pub(super) fn remove_guard(&self, id: GuardId) {
        let command = self.lock().detached.take_guard(id);
        drop(command);
    }

    /// Executes the command of a guard as a detached call.
    #[inline]
    pub(super) fn finish_guard(&self, id: GuardId) {
        self.change(|State { detached, connection, .. }| {
            if let Some((command, within)) = detached.take_guard(id) {
                detached.submit(&command, within, connection);
            }
        });
    }

    /// Gives up a call whose future is dropped before it was answered.
    pub(super) fn abandon(&self, id: CallId) {
        let now = self.now();
        let (waiter, driver) = {
            let mut state = self.lock();
            state.connection.abandon(id, now);
            // A guest agent may have to be synchronized with.
            let quiet = state.connection.output().is_empty();
            let driver = if quiet { None } else { state.driver.take() };
            (state.inbox.waiters.remove(id), driver)
        };
        driver.into_iter().for_each(Waker::wake);
        drop(waiter);
    }

    /// Finishes or undoes a call whose future is dropped before it was answered.
    pub(super) fn detach(
        &self,
        id: CallId,
        name: &str,
        within: Option<Duration>,
        undo: Option<Undo>,
    ) {
        let now = self.now();
        let remains = self.change(|state| {
            let (waker, answer) = state.inbox.waiters.remove(id).unwrap_or_default();
            let State { detached, connection, .. } = state;
            let mut unused = None;
            match (undo, answer) {
                (Some(undo), Some(answer)) => {
                    let answer = answer.map_err(Error::from);
                    if let Some(command) = undo.command(answer.as_deref()) {
                        detached.submit(&command, within, connection);
                    }
                    unused = Some(undo);
                }
                (Some(undo), None) if connection.is_in_flight(id) => {
                    detached.take_over(id, name, within, Some(undo));
                }
                (None, None) => detached.take_over(id, name, within, None),
                (None, Some(_)) => {}
                (Some(undo), None) => {
                    connection.abandon(id, now);
                    unused = Some(undo);
                }
            }
            (waker, unused)
        });
        // Either may own handles.
        drop(remains);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.change(|state| {
            if state.users == Users::Handles {
                state.users = Users::Detached;
            }
        });
    }
}

impl State {
    /// Sends what has been submitted, unless the driver must do it: a command that waits for an event
    /// is not sent before everything that arrived earlier has been read. Returns whether nothing is
    /// left to be sent.
    fn send_directly(&mut self) -> bool {
        let Self { connection, inbox, direct, users, .. } = self;
        // The driver has not closed the connection yet.
        let is_closed = *users == Users::None;
        if is_closed || inbox.subscriptions.is_fenced(|call| !connection.is_queued(call)) {
            return false;
        }
        direct.send(connection)
    }

    /// Returns the driver's waker, if a task waits until a deadline that is before the moment at
    /// which the driver looks next.
    fn driver_to_wake(&mut self, deadline: Option<Instant>) -> Option<Waker> {
        let sooner = deadline.is_some_and(|at| self.armed.is_none_or(|armed| at < armed));
        if sooner { self.driver.take() } else { None }
    }

    /// Returns whether the connection is to be closed now.
    #[inline]
    pub(super) fn is_deserted(&self) -> bool {
        match self.users {
            Users::Handles => false,
            Users::Detached => self.detached.is_empty(),
            Users::None => true,
        }
    }

    /// Passes on every message that has arrived. Tasks to be woken are collected, for when the lock
    /// is released.
    #[inline]
    pub(super) fn distribute(&mut self, input: &mut Input, woken: &mut Vec<Waker>) {
        while let Some(incoming) = self.connection.next(input) {
            if let Some((id, result)) = self.inbox.deliver(incoming, woken) {
                self.detached.answered(id, result);
            }
            self.inbox.pass_events(&self.connection, input, woken);
        }
        self.detached.follow_up(&mut self.connection);
        let ended = self.connection.ended().is_some();
        if ended || self.connection.is_ready() {
            woken.extend(self.negotiation.take());
        }
        if ended {
            self.inbox.subscriptions.wake_all(woken);
            self.ends.wake_all(woken);
        }
    }

    /// Returns the next moment at which a deadline passes.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of_calls = sooner(self.connection.deadline(), self.detached.deadline());
        let of_waits = sooner(self.inbox.subscriptions.deadline(), self.ends.deadline());
        sooner(of_calls, of_waits)
    }

    /// Fails everything whose deadline is at or before `now`.
    #[inline]
    pub(super) fn expire(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        self.connection.expire(now);
        self.detached.expire(now, &mut self.connection);
        self.inbox.subscriptions.expire(now, woken);
        self.ends.expire(now, woken);
    }

    /// Frees memory that is not in use.
    #[inline]
    pub(super) fn release(&mut self) {
        self.connection.release(0);
        self.inbox.waiters.release();
        self.inbox.subscriptions.release();
        self.detached.release();
    }
}
