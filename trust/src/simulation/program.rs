//! The programs that use the client, and check what they get.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qmp_client::{Client, Error, Events, Raw, RawEvent};
use serde_json::{Value, json};

use super::peer::{IN_FLIGHT, Peer};
use super::tasks::until_canceled;
use super::time::now;
use super::wire::{Wire, lock};
use crate::random::Random;

/// The number of reads without a pause after which a client sends its commands all the same.
const MOST_READS: u64 = 256;

/// The state that the programs of one connection share.
pub(crate) struct Shared {
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) peer: RefCell<Peer>,
    pub(crate) random: RefCell<Random>,
    next_number: RefCell<u64>,
    pub(crate) violation: RefCell<Option<String>>,
    /// The deadlines of the operations that are waiting, by the number of their task.
    pub(crate) waiting: RefCell<Vec<Option<Instant>>>,
    /// The number of things that have happened in programs: their progress.
    pub(crate) progress: RefCell<u64>,
    /// Commands that are to be undone: `open` of this number was executed, or may have been.
    pub(crate) opened: RefCell<Vec<u64>>,
    /// Guards that were dropped: `close` of this number is to be executed.
    pub(crate) guards: RefCell<Vec<u64>>,
    /// Commands that were dropped while they were queued: they are not to be sent.
    pub(crate) unsent: RefCell<Vec<u64>>,
    pub(crate) outcomes: RefCell<Outcomes>,
    /// Whether every call has to succeed unless it is canceled: the peer neither stalls nor ends.
    pub(crate) calm: bool,
    pub(crate) ending: RefCell<bool>,
    /// Whether the peer has closed the connection in order, so that everything it sent arrives.
    pub(crate) hung_up: RefCell<bool>,
}

/// The number of operations by outcome.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Outcomes {
    /// Right answers.
    pub answered: u64,
    /// Refusals by the server, each in its own words.
    pub refused: u64,
    /// Deadlines.
    pub timed_out: u64,
    /// Operations whose future or ticket was dropped.
    pub canceled: u64,
    /// Operations that the end of the connection has ended.
    pub closed: u64,
    /// Events.
    pub events: u64,
    /// Events that were reported as dropped.
    pub lagged: u64,
}

impl Shared {
    pub(crate) fn new(wire: Arc<Mutex<Wire>>, peer: Peer, random: Random, calm: bool) -> Self {
        Self {
            wire,
            peer: RefCell::new(peer),
            random: RefCell::new(random),
            next_number: RefCell::new(0),
            violation: RefCell::new(None),
            waiting: RefCell::new(Vec::new()),
            progress: RefCell::new(0),
            opened: RefCell::new(Vec::new()),
            guards: RefCell::new(Vec::new()),
            unsent: RefCell::new(Vec::new()),
            outcomes: RefCell::new(Outcomes::default()),
            calm,
            ending: RefCell::new(false),
            hung_up: RefCell::new(false),
        }
    }

    pub(crate) fn violated(&self, what: impl Into<String>) {
        self.violation.borrow_mut().get_or_insert(what.into());
    }

    fn number(&self) -> u64 {
        let mut next = self.next_number.borrow_mut();
        *next += 1;
        *next
    }

    fn below(&self, end: usize) -> usize {
        self.random.borrow_mut().below(end)
    }

    fn tally(&self, count: impl FnOnce(&mut Outcomes)) {
        count(&mut self.outcomes.borrow_mut());
        *self.progress.borrow_mut() += 1;
    }
}

/// A program, which is a task.
pub(crate) struct Program {
    pub(crate) shared: Rc<Shared>,
    pub(crate) client: Client,
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) task: usize,
}

type Result<T> = std::result::Result<T, Error>;

fn command(name: &'static str, number: u64) -> Raw {
    Raw::new(name).arguments(&json!({"n": number}))
}

fn seq(event: &RawEvent) -> Option<u64> {
    let data: Value = serde_json::from_str(event.data.as_ref()?.get()).ok()?;
    data["seq"].as_u64()
}

impl Program {
    /// Performs some operations, one after the other.
    pub(crate) async fn run(self) {
        let mut guards = Vec::new();
        for _ in 0..1 + self.shared.below(5) {
            if *self.shared.ending.borrow() {
                break;
            }
            let number = self.shared.number();
            match self.shared.below(11) {
                0 | 1 => self.echo(number).await,
                2 => self.ticket(number).await,
                3 => self.refused(number).await,
                4 | 9 => self.poke(number).await,
                5 | 6 => guards.extend(self.open(number).await),
                7 => self.out_of_band(number).await,
                8 => self.listen().await,
                _ => self.guard(number),
            }
            *self.shared.progress.borrow_mut() += 1;
        }
    }

    fn within(&self) -> Duration {
        match self.shared.below(3) {
            0 => Duration::MAX,
            _ => Duration::from_secs(1 + self.shared.below(30) as u64),
        }
    }

    /// Waits for a future, unless it is canceled, and records its deadline meanwhile.
    async fn wait<T>(&self, within: Duration, future: impl Future<Output = T>) -> Option<T> {
        self.shared.waiting.borrow_mut()[self.task] = now().checked_add(within);
        let result = until_canceled(&self.cancel, future).await;
        self.shared.waiting.borrow_mut()[self.task] = None;
        if result.is_none() {
            self.shared.tally(|outcomes| outcomes.canceled += 1);
        }
        result
    }

    /// Checks the answer to a command, and counts it.
    fn check(&self, number: u64, begin: Instant, within: Duration, answer: Result<Value>) {
        let shared = &self.shared;
        match answer {
            Ok(value) if value["n"] == number => shared.tally(|outcomes| outcomes.answered += 1),
            Ok(value) => shared.violated(format!("the reply to command {number} is {value}")),
            Err(error) => self.check_error(number, begin, within, &error),
        }
    }

    fn check_error(&self, number: u64, begin: Instant, within: Duration, error: &Error) {
        let shared = &self.shared;
        match error {
            Error::Server(server) if server.error.desc == format!("refused {number}") => {
                shared.tally(|outcomes| outcomes.refused += 1);
            }
            Error::Timeout(_) if shared.calm => {
                shared.violated(format!("command {number}, which was answered: {error}"));
            }
            Error::Timeout(_) if begin.checked_add(within).is_some_and(|at| at <= now()) => {
                shared.tally(|outcomes| outcomes.timed_out += 1);
            }
            Error::Timeout(_) => {
                shared.violated(format!("command {number} timed out too early: {error}"));
            }
            Error::Closed(_) if *shared.ending.borrow() => {
                shared.tally(|outcomes| outcomes.closed += 1);
            }
            _ => shared.violated(format!("command {number}: {}", error.report())),
        }
    }

    async fn echo(&self, number: u64) {
        let (begin, within) = (now(), self.within());
        let call = self.client.call(command("echo", number)).within(within).execute();
        if let Some(answer) = self.wait(within, call).await {
            self.check(number, begin, within, answer);
        }
    }

    async fn out_of_band(&self, number: u64) {
        let (begin, within) = (now(), self.within());
        let request = command("echo", number).out_of_band();
        let call = self.client.call(request).within(within).execute();
        if let Some(answer) = self.wait(within, call).await {
            self.check(number, begin, within, answer);
        }
    }

    async fn refused(&self, number: u64) {
        let (begin, within) = (now(), self.within());
        let call = self.client.call(command("refuse", number)).within(within).execute();
        if let Some(answer) = self.wait(within, call).await {
            if let Ok(value) = &answer {
                self.shared.violated(format!("the refusal of command {number} is {value}"));
            }
            self.check(number, begin, within, answer);
        }
    }

    /// Sends several commands at once, and drops some of the tickets.
    async fn ticket(&self, number: u64) {
        let (begin, within) = (now(), self.within());
        let mut tickets = Vec::new();
        for turn in 0..1 + self.shared.below(12) {
            let number = if turn == 0 { number } else { self.shared.number() };
            match self.client.call(command("echo", number)).within(within).send() {
                Ok(ticket) => tickets.push((number, ticket)),
                Err(error) => self.check_error(number, begin, within, &error),
            }
        }
        // Eight are in flight at most, so that the others are queued: dropped now, they are not sent.
        if tickets.len() > IN_FLIGHT && self.shared.below(2) == 0 {
            for (number, ticket) in tickets.drain(IN_FLIGHT..) {
                drop(ticket);
                self.shared.unsent.borrow_mut().push(number);
                self.shared.tally(|outcomes| outcomes.canceled += 1);
            }
        }
        while !tickets.is_empty() {
            let (number, ticket) = tickets.swap_remove(self.shared.below(tickets.len()));
            if self.shared.below(4) == 0 {
                drop(ticket);
                self.shared.tally(|outcomes| outcomes.canceled += 1);
            } else if let Some(answer) = self.wait(within, ticket.receive()).await {
                self.check(number, begin, within, answer);
            }
        }
    }

    /// Waits for an event that a command causes. One that had arrived before is not its effect.
    async fn poke(&self, number: u64) {
        let (begin, within) = (now(), self.within());
        let wanted = |event: &RawEvent| (&*event.name == "POKED").then(|| seq(event)).flatten();
        let call = self.client.call(command("poke", number)).within(within).until_some(wanted);
        match self.wait(within, call).await {
            None => {}
            Some(Ok((value, event))) => {
                self.check(number, begin, within, Ok(value));
                let peer = self.shared.peer.borrow();
                let sent = peer.log.iter().find(|one| one.name == "poke" && one.number == number);
                let wire = lock(&self.shared.wire);
                let arrived = wire.arrived.iter().find(|(seq, _)| *seq == event);
                match (sent, arrived) {
                    (Some(sent), Some((_, arrived)))
                        if arrived.step >= sent.offered.step
                            || sent.offered.reads >= MOST_READS => {}
                    _ => {
                        let what = format!("event {event} ({arrived:?}) preceded {sent:?}");
                        self.shared.violated(what);
                    }
                }
            }
            // The queue of events is small in some seeds.
            Some(Err(Error::Lagged(_))) => self.shared.tally(|outcomes| outcomes.lagged += 1),
            Some(Err(error)) => self.check_error(number, begin, within, &error),
        }
    }

    /// Executes a command that is undone when its guard, or its future, is dropped.
    async fn open(&self, number: u64) -> Option<qmp_client::Undo<Raw>> {
        let (begin, within) = (now(), self.within());
        self.shared.opened.borrow_mut().push(number);
        let call = self.client.call(command("open", number)).within(within);
        let undo = move |opened: std::result::Result<&Value, &Error>| {
            opened.ok().map(|_| command("close", number))
        };
        let (value, guard) = match self.wait(within, call.execute_undoable(undo)).await? {
            Ok(opened) => opened,
            Err(error) => {
                self.check_error(number, begin, within, &error);
                return None;
            }
        };
        self.check(number, begin, within, Ok(value));
        match self.shared.below(3) {
            0 => return Some(guard),
            1 => drop(guard),
            _ => {
                let begin = now();
                match self.wait(within, guard.run()).await {
                    None => {}
                    Some(Ok(value)) => {
                        self.check(number, begin, within, Ok(value.unwrap_or_default()));
                    }
                    Some(Err(error)) => self.check_error(number, begin, within, &error),
                }
            }
        }
        None
    }

    /// Creates a guard and drops it.
    fn guard(&self, number: u64) {
        drop(self.client.call(command("close", number)).guard());
        self.shared.guards.borrow_mut().push(number);
    }

    /// Waits for one event, for a while.
    async fn listen(&self) {
        let within = Duration::from_secs(1 + self.shared.below(10) as u64);
        let begin = now();
        let mut events = self.client.raw_events();
        match self.wait(within, events.next_within(within)).await {
            Some(Some(Ok(_))) => self.shared.tally(|outcomes| outcomes.events += 1),
            Some(Some(Err(error))) if error.is_timeout() && begin + within <= now() => {
                self.shared.tally(|outcomes| outcomes.timed_out += 1);
            }
            Some(Some(Err(Error::Lagged(_)))) => {}
            Some(Some(Err(Error::Closed(_)))) if *self.shared.ending.borrow() => {}
            Some(other) => self.shared.violated(format!("waiting for an event: {other:?}")),
            None => {}
        }
    }
}

/// Takes every event until the connection ends: none is missing, unless that is reported.
pub(crate) async fn listener(shared: Rc<Shared>, mut events: Events, cancel: Arc<AtomicBool>) {
    let mut expected = None;
    // Events that were dropped before the first one was taken.
    let mut skipped = 0;
    let first = shared.peer.borrow().next_event;
    loop {
        let item = match until_canceled(&cancel, events.next()).await {
            Some(item) => item,
            None if *shared.ending.borrow() => return,
            // No event is lost when the future is dropped.
            None => continue,
        };
        match item {
            Some(Ok(event)) => {
                let Some(seq) = seq(&event) else { return shared.violated("damaged event") };
                let known = expected.unwrap_or(seq);
                if seq != known || (expected.is_none() && seq > first + skipped) {
                    return shared.violated(format!("event {seq} instead of {known} ({first})"));
                }
                expected = Some(seq + 1);
                shared.tally(|outcomes| outcomes.events += 1);
            }
            Some(Err(Error::Lagged(count))) => {
                match &mut expected {
                    Some(expected) => *expected += count,
                    None => skipped += count,
                }
                shared.tally(|outcomes| outcomes.lagged += count);
            }
            Some(Err(Error::Closed(_))) if *shared.ending.borrow() => {
                let emitted = shared.peer.borrow().next_event;
                let is_known = *shared.hung_up.borrow() && skipped == 0;
                if is_known && expected.unwrap_or(first) < emitted {
                    shared.violated(format!("the events end with {expected:?} of {emitted}"));
                }
                return;
            }
            other => return shared.violated(format!("an event: {other:?}")),
        }
    }
}
