//! The nodes of the block graph.

use std::fs::File;
use std::sync::Arc;

use serde_json::{Map, Value};

/// A node of the block graph.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Node {
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) driver: String,
    /// The options as given, without those of child nodes.
    pub(in crate::simulator) options: Map<String, Value>,
    /// The name of the file, or the description of what has no name.
    pub(in crate::simulator) filename: String,
    /// The descriptor to use instead of the file.
    pub(in crate::simulator) descriptor: Option<Arc<File>>,
    /// The virtual size in bytes.
    pub(in crate::simulator) size: u64,
    /// The number of bytes that are allocated on the host.
    pub(in crate::simulator) allocated: u64,
    pub(in crate::simulator) read_only: bool,
    pub(in crate::simulator) children: Vec<Link>,
    /// Whether `blockdev-del` may remove the node: it was not defined inline by another node.
    pub(in crate::simulator) owned_by_monitor: bool,
    /// The name and the format of the backing file that the image itself names.
    pub(in crate::simulator) backing_file: Option<(String, Option<String>)>,
    pub(in crate::simulator) bitmaps: Vec<Bitmap>,
    pub(in crate::simulator) write_threshold: u64,
    pub(in crate::simulator) snapshots: Vec<String>,
}

/// A child of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::simulator) struct Link {
    pub(in crate::simulator) role: String,
    pub(in crate::simulator) node: String,
}

/// A dirty bitmap.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Bitmap {
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) granularity: u64,
    /// The number of bytes that are dirty.
    pub(in crate::simulator) count: u64,
    pub(in crate::simulator) recording: bool,
    pub(in crate::simulator) persistent: bool,
    pub(in crate::simulator) busy: bool,
}

impl Node {
    pub(in crate::simulator) fn new(name: &str, driver: &str, filename: &str, size: u64) -> Self {
        Self {
            name: name.to_owned(),
            driver: driver.to_owned(),
            options: Map::new(),
            filename: filename.to_owned(),
            descriptor: None,
            size,
            allocated: 0,
            read_only: false,
            children: Vec::new(),
            owned_by_monitor: true,
            backing_file: None,
            bitmaps: Vec::new(),
            write_threshold: 0,
            snapshots: Vec::new(),
        }
    }

    pub(in crate::simulator) fn child(&self, role: &str) -> Option<&str> {
        self.children.iter().find(|link| link.role == role).map(|link| link.node.as_str())
    }

    /// Makes a node the child in a role, or removes the child.
    pub(in crate::simulator) fn set_child(&mut self, role: &str, node: Option<&str>) {
        self.children.retain(|link| link.role != role);
        if let Some(node) = node {
            self.children.push(Link { role: role.to_owned(), node: node.to_owned() });
        }
    }

    /// Returns the name of a node that only its options describe.
    pub(super) fn description(&self) -> String {
        format!("json:{}", Value::Object(self.options.clone()))
    }

    /// Returns whether the node is an image in a format with metadata.
    pub(in crate::simulator) fn is_format(&self) -> bool {
        is_format(&self.driver)
    }

    pub(in crate::simulator) fn bitmap(&mut self, name: &str) -> Option<&mut Bitmap> {
        self.bitmaps.iter_mut().find(|bitmap| bitmap.name == name)
    }
}

/// Returns whether a driver keeps metadata in its file, which it does not share.
pub(in crate::simulator) fn is_format(driver: &str) -> bool {
    matches!(
        driver,
        "bochs"
            | "cloop"
            | "dmg"
            | "luks"
            | "parallels"
            | "qcow"
            | "qcow2"
            | "qed"
            | "vdi"
            | "vhdx"
            | "vmdk"
            | "vpc"
    )
}

/// Returns whether images of a driver can have a backing file.
pub(in crate::simulator) fn supports_backing(driver: &str) -> bool {
    matches!(driver, "qcow" | "qcow2" | "qed" | "vmdk" | "vpc" | "parallels")
}
