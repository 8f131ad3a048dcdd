//! Migrations: when to look, when it is over, and when what follows is.

use std::time::{Duration, Instant};

use qmp_types::qmp::commands::MigrateSetCapabilities;
use qmp_types::qmp::types::{
    MigrationCapability, MigrationCapabilityStatus, MigrationInfo, MigrationStatus, RunState,
};

use crate::error::{Result, Timeout, WaitedFor};
use crate::machine::Deadline;

/// How long nobody looks at a migration of which nothing is heard.
const LOOK: Duration = Duration::from_millis(500);

/// How long QEMU may take for what follows the end of a migration.
pub(crate) const SETTLING: Duration = Duration::from_secs(30);

/// The pauses between looks at the run state: there is no event for each change.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A migration that is followed.
#[derive(Debug)]
pub(crate) struct MigrationWatch {
    within: Duration,
    deadline: Option<Deadline>,
}

impl MigrationWatch {
    pub(crate) fn new(now: Instant, within: Duration) -> Self {
        Self { within, deadline: Deadline::after(now, within) }
    }

    /// What makes QEMU tell of every change.
    pub(crate) fn events() -> MigrateSetCapabilities {
        let events = MigrationCapabilityStatus::new(MigrationCapability::Events, true);
        MigrateSetCapabilities::new(vec![events])
    }

    /// How long to wait for an event before the next look; nothing when it is over, one way or
    /// the other.
    pub(crate) fn pause(&self, info: &MigrationInfo, now: Instant) -> Result<Option<Duration>> {
        use MigrationStatus::{Cancelled, Completed, Failed};
        if matches!(info.status, Some(Cancelled | Completed | Failed)) {
            return Ok(None);
        }
        let left = self.deadline.map(|limit| limit.at.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            let waited_for =
                WaitedFor::Event { name: Some("MIGRATION"), command: Some("migrate".into()) };
            return Err(Timeout::new(waited_for, self.within).into());
        }
        Ok(Some(left.map_or(LOOK, |left| left.min(LOOK))))
    }
}

/// A run state that is looked at until it stays.
#[derive(Debug)]
pub(crate) struct Settling {
    within: Duration,
    deadline: Option<Deadline>,
    pause: Duration,
}

impl Settling {
    pub(crate) fn new(now: Instant, within: Duration) -> Self {
        Self { within, deadline: Deadline::after(now, within), pause: FIRST_PAUSE }
    }

    /// How long to wait before the next look; nothing if it stays.
    pub(crate) fn pause(&mut self, status: &RunState, now: Instant) -> Result<Option<Duration>> {
        use RunState::{FinishMigrate, Inmigrate, RestoreVm, SaveVm};
        if !matches!(status, FinishMigrate | Inmigrate | RestoreVm | SaveVm) {
            return Ok(None);
        }
        let left = self.deadline.map(|limit| limit.at.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Timeout::new(WaitedFor::Settled, self.within).into());
        }
        let pause = left.map_or(self.pause, |left| left.min(self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(Some(pause))
    }
}
