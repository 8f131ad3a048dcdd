//! Reports about nodes and drives, for queries.

use serde_json::{Map, Value, json};

use super::drive::BackEnd;
use super::node::{Node, is_format};
use crate::simulator::machine::{Device, Machine};

/// The largest number of nodes in the report of one node and of those below it. The value is nested
/// as deep as the chain, which clients make as long as they like.
const REPORTED: usize = 100;

impl Machine {
    pub(super) fn query_block(&self) -> Value {
        self.block_back_ends().map(|back_end| self.back_end_info(&back_end)).collect()
    }

    fn back_end_info(&self, back_end: &BackEnd<'_>) -> Value {
        let mut info = json!({
            "device": back_end.name,
            "type": "unknown",
            "removable": back_end.is_removable(),
            "locked": false,
        });
        if let Some(qdev) = back_end.qdev() {
            info["qdev"] = qdev.into();
        }
        if let Some(device) = back_end.device {
            if !matches!(device.model.name, "floppy" | "nvme") {
                info["io-status"] = "ok".into();
            }
            if device.has_tray() {
                info["tray_open"] = device.tray_open.into();
            }
        }
        if let Some(node) = back_end.medium {
            info["inserted"] = self.node_info(node, false);
        }
        info
    }

    pub(in crate::simulator) fn medium(&self, device: &Device) -> Option<&Node> {
        device.string("drive").and_then(|name| self.node(name))
    }

    pub(super) fn query_nodes(&self, flat: bool) -> Value {
        self.nodes.iter().rev().map(|node| self.node_info(node, flat)).collect()
    }

    pub(in crate::simulator) fn node_info(&self, node: &Node, flat: bool) -> Value {
        let children = node.children.iter();
        let children = children.map(|link| json!({"child": link.role, "node-name": link.node}));
        let backing: Vec<&Node> = self
            .backing_chain(&node.name)
            .iter()
            .skip(1)
            .filter_map(|name| self.node(name))
            .collect();
        let mut info = json!({
            "file": node.filename,
            "node-name": node.name,
            "ro": node.read_only,
            "drv": node.driver,
            "backing_file_depth": backing.len(),
            "children": children.collect::<Value>(),
            "active": true,
            "encrypted": node.driver == "luks",
            "detect_zeroes": node.options.get("detect-zeroes").cloned().unwrap_or("off".into()),
            "bps": 0, "bps_rd": 0, "bps_wr": 0,
            "iops": 0, "iops_rd": 0, "iops_wr": 0,
            "image": self.image_info(node),
            "cache": {"writeback": true, "direct": has_cache(node, "direct"),
                      "no-flush": has_cache(node, "no-flush")},
            "write_threshold": node.write_threshold,
        });
        if !node.bitmaps.is_empty() {
            info["dirty-bitmaps"] = bitmaps(node);
        }
        if let Some(first) = backing.first() {
            info["backing_file"] = first.filename.clone().into();
        }
        if !flat {
            let reported = backing.iter().take(REPORTED);
            nest(&mut info["image"], reported.map(|node| self.image_info(node)));
        }
        info
    }

    fn image_info(&self, node: &Node) -> Value {
        let is_format = is_format(&node.driver);
        let alignment = if node.driver.starts_with("null") { 512 } else { 1 };
        let mut limits = json!({
            "request-alignment": 1,
            "min-mem-alignment": alignment,
            "opt-mem-alignment": 4096,
            "max-iov": 1024,
        });
        let mut image = json!({
            "filename": node.filename,
            "format": node.driver,
            "virtual-size": node.size,
            "actual-size": node.allocated,
        });
        if let Some((name, format)) = &node.backing_file {
            image["backing-filename"] = name.as_str().into();
            image["full-backing-filename"] = name.as_str().into();
            if let Some(format) = format {
                image["backing-filename-format"] = format.as_str().into();
            }
        }
        if node.driver == "qcow2" {
            for name in ["write-zeroes-alignment", "discard-alignment"] {
                limits[name] = 65536.into();
            }
            image["cluster-size"] = 65536.into();
            image["format-specific"] = json!({"type": "qcow2", "data": {
                "compat": "1.1",
                "compression-type": "zlib",
                "lazy-refcounts": false,
                "refcount-bits": 16,
                "corrupt": false,
                "extended-l2": false,
            }});
        }
        if !node.snapshots.is_empty() {
            let snapshots = node.snapshots.iter().enumerate();
            let snapshots = snapshots.map(|(at, name)| snapshot(at + 1, name));
            image["snapshots"] = snapshots.collect();
        }
        if is_format || !node.filename.contains(":") {
            image["dirty-flag"] = false.into();
        }
        if node.driver == "file" {
            image["format-specific"] = json!({"type": "file", "data": {}});
        }
        image["limits"] = limits;
        image
    }

    pub(super) fn block_stats(&self, of_nodes: bool) -> Value {
        if of_nodes {
            return self.nodes.iter().rev().map(|node| self.stats_of(node)).collect();
        }
        let drives = self.block_back_ends().map(|back_end| {
            let mut info = json!({"device": back_end.name, "stats": stats(true)});
            if let Some(qdev) = back_end.qdev() {
                info["qdev"] = qdev.into();
            }
            if let Some(node) = back_end.medium {
                let below = self.stats_of(node);
                for name in ["node-name", "parent", "backing", "driver-specific"] {
                    if let Some(value) = below.get(name) {
                        info[name] = value.clone();
                    }
                }
            }
            info
        });
        drives.collect()
    }

    fn stats_of(&self, node: &Node) -> Value {
        let mut left = REPORTED;
        self.node_stats(node, &mut left)
    }

    /// Returns the statistics of a node and of those below it, of which `left` can be reported.
    fn node_stats(&self, node: &Node, left: &mut usize) -> Value {
        *left = left.saturating_sub(1);
        let mut info = json!({"node-name": node.name, "stats": stats(false)});
        if node.driver == "file" {
            info["driver-specific"] = json!({
                "driver": "file",
                "discard-nb-failed": 0,
                "discard-bytes-ok": 0,
                "discard-nb-ok": 0,
            });
        }
        for (role, name) in [("file", "parent"), ("backing", "backing")] {
            let child = node.child(role).and_then(|name| self.node(name));
            if let Some(child) = child.filter(|_| *left > 0) {
                info[name] = self.node_stats(child, left);
            }
        }
        info
    }
}

fn has_cache(node: &Node, option: &str) -> bool {
    let cache = node.options.get("cache");
    cache.and_then(|cache| cache.get(option)).and_then(Value::as_bool).unwrap_or_default()
}

/// Puts each image into the one above it.
fn nest(image: &mut Value, below: impl DoubleEndedIterator<Item = Value>) {
    let nested = below.rev().reduce(|below, mut above| {
        above["backing-image"] = below;
        above
    });
    if let Some(nested) = nested {
        image["backing-image"] = nested;
    }
}

fn snapshot(id: usize, name: &str) -> Value {
    json!({
        "id": id.to_string(),
        "name": name,
        "vm-state-size": 0,
        "date-sec": 0,
        "date-nsec": 0,
        "vm-clock-sec": 0,
        "vm-clock-nsec": 0,
    })
}

fn bitmaps(node: &Node) -> Value {
    let infos = node.bitmaps.iter().rev().map(|bitmap| {
        json!({
            "name": bitmap.name,
            "count": bitmap.count,
            "granularity": bitmap.granularity,
            "recording": bitmap.recording,
            "busy": bitmap.busy,
            "persistent": bitmap.persistent,
        })
    });
    infos.collect()
}

/// Returns the statistics of a drive or node that has not been accessed.
fn stats(of_drive: bool) -> Value {
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
    stats.insert("account_invalid".to_owned(), of_drive.into());
    stats.insert("account_failed".to_owned(), of_drive.into());
    stats.insert("timed_stats".to_owned(), json!([]));
    stats.into()
}
