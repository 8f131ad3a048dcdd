//! The parts that become stale by an event, and by a command.
//!
//! An event names what it is about, but not everything that changes with it: at the end of a mirror
//! job, block nodes are replaced, too. So a rule lists every part that may have changed, and the parts
//! are asked again as a whole.

use qmp_types::qmp;
use qmp_types::qmp::types::{JobStatus, MigrationStatus, RunState};

use super::part::{Part, Parts, Values};

/// Block nodes and all that refers to them.
const BLOCK: Parts = Parts::of(&[
    Part::Jobs,
    Part::BlockJobs,
    Part::Nodes,
    Part::Graph,
    Part::Drives,
    Part::Exports,
]);
/// The run state, and what follows from it: QEMU gives up block nodes during a migration, and resets
/// I/O errors when the guest goes on.
const RUN: Parts = Parts::of(&[
    Part::Status,
    Part::Migration,
    Part::Jobs,
    Part::BlockJobs,
    Part::Nodes,
    Part::Graph,
    Part::Drives,
    Part::Exports,
    Part::Pci,
]);
/// Memory and what provides it.
const MEMORY: Parts =
    Parts::of(&[Part::MemoryBackends, Part::MemorySize, Part::MemoryDevices, Part::Balloon]);

/// Returns the parts that may have changed when an event is sent. An event that no rule knows, such as
/// one of a later release, may mean anything.
pub(super) fn changed_by_event(name: &str) -> Parts {
    match name {
        "STOP" | "RESUME" | "SUSPEND" | "SUSPEND_DISK" | "WAKEUP" | "SHUTDOWN" | "WATCHDOG"
        | "GUEST_PANICKED" | "GUEST_CRASHLOADED" | "GUEST_PVSHUTDOWN" | "COLO_EXIT"
        | "MIGRATION" | "MIGRATION_PASS" | "VFIO_MIGRATION" => RUN,
        // The guest configures its devices anew, and releases those that were to be unplugged.
        "RESET" | "DEVICE_DELETED" | "UNPLUG_PRIMARY" | "FAILOVER_NEGOTIATED" => Parts::ALL,
        "JOB_STATUS_CHANGE"
        | "BLOCK_JOB_COMPLETED"
        | "BLOCK_JOB_CANCELLED"
        | "BLOCK_JOB_ERROR"
        | "BLOCK_JOB_READY"
        | "BLOCK_JOB_PENDING" => BLOCK,
        "BLOCK_IO_ERROR" => BLOCK.and(RUN),
        "BLOCK_IMAGE_CORRUPTED"
        | "BLOCK_WRITE_THRESHOLD"
        | "QUORUM_FAILURE"
        | "QUORUM_REPORT_BAD"
        | "BLOCK_EXPORT_DELETED"
        | "DEVICE_TRAY_MOVED" => BLOCK,
        "DEVICE_UNPLUG_GUEST_ERROR" | "ACPI_DEVICE_OST" => {
            MEMORY.and(Parts::of(&[Part::Devices, Part::Cpus, Part::Pci]))
        }
        "BALLOON_CHANGE"
        | "HV_BALLOON_STATUS_REPORT"
        | "MEMORY_DEVICE_SIZE_CHANGE"
        | "MEM_UNPLUG_ERROR" => MEMORY,
        "VSERPORT_CHANGE" | "SPICE_CONNECTED" | "SPICE_DISCONNECTED" | "SPICE_INITIALIZED" => {
            Parts::of(&[Part::Chardevs])
        }
        "NETDEV_STREAM_CONNECTED"
        | "NETDEV_STREAM_DISCONNECTED"
        | "NETDEV_VHOST_USER_CONNECTED"
        | "NETDEV_VHOST_USER_DISCONNECTED" => Parts::of(&[Part::Chardevs]),
        "DUMP_COMPLETED" => Parts::of(&[Part::Status]),
        // What these tell is in none of the parts.
        "POWERDOWN"
        | "RTC_CHANGE"
        | "MEMORY_FAILURE"
        | "VNC_CONNECTED"
        | "VNC_DISCONNECTED"
        | "VNC_INITIALIZED"
        | "SPICE_MIGRATE_COMPLETED"
        | "NIC_RX_FILTER_CHANGED"
        | "RDMA_GID_STATUS_CHANGED"
        | "PR_MANAGER_STATUS_CHANGED"
        | "VFU_CLIENT_HANGUP"
        | "CPU_POLARIZATION_CHANGE"
        | "SCLP_CPI_INFO_AVAILABLE" => Parts::NONE,
        _ => Parts::ALL,
    }
}

/// Returns the parts that may have changed when a command has been executed.
pub(super) fn changed_by_command(name: &str) -> Parts {
    if qmp::is_read_only(name) {
        return Parts::NONE;
    }
    match name {
        // What these change is in none of the parts.
        "qmp_capabilities"
        | "send-key"
        | "input-send-event"
        | "screendump"
        | "set_password"
        | "expire_password"
        | "add-fd"
        | "remove-fd"
        | "getfd"
        | "closefd"
        | "add_client"
        | "client_migrate_info"
        | "trace-event-set-state"
        | "ringbuf-write"
        | "ringbuf-read"
        | "memsave"
        | "pmemsave"
        | "set_link"
        | "announce-self" => Parts::NONE,
        // A client of an NBD server appears in no query, but the node that is exported does.
        "nbd-server-start"
        | "nbd-server-stop"
        | "nbd-server-add"
        | "nbd-server-remove"
        | "block-export-add"
        | "block-export-del"
        | "block-dirty-bitmap-add"
        | "block-dirty-bitmap-remove"
        | "block-dirty-bitmap-clear"
        | "block-dirty-bitmap-enable"
        | "block-dirty-bitmap-disable"
        | "block-dirty-bitmap-merge"
        | "block-set-write-threshold"
        | "block-job-set-speed"
        | "job-pause"
        | "job-resume"
        | "job-cancel"
        | "job-complete"
        | "job-dismiss"
        | "job-finalize"
        | "block_resize" => BLOCK,
        "chardev-add" | "chardev-remove" | "chardev-change" | "chardev-send-break" => {
            Parts::of(&[Part::Chardevs])
        }
        _ => Parts::ALL,
    }
}

/// Returns the parts that change by themselves, without an event, as these values tell.
pub(super) fn in_motion(values: &Values) -> Parts {
    let mut parts = Parts::NONE;
    let migration = values.migration.as_deref().and_then(|it| it.status.as_ref());
    if migration.is_some_and(is_migrating) {
        parts = parts.and(RUN);
    }
    let run_state = values.status.as_deref().map(|it| &it.status);
    if run_state.is_some_and(is_passing) {
        parts = parts.and(RUN);
    }
    let is_working = |status: &JobStatus| {
        !matches!(status, JobStatus::Concluded | JobStatus::Pending | JobStatus::Null)
    };
    if values.jobs.iter().flat_map(|jobs| jobs.iter()).any(|job| is_working(&job.status)) {
        parts = parts.and(BLOCK);
    }
    if values.exports.iter().flat_map(|exports| exports.iter()).any(|it| it.shutting_down) {
        parts = parts.and(BLOCK);
    }
    parts
}

/// Returns whether a migration ends by itself.
fn is_migrating(status: &MigrationStatus) -> bool {
    !matches!(
        status,
        MigrationStatus::None
            | MigrationStatus::Cancelled
            | MigrationStatus::Completed
            | MigrationStatus::Failed
    )
}

/// Returns whether a run state ends by itself.
fn is_passing(state: &RunState) -> bool {
    matches!(
        state,
        RunState::FinishMigrate | RunState::RestoreVm | RunState::SaveVm | RunState::Inmigrate
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use qmp_client::{Event, Vocabulary};
    use qmp_types::qmp::events::{DeviceDeleted, JobStatusChange, Stop};

    use super::*;

    #[test]
    fn an_event_concerns_what_changes_with_it() {
        let stop = changed_by_event(Stop::NAME);
        assert!(stop.contains(Part::Status) && !stop.contains(Part::Objects));
        // A QEMU that stops for a migration gives up its permissions on block nodes.
        assert!(stop.contains(Part::Graph));
        let job = changed_by_event(JobStatusChange::NAME);
        assert!(job.contains(Part::Jobs) && job.contains(Part::Nodes));
        assert_eq!(changed_by_event(DeviceDeleted::NAME), Parts::ALL);
        assert_eq!(changed_by_event("OF_A_LATER_RELEASE"), Parts::ALL);
    }

    #[test]
    fn a_command_that_only_asks_changes_nothing() {
        assert_eq!(changed_by_command("query-jobs"), Parts::NONE);
        assert_eq!(changed_by_command("device_add"), Parts::ALL);
        assert_eq!(changed_by_command("x-of-a-later-release"), Parts::ALL);
    }

    /// A misspelled name in a rule would be a rule that never applies.
    #[test]
    fn every_name_in_a_rule_is_in_the_schema() {
        let source = include_str!("rules.rs");
        let code = source.split("#[cfg(test)]").next().unwrap();
        let names = code.split('"').skip(1).step_by(2);
        let (mut events, mut commands) = (0, 0);
        for name in names {
            if name.chars().all(|char| char.is_ascii_uppercase() || char == '_') {
                assert!(qmp::AnyEvent::EVENTS.contains(&name), "{name}");
                events += 1;
            } else {
                let entry = format!(r#""meta-type":"command","name":"{name}""#);
                assert!(qmp::INTROSPECTION.contains(&entry), "{name}");
                commands += 1;
            }
        }
        assert!(events > 40 && commands > 20, "{events} {commands}");
    }
}
