//! Block devices with their images, other nodes, bitmaps, exports and jobs.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use qmp_client::Error;
use qmp_client::qmp::commands::{
    QueryBlock, QueryBlockExports, QueryBlockstats, QueryJobs, QueryNamedBlockNodes,
    XDebugQueryBlockGraph,
};
use qmp_client::qmp::types::{
    BlockDeviceInfo, BlockDirtyInfo, BlockExportInfo, BlockInfo, BlockStats, ImageInfo, JobInfo,
    XDbgBlockGraph,
};

use super::super::model::{Bitmap, BlockDevice, Export, Image, Job};
use super::graph::Graph;
use super::names;
use super::query::{Queries, Query};

/// The most links of backing chains that are reported. Many images can share a chain.
const MOST_LINKS: usize = 1 << 16;

/// The queries for this part.
pub(super) struct Asked {
    devices: Query<Vec<BlockInfo>>,
    stats: Query<Vec<BlockStats>>,
    nodes: Query<Vec<BlockDeviceInfo>>,
    debug: Query<XDbgBlockGraph>,
    exports: Query<Vec<BlockExportInfo>>,
    jobs: Query<Vec<JobInfo>>,
}

/// This part of the report.
pub(super) struct Storage {
    pub(super) devices: Vec<BlockDevice>,
    pub(super) nodes: Vec<Image>,
    pub(super) bitmaps: Vec<Bitmap>,
    /// `None` if the server does not tell.
    pub(super) exports: Option<Vec<Export>>,
    pub(super) jobs: Vec<Job>,
}

pub(super) fn ask(q: &Queries<'_>) -> Result<Asked, Error> {
    Ok(Asked {
        devices: q.ask(QueryBlock::new())?,
        stats: q.ask(QueryBlockstats::new())?,
        nodes: q.ask(QueryNamedBlockNodes::new().flat(true))?,
        debug: q.ask(XDebugQueryBlockGraph::new())?,
        exports: q.ask(QueryBlockExports::new())?,
        jobs: q.ask(QueryJobs::new())?,
    })
}

impl Asked {
    pub(super) fn answer(self, q: &mut Queries<'_>) -> Result<Storage, Error> {
        let devices = q.answer(self.devices)?.unwrap_or_default();
        let stats = q.answer(self.stats)?.unwrap_or_default();
        let nodes = q.answer(self.nodes)?.unwrap_or_default();
        let block = Block::new(devices, stats, nodes, q.answer(self.debug)?.as_ref());
        let exports = q.answer(self.exports)?;
        let jobs = q.answer(self.jobs)?.unwrap_or_default();
        Ok(Storage {
            devices: block.devices(),
            nodes: block.other_nodes(),
            bitmaps: block.bitmaps(),
            exports: exports.map(|exports| exports.into_iter().map(export).collect()),
            jobs: jobs.into_iter().map(job).collect(),
        })
    }
}

/// The block layer, as QEMU describes it.
pub(super) struct Block {
    devices: Vec<BlockInfo>,
    stats: Vec<BlockStats>,
    nodes: Vec<BlockDeviceInfo>,
    /// The place of each node among the nodes.
    places: HashMap<String, usize>,
    graph: Graph,
    /// The number of links that may still be reported.
    links_left: Cell<usize>,
}

impl Block {
    pub(super) fn new(
        devices: Vec<BlockInfo>,
        stats: Vec<BlockStats>,
        nodes: Vec<BlockDeviceInfo>,
        debug: Option<&XDbgBlockGraph>,
    ) -> Self {
        let graph = Graph::new(&nodes, debug);
        let place =
            |(place, node): (usize, &BlockDeviceInfo)| Some((node.node_name.clone()?, place));
        let places = nodes.iter().enumerate().filter_map(place).collect();
        Self { devices, stats, nodes, places, graph, links_left: Cell::new(MOST_LINKS) }
    }

    pub(super) fn devices(&self) -> Vec<BlockDevice> {
        let stats: HashMap<_, _> =
            self.stats.iter().map(|stats| ((&stats.device, &stats.qdev), &stats.stats)).collect();
        let device = |info: &BlockInfo| {
            let name = Some(info.device.clone());
            let stats = stats.get(&(&name, &info.qdev));
            BlockDevice {
                name: device_name(info),
                path: info.qdev.clone(),
                removable: info.removable,
                locked: info.locked,
                io_status: info.io_status.as_ref().map(ToString::to_string),
                image: info.inserted.as_ref().map(|inserted| self.image(inserted)),
                read: stats.map(|stats| stats.rd_bytes),
                written: stats.map(|stats| stats.wr_bytes),
                read_operations: stats.map(|stats| stats.rd_operations),
                write_operations: stats.map(|stats| stats.wr_operations),
                flush_operations: stats.map(|stats| stats.flush_operations),
            }
        };
        self.devices.iter().map(device).collect()
    }

    /// Returns the nodes that belong to no device, except those that QEMU named itself.
    fn other_nodes(&self) -> Vec<Image> {
        let mut shown = HashSet::new();
        for device in &self.devices {
            let node = device.inserted.as_ref().and_then(|info| info.node_name.as_ref());
            node.inspect(|node| self.graph.reach(node, &mut shown));
        }
        let others = || {
            let others =
                self.nodes.iter().filter_map(|node| Some((node.node_name.as_deref()?, node)));
            others.filter(|(name, _)| names::is_given(name) && !shown.contains(*name))
        };
        let mut links = HashSet::new();
        for (name, _) in others() {
            // Chains that have been followed from another node are not followed again.
            let mut at = self.graph.below(name);
            while let Some(link) = at.filter(|link| links.insert(*link)) {
                at = self.graph.below(link);
            }
        }
        others()
            .filter(|(name, _)| !links.contains(name))
            .map(|(_, node)| self.image(node))
            .collect()
    }

    fn bitmaps(&self) -> Vec<Bitmap> {
        let inserted = self.devices.iter().filter_map(|device| device.inserted.as_ref());
        let owners: HashMap<&str, String> = self
            .devices
            .iter()
            .filter_map(|device| {
                Some((device.inserted.as_ref()?.node_name.as_deref()?, device_name(device)))
            })
            .collect();
        let mut seen = HashSet::new();
        let mut bitmaps = Vec::new();
        for node in self.nodes.iter().chain(inserted) {
            let name = node.node_name.as_deref().unwrap_or_default();
            if !seen.insert(name) {
                continue;
            }
            let owner = self.owner(name, &owners);
            bitmaps.extend(node.dirty_bitmaps.iter().flatten().map(|info| bitmap(&owner, info)));
        }
        bitmaps
    }

    /// Returns the name that a person gave for a node: to it, its device, or the first node below it,
    /// since jobs put nodes of their own above.
    fn owner(&self, node: &str, devices: &HashMap<&str, String>) -> String {
        if names::is_given(node) {
            return node.to_owned();
        }
        let chain = self.graph.backing_chain(node);
        let given = |node: &str| match devices.get(node) {
            _ if names::is_given(node) => Some(node.to_owned()),
            device => device.cloned(),
        };
        std::iter::once(node).chain(chain).find_map(given).unwrap_or_else(|| node.to_owned())
    }

    fn image(&self, info: &BlockDeviceInfo) -> Image {
        let chain = info.node_name.as_deref().map(|node| self.graph.backing_chain(node));
        let links = chain.into_iter().flatten().filter_map(|node| self.node(node));
        let links: Vec<&BlockDeviceInfo> = links.take(self.links_left.get()).collect();
        self.links_left.set(self.links_left.get() - links.len());
        let backing = if links.is_empty() {
            nested(&info.image)
        } else {
            links.into_iter().map(node_image).collect()
        };
        Image { backing, ..node_image(info) }
    }

    fn node(&self, name: &str) -> Option<&BlockDeviceInfo> {
        self.places.get(name).and_then(|place| self.nodes.get(*place))
    }
}

/// Returns the name that a person gave: to the device, its drive or its node. Devices without
/// one go by their QOM path.
pub(in super::super) fn device_name(info: &BlockInfo) -> String {
    let node = info.inserted.as_ref().and_then(|info| info.node_name.as_deref());
    let given = |name: Option<&str>| {
        name.filter(|name| !name.is_empty() && names::is_given(name)).map(str::to_owned)
    };
    given(info.qdev.as_deref().and_then(names::id_of_path))
        .or_else(|| given(Some(&info.device)))
        .or_else(|| given(node))
        .or_else(|| info.qdev.clone())
        .unwrap_or_default()
}

fn node_image(info: &BlockDeviceInfo) -> Image {
    Image {
        node: info.node_name.clone(),
        file: info.file.clone(),
        format: info.drv.clone(),
        size: info.image.virtual_size,
        on_disk: info.image.actual_size,
        read_only: Some(info.ro),
        encrypted: info.encrypted,
        backing: Vec::new(),
        backing_file: info.backing_file.clone(),
    }
}

/// Returns the backing chain of a release that tells it inside of the image.
fn nested(image: &ImageInfo) -> Vec<Image> {
    let mut chain = Vec::new();
    let mut at = image;
    while let Some(below) = at.backing_image.as_deref() {
        chain.push(Image {
            node: None,
            file: below.filename.clone(),
            format: below.format.clone(),
            size: below.virtual_size,
            on_disk: below.actual_size,
            read_only: None,
            encrypted: below.encrypted.unwrap_or(false),
            backing: Vec::new(),
            backing_file: below.backing_filename.clone(),
        });
        at = below;
    }
    chain
}

fn bitmap(node: &str, info: &BlockDirtyInfo) -> Bitmap {
    Bitmap {
        node: node.to_owned(),
        name: info.name.clone(),
        granularity: info.granularity,
        dirty: info.count,
        recording: info.recording,
        busy: info.busy,
        persistent: info.persistent,
        inconsistent: info.inconsistent.unwrap_or(false),
    }
}

pub(in super::super) fn export(info: BlockExportInfo) -> Export {
    Export {
        id: info.id,
        kind: info.type_.to_string(),
        node: info.node_name,
        shutting_down: info.shutting_down,
    }
}

pub(super) fn job(info: JobInfo) -> Job {
    let total = info.total_progress;
    Job {
        id: info.id,
        kind: info.type_.to_string(),
        status: info.status.to_string(),
        progress: (total > 0).then(|| info.current_progress as f64 / total as f64),
        done: info.current_progress,
        total,
        error: info.error,
    }
}
