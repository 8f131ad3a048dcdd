//! Which block node is below which.

use std::collections::{HashMap, HashSet};

use qmp_client::qmp::types::{BlockDeviceInfo, XDbgBlockGraph, XDbgBlockGraphNodeType};

/// Drivers that pass everything on to the node below, in the role `file`.
const FILTERS: [&str; 5] = ["throttle", "copy-on-read", "compress", "preallocate", "blkdebug"];

/// The edges between block nodes, by their names.
#[derive(Debug, Default)]
pub(in super::super) struct Graph {
    children: HashMap<String, Vec<Edge>>,
    drivers: HashMap<String, String>,
}

/// A node below another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Edge {
    /// The role, such as `file` or `backing`.
    pub(in super::super) role: String,
    /// The node.
    pub(in super::super) node: String,
}

impl Graph {
    /// Takes the edges from the nodes, which tell them since QEMU 10.1, or else from the debugging
    /// command, which every release since 4.0 has.
    pub(in super::super) fn new(nodes: &[BlockDeviceInfo], debug: Option<&XDbgBlockGraph>) -> Self {
        let mut graph = Self::default();
        for node in nodes {
            let Some(name) = &node.node_name else { continue };
            graph.drivers.insert(name.clone(), node.drv.clone());
            let Some(children) = &node.children else { continue };
            let edges = children
                .iter()
                .map(|child| Edge { role: child.child.clone(), node: child.node_name.clone() });
            graph.children.insert(name.clone(), edges.collect());
        }
        if graph.children.is_empty() {
            graph.add_debug(debug);
        }
        graph
    }

    fn add_debug(&mut self, debug: Option<&XDbgBlockGraph>) {
        let Some(debug) = debug else { return };
        let nodes: HashMap<u64, &String> = debug
            .nodes
            .iter()
            .filter(|node| node.type_ == XDbgBlockGraphNodeType::BlockDriver)
            .map(|node| (node.id, &node.name))
            .collect();
        for edge in &debug.edges {
            if let (Some(parent), Some(child)) = (nodes.get(&edge.parent), nodes.get(&edge.child)) {
                let edge = Edge { role: edge.name.clone(), node: (*child).clone() };
                self.children.entry((*parent).clone()).or_default().push(edge);
            }
        }
    }

    /// Returns the nodes below a node.
    pub(in super::super) fn children(&self, node: &str) -> &[Edge] {
        self.children.get(node).map_or(&[], Vec::as_slice)
    }

    /// Returns the links of a backing chain below a node, nearest first.
    pub(in super::super) fn backing_chain<'a>(&'a self, node: &'a str) -> Vec<&'a str> {
        let mut chain = Vec::new();
        let mut seen = HashSet::from([node]);
        let mut at = node;
        while let Some(next) = self.below(at) {
            // A peer may describe a circle.
            if !seen.insert(next) {
                break;
            }
            chain.push(next);
            at = next;
        }
        chain
    }

    fn below(&self, node: &str) -> Option<&str> {
        let child = |role| self.children(node).iter().find(|edge| edge.role == role);
        let is_filter =
            self.drivers.get(node).is_some_and(|driver| FILTERS.contains(&driver.as_str()));
        let edge = child("backing").or_else(|| child("file").filter(|_| is_filter))?;
        Some(&edge.node)
    }

    /// Adds everything below a node to a set.
    pub(in super::super) fn reach(&self, node: &str, reached: &mut HashSet<String>) {
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            if reached.insert(node.to_owned()) {
                todo.extend(self.children(node).iter().map(|edge| edge.node.as_str()));
            }
        }
    }
}
