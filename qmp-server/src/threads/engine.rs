//! The threads that serve clients.
//!
//! All threads are equal: each waits for a client that has something to say, reads it, executes the
//! command, and writes the reply. So in the steady state no thread wakes another one. These rules keep
//! a slow command from delaying anything else:
//!
//! - A thread executes a command only if another one is *free*, that is, waits for clients or reads or
//!   writes, or if it can start one. Otherwise the command goes to the backlog, which each thread looks
//!   into before it waits.
//! - While a command is executed, another thread can serve its client.
//! - Commands that borrow the machine use one thread at a time (the lane).
//!
//! A thread that has served the same client repeatedly *stays* with it, if others are free: it waits
//! for this client only, without asking the poller. After a short time in which nothing arrives, it
//! becomes free again.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::calls::Calls;
use super::lane::{Backlog, Job, Lane};
use super::poller::{Poller, Ready};
use super::watch::{self, Watch};
use super::worker::Worker;
use crate::sync::lock;

/// The maximum number of threads. Handlers that do not borrow the machine return at once, so that few
/// threads suffice.
const MAX_THREADS: usize = 16;

/// The maximum number of threads that stay with a client.
const MAX_STAYING: usize = 4;

/// The time after which a thread without work ends.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// The stack size in bytes. Decoding nested arguments takes about a megabyte in a build without
/// optimization.
const STACK_SIZE: usize = 2 << 20;

/// The key of the socket that wakes a thread.
const WAKE: u64 = u64::MAX;

/// A client that threads serve.
pub(super) trait Served: Send + Sync {
    fn fd(&self) -> BorrowedFd<'_>;

    /// Sets the function that makes a thread call [`serve`](Self::serve).
    fn set_waker(&self, wake: Arc<dyn Fn() + Send + Sync>);

    /// Reads, executes commands, and writes. `ready` are the events that have occurred.
    fn serve(self: Arc<Self>, ready: PollFlags, worker: &mut Worker);

    /// Starts to wait for the client.
    fn start(&self, pool: &Pool, key: u64) -> io::Result<()>;

    /// Lets other threads serve the client, because its command takes long.
    fn lend(&self, pool: &Pool, key: u64);
}

/// The threads of a server, which run while there are clients, or commands of those that have gone.
#[derive(Default)]
pub(crate) struct Engine {
    running: Mutex<Option<Arc<Pool>>>,
    /// Notified when the last client has gone.
    deserted: Condvar,
}

impl Engine {
    /// Serves a client. Starts a thread if necessary.
    pub(super) fn add(self: &Arc<Self>, client: Arc<dyn Served>) -> io::Result<()> {
        let mut running = lock(&self.running);
        let pool = match &*running {
            Some(pool) => Arc::clone(pool),
            None => {
                let pool = Pool::start(self)?;
                *running = Some(Arc::clone(&pool));
                pool
            }
        };
        // While the lock is held: the pool does not end before it has this client.
        let key = pool.insert(Arc::clone(&client));
        drop(running);
        let added = pool.begin(key, &client);
        if added.is_err() {
            pool.remove(key);
        }
        added
    }

    /// Waits until all clients have gone, at most for `within`.
    pub(crate) fn wait_idle(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut running = lock(&self.running);
        while running.as_ref().is_some_and(|pool| !pool.is_deserted()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.deserted.wait_timeout(running, left);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Threads and their clients.
pub(super) struct Pool {
    engine: Arc<Engine>,
    poller: Poller,
    clients: Mutex<Clients>,
    /// The keys of clients that have something to do without having sent anything.
    changed: Calls,
    pub(super) lane: Lane,
    pub(super) backlog: Backlog,
    threads: AtomicUsize,
    /// The number of threads that neither execute a command nor stay with a client.
    free: AtomicUsize,
    staying: AtomicUsize,
    pub(super) watch: Watch,
    /// The number of threads that wait without looking at the watched ones.
    sleepers: AtomicUsize,
    /// Whether all clients have gone. Changed while the lock of [`Engine::running`] is held, like
    /// `has_ended`.
    is_deserted: AtomicBool,
    has_ended: AtomicBool,
    is_woken: AtomicBool,
    wake: UnixStream,
    woken: UnixStream,
}

#[derive(Default)]
struct Clients {
    by_key: HashMap<u64, Arc<dyn Served>>,
    next: u64,
}

impl Pool {
    fn start(engine: &Arc<Engine>) -> io::Result<Arc<Self>> {
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(WAKE, &woken)?;
        poller.arm(WAKE, &woken, PollFlags::IN)?;
        let pool = Arc::new(Self {
            engine: Arc::clone(engine),
            poller,
            clients: Mutex::default(),
            changed: Calls::default(),
            lane: Lane::default(),
            backlog: Backlog::default(),
            threads: AtomicUsize::new(0),
            free: AtomicUsize::new(0),
            staying: AtomicUsize::new(0),
            watch: Watch::default(),
            sleepers: AtomicUsize::new(0),
            is_deserted: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            wake,
            woken,
        });
        pool.spawn()?;
        Ok(pool)
    }

    fn is_deserted(&self) -> bool {
        self.is_deserted.load(Ordering::Acquire)
    }

    fn insert(&self, client: Arc<dyn Served>) -> u64 {
        self.is_deserted.store(false, Ordering::Release);
        let mut clients = lock(&self.clients);
        let key = clients.next;
        clients.next += 1;
        clients.by_key.insert(key, client);
        key
    }

    fn begin(self: &Arc<Self>, key: u64, client: &Arc<dyn Served>) -> io::Result<()> {
        self.poller.add(key, client.fd())?;
        let pool = Arc::downgrade(self);
        client.set_waker(Arc::new(move || {
            if let Some(pool) = pool.upgrade() {
                pool.call(key);
            }
        }));
        client.start(self, key)
    }

    /// Makes a thread serve a client, which has something to do without having sent anything.
    pub(super) fn call(&self, key: u64) {
        self.changed.push(key);
        self.wake();
    }

    /// Waits until events have occurred on a client's socket, or its end, and then serves it once.
    pub(super) fn arm(&self, key: u64, fd: BorrowedFd<'_>, wanted: PollFlags) -> io::Result<()> {
        self.poller.arm(key, fd, wanted)
    }

    /// Removes a client whose connection has ended. After the last one, the threads end as soon as
    /// they have completed what the clients have left.
    pub(super) fn remove(&self, key: u64) {
        let running = lock(&self.engine.running);
        let mut clients = lock(&self.clients);
        let removed = clients.by_key.remove(&key);
        let is_last = removed.is_some() && clients.by_key.is_empty();
        drop(clients);
        if let Some(client) = &removed {
            self.poller.remove(key, client.fd());
        }
        if is_last {
            self.is_deserted.store(true, Ordering::Release);
            self.engine.deserted.notify_all();
        }
        drop((running, removed));
        if is_last {
            self.wake();
        }
    }

    /// Ends the threads if they have neither clients nor commands to execute. The calling thread is
    /// free.
    ///
    /// Each thread calls this once it is free again, so that the last one finds all others free.
    /// Threads that execute the commands of clients that have gone count toward the maximum, and keep
    /// the lane, until they are done: otherwise, each client that reconnects while a command hangs
    /// would cost another thread.
    fn end_if_idle(&self) {
        if !self.is_deserted() {
            return;
        }
        let mut running = lock(&self.engine.running);
        let all = self.threads.load(Ordering::Acquire);
        let is_idle = self.free.load(Ordering::Acquire) == all && self.backlog.is_empty();
        if is_idle && self.is_deserted() && !self.has_ended.swap(true, Ordering::AcqRel) {
            *running = None;
        }
    }

    /// Makes a free thread look at clients that have changed, and into the backlog.
    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            // The buffer is empty, so that this does not block; a thread reads it before it looks.
            let _ = (&self.wake).write(&[0]);
        }
    }

    /// Makes another thread look if anything is left: the wake that this thread has taken may have been
    /// for more than the job that it is about to execute.
    pub(super) fn pass_on_wake(&self) {
        self.replace_watcher();
        if !self.backlog.is_empty() || !self.changed.is_empty() {
            self.wake();
        }
    }

    /// Takes a thread out of the free ones, if others remain or can be started.
    pub(super) fn try_occupy(self: &Arc<Self>) -> bool {
        let take_one = |free: usize| if free > 1 { Some(free - 1) } else { None };
        loop {
            let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_one);
            if taken.is_ok() {
                return true;
            }
            if self.spawn().is_err() {
                // Without any other thread, this one has to do it.
                let is_alone = self.threads.load(Ordering::Acquire) == 1;
                if is_alone {
                    self.free.fetch_sub(1, Ordering::AcqRel);
                }
                return is_alone;
            }
        }
    }

    /// Makes a thread a free one again.
    pub(super) fn release(&self) {
        self.free.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets a thread stay with a client, unless many do already.
    pub(super) fn try_stay(&self) -> bool {
        let add_one = |staying| if staying < MAX_STAYING { Some(staying + 1) } else { None };
        self.staying.fetch_update(Ordering::AcqRel, Ordering::Acquire, add_one).is_ok()
    }

    pub(super) fn stop_staying(&self) {
        self.staying.fetch_sub(1, Ordering::AcqRel);
    }

    /// Has the commands of a client watched that a thread stays with.
    pub(super) fn try_watch(&self, key: u64) -> Option<usize> {
        let note = self.watch.begin(key);
        if note.is_some() {
            self.wake_sleeper();
        }
        note
    }

    /// Makes a thread look at intervals that waits for longer, because the calling thread may not look
    /// for some time. One that goes on to wait would take the wake that it has given.
    fn replace_watcher(&self) {
        if self.watch.is_active() {
            self.wake_sleeper();
        }
    }

    fn wake_sleeper(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
    }

    /// Has a job executed by the next thread that is free.
    pub(super) fn postpone(&self, job: Job) {
        self.backlog.push(job);
        self.wake();
    }

    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        if self.threads.fetch_add(1, Ordering::AcqRel) >= MAX_THREADS {
            self.threads.fetch_sub(1, Ordering::AcqRel);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let pool = Arc::clone(self);
        let thread = thread::Builder::new().name("qmp-server".to_owned()).stack_size(STACK_SIZE);
        self.free.fetch_add(1, Ordering::AcqRel);
        let spawned = thread.spawn(move || pool.run());
        if spawned.is_err() {
            self.free.fetch_sub(1, Ordering::AcqRel);
            self.threads.fetch_sub(1, Ordering::AcqRel);
        }
        spawned.map(drop)
    }

    fn run(self: Arc<Self>) {
        let mut worker = Worker::new(Arc::clone(&self));
        let mut idle = Duration::ZERO;
        loop {
            worker.execute_backlog();
            self.end_if_idle();
            if self.has_ended.load(Ordering::Acquire) {
                // All threads end, one after the other.
                self.free.fetch_sub(1, Ordering::AcqRel);
                self.threads.fetch_sub(1, Ordering::AcqRel);
                self.wake();
                return;
            }
            if let Some(key) = self.next_changed() {
                self.serve(key, PollFlags::empty(), &mut worker);
                continue;
            }
            match self.wait() {
                Ok((Some((WAKE, _)), _)) => self.take_wake(),
                Ok((Some((key, ready)), _)) => {
                    idle = Duration::ZERO;
                    self.serve(key, ready, &mut worker);
                }
                Ok((None, waited)) => {
                    idle += waited;
                    self.look_for_slow_commands();
                    if idle >= IDLE_TIME && self.try_leave() {
                        return;
                    }
                }
                // Interrupted, or the system lacks memory.
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Waits for a client. Without one, returns the time that has passed.
    fn wait(&self) -> io::Result<(Option<Ready>, Duration)> {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if self.watch.is_active() {
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
            return Ok((self.poller.wait(Some(watch::INTERVAL))?, watch::INTERVAL));
        }
        // The last free thread stays.
        let is_last = self.free.load(Ordering::Acquire) == 1;
        let ready = self.poller.wait(if is_last { None } else { Some(IDLE_TIME) });
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        Ok((ready?, IDLE_TIME))
    }

    fn serve(&self, key: u64, ready: PollFlags, worker: &mut Worker) {
        let client = lock(&self.clients).by_key.get(&key).map(Arc::clone);
        if let Some(client) = client {
            self.replace_watcher();
            worker.begin(key);
            client.serve(ready, worker);
            worker.end();
        }
    }

    fn look_for_slow_commands(&self) {
        for key in self.watch.look(Instant::now()) {
            let client = lock(&self.clients).by_key.get(&key).map(Arc::clone);
            if let Some(client) = client {
                client.lend(self, key);
            }
        }
    }

    fn next_changed(&self) -> Option<u64> {
        let (key, has_more) = self.changed.pop()?;
        if has_more {
            self.wake();
        }
        Some(key)
    }

    fn take_wake(&self) {
        let _ = (&self.woken).read(&mut [0; 16]);
        // Before the thread looks: a later change writes again, and an earlier one is seen.
        self.is_woken.swap(false, Ordering::AcqRel);
        let _ = self.poller.arm(WAKE, &self.woken, PollFlags::IN);
    }

    /// Ends a thread that has had nothing to do, unless it is the last free one.
    fn try_leave(&self) -> bool {
        let take_one = |free: usize| if free > 1 { Some(free - 1) } else { None };
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_one);
        if taken.is_ok() {
            self.threads.fetch_sub(1, Ordering::AcqRel);
            // This thread may have been the only one that looks.
            self.replace_watcher();
            if self.is_deserted() {
                // Another thread may have looked between the two changes.
                self.wake();
            }
        }
        taken.is_ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use qmp_types::{Command, Empty, Version};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::*;
    use crate::{MachineHandle, Reply, Router, Server};

    const DEADLINE: Duration = Duration::from_secs(20);

    struct Hang(Empty);

    impl Serialize for Hang {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Hang {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Empty::deserialize(deserializer).map(Self)
        }
    }

    impl Command for Hang {
        const NAME: &'static str = "hang";
        type Return = Empty;
    }

    fn wait_until(is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < DEADLINE);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Slow commands went unnoticed once the thread that looked for them had left: the last one waited
    /// without a limit.
    #[test]
    fn a_thread_that_leaves_is_replaced_as_a_watcher() {
        let pool = Pool::start(&Arc::default()).unwrap();
        let sleepers = |count| wait_until(|| pool.sleepers.load(Ordering::SeqCst) == count);
        sleepers(1);
        // This thread is a second one, which took the wake that was meant for a watcher.
        pool.threads.fetch_add(1, Ordering::SeqCst);
        pool.free.fetch_add(1, Ordering::SeqCst);
        assert_eq!(pool.watch.begin(7), Some(0));
        assert!(pool.try_leave());
        // The other one looks at intervals now.
        sleepers(0);
        pool.watch.end(0);
        pool.is_deserted.store(true, Ordering::SeqCst);
        pool.wake();
        wait_until(|| Arc::strong_count(&pool) == 1);
    }

    /// The threads wait for the commands of clients that have gone, and then all of them end.
    #[test]
    fn threads_end_after_the_last_client_and_its_command() {
        let is_hung = Arc::new(AtomicBool::new(false));
        let hang = Arc::clone(&is_hung);
        let router = Router::new().unchecked().deferred(
            move |_: &MachineHandle<()>, _: Hang, reply: Reply<Hang>| {
                hang.store(true, Ordering::SeqCst);
                wait_until(|| !hang.load(Ordering::SeqCst));
                reply.send(Ok(Empty {}));
            },
        );
        let server = Server::new(Version::default(), router, ()).unwrap();
        let engine = server.shared().engine();
        for _ in 0..20 {
            let mut client = server.connect_unix().unwrap();
            let pool = Arc::downgrade(lock(&engine.running).as_ref().unwrap());
            client
                .write_all(b"{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}")
                .unwrap();
            client.write_all(b"{'execute': 'hang'}").unwrap();
            wait_until(|| is_hung.load(Ordering::SeqCst));
            drop(client);
            engine.wait_idle(DEADLINE);
            assert!(pool.upgrade().is_some_and(|pool| pool.is_deserted()));
            assert!(lock(&engine.running).is_some());
            is_hung.store(false, Ordering::SeqCst);
            wait_until(|| pool.strong_count() == 0);
            assert!(lock(&engine.running).is_none());
        }
    }
}
