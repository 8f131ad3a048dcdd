//! A process that was launched: its output, and its end.

mod exit;
mod inner;
mod lines;
mod owned;
mod supervisor;
mod sync;
mod tail;
pub(crate) mod thread;
mod watch;

use std::io;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use qmp_client::Result;

use inner::{Inner, Output, Reads};

pub use exit::Exit;
pub(crate) use lines::{Hook, Hooks};

/// A process that was [launched](crate::Launch). Dropping it kills the process.
///
/// If this program waits for all its children, as the first process of a container does, or ignores
/// `SIGCHLD`, the exit status may go elsewhere. [`Exit`] then reports the end without a status.
#[derive(Debug)]
pub struct Process {
    inner: Arc<Inner>,
    /// Whether dropping this kills the process.
    kills: bool,
}

impl Process {
    /// Takes a child. The outputs of it that are pipes are read from now on.
    ///
    /// # Errors
    /// The system has no thread to offer; the child has been killed.
    pub(crate) fn new(
        mut child: Child,
        program: Box<str>,
        grace: Duration,
        hooks: Hooks,
    ) -> io::Result<Self> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reads = Reads { stdout: stdout.is_some(), stderr: stderr.is_some() };
        let inner = Arc::new(Inner::new(child, program, grace, reads));
        // From here on, the child is killed if anything fails.
        let process = Self { inner, kills: true };
        if let Some(stdout) = stdout {
            process.read(Output::Stdout, stdout, hooks.stdout)?;
        }
        if let Some(stderr) = stderr {
            process.read(Output::Stderr, stderr, hooks.stderr)?;
        }
        Ok(process)
    }

    /// Reads an output on a thread.
    fn read(
        &self,
        output: Output,
        pipe: impl io::Read + Send + 'static,
        hook: Option<Hook>,
    ) -> io::Result<()> {
        let inner = Arc::clone(&self.inner);
        thread::spawn(move || inner.read(output, pipe, hook))
    }

    /// Ends the process when this program has ended.
    ///
    /// # Errors
    /// The supervisor cannot be started.
    pub(crate) fn supervise(&self) -> io::Result<()> {
        self.inner.supervise()
    }

    /// Returns the process id.
    ///
    /// ```
    /// # fn example(process: &qmp_vm::Process) {
    /// println!("process {}", process.id());
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Returns the last 4 KiB that the process wrote to its standard error, as far as they have
    /// arrived. [`Launch::on_stderr`](crate::Launch::on_stderr) is called with all of it.
    ///
    /// ```
    /// # fn example(process: &qmp_vm::Process) {
    /// eprintln!("{}", process.stderr());
    /// # }
    /// ```
    #[must_use]
    pub fn stderr(&self) -> String {
        self.inner.wrote(Output::Stderr)
    }

    /// Returns the last 4 KiB that the process wrote to its standard output, as far as they have
    /// arrived, if that is read: because of [`Launch::on_stdout`](crate::Launch::on_stdout), which is
    /// called with all of it, or because [`Launch::configure`](crate::Launch::configure) made it a
    /// pipe.
    ///
    /// ```
    /// # fn example(process: &qmp_vm::Process) {
    /// println!("{}", process.stdout());
    /// # }
    /// ```
    #[must_use]
    pub fn stdout(&self) -> String {
        self.inner.wrote(Output::Stdout)
    }

    /// Returns how the process ended, if it has.
    ///
    /// ```
    /// # fn example(process: &qmp_vm::Process) -> Result<(), Box<dyn std::error::Error>> {
    /// if let Some(exit) = process.try_wait()? {
    ///     println!("{exit:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system reports an error.
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.inner.try_wait()
    }

    /// Waits until the process has ended, and blocks the thread. Asynchronous programs use
    /// [`wait`](Self::wait).
    ///
    /// ```no_run
    /// # #[cfg(unix)]
    /// # fn example(process: qmp_vm::Process) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// let exit = process.wait_within(Duration::from_secs(10))?;
    /// println!("{}", exit.success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The process has not ended in time, or the system reports an error.
    pub fn wait_within(&self, within: Duration) -> Result<Exit> {
        self.inner.wait_within(within)
    }

    /// Waits until the process has ended. By then, [`stderr`](Self::stderr) returns its last words.
    ///
    /// Any number of tasks may wait, on any executor: a thread waits for the process, and wakes
    /// them.
    ///
    /// # Errors
    /// The system reports an error.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait(&self) -> Result<Exit> {
        self.watch()?;
        self.inner.ended().await;
        self.wait_within(Duration::ZERO)
    }

    /// Kills the process, and waits until it has ended. This blocks the thread until the system has
    /// freed the memory of the process, of which QEMU may have a lot. Asynchronous programs use
    /// [`start_kill`](Self::start_kill) and [`wait`](Self::wait).
    ///
    /// ```
    /// # fn example(process: &qmp_vm::Process) -> Result<(), Box<dyn std::error::Error>> {
    /// let exit = process.kill()?;
    /// assert!(!exit.success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system reports an error.
    pub fn kill(&self) -> Result<Exit> {
        self.inner.kill()
    }

    /// Kills the process, and does not wait until it has ended. A process that has ended already is
    /// not signaled.
    ///
    /// ```
    /// # fn example(process: &qmp_vm::Process) -> Result<(), Box<dyn std::error::Error>> {
    /// process.start_kill()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system reports an error.
    pub fn start_kill(&self) -> Result<()> {
        self.inner.start_kill()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Starts a thread that waits for the end of the process.
    ///
    /// # Errors
    /// The system has no thread to offer.
    pub(crate) fn watch(&self) -> Result<()> {
        self.inner.watch_with(|inner| thread::spawn(move || inner.watch_the_end()))
    }

    /// Returns whether dropping this kills the process.
    pub(crate) fn kills(&self) -> bool {
        self.kills
    }

    /// Moves the duty to kill the process to a new owner.
    pub(crate) fn take(&mut self) -> Self {
        let kills = std::mem::replace(&mut self.kills, false);
        Self { inner: Arc::clone(&self.inner), kills }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kills || !self.inner.is_running() {
            return;
        }
        // The process may have ended in between, and errors cannot be reported anyway.
        if self.inner.is_watched() {
            let _ = self.start_kill();
        } else {
            let _ = self.kill();
        }
    }
}
