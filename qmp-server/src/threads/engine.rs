//! The thread that does the I/O of all clients.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::workers::Workers;
use crate::sync::lock;

/// The stack size in bytes of the thread, which parses but does not execute commands.
const STACK_SIZE: usize = 512 << 10;

/// A client whose I/O the engine does.
pub(crate) trait Served: Send {
    fn fd(&self) -> BorrowedFd<'_>;

    /// Sets the function that makes the engine call [`advance`](Self::advance).
    fn set_waker(&self, wake: Arc<dyn Fn() + Send + Sync>);

    /// Reads and writes what is possible, and has commands executed. Returns the events to wait for,
    /// or `None` at the end.
    fn advance(&mut self, ready: PollFlags, workers: &Arc<Workers>) -> Option<PollFlags>;
}

/// The I/O thread, which runs while there are clients, and the threads that execute commands.
#[derive(Default)]
pub(crate) struct Engine {
    running: Mutex<Option<Arc<Mailbox>>>,
    stopped: Condvar,
    workers: Arc<Workers>,
}

/// Messages to the I/O thread.
struct Mailbox {
    letters: Mutex<Letters>,
    is_woken: AtomicBool,
    wake: UnixStream,
}

#[derive(Default)]
struct Letters {
    clients: Vec<Box<dyn Served>>,
    woken: Vec<u64>,
}

impl Mailbox {
    fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            // The buffer is empty, so that this does not block; the thread reads it before it waits.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

impl Engine {
    /// Serves a client. Starts the I/O thread if necessary.
    pub(crate) fn add(self: &Arc<Self>, client: Box<dyn Served>) -> io::Result<()> {
        let mut running = lock(&self.running);
        if let Some(mailbox) = &*running {
            lock(&mailbox.letters).clients.push(client);
            mailbox.wake();
            return Ok(());
        }
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let letters = Letters { clients: vec![client], woken: Vec::new() };
        let mailbox = Arc::new(Mailbox {
            letters: Mutex::new(letters),
            is_woken: AtomicBool::new(false),
            wake,
        });
        let (engine, to) = (Arc::clone(self), Arc::clone(&mailbox));
        let thread = thread::Builder::new().name("qmp-io".to_owned()).stack_size(STACK_SIZE);
        thread.spawn(move || engine.run(&to, &woken))?;
        *running = Some(mailbox);
        Ok(())
    }

    /// Waits until all clients have gone, at most for `within`.
    pub(crate) fn wait_idle(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut running = lock(&self.running);
        while running.is_some() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.stopped.wait_timeout(running, left);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn run(&self, mailbox: &Arc<Mailbox>, mut woken: &UnixStream) {
        let mut clients = Clients::default();
        loop {
            let Letters { clients: new, woken: numbers } =
                std::mem::take(&mut *lock(&mailbox.letters));
            new.into_iter().for_each(|client| clients.add(client, mailbox));
            let added = std::mem::take(&mut clients.added);
            for number in added.into_iter().chain(numbers) {
                clients.advance(number, PollFlags::empty(), &self.workers);
            }
            if clients.served.is_empty() && self.try_stop(mailbox) {
                return;
            }
            let has_letters = clients.wait(woken, &self.workers);
            if has_letters {
                let _ = woken.read(&mut [0; 16]);
                // Stored before the letters are taken: a later one writes again.
                mailbox.is_woken.store(false, Ordering::Release);
            }
        }
    }

    /// Ends the thread unless a client has been added.
    fn try_stop(&self, mailbox: &Mailbox) -> bool {
        let mut running = lock(&self.running);
        let is_idle = lock(&mailbox.letters).clients.is_empty();
        if is_idle {
            *running = None;
            self.stopped.notify_all();
        }
        is_idle
    }
}

#[derive(Default)]
struct Clients {
    served: HashMap<u64, (Box<dyn Served>, PollFlags)>,
    added: Vec<u64>,
    next: u64,
}

impl Clients {
    fn add(&mut self, client: Box<dyn Served>, mailbox: &Arc<Mailbox>) {
        let number = self.next;
        self.next += 1;
        let mailbox = Arc::clone(mailbox);
        client.set_waker(Arc::new(move || {
            lock(&mailbox.letters).woken.push(number);
            mailbox.wake();
        }));
        self.served.insert(number, (client, PollFlags::empty()));
        self.added.push(number);
    }

    fn advance(&mut self, number: u64, ready: PollFlags, workers: &Arc<Workers>) {
        let Some((client, interest)) = self.served.get_mut(&number) else { return };
        match client.advance(ready, workers) {
            Some(flags) => *interest = flags,
            None => drop(self.served.remove(&number)),
        }
    }

    /// Waits until a client is ready, and serves those that are. Returns whether there are letters.
    fn wait(&mut self, woken: &UnixStream, workers: &Arc<Workers>) -> bool {
        let mut numbers = Vec::with_capacity(self.served.len());
        let mut fds = Vec::with_capacity(self.served.len() + 1);
        fds.push(PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN));
        for (number, (client, interest)) in &self.served {
            numbers.push(*number);
            fds.push(PollFd::from_borrowed_fd(client.fd(), *interest));
        }
        if poll(&mut fds, None).is_err() {
            // Interrupted, or the system lacks memory.
            thread::sleep(Duration::from_millis(1));
            return false;
        }
        let has_letters = !fds[0].revents().is_empty();
        let ready: Vec<(u64, PollFlags)> = numbers
            .into_iter()
            .zip(fds[1..].iter().map(PollFd::revents))
            .filter(|(_, ready)| !ready.is_empty())
            .collect();
        drop(fds);
        for (number, ready) in ready {
            self.advance(number, ready, workers);
        }
        has_letters
    }
}
