//! The executor: decides what happens next, and whether what happened is right.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmp_client::{Client, Options, runtime};

use super::Run;
use super::peer::Peer;
use super::program::{Program, Shared, listener};
use super::settings::{Ending, Plant, Settings};
use super::tasks::Task;
use super::time::{Timers, VirtualClock, now};
use super::wire::{SimulatedLink, Wire, lock};
use crate::random::Random;

/// The number of steps after which a run is taken for one that never ends.
const MOST_STEPS: u64 = 50_000;
/// The index of the driver's task.
const DRIVER: usize = 0;

struct World {
    random: Random,
    settings: Settings,
    shared: Rc<Shared>,
    timers: Arc<Mutex<Timers>>,
    tasks: Vec<Task>,
    /// A handle that the world keeps, for the ending and the statistics.
    client: Rc<RefCell<Option<Client>>>,
    steps: u64,
    trace: Option<Vec<String>>,
    plant: Option<Plant>,
}

/// Runs a seed to its end.
pub(crate) fn run(seed: u64, plant: Option<Plant>, trace: bool) -> Run {
    let mut world = World::new(seed, plant, trace);
    world.connect();
    world.work();
    world.end();
    let violation = world.shared.violation.take();
    let outcomes = *world.shared.outcomes.borrow();
    Run { seed, steps: world.steps, outcomes, violation, trace: world.trace.unwrap_or_default() }
}

impl World {
    fn new(seed: u64, plant: Option<Plant>, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings::new(&mut random);
        let mut wire = Wire::new(Random::new(random.next()), settings.window, settings.direct);
        wire.put_off = settings.put_off;
        wire.longest_read = settings.longest_read;
        wire.unaware = plant == Some(Plant::StaleEvent);
        wire.leaky = plant == Some(Plant::LostByte);
        let mut peer = Peer::new(Random::new(random.next()));
        peer.stalls = settings.stalls;
        peer.swaps = plant == Some(Plant::SwappedReplies);
        peer.forgets = plant == Some(Plant::LostEvent);
        let mut timers = Timers::default();
        timers.deaf = plant == Some(Plant::DeafTimer);
        let wire = Arc::new(Mutex::new(wire));
        let programs = Random::new(random.next());
        let shared = Shared::new(wire, peer, programs, settings.calm);
        let mut world = Self {
            random,
            settings,
            shared: Rc::new(shared),
            timers: Arc::new(Mutex::new(timers)),
            tasks: Vec::new(),
            client: Rc::default(),
            steps: 0,
            trace: trace.then(Vec::new),
            plant,
        };
        let settings = format!("{:?}", world.settings);
        world.note(|| settings);
        world
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{}: {}", self.steps, text()));
        }
    }

    fn add(
        &mut self,
        name: String,
        cancel: Arc<AtomicBool>,
        task: impl Future<Output = ()> + 'static,
    ) {
        let loses = if self.plant == Some(Plant::LostWake) { 7 } else { 0 };
        self.tasks.push(Task::new(name, cancel, loses, task));
        self.shared.waiting.borrow_mut().push(None);
    }

    /// Starts the driver, and waits for the client.
    fn connect(&mut self) {
        let options = Options::new()
            .event_capacity(self.settings.event_capacity)
            .greeting_within(Duration::MAX)
            .calls_within(Duration::MAX);
        let wire = Arc::clone(&self.shared.wire);
        self.shared.peer.borrow_mut().greet(&mut lock(&wire));
        let link = SimulatedLink::new(wire, self.settings.direct);
        let clock = VirtualClock::new(Arc::clone(&self.timers));
        let (connecting, driver) = runtime::start(link, clock, &options);
        self.add("driver".into(), Arc::default(), driver);
        let (client, shared) = (Rc::clone(&self.client), Rc::clone(&self.shared));
        self.add("connecting".into(), Arc::default(), async move {
            match connecting.await {
                Ok(connected) => *client.borrow_mut() = Some(connected),
                Err(error) => shared.violated(format!("connecting: {}", error.report())),
            }
        });
        while self.client.borrow().is_none() && self.step() {}
        let Some(client) = self.client.borrow().clone() else {
            return self.shared.violated("the client is not connected");
        };
        for number in 0..self.settings.listeners {
            let cancel = Arc::<AtomicBool>::default();
            let events = client.raw_events();
            let task = listener(Rc::clone(&self.shared), events, Arc::clone(&cancel));
            self.add(format!("listener {number}"), cancel, task);
        }
        for number in 0..self.settings.programs {
            let cancel = Arc::<AtomicBool>::default();
            let (shared, client, task) =
                (Rc::clone(&self.shared), client.clone(), self.tasks.len());
            let program = Program { shared, client, cancel: Arc::clone(&cancel), task };
            self.add(format!("program {number}"), cancel, program.run());
        }
    }

    fn is_violated(&self) -> bool {
        self.shared.violation.borrow().is_some()
    }

    fn programs_are_done(&self) -> bool {
        self.tasks.iter().filter(|task| task.name.starts_with("program")).all(Task::is_done)
    }

    /// Lets things happen until all programs have ended, or it is time for the end.
    fn work(&mut self) {
        while !self.is_violated() && !self.programs_are_done() && self.steps < self.settings.ends_at
        {
            if !self.step() {
                return;
            }
        }
    }

    /// Ends the connection: then everything must end.
    fn end(&mut self) {
        if self.is_violated() {
            return;
        }
        *self.shared.ending.borrow_mut() = true;
        let ending = self.settings.ending;
        self.note(|| format!("{ending:?}"));
        self.shared.peer.borrow_mut().is_left = true;
        let client = self.client.take();
        let kept = if ending == Ending::DropHandles { None } else { client.clone() };
        match ending {
            Ending::HangUp => {
                *self.shared.hung_up.borrow_mut() = true;
                let mut wire = lock(&self.shared.wire);
                self.shared.peer.borrow_mut().hang_up(&mut wire);
                let writer = wire.take_writer();
                drop(wire);
                writer.into_iter().for_each(std::task::Waker::wake);
            }
            Ending::Close => client.iter().for_each(Client::close),
            Ending::DropDriver => self.tasks[DRIVER].drop_future(),
            // Listeners are handles, too.
            Ending::DropHandles => self.tasks[1..].iter().for_each(Task::cancel),
        }
        drop(client);
        while !self.is_violated() && self.tasks.iter().any(|task| !task.is_done()) {
            if ending == Ending::DropHandles {
                let listeners = self.tasks.iter().filter(|task| task.name.starts_with("listener"));
                listeners.for_each(Task::cancel);
            }
            if !self.step() {
                let left = self.tasks.iter().filter(|task| !task.is_done());
                let left: Vec<&str> = left.map(|task| &*task.name).collect();
                self.shared.violated(format!("after the end, {left:?} wait forever"));
            }
        }
        if !self.is_violated() {
            self.check_end(kept.as_ref());
        }
    }

    /// Checks what is left when every task has ended.
    fn check_end(&self, kept: Option<&Client>) {
        if let Some(client) = kept {
            let (pending, stats) = (client.pending(), client.stats());
            let (calls, dropped) = (stats.calls, stats.dropped);
            if (dropped.garbage, dropped.foreign_replies) != (0, 0) {
                self.shared.violated(format!("dropped: {dropped:?}"));
            }
            if pending.calls != 0 || pending.subscriptions != 0 {
                self.shared.violated(format!("left behind: {pending:?}"));
            }
            if calls.in_flight != 0 || calls.submitted != calls.finished() {
                self.shared.violated(format!("calls without an outcome: {calls:?}"));
            }
        }
        let peer = self.shared.peer.borrow();
        for number in self.shared.unsent.borrow().iter() {
            if peer.count("echo", *number).0 > 0 {
                self.shared.violated(format!("command {number} was sent although it was dropped"));
            }
        }
        // Each `close` needs a reason, and in calm weather, each `open` and each guard its `close`.
        let complete = self.settings.calm && self.settings.ending == Ending::DropHandles;
        for number in self.shared.opened.borrow().iter() {
            let (opened, closed) = (peer.count("open", *number).1, peer.count("close", *number).0);
            if closed > opened || (complete && closed != opened) {
                let what = format!("{number} was opened {opened} times, closed {closed} times");
                self.shared.violated(what);
            }
        }
        for number in self.shared.guards.borrow().iter() {
            let closed = peer.count("close", *number).0;
            if complete && closed != 1 {
                self.shared.violated(format!("guard {number} was executed {closed} times"));
            }
        }
    }

    /// Does one thing. Returns false if nothing is left to happen.
    fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            self.shared.violated("the run does not end");
            return false;
        }
        lock(&self.shared.wire).now.step = self.steps;
        if let Some(complaint) = self.shared.peer.borrow().complaint.clone() {
            self.shared.violated(complaint);
            return false;
        }
        if self.interfere() || self.proceed() {
            return true;
        }
        self.check_rest();
        !self.is_violated() && self.let_time_pass()
    }

    /// Does what no task waits for, now and then.
    fn interfere(&mut self) -> bool {
        let is_connected = self.client.borrow().is_some();
        let is_ending = *self.shared.ending.borrow();
        if self.random.chance(self.settings.spurious) {
            let index = self.random.below(self.tasks.len());
            self.poll(index, "spurious poll");
            return true;
        }
        if !is_connected && !is_ending {
            return false;
        }
        if self.random.chance(self.settings.emits) && !is_ending {
            let name = if self.random.chance(500) { "POKED" } else { "TICK" };
            self.shared.peer.borrow_mut().emit(&mut lock(&self.shared.wire), name);
            self.note(|| "emit".into());
            return true;
        }
        if self.random.chance(self.settings.cancels) {
            let index = 1 + self.random.below(self.tasks.len() - 1);
            self.tasks[index].cancel();
            self.note(|| format!("cancel {index}"));
            return true;
        }
        if self.random.chance(self.settings.drops) {
            let index = 1 + self.random.below(self.tasks.len() - 1);
            self.tasks[index].drop_future();
            self.shared.waiting.borrow_mut()[index] = None;
            self.note(|| format!("drop {index}"));
            return true;
        }
        if self.random.chance(self.settings.hurry) {
            let by = Duration::from_millis(self.random.below(20_000) as u64);
            self.pass(by);
            return true;
        }
        false
    }

    fn poll(&mut self, index: usize, why: &str) {
        self.note(|| format!("{why} {index}"));
        self.tasks[index].poll(&mut self.random);
    }

    /// Does one of the things that are to be done. Returns false if there are none.
    fn proceed(&mut self) -> bool {
        let woken: Vec<usize> =
            (0..self.tasks.len()).filter(|index| self.tasks[*index].is_woken()).collect();
        let shared = Rc::clone(&self.shared);
        let mut wire = lock(&shared.wire);
        let mut peer = shared.peer.borrow_mut();
        let possible = [
            !woken.is_empty(),
            !wire.travelling.is_empty() && wire.open,
            wire.is_to_report(),
            !wire.outgoing.is_empty(),
            wire.is_writable(),
            peer.has_work(),
        ];
        let count = possible.iter().filter(|possible| **possible).count();
        if count == 0 {
            return false;
        }
        let chosen = self.random.below(count);
        let mut possible = (0..possible.len()).filter(|index| possible[*index]);
        match possible.nth(chosen) {
            Some(0) => {
                drop((wire, peer));
                let index = woken[self.random.below(woken.len())];
                self.poll(index, "poll");
            }
            Some(1) => wire.deliver(),
            Some(2) => {
                let reader = wire.report();
                drop(wire);
                reader.into_iter().for_each(std::task::Waker::wake);
            }
            Some(3) => peer.read(&mut wire),
            Some(4) => {
                let writer = wire.take_writer();
                drop(wire);
                writer.into_iter().for_each(std::task::Waker::wake);
            }
            _ => peer.answer(&mut wire),
        }
        if chosen > 0 || woken.is_empty() {
            self.note(|| format!("wire {chosen} of {count}"));
        }
        true
    }

    /// Checks that nothing could happen that does not: nothing is left to be done until time passes.
    fn check_rest(&mut self) {
        let late = |at: &std::time::Instant| *at <= now();
        for (index, at) in self.shared.waiting.borrow().iter().enumerate() {
            if at.as_ref().is_some_and(late) {
                let name = &self.tasks[index].name;
                self.shared.violated(format!("{name} waits beyond its deadline"));
            }
        }
        for index in 0..self.tasks.len() {
            let (before, armed) = (self.progress(index), lock(&self.timers).next());
            self.poll(index, "needless poll");
            let name = &self.tasks[index].name;
            if self.progress(index) != before {
                self.shared.violated(format!("a wake was lost: {name} was not polled"));
            }
            // A timer that is set only now would have been set too late.
            let sooner =
                lock(&self.timers).next().filter(|at| armed.is_none_or(|armed| *at < armed));
            if sooner.is_some() {
                self.shared.violated(format!("a timer was not set: {name} was not polled"));
            }
        }
    }

    fn progress(&self, index: usize) -> (bool, u64, u64) {
        let moved = lock(&self.shared.wire).moved;
        (self.tasks[index].is_done(), moved, *self.shared.progress.borrow())
    }

    /// Lets time pass until something happens. Returns false if nothing ever will.
    fn let_time_pass(&mut self) -> bool {
        let resumes = self.shared.peer.borrow().resumes();
        let deadlines = self.shared.waiting.borrow().iter().flatten().min().copied();
        let timers = lock(&self.timers).next();
        let Some(next) = [timers, resumes, deadlines].into_iter().flatten().min() else {
            return false;
        };
        let extra = Duration::from_millis(self.random.below(50) as u64);
        self.pass(next.saturating_duration_since(now()) + extra);
        true
    }

    fn pass(&mut self, by: Duration) {
        self.note(|| format!("{by:?} pass"));
        let late = lock(&self.timers).advance(by);
        late.into_iter().for_each(std::task::Waker::wake);
    }
}
