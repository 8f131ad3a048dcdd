//! The machine as a whole: its state, accelerator, CPUs, memory and migration.

// `query-kvm` is deprecated, but every supported release has it.
#![allow(deprecated)]

use qmp_client::Error;
use qmp_client::qmp::commands::{
    QomGet, QueryAccelerators, QueryBalloon, QueryCpusFast, QueryHotpluggableCpus, QueryIothreads,
    QueryKvm, QueryMemorySizeSummary, QueryMigrate, QueryName, QueryTarget, QueryUuid, XQueryJit,
};
use qmp_client::qmp::types::{
    AcceleratorInfo, BalloonInfo, CpuInfoFast, CpuInstanceProperties, HotpluggableCPU,
    IOThreadInfo, KvmInfo, MemoryInfo, MigrationInfo, NameInfo, QemuTargetInfo, UuidInfo,
};
use serde_json::Value;

use super::super::model::{Cpu, IoThread, Memory, Migration};
use super::names;
use super::query::{Queries, Query};

/// The queries for this part.
pub(super) struct Asked {
    name: Query<NameInfo>,
    uuid: Query<UuidInfo>,
    status: Query<Value>,
    target: Query<QemuTargetInfo>,
    machine: Query<Value>,
    accelerators: Query<AcceleratorInfo>,
    kvm: Query<KvmInfo>,
    cpus: Query<Vec<CpuInfoFast>>,
    pluggable: Query<Vec<HotpluggableCPU>>,
    memory: Query<MemoryInfo>,
    balloon: Query<BalloonInfo>,
    iothreads: Query<Vec<IOThreadInfo>>,
    migration: Query<MigrationInfo>,
}

/// This part of the report.
pub(super) struct Machine {
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) state: Option<String>,
    pub(super) target: Option<String>,
    pub(super) machine: Option<String>,
    pub(super) accelerator: Accelerator,
    pub(super) cpus: Vec<Cpu>,
    pub(super) pluggable_cpus: Option<i64>,
    pub(super) memory: Option<Memory>,
    pub(super) iothreads: Vec<IoThread>,
    pub(super) migration: Option<Migration>,
}

/// The answers about the accelerator. Releases before 11.0 tell only whether it is KVM.
pub(super) struct Accelerator {
    told: Option<String>,
    is_kvm: bool,
}

pub(super) fn ask(q: &Queries<'_>) -> Result<Asked, Error> {
    Ok(Asked {
        name: q.ask(QueryName::new())?,
        uuid: q.ask(QueryUuid::new())?,
        status: q.ask_raw("query-status")?,
        target: q.ask(QueryTarget::new())?,
        machine: q.ask(QomGet::new("/machine", "type"))?,
        accelerators: q.ask(QueryAccelerators::new())?,
        kvm: q.ask(QueryKvm::new())?,
        cpus: q.ask(QueryCpusFast::new())?,
        pluggable: q.ask(QueryHotpluggableCpus::new())?,
        memory: q.ask(QueryMemorySizeSummary::new())?,
        balloon: q.ask(QueryBalloon::new())?,
        iothreads: q.ask(QueryIothreads::new())?,
        migration: q.ask(QueryMigrate::new())?,
    })
}

impl Asked {
    pub(super) fn answer(self, q: &mut Queries<'_>) -> Result<Machine, Error> {
        let name = q.answer(self.name)?.and_then(|info| info.name);
        let uuid = q.answer(self.uuid)?.map(|info| info.uuid).filter(|uuid| !is_zero(uuid));
        let state = q.answer(self.status)?.as_ref().and_then(state);
        let target = q.answer(self.target)?.map(|info| info.arch.to_string());
        let machine = q.answer(self.machine)?;
        let told = q.answer(self.accelerators)?.map(|info| info.enabled.to_string());
        let is_kvm = q.answer(self.kvm)?.is_some_and(|kvm| kvm.enabled);
        let cpus = q.answer(self.cpus)?.iter().flatten().map(cpu).collect();
        let pluggable_cpus = q.answer(self.pluggable)?.map(|slots| pluggable(&slots));
        let memory = q.answer(self.memory)?;
        let balloon = q.answer(self.balloon)?.map(|info| info.actual);
        let iothreads = q.answer(self.iothreads)?.unwrap_or_default();
        let iothread = |thread: IOThreadInfo| IoThread { id: thread.id, thread: thread.thread_id };
        Ok(Machine {
            name,
            uuid,
            state,
            target,
            machine: machine.and_then(|name| name.as_str().map(names::machine)),
            accelerator: Accelerator { told, is_kvm },
            cpus,
            pluggable_cpus,
            memory: memory.map(|memory| Memory {
                base: memory.base_memory,
                plugged: memory.plugged_memory,
                balloon,
            }),
            iothreads: iothreads.into_iter().map(iothread).collect(),
            migration: q.answer(self.migration)?.and_then(migration),
        })
    }
}

impl Accelerator {
    /// Returns the accelerator. In an old release, a command that fails with all others tells TCG.
    pub(super) fn resolve(self, q: &mut Queries<'_>) -> Result<Option<String>, Error> {
        if self.told.is_some() || !q.lacks("query-accelerators") {
            return Ok(self.told);
        }
        if self.is_kvm {
            return Ok(Some(String::from("kvm")));
        }
        if !q.goes_on() {
            return Ok(None);
        }
        let jit = q.attempt(XQueryJit::new(), "")?;
        Ok(q.answer(jit)?.map(|_| String::from("tcg")))
    }
}

fn is_zero(uuid: &str) -> bool {
    uuid.bytes().all(|b| matches!(b, b'0' | b'-'))
}

/// Returns the run state. QEMU 0.12 tells only whether the machine runs.
pub(super) fn state(status: &Value) -> Option<String> {
    let state = status.get("status").and_then(Value::as_str).map(str::to_owned);
    state.or_else(|| {
        let running = status.get("running")?.as_bool()?;
        Some(String::from(if running { "running" } else { "paused" }))
    })
}

fn cpu(info: &CpuInfoFast) -> Cpu {
    Cpu {
        index: info.cpu_index,
        thread: info.thread_id,
        place: info.props.as_ref().map(place).filter(|place| !place.is_empty()),
    }
}

fn place(props: &CpuInstanceProperties) -> String {
    let parts = [
        ("node", props.node_id),
        ("drawer", props.drawer_id),
        ("book", props.book_id),
        ("socket", props.socket_id),
        ("die", props.die_id),
        ("cluster", props.cluster_id),
        ("module", props.module_id),
        ("core", props.core_id),
        ("thread", props.thread_id),
    ];
    let parts = parts.iter().filter_map(|(name, id)| id.map(|id| format!("{name} {id}")));
    parts.collect::<Vec<_>>().join(", ")
}

/// Counts the CPUs that can still be plugged in.
fn pluggable(slots: &[HotpluggableCPU]) -> i64 {
    let empty = slots.iter().filter(|slot| slot.qom_path.is_none());
    empty.fold(0, |sum, slot| sum.saturating_add(slot.vcpus_count))
}

/// Returns the migration, unless there has been none.
pub(super) fn migration(info: MigrationInfo) -> Option<Migration> {
    let blocked_by = info.blocked_reasons.unwrap_or_default();
    let status = info.status.map(|status| status.to_string());
    let status = match status.filter(|status| status != "none") {
        Some(status) => status,
        None if blocked_by.is_empty() => return None,
        None => String::from("none"),
    };
    Some(Migration {
        status,
        transferred: info.ram.as_ref().map(|ram| ram.transferred),
        remaining: info.ram.as_ref().map(|ram| ram.remaining),
        total: info.ram.as_ref().map(|ram| ram.total),
        error: info.error_desc,
        blocked_by,
    })
}
