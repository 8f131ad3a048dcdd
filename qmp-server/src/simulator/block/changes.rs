//! Changes to nodes that are open: size, options, backing file, limits.

use qmp_types::QmpError;
use serde_json::{Map, Value};

use super::node::supports_backing;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, done, not_found, os_error, refuse};

/// The new options of a node.
struct Reopened {
    name: String,
    options: Map<String, Value>,
    backing: Backing,
}

/// The change of a node's backing node.
enum Backing {
    Kept,
    Removed,
    Node(String),
}

impl Machine {
    pub(super) fn resize(&mut self, arguments: &Arguments) -> Reply {
        let size = arguments.integer("size").unwrap_or_default();
        let name = self.either_node(arguments.text("device"), arguments.text("node-name"))?;
        let Some(size) = u64::try_from(size).ok() else {
            return refuse("Parameter 'size' expects a >0 size");
        };
        let Some(node) = self.node(&name) else { return Err(not_found(&name)) };
        if node.read_only {
            return refuse("Image is read-only");
        }
        match node.driver.as_str() {
            "qcow2" if size % 512 != 0 => {
                return refuse("The new size must be a multiple of 512");
            }
            "qcow2" | "qed" | "parallels" => {}
            "file" => {
                let path = node.filename.clone();
                if let Err(error) = self.files.resize(&path, size) {
                    return refuse(format!("Failed to resize file: {}", os_error(&error)));
                }
            }
            "raw" => {
                let child = node.child("file").unwrap_or_default().to_owned();
                let driver = self.node(&child).map(|node| node.driver.clone());
                if driver.as_deref() != Some("file") {
                    return refuse("Image format driver does not support resize");
                }
            }
            _ => return refuse("Image format driver does not support resize"),
        }
        if let Some(node) = self.node_mut(&name) {
            node.size = size;
        }
        done()
    }

    pub(super) fn reopen(&mut self, arguments: &Arguments) -> Reply {
        let all = arguments.list("options").iter().filter_map(Value::as_object);
        let mut changed = Vec::new();
        for options in all {
            changed.push(self.check_reopen(options)?);
        }
        let before = self.nodes.clone();
        for change in changed {
            // Two changes that are possible each can close a cycle together.
            if let Err(error) = self.apply(change) {
                self.nodes = before;
                return Err(error);
            }
        }
        done()
    }

    fn apply(&mut self, change: Reopened) -> Result<(), QmpError> {
        let Reopened { name, options, backing } = change;
        let Some(node) = self.node_mut(&name) else { return Ok(()) };
        let read_only = options.get("read-only").and_then(Value::as_bool);
        node.read_only = read_only.unwrap_or_default();
        node.options = options;
        match backing {
            Backing::Kept => {}
            Backing::Removed => node.set_child("backing", None),
            Backing::Node(backing) => self.link_backing(&name, &backing)?,
        }
        Ok(())
    }

    fn check_reopen(&self, options: &Map<String, Value>) -> Result<Reopened, QmpError> {
        let Some(name) = options.get("node-name").and_then(Value::as_str) else {
            return refuse("node-name not specified");
        };
        let Some(node) = self.node(name) else {
            return refuse(format!("Failed to find node with node-name='{name}'"));
        };
        let links = ["file", "backing", "node-name", "data-file", "image"];
        let mut own = options.clone();
        own.retain(|name, _| !links.contains(&name.as_str()));
        let changeable =
            ["read-only", "auto-read-only", "cache", "discard", "detect-zeroes", "force-share"];
        // The driver is compared last.
        let (driver, others): (Vec<_>, Vec<_>) =
            node.options.iter().partition(|(name, _)| *name == "driver");
        for (option, value) in others.into_iter().chain(driver) {
            let same = own.get(option);
            if changeable.contains(&option.as_str()) || same == Some(value) {
                continue;
            }
            return match same {
                Some(_) => refuse(format!("Cannot change the option '{option}'")),
                None => refuse(format!("Option '{option}' cannot be reset to its default value")),
            };
        }
        let fixed = own.keys().find(|option| {
            !node.options.contains_key(option.as_str()) && !changeable.contains(&option.as_str())
        });
        if let Some(option) = fixed.filter(|_| !supports_backing(&node.driver)) {
            return refuse(format!("Cannot change the option '{option}'"));
        }
        if let Some(file) = options.get("file").and_then(Value::as_str) {
            self.named_node(file)?;
        }
        let backing = match options.get("backing") {
            Some(Value::Null) => Backing::Removed,
            Some(Value::String(name)) => Backing::Node(self.named_node(name)?.name.clone()),
            _ => Backing::Kept,
        };
        if own.get("read-only") == Some(&Value::Bool(true)) && self.has_writer(name) {
            return refuse("Block node is read-only");
        }
        Ok(Reopened { name: name.to_owned(), options: own, backing })
    }

    fn has_writer(&self, name: &str) -> bool {
        let mut devices = self.devices.iter();
        devices.any(|device| device.string("drive") == Some(name) && !device.is_removable())
    }

    pub(super) fn change_backing_file(&mut self, arguments: &Arguments) -> Reply {
        let image = arguments.required("image-node-name");
        let root = self.named_node(arguments.required("device"))?.name.clone();
        if self.node(image).is_none() {
            return refuse(format!("Cannot find device='' nor node-name='{image}'"));
        }
        if self.node(image).is_some_and(|node| node.child("backing").is_none()) {
            return refuse("not allowing backing file change on an image without a backing file");
        }
        if !self.backing_chain(&root).iter().any(|name| name == image) {
            return refuse(format!("'{root}' and image file are not in the same chain"));
        }
        let file = arguments.required("backing-file").to_owned();
        if let Some(node) = self.node_mut(image) {
            node.backing_file = Some((file, None));
        }
        done()
    }

    pub(super) fn set_write_threshold(&mut self, arguments: &Arguments) -> Reply {
        let name = arguments.required("node-name");
        let threshold = arguments.size("write-threshold").unwrap_or_default();
        let Some(node) = self.node_mut(name) else {
            return refuse(format!("Device '{name}' not found"));
        };
        node.write_threshold = threshold;
        done()
    }

    /// Checks the limits of throttling, or the boundaries of histograms.
    pub(super) fn check_limits(&mut self, arguments: &Arguments) -> Reply {
        let slot = self.slot(arguments)?;
        // Only a medium can be throttled.
        if slot.medium.is_none() && arguments.get("bps").is_some() {
            return refuse("Device has no medium");
        }
        let rates = ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"];
        let given: Vec<i64> = rates.iter().filter_map(|name| arguments.integer(name)).collect();
        if given.iter().any(|rate| !(0..=1_000_000_000_000_000).contains(rate)) {
            return refuse("bps/iops/max values must be within [0, 1000000000000000]");
        }
        let boundaries: Option<Vec<u64>> = arguments
            .get("boundaries")
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(Value::as_u64).collect());
        if let Some(all) = boundaries {
            if all.is_empty() || all.contains(&0) || !all.windows(2).all(|pair| pair[0] < pair[1]) {
                let id = &slot.given;
                return refuse(format!("Device '{id}' set read boundaries fail"));
            }
        }
        for kind in [["bps", "bps_rd", "bps_wr"], ["iops", "iops_rd", "iops_wr"]] {
            let set = |name: &&str| arguments.integer(name).is_some_and(|rate| rate > 0);
            if set(&kind[0]) && kind[1..].iter().any(set) {
                return refuse(
                    "bps/iops/max total values and read/write values cannot be used at the same \
                     time",
                );
            }
        }
        done()
    }

    /// Activates or deactivates a node. Nodes are always active here.
    pub(super) fn set_active(&mut self, arguments: &Arguments) -> Reply {
        if let Some(name) = arguments.text("node-name").filter(|name| self.node(name).is_none()) {
            return refuse(format!("Failed to find node with node-name='{name}'"));
        }
        match arguments.flag("active") {
            true => done(),
            false => refuse("the simulated machine does not deactivate nodes"),
        }
    }

    pub(super) fn set_node_iothread(&mut self, arguments: &Arguments) -> Reply {
        let name = arguments.required("node-name");
        if self.node(name).is_none() {
            return refuse(format!("Failed to find node with node-name='{name}'"));
        }
        let Some(iothread) = arguments.text("iothread") else { return done() };
        let found = self.objects.iter().find(|object| object.id == iothread);
        match found.is_some_and(|object| object.kind == "iothread") {
            true => done(),
            false => refuse(format!("Cannot find iothread {iothread}")),
        }
    }
}
