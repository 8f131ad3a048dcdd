//! Names of what lives in the connected machine, and its schema, for completion, hints, and the types
//! of arguments.
//!
//! ```text
//! a key ──> candidates of a kind ──known──> menu
//!                 └─not known, or old──> queue ──> a thread that asks ──> cache, and a wake-up
//! ```
//!
//! A machine that is silent blocks neither keys nor commands: what is not known is asked for in the
//! background, each question with a deadline, and the answer wakes the prompt.

mod ask;
mod names;

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::types::ObjectPropertyInfo;

use self::ask::{Found, Question};
use super::complete::{Candidate, Kind, Live};
use super::session::Peer;
use super::types::{Builtin, BuiltinAgent, Owner, Schema, Types};
use crate::reference::{self, Reference};

/// How long an answer is taken to be true.
const FRESH: Duration = Duration::from_secs(1);
/// How long an answer is taken to be true that hardly changes, such as the properties of a device
/// model.
const LASTING: Duration = Duration::from_secs(600);
/// The number of answers that are kept.
const ANSWERS: usize = 256;
/// The number of questions that may wait.
const QUESTIONS: usize = 16;

/// The connected machine, which is asked in the background. Clones share what is known.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Shared>);

struct Shared {
    peer: Peer,
    schema: OnceLock<Schema>,
    known: Mutex<Known>,
    /// Signaled with each answer.
    answered: Condvar,
    questions: SyncSender<Question>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<Question, Answer>,
    /// The questions that have been asked and not been answered.
    asked: HashSet<Question>,
    /// The number of times that something may have changed.
    changes: u64,
    /// Whether anything was asked for since this was looked at, and is still to come.
    pending: bool,
}

#[derive(Debug)]
struct Answer {
    found: Found,
    at: Instant,
    changes: u64,
}

impl Machine {
    /// Begins to learn about the machine. `wake` is called when an answer has come, and must not
    /// block. The thread that asks ends when the last clone is dropped.
    #[must_use]
    pub fn new(client: &Client, peer: Peer, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (questions, asked) = sync_channel(QUESTIONS);
        let machine = Self(Arc::new(Shared {
            peer,
            schema: OnceLock::new(),
            known: Mutex::default(),
            answered: Condvar::new(),
            questions,
            wake: Box::new(wake),
        }));
        let (shared, client) = (Arc::downgrade(&machine.0), client.clone());
        std::thread::spawn(move || {
            if let Some(shared) = shared.upgrade() {
                let schema = ask::schema(&client, shared.peer);
                shared.learn(schema);
            }
            while let Ok(question) = asked.recv() {
                let found = ask::ask(&client, &question).unwrap_or_default();
                let Some(shared) = shared.upgrade() else { return };
                shared.answer(question, found);
            }
        });
        machine
    }

    /// Returns whether the schema is known, so that nothing has to be decoded for it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.schema.get().is_some()
    }

    /// Notes that a command was executed or an event arrived: what is known may be wrong.
    pub fn changed(&self) {
        self.0.known().changes += 1;
    }

    /// Returns whether anything that was asked for is still to come, and forgets that.
    #[must_use]
    pub fn take_pending(&self) -> bool {
        std::mem::take(&mut self.0.known().pending)
    }

    /// Returns the types for the execution of commands, for which it may be waited a little: a
    /// property that is not known is taken for what it looks like.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Patient {
        Patient { machine: self.clone(), patience }
    }

    fn find(&self, question: Question) -> Found {
        let mut known = self.0.known();
        let changes = known.changes;
        let lasting = question.is_lasting();
        let (found, fresh) = match known.answers.get(&question) {
            Some(Answer { found, at, .. }) if lasting => (found.clone(), at.elapsed() < LASTING),
            Some(answer) => {
                let unchanged = answer.changes == changes && answer.at.elapsed() < FRESH;
                (answer.found.clone(), unchanged)
            }
            None => (Found::default(), false),
        };
        if fresh {
            return found;
        }
        known.pending = true;
        // With a full queue, the machine is asked when this is wanted the next time.
        if !known.asked.contains(&question) && self.0.questions.try_send(question.clone()).is_ok() {
            known.asked.insert(question);
        }
        found
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, schema: Schema) {
        let _ = self.schema.set(schema);
        (self.wake)();
    }

    fn answer(&self, question: Question, found: Found) {
        let mut known = self.known();
        known.asked.remove(&question);
        if known.answers.len() >= ANSWERS {
            known.answers.clear();
        }
        let changes = known.changes;
        known.answers.insert(question, Answer { found, at: Instant::now(), changes });
        drop(known);
        self.answered.notify_all();
        (self.wake)();
    }
}

impl Live for Machine {
    fn candidates(&self, kind: Kind<'_>) -> Vec<Candidate> {
        if let Some(settings) = names::settings(kind) {
            return settings;
        }
        match Question::about(kind) {
            // An agent knows none of these.
            Some(question) if self.0.peer == Peer::Monitor => {
                self.find(question).candidates.to_vec()
            }
            _ => Vec::new(),
        }
    }
}

impl Types for Machine {
    fn schema(&self) -> &Schema {
        match (self.0.schema.get(), self.0.peer) {
            (Some(schema), _) => schema,
            (None, Peer::Monitor) => Builtin.schema(),
            (None, Peer::Agent) => BuiltinAgent.schema(),
        }
    }

    fn properties(&self, of: Owner<'_>) -> Option<Arc<[ObjectPropertyInfo]>> {
        let question = Question::of(of).filter(|_| self.0.peer == Peer::Monitor)?;
        self.find(question).properties
    }

    fn reference(&self) -> &'static Reference {
        match self.0.peer {
            Peer::Monitor => &reference::MONITOR,
            Peer::Agent => &reference::AGENT,
        }
    }
}

/// The types of the machine, for which it may be waited a little.
#[derive(Clone, Debug)]
pub struct Patient {
    machine: Machine,
    patience: Duration,
}

impl Types for Patient {
    fn schema(&self) -> &Schema {
        self.machine.schema()
    }

    fn properties(&self, of: Owner<'_>) -> Option<Arc<[ObjectPropertyInfo]>> {
        let found = self.machine.properties(of);
        let question = Question::of(of)?;
        if found.is_some() || self.machine.0.peer != Peer::Monitor {
            return found;
        }
        let shared = &self.machine.0;
        let waited = shared.answered.wait_timeout_while(shared.known(), self.patience, |known| {
            known.asked.contains(&question)
        });
        let (known, _) = waited.unwrap_or_else(PoisonError::into_inner);
        known.answers.get(&question)?.found.properties.clone()
    }

    fn reference(&self) -> &'static Reference {
        self.machine.reference()
    }
}

#[cfg(all(test, unix))]
mod tests;
