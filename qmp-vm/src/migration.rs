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

/// The time that QEMU may take to clean up after a migration.
const SETTLING: Duration = Duration::from_secs(30);

/// The first and the longest pause between two looks at the run state: QEMU does not send an event
/// for every change.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// The end of a migration.
#[derive(Clone, Debug)]
#[must_use = "the migration may have failed, or may have been cancelled"]
#[non_exhaustive]
pub enum MigrationOutcome {
    /// The virtual machine runs at its destination.
    Completed(Box<MigrationInfo>),
    /// The migration failed.
    Failed(Box<MigrationInfo>),
    /// The migration was cancelled.
    Cancelled(Box<MigrationInfo>),
}

impl MigrationOutcome {
    /// Returns the outcome, if the migration has ended.
    fn of(info: &MigrationInfo) -> Option<fn(Box<MigrationInfo>) -> Self> {
        match info.status {
            Some(MigrationStatus::Completed) => Some(Self::Completed),
            Some(MigrationStatus::Failed) => Some(Self::Failed),
            Some(MigrationStatus::Cancelled) => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// Returns the last state that QEMU reported.
    #[must_use]
    pub fn info(&self) -> &MigrationInfo {
        match self {
            Self::Completed(info) | Self::Failed(info) | Self::Cancelled(info) => info,
        }
    }

    /// Returns whether the migration completed.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        matches!(self, Self::Completed(_))
    }

    /// Returns the last state that QEMU reported if the migration completed, for `?`.
    ///
    /// # Errors
    /// The migration failed, or was cancelled.
    pub fn into_result(self) -> Result<MigrationInfo, MigrationError> {
        match self {
            Self::Completed(info) => Ok(*info),
            Self::Failed(info) | Self::Cancelled(info) => Err(MigrationError { info }),
        }
    }
}

/// A migration that failed or was cancelled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigrationError {
    /// The last state that QEMU reported.
    pub info: Box<MigrationInfo>,
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.info.status {
            Some(MigrationStatus::Cancelled) => "the migration was cancelled",
            _ => "the migration failed",
        })?;
        match &self.info.error_desc {
            Some(reason) => write!(f, ": {}", Printable(reason)),
            None => Ok(()),
        }
    }
}

impl StdError for MigrationError {}

pub(crate) async fn migrate<M: Monitor>(
    vm: &M,
    command: impl Request<Return: Send> + Send,
    within: Duration,
    mut progress: impl FnMut(&MigrationInfo) + Send,
) -> Result<MigrationOutcome> {
    let limit = Limit::new(vm, within, "the migration to end");
    let mut changes = vm.subscribe(RawEvent::is::<Migration>);
    let events = MigrationCapabilityStatus::new(MigrationCapability::Events, true);
    limit.execute(vm, MigrateSetCapabilities::new(vec![events])).await?;
    limit.execute(vm, command).await?;
    loop {
        let info = limit.execute(vm, QueryMigrate::new()).await?;
        progress(&info);
        if let Some(outcome) = MigrationOutcome::of(&info) {
            // The outcome is known, and counts for more than a failure to settle.
            let _ = settle(vm, SETTLING).await;
            return Ok(outcome(Box::new(info)));
        }
        match changes.next_within(limit.pause(vm, LOOK)?).await {
            // Whatever the event says, the next look tells.
            Some(Ok(_) | Err(Error::Timeout(_) | Error::Lagged(_))) | None => {}
            Some(Err(error)) => return Err(error),
        }
    }
}

pub(crate) async fn settle<M: Monitor>(vm: &M, within: Duration) -> Result<RunState> {
    use RunState::{FinishMigrate, Inmigrate, RestoreVm, SaveVm};
    let limit = Limit::new(vm, within, "the run state to settle");
    let mut pause = PAUSES.0;
    loop {
        let status = limit.execute(vm, QueryStatus::new()).await?.status;
        if !matches!(status, FinishMigrate | Inmigrate | RestoreVm | SaveVm) {
            return Ok(status);
        }
        vm.pause(limit.pause(vm, pause)?).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
