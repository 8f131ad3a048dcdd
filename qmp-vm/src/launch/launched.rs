//! Virtual machines that were launched here.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use qmp_client::{Client, Error, Result};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::power::{self, Asked, ShutDown};
use crate::process::{Exit, Process};

/// A virtual machine that was [launched](crate::Launch): the client of its monitor, to which it
/// dereferences, and its process.
///
/// Dropping it ends the process, however many clones of the client exist. With the blocking client,
/// QEMU is first told to quit and given [`Launch::grace`](crate::Launch::grace) to exit; with the
/// asynchronous one, it is killed at once. [`quit`](Self::quit) and [`shut_down`](Self::shut_down)
/// end it in good order, and wait for the process.
#[derive(Debug)]
#[must_use = "dropping it ends the process"]
pub struct Launched<M: Monitor = Client> {
    client: M,
    process: Process,
}

impl<M: Monitor> Launched<M> {
    pub(crate) fn new(client: M, process: Process) -> Self {
        Self { client, process }
    }

    /// Returns the client, which may be cloned.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::Launched<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// println!("{}", vm.client().execute(QueryStatus::new())?.status);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn client(&self) -> &M {
        &self.client
    }

    /// Returns the process.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::Launch;
    ///
    /// let vm = Launch::new("qemu-system-x86_64").args(["-display", "none"]).start::<Client>()?;
    /// println!("process {}", vm.process().id());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Separates the client from the process, which is killed when it is dropped.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_vm::Launched<qmp_client::blocking::Client>) {
    /// let (client, process) = vm.into_parts();
    /// println!("process {}", process.id());
    /// # }
    /// ```
    #[must_use = "the process is killed when it is dropped"]
    pub fn into_parts(mut self) -> (M, Process) {
        (self.client.clone(), self.process.take())
    }

    /// Ends QEMU at once, and waits until its process has ended. The guest is not asked.
    ///
    /// The end of the process is what counts: it is success also if QEMU closes the connection
    /// before it replies, or had ended before.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::Launched<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// let exit = vm.quit()?;
    /// assert!(exit.success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// QEMU refuses, or its process has not ended in time.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, QEMU ends all the same.
    pub fn quit(&self) -> M::Outcome<'_, Result<Exit>> {
        self.quit_within(self.client.options().call_within("quit"))
    }

    /// [`quit`](Self::quit) with a deadline.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::Launched<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// // QEMU writes back what its disks have cached.
    /// let exit = vm.quit_within(Duration::from_secs(120))?;
    /// assert!(exit.success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`quit`](Self::quit).
    ///
    /// # Cancel safety
    /// That of [`quit`](Self::quit).
    pub fn quit_within(&self, within: Duration) -> M::Outcome<'_, Result<Exit>> {
        M::run(async move {
            let limit = Limit::new(&self.client, within, "QEMU to exit");
            let ended = power::end(&self.client, within).await;
            self.exit(ended, &limit).await
        })
    }

    /// Asks the guest to shut down, ends QEMU, and waits until its process has ended; see
    /// [`Workflows::shut_down`](crate::Workflows::shut_down). If QEMU has not ended within
    /// `patience` after it was told to quit, or if the connection does not work any more, the
    /// process is killed.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::Launch;
    ///
    /// let vm = Launch::new("qemu-system-x86_64").args(["-display", "none"]).start::<Client>()?;
    /// // The process has ended when this returns, one way or another.
    /// let end = vm.shut_down(Duration::from_secs(60))?;
    /// println!("{:?}", end.by);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The process cannot be killed.
    ///
    /// # Cancel safety
    /// If the future is dropped, a guest that was asked may still shut down, and a QEMU that was
    /// told to quit ends.
    pub fn shut_down(&self, patience: Duration) -> M::Outcome<'_, Result<ShutDown>> {
        M::run(async move {
            let asked = power::ask_guest(&self.client, patience).await;
            let limit = Limit::new(&self.client, patience, "QEMU to exit");
            let (event, ended) = power::end_and_listen(&self.client, patience).await;
            let asked = match (asked, &ended) {
                // `quit` may never have arrived.
                (Asked::Running, Err(error)) => Asked::failed(error),
                (asked, _) => asked,
            };
            if self.exit(ended, &limit).await.is_ok() {
                return Ok(ShutDown::new(asked, event));
            }
            let process = Arc::clone(self.process.inner());
            M::run_blocking(move || process.kill()).await??;
            Ok(ShutDown::killed(asked, event))
        })
    }

    /// Waits until the process has ended, after the attempt to end QEMU.
    ///
    /// # Errors
    /// The process has not ended: the error of the attempt, or a timeout.
    async fn exit(&self, ended: Result<()>, limit: &Limit) -> Result<Exit> {
        let process = Arc::clone(self.process.inner());
        let left = limit.left(&self.client);
        let within = match &ended {
            Ok(()) => left,
            Err(Error::Closed(closed)) if closed.by_peer() && closed.sent => left,
            // QEMU may not know that it is to end.
            Err(Error::Closed(_)) => left.min(process.grace()),
            Err(_) => Duration::ZERO,
        };
        match M::run_blocking(move || process.wait_within(within)).await? {
            Err(error) if error.is_timeout() => Err(ended.err().unwrap_or(limit.passed().into())),
            exit => exit,
        }
    }
}

impl<M: Monitor> Deref for Launched<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.client
    }
}

impl<M: Monitor> Drop for Launched<M> {
    fn drop(&mut self) {
        if self.process.kills() && self.process.inner().is_running() {
            // The asynchronous client executes nothing without being awaited: then the process is
            // killed when it is dropped. Errors cannot be reported.
            drop(self.quit_within(self.process.inner().grace()));
        }
    }
}
