//! Block nodes below the devices and exports that use them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use qmp_client::Error;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    QueryBlock, QueryBlockExports, QueryNamedBlockNodes, XDebugQueryBlockGraph,
};
use qmp_client::qmp::types::BlockDeviceInfo;

use super::super::collect::block::{device_name, export};
use super::super::collect::graph::Graph;
use super::super::units::size;
use super::{Branch, DEEPEST, MOST};

pub(super) fn tree(vm: &Client, within: Duration) -> Result<Vec<Branch>, Error> {
    let nodes = vm.call(QueryNamedBlockNodes::new().flat(true)).within(within).send()?;
    let devices = vm.call(QueryBlock::new()).within(within).send()?;
    let exports = vm.call(QueryBlockExports::new()).within(within).send()?;
    let debug = vm.call(XDebugQueryBlockGraph::new()).within(within).send()?;
    let nodes = nodes.receive()?;
    // A storage daemon has no devices, and an old QEMU no exports.
    let devices = unless_refused(devices.receive())?.unwrap_or_default();
    let exports = unless_refused(exports.receive())?.unwrap_or_default();
    let debug = unless_refused(debug.receive())?;

    let graph = Graph::new(&nodes, debug.as_ref());
    let mut drawing = Nodes::new(&nodes, &graph);
    let mut roots = Vec::new();
    for device in &devices {
        let node = device.inserted.as_ref().and_then(|info| info.node_name.as_deref());
        let children = node.map(|node| drawing.branch("root", node, 1));
        let details = if children.is_some() { "device" } else { "device, empty" };
        roots.push(Branch {
            name: device_name(device),
            details: details.to_owned(),
            children: children.into_iter().collect(),
            ..Branch::default()
        });
    }
    for info in exports {
        let export = export(info);
        let children = vec![drawing.branch("root", &export.node, 1)];
        let details = format!("{} export", export.kind);
        roots.push(Branch { name: export.id, details, children, ..Branch::default() });
    }
    roots.extend(drawing.unused_roots());
    Ok(roots)
}

fn unless_refused<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The nodes, and which of them have been drawn.
struct Nodes<'a> {
    nodes: HashMap<&'a str, &'a BlockDeviceInfo>,
    order: Vec<&'a str>,
    graph: &'a Graph,
    drawn: HashSet<String>,
    rows: usize,
}

impl<'a> Nodes<'a> {
    fn new(nodes: &'a [BlockDeviceInfo], graph: &'a Graph) -> Self {
        let named = nodes.iter().filter_map(|node| Some((node.node_name.as_deref()?, node)));
        let order = named.clone().map(|(name, _)| name).collect();
        Self { nodes: named.collect(), order, graph, drawn: HashSet::new(), rows: 0 }
    }

    /// Draws a node and those below it. A node that several use is drawn in full once.
    fn branch(&mut self, role: &str, name: &str, depth: usize) -> Branch {
        self.rows += 1;
        let is_new = self.drawn.insert(name.to_owned());
        let mut branch = Branch {
            role: role.to_owned(),
            name: name.to_owned(),
            details: self.details(name),
            children: Vec::new(),
        };
        let edges = self.graph.children(name);
        if edges.is_empty() || depth >= DEEPEST || self.rows >= MOST {
            return branch;
        }
        if !is_new {
            branch.details += "  (shown above)";
            return branch;
        }
        let below = edges.iter().map(|edge| self.branch(&edge.role, &edge.node, depth + 1));
        branch.children = below.collect();
        branch
    }

    fn details(&self, name: &str) -> String {
        let Some(node) = self.nodes.get(name) else { return String::new() };
        let read_only = if node.ro { "  read-only" } else { "" };
        format!("{}  {}  {}{read_only}", node.drv, size(node.image.virtual_size), node.file)
    }

    /// Draws the nodes that nothing uses.
    fn unused_roots(&mut self) -> Vec<Branch> {
        let order = std::mem::take(&mut self.order);
        let used: HashSet<&str> = order
            .iter()
            .flat_map(|node| self.graph.children(node))
            .map(|edge| edge.node.as_str())
            .collect();
        let mut roots = Vec::new();
        for node in order.iter().filter(|node| !used.contains(**node)) {
            if !self.drawn.contains(*node) && self.rows < MOST {
                roots.push(self.branch("", node, 0));
            }
        }
        roots
    }
}
