//! Commands for what the machine does not have: QEMU knows them, and refuses them on such a machine,
//! or has little to report.

// QEMU still supports deprecated commands.
#![allow(deprecated)]

use qmp_types::qmp::commands::{
    CancelVcpuDirtyLimit, ClientMigrateInfo, QueryAccelerators, QueryAudiodevs, QueryColoStatus,
    QueryCpuModelBaseline, QueryCpuModelComparison, QueryFirmwareLog, QueryHvBalloonStatusReport,
    QueryPrManagers, QueryRocker, QueryS390xCpuPolarization, QuerySevAttestationReport,
    QuerySevCapabilities, QuerySevLaunchMeasure, QuerySgx, QuerySgxCapabilities,
    QueryVcpuDirtyLimit, QueryVmGenerationId, ReplayBreak, ReplayDeleteBreak, ReplaySeek,
    SetNumaNode, SetVcpuDirtyLimit, XColoLostHeartbeat, XExitPreconfig, XenLoadDevicesState,
    XenSetReplication,
};
use qmp_types::{ErrorClass, QmpError};
use serde_json::json;

use super::machine::Machine;
use super::replies::{Handle, Reply, done, refuse};
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    let router = router
        .on::<QueryAccelerators>(|_, _, _| {
            Ok(json!({"enabled": "tcg", "present": ["kvm", "mshv", "qtest", "tcg"]}))
        })
        .on::<QueryAudiodevs>(|_, _, _| Ok(json!([])))
        .on::<QueryPrManagers>(|_, _, _| Ok(json!([])))
        .on::<QueryColoStatus>(|_, _, _| {
            Ok(json!({"mode": "none", "last-mode": "none", "reason": "none"}))
        })
        .on::<QueryVcpuDirtyLimit>(|_, _, _| Ok(json!([])))
        .on::<CancelVcpuDirtyLimit>(|_, _, _| done())
        .on::<XenSetReplication>(|_, _, _| done())
        .on::<SetVcpuDirtyLimit>(|_, _, _| {
            refuse(
                "dirty page limit feature requires KVM with accelerator property \
                 'dirty-ring-size' set'",
            )
        })
        .on::<XColoLostHeartbeat>(|_, _, _| refuse("VM is not in COLO mode"))
        .on::<XenLoadDevicesState>(|machine, _, _| match machine.is_running() {
            true => refuse("Cannot update device state while vm is running"),
            false => refuse("the simulated machine does not load the state of devices"),
        })
        .on::<ReplaySeek>(|_, _, _| refuse("replay must be enabled to seek"))
        .on::<ReplayBreak>(|_, _, _| refuse("setting the breakpoint is allowed only in play mode"))
        .on::<ReplayDeleteBreak>(|_, _, _| {
            refuse("replay breakpoints are allowed only in play mode")
        });
    add_hardware(router)
}

fn add_hardware(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<QueryCpuModelComparison>(|_, _, _| {
            refuse("CPU model comparison is not supported on this target")
        })
        .on::<QueryCpuModelBaseline>(|_, _, _| {
            refuse("CPU model baseline is not supported on this target")
        })
        .on::<QueryS390xCpuPolarization>(|_, _, _| {
            refuse("CPU polarization is not supported on this target")
        })
        .on::<QueryVmGenerationId>(|_, _, _| refuse("VM Generation ID device not found"))
        .on::<QueryFirmwareLog>(|_, _, _| refuse("firmware log buffer not found"))
        .on::<QueryHvBalloonStatusReport>(|_, _, _| refuse("no hv-balloon device present"))
        .on::<QueryRocker>(|_, arguments, _| {
            refuse(format!("rocker {} not found", arguments.required("name")))
        })
        .on::<QuerySgx>(|_, _, _| refuse("No EPC regions defined, SGX not available"))
        .on::<QuerySgxCapabilities>(|_, _, _| {
            refuse("Could not open '/dev/sgx_vepc': No such file or directory")
        })
        .on::<QuerySevCapabilities>(|_, _, _| refuse("KVM not enabled"))
        .on::<QuerySevLaunchMeasure>(|_, _, _| refuse("SEV launch measurement is not available"))
        .on::<QuerySevAttestationReport>(|_, _, _| refuse("SEV is not enabled"))
        .on::<SetNumaNode>(|_, _, _| {
            refuse("The command is permitted only before the machine has been created")
        })
        .on::<XExitPreconfig>(|_, _, _| {
            refuse("The command is permitted only before machine initialization")
        })
        .on::<ClientMigrateInfo>(|_, _, _| no_spice())
}

/// Refuses a command for a SPICE server.
pub(super) fn no_spice() -> Reply {
    Err(QmpError::new(ErrorClass::DeviceNotActive, "SPICE is not in use"))
}
