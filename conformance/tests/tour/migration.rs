//! Migration to and from a file, snapshots and the dirty page rate.

use std::time::{Duration, Instant};

use conformance::TIMEOUT;
use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{JobStatusChange, Migration, MigrationPass, Resume};
use qmp_client::qmp::types::{
    DirtyRateStatus, JobStatus, MigrationCapability, MigrationCapabilityStatus, MigrationStatus,
    RunState,
};

use crate::block::qcow2;
use crate::stage::{Guide, Tour, scratch};

pub(crate) fn tour(guide: &mut Guide<'_>) {
    let scratch = scratch();
    let state = scratch.file("state");
    let machine = "-M pc,accel=tcg -m 32";
    let mut tour = guide.start(machine, &[]);
    snapshots(&mut tour, &scratch.file("snapshots.qcow2"));
    dirty_rate(&mut tour);
    tour.run(XenSaveDevicesState::new(scratch.file("devices")));
    migrate_to_file(&mut tour, &state);
    drop(tour);
    migrate_from_file(&mut guide.start(machine, &["-incoming", "defer"]), &state);
}

fn snapshots(tour: &mut Tour<'_>, path: &str) {
    qcow2(tour, "disk0", path);
    let disks = || vec![String::from("disk0")];
    let concluded = |tour: &mut Tour<'_>, id: &str| {
        tour.event(|change: &JobStatusChange| {
            change.id == id && change.status == JobStatus::Concluded
        });
        let jobs = tour.run(QueryJobs::new()).unwrap();
        let job = jobs.into_iter().find(|job| job.id == id).unwrap();
        assert_eq!(job.error, None);
        tour.run(JobDismiss::new(id));
    };
    tour.run(SnapshotSave::new("save", "s0", "disk0", disks()));
    concluded(tour, "save");
    tour.run(SnapshotLoad::new("load", "s0", "disk0", disks()));
    concluded(tour, "load");
    tour.run(SnapshotDelete::new("delete", "s0", disks()));
    concluded(tour, "delete");
}

fn dirty_rate(tour: &mut Tour<'_>) {
    tour.run(Cont::new());
    tour.event(|_: &Resume| true);
    tour.run(CalcDirtyRate::new(1));
    let deadline = Instant::now() + TIMEOUT;
    while tour.run(QueryDirtyRate::new()).unwrap().status != DirtyRateStatus::Measured {
        assert!(Instant::now() < deadline, "timed out waiting for the dirty rate");
        std::thread::sleep(Duration::from_millis(20));
    }
    tour.run(QueryVcpuDirtyLimit::new());
}

fn events() -> MigrateSetCapabilities {
    let events = MigrationCapabilityStatus::new(MigrationCapability::Events, true);
    MigrateSetCapabilities::new(vec![events])
}

fn migrate_to_file(tour: &mut Tour<'_>, state: &str) {
    tour.run(events());
    tour.run(QueryMigrateCapabilities::new());
    tour.run(MigrateSetParameters::new().max_bandwidth(1 << 30).downtime_limit(500));
    tour.run(QueryMigrateParameters::new());
    tour.run(Migrate::new().uri(format!("exec:cat >{state}")));
    tour.run(QueryMigrationthreads::new());
    tour.run(QueryMigrate::new());
    tour.event(|_: &MigrationPass| true);
    tour.event(|migration: &Migration| migration.status == MigrationStatus::Completed);
    tour.run(MigrateCancel::new());
    assert_eq!(tour.run(QueryMigrate::new()).unwrap().status, Some(MigrationStatus::Completed));
    wait_for_state(tour, RunState::Postmigrate);
}

fn migrate_from_file(tour: &mut Tour<'_>, state: &str) {
    tour.run(events());
    tour.run(MigrateIncoming::new().uri(format!("exec:cat {state}")));
    tour.event(|migration: &Migration| migration.status == MigrationStatus::Completed);
    wait_for_state(tour, RunState::Paused);
}

/// Waits for a run state, which QEMU enters shortly after the event.
fn wait_for_state(tour: &mut Tour<'_>, state: RunState) {
    let deadline = Instant::now() + TIMEOUT;
    while tour.run(QueryStatus::new()).unwrap().status != state {
        assert!(Instant::now() < deadline, "timed out waiting for run state {state}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
