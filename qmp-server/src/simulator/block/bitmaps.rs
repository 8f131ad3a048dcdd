//! Dirty bitmaps.

use qmp_types::QmpError;
use serde_json::Value;

use super::node::{Bitmap, Node};
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, done, refuse};

/// The granularity in bytes of a bitmap without a given one.
const GRANULARITY: u64 = 64 << 10;

impl Machine {
    fn bitmap_node(&mut self, arguments: &Arguments) -> Result<&mut Node, QmpError> {
        let name = arguments.required("node");
        self.node_mut(name).map_or_else(|| refuse(format!("Node '{name}' not found")), Ok)
    }

    fn named_bitmap(&mut self, node: &str, name: &str) -> Result<&mut Bitmap, QmpError> {
        let Some(node) = self.node_mut(node) else {
            return refuse(format!("Node '{node}' not found"));
        };
        let found = node.bitmap(name);
        let found = found.map_or_else(|| refuse(format!("Dirty bitmap '{name}' not found")), Ok)?;
        if found.busy {
            let desc = "is currently in use by another operation and cannot be used";
            return refuse(format!("Bitmap '{name}' {desc}"));
        }
        Ok(found)
    }

    pub(super) fn add_bitmap(&mut self, arguments: &Arguments) -> Reply {
        let (node, name) = (arguments.required("node"), arguments.required("name"));
        let node = self.named_node(node)?;
        let granularity = arguments.size("granularity").unwrap_or(GRANULARITY);
        if name.is_empty() {
            return refuse("Bitmap name cannot be empty");
        }
        if name.len() > 1023 {
            return refuse(format!("Bitmap name too long: {name}"));
        }
        if granularity < 512 || !granularity.is_power_of_two() {
            return refuse("Granularity must be power of 2 and at least 512");
        }
        if node.bitmaps.iter().any(|bitmap| bitmap.name == name) {
            return refuse(format!("Bitmap already exists: {name}"));
        }
        let persistent = arguments.flag("persistent");
        if persistent && node.driver != "qcow2" {
            let node = &node.name;
            return refuse(format!(
                "Can't store persistent bitmaps to {node}: Operation not supported"
            ));
        }
        let exist = self.nodes.iter().map(|node| node.bitmaps.len()).sum();
        self.check_room(exist, 1, "dirty bitmaps")?;
        let bitmap = Bitmap {
            name: name.to_owned(),
            granularity,
            count: 0,
            recording: !arguments.flag("disabled"),
            persistent,
            busy: false,
        };
        self.bitmap_node(arguments)?.bitmaps.push(bitmap);
        done()
    }

    pub(super) fn remove_bitmap(&mut self, arguments: &Arguments) -> Reply {
        let (node, name) = (arguments.required("node"), arguments.required("name"));
        self.named_bitmap(node, name)?;
        self.bitmap_node(arguments)?.bitmaps.retain(|bitmap| bitmap.name != name);
        done()
    }

    pub(super) fn clear_bitmap(&mut self, arguments: &Arguments) -> Reply {
        self.named_bitmap(arguments.required("node"), arguments.required("name"))?.count = 0;
        done()
    }

    pub(super) fn record_bitmap(&mut self, arguments: &Arguments, record: bool) -> Reply {
        let bitmap = self.named_bitmap(arguments.required("node"), arguments.required("name"))?;
        bitmap.recording = record;
        done()
    }

    pub(super) fn merge_bitmaps(&mut self, arguments: &Arguments) -> Reply {
        let (node, target) = (arguments.required("node"), arguments.required("target"));
        self.named_bitmap(node, target)?;
        let mut count = 0;
        for source in arguments.list("bitmaps") {
            let (node, name) = match source {
                Value::String(name) => (node, name.as_str()),
                external => {
                    let text = |name: &str| external.get(name).and_then(Value::as_str);
                    (text("node").unwrap_or_default(), text("name").unwrap_or_default())
                }
            };
            count = self.named_bitmap(node, name)?.count.max(count);
        }
        let target = self.named_bitmap(node, target)?;
        target.count = target.count.max(count);
        done()
    }
}
