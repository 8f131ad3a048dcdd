//! Block nodes, drives, and what can be done with them.

// QEMU still supports deprecated commands and members.
#![allow(deprecated)]

mod bitmaps;
mod changes;
pub(super) mod drive;
pub(super) mod exports;
pub(super) mod formats;
mod graph;
mod info;
mod media;
pub(super) mod node;
pub(super) mod nodes;
mod open;
mod options;
mod protocol;
mod snapshots;
mod transaction;

use qmp_types::qmp::commands::{
    BlockDirtyBitmapAdd, BlockDirtyBitmapClear, BlockDirtyBitmapDisable, BlockDirtyBitmapEnable,
    BlockDirtyBitmapMerge, BlockDirtyBitmapRemove, BlockExportAdd, BlockExportDel,
    BlockLatencyHistogramSet, BlockResize, BlockSetIoThrottle, BlockSetWriteThreshold, BlockdevAdd,
    BlockdevChangeMedium, BlockdevCloseTray, BlockdevDel, BlockdevInsertMedium, BlockdevOpenTray,
    BlockdevRemoveMedium, BlockdevReopen, BlockdevSetActive, BlockdevSnapshot,
    BlockdevSnapshotDeleteInternalSync, BlockdevSnapshotInternalSync, BlockdevSnapshotSync,
    ChangeBackingFile, Eject, NbdServerAdd, NbdServerRemove, NbdServerStart, NbdServerStop,
    QueryBlock, QueryBlockExports, QueryBlockstats, QueryNamedBlockNodes, Transaction,
    XBlockdevSetIothread,
};
use qmp_types::qmp::events::{BlockExportDeleted, DeviceTrayMoved};

use super::jobs::Job;
use super::machine::{Device, Machine};
use super::replies::{Handle, done};
use crate::router::Router;
use drive::Drive;
use nodes::Nodes;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    let router = router
        .on::<QueryBlock>(|machine, _, _| Ok(machine.query_block()))
        .on::<QueryNamedBlockNodes>(|machine, arguments, _| {
            Ok(machine.query_nodes(arguments.flag("flat")))
        })
        .on::<QueryBlockstats>(|machine, arguments, _| {
            Ok(machine.block_stats(arguments.flag("query-nodes")))
        })
        .on::<BlockdevAdd>(|machine, arguments, _| {
            machine.add_node(&arguments.0, true)?;
            done()
        })
        .on::<BlockdevDel>(|machine, arguments, _| {
            machine.delete_node(arguments.required("node-name"))?;
            done()
        })
        .on::<BlockdevReopen>(|machine, arguments, _| machine.reopen(arguments))
        .on::<BlockResize>(|machine, arguments, _| machine.resize(arguments))
        .on::<ChangeBackingFile>(|machine, arguments, _| machine.change_backing_file(arguments))
        .on::<BlockdevSetActive>(|machine, arguments, _| machine.set_active(arguments))
        .on::<BlockSetWriteThreshold>(|machine, arguments, _| {
            machine.set_write_threshold(arguments)
        })
        .on::<BlockSetIoThrottle>(|machine, arguments, _| machine.check_limits(arguments))
        .on::<BlockLatencyHistogramSet>(|machine, arguments, _| machine.check_limits(arguments))
        .on::<XBlockdevSetIothread>(|machine, arguments, _| machine.set_node_iothread(arguments));
    add_exports(add_snapshots(add_media(router)))
}

fn add_media(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<Eject>(|machine, arguments, context| machine.eject(arguments, context))
        .on::<BlockdevOpenTray>(|machine, arguments, context| machine.open_tray(arguments, context))
        .on::<BlockdevCloseTray>(|machine, arguments, context| {
            machine.close_tray(arguments, context)
        })
        .on::<BlockdevRemoveMedium>(|machine, arguments, _| machine.remove_medium(arguments))
        .on::<BlockdevInsertMedium>(|machine, arguments, _| machine.insert_medium(arguments))
        .on::<BlockdevChangeMedium>(|machine, arguments, context| {
            machine.change_medium(arguments, context)
        })
        .event::<DeviceTrayMoved>()
}

fn add_snapshots(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<BlockDirtyBitmapAdd>(|machine, arguments, _| machine.add_bitmap(arguments))
        .on::<BlockDirtyBitmapRemove>(|machine, arguments, _| machine.remove_bitmap(arguments))
        .on::<BlockDirtyBitmapClear>(|machine, arguments, _| machine.clear_bitmap(arguments))
        .on::<BlockDirtyBitmapEnable>(|machine, arguments, _| {
            machine.record_bitmap(arguments, true)
        })
        .on::<BlockDirtyBitmapDisable>(|machine, arguments, _| {
            machine.record_bitmap(arguments, false)
        })
        .on::<BlockDirtyBitmapMerge>(|machine, arguments, _| machine.merge_bitmaps(arguments))
        .on::<BlockdevSnapshot>(|machine, arguments, _| machine.snapshot(arguments))
        .on::<BlockdevSnapshotSync>(|machine, arguments, _| machine.snapshot_to_file(arguments))
        .on::<BlockdevSnapshotInternalSync>(|machine, arguments, _| {
            machine.internal_snapshot(arguments)
        })
        .on::<BlockdevSnapshotDeleteInternalSync>(|machine, arguments, _| {
            machine.delete_internal_snapshot(arguments)
        })
        .on::<Transaction>(|machine, arguments, context| machine.transact(arguments, context))
}

fn add_exports(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<NbdServerStart>(|machine, arguments, _| machine.start_nbd(arguments))
        .on::<NbdServerStop>(|machine, _, context| machine.stop_nbd(context))
        .on::<NbdServerAdd>(|machine, arguments, _| machine.add_nbd_export(arguments))
        .on::<NbdServerRemove>(|machine, arguments, context| {
            machine.delete_export(arguments.required("name"), context)
        })
        .on::<BlockExportAdd>(|machine, arguments, _| machine.add_export(arguments))
        .on::<BlockExportDel>(|machine, arguments, context| {
            machine.delete_export(arguments.required("id"), context)
        })
        .on::<QueryBlockExports>(|machine, _, _| Ok(machine.query_exports()))
        .event::<BlockExportDeleted>()
}

/// The part of the state that a transaction restores if it fails.
pub(super) struct BlockState {
    nodes: Nodes,
    devices: Vec<Device>,
    drives: Vec<Drive>,
    jobs: Vec<Job>,
}

impl Machine {
    fn block_state(&self) -> BlockState {
        let (nodes, devices) = (self.nodes.clone(), self.devices.clone());
        BlockState { nodes, devices, drives: self.drives.clone(), jobs: self.jobs.clone() }
    }

    fn restore(&mut self, state: BlockState) {
        self.nodes = state.nodes;
        self.devices = state.devices;
        self.drives = state.drives;
        self.jobs = state.jobs;
    }
}

/// Returns whether a driver exists that an image can be opened with.
fn is_known_driver(name: &str) -> bool {
    name == "raw" || node::is_format(name)
}
