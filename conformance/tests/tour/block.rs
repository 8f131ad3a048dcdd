//! Block nodes: adding and creating them, snapshots, bitmaps, media and exports.

use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{BlockExportDeleted, DeviceTrayMoved, JobStatusChange};
use qmp_client::qmp::types::{
    BlockDirtyBitmapAdd as AddBitmap, BlockDirtyBitmapAddWrapper, BlockDirtyBitmapOrStr,
    BlockExportOptions, BlockExportOptionsNbd, BlockdevCreateOptions, BlockdevCreateOptionsFile,
    BlockdevCreateOptionsQcow2, BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile,
    BlockdevOptionsNull, BlockdevOptionsQcow2, BlockdevOptionsRaw, JobStatus, SocketAddressLegacy,
    TransactionAction, UnixSocketAddress, UnixSocketAddressWrapper,
};

use crate::stage::{Guide, Tour, scratch};

const SIZE: u64 = 4 << 20;

pub(crate) fn tour(guide: &mut Guide<'_>) {
    let scratch = scratch();
    let cd = scratch.image("cd", 1 << 20);
    let cd = format!("if=none,id=cd0,media=cdrom,readonly=on,format=raw,file={cd}");
    let options = ["-drive", &cd, "-device", "ide-cd,drive=cd0,id=idecd"];
    let mut tour = guide.start("-M pc,accel=tcg -m 32", &options);
    nodes(&mut tour, &scratch.file("disk.qcow2"));
    bitmaps(&mut tour);
    snapshots(&mut tour, &scratch);
    media(&mut tour, &scratch.image("cd2", 1 << 20));
    exports(&mut tour, &scratch.file("nbd"));
    for node in ["raw0", "null0"] {
        tour.run(BlockdevDel::new(node));
    }
}

/// Runs a `blockdev-create` job to its end.
pub(crate) fn create(tour: &mut Tour<'_>, options: BlockdevCreateOptions) {
    tour.run(BlockdevCreate::new("create0", options));
    tour.event(|change: &JobStatusChange| {
        change.id == "create0" && change.status == JobStatus::Concluded
    });
    let jobs = tour.run(QueryJobs::new()).unwrap();
    let error = jobs.iter().find(|job| job.id == "create0").and_then(|job| job.error.as_ref());
    assert_eq!(error, None);
    tour.run(JobDismiss::new("create0"));
}

/// Creates a qcow2 image and opens it as the nodes `NAME` and `NAME-file`.
pub(crate) fn qcow2(tour: &mut Tour<'_>, name: &str, path: &str) {
    let file = format!("{name}-file");
    create(tour, BlockdevCreateOptions::File(BlockdevCreateOptionsFile::new(path, 0)));
    let node = BlockdevOptions::new(BlockdevOptionsDriver::File(BlockdevOptionsFile::new(path)));
    tour.run(BlockdevAdd::new(node.node_name(file.as_str())));
    let image = BlockdevCreateOptionsQcow2::new(file.as_str(), SIZE);
    create(tour, BlockdevCreateOptions::Qcow2(image));
    let node = BlockdevOptions::new(BlockdevOptionsQcow2::new(file.as_str()));
    tour.run(BlockdevAdd::new(node.node_name(name)));
}

/// Adds a node that reads as zeros and stores nothing.
pub(crate) fn null(tour: &mut Tour<'_>, name: &str) {
    let null = BlockdevOptionsNull::new().size(SIZE as i64).read_zeroes(true);
    let node = BlockdevOptions::new(BlockdevOptionsDriver::NullCo(null)).node_name(name);
    tour.run(BlockdevAdd::new(node));
}

/// Adds a parent to a node, so that an overlay of the node has a user.
fn add_parent(tour: &mut Tour<'_>, name: &str) {
    let parent = BlockdevOptions::new(BlockdevOptionsRaw::new(name)).node_name("parent");
    tour.run(BlockdevAdd::new(parent));
}

fn nodes(tour: &mut Tour<'_>, path: &str) {
    qcow2(tour, "disk0", path);
    null(tour, "null0");
    let raw = || BlockdevOptions::new(BlockdevOptionsRaw::new("null0")).node_name("raw0");
    tour.run(BlockdevAdd::new(raw()));
    tour.run(BlockdevReopen::new(vec![raw().read_only(true)]));
    tour.run(BlockResize::new(2 * SIZE as i64).node_name("disk0"));
    tour.run(BlockSetWriteThreshold::new("disk0", SIZE));
    tour.run(QueryBlock::new());
    tour.run(QueryNamedBlockNodes::new().flat(true));
    tour.run(QueryBlockstats::new().query_nodes(true));
    tour.run(XDebugQueryBlockGraph::new());
    tour.attempt(BlockdevSetActive::new(true).node_name("disk0"));
}

fn bitmaps(tour: &mut Tour<'_>) {
    tour.run(BlockDirtyBitmapAdd::new("disk0", "b0").granularity(65536).persistent(true));
    tour.run(BlockDirtyBitmapAdd::new("disk0", "b1").disabled(true));
    tour.run(BlockDirtyBitmapDisable::new("disk0", "b0"));
    tour.run(BlockDirtyBitmapEnable::new("disk0", "b0"));
    tour.run(BlockDirtyBitmapClear::new("disk0", "b0"));
    let source = BlockDirtyBitmapOrStr::from("b0");
    tour.run(BlockDirtyBitmapMerge::new("disk0", "b1", vec![source]));
    tour.run(XDebugBlockDirtyBitmapSha256::new("disk0", "b0"));
    let add = |name: &str| {
        let add = AddBitmap::new("disk0", name);
        TransactionAction::BlockDirtyBitmapAdd(BlockDirtyBitmapAddWrapper::new(add))
    };
    tour.run(Transaction::new(vec![add("b2"), add("b3")]));
    for bitmap in ["b0", "b1", "b2", "b3"] {
        tour.run(BlockDirtyBitmapRemove::new("disk0", bitmap));
    }
}

fn snapshots(tour: &mut Tour<'_>, scratch: &conformance::Scratch) {
    tour.run(BlockdevSnapshotInternalSync::new("disk0", "s0"));
    let deleted = BlockdevSnapshotDeleteInternalSync::new("disk0").name("s0");
    assert_eq!(tour.run(deleted).unwrap().name, "s0");
    add_parent(tour, "disk0");
    let overlay = scratch.file("overlay.qcow2");
    tour.run(BlockdevSnapshotSync::new(overlay).node_name("disk0").snapshot_node_name("disk1"));
    for node in ["parent", "disk0", "disk0-file"] {
        tour.run(BlockdevDel::new(node));
    }
}

fn media(tour: &mut Tour<'_>, other: &str) {
    tour.run(BlockdevOpenTray::new().id("idecd"));
    tour.event(|moved: &DeviceTrayMoved| moved.tray_open);
    tour.run(BlockdevRemoveMedium::new("idecd"));
    null(tour, "medium0");
    tour.run(BlockdevInsertMedium::new("idecd", "medium0"));
    tour.run(BlockdevCloseTray::new().id("idecd"));
    tour.event(|moved: &DeviceTrayMoved| !moved.tray_open);
    tour.run(BlockSetIoThrottle::new(1 << 20, 0, 0, 0, 0, 0).id("idecd"));
    tour.run(BlockLatencyHistogramSet::new("idecd").boundaries(vec![10, 100]));
    tour.run(BlockdevChangeMedium::new(other).id("idecd").format("raw"));
    tour.run(Eject::new().id("idecd").force(true));
}

fn exports(tour: &mut Tour<'_>, path: &str) {
    let address = UnixSocketAddressWrapper::new(UnixSocketAddress::new(path));
    tour.run(NbdServerStart::new(SocketAddressLegacy::Unix(address)));
    let export = BlockExportOptionsNbd::new().name("one");
    tour.run(BlockExportAdd::new(BlockExportOptions::new(export, "export0", "raw0")));
    tour.run(NbdServerAdd::new("null0").name("two"));
    assert_eq!(tour.run(QueryBlockExports::new()).unwrap().len(), 2);
    tour.run(NbdServerRemove::new("two"));
    tour.run(BlockExportDel::new("export0"));
    tour.event(|gone: &BlockExportDeleted| gone.id == "export0");
    tour.run(NbdServerStop::new());
}
