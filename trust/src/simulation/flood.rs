//! A peer that never pauses, and a runtime that rarely looks.
//!
//! In the other runs anything may happen next, and so a driver always gets its turn. Here tasks are polled
//! as a runtime polls them: those that are woken at once, one after the other, and only after some polls,
//! or if none is left, it *looks*: other programs have a turn, which takes a while, sockets and timers are
//! reported, and tasks that have yielded are woken. The peer always has sent more by then.
//!
//! What must hold: no deadline passes by more than a few looks, however much arrives.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qmp_client::runtime::{self, Clock, Link, Sender};
use qmp_client::{Client, Error, Options, Raw};
use serde_json::{Value, json};

use super::peer::GREETING;
use super::tasks::Task;
use super::time::{now, pass};
use super::wire::lock;
use super::{Outcomes, Plant, Run};
use crate::random::Random;

/// The number of polls after which the runtime looks, as tokio does.
const POLLS: u32 = 61;
/// The number of looks by which a deadline may pass.
const LATE: u64 = 10;
/// The number of looks after which a run is taken for one that never ends.
const MOST_LOOKS: u64 = 5_000;
/// The bytes that a socket holds.
const CAPACITY: usize = 208 * 1024;
/// The bytes that a read gives at most.
const LONGEST_READ: usize = 64 * 1024;
/// The time that a poll takes.
const POLL: Duration = Duration::from_micros(20);
const DRIVER: usize = 0;

/// The messages without end, none of which concerns a command.
const MESSAGES: [&str; 4] = [
    "\r\n",
    "{\"return\": 7, \"id\": \"libvirt-7\"}\r\n",
    "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"TICK\"}\r\n",
    "{\"event\": \"TICK\", \"data\": {}}\n",
];

/// A socket, the peer at its other end, and the part of the runtime that looks at both.
#[derive(Debug)]
struct World {
    random: Random,
    /// A message, as often as it fits into a read.
    messages: Vec<u8>,
    /// The length of one, and the position in the one that arrives.
    length: usize,
    position: usize,
    /// Sent before the next message.
    said: VecDeque<u8>,
    /// The number of bytes that have arrived and have not been read.
    arrived: usize,
    /// The number of bytes that arrive while the client reads, and at most while the runtime looks.
    trickle: usize,
    burst: usize,
    /// Whether the peer sends without end.
    floods: bool,
    /// Whether the runtime knows that something has arrived.
    reported: bool,
    reader: Option<Waker>,
    line: Vec<u8>,
    /// The ids of the commands that have been received.
    commands: Vec<Value>,
    /// The last moment at which the runtime looked.
    looked: Instant,
    timers: Vec<(Instant, Waker)>,
    /// The tasks that have yielded.
    yielded: Vec<Waker>,
    looks: u64,
}

type Shared = Arc<Mutex<World>>;

impl World {
    fn new(mut random: Random) -> Self {
        let message = MESSAGES[random.below(MESSAGES.len())];
        // An endless stream takes long to simulate.
        let [trickle, burst] = [(); 2].map(|()| match random.below(32) {
            0 => CAPACITY,
            rare => [1, 100, 2_000][rare % 3],
        });
        Self {
            random,
            messages: message.repeat(LONGEST_READ / message.len() + 2).into_bytes(),
            length: message.len(),
            position: 0,
            said: VecDeque::new(),
            arrived: 0,
            trickle,
            burst,
            floods: false,
            reported: false,
            reader: None,
            line: Vec::new(),
            commands: Vec::new(),
            looked: now(),
            timers: Vec::new(),
            yielded: Vec::new(),
            looks: 0,
        }
    }

    fn say(&mut self, message: &str) {
        self.said.extend(message.as_bytes());
        self.said.extend(b"\r\n");
        self.arrive(self.said.len());
    }

    fn arrive(&mut self, count: usize) {
        self.arrived = (self.arrived + count).min(CAPACITY);
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.arrived.min(buffer.len()).min(LONGEST_READ);
        let (mut filled, mut said) = (0, &mut self.said);
        while filled < count {
            // Between two messages the peer says what it has to say.
            let place = &mut buffer[filled..count];
            let copied = if self.position == 0 && !said.is_empty() {
                io::Read::read(&mut said, place).unwrap_or_default()
            } else {
                let whole = if said.is_empty() { place.len() } else { self.length - self.position };
                let copied = whole.min(place.len());
                place[..copied].copy_from_slice(&self.messages[self.position..][..copied]);
                self.position = (self.position + copied) % self.length;
                copied
            };
            filled += copied;
        }
        self.arrived -= count;
        if self.floods {
            self.arrive(self.trickle);
        }
        // A runtime that sees a short read waits for the next report.
        self.reported = count == buffer.len().min(LONGEST_READ);
        count
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.line.push(*byte);
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let command = serde_json::from_slice::<Value>(&line).unwrap_or_default();
                self.receive(&command);
            }
        }
    }

    fn receive(&mut self, command: &Value) {
        let id = command["id"].clone();
        if command["execute"] == "qmp_capabilities" {
            return self.say(&json!({"return": {}, "id": id}).to_string());
        }
        self.floods = true;
        self.arrive(1);
        self.commands.push(id);
    }

    /// Lets others have a turn, and reports what has happened meanwhile.
    #[must_use = "the tasks are to be woken"]
    fn look(&mut self) -> Vec<Waker> {
        self.looks += 1;
        pass(Duration::from_millis(1 + self.random.below(20) as u64));
        if self.floods {
            let count = 1 + self.random.below(self.burst);
            self.arrive(count);
        }
        if !self.commands.is_empty() && self.random.chance(10) {
            let id = self.commands.swap_remove(self.random.below(self.commands.len()));
            self.say(&json!({"return": {}, "id": id}).to_string());
        }
        self.looked = now();
        let (due, timers) =
            std::mem::take(&mut self.timers).into_iter().partition(|(at, _)| *at <= self.looked);
        self.timers = timers;
        let due: Vec<(Instant, Waker)> = due;
        let mut woken: Vec<Waker> = due.into_iter().map(|(_, waker)| waker).collect();
        woken.append(&mut self.yielded);
        if self.arrived > 0 {
            self.reported = true;
            woken.extend(self.reader.take());
        }
        woken
    }
}

struct Socket(Shared);

impl Link for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut world = lock(&self.0);
        if !world.reported || world.arrived == 0 {
            world.reported = false;
            world.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(world.read(buffer)))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn sender(&self) -> Option<Arc<dyn Sender>> {
        Some(Arc::new(Sending(Arc::clone(&self.0))))
    }

    fn has_arrived(&self) -> bool {
        lock(&self.0).arrived > 0
    }
}

struct Sending(Shared);

impl Sender for Sending {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes);
        Ok(bytes.len())
    }
}

/// A timer that fires when the runtime looks.
struct Timer(Shared);

impl Clock for Timer {
    fn now() -> Instant {
        now()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let mut world = lock(&self.0);
        world.timers.clear();
        if at <= world.looked {
            return Poll::Ready(());
        }
        world.timers.push((at, cx.waker().clone()));
        Poll::Pending
    }

    fn yield_now(&mut self, cx: &mut Context<'_>) {
        lock(&self.0).yielded.push(cx.waker().clone());
    }
}

/// The result of the programs.
#[derive(Debug, Default)]
struct Report {
    outcomes: Outcomes,
    violation: Option<String>,
    /// The deadlines of the commands that wait, by the number of their program.
    waiting: Vec<Option<Instant>>,
}

impl Report {
    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }
}

/// Executes some commands, each with a deadline.
async fn program(client: Client, mut random: Random, number: usize, report: Rc<RefCell<Report>>) {
    for _ in 0..1 + random.below(3) {
        let (begin, within) = (now(), Duration::from_millis(1 + random.below(50) as u64));
        report.borrow_mut().waiting[number] = Some(begin + within);
        let call = client.call(Raw::<Value>::new("echo")).within(within).execute().await;
        let report = &mut *report.borrow_mut();
        report.waiting[number] = None;
        match call {
            Ok(_) => report.outcomes.answered += 1,
            Err(Error::Timeout(_)) if begin + within <= now() => report.outcomes.timed_out += 1,
            Err(error) => report.violated(format!("a command: {}", error.report())),
        }
    }
}

struct Executor {
    world: Shared,
    random: Random,
    tasks: Vec<Task>,
    report: Rc<RefCell<Report>>,
    /// For each program, its deadline, and the number of looks since that has passed.
    late: Vec<(Option<Instant>, u64)>,
    plant: Option<Plant>,
    polls: u64,
    since_look: u32,
    trace: Option<Vec<String>>,
}

/// Runs a seed to its end.
pub(super) fn run(seed: u64, plant: Option<Plant>, trace: bool) -> Run {
    let mut random = Random::new(seed);
    let world = Arc::new(Mutex::new(World::new(Random::new(random.next()))));
    let mut executor = Executor {
        world,
        random,
        tasks: Vec::new(),
        report: Rc::default(),
        late: Vec::new(),
        plant,
        polls: 0,
        since_look: 0,
        trace: trace.then(Vec::new),
    };
    if let Some(client) = executor.connect() {
        for number in 0..1 + executor.random.below(3) {
            let (random, report) =
                (Random::new(executor.random.next()), Rc::clone(&executor.report));
            report.borrow_mut().waiting.push(None);
            executor.late.push((None, 0));
            executor.add("program", program(client.clone(), random, number, report));
        }
        drop(client);
        // Without a client the driver ends, too.
        while executor.tasks.iter().any(|task| !task.is_done()) && executor.step() {}
    }
    let Executor { report, polls, trace, .. } = executor;
    let report = report.take();
    let (outcomes, violation) = (report.outcomes, report.violation);
    Run { seed, steps: polls, outcomes, violation, trace: trace.unwrap_or_default() }
}

impl Executor {
    fn add(&mut self, name: &str, task: impl Future<Output = ()> + 'static) {
        self.tasks.push(Task::new(name.into(), Arc::default(), 0, task));
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{}: {}", self.polls, text()));
        }
    }

    fn connect(&mut self) -> Option<Client> {
        lock(&self.world).say(GREETING);
        let options = Options::new().greeting_within(Duration::MAX);
        let (socket, timer) = (Socket(Arc::clone(&self.world)), Timer(Arc::clone(&self.world)));
        let (connecting, driver) = runtime::start(socket, timer, &options);
        self.add("driver", driver);
        let client = Rc::new(RefCell::new(None));
        let (place, report) = (Rc::clone(&client), Rc::clone(&self.report));
        self.add("connecting", async move {
            match connecting.await {
                Ok(connected) => *place.borrow_mut() = Some(connected),
                Err(error) => report.borrow_mut().violated(error.report()),
            }
        });
        while client.borrow().is_none() && self.step() {}
        client.take()
    }

    /// Polls a task, or looks. Returns false if a rule does not hold.
    fn step(&mut self) -> bool {
        let woken = (0..self.tasks.len()).filter(|index| self.tasks[*index].is_woken());
        let woken: Vec<usize> = woken.collect();
        if woken.is_empty() || self.since_look >= POLLS {
            self.look();
        } else {
            let index = woken[self.random.below(woken.len())];
            self.poll(index);
        }
        self.report.borrow().violation.is_none()
    }

    fn poll(&mut self, index: usize) {
        (self.polls, self.since_look) = (self.polls + 1, self.since_look + 1);
        self.note(|| format!("poll {index}"));
        pass(POLL);
        self.tasks[index].poll(&mut self.random);
        if self.plant == Some(Plant::LateWake) && index == DRIVER {
            let waker = self.tasks[index].take_woken();
            lock(&self.world).yielded.extend(waker);
        }
    }

    fn look(&mut self) {
        self.since_look = 0;
        let (woken, looks) = {
            let mut world = lock(&self.world);
            (world.look(), world.looks)
        };
        self.note(|| format!("look {looks}"));
        woken.into_iter().for_each(Waker::wake);
        let mut report = self.report.borrow_mut();
        for (late, at) in self.late.iter_mut().zip(&report.waiting) {
            // A program may wait for its next command by now.
            if late.0 != *at {
                *late = (*at, 0);
            }
            late.1 += u64::from(at.is_some_and(|at| at <= now()));
        }
        if self.late.iter().any(|(_, looks)| *looks > LATE) {
            report.violated(format!("a deadline has passed by more than {LATE} looks"));
        }
        if looks > MOST_LOOKS {
            report.violated("the run does not end".into());
        }
    }
}
