//! Migrations: when to look, and when it is over.

use std::time::{Duration, Instant};

use qmp_types::qmp::commands::MigrateSetCapabilities;
use qmp_types::qmp::types::{
    MigrationCapability, MigrationCapabilityStatus, MigrationInfo, MigrationStatus,
};

use crate::error::{Result, Timeout, WaitedFor};
use crate::machine::Deadline;

/// How long nobody looks at a migration of which nothing is heard.
const LOOK: Duration = Duration::from_millis(500);

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
            let waited_for = WaitedFor::Event(Some("MIGRATION"));
            return Err(Timeout::new(waited_for, self.within).into());
        }
        Ok(Some(left.map_or(LOOK, |left| left.min(LOOK))))
    }
}
