//! The block graph: which nodes there are, and what uses them.

use std::collections::HashSet;

use qmp_types::QmpError;

use super::node::{Link, Node};
use crate::simulator::machine::Machine;
use crate::simulator::replies::refuse;

impl Machine {
    pub(in crate::simulator) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.named(name)
    }

    pub(in crate::simulator) fn node_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.nodes.named_mut(name)
    }

    /// Finds a node that a command names in a `device` argument: the medium of a drive, or a node.
    pub(in crate::simulator) fn named_node(&self, name: &str) -> Result<&Node, QmpError> {
        self.medium_of(name).or_else(|| self.node(name)).map_or_else(
            || refuse(format!("Cannot find device='{name}' nor node-name='{name}'")),
            Ok,
        )
    }

    /// Finds the node that two optional arguments name.
    pub(in crate::simulator) fn either_node(
        &self,
        device: Option<&str>,
        node_name: Option<&str>,
    ) -> Result<String, QmpError> {
        let found = node_name.and_then(|name| self.node(name));
        if let Some(node) = found {
            return Ok(node.name.clone());
        }
        let by_device = device.and_then(|name| self.medium_of(name));
        by_device.map(|node| node.name.clone()).map_or_else(
            || {
                let (device, node) = (device.unwrap_or_default(), node_name.unwrap_or_default());
                refuse(format!("Cannot find device='{device}' nor node-name='{node}'"))
            },
            Ok,
        )
    }

    pub(in crate::simulator) fn has_parent(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.children.iter().any(|link| link.node == name))
    }

    /// Returns what uses a node directly, besides other nodes.
    pub(in crate::simulator) fn is_attached(&self, name: &str) -> bool {
        self.devices.iter().any(|device| device.string("drive") == Some(name))
            || self.drives.iter().any(|drive| drive.medium.as_deref() == Some(name))
            || self.exports.iter().any(|export| export.node == name)
    }

    pub(in crate::simulator) fn is_used_by_job(&self, name: &str) -> bool {
        self.jobs.iter().any(|job| job.uses(name))
    }

    pub(super) fn delete_node(&mut self, name: &str) -> Result<(), QmpError> {
        let Some(node) = self.node(name) else {
            return refuse(format!("Failed to find node with node-name='{name}'"));
        };
        let is_owned = node.owned_by_monitor;
        if self.is_attached(name) {
            return refuse(format!("Node {name} is in use"));
        }
        self.check_not_busy(name)?;
        if !is_owned {
            return refuse(format!("Node {name} is not owned by the monitor"));
        }
        if self.has_parent(name) {
            return refuse(format!("Block device {name} is in use"));
        }
        self.remove_node(name);
        Ok(())
    }

    /// Removes a node, and its children that are neither owned by the monitor nor used otherwise.
    pub(in crate::simulator) fn remove_node(&mut self, name: &str) {
        // A chain can be longer than the stack is deep.
        let mut unused = vec![name.to_owned()];
        while let Some(name) = unused.pop() {
            let Some(node) = self.nodes.remove(&name) else { continue };
            for Link { node: child, .. } in node.children {
                if self.is_unused(&child) {
                    unused.push(child);
                }
            }
        }
    }

    /// Removes a node that was defined inline and has no user any more.
    pub(in crate::simulator) fn release(&mut self, name: &str) {
        if self.is_unused(name) {
            self.remove_node(name);
        }
    }

    /// Returns whether a node was defined inline and has no user any more.
    fn is_unused(&self, name: &str) -> bool {
        // In this order: the last ones look at everything.
        self.node(name).is_some_and(|node| !node.owned_by_monitor)
            && !self.is_attached(name)
            && !self.is_used_by_job(name)
            && !self.has_parent(name)
    }

    /// Makes a node the backing child of another one, unless that one is below it.
    pub(in crate::simulator) fn link_backing(
        &mut self,
        parent: &str,
        backing: &str,
    ) -> Result<(), QmpError> {
        let is_below = self.has_parent(parent) && self.reachable(backing).contains(parent);
        if parent == backing || is_below {
            return refuse(format!(
                "Making '{backing}' a backing child of '{parent}' would create a cycle"
            ));
        }
        if let Some(parent) = self.node_mut(parent) {
            parent.set_child("backing", Some(backing));
        }
        Ok(())
    }

    /// Returns the names of a node and of all nodes below it.
    pub(in crate::simulator) fn reachable(&self, top: &str) -> HashSet<String> {
        let (mut names, mut pending) = (HashSet::new(), vec![top]);
        while let Some(name) = pending.pop() {
            let is_new = names.insert(name.to_owned());
            if let Some(node) = self.node(name).filter(|_| is_new) {
                pending.extend(node.children.iter().map(|link| link.node.as_str()));
            }
        }
        names
    }

    /// Makes all users of a node use another one, except that one itself and the nodes below it.
    pub(in crate::simulator) fn replace_node(&mut self, old: &str, new: &str) {
        let below = self.reachable(new);
        for node in self.nodes.iter_mut().filter(|node| !below.contains(&node.name)) {
            for link in node.children.iter_mut().filter(|link| link.node == old) {
                new.clone_into(&mut link.node);
            }
        }
        for device in &mut self.devices {
            if device.string("drive") == Some(old) {
                device.properties.insert("drive".to_owned(), new.into());
            }
        }
        for drive in self.drives.iter_mut().filter(|drive| drive.medium.as_deref() == Some(old)) {
            drive.medium = Some(new.to_owned());
        }
    }

    /// Returns the names of a node and of the backing nodes below it, from the top.
    pub(in crate::simulator) fn backing_chain(&self, top: &str) -> Vec<String> {
        let mut chain = Vec::new();
        let mut seen = HashSet::new();
        let mut next = self.node(top);
        while let Some(node) = next.filter(|node| seen.insert(node.name.clone())) {
            chain.push(node.name.clone());
            next = node.child("backing").and_then(|name| self.node(name));
        }
        chain
    }
}
