//! Random operations while the connection is cut again and again: after each settling, the mirror
//! equals fresh queries.
//!
//! `QMP_TEST_MIRROR` is the number of operations on each machine (default: 150 on the simulated one,
//! 100 on each QEMU), and `QMP_TEST_MIRROR_SEED` the seed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qmp_client::transport::Unix;
use qmp_client::{Client, Error, Options, Raw, Result, blocking};
use qmp_vm::mirror::{Change, Fate, Keeper, Mirror, Part, Policy, View};
use serde_json::Value;

use super::PATIENCE;
use super::fresh::{Fresh, differences, fresh};
use super::link::cut_after;
use super::random::{Operation, Random, operation};
use super::worlds::{Qemu, Simulated, World};

/// The parts that events alone keep current, also when another monitor changes them.
const HEARD: [Part; 3] = [Part::Status, Part::Jobs, Part::BlockJobs];

/// The operations, and their results.
#[derive(Debug, Default)]
struct Tally {
    operations: u64,
    accepted: u64,
    settlings: u64,
    cuts: u64,
    lags: u64,
    restarts: u64,
    updates: u64,
    skipped: u64,
    differences: u64,
}

/// A mirror on either client, whose methods block.
trait Front: Send + Sync {
    fn current(&self) -> Result<Arc<View>>;
    fn refresh(&self) -> Result<Arc<View>>;
    fn execute(&self, operation: &Operation) -> Result<Value>;
    fn update(&mut self, seen: &mut Seen) -> (u64, u64);
}

/// The names of block nodes and of objects, as the changes tell them.
#[derive(Debug, Default)]
struct Seen {
    nodes: BTreeSet<String>,
    objects: BTreeSet<String>,
}

impl Seen {
    fn take(&mut self, changes: &[Change], view: &View) {
        for change in changes {
            let (set, name, fate) = match change {
                Change::Node(name, fate) => (&mut self.nodes, name, fate),
                Change::Object(name, fate) => (&mut self.objects, name, fate),
                _ => continue,
            };
            let is_expected = match fate {
                Fate::Added => set.insert(name.clone()),
                Fate::Removed => set.remove(name),
                Fate::Changed => set.contains(name),
            };
            assert!(is_expected, "{change:?}");
        }
        let nodes = view.nodes().unwrap_or_default().iter();
        let nodes: BTreeSet<_> = nodes.filter_map(|node| node.node_name.clone()).collect();
        assert_eq!(nodes, self.nodes);
        let objects = view.objects().unwrap_or_default().iter();
        let objects: BTreeSet<_> = objects.map(|object| object.name.clone()).collect();
        assert_eq!(objects, self.objects);
    }
}

fn options(random: &mut Random) -> Options {
    let options = Options::new().calls_within(PATIENCE);
    // A queue of one event lags whenever there are two.
    if random.one_in(2) { options.event_capacity(1) } else { options }
}

fn policy() -> Policy {
    // Only events and commands tell: a period would hide what they do not.
    Policy::new().period(None).motion(Duration::from_millis(50)).echo(Duration::from_millis(100))
}

/// The connections of a mirror, one after the other.
struct Connections {
    world: Arc<dyn World>,
    random: Random,
    is_over: Arc<AtomicBool>,
    cuts: Arc<AtomicU64>,
}

impl Connections {
    fn next(&mut self) -> Option<(std::os::unix::net::UnixStream, Options)> {
        while !self.is_over.load(Ordering::SeqCst) {
            let Some(server) = self.world.connect() else { continue };
            let bytes = 300 + self.random.below(60_000);
            self.cuts.fetch_add(1, Ordering::SeqCst);
            let stream = cut_after(server, i64::try_from(bytes).unwrap());
            return Some((stream, options(&mut self.random)));
        }
        None
    }
}

/// Counts how often a subscription has lagged.
fn count(item: Option<Result<qmp_client::RawEvent>>, lags: &AtomicU64) -> bool {
    match item {
        Some(Err(Error::Lagged(count))) => {
            lags.fetch_add(count, Ordering::SeqCst);
            true
        }
        Some(Ok(_)) => true,
        _ => false,
    }
}

struct Blocking {
    mirror: Mirror<blocking::Client>,
    changes: qmp_vm::mirror::Changes<blocking::Client>,
}

impl Blocking {
    fn start(mut connections: Connections, lags: Arc<AtomicU64>) -> (Self, thread::JoinHandle<()>) {
        let (mirror, mut keeper) = Mirror::unconnected(policy());
        let changes = mirror.changes();
        let thread = thread::spawn(move || {
            while let Some((stream, options)) = connections.next() {
                let transport = Unix::from_stream(stream).unwrap();
                let Ok(vm) = blocking::Client::over(transport, &options) else { continue };
                let mut events = vm.raw_events();
                keeper.follow(&vm);
                while count(events.next_within(Duration::ZERO), &lags) {}
            }
        });
        (Self { mirror, changes }, thread)
    }
}

impl Front for Blocking {
    fn current(&self) -> Result<Arc<View>> {
        self.mirror.current(PATIENCE)
    }

    fn refresh(&self) -> Result<Arc<View>> {
        self.mirror.refresh(PATIENCE)
    }

    fn execute(&self, operation: &Operation) -> Result<Value> {
        self.mirror.execute(Raw::new(operation.command).arguments(&operation.arguments))
    }

    fn update(&mut self, seen: &mut Seen) -> (u64, u64) {
        match self.changes.next_within(Duration::ZERO) {
            Some(Ok(update)) => {
                seen.take(&update.changes, &update.view);
                (1, update.skipped)
            }
            Some(Err(error)) => {
                assert!(error.is_timeout(), "{error:?}");
                (0, 0)
            }
            None => panic!("the mirror has ended"),
        }
    }
}

struct Pending {
    runtime: tokio::runtime::Runtime,
    mirror: Mirror<Client>,
    changes: qmp_vm::mirror::Changes<Client>,
}

impl Pending {
    fn start(connections: Connections, lags: Arc<AtomicU64>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let (mirror, keeper) = Mirror::unconnected(policy());
        let changes = mirror.changes();
        runtime.spawn(Self::keep(keeper, connections, lags));
        Self { runtime, mirror, changes }
    }

    async fn keep(mut keeper: Keeper<Client>, mut connections: Connections, lags: Arc<AtomicU64>) {
        while let Some((stream, options)) = connections.next() {
            stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            let Ok(vm) = Client::over(stream, &options).await else { continue };
            let mut events = vm.raw_events();
            keeper.follow(&vm).await;
            while count(events.next_within(Duration::ZERO).await, &lags) {}
        }
    }
}

impl Front for Pending {
    fn current(&self) -> Result<Arc<View>> {
        self.runtime.block_on(self.mirror.current(PATIENCE))
    }

    fn refresh(&self) -> Result<Arc<View>> {
        self.runtime.block_on(self.mirror.refresh(PATIENCE))
    }

    fn execute(&self, operation: &Operation) -> Result<Value> {
        let request = Raw::new(operation.command).arguments(&operation.arguments);
        self.runtime.block_on(self.mirror.execute(request))
    }

    fn update(&mut self, seen: &mut Seen) -> (u64, u64) {
        match self.runtime.block_on(self.changes.next_within(Duration::ZERO)) {
            Some(Ok(update)) => {
                seen.take(&update.changes, &update.view);
                (1, update.skipped)
            }
            Some(Err(error)) => {
                assert!(error.is_timeout(), "{error:?}");
                (0, 0)
            }
            None => panic!("the mirror has ended"),
        }
    }
}

/// The other monitor, which is connected to again when QEMU has ended.
struct Other {
    world: Arc<dyn World>,
    client: blocking::Client,
    /// Whether it has just been connected, which the chardevs of QEMU show and no event tells.
    is_new: bool,
    /// The number of times that QEMU was started again.
    restarts: u64,
}

impl Other {
    fn new(world: &Arc<dyn World>) -> Self {
        Self { world: Arc::clone(world), client: connect(world), is_new: true, restarts: 0 }
    }

    fn fresh(&mut self) -> Fresh {
        loop {
            match fresh(&self.client) {
                Ok(fresh) => return fresh,
                Err(error) => {
                    // Random operations find deadlocks of QEMU, too.
                    assert!(error.is_closed() || error.is_timeout(), "{}", error.report());
                    if error.is_timeout() {
                        self.world.kill();
                    }
                    self.restarts += u64::from(self.world.revive());
                    self.client = connect(&self.world);
                    self.is_new = true;
                }
            }
        }
    }
}

fn connect(world: &Arc<dyn World>) -> blocking::Client {
    let begin = Instant::now();
    loop {
        let Some(stream) = world.connect_other() else {
            // It may be a while until a process that crashes has ended.
            assert!(world.revive() || begin.elapsed() < PATIENCE, "QEMU does not start");
            continue;
        };
        let transport = Unix::from_stream(stream).unwrap();
        let options = Options::new().calls_within(PATIENCE);
        match blocking::Client::over(transport, &options) {
            Ok(client) => return client,
            Err(error) => assert!(error.is_closed(), "{}", error.report()),
        }
        world.revive();
    }
}

/// Waits until the parts of the mirror that `which` selects equal fresh answers; returns those that
/// still differ when the machine has been at rest for long.
fn settle(
    front: &dyn Front,
    other: &mut Other,
    which: impl Fn(Part) -> bool,
    mut refresh: bool,
) -> Vec<(Part, String)> {
    let mut rest: Option<(Fresh, Instant)> = None;
    let begin = Instant::now();
    loop {
        refresh |= std::mem::take(&mut other.is_new);
        let view = if refresh { front.refresh() } else { front.current() };
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                // QEMU may have ended: then the next one is mirrored.
                let revived = other.world.revive();
                other.restarts += u64::from(revived);
                assert!(revived || begin.elapsed() < 4 * PATIENCE, "{}", error.report());
                continue;
            }
        };
        let fresh = other.fresh();
        let different: Vec<_> =
            differences(&view, &fresh).into_iter().filter(|(part, _)| which(*part)).collect();
        if different.is_empty() {
            return different;
        }
        let since = match rest.take() {
            Some((earlier, since)) if earlier == fresh => since,
            _ => Instant::now(),
        };
        if since.elapsed() > Duration::from_secs(3) {
            return different;
        }
        rest = Some((fresh, since));
        // A machine that never rests cannot be compared: that would be a fault of the test.
        assert!(begin.elapsed() < 4 * PATIENCE, "{different:#?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn play(name: &str, world: Arc<dyn World>, default: u64, is_blocking: bool) {
    let operations = number("QMP_TEST_MIRROR").unwrap_or(default);
    let seed = number("QMP_TEST_MIRROR_SEED").unwrap_or(1);
    let is_over = Arc::new(AtomicBool::new(false));
    let (cuts, lags) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let connections = Connections {
        world: Arc::clone(&world),
        random: Random::new(seed + 1),
        is_over: Arc::clone(&is_over),
        cuts: Arc::clone(&cuts),
    };
    let mut thread = None;
    let mut front: Box<dyn Front> = if is_blocking {
        let (front, handle) = Blocking::start(connections, Arc::clone(&lags));
        thread = Some(handle);
        Box::new(front)
    } else {
        Box::new(Pending::start(connections, Arc::clone(&lags)))
    };
    let mut other = Other::new(&world);
    let mut random = Random::new(seed);
    let (mut tally, mut seen) = (Tally::default(), Seen::default());
    let begin = Instant::now();
    while tally.operations < operations {
        let through_mirror = random.one_in(2);
        for _ in 0..=random.below(3) {
            let operation = operation(&mut random, &world.files());
            let result = if through_mirror {
                front.execute(&operation)
            } else {
                let request = Raw::new(operation.command).arguments(&operation.arguments);
                other.client.execute(request)
            };
            tally.operations += 1;
            tally.accepted += u64::from(result.is_ok());
        }
        other.restarts += u64::from(world.revive());
        tally.settlings += 1;
        let mut different = if through_mirror {
            settle(&*front, &mut other, |_| true, false)
        } else {
            // What events tell is known without being asked for; the rest is not.
            let mut heard = settle(&*front, &mut other, |part| HEARD.contains(&part), false);
            heard.extend(settle(&*front, &mut other, |_| true, true));
            heard
        };
        for (part, text) in different.drain(..) {
            tally.differences += 1;
            println!("{name}, operation {}: {part}\n{text}", tally.operations);
        }
        let (updates, skipped) = front.update(&mut seen);
        tally.updates += updates;
        tally.skipped += skipped;
    }
    tally.restarts = other.restarts;
    is_over.store(true, Ordering::SeqCst);
    (tally.cuts, tally.lags) =
        (cuts.load(Ordering::SeqCst).saturating_sub(1), lags.load(Ordering::SeqCst));
    println!("{name}, seed {seed}, {:.0?}: {tally:?}", begin.elapsed());
    drop(front);
    drop(thread.map(thread::JoinHandle::join));
    assert_eq!(tally.differences, 0);
    assert!(tally.accepted * 5 > tally.operations, "too few operations were accepted");
    assert!(tally.cuts > 0 && tally.updates > 0);
}

#[test]
fn a_simulated_machine_is_mirrored_by_the_blocking_client() {
    play("simulated, blocking", Arc::new(Simulated::new()), 150, true);
}

#[test]
fn a_simulated_machine_is_mirrored_by_the_asynchronous_client() {
    play("simulated, asynchronous", Arc::new(Simulated::new()), 150, false);
}

fn programs() -> Vec<String> {
    let default = || std::env::var("QMP_TEST_QEMU").unwrap_or("qemu-system-x86_64".to_owned());
    let list = std::env::var("QMP_TEST_QEMUS").unwrap_or_else(|_| default());
    list.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
#[cfg_attr(
    not(qemu),
    ignore = "needs QEMU: install qemu-system-x86, or name a program in QMP_TEST_QEMU"
)]
fn running_qemus_are_mirrored() {
    thread::scope(|scope| {
        for (index, program) in programs().into_iter().enumerate() {
            scope.spawn(move || {
                let world = Arc::new(Qemu::start(&program));
                play(&program, world, 100, index % 2 == 0);
            });
        }
    });
}
