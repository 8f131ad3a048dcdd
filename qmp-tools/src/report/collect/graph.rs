//! Which block node is below which.

use std::collections::{HashMap, HashSet};

use qmp_client::qmp::types::{BlockDeviceInfo, XDbgBlockGraph, XDbgBlockGraphNodeType};

/// Drivers that pass everything on to the node below, in the role `file`.
const FILTERS: [&str; 5] = ["throttle", "copy-on-read", "compress", "preallocate", "blkdebug"];

/// The edges between block nodes, by their names.
#[derive(Debug, Default)]
pub(in super::super) struct Graph {
    children: HashMap<String, Vec<Edge>>,
    /// The next link of the backing chain below each node.
    below: HashMap<String, String>,
}

/// The longest backing chain that is followed. A peer may describe a circle.
const LONGEST_CHAIN: usize = 1024;

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
            let (Some(name), Some(children)) = (&node.node_name, &node.children) else { continue };
            let edges = children
                .iter()
                .map(|child| Edge { role: child.child.clone(), node: child.node_name.clone() });
            graph.children.insert(name.clone(), edges.collect());
        }
        if graph.children.is_empty() {
            graph.add_debug(debug);
        }
        let drivers: HashMap<&str, &str> = nodes
            .iter()
            .filter_map(|node| Some((node.node_name.as_deref()?, &*node.drv)))
            .collect();
        for (node, edges) in &graph.children {
            let child = |role| edges.iter().find(|edge| edge.role == role);
            let is_filter = drivers.get(&**node).is_some_and(|driver| FILTERS.contains(driver));
            let edge = child("backing").or_else(|| child("file").filter(|_| is_filter));
            if let Some(edge) = edge {
                graph.below.insert(node.clone(), edge.node.clone());
            }
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

    /// Returns the next link of the backing chain below a node.
    pub(in super::super) fn below(&self, node: &str) -> Option<&str> {
        self.below.get(node).map(String::as_str)
    }

    /// Returns the links of a backing chain below a node, nearest first.
    pub(in super::super) fn backing_chain<'a>(
        &'a self,
        node: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let mut seen = HashSet::from([node]);
        std::iter::successors(self.below(node), |link| self.below(link))
            .take(LONGEST_CHAIN)
            .take_while(move |link| seen.insert(link))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use serde_json::json;

    use super::*;

    /// A chain that bites its own tail must end.
    #[test]
    fn circles_end() {
        let node = |id, name| json!({"id": id, "type": "block-driver", "name": name});
        let edge = |parent, child, role| json!({"parent": parent, "child": child, "name": role, "perm": [], "shared-perm": []});
        let debug = json!({
            "nodes": [node(1, "a"), node(2, "b"), node(3, "c")],
            "edges": [edge(1, 2, "backing"), edge(2, 3, "backing"), edge(3, 1, "backing"),
                edge(1, 3, "file")],
        });
        let debug: XDbgBlockGraph = serde_json::from_value(debug).unwrap();
        let graph = Graph::new(&[], Some(&debug));
        assert_eq!(graph.backing_chain("a").collect::<Vec<_>>(), ["b", "c"]);
        let mut reached = HashSet::new();
        graph.reach("b", &mut reached);
        assert_eq!(reached.len(), 3);
    }
}
