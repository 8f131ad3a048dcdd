//! Migration, as its source and as its destination.

mod address;
mod incoming;
mod settings;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use qmp_types::QmpError;
use qmp_types::qmp::commands::{
    Migrate, MigrateCancel, MigrateContinue, MigrateIncoming, MigratePause, MigrateRecover,
    MigrateSetCapabilities, MigrateSetParameters, MigrateStartPostcopy, QueryMigrate,
    QueryMigrateCapabilities, QueryMigrateParameters,
};
use qmp_types::qmp::events;
use qmp_types::qmp::types::{MigrationStatus, RunState};
use serde_json::{Map, Value, json};

use super::clock::Timer;
use super::descriptor_set::{self, CREATE_OR_OPEN};
use super::machine::Machine;
use super::network::{Connected, connect};
use super::replies::{Arguments, Handle, Reply, done, os_error, refuse};
use crate::context::Context;
use crate::router::Router;
use address::{Destination, destination};

/// The bytes that a stream of QEMU begins with.
const MAGIC: &[u8] = b"QEVM\0\0\0\x03";

/// The number of times that the memory is looked through for what the guest has changed.
const PASSES: i64 = 2;

/// The last bytes of a stream that is complete.
const END: &[u8] = b"simulated end";

const CAPABILITIES: [&str; 21] = [
    "xbzrle",
    "rdma-pin-all",
    "auto-converge",
    "events",
    "postcopy-ram",
    "x-colo",
    "release-ram",
    "return-path",
    "pause-before-switchover",
    "multifd",
    "dirty-bitmaps",
    "postcopy-blocktime",
    "late-block-activate",
    "x-ignore-shared",
    "validate-uuid",
    "background-snapshot",
    "zero-copy-send",
    "postcopy-preempt",
    "switchover-ack",
    "dirty-limit",
    "mapped-ram",
];

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<Migrate>(|machine, arguments, context| machine.migrate(arguments, context))
        .on::<MigrateCancel>(|machine, _, context| machine.cancel_migration(context))
        .on::<MigrateContinue>(|machine, arguments, context| {
            machine.continue_migration(arguments.required("state"), context)
        })
        .on::<MigrateIncoming>(|machine, arguments, context| {
            machine.migrate_incoming(arguments, context)
        })
        // Out-of-band commands do not wait for the machine.
        .deferred(|_, _: MigratePause, reply| {
            reply.send(refuse(
                "migrate-pause is currently only supported during postcopy-active or \
                 postcopy-recover state",
            ));
        })
        .deferred(|_, _: MigrateRecover, reply| {
            reply.send(refuse("Migrate recover can only be run when postcopy is paused."));
        })
        .on::<MigrateStartPostcopy>(|machine, _, _| machine.start_postcopy())
        .on::<QueryMigrate>(|machine, _, _| Ok(machine.query_migration()))
        .on::<QueryMigrateCapabilities>(|machine, _, _| {
            let state = |name: &&str| machine.migration.has(name);
            let infos =
                CAPABILITIES.iter().map(|name| json!({"capability": name, "state": state(name)}));
            Ok(infos.collect())
        })
        .on::<QueryMigrateParameters>(|machine, _, _| {
            Ok(machine.migration.parameters.clone().into())
        })
        .on::<MigrateSetCapabilities>(|machine, arguments, _| machine.set_capabilities(arguments))
        .on::<MigrateSetParameters>(|machine, arguments, _| machine.set_parameters(arguments))
        .event::<events::Migration>()
        .event::<events::MigrationPass>()
}

/// The state of the migrations from and to the machine.
#[derive(Debug)]
pub(in crate::simulator) struct Migration {
    /// The state of the last migration, or `none`.
    status: MigrationStatus,
    capabilities: BTreeMap<&'static str, bool>,
    parameters: Map<String, Value>,
    error: Option<String>,
    /// Where the machine is sent to.
    target: Option<Target>,
    started: Duration,
    ended: Duration,
    /// The time that transferring the memory takes.
    pub(in crate::simulator) takes: Duration,
    pub(in crate::simulator) incoming: Incoming,
    /// Whether the destination runs the guest at once.
    pub(in crate::simulator) starts_guest: bool,
}

/// Whether the machine is the destination of a migration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::simulator) enum Incoming {
    Never,
    /// `migrate-incoming` is awaited.
    Deferred,
    /// The source is awaited.
    Listening,
    Ended,
}

/// The receiver of the machine's state.
#[derive(Debug)]
enum Target {
    Stream(Connected),
    Descriptor(Arc<File>),
    File { path: String, offset: u64 },
}

impl Migration {
    pub(in crate::simulator) fn new() -> Self {
        let parameters = json!({
            "cpu-throttle-tailslow": false,
            "xbzrle-cache-size": 67_108_864,
            "cpu-throttle-initial": 20,
            "announce-max": 550,
            "direct-io": false,
            "avail-switchover-bandwidth": 0,
            "zero-page-detection": "multifd",
            "multifd-qatzip-level": 1,
            "x-rdma-chunk-size": 1_048_576,
            "multifd-channels": 2,
            "mode": "normal",
            "multifd-zstd-level": 1,
            "announce-initial": 50,
            "downtime-limit": 300,
            "tls-authz": "",
            "cpr-exec-command": [],
            "vcpu-dirty-limit": 1,
            "multifd-compression": "none",
            "announce-rounds": 5,
            "announce-step": 100,
            "tls-creds": "",
            "x-vcpu-dirty-limit-period": 1000,
            "multifd-zlib-level": 1,
            "max-cpu-throttle": 99,
            "max-postcopy-bandwidth": 0,
            "tls-hostname": "",
            "throttle-trigger-threshold": 50,
            "max-bandwidth": 134_217_728,
            "x-checkpoint-delay": 20000,
            "cpu-throttle-increment": 10,
        });
        Self {
            status: MigrationStatus::None,
            capabilities: BTreeMap::new(),
            parameters: parameters.as_object().cloned().unwrap_or_default(),
            error: None,
            target: None,
            started: Duration::ZERO,
            ended: Duration::ZERO,
            takes: Duration::ZERO,
            incoming: Incoming::Never,
            starts_guest: true,
        }
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities.get(capability).copied().unwrap_or_default()
    }

    fn is_active(&self) -> bool {
        matches!(
            self.status,
            MigrationStatus::Setup
                | MigrationStatus::Active
                | MigrationStatus::PreSwitchover
                | MigrationStatus::Device
                | MigrationStatus::PostcopyActive
        )
    }
}

impl Machine {
    fn set_migration(&mut self, status: MigrationStatus, context: &mut Context) {
        self.migration.status = status.clone();
        self.migration.ended = self.clock.now();
        if self.migration.has("events") {
            context.emit(&events::Migration::new(status));
        }
    }

    fn migrate(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let address = destination(arguments)?;
        if self.migration.is_active() {
            return refuse("There's a migration process in progress");
        }
        if self.state == RunState::Inmigrate {
            return refuse("Guest is waiting for an incoming migration");
        }
        if self.state == RunState::Postmigrate {
            return refuse("Can't migrate the vm that was paused due to previous migration");
        }
        if arguments.flag("resume") {
            return refuse("Cannot resume if there is no paused migration");
        }
        if let Destination::Program = address {
            return refuse("the simulated machine does not run programs");
        }
        self.migration.error = None;
        self.migration.started = self.clock.now();
        let connects_later = match &address {
            Destination::Address(address) => address.get("type").is_none_or(|kind| kind != "fd"),
            Destination::File { .. } | Destination::Program => false,
        };
        let target = self.open_target(address);
        self.set_migration(MigrationStatus::Setup, context);
        if let (Err(error), false) = (&target, connects_later) {
            self.fail_migration(error.desc.clone(), context);
            return Err(error.clone());
        }
        context.after_reply(|context| match target {
            Ok(target) => {
                self.migration.target = Some(target);
                self.set_migration(MigrationStatus::Active, context);
                if self.migration.has("events") {
                    context.emit(&events::MigrationPass::new(PASSES));
                }
                match self.migration.takes.is_zero() {
                    true => self.migration_transfers(context),
                    false => self.clock.set(self.migration.takes, Timer::Migration),
                }
            }
            Err(error) => self.fail_migration(error.desc, context),
        });
        done()
    }

    fn open_target(&mut self, destination: Destination) -> Result<Target, QmpError> {
        match destination {
            Destination::Address(address)
                if address.get("type").is_some_and(|kind| kind == "fd") =>
            {
                let name = address.get("str").and_then(Value::as_str).unwrap_or_default();
                self.take_stream(name).map(|stream| Target::Descriptor(Arc::new(stream)))
            }
            Destination::Address(address) => connect(&address, self).map(Target::Stream),
            Destination::File { path, offset } => {
                if let Some(descriptor) = self.descriptors.open(&path, CREATE_OR_OPEN) {
                    return descriptor.map(Target::Descriptor);
                }
                match self.files.create(&path, offset, &[]) {
                    Ok(()) => Ok(Target::File { path, offset }),
                    Err(error) => {
                        refuse(format!("Could not create '{path}': {}", os_error(&error)))
                    }
                }
            }
            Destination::Program => refuse("the simulated machine does not run programs"),
        }
    }

    /// Takes a descriptor through which a machine is sent.
    fn take_stream(&mut self, name: &str) -> Result<File, QmpError> {
        let stream = self.descriptors.take(name)?;
        match descriptor_set::is_regular(&stream) {
            true => refuse("fd: migration to a file is not supported. Use file: instead."),
            false => Ok(stream),
        }
    }

    fn fail_migration(&mut self, error: String, context: &mut Context) {
        self.migration.target = None;
        self.migration.error = Some(error);
        for status in [MigrationStatus::Failing, MigrationStatus::Failed] {
            self.set_migration(status, context);
        }
    }

    /// Called when the memory has been transferred.
    pub(in crate::simulator) fn migration_transfers(&mut self, context: &mut Context) {
        if self.migration.status != MigrationStatus::Active {
            return;
        }
        self.stop(RunState::FinishMigrate, context);
        if self.migration.has("pause-before-switchover") {
            return self.set_migration(MigrationStatus::PreSwitchover, context);
        }
        self.switch_over(context);
    }

    fn switch_over(&mut self, context: &mut Context) {
        self.set_migration(MigrationStatus::Device, context);
        let state = [MAGIC, END].concat();
        let sent = match self.migration.target.take() {
            Some(Target::Stream(mut stream)) => stream.write_all(&state),
            Some(Target::Descriptor(descriptor)) => descriptor_set::write(&descriptor, 0, &state),
            Some(Target::File { path, offset }) => self.files.write_at(&path, offset, &state),
            None => Ok(()),
        };
        match sent {
            Ok(()) => {
                self.set_migration(MigrationStatus::Completed, context);
                self.state = RunState::Postmigrate;
            }
            Err(error) => {
                self.fail_migration(
                    format!("Unable to write to socket: {}", os_error(&error)),
                    context,
                );
                self.resume_guest(context);
            }
        }
    }

    fn resume_guest(&mut self, context: &mut Context) {
        if self.state == RunState::FinishMigrate {
            self.state = RunState::Running;
            context.emit(&events::Resume::new());
        }
    }

    fn cancel_migration(&mut self, context: &mut Context) -> Reply {
        if self.migration.is_active() {
            self.clock.cancel(&Timer::Migration);
            self.migration.target = None;
            for status in [MigrationStatus::Cancelling, MigrationStatus::Cancelled] {
                self.set_migration(status, context);
            }
            self.resume_guest(context);
        }
        done()
    }

    fn continue_migration(&mut self, state: &str, context: &mut Context) -> Reply {
        let status = &self.migration.status;
        if status.as_str() != state {
            return refuse(format!("Migration not in expected state: {status}"));
        }
        match *status {
            MigrationStatus::PreSwitchover => {
                context.after_reply(|context| self.switch_over(context));
                done()
            }
            _ => done(),
        }
    }

    fn start_postcopy(&self) -> Reply {
        if !self.migration.has("postcopy-ram") {
            return refuse(
                "Enable postcopy with migrate_set_capability before the start of migration",
            );
        }
        match self.migration.is_active() {
            true => refuse("the simulated machine does not copy memory on demand"),
            false => done(),
        }
    }

    pub(in crate::simulator) fn query_migration(&self) -> Value {
        let migration = &self.migration;
        if migration.status == MigrationStatus::None {
            return json!({});
        }
        let mut info = json!({"status": migration.status});
        if let Some(error) = &migration.error {
            info["error-desc"] = error.as_str().into();
        }
        let has_counts = migration.is_active() || migration.status == MigrationStatus::Completed;
        if !has_counts || migration.incoming != Incoming::Never {
            return info;
        }
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let is_active = migration.is_active();
        let until = if is_active { self.clock.now() } else { migration.ended };
        let elapsed = until.saturating_sub(migration.started);
        let left = self.clock.remaining(&Timer::Migration).unwrap_or_default();
        let remaining = match migration.takes.as_nanos() {
            0 => 0,
            takes => u128::from(self.memory) * left.as_nanos() / takes,
        };
        let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
        info["total-time"] = milliseconds(elapsed).into();
        info["setup-time"] = 0.into();
        info[if is_active { "expected-downtime" } else { "downtime" }] = 0.into();
        info["ram"] = json!({
            "total": self.memory,
            "transferred": self.memory.saturating_sub(remaining),
            "remaining": remaining,
            "duplicate": 0,
            "skipped": 0,
            "normal": self.memory.saturating_sub(remaining) / 4096,
            "normal-bytes": self.memory.saturating_sub(remaining),
            "dirty-pages-rate": 0,
            "dirty-sync-count": PASSES,
            "dirty-sync-missed-zero-copy": 0,
            "mbps": 0.0,
            "multifd-bytes": 0,
            "page-size": 4096,
            "pages-per-second": 0,
            "postcopy-requests": 0,
            "postcopy-bytes": 0,
            "precopy-bytes": 0,
            "downtime-bytes": 0,
        });
        info
    }
}
