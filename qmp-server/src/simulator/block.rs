//! Drives and block nodes.

// `eject` by block device name is deprecated, but still supported.
#![allow(deprecated)]

use qmp_types::qmp::commands::{
    BlockdevAdd, BlockdevDel, Eject, QueryBlock, QueryBlockstats, QueryNamedBlockNodes,
};
use qmp_types::qmp::events::DeviceTrayMoved;
use qmp_types::{Empty, QmpError};
use serde_json::{Map, Value, json};

use super::machine::{Device, Machine, Node};
use super::replies::{not_found, typed};
use crate::context::Context;
use crate::router::Router;

/// The size in bytes of images without a given size, since the simulator does not open files.
const DEFAULT_SIZE: u64 = 1 << 30;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, _: QueryBlock, _: &mut Context| {
            typed(machine.drives().map(|device| machine.drive_info(device)).collect())
        })
        .command(|machine: &mut Machine, _: QueryNamedBlockNodes, _: &mut Context| {
            typed(machine.nodes.iter().map(node_info).collect())
        })
        .command(|machine: &mut Machine, command: QueryBlockstats, _: &mut Context| {
            typed(machine.block_stats(command.query_nodes.unwrap_or_default()))
        })
        .command(|machine: &mut Machine, command: BlockdevAdd, _: &mut Context| {
            let options = serde_json::to_value(&command).unwrap_or_default();
            machine.add_node(options.as_object().unwrap_or(&Map::new()), true)?;
            Ok(Empty {})
        })
        .command(|machine: &mut Machine, command: BlockdevDel, _: &mut Context| {
            machine.delete_node(&command.node_name)
        })
        .command(|machine: &mut Machine, command: Eject, context: &mut Context| {
            machine.eject(command, context)
        })
        .event::<DeviceTrayMoved>()
}

impl Machine {
    fn drives(&self) -> impl Iterator<Item = &Device> {
        self.devices
            .iter()
            .filter(|device| matches!(device.driver.as_str(), "virtio-blk-pci" | "ide-cd"))
    }

    fn medium(&self, device: &Device) -> Option<&Node> {
        device.string("drive").and_then(|name| self.node(name))
    }

    fn drive_info(&self, device: &Device) -> Value {
        let mut info = json!({
            "device": "",
            "qdev": qdev(device),
            "type": "unknown",
            "removable": device.is_removable(),
            "locked": false,
            "io-status": "ok",
        });
        if device.is_removable() {
            info["tray_open"] = device.tray_open.into();
        }
        if let Some(node) = self.medium(device) {
            info["inserted"] = node_info(node);
        }
        info
    }

    fn block_stats(&self, of_nodes: bool) -> Value {
        if of_nodes {
            let nodes = self.nodes.iter();
            return nodes.map(|node| json!({"node-name": node.name, "stats": stats()})).collect();
        }
        let drives = self.drives().map(|device| {
            let mut info = json!({"device": "", "qdev": qdev(device), "stats": stats()});
            if let Some(node) = self.medium(device) {
                info["node-name"] = node.name.as_str().into();
            }
            info
        });
        drives.collect()
    }

    /// Adds a node and the nodes that are defined inline in its options, and returns its name.
    fn add_node(
        &mut self,
        options: &Map<String, Value>,
        owned_by_monitor: bool,
    ) -> Result<String, QmpError> {
        let text = |name: &str| options.get(name).and_then(Value::as_str);
        let name = match text("node-name") {
            Some(name) => name.to_owned(),
            None if owned_by_monitor => {
                let desc = "'node-name' must be specified for the root node";
                return Err(QmpError::generic(desc));
            }
            None => self.free_name(),
        };
        if self.node(&name).is_some() {
            let desc = format!("Duplicate nodes with node-name='{name}'");
            return Err(QmpError::generic(desc));
        }
        let before = self.nodes.len();
        let children = self.add_children(options).inspect_err(|_| {
            // Remove the inline nodes that were added before the error.
            self.nodes.truncate(before);
        })?;
        let driver = text("driver").unwrap_or_default();
        let below = children.first().and_then(|(_, child)| self.node(child));
        let filename = match (text("filename"), below) {
            (Some(filename), _) => filename.to_owned(),
            (None, Some(node)) => node.filename.clone(),
            (None, None) => format!("{driver}://"),
        };
        // An overlay has the size of its backing node.
        let backing = children.last().and_then(|(_, child)| self.node(child));
        let size = options.get("size").and_then(Value::as_u64);
        let size = size.or(backing.map(|node| node.size)).unwrap_or(DEFAULT_SIZE);
        let read_only = options.get("read-only").and_then(Value::as_bool).unwrap_or_default();
        let node = Node::new(&name, driver, &filename, size);
        self.nodes.push(Node { children, read_only, owned_by_monitor, ..node });
        Ok(name)
    }

    fn add_children(
        &mut self,
        options: &Map<String, Value>,
    ) -> Result<Vec<(String, String)>, QmpError> {
        let mut children = Vec::new();
        for role in ["file", "backing"] {
            let child = match options.get(role) {
                Some(Value::String(name)) if self.node(name).is_some() => name.clone(),
                Some(Value::String(name)) => {
                    let desc = format!("Cannot find device='{name}' nor node-name='{name}'");
                    return Err(QmpError::generic(desc));
                }
                Some(Value::Object(options)) => self.add_node(options, false)?,
                _ => continue,
            };
            children.push((role.to_owned(), child));
        }
        Ok(children)
    }

    fn free_name(&self) -> String {
        let mut numbers = 100..;
        let free = numbers.find(|number| self.node(&format!("#block{number}")).is_none());
        format!("#block{}", free.unwrap_or_default())
    }

    fn delete_node(&mut self, name: &str) -> Result<Empty, QmpError> {
        let Some(node) = self.node(name) else {
            let desc = format!("Failed to find node with node-name='{name}'");
            return Err(QmpError::generic(desc));
        };
        if !node.owned_by_monitor {
            return Err(QmpError::generic(format!("Node {name} is not owned by the monitor")));
        }
        if self.drives().any(|device| device.string("drive") == Some(name)) {
            return Err(QmpError::generic(format!("Node {name} is in use")));
        }
        if self.has_parent(name) {
            return Err(QmpError::generic(format!("Block device {name} is in use")));
        }
        self.remove_node(name);
        Ok(Empty {})
    }

    fn has_parent(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.children.iter().any(|(_, child)| child == name))
    }

    /// Removes a node, and its children that are neither owned by the monitor nor used by another
    /// node.
    fn remove_node(&mut self, name: &str) {
        let Some(at) = self.nodes.iter().position(|node| node.name == name) else { return };
        for (_, child) in self.nodes.remove(at).children {
            let is_inline = self.node(&child).is_some_and(|node| !node.owned_by_monitor);
            if is_inline && !self.has_parent(&child) {
                self.remove_node(&child);
            }
        }
    }

    fn eject(&mut self, command: Eject, context: &mut Context) -> Result<Empty, QmpError> {
        let name = match (command.device, command.id) {
            (Some(name), None) => return Err(not_found(&name)),
            (None, Some(id)) => id,
            _ => return Err(QmpError::generic("Need exactly one of 'device' and 'id'")),
        };
        let device = self.device(&name).ok_or_else(|| not_found(&name))?;
        if !device.is_removable() {
            return Err(QmpError::generic(format!("Device '{name}' is not removable")));
        }
        device.properties.remove("drive");
        if !device.tray_open {
            device.tray_open = true;
            context.emit(&DeviceTrayMoved::new("", device.name(), true));
        }
        Ok(Empty {})
    }
}

impl Device {
    fn is_removable(&self) -> bool {
        self.driver == "ide-cd"
    }
}

/// Returns the name or path of a device in the replies to block queries.
fn qdev(device: &Device) -> String {
    device.back_end().unwrap_or_else(|| device.name().to_owned())
}

fn node_info(node: &Node) -> Value {
    let children = node.children.iter();
    let children = children.map(|(role, name)| json!({"child": role, "node-name": name}));
    json!({
        "file": node.filename,
        "node-name": node.name,
        "ro": node.read_only,
        "drv": node.driver,
        "backing_file_depth": node.children.iter().filter(|(role, _)| role == "backing").count(),
        "children": children.collect::<Value>(),
        "active": true,
        "encrypted": false,
        "detect_zeroes": "off",
        "bps": 0, "bps_rd": 0, "bps_wr": 0,
        "iops": 0, "iops_rd": 0, "iops_wr": 0,
        "image": {
            "filename": node.filename,
            "format": node.driver,
            "virtual-size": node.size,
            "actual-size": node.size.min(200 << 10),
        },
        "cache": {"writeback": true, "direct": false, "no-flush": false},
        "write_threshold": 0,
    })
}

/// Returns the statistics of a drive that has not been accessed.
fn stats() -> Value {
    let counters = [
        "rd_bytes",
        "wr_bytes",
        "zone_append_bytes",
        "unmap_bytes",
        "rd_operations",
        "wr_operations",
        "zone_append_operations",
        "flush_operations",
        "unmap_operations",
        "rd_total_time_ns",
        "wr_total_time_ns",
        "zone_append_total_time_ns",
        "flush_total_time_ns",
        "unmap_total_time_ns",
        "wr_highest_offset",
        "rd_merged",
        "wr_merged",
        "zone_append_merged",
        "unmap_merged",
        "failed_rd_operations",
        "failed_wr_operations",
        "failed_zone_append_operations",
        "failed_flush_operations",
        "failed_unmap_operations",
        "invalid_rd_operations",
        "invalid_wr_operations",
        "invalid_zone_append_operations",
        "invalid_flush_operations",
        "invalid_unmap_operations",
    ];
    let mut stats: Map<String, Value> =
        counters.into_iter().map(|name| (name.to_owned(), 0.into())).collect();
    stats.insert("account_invalid".to_owned(), true.into());
    stats.insert("account_failed".to_owned(), true.into());
    stats.insert("timed_stats".to_owned(), json!([]));
    stats.into()
}
