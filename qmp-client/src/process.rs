//! A process that was launched: what it says, and its end.

mod exit;
mod lines;
mod owned;
#[cfg(any(feature = "tokio", feature = "futures-io"))]
mod watch;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::{Child, ChildStderr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, LaunchError, Result, Timeout, TransportError, WaitedFor};
use lines::Lines;
use owned::Owned;
#[cfg(any(feature = "tokio", feature = "futures-io"))]
use watch::Watch;

pub use exit::Exit;
pub(crate) use lines::Hook;

/// How much of a process's standard error is kept, in bytes.
const TAIL: usize = 4096;
/// How long standard error is listened to when the process has ended: another one may hold it
/// open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The pause between two looks at a process grows to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A process that was [launched](crate::Launch). It is killed when this is dropped.
///
/// A `blocking::Client` keeps the process that it launched, and gives it the time to end; beside an
/// asynchronous client it is a thing of its own, of which `wait` tells the end.
///
/// A program that waits for whatever child ends, as the first process of a container does, or that
/// ignores `SIGCHLD`, takes the status away: then its [`Exit`] tells the end, and not how it came.
#[derive(Debug)]
pub struct Process {
    inner: Arc<Inner>,
}

/// What the threads share that listen to a process and wait for it.
#[derive(Debug)]
pub(crate) struct Inner {
    child: Owned,
    program: Box<str>,
    grace: Duration,
    stderr: Mutex<Tail>,
    said_all: Condvar,
    #[cfg(any(feature = "tokio", feature = "futures-io"))]
    watch: Mutex<Watch>,
}

/// The last of what a process wrote to its standard error.
#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    is_all: bool,
}

impl Process {
    /// Takes a child whose standard error, if it is a pipe, is listened to from now on.
    ///
    /// # Errors
    /// There is no thread to be had; the child has been killed.
    pub(crate) fn new(
        mut child: Child,
        program: Box<str>,
        grace: Duration,
        hook: Option<Hook>,
    ) -> io::Result<Self> {
        let stderr = child.stderr.take();
        let inner = Inner {
            child: Owned::new(child),
            program,
            grace,
            stderr: Mutex::new(Tail { is_all: stderr.is_none(), ..Tail::default() }),
            said_all: Condvar::new(),
            #[cfg(any(feature = "tokio", feature = "futures-io"))]
            watch: Mutex::default(),
        };
        // From here on, it is killed if anything fails.
        let process = Self { inner: Arc::new(inner) };
        if let Some(stderr) = stderr {
            let inner = Arc::clone(&process.inner);
            spawn_thread(move || inner.listen(stderr, Lines::new(hook)))?;
        }
        Ok(process)
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.child.id()
    }

    /// The last lines that it wrote to its standard error, as far as they have arrived: 4 KiB.
    /// [`Launch::on_stderr`](crate::Launch::on_stderr) is shown all.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.inner.stderr()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// What the system reports.
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.inner.try_wait()
    }

    /// Waits until it has ended. This blocks the thread: asynchronous programs have
    /// `wait`.
    ///
    /// # Errors
    /// It has not ended in time, and what the system reports.
    pub fn wait_within(&self, within: Duration) -> Result<Exit> {
        self.inner.wait_within(within)
    }

    /// Ends it without asking, and waits until it has ended. This blocks the thread for as long as
    /// the system takes to clear away the process, which may have much memory: asynchronous
    /// programs have [`start_kill`](Self::start_kill).
    ///
    /// # Errors
    /// What the system reports.
    pub fn kill(&self) -> Result<Exit> {
        self.start_kill()?;
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            self.inner.child.until_it_ends();
        }
    }

    /// Ends it without asking, and does not wait until it has ended. If it has by now, nothing is
    /// signalled.
    ///
    /// # Errors
    /// What the system reports.
    pub fn start_kill(&self) -> Result<()> {
        self.inner.child.start_kill().map_err(|error| self.inner.cannot("end", error))
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.inner.try_wait(), Ok(None))
    }

    pub(crate) fn grace(&self) -> Duration {
        self.inner.grace
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

#[cfg(any(feature = "tokio", feature = "futures-io"))]
impl Process {
    /// Waits until it has ended; [`stderr`](Self::stderr) has its last words then. Any number of
    /// tasks may wait, under any executor: it is a thread that waits for the process, and wakes
    /// them.
    ///
    /// # Errors
    /// What the system reports.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait(&self) -> Result<Exit> {
        self.watch()?;
        watch::Ended::new(&self.inner.watch).await;
        self.wait_within(Duration::ZERO)
    }

    /// Sees to it that a thread waits for its end.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn watch(&self) -> Result<()> {
        let mut watch = lock(&self.inner.watch);
        if !watch.has_begun() {
            let inner = Arc::clone(&self.inner);
            let spawned = spawn_thread(move || inner.see_the_end());
            spawned.map_err(|error| self.inner.cannot("wait for", error))?;
            watch.begin();
        }
        Ok(())
    }

    /// Whether somebody else will have waited for it.
    fn is_watched(&self) -> bool {
        lock(&self.inner.watch).has_begun()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_running() {
            return;
        }
        // It may have ended in between, and nobody can be told anyway.
        #[cfg(any(feature = "tokio", feature = "futures-io"))]
        if self.is_watched() {
            let _ = self.start_kill();
            return;
        }
        let _ = self.kill();
    }
}

impl Inner {
    fn stderr(&self) -> String {
        let bytes: Vec<u8> = lock(&self.stderr).bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn try_wait(&self) -> Result<Option<Exit>> {
        self.child.try_wait().map_err(|error| self.cannot("wait for", error))
    }

    fn wait_within(&self, within: Duration) -> Result<Exit> {
        let begin = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            let left = within.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(Timeout::new(WaitedFor::Exit, within).into());
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What there is to say of a connection that ended before the greeting: most likely it did
    /// since the process has. Nothing, if the process has not.
    pub(crate) fn early_end(&self) -> Option<LaunchError> {
        let status = self.wait_within(self.grace).ok()?.status();
        self.hear_last_words();
        Some(LaunchError::ended(self.program.clone(), status, self.stderr().into()))
    }

    /// What there is to say if it has not greeted in time: nobody else can be connected to it.
    pub(crate) fn late_greeting(&self, timeout: Timeout) -> LaunchError {
        let status = self.try_wait().ok().flatten().and_then(Exit::status);
        let timeout = Some(Timeout { waited_for: WaitedFor::Launch, ..timeout });
        let error = LaunchError::ended(self.program.clone(), status, self.stderr().into());
        LaunchError { timeout, ..error }
    }

    fn listen(&self, mut stderr: ChildStderr, mut lines: Lines) {
        let mut buffer = [0; 1024];
        loop {
            let count = match stderr.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            self.keep(&buffer[..count]);
            lines.push(&buffer[..count]);
        }
        lines.finish();
        lock(&self.stderr).is_all = true;
        self.said_all.notify_all();
    }

    fn keep(&self, bytes: &[u8]) {
        let mut tail = lock(&self.stderr);
        tail.bytes.extend(bytes);
        let excess = tail.bytes.len().saturating_sub(TAIL);
        tail.bytes.drain(..excess);
    }

    /// Waits for what a process that has ended wrote, as long as that may take.
    fn hear_last_words(&self) {
        let tail = lock(&self.stderr);
        // What is there must do, then.
        drop(self.said_all.wait_timeout_while(tail, LAST_WORDS, |tail| !tail.is_all));
    }

    fn cannot(&self, verb: &str, error: io::Error) -> Error {
        TransportError::new(format!("cannot {verb} {}", self.program), error).into()
    }

    /// Waits for the end, and tells everybody.
    #[cfg(any(feature = "tokio", feature = "futures-io"))]
    fn see_the_end(&self) {
        while matches!(self.try_wait(), Ok(None)) {
            self.child.until_it_ends();
        }
        self.hear_last_words();
        let waiting = lock(&self.watch).end();
        waiting.into_iter().for_each(std::task::Waker::wake);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread, if there is one to be had.
pub(crate) fn spawn_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("qmp-client".to_owned()).spawn(work).map(|_| ())
}
