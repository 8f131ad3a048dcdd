//! The ends of the graph: null devices, files, descriptors and servers.

use std::fs::File;
use std::sync::Arc;

use qmp_types::QmpError;
use serde_json::Value;

use super::formats;
use super::node::{Node, is_format};
use super::options::{Options, text};
use crate::simulator::descriptor_set::{self, READ, READ_WRITE};
use crate::simulator::files::Kind;
use crate::simulator::machine::Machine;
use crate::simulator::network::connect;
use crate::simulator::replies::{os_error, refuse};

/// The size in bytes of a null device without a given size.
const NULL_SIZE: u64 = 1 << 30;

/// Returns whether a driver has no nodes below it.
pub(super) fn is_protocol(driver: &str) -> bool {
    let drivers =
        ["file", "host_cdrom", "host_device", "nbd", "null-aio", "null-co", "nvme", "vvfat"];
    drivers.contains(&driver)
}

impl Machine {
    pub(super) fn open_protocol(
        &mut self,
        node: &mut Node,
        options: &Options,
        auto_read_only: bool,
    ) -> Result<(), QmpError> {
        let size = options.get("size").and_then(Value::as_u64);
        match node.driver.as_str() {
            "null-co" | "null-aio" => {
                for name in ["latency-ns", "size"] {
                    let number = options.get(name);
                    if number.is_some_and(|number| number.is_u64() && !number.is_i64()) {
                        return refuse(format!("{name} is invalid"));
                    }
                }
                node.size = size.unwrap_or(NULL_SIZE);
                node.filename = format!("{}://", node.driver);
                if options.len() > 2 {
                    node.filename = node.description();
                }
                Ok(())
            }
            "file" | "host_device" | "host_cdrom" => self.open_file(node, options, auto_read_only),
            "nbd" => self.open_server(node, options),
            "nvme" => refuse("Could not open '/dev/vfio/vfio': No such file or directory"),
            "vvfat" if !node.read_only => refuse("Image is read-only"),
            "vvfat" => {
                let dir = text(options, "dir").unwrap_or_default();
                match self.files.metadata(dir) {
                    Ok(found) if found.kind == Kind::Directory => {
                        node.size = 528_450_048;
                        node.filename = node.description();
                        Ok(())
                    }
                    _ => refuse(format!("Could not read directory {dir}")),
                }
            }
            driver => refuse(format!("Unknown driver '{driver}'")),
        }
    }

    fn open_file(
        &self,
        node: &mut Node,
        options: &Options,
        auto_read_only: bool,
    ) -> Result<(), QmpError> {
        let path = text(options, "filename").unwrap_or_default();
        if path.is_empty() {
            return refuse("The 'file' block driver requires a file name");
        }
        node.filename = path.to_owned();
        let is_file = node.driver == "file";
        if let Some(descriptor) = self.open_descriptor(node, auto_read_only) {
            let descriptor = descriptor?;
            if is_file && !descriptor_set::is_regular(&descriptor) {
                return refuse(format!("'file' driver requires '{path}' to be a regular file"));
            }
            (node.size, node.allocated) = descriptor_set::size(&descriptor).unwrap_or_default();
            node.descriptor = Some(descriptor);
            return Ok(());
        }
        let metadata = match self.files.metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return refuse(format!("Could not open '{path}': {}", os_error(&error))),
        };
        match metadata.kind {
            Kind::Directory => return refuse(format!("Could not open '{path}': Is a directory")),
            Kind::Regular if is_file => {}
            Kind::Device if !is_file => {}
            _ if is_file => {
                return refuse(format!("'file' driver requires '{path}' to be a regular file"));
            }
            _ => {
                let kind = "either a character or block device";
                let driver = &node.driver;
                return refuse(format!("'{driver}' driver requires '{path}' to be {kind}"));
            }
        }
        if !metadata.is_writable && !node.read_only {
            if !auto_read_only {
                return refuse(format!("Could not open '{path}': Permission denied"));
            }
            node.read_only = true;
        }
        node.size = metadata.size;
        node.allocated = metadata.allocated;
        Ok(())
    }

    /// Returns the descriptor that the path of a node names, if it names one.
    fn open_descriptor(
        &self,
        node: &mut Node,
        auto_read_only: bool,
    ) -> Option<Result<Arc<File>, QmpError>> {
        let path = &node.filename;
        if node.read_only {
            return self.descriptors.open(path, READ);
        }
        if auto_read_only {
            // QEMU opens it to write once something writes.
            let opened = self.descriptors.open(path, READ)?;
            let writable = self.descriptors.open(path, READ_WRITE);
            node.read_only = writable.is_none_or(|writable| writable.is_err());
            return Some(opened);
        }
        self.descriptors.open(path, READ_WRITE)
    }

    fn open_server(&mut self, node: &mut Node, options: &Options) -> Result<(), QmpError> {
        let empty = Options::new();
        let server = options.get("server").and_then(Value::as_object).unwrap_or(&empty);
        let export = text(options, "export").unwrap_or_default();
        let path = text(server, "path");
        // The machine's own server is simulated, too.
        let own = path.filter(|path| self.nbd_path() == Some(*path));
        if own.is_none() {
            drop(connect(server, self)?);
            return refuse("the simulated machine cannot read from another NBD server");
        }
        let found = self.exports.iter().find(|known| known.name == export);
        let Some(found) = found.and_then(|known| self.node(&known.node)) else {
            return refuse(format!(
                "Requested export not available: export '{export}' not present"
            ));
        };
        node.size = found.size;
        node.filename = format!("nbd+unix:///{export}?socket={}", path.unwrap_or_default());
        Ok(())
    }

    /// Returns the first bytes of a node.
    pub(in crate::simulator) fn head(&self, name: &str) -> Vec<u8> {
        let mut offset = 0_u64;
        let mut next = self.node(name);
        // A chain is never longer than the graph.
        for _ in 0..=self.nodes.len() {
            let Some(node) = next else { break };
            match node.driver.as_str() {
                "file" => {
                    let head = match &node.descriptor {
                        Some(descriptor) => descriptor_set::head(descriptor, offset),
                        None => self.files.head(&node.filename, offset),
                    };
                    // A file that cannot be read has no known format.
                    return head.unwrap_or_default();
                }
                "raw" => {
                    let skipped = node.options.get("offset").and_then(Value::as_u64);
                    offset = offset.saturating_add(skipped.unwrap_or_default());
                }
                driver if is_format(driver) || driver.starts_with("null") => break,
                _ => {}
            }
            next = node.children.first().and_then(|link| self.node(&link.node));
        }
        Vec::new()
    }

    /// Returns the format of a file, as QEMU guesses it.
    pub(in crate::simulator) fn probe(&self, path: &str) -> String {
        let regular = self.files.metadata(path).is_ok_and(|found| found.kind == Kind::Regular);
        let head = if regular { self.files.head(path, 0).unwrap_or_default() } else { Vec::new() };
        formats::probe(&head).to_owned()
    }
}
