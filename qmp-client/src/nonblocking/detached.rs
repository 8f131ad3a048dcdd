//! Detached calls: the commands that dropped guards leave to be executed.
//!
//! No task waits for them. They keep the connection open until they are answered, even when no
//! handle is left. Each has a deadline, so that a server that does not answer cannot keep the
//! connection open forever.

use std::fmt;
use std::time::{Duration, Instant};

use qmp_protocol::{CallId, Connection, EncodedRequest, Timeout, WaitedFor, deadlines, sooner};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::options::Options;

/// Decides which command undoes another one, given that one's result.
pub(super) struct Undo(Box<UndoFn>);

type UndoFn = dyn Fn(Result<&RawValue, &Error>) -> Option<EncodedRequest> + Send + Sync;

impl Undo {
    pub(super) fn new(
        undo: impl Fn(Result<&RawValue, &Error>) -> Option<EncodedRequest> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(undo))
    }

    pub(super) fn command(&self, result: Result<&RawValue, &Error>) -> Option<EncodedRequest> {
        (self.0)(result)
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undo")
    }
}

/// The number of a guard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct GuardId(u64);

/// All detached calls of a connection.
#[derive(Debug)]
pub(super) struct Detached {
    calls: Vec<DetachedCall>,
    /// Commands that undo what has been answered, and have not been submitted.
    undoing: Vec<(EncodedRequest, Option<Duration>)>,
    /// Undo functions that have been used. They are the caller's code and may own handles, so they
    /// are dropped after the lock is released.
    spent: Vec<Undo>,
    /// The commands of guards that exist: if the driver is dropped first, they cannot execute them.
    guards: Vec<(GuardId, EncodedRequest, Option<Duration>)>,
    next_guard: u64,
    /// `None` if there has never been a detached call or a guard.
    handling: Option<&'static Handling>,
    now: fn() -> Instant,
    /// The longest that the options allow a call to take.
    longest: Duration,
}

/// The functions that handle detached calls and guards. The first call or guard sets them, so that a program
/// that has none does not contain them.
#[derive(Debug)]
struct Handling {
    answer: fn(&mut Detached, CallId, Result<&RawValue, qmp_protocol::Error>),
    follow_up: fn(&mut Detached, &mut Connection),
    expire: fn(&mut Detached, Instant, &mut Connection),
    finish_guards: fn(&mut Detached, &mut Connection),
    send_now: fn(&Detached, &mut Connection),
}

impl Handling {
    const ALL: &'static Self = &Self {
        answer: Detached::answer,
        follow_up: Detached::submit_undoing,
        expire: Detached::expire_calls,
        finish_guards: Detached::submit_guards,
        send_now: Detached::send_queued,
    };
}

#[derive(Debug)]
struct DetachedCall {
    id: CallId,
    /// `None` if the caller disabled the deadline.
    until: Option<Instant>,
    /// The deadline that the caller set for the call, which its undo inherits.
    within: Option<Duration>,
    undo: Option<Undo>,
}

impl Detached {
    #[inline]
    pub(super) fn new(options: &Options, now: fn() -> Instant) -> Self {
        let longest = options.calls_within.unwrap_or(Duration::MAX);
        let (calls, undoing, spent, guards) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { calls, undoing, spent, guards, next_guard: 0, handling: None, now, longest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mut earliest = None;
        for call in &self.calls {
            earliest = sooner(earliest, call.until);
        }
        earliest
    }

    #[inline]
    pub(super) fn release(&mut self) {
        if self.calls.is_empty() {
            (self.calls, self.undoing) = (Vec::new(), Vec::new());
        }
    }

    #[inline]
    pub(super) fn add_guard(
        &mut self,
        command: EncodedRequest,
        within: Option<Duration>,
    ) -> GuardId {
        let id = GuardId(self.next_guard);
        self.next_guard += 1;
        self.handling = Some(Handling::ALL);
        self.guards.push((id, command, within));
        id
    }

    #[inline]
    pub(super) fn take_guard(&mut self, id: GuardId) -> Option<(EncodedRequest, Option<Duration>)> {
        let index = self.guards.iter().position(|(guard, ..)| *guard == id)?;
        let (_, command, within) = self.guards.remove(index);
        Some((command, within))
    }

    /// Executes the commands of all guards that exist, the youngest first.
    pub(super) fn finish_guards(&mut self, connection: &mut Connection) {
        if let Some(handling) = self.handling {
            (handling.finish_guards)(self, connection);
        }
    }

    fn submit_guards(&mut self, connection: &mut Connection) {
        for (_, command, within) in std::mem::take(&mut self.guards).into_iter().rev() {
            self.submit(&command, within, connection);
        }
    }

    /// Makes a submitted call a detached one.
    pub(super) fn take_over(
        &mut self,
        id: CallId,
        name: &str,
        within: Option<Duration>,
        undo: Option<Undo>,
    ) {
        let limit = within.unwrap_or_else(|| deadlines::recommended(name).min(self.longest));
        let until = (self.now)().checked_add(limit);
        self.handling = Some(Handling::ALL);
        self.calls.push(DetachedCall { id, until, within, undo });
    }

    pub(super) fn submit(
        &mut self,
        command: &EncodedRequest,
        within: Option<Duration>,
        connection: &mut Connection,
    ) {
        // After the end of the connection nothing can be done, and no caller is left to be told.
        if let Ok(id) = command.submit(connection, None, Vec::new()) {
            self.take_over(id, command.name(), within, None);
        }
    }

    /// Handles the reply to a detached call, or to one that was abandoned.
    pub(super) fn answered(&mut self, id: CallId, result: Result<&RawValue, qmp_protocol::Error>) {
        if let Some(handling) = self.handling {
            (handling.answer)(self, id, result);
        }
    }

    fn answer(&mut self, id: CallId, result: Result<&RawValue, qmp_protocol::Error>) {
        let Some(index) = self.calls.iter().position(|call| call.id == id) else { return };
        let DetachedCall { undo, within, .. } = self.calls.remove(index);
        if let Some(undo) = undo {
            let result = result.map_err(Error::from);
            let command = undo.command(result.as_ref().copied());
            self.undoing.extend(command.map(|command| (command, within)));
            self.spent.push(undo);
        }
    }

    /// Submits the commands that undo what has been answered.
    pub(super) fn follow_up(&mut self, connection: &mut Connection) {
        if let (Some(handling), false) = (self.handling, self.undoing.is_empty()) {
            (handling.follow_up)(self, connection);
        }
    }

    fn submit_undoing(&mut self, connection: &mut Connection) {
        for (command, within) in std::mem::take(&mut self.undoing) {
            self.submit(&command, within, connection);
        }
    }

    /// Sends what is queued: nothing more will be answered.
    pub(super) fn send_now(&self, connection: &mut Connection) {
        if let Some(handling) = self.handling {
            (handling.send_now)(self, connection);
        }
    }

    fn send_queued(&self, connection: &mut Connection) {
        connection.send_now(|id| self.calls.iter().any(|call| call.id == id));
    }

    /// Takes the undo functions that have been used.
    #[must_use = "they are dropped after the lock is released"]
    pub(super) fn take_spent(&mut self) -> Vec<Undo> {
        std::mem::take(&mut self.spent)
    }

    /// Gives up calls that have not been answered in time.
    pub(super) fn expire(&mut self, now: Instant, connection: &mut Connection) {
        if let Some(handling) = self.handling {
            (handling.expire)(self, now, connection);
        }
    }

    fn expire_calls(&mut self, now: Instant, connection: &mut Connection) {
        let mut late = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            let is_late = call.until.is_some_and(|at| at <= now);
            let to = if is_late { &mut late } else { &mut self.calls };
            to.push(call);
        }
        for DetachedCall { id, within, undo, .. } in late {
            connection.abandon(id, now);
            let Some(undo) = undo else { continue };
            let waited_for = WaitedFor::State("the reply to an abandoned call".into());
            let error = Timeout::new(waited_for, within.unwrap_or_default()).into();
            self.undoing.extend(undo.command(Err(&error)).map(|command| (command, within)));
            self.spent.push(undo);
        }
        self.follow_up(connection);
    }
}
