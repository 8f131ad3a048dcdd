//! A deterministic simulation of the asynchronous client: its own executor, socket, clock and peer.
//!
//! A seed decides everything: the programs and what they execute, when which task is polled, how many
//! bytes a read or a write moves, when the runtime reports what has arrived, when the peer answers,
//! stalls or hangs up, which future is dropped, and when time passes. The same seed gives the same run.
//!
//! ```text
//!   programs (echo, tickets, events, guards) ── Client
//!                                                 │
//!   scheduler ── polls, spurious polls, drops ── Driver ── SimulatedLink ── Wire ── Peer
//!            └── delivers, reports, answers, lets time pass ── VirtualClock
//! ```
//!
//! What must hold, in every run:
//!
//! - An answer is the right one, and an error is true: a refusal has the words of its own command, a
//!   deadline has passed, and a connection that is reported as ended has ended.
//! - No wake is lost: when nothing is left to do, no task makes progress if it is polled anyway.
//! - No deadline is missed: when nothing is left to do, none has passed.
//! - Each command is sent at most once, and not at all if it was dropped while it was queued. At most
//!   eight in-band commands are in flight.
//! - No event is missing or comes twice, unless that is reported; and none that had arrived before a
//!   command was sent is taken for its effect.
//! - What was opened is closed again, whatever is dropped.
//! - In the end every task ends, and the statistics account for every call.
//!
//! In some runs the peer never pauses, and the runtime rarely looks at its sockets and timers (`flood`).

mod flood;
mod peer;
mod program;
mod scheduler;
mod settings;
mod tasks;
mod time;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use program::Outcomes;
pub use settings::Plant;

/// One in this many runs has a peer that never pauses.
const FLOODS: u64 = 64;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The number of steps that the scheduler took.
    pub steps: u64,
    /// The number of operations by outcome.
    pub outcomes: Outcomes,
    /// The rule that did not hold, and how.
    pub violation: Option<String>,
    /// The steps, if they were asked for.
    pub trace: Vec<String>,
}

/// Simulates the connection of a seed, with a fault that is planted, or with none.
#[must_use]
pub fn simulate(seed: u64, plant: Option<Plant>, trace: bool) -> Run {
    let floods = match plant {
        None => seed % FLOODS == 7,
        Some(plant) => plant == Plant::LateWake,
    };
    let run = if floods { flood::run } else { scheduler::run };
    let result = catch_unwind(AssertUnwindSafe(|| run(seed, plant, trace)));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
        let violation = Some(format!("panic: {}", text.unwrap_or_default()));
        let outcomes = Outcomes::default();
        Run { seed, steps: 0, outcomes, violation, trace: Vec::new() }
    })
}

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The number of runs.
    pub runs: u64,
    /// The number of steps in all of them.
    pub steps: u64,
    /// The number of operations by outcome, in all of them.
    pub outcomes: Outcomes,
    /// The runs in which something did not hold.
    pub failed: Vec<Run>,
}

impl Summary {
    fn add(&mut self, run: Run) {
        self.runs += 1;
        self.steps += run.steps;
        let (sum, more) = (&mut self.outcomes, run.outcomes);
        sum.answered += more.answered;
        sum.refused += more.refused;
        sum.timed_out += more.timed_out;
        sum.canceled += more.canceled;
        sum.closed += more.closed;
        sum.events += more.events;
        sum.lagged += more.lagged;
        if run.violation.is_some() {
            self.failed.push(run);
        }
    }

    fn merge(&mut self, other: Self) {
        self.add(Run {
            seed: 0,
            steps: other.steps,
            outcomes: other.outcomes,
            violation: None,
            trace: Vec::new(),
        });
        self.runs += other.runs - 1;
        self.failed.extend(other.failed);
    }
}

/// Simulates the connections of many seeds, on all processors.
#[must_use]
pub fn simulate_all(seeds: std::ops::Range<u64>, plant: Option<Plant>) -> Summary {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let part = |thread: u64| {
        let mut summary = Summary::default();
        let own = seeds.clone().skip(thread as usize).step_by(threads as usize);
        own.for_each(|seed| summary.add(simulate(seed, plant, false)));
        summary
    };
    let mut all = Summary::default();
    std::thread::scope(|scope| {
        let part = &part;
        let handles: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).for_each(|one| all.merge(one));
    });
    all
}
