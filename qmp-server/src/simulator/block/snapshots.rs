//! Snapshots: overlays on top of a node, and those inside of an image.

use serde_json::{Value, json};

use super::formats;
use super::node::supports_backing;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, done, os_error, refuse};

impl Machine {
    /// Returns the number of snapshots inside of images.
    pub(in crate::simulator) fn snapshots(&self) -> usize {
        self.nodes.iter().map(|node| node.snapshots.len()).sum()
    }

    pub(super) fn snapshot(&mut self, arguments: &Arguments) -> Reply {
        let node = self.named_node(arguments.required("node"))?.name.clone();
        let overlay = self.named_node(arguments.required("overlay"))?;
        let name = overlay.name.clone();
        if self.is_attached(&name) || self.has_parent(&name) || self.is_used_by_job(&name) {
            return refuse("The overlay is already in use");
        }
        if overlay.child("backing").is_some() {
            return refuse("The overlay already has a backing image");
        }
        if !supports_backing(&overlay.driver) {
            return refuse("The overlay does not support backing images");
        }
        if overlay.read_only {
            return refuse(format!("Block node '{name}' is read-only"));
        }
        self.check_not_busy(&node)?;
        self.put_on_top(&node, &name)
    }

    fn put_on_top(&mut self, node: &str, overlay: &str) -> Reply {
        self.link_backing(overlay, node)?;
        self.replace_node(node, overlay);
        done()
    }

    pub(super) fn snapshot_to_file(&mut self, arguments: &Arguments) -> Reply {
        let node = self.either_node(arguments.text("device"), arguments.text("node-name"))?;
        let Some(name) = arguments.text("snapshot-node-name") else {
            return refuse("New overlay node-name missing");
        };
        if self.node(name).is_some() {
            return refuse("New overlay node-name already in use");
        }
        let path = arguments.required("snapshot-file");
        let format = arguments.text("format").unwrap_or("qcow2");
        if format != "qcow2" {
            return refuse(format!(
                "Formatting or formating option not supported for file format '{format}'"
            ));
        }
        self.check_not_busy(&node)?;
        // Of the format and of its file.
        self.check_room_for(2)?;
        let Some(below) = self.node(&node) else { return done() };
        if arguments.text("mode") != Some("existing") {
            let backing = Some((below.filename.as_str(), Some(below.driver.as_str())));
            let (head, size) = formats::new_qcow2(below.size, backing);
            if let Err(error) = self.files.create(path, size, &head) {
                return refuse(format!("Could not create '{path}': {}", os_error(&error)));
            }
        }
        let file = json!({"driver": "file", "filename": path});
        let options =
            json!({"driver": "qcow2", "node-name": name, "file": file, "backing": Value::Null});
        let options = options.as_object().cloned().unwrap_or_default();
        let overlay = self.add_node(&options, true)?;
        if let Some(overlay) = self.node_mut(&overlay) {
            // The node goes when its last user does.
            overlay.owned_by_monitor = false;
        }
        self.put_on_top(&node, &overlay)
    }

    pub(super) fn internal_snapshot(&mut self, arguments: &Arguments) -> Reply {
        let device = arguments.required("device");
        let node = self.named_node(device)?;
        if node.driver != "qcow2" {
            let driver = &node.driver;
            return refuse(format!(
                "Block format '{driver}' used by device '{device}' does not support internal \
                 snapshots"
            ));
        }
        let snapshot = arguments.required("name");
        if snapshot.is_empty() {
            return refuse("Name is empty");
        }
        if node.snapshots.iter().any(|known| known == snapshot) {
            return refuse(format!(
                "Snapshot with name '{snapshot}' already exists on device '{device}'"
            ));
        }
        let name = node.name.clone();
        self.check_room(self.snapshots(), 1, "snapshots")?;
        if let Some(node) = self.node_mut(&name) {
            node.snapshots.push(snapshot.to_owned());
        }
        done()
    }

    pub(super) fn delete_internal_snapshot(&mut self, arguments: &Arguments) -> Reply {
        let device = arguments.required("device");
        let node = self.named_node(device)?;
        let Some(snapshot) = arguments.text("name").or(arguments.text("id")) else {
            return refuse("Name or id must be provided");
        };
        let at = node
            .snapshots
            .iter()
            .enumerate()
            .position(|(at, name)| name == snapshot || (at + 1).to_string() == snapshot);
        let Some(at) = at else {
            return refuse(format!(
                "Snapshot with id 'null' and name '{snapshot}' does not exist on device '{device}'"
            ));
        };
        let name = node.name.clone();
        let Some(node) = self.node_mut(&name) else { return done() };
        let removed = node.snapshots.remove(at);
        Ok(json!({
            "id": (at + 1).to_string(),
            "name": removed,
            "vm-state-size": 0,
            "date-sec": 0,
            "date-nsec": 0,
            "vm-clock-sec": 0,
            "vm-clock-nsec": 0,
        }))
    }

    /// Checks that no job uses a node in a way that excludes others.
    pub(in crate::simulator) fn check_not_busy(
        &self,
        node: &str,
    ) -> Result<(), qmp_types::QmpError> {
        match self.jobs.iter().find(|job| job.uses(node)) {
            Some(job) => {
                // The error has the name of the drive, if the node is the medium of one.
                let mut back_ends = self.block_back_ends().filter(|known| !known.name.is_empty());
                let drive = back_ends.find(|known| known.medium.is_some_and(|it| it.name == node));
                let name = drive.map_or(node, |drive| drive.name);
                let kind = &job.kind;
                refuse(format!(
                    "Node '{name}' is busy: block device is in use by block job: {kind}"
                ))
            }
            None => Ok(()),
        }
    }
}
