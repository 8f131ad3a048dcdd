//! The mirror without I/O: what is known, what is stale, and what to ask next.
//!
//! Everything that is heard moves a clock, the [`Stamp`]. A part is marked with the stamp of what may
//! have changed it; a query carries the stamp of the moment before it is sent, and its answer counts
//! up to there. So an answer that was sent before a later event never makes a part current: whatever
//! the order in which a driver learns of both, the part is asked for again.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::part::{Answer, COUNT, Part, Parts, Values};
use super::policy::Policy;
use super::rules;
use super::view::{Absence, Knowledge, Stamp, View};

/// The pause after the first query that failed. It doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest pause after queries that failed.
const LAST_RETRY: Duration = Duration::from_secs(10);
/// The longest wait for an event.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The number of rounds after which a view is published although parts are stale again: without it,
/// a flood of events would hide everything.
const PATIENT_ROUNDS: u32 = 4;

/// The next thing to do.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Ask for these parts, and return the answers as of this stamp.
    Ask(Parts, Stamp),
    /// Wait for an event, or this long.
    Wait(Duration),
}

/// The result of a query.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer(Answer),
    Absent(Absence),
    Failed(String),
    /// The connection has ended: what is known stays.
    Lost,
}

/// The schedule of one part.
#[derive(Clone, Copy, Debug, Default)]
struct Schedule {
    /// The last moment at which the part may have changed.
    marked: Stamp,
    is_in_flight: bool,
    asked_at: Option<Instant>,
    /// The moment at which the part is asked for a second time after an event.
    echo: Option<Instant>,
    failures: u32,
    retry: Option<Instant>,
}

/// The state of a machine as far as it is known.
#[derive(Debug)]
pub(super) struct Model {
    policy: Policy,
    clock: Stamp,
    schedules: [Schedule; COUNT],
    values: Values,
    knowledge: Box<[Knowledge; COUNT]>,
    /// Parts whose echo has not been given a time yet: what hears events knows no time.
    to_echo: Parts,
    next_period: Option<Instant>,
    next_motion: Option<Instant>,
    /// The parts that changed by themselves when this was last looked at.
    in_motion: Parts,
    last_round: Option<Instant>,
    unpublished: u32,
    connections: u64,
    /// The moment at which the last connection began.
    connected: Stamp,
    is_connected: bool,
    number: u64,
    /// Whether the driver has to be woken by the next event.
    is_waiting: bool,
}

impl Model {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            clock: Stamp(1),
            schedules: [Schedule { marked: Stamp(1), ..Schedule::default() }; COUNT],
            values: Values::default(),
            knowledge: Box::default(),
            to_echo: Parts::NONE,
            next_period: None,
            next_motion: None,
            in_motion: Parts::NONE,
            last_round: None,
            unpublished: 0,
            connections: 0,
            connected: Stamp::default(),
            is_connected: false,
            number: 0,
            is_waiting: false,
        }
    }

    /// Begins a connection. Anything may have changed before it.
    pub(super) fn connect(&mut self) {
        self.is_connected = true;
        self.connections += 1;
        self.last_round = None;
        self.next_period = None;
        for schedule in &mut self.schedules {
            *schedule = Schedule { marked: schedule.marked, ..Schedule::default() };
        }
        self.mark(Parts::ALL);
        self.connected = self.clock;
    }

    /// Ends the connection. From now on, everything may change unheard.
    pub(super) fn disconnect(&mut self) {
        self.is_connected = false;
        self.mark(Parts::ALL);
    }

    /// Forgets everything: what was known is that of another machine.
    pub(super) fn forget(&mut self) {
        self.values = Values::default();
        *self.knowledge = Default::default();
        self.mark(Parts::ALL);
    }

    /// Hears an event, and returns whether the driver has to be woken.
    pub(super) fn hear(&mut self, event: &str) -> bool {
        let parts = rules::changed_by_event(event);
        if parts.is_empty() {
            return false;
        }
        self.mark(parts);
        self.to_echo = self.to_echo.and(parts);
        std::mem::take(&mut self.is_waiting)
    }

    /// Takes note that parts may have changed.
    pub(super) fn mark(&mut self, parts: Parts) {
        self.clock.0 += 1;
        for part in parts.iter() {
            self.schedules[part.index()].marked = self.clock;
        }
    }

    /// Asks for parts that failed without waiting for their turn.
    pub(super) fn hurry(&mut self) {
        self.last_round = None;
        self.schedules.iter_mut().for_each(|schedule| schedule.retry = None);
    }

    /// Returns what to do next. The parts that are to be asked for are in flight from then on.
    pub(super) fn next(&mut self, now: Instant) -> Step {
        if !self.is_connected {
            return Step::Wait(LONGEST_WAIT);
        }
        self.mark_what_is_due(now);
        let mut wait = Wait { now, shortest: LONGEST_WAIT };
        wait.until(self.next_period);
        wait.until(self.next_motion);
        let mut ask = Parts::NONE;
        for part in Part::ALL {
            let schedule = &self.schedules[part.index()];
            wait.until(schedule.echo);
            if !self.is_stale(*part) || schedule.is_in_flight {
                continue;
            }
            match schedule.retry {
                Some(at) if at > now => wait.until(Some(at)),
                _ => ask.insert(*part),
            }
        }
        let paced = self.last_round.and_then(|at| at.checked_add(self.policy.pace));
        if let (false, Some(at)) = (ask.is_empty(), paced.filter(|at| *at > now)) {
            // The events that arrive until then are in the same round.
            wait.until(Some(at));
            ask = Parts::NONE;
        }
        if ask.is_empty() {
            self.is_waiting = true;
            return Step::Wait(wait.shortest);
        }
        self.last_round = Some(now);
        for part in ask.iter() {
            let schedule = &mut self.schedules[part.index()];
            schedule.is_in_flight = true;
            schedule.asked_at = Some(now);
        }
        Step::Ask(ask, self.clock)
    }

    fn mark_what_is_due(&mut self, now: Instant) {
        let in_motion = rules::in_motion(&self.values);
        if in_motion.is_empty() {
            // The last steps, such as taking block nodes back after a migration, follow its end.
            self.to_echo = self.to_echo.and(std::mem::take(&mut self.in_motion));
            self.next_motion = None;
        }
        self.in_motion = self.in_motion.and(in_motion);
        let echo = now.checked_add(self.policy.echo);
        for part in std::mem::take(&mut self.to_echo).iter() {
            self.schedules[part.index()].echo = echo;
        }
        let mut due = Parts::NONE;
        for part in Part::ALL {
            let echo = &mut self.schedules[part.index()].echo;
            if echo.is_some_and(|at| at <= now) {
                *echo = None;
                due.insert(*part);
            }
        }
        if self.next_motion.is_some_and(|at| at <= now) {
            self.next_motion = None;
            due = due.and(in_motion);
        }
        if self.next_period.is_some_and(|at| at <= now) {
            due = Parts::ALL;
        }
        if self.next_period.is_none_or(|at| at <= now) {
            self.next_period = self.policy.period.and_then(|period| now.checked_add(period));
        }
        if !due.is_empty() {
            self.mark(due);
        }
        if self.next_motion.is_none() && !in_motion.is_empty() {
            self.next_motion = now.checked_add(self.policy.motion);
        }
    }

    /// Takes the result of a query that was sent at this stamp.
    pub(super) fn answer(&mut self, part: Part, stamp: Stamp, outcome: Outcome, now: Instant) {
        let schedule = &mut self.schedules[part.index()];
        let knowledge = &mut self.knowledge[part.index()];
        // Threads take the results of their queries in any order. What is in flight is a later query.
        if stamp < knowledge.answered.max(self.connected) {
            return;
        }
        schedule.is_in_flight = false;
        let outcome = match outcome {
            // A refusal is an answer if there was nothing before. Otherwise it may be passing.
            Outcome::Absent(Absence::Missing(text))
                if part != Part::Balloon && self.values.has(part) && schedule.failures < 3 =>
            {
                Outcome::Failed(text)
            }
            outcome => outcome,
        };
        match outcome {
            Outcome::Answer(answer) => {
                self.values.set(answer.tidied());
                knowledge.absence = None;
            }
            Outcome::Absent(absence) => {
                self.values.clear(part);
                knowledge.absence = Some(absence);
            }
            Outcome::Failed(text) => {
                knowledge.failure = Some(text);
                let pause = FIRST_RETRY.saturating_mul(1 << schedule.failures.min(10));
                schedule.failures = schedule.failures.saturating_add(1);
                schedule.retry = now.checked_add(pause.min(LAST_RETRY));
                return;
            }
            Outcome::Lost => return,
        }
        knowledge.failure = None;
        knowledge.asked_at = schedule.asked_at;
        knowledge.answered = stamp;
        schedule.failures = 0;
        schedule.retry = None;
    }

    /// Takes note that queries are not waited for any more.
    pub(super) fn abandon(&mut self, parts: Parts) {
        for part in parts.iter() {
            self.schedules[part.index()].is_in_flight = false;
        }
    }

    fn is_stale(&self, part: Part) -> bool {
        let index = part.index();
        self.schedules[index].marked > self.knowledge[index].answered
    }

    /// Returns the parts that may have changed since they were asked for.
    pub(super) fn stale(&self) -> Parts {
        Part::ALL.iter().copied().filter(|part| self.is_stale(*part)).collect()
    }

    /// Returns the stamps that the parts must have reached to be current as of now.
    pub(super) fn target(&self) -> Target {
        Target(self.schedules.map(|schedule| schedule.marked))
    }

    /// Returns a view after a round, compared with the last one; `None` while parts that were asked
    /// for are stale again, for a few rounds, so that a view does not tear.
    pub(super) fn publish(&mut self, last: &View) -> Option<View> {
        let (mut is_settled, mut is_in_flight) = (true, false);
        for part in Part::ALL {
            let schedule = &self.schedules[part.index()];
            is_in_flight |= schedule.is_in_flight;
            is_settled &= !self.is_stale(*part) || schedule.failures > 0;
        }
        if self.is_connected && (is_in_flight || !is_settled) {
            self.unpublished += 1;
            if self.unpublished < PATIENT_ROUNDS {
                return None;
            }
        }
        self.unpublished = 0;
        let mut view = View {
            values: self.values.clone(),
            knowledge: self.knowledge.clone(),
            stale: self.stale(),
            number: self.number,
            connections: self.connections,
            is_connected: self.is_connected,
        };
        let is_same = last.is_connected == view.is_connected
            && last.connections == view.connections
            && last.stale == view.stale
            && last.differences(&view).next().is_none();
        if !is_same {
            self.number += 1;
            view.number = self.number;
        }
        Some(view)
    }
}

/// The stamps that the parts of a view must have reached.
#[derive(Clone, Debug)]
pub(super) struct Target([Stamp; COUNT]);

impl Target {
    /// Returns whether a view is current as of the moment of this target. Parts that cannot be asked
    /// for are left out if `lenient`.
    pub(super) fn is_reached(&self, view: &View, lenient: bool) -> bool {
        self.missing(view, lenient).is_empty()
    }

    /// Returns the parts that are not.
    pub(super) fn missing(&self, view: &View, lenient: bool) -> Parts {
        let is_missing = |part: &Part| {
            let knowledge = &view.knowledge[part.index()];
            knowledge.answered < self.0[part.index()] && !(lenient && knowledge.failure.is_some())
        };
        Part::ALL.iter().copied().filter(is_missing).collect()
    }
}

/// The shortest of several waits.
struct Wait {
    now: Instant,
    shortest: Duration,
}

impl Wait {
    fn until(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.shortest = self.shortest.min(at.saturating_duration_since(self.now));
        }
    }
}
