//! Migrations.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use qmp_client::protocol::Printable;
use qmp_client::{Error, RawEvent, Request, Result};
use qmp_types::qmp::commands::{MigrateSetCapabilities, QueryMigrate, QueryStatus};
use qmp_types::qmp::events::Migration;
use qmp_types::qmp::types::{
    MigrationCapability, MigrationCapabilityStatus, MigrationInfo, MigrationStatus, RunState,
};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::session::Events;

/// The longest pause between two looks at a migration.
const LOOK: Duration = Duration::from_millis(500);

/// The number of looks, ten seconds of them, after which a migration that still waits is taken to go
/// on waiting. Resuming takes as long as connecting to the destination.
const IDLE_LOOKS: u32 = 20;

/// The first and the longest pause between two looks at the run state: QEMU does not send an event
/// for every change.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// The outcome of following a migration.
#[derive(Clone, Debug)]
#[must_use = "the migration may have failed, may have been cancelled, or may be waiting"]
#[non_exhaustive]
pub enum MigrationOutcome {
    /// The virtual machine runs at its destination.
    Completed(Box<MigrationInfo>),
    /// The migration failed.
    Failed(Box<MigrationInfo>),
    /// The migration was cancelled.
    Cancelled(Box<MigrationInfo>),
    /// The migration has not ended: it waits for a command of this program, without a deadline.
    ///
    /// - In the state `pre-switchover`, the guest is stopped, because the capability
    ///   `pause-before-switchover` is set. `migrate-continue` completes the migration.
    /// - In the state `postcopy-paused`, the connection to the destination is lost. `migrate` with
    ///   `resume` establishes another one.
    Waiting(Box<MigrationInfo>),
}

impl MigrationOutcome {
    /// Returns the outcome, if the migration has ended or waits for a command.
    fn of(info: &MigrationInfo) -> Option<fn(Box<MigrationInfo>) -> Self> {
        match &info.status {
            Some(MigrationStatus::Completed) => Some(Self::Completed),
            Some(MigrationStatus::Failed) => Some(Self::Failed),
            Some(MigrationStatus::Cancelled) => Some(Self::Cancelled),
            Some(status) if is_waiting(status) => Some(Self::Waiting),
            _ => None,
        }
    }

    /// Returns the last state that QEMU reported.
    ///
    /// ```
    /// # fn example(outcome: &qmp_vm::MigrationOutcome) {
    /// println!("{:?}", outcome.info().downtime);
    /// # }
    /// ```
    #[must_use]
    pub fn info(&self) -> &MigrationInfo {
        match self {
            Self::Completed(info)
            | Self::Failed(info)
            | Self::Cancelled(info)
            | Self::Waiting(info) => info,
        }
    }

    /// Returns whether the migration completed.
    ///
    /// ```
    /// # fn example(outcome: &qmp_vm::MigrationOutcome) {
    /// if outcome.is_completed() {
    ///     println!("the machine runs at the destination");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn is_completed(&self) -> bool {
        matches!(self, Self::Completed(_))
    }

    /// Returns whether the migration waits for a command.
    ///
    /// ```
    /// # fn example(outcome: &qmp_vm::MigrationOutcome) {
    /// if outcome.is_waiting() {
    ///     println!("paused before the switch-over");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Returns the last state that QEMU reported if the migration completed, for `?`.
    ///
    /// ```
    /// # fn example(outcome: qmp_vm::MigrationOutcome) -> Result<(), Box<dyn std::error::Error>> {
    /// let info = outcome.into_result()?;
    /// println!("{:?} ms", info.total_time);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The migration failed, was cancelled, or waits for a command.
    pub fn into_result(self) -> Result<MigrationInfo, MigrationError> {
        match self {
            Self::Completed(info) => Ok(*info),
            Self::Failed(info) | Self::Cancelled(info) | Self::Waiting(info) => {
                Err(MigrationError { info })
            }
        }
    }
}

/// Returns whether a migration in this state goes on only after a command.
fn is_waiting(status: &MigrationStatus) -> bool {
    matches!(status, MigrationStatus::PreSwitchover | MigrationStatus::PostcopyPaused)
}

/// A migration that failed, was cancelled, or waits for a command.
#[derive(Clone)]
#[non_exhaustive]
pub struct MigrationError {
    /// The last state that QEMU reported.
    pub info: Box<MigrationInfo>,
}

impl fmt::Debug for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "MigrationError", self, format_args!(""))
    }
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::write(f, |f| {
            match &self.info.status {
                Some(MigrationStatus::Cancelled) => f.write_str("the migration was cancelled")?,
                Some(status) if is_waiting(status) => {
                    write!(f, "the migration waits for a command in the state `{status}`")?;
                }
                _ => f.write_str("the migration failed")?,
            }
            match &self.info.error_desc {
                Some(reason) => write!(f, ": {}", Printable(reason)),
                None => Ok(()),
            }
        })
    }
}

impl StdError for MigrationError {}

pub(crate) async fn migrate<M: Monitor>(
    vm: &M,
    command: impl Request<Return: Send> + Send,
    within: Duration,
    progress: impl FnMut(&MigrationInfo) + Send,
) -> Result<MigrationOutcome> {
    let mut watch = MigrationWatch::new(vm, within);
    let events = MigrationCapabilityStatus::new(MigrationCapability::Events, true);
    match watch.limit.execute(vm, MigrateSetCapabilities::new(vec![events])).await {
        // A migration that waits for the command does not accept capabilities. Without events,
        // polling tells its state, later.
        Err(error) if error.server().is_none() => return Err(error),
        _ => {}
    }
    watch.limit.execute(vm, command).await?;
    watch.follow(vm, progress).await
}

pub(crate) async fn follow_migration<M: Monitor>(
    vm: &M,
    within: Duration,
    progress: impl FnMut(&MigrationInfo) + Send,
) -> Result<MigrationOutcome> {
    let mut watch = MigrationWatch::new(vm, within);
    watch.has_moved = true;
    watch.follow(vm, progress).await
}

/// A migration that is followed.
struct MigrationWatch<M: Monitor> {
    changes: M::Events,
    limit: Limit,
    /// Whether the migration is known to have left the state in which it waited for the command.
    has_moved: bool,
    /// The number of looks without an event before them.
    idle_looks: u32,
}

impl<M: Monitor> MigrationWatch<M> {
    fn new(vm: &M, within: Duration) -> Self {
        Self {
            changes: vm.subscribe(RawEvent::is::<Migration>),
            limit: Limit::new(vm, within, "the migration to end").with_reserve(),
            has_moved: false,
            idle_looks: 0,
        }
    }

    async fn follow(
        &mut self,
        vm: &M,
        mut progress: impl FnMut(&MigrationInfo) + Send,
    ) -> Result<MigrationOutcome> {
        loop {
            let info = self.limit.execute(vm, QueryMigrate::new()).await?;
            progress(&info);
            let state = info.status.clone().unwrap_or(MigrationStatus::None);
            self.limit.describe(format!("the migration to end; its state is `{state}`"));
            let waits = is_waiting(&state);
            match MigrationOutcome::of(&info) {
                // The command may not have taken effect yet: see the next look.
                Some(_) if waits && !self.has_moved => {}
                Some(outcome) => {
                    if !waits {
                        // The outcome is known, and counts for more than a failure to settle.
                        let _ = settle(vm, self.limit.to_the_end().left(vm)).await;
                    }
                    return Ok(outcome(Box::new(info)));
                }
                None => self.has_moved = true,
            }
            match self.changes.next_within(self.limit.pause(vm, LOOK)?).await {
                // Whatever the event says, the next look tells.
                Some(Ok(_) | Err(Error::Lagged(_))) => self.has_moved = true,
                Some(Err(Error::Timeout(_))) | None => {
                    self.idle_looks += 1;
                    self.has_moved |= self.idle_looks >= IDLE_LOOKS;
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

pub(crate) async fn settle<M: Monitor>(vm: &M, within: Duration) -> Result<RunState> {
    use RunState::{FinishMigrate, Inmigrate, RestoreVm, SaveVm};
    let mut limit = Limit::new(vm, within, "the run state to settle");
    let mut pause = PAUSES.0;
    loop {
        let status = limit.execute(vm, QueryStatus::new()).await?.status;
        if !matches!(status, FinishMigrate | Inmigrate | RestoreVm | SaveVm) {
            return Ok(status);
        }
        limit.describe(format!("the run state to settle; it is `{status}`"));
        vm.pause(limit.pause(vm, pause)?).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
