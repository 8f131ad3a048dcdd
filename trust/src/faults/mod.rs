//! Faults at every byte of recorded sessions, on every front end.
//!
//! A [session](Session) is played with a server in memory, and a [fault](Fault) is injected at one
//! position: in what the server sends, or in what it receives. The client executes the commands of the
//! session, one after the other or all at once.
//!
//! ```text
//! recording ──> Session ──> Stream (server, fault) <──> blocking, tokio, futures-io
//!                  │                  │ what was sent             │ what came of it
//!                  └──────────────> verdict <─────────────────────┘
//! ```
//!
//! What must hold:
//!
//! - Each call gets its right answer, or an error. A value that is not the recorded one must have been
//!   sent with the id of its own call.
//! - The error is true: one of the server's was sent; a deadline has passed; a connection that is
//!   reported as ended was ended by the fault. It names the call's own command.
//! - A call whose bytes the fault does not touch succeeds, also after the fault.
//! - Nothing hangs, nothing panics, and no call is left without an outcome.

mod fault;
mod fronts;
mod session;
mod stream;
mod verdict;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qmp_client::{Error, Options, Pending, Stats};
use serde_json::Value;

pub use fault::Fault;
pub use session::Session;

/// The deadline of calls that cannot be expected to succeed.
const SOON: Duration = Duration::from_millis(8);
/// The deadline of calls that must succeed: longer than any of them takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A front end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Front {
    /// The client that blocks its threads.
    Blocking,
    /// The asynchronous client on tokio, whose time is paused: deadlines cost nothing.
    Tokio,
    /// The asynchronous client on streams of `futures-io`.
    FuturesIo,
}

impl Front {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Blocking, Self::Tokio, Self::FuturesIo];
}

/// A session with a fault, on a front end.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The session.
    pub session: Arc<Session>,
    /// The front end.
    pub front: Front,
    /// Whether all commands are sent at once.
    pub pipelined: bool,
    /// The fault, and its position.
    pub fault: Option<(Fault, u64)>,
}

impl Plan {
    fn within(&self) -> Duration {
        match self.fault {
            Some((fault, _)) if fault.may_take_time() => SOON,
            _ => PATIENCE,
        }
    }

    fn options(&self) -> Options {
        let within = self.within();
        // An agent is asked again after a second.
        let greeting = if self.session.is_agent { within * 2 } else { within };
        self.session.options().calls_within(within).greeting_within(greeting)
    }
}

/// The results of a plan.
#[derive(Debug, Default)]
struct Played {
    /// The error of the connection attempt, if it failed.
    refused: Option<Error>,
    /// The results of the calls, and how long each took.
    calls: Vec<(Result<Value, Error>, Duration)>,
    events: Vec<String>,
    pending: Pending,
    stats: Stats,
    struck: bool,
    lengths: (u64, u64),
    received: Vec<stream::Received>,
    sent: Vec<u8>,
}

impl Played {
    /// Returns whether the calls that are left would only fail in the same way.
    fn is_hopeless(&self) -> bool {
        let is_lost = |(result, _): &(Result<Value, Error>, Duration)| {
            result.as_ref().is_err_and(|error| error.is_timeout() || error.is_closed())
        };
        self.calls.len() >= 2 && self.calls[self.calls.len() - 2..].iter().all(is_lost)
    }
}

/// The consequence of a fault.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// Every call got its right answer.
    AllRight,
    /// Calls have failed, each with an error that is true, or have a value that was damaged on its way.
    SomeFailed,
    /// The connection has ended.
    Closed,
    /// The greeting or the negotiation was affected, and connecting failed.
    NoClient,
}

/// Plays a plan, and judges what came of it.
///
/// # Errors
/// Describes what did not hold.
pub fn play(plan: &Plan) -> Result<Outcome, String> {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let played = fronts::play(plan);
        verdict::judge(plan, &played)
    }));
    judged.unwrap_or_else(|panic| Err(format!("panic: {:?}", panic.downcast_ref::<String>())))
}

/// Returns the number of bytes that the server sends and receives in a session without a fault.
#[must_use]
pub fn lengths(session: &Arc<Session>) -> (u64, u64) {
    let session = Arc::clone(session);
    fronts::play(&Plan { session, front: Front::Tokio, pipelined: false, fault: None }).lengths
}

/// The sum of many plans.
#[derive(Debug, Default)]
pub struct Summary {
    /// The number of outcomes, by session, front end and kind of fault.
    pub outcomes: BTreeMap<(&'static str, Front, &'static str), BTreeMap<Outcome, u64>>,
    /// The number of positions.
    pub positions: u64,
    /// The plans that violated a rule, and how.
    pub violations: Vec<(Plan, String)>,
}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Front {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

impl Summary {
    /// Returns the number of plans that were played.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.outcomes.values().flat_map(BTreeMap::values).sum::<u64>()
            + self.violations.len() as u64
    }

    /// Returns the number of plans with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.values().filter_map(|counts| counts.get(&outcome)).sum()
    }
}

/// Returns the plans of a session: every fault at every `step`th position, on every front end.
fn plans(session: &Arc<Session>, step: u64, summary: &mut Summary) -> Vec<Plan> {
    let (sent, received) = lengths(session);
    summary.positions += sent + received;
    let mut plans = Vec::new();
    for (number, fault) in Fault::all().into_iter().enumerate() {
        // Without ids, the second line cannot be told from the answer to the next command.
        if fault == Fault::DoubleLine && session.is_agent {
            continue;
        }
        let length = if fault.is_for_writes() { received } else { sent };
        // Each fault begins elsewhere, so that a few of them together are everywhere.
        for position in (number as u64 % step..length).step_by(step as usize) {
            for front in Front::ALL {
                for pipelined in [false, true] {
                    let session = Arc::clone(session);
                    plans.push(Plan { session, front, pipelined, fault: Some((fault, position)) });
                }
            }
        }
    }
    plans
}

/// Injects every fault at every `step`th position of the recorded sessions, on every front end.
#[must_use]
pub fn inject_all(step: u64) -> Summary {
    let mut summary = Summary::default();
    let sessions = Session::recorded().into_iter().map(Arc::new);
    let plans: Vec<Plan> =
        sessions.flat_map(|session| plans(&session, step, &mut summary)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((plan, play(plan)));
        }
        done
    };
    // Most of them wait.
    let threads = 8 * std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for (plan, result) in handles.into_iter().filter_map(|handle| handle.join().ok()).flatten()
        {
            let Some((fault, _)) = plan.fault else { continue };
            match result {
                Ok(outcome) => {
                    let key = (plan.session.name, plan.front, fault.kind());
                    *summary.outcomes.entry(key).or_default().entry(outcome).or_default() += 1;
                }
                Err(violation) => summary.violations.push((plan.clone(), violation)),
            }
        }
    });
    summary
}
