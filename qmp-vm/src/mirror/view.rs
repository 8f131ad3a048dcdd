//! Views: the state of a machine at one moment.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use qmp_types::qmp::types::{
    BalloonInfo, BlockDeviceInfo, BlockExportInfo, BlockInfo, BlockJobInfo, ChardevInfo,
    HotpluggableCPU, IOThreadInfo, JobInfo, Memdev, MemoryDeviceInfo, MemoryInfo, MigrationInfo,
    ObjectPropertyInfo, PciInfo, RunState, StatusInfo, XDbgBlockGraph,
};

use super::part::{COUNT, Part, Parts, Values, child_type};

/// A point in the order of everything that a mirror has heard.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Stamp(pub(super) u64);

/// Details of one part.
#[derive(Clone, Debug, Default)]
pub(super) struct Knowledge {
    /// The reason why the part has no value, if the server gave one.
    pub(super) absence: Option<Absence>,
    /// The error of the last query, if it failed for another reason.
    pub(super) failure: Option<String>,
    /// The moment at which the query was sent that returned the value.
    pub(super) asked_at: Option<Instant>,
    /// Everything up to here is in the value.
    pub(super) answered: Stamp,
}

/// The reason why a part of a machine has no value.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Absence {
    /// This QEMU does not have the query.
    NotSupported,
    /// The machine does not have the part, such as a balloon. The text is QEMU's.
    Missing(String),
}

/// The state of a machine at one moment, as its queries returned it. It does not change.
///
/// Each part is `None` if it is not known, or if the machine does not have it; [`absence`](Self::absence)
/// tells which.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) values: Values,
    pub(super) knowledge: Box<[Knowledge; COUNT]>,
    pub(super) stale: Parts,
    pub(super) number: u64,
    pub(super) connections: u64,
    pub(super) is_connected: bool,
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $field:ident -> $type:ty;)*) => {
        impl View {
            $($(#[$doc])*
            #[must_use]
            pub fn $field(&self) -> Option<&$type> {
                self.values.$field.as_ref().map(|value| &***value as &$type)
            })*
        }
    };
}

accessors! {
    /// Returns the jobs.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for job in view.jobs().into_iter().flatten() {
    ///     println!("{}: {}", job.id, job.status);
    /// }
    /// # }
    /// ```
    jobs -> [JobInfo];
    /// Returns what only the jobs of block devices have.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for job in view.block_jobs().into_iter().flatten() {
    ///     println!("{}: {} of {}", job.device, job.offset, job.len);
    /// }
    /// # }
    /// ```
    block_jobs -> [BlockJobInfo];
    /// Returns the block nodes.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for node in view.nodes().into_iter().flatten() {
    ///     println!("{:?}", node.node_name);
    /// }
    /// # }
    /// ```
    nodes -> [BlockDeviceInfo];
    /// Returns the block devices as the guest sees them.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for drive in view.drives().into_iter().flatten() {
    ///     println!("{}", drive.device);
    /// }
    /// # }
    /// ```
    drives -> [BlockInfo];
    /// Returns the exports of block nodes.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for export in view.exports().into_iter().flatten() {
    ///     println!("{}", export.id);
    /// }
    /// # }
    /// ```
    exports -> [BlockExportInfo];
    /// Returns the devices that have an id, by name; their types are `child<DRIVER>`.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for device in view.devices().into_iter().flatten() {
    ///     println!("{}", device.name);
    /// }
    /// # }
    /// ```
    devices -> [ObjectPropertyInfo];
    /// Returns the devices that have no id, by the names that QEMU gave them.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// println!("{} devices without an id", view.unnamed_devices().unwrap_or_default().len());
    /// # }
    /// ```
    unnamed_devices -> [ObjectPropertyInfo];
    /// Returns the devices on PCI buses.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// println!("{} buses", view.pci().unwrap_or_default().len());
    /// # }
    /// ```
    pci -> [PciInfo];
    /// Returns the slots for CPUs.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for cpu in view.cpus().into_iter().flatten() {
    ///     println!("{}", cpu.type_);
    /// }
    /// # }
    /// ```
    cpus -> [HotpluggableCPU];
    /// Returns the objects that were created by `object-add` or `-object`, by name.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for object in view.objects().into_iter().flatten() {
    ///     println!("{}", object.name);
    /// }
    /// # }
    /// ```
    objects -> [ObjectPropertyInfo];
    /// Returns the memory backends.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for backend in view.memory_backends().into_iter().flatten() {
    ///     println!("{} bytes", backend.size);
    /// }
    /// # }
    /// ```
    memory_backends -> [Memdev];
    /// Returns the I/O threads.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for thread in view.io_threads().into_iter().flatten() {
    ///     println!("{}", thread.id);
    /// }
    /// # }
    /// ```
    io_threads -> [IOThreadInfo];
    /// Returns the memory devices.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// println!("{} devices", view.memory_devices().unwrap_or_default().len());
    /// # }
    /// ```
    memory_devices -> [MemoryDeviceInfo];
    /// Returns the character devices.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for chardev in view.chardevs().into_iter().flatten() {
    ///     println!("{}", chardev.label);
    /// }
    /// # }
    /// ```
    chardevs -> [ChardevInfo];
}

impl View {
    pub(super) fn empty() -> Self {
        Self {
            values: Values::default(),
            knowledge: Box::default(),
            stale: Parts::ALL,
            number: 0,
            connections: 0,
            is_connected: false,
        }
    }

    /// Returns the run state with its details.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(status) = view.status() {
    ///     println!("{}", status.status);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<&StatusInfo> {
        self.values.status.as_deref()
    }

    /// Returns the run state.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(state) = view.run_state() {
    ///     println!("{state}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn run_state(&self) -> Option<&RunState> {
        self.status().map(|status| &status.status)
    }

    /// Returns whether the guest runs; false if that is not known.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// println!("running: {}", view.is_running());
    /// # }
    /// ```
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status().is_some_and(|status| status.running)
    }

    /// Returns the state of the migration.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(migration) = view.migration() {
    ///     println!("{:?}", migration.status);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn migration(&self) -> Option<&MigrationInfo> {
        self.values.migration.as_deref()
    }

    /// Returns how block nodes depend on each other.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(graph) = view.graph() {
    ///     println!("{} nodes", graph.nodes.len());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn graph(&self) -> Option<&XDbgBlockGraph> {
        self.values.graph.as_deref()
    }

    /// Returns the amount of memory.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(memory) = view.memory_size() {
    ///     println!("{} bytes", memory.base_memory);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn memory_size(&self) -> Option<&MemoryInfo> {
        self.values.memory_size.as_deref()
    }

    /// Returns the balloon.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(balloon) = view.balloon() {
    ///     println!("{} bytes", balloon.actual);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn balloon(&self) -> Option<&BalloonInfo> {
        self.values.balloon.as_deref()
    }

    /// Returns the block node of this name.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(node) = view.node("disk0") {
    ///     println!("{}", node.file);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&BlockDeviceInfo> {
        self.nodes()?.iter().find(|node| node.node_name.as_deref() == Some(name))
    }

    /// Returns the job of this id.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(job) = view.job("backup0") {
    ///     println!("{} of {}", job.current_progress, job.total_progress);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn job(&self, id: &str) -> Option<&JobInfo> {
        self.jobs()?.iter().find(|job| job.id == id)
    }

    /// Returns the export of this id.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(export) = view.export("export0") {
    ///     println!("{}", export.node_name);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn export(&self, id: &str) -> Option<&BlockExportInfo> {
        self.exports()?.iter().find(|export| export.id == id)
    }

    /// Returns the character device of this id.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(serial) = view.chardev("serial0") {
    ///     println!("{}", serial.filename);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn chardev(&self, id: &str) -> Option<&ChardevInfo> {
        self.chardevs()?.iter().find(|chardev| chardev.label == id)
    }

    /// Returns the driver of the device of this id, such as `virtio-blk-pci`.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(path) = view.device("nic0") {
    ///     println!("{path}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn device(&self, id: &str) -> Option<&str> {
        child_type(self.devices()?.iter().find(|device| device.name == id)?)
    }

    /// Returns the type of the object of this id, such as `iothread`.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if let Some(path) = view.object("iothread0") {
    ///     println!("{path}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn object(&self, id: &str) -> Option<&str> {
        child_type(self.objects()?.iter().find(|object| object.name == id)?)
    }

    /// Returns the names of a block node and of those below it, the node itself first: its filters,
    /// its backing files, and what their data is stored in. QEMU from 10.1 on lists the children with
    /// each node; before that, the graph tells.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// // From the top image to the base.
    /// println!("{}", view.chain("disk0").join(" over "));
    /// # }
    /// ```
    #[must_use]
    pub fn chain(&self, node: &str) -> Vec<&str> {
        let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for node in self.nodes().unwrap_or_default() {
            let Some(name) = node.node_name.as_deref() else { continue };
            let below = node.children.iter().flatten().map(|child| &*child.node_name);
            children.entry(name).or_default().extend(below);
        }
        if let Some(graph) = self.graph() {
            let names: BTreeMap<u64, &str> =
                graph.nodes.iter().map(|node| (node.id, &*node.name)).collect();
            for edge in &graph.edges {
                let ends = names.get(&edge.parent).zip(names.get(&edge.child));
                let Some((parent, child)) = ends else { continue };
                // Block backends and jobs are in the graph, too, and may share a node's name.
                if let Some(below) = children.get_mut(parent) {
                    below.push(child);
                }
            }
        }
        let mut chain: Vec<&str> =
            children.get_key_value(node).into_iter().map(|(name, _)| *name).collect();
        let mut listed: BTreeSet<&str> = chain.iter().copied().collect();
        let mut next = 0;
        while let Some(node) = chain.get(next) {
            let below = children.get(*node).map(Vec::as_slice).unwrap_or_default();
            chain.extend(
                below.iter().filter(|child| children.contains_key(*child) && listed.insert(child)),
            );
            next += 1;
        }
        chain
    }

    /// Returns the reason why a part has no value; `None` if it has one, or is not known.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// use qmp_vm::mirror::Part;
    ///
    /// if let Some(absence) = view.absence(Part::Pci) {
    ///     println!("{absence:?}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn absence(&self, part: Part) -> Option<&Absence> {
        self.knowledge[part.index()].absence.as_ref()
    }

    /// Returns the error of the last query for a part, if it failed. The value is an earlier one then,
    /// and the query is repeated.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// use qmp_vm::mirror::Part;
    ///
    /// if let Some(failure) = view.failure(Part::Pci) {
    ///     eprintln!("{failure}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn failure(&self, part: Part) -> Option<&str> {
        self.knowledge[part.index()].failure.as_deref()
    }

    /// Returns the moment at which a part was asked for, by the clock of the client.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// use qmp_vm::mirror::Part;
    ///
    /// if let Some(at) = view.asked_at(Part::Status) {
    ///     println!("{:?} ago", at.elapsed());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn asked_at(&self, part: Part) -> Option<Instant> {
        self.knowledge[part.index()].asked_at
    }

    /// Returns the parts that may have changed by the moment of this view, and whose values are
    /// earlier ones. The views of a machine at rest have none.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// for part in view.stale() {
    ///     println!("{part:?} may have changed since");
    /// }
    /// # }
    /// ```
    pub fn stale(&self) -> impl Iterator<Item = Part> {
        self.stale.iter()
    }

    /// Returns whether every part was up to date at the moment of this view.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if view.is_current() {
    ///     println!("{:?}", view.run_state());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_connected && self.stale.is_empty()
    }

    /// Returns whether the mirror was connected to the machine.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// if !view.is_connected() {
    ///     println!("the view is that of the last connection");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Returns the number of connections that the mirror has followed so far.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// println!("{} connections so far", view.connections());
    /// # }
    /// ```
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Returns the number of this view. A later view of a mirror has a greater number if anything in
    /// it differs.
    ///
    /// ```
    /// # fn example(view: &qmp_vm::mirror::View) {
    /// println!("view {}", view.number());
    /// # }
    /// ```
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the parts in which two views differ, whatever their ages.
    ///
    /// ```
    /// # fn example(before: &qmp_vm::mirror::View, view: &qmp_vm::mirror::View) {
    /// for part in view.differences(before) {
    ///     println!("{part:?}");
    /// }
    /// # }
    /// ```
    pub fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Part> + 'a {
        Part::ALL.iter().copied().filter(|part| !self.agrees(other, *part))
    }

    pub(super) fn agrees(&self, other: &Self, part: Part) -> bool {
        self.values.agree(&other.values, part)
            && self.absence(part).is_some() == other.absence(part).is_some()
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use qmp_client::protocol::Printable;

        let text = match self {
            Self::NotSupported => Cow::Borrowed("not supported by this QEMU"),
            Self::Missing(text) => Cow::Owned(Printable(text).to_string()),
        };
        f.write_str(&text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, children: Option<&[&str]>) -> Value {
        let mut node = json!({"file": "f", "node-name": name, "ro": false, "drv": "raw",
            "backing_file_depth": 0, "encrypted": false, "detect_zeroes": "off", "bps": 0,
            "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
            "image": {"filename": "f", "format": "raw", "virtual-size": 1},
            "cache": {"writeback": true, "direct": false, "no-flush": false},
            "write_threshold": 0});
        if let Some(children) = children {
            let child = |name: &&str| json!({"child": "file", "node-name": name});
            node["children"] = children.iter().map(child).collect();
        }
        node
    }

    #[test]
    fn chains_are_found_by_children() {
        let mut view = View::empty();
        let nodes = json!([
            node("top", Some(&["file", "base"])),
            node("base", Some(&["file"])),
            node("file", Some(&[])),
            node("other", Some(&[]))
        ]);
        view.values.nodes = Some(Arc::new(serde_json::from_value(nodes).unwrap()));
        assert_eq!(view.chain("top"), ["top", "file", "base"]);
        assert_eq!(view.chain("other"), ["other"]);
        assert_eq!(view.chain("none"), [""; 0]);
    }

    /// QEMU before 10.1 does not list children. A server may say that a node is its own ancestor.
    #[test]
    fn chains_are_found_by_the_graph() {
        let mut view = View::empty();
        let nodes = json!([node("top", None), node("base", None)]);
        view.values.nodes = Some(Arc::new(serde_json::from_value(nodes).unwrap()));
        let edge = |parent, child| {
            json!({"parent": parent, "child": child, "name": "backing",
            "perm": [], "shared-perm": []})
        };
        let graph = json!({
            "nodes": [{"id": 1, "type": "block-backend", "name": "drive"},
                {"id": 2, "type": "block-driver", "name": "top"},
                {"id": 3, "type": "block-driver", "name": "base"}],
            "edges": [edge(1, 2), edge(2, 3), edge(3, 2), edge(3, 9)],
        });
        view.values.graph = Some(Arc::new(serde_json::from_value(graph).unwrap()));
        assert_eq!(view.chain("top"), ["top", "base"]);
        assert_eq!(view.chain("drive"), [""; 0]);
    }
    /// A server lists what it likes, and each node was compared with all others.
    #[test]
    fn a_chain_of_many_nodes_is_found_in_a_moment() {
        let names: Vec<String> = (0..50_000).map(|number| format!("node{number}")).collect();
        let below: Vec<&str> = names.iter().map(|name| &**name).collect();
        let top = node("top", Some(&below));
        let mut nodes = vec![serde_json::from_value::<BlockDeviceInfo>(top).unwrap()];
        let mut last: BlockDeviceInfo = serde_json::from_value(node("", None)).unwrap();
        for name in &names {
            last.node_name = Some(name.clone());
            nodes.push(last.clone());
        }
        let mut view = View::empty();
        view.values.nodes = Some(Arc::new(nodes));
        let begin = Instant::now();
        assert_eq!(view.chain("top").len(), 50_001);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
}
