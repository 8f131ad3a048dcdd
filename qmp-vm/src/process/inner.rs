//! The state that a process shares with the threads that read its output and wait for it.

use std::io::{self, Read};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use qmp_client::{Error, LaunchError, Result, Timeout, TransportError, WaitedFor};

use super::exit::Exit;
use super::lines::{Hook, Lines};
use super::owned::Owned;
use super::sync::lock;
use super::tail::Tail;
use super::watch::{Ended, Watch};

/// The time for which an output is read after the process has ended: another process may hold
/// it open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The first and the longest pause between two looks at a process.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

/// The outputs that are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reads {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// One of the two outputs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

#[derive(Debug)]
pub(crate) struct Inner {
    child: Owned,
    program: Box<str>,
    grace: Duration,
    stdout: Tail,
    stderr: Tail,
    watch: Mutex<Watch>,
}

impl Inner {
    /// Takes a child, whose output has been taken from it and is to be [read](Self::read).
    pub(super) fn new(child: Child, program: Box<str>, grace: Duration, reads: Reads) -> Self {
        Self {
            child: Owned::new(child),
            program,
            grace,
            stdout: Tail::new(!reads.stdout),
            stderr: Tail::new(!reads.stderr),
            watch: Mutex::default(),
        }
    }

    /// Ends the process when this program has ended.
    pub(super) fn supervise(&self) -> io::Result<()> {
        self.child.supervise(self.grace)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn tail(&self, output: Output) -> &Tail {
        match output {
            Output::Stdout => &self.stdout,
            Output::Stderr => &self.stderr,
        }
    }

    /// Returns the last of what the process wrote.
    pub(super) fn wrote(&self, output: Output) -> String {
        self.tail(output).text()
    }

    /// Returns the time that the process may take to end by itself.
    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.try_wait(), Ok(None))
    }

    pub(super) fn try_wait(&self) -> Result<Option<Exit>> {
        self.child.try_wait().map_err(|error| self.cannot("wait for", error))
    }

    pub(crate) fn wait_within(&self, within: Duration) -> Result<Exit> {
        let begin = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            let left = within.saturating_sub(begin.elapsed());
            if left.is_zero() {
                let waited_for = WaitedFor::State(format!("{} to exit", self.program).into());
                return Err(Timeout::new(waited_for, within).into());
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    pub(crate) fn kill(&self) -> Result<Exit> {
        self.start_kill()?;
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            self.wait_a_while();
        }
    }

    pub(super) fn start_kill(&self) -> Result<()> {
        self.child.start_kill().map_err(|error| self.cannot("kill", error))
    }

    /// Returns the error of a connection that ended before the greeting, most likely because the
    /// process ended; `None` if it has not.
    pub(crate) fn early_end(&self) -> Option<LaunchError> {
        let exit = self.wait_within(self.grace).ok()?;
        self.stderr.wait(LAST_WORDS);
        Some(self.exited(exit))
    }

    /// Returns the error of a process that did not greet in time. No other client can be the
    /// cause. If the process has ended by now, that may be because its monitor was closed.
    pub(crate) fn late_greeting(&self, timeout: Timeout) -> LaunchError {
        let waited_for = WaitedFor::State("the greeting".into());
        let timeout = Timeout::new(waited_for, timeout.within).because(timeout.cause);
        LaunchError::not_ready(&*self.program, self.wrote(Output::Stderr), timeout)
    }

    fn exited(&self, exit: Exit) -> LaunchError {
        LaunchError::exited(&*self.program, exit.status(), self.wrote(Output::Stderr))
    }

    /// Reads one of the outputs to its end, so that the process never waits for a reader.
    pub(super) fn read(&self, output: Output, mut pipe: impl Read, hook: Option<Hook>) {
        let tail = self.tail(output);
        let mut lines = Lines::new(hook);
        let mut buffer = [0; 4096];
        loop {
            let count = match pipe.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            tail.push(&buffer[..count]);
            lines.push(&buffer[..count]);
        }
        lines.finish();
        tail.finish();
    }

    fn cannot(&self, verb: &str, error: io::Error) -> Error {
        TransportError::new(format!("cannot {verb} {}", self.program), error).into()
    }

    /// Starts the thread that waits for the end, unless it has been started.
    ///
    /// # Errors
    /// The system has no thread to offer.
    pub(super) fn watch_with(
        self: &Arc<Self>,
        spawn: impl FnOnce(Arc<Self>) -> io::Result<()>,
    ) -> Result<()> {
        let mut watch = lock(&self.watch);
        if !watch.has_begun() {
            spawn(Arc::clone(self)).map_err(|error| self.cannot("wait for", error))?;
            watch.begin();
        }
        Ok(())
    }

    /// Returns whether a thread waits for the end.
    pub(super) fn is_watched(&self) -> bool {
        lock(&self.watch).has_begun()
    }

    /// Returns a future that is ready when the process has ended.
    pub(super) fn ended(&self) -> Ended<'_> {
        Ended::new(&self.watch)
    }

    /// Waits for the end, and wakes all tasks that wait for it.
    pub(super) fn watch_the_end(&self) {
        while self.is_running() {
            self.wait_a_while();
        }
        self.stderr.wait(LAST_WORDS);
        self.stdout.wait(LAST_WORDS);
        let waiting = lock(&self.watch).end();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Returns when the process has ended, or after a moment.
    fn wait_a_while(&self) {
        if !self.child.has_been_seen_to_end() {
            std::thread::sleep(PAUSES.1);
        }
    }
}
