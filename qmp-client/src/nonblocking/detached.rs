//! Calls that nobody waits for: what a guard leaves to be done when it is dropped.
//!
//! They keep the connection open until they are answered, also when no handle is left. Each has a
//! deadline, so that a server that does not answer cannot keep it open for ever.

use std::fmt;
use std::task::Waker;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::state::{Hold, State};
use super::written::Written;
use crate::deadlines;
use crate::error::{Error, Result};
use crate::machine::{CallId, Machine};
use crate::options::Options;

/// What became of a command; an error that is nothing means that it was not answered in time.
pub(super) type Outcome<'a, T> = Result<T, Option<&'a Error>>;

/// What becomes of a call that is dropped before it is answered.
#[derive(Debug)]
pub(super) enum Parting {
    /// A command that waits is not sent any more; of one that was sent, the reply is dropped.
    Abandon,
    /// It is executed all the same, even if it was never polled: as this guard's command.
    Finish(GuardId),
    /// A command that waits is not sent any more; one that was sent is undone when it is answered.
    Undo(Undo),
}

/// Says what undoes a command, if anything must.
pub(super) struct Undo(Box<UndoFn>);

type UndoFn = dyn for<'a> FnOnce(Outcome<'a, &'a RawValue>) -> Option<Written> + Send + Sync;

impl Undo {
    pub(super) fn new(
        undo: impl for<'a> FnOnce(Outcome<'a, &'a RawValue>) -> Option<Written> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(undo))
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undo")
    }
}

/// A guard, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct GuardId(u64);

/// All detached calls of a connection.
#[derive(Debug)]
pub(super) struct Detached {
    calls: Vec<DetachedCall>,
    /// Commands that undo what has been answered, and are not submitted yet.
    undoing: Vec<Written>,
    /// What guards have to do that are still there: if the driver goes first, they cannot.
    guards: Vec<(GuardId, Written)>,
    next_guard: u64,
    now: fn() -> Instant,
    /// The longest that the options allow a call.
    longest: Duration,
}

#[derive(Debug)]
struct DetachedCall {
    id: CallId,
    until: Instant,
    undo: Option<Undo>,
}

impl Detached {
    pub(super) fn new(options: &Options, now: fn() -> Instant) -> Self {
        let longest = options.calls_within.unwrap_or(Duration::MAX);
        let (calls, undoing, guards) = (Vec::new(), Vec::new(), Vec::new());
        Self { calls, undoing, guards, next_guard: 0, now, longest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.calls.iter().map(|call| call.until).min()
    }

    pub(super) fn release(&mut self) {
        if self.calls.is_empty() {
            (self.calls, self.undoing) = (Vec::new(), Vec::new());
        }
    }

    fn add_guard(&mut self, command: Written) -> GuardId {
        let id = GuardId(self.next_guard);
        self.next_guard += 1;
        self.guards.push((id, command));
        id
    }

    fn take_guard(&mut self, id: GuardId) -> Option<Written> {
        let index = self.guards.iter().position(|(guard, _)| *guard == id)?;
        Some(self.guards.remove(index).1)
    }

    /// Does what the guards have to do that are still there, the youngest first.
    pub(super) fn finish_guards(&mut self, machine: &mut Machine) {
        for (_, command) in std::mem::take(&mut self.guards).into_iter().rev() {
            self.submit(&command, machine);
        }
    }

    /// A call that has been submitted is nobody's from now on.
    fn take_over(&mut self, id: CallId, name: &str, within: Option<Duration>, undo: Option<Undo>) {
        let within = within.unwrap_or_else(|| deadlines::recommended(name).min(self.longest));
        let now = (self.now)();
        let until = now.checked_add(within).unwrap_or(now);
        self.calls.push(DetachedCall { id, until, undo });
    }

    fn submit(&mut self, command: &Written, machine: &mut Machine) {
        // Once the connection has ended, nothing can be done, and there is nobody to tell.
        if let Ok(id) = command.submit(machine, None, Vec::new()) {
            self.take_over(id, &command.name, command.within, None);
        }
    }

    /// A call has been answered: one of these, or one that was given up.
    pub(super) fn answered(&mut self, id: CallId, result: Result<&RawValue>) {
        let Some(index) = self.calls.iter().position(|call| call.id == id) else { return };
        if let Some(undo) = self.calls.remove(index).undo {
            self.undoing.extend((undo.0)(result.as_ref().copied().map_err(Some)));
        }
    }

    /// Submits what undoes that which has been answered.
    pub(super) fn follow_up(&mut self, machine: &mut Machine) {
        for command in std::mem::take(&mut self.undoing) {
            self.submit(&command, machine);
        }
    }

    /// Nothing more will be answered: what waits to be sent waits no longer.
    pub(super) fn hurry(&self, machine: &mut Machine) {
        machine.hurry(|id| self.calls.iter().any(|call| call.id == id));
    }

    /// Gives up what has not been answered in time.
    pub(super) fn expire(&mut self, now: Instant, machine: &mut Machine) {
        let late = self.calls.extract_if(.., |call| call.until <= now).collect::<Vec<_>>();
        for call in late {
            machine.abandon(call.id, now);
            self.undoing.extend(call.undo.and_then(|undo| (undo.0)(Err(None))));
        }
        self.follow_up(machine);
    }
}

impl Hold {
    /// A guard is made, which has this to do.
    pub(super) fn add_guard(&self, command: Written) -> GuardId {
        self.lock().detached.add_guard(command)
    }

    /// A guard has nothing to do any more.
    pub(super) fn remove_guard(&self, id: GuardId) {
        let command = self.lock().detached.take_guard(id);
        drop(command);
    }

    /// A guard is dropped: its command is executed, and nobody waits for it.
    pub(super) fn finish(&self, id: GuardId) {
        self.change(|State { detached, machine, .. }| {
            if let Some(command) = detached.take_guard(id) {
                detached.submit(&command, machine);
            }
        });
    }

    /// Nobody waits for this call any more.
    pub(super) fn part(&self, id: CallId, name: &str, within: Option<Duration>, parting: Parting) {
        if let Parting::Abandon = parting {
            let (answer, driver) = {
                let mut state = self.lock();
                state.machine.abandon(id, self.now());
                // There may be something to say to a guest agent.
                let quiet = state.machine.output().is_empty();
                let driver = if quiet { None } else { state.driver.take() };
                (state.forget_waiter(id), driver)
            };
            driver.into_iter().for_each(Waker::wake);
            return drop(answer);
        }
        let now = self.now();
        self.change(|state| {
            let answer = state.forget_waiter(id);
            let State { detached, machine, .. } = state;
            match (parting, answer) {
                (Parting::Undo(undo), Some(answer)) => {
                    let outcome = answer.as_deref().map_err(Some);
                    if let Some(command) = (undo.0)(outcome) {
                        detached.submit(&command, machine);
                    }
                }
                (Parting::Undo(undo), None) if machine.is_in_flight(id) => {
                    detached.take_over(id, name, within, Some(undo));
                }
                (Parting::Finish(_), None) => detached.take_over(id, name, within, None),
                (Parting::Finish(_), Some(_)) => {}
                (Parting::Abandon | Parting::Undo(_), _) => machine.abandon(id, now),
            }
        });
    }
}
