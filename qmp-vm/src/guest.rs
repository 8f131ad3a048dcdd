//! Guests that read what is sent to them.

use std::time::Duration;

use qmp_client::{Error, Result};
use qmp_types::qmp::commands::QueryStatus;
use qmp_types::qmp::events::{Resume, Stop};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::session::Events;

/// The longest pause between two looks at a guest that does not run.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// The number of events that are read before the next command.
const MOST_EVENTS: usize = 1000;

/// A guest that reads keys and other input. QEMU drops them for one that does not run.
pub(crate) struct Guest<'a, M: Monitor> {
    pub(crate) vm: &'a M,
    changes: M::Events,
    /// Whether the guest runs; `None` if that has to be queried.
    runs: Option<bool>,
}

impl<'a, M: Monitor> Guest<'a, M> {
    pub(crate) fn new(vm: &'a M) -> Self {
        let changes = vm.subscribe(|event| event.is::<Stop>() || event.is::<Resume>());
        Self { vm, changes, runs: None }
    }

    /// Returns the limit of a wait for the guest, or for an end of its stopping and running.
    pub(crate) fn limit(&self, state: &'static str) -> Limit {
        Limit::new(self.vm, self.vm.options().call_within("send-key"), state)
    }

    /// Waits until the guest runs.
    ///
    /// # Errors
    /// It is not resumed within the deadline of a call.
    pub(crate) async fn wait_until_it_runs(&mut self) -> Result<()> {
        let limit = self.limit("the guest to run, because only then can it read keys");
        loop {
            self.hear().await?;
            if self.runs == Some(true) {
                return Ok(());
            }
            let status = limit.execute(self.vm, QueryStatus::new()).await?;
            self.runs = Some(status.running);
            // An event may be older than the reply, or newer.
            if self.hear().await? {
                self.runs = None;
            } else if !status.running {
                self.vm.pause(limit.pause(self.vm, LOOK)?).await;
            }
        }
    }

    /// Returns whether the guest has been stopped since it was waited for.
    pub(crate) async fn is_stopped(&mut self) -> Result<bool> {
        self.hear().await?;
        Ok(self.runs == Some(false))
    }

    /// Gives the guest this time to read. If it was stopped meanwhile, the time begins again when it
    /// goes on.
    ///
    /// # Errors
    /// The guest is stopped and resumed again and again.
    pub(crate) async fn read_for(&mut self, pause: Duration) -> Result<()> {
        let mut limit = None;
        loop {
            self.vm.pause(pause).await;
            if !self.hear().await? {
                return Ok(());
            }
            let limit = limit.get_or_insert_with(|| self.limit("the guest to run and to read"));
            limit.pause(self.vm, LOOK)?;
            self.wait_until_it_runs().await?;
        }
    }

    /// Reads the events that have arrived, and returns whether any has.
    async fn hear(&mut self) -> Result<bool> {
        let mut heard = false;
        // A peer may send events without end.
        for _ in 0..MOST_EVENTS {
            let Some(event) = self.changes.next_within(Duration::ZERO).await else { break };
            match event {
                Ok(event) => self.runs = Some(event.is::<Resume>()),
                Err(Error::Lagged(_)) => self.runs = None,
                Err(error) if error.is_timeout() => break,
                Err(error) => return Err(error),
            }
            heard = true;
        }
        Ok(heard)
    }
}
