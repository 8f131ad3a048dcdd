//! The list of nodes.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use super::node::Node;

/// The nodes, in the order in which they were added. Each has a name of its own, which never changes.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct Nodes {
    nodes: Vec<Node>,
    /// The index of each node, by its name.
    indexes: HashMap<String, usize>,
}

impl Nodes {
    pub(in crate::simulator) fn named(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.indexes.get(name)?)
    }

    pub(in crate::simulator) fn named_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.nodes.get_mut(*self.indexes.get(name)?)
    }

    /// Adds a node with a name that no other one has.
    pub(in crate::simulator) fn push(&mut self, node: Node) {
        self.indexes.insert(node.name.clone(), self.nodes.len());
        self.nodes.push(node);
    }

    pub(in crate::simulator) fn remove(&mut self, name: &str) -> Option<Node> {
        let removed = self.indexes.remove(name)?;
        self.indexes.values_mut().filter(|index| **index > removed).for_each(|index| *index -= 1);
        Some(self.nodes.remove(removed))
    }

    pub(in crate::simulator) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Removes the nodes that were added after the first `count`.
    pub(in crate::simulator) fn truncate(&mut self, count: usize) {
        self.nodes.truncate(count);
        self.indexes.retain(|_, index| *index < count);
    }
}

impl Deref for Nodes {
    type Target = [Node];

    fn deref(&self) -> &[Node] {
        &self.nodes
    }
}

impl DerefMut for Nodes {
    fn deref_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }
}
