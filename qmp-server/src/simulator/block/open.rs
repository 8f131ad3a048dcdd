//! Opening nodes: options, files, servers, formats and backing files.

use qmp_types::QmpError;
use serde_json::{Value, json};

use super::formats;
use super::node::{Link, Node, supports_backing};
use super::options::{Options, text};
use super::protocol;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{is_identifier, refuse};

/// The maximum length of a chain of nodes. An image may name itself as its backing file.
const MAX_DEPTH: usize = 64;

/// The maximum number of nodes. QEMU has none, but what is done with one node looks at all others, and
/// the reply about a node describes all below it.
const MAX_NODES: usize = 1000;

/// Drivers that Debian's QEMU loads from modules that are not installed by default.
const MODULES: [&str; 14] = [
    "ftp",
    "ftps",
    "http",
    "https",
    "io_uring",
    "iscsi",
    "iser",
    "nfs",
    "nvme-io_uring",
    "rbd",
    "ssh",
    "virtio-blk-vfio-pci",
    "virtio-blk-vhost-user",
    "virtio-blk-vhost-vdpa",
];

/// The members of options that define or name child nodes.
const ROLES: [&str; 8] =
    ["file", "data-file", "image", "test", "raw", "target", "children", "backing"];

impl Machine {
    /// Opens a node and the nodes that are defined inline in its options, and returns its name.
    pub(in crate::simulator) fn add_node(
        &mut self,
        options: &Options,
        owned_by_monitor: bool,
    ) -> Result<String, QmpError> {
        let before = self.nodes.len();
        self.open(options, owned_by_monitor, false, 0).inspect_err(|_| {
            // Remove the inline nodes that were added before the error.
            self.nodes.truncate(before);
        })
    }

    fn open(
        &mut self,
        options: &Options,
        owned_by_monitor: bool,
        parent_read_only: bool,
        depth: usize,
    ) -> Result<String, QmpError> {
        if depth > MAX_DEPTH {
            return refuse(format!("nodes are nested more than {MAX_DEPTH} levels deep"));
        }
        let driver = text(options, "driver").unwrap_or_default();
        if driver == "gluster" {
            return refuse("Parameter 'driver' does not accept value 'gluster'");
        }
        if text(options, "node-name").is_none() && owned_by_monitor {
            return refuse("'node-name' must be specified for the root node");
        }
        if MODULES.contains(&driver) {
            return refuse(format!("Unknown driver '{driver}'"));
        }
        let name = self.node_name(text(options, "node-name"))?;
        let given = options.get("read-only").and_then(Value::as_bool);
        let auto = options.get("auto-read-only").and_then(Value::as_bool).unwrap_or_default();
        let read_only = given.unwrap_or(parent_read_only);
        let own: Options = options
            .iter()
            .filter(|(name, _)| !ROLES.contains(&name.as_str()) && *name != "node-name")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let is = |option: &str, value: &str| text(options, option) == Some(value);
        if is("detect-zeroes", "unmap") && !is("discard", "unmap") {
            return refuse(
                "setting detect-zeroes to unmap is not allowed without setting discard operation \
                 to unmap",
            );
        }
        let mut node = Node::new(&name, driver, "", 0);
        node.options = own;
        node.read_only = read_only;
        node.owned_by_monitor = owned_by_monitor;
        node.children = self.open_children(options, read_only, depth)?;
        if !node.is_format() || node.children.iter().all(|link| link.role != "file") {
            match protocol::is_protocol(driver) {
                true => self.open_protocol(&mut node, options, auto)?,
                false => self.open_filter(&mut node, options)?,
            }
        } else {
            self.open_format(&mut node, options, depth)?;
        }
        if text(options, "node-name").is_none() {
            // The nodes below have taken names meanwhile.
            node.name = self.free_name();
        }
        if self.node(&node.name).is_some() {
            // One of those below has the name, and would be found in its place.
            return refuse(format!("Duplicate nodes with node-name='{name}'"));
        }
        self.check_room_for(1)?;
        let name = node.name.clone();
        self.nodes.push(node);
        Ok(name)
    }

    /// Checks that there is room for this number of nodes.
    pub(super) fn check_room_for(&self, count: usize) -> Result<(), QmpError> {
        if self.nodes.len() + count <= MAX_NODES {
            return Ok(());
        }
        refuse(format!("Too many block nodes: the simulated machine has at most {MAX_NODES}"))
    }

    fn node_name(&self, name: Option<&str>) -> Result<String, QmpError> {
        let Some(name) = name else { return Ok(self.free_name()) };
        if !is_identifier(name) {
            return refuse(format!("Invalid node-name: '{name}'"));
        }
        if self.drives.iter().any(|drive| drive.name == name) {
            return refuse(format!("node-name={name} is conflicting with a device id"));
        }
        if self.node(name).is_some() {
            return refuse(format!("Duplicate nodes with node-name='{name}'"));
        }
        if name.len() > 31 {
            return refuse("Node name too long");
        }
        Ok(name.to_owned())
    }

    fn free_name(&self) -> String {
        let mut numbers = 100..;
        let free = numbers.find(|number| self.node(&format!("#block{number}")).is_none());
        format!("#block{}", free.unwrap_or_default())
    }

    fn open_children(
        &mut self,
        options: &Options,
        read_only: bool,
        depth: usize,
    ) -> Result<Vec<Link>, QmpError> {
        let mut links = Vec::new();
        // The backing file is opened last.
        for role in ROLES.into_iter().filter(|role| *role != "backing") {
            let Some(value) = options.get(role) else { continue };
            if let Value::Array(children) = value {
                if children.is_empty() {
                    return refuse("Number of provided children must be 1 or more");
                }
                for (at, child) in children.iter().enumerate() {
                    let node = self.open_child(child, read_only, depth)?;
                    links.push(Link { role: format!("children.{at}"), node });
                }
                continue;
            }
            if value.is_null() {
                continue;
            }
            let node = self.open_child(value, read_only, depth)?;
            links.push(Link { role: role.to_owned(), node });
        }
        Ok(links)
    }

    fn open_child(
        &mut self,
        child: &Value,
        read_only: bool,
        depth: usize,
    ) -> Result<String, QmpError> {
        match child {
            Value::String(name) => self.named_node(name).map(|node| node.name.clone()),
            Value::Object(options) => self.open(options, false, read_only, depth + 1),
            _ => refuse("Invalid parameter type for 'file', expected: BlockdevRef"),
        }
    }

    fn open_filter(&self, node: &mut Node, options: &Options) -> Result<(), QmpError> {
        let size = options.get("size").and_then(Value::as_u64);
        let first = node.children.first().and_then(|link| self.node(&link.node));
        let Some(below) = first else {
            let driver = &node.driver;
            return refuse(format!("the simulated machine cannot open nodes of driver '{driver}'"));
        };
        (node.size, node.allocated) = (below.size, below.allocated);
        node.filename = below.filename.clone();
        if below.read_only {
            // QEMU opens it, and refuses writers later.
            node.read_only |= node.driver != "raw";
        }
        match node.driver.as_str() {
            "raw" => {
                let offset = options.get("offset").and_then(Value::as_u64).unwrap_or_default();
                node.size = raw_size(below.size, offset, size)?;
                if below.driver.starts_with("null") {
                    node.filename = description_over(node, below);
                }
            }
            "throttle" => {
                let group = text(options, "throttle-group").unwrap_or_default();
                let found = self.objects.iter().find(|object| object.id == group);
                if found.is_none_or(|object| object.kind != "throttle-group") {
                    return refuse(format!("Throttle group '{group}' does not exist"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn open_format(
        &mut self,
        node: &mut Node,
        options: &Options,
        depth: usize,
    ) -> Result<(), QmpError> {
        let child = node.child("file").unwrap_or_default().to_owned();
        let Some(file) = self.node(&child) else { return refuse("cannot find the file") };
        let filename = file.filename.clone();
        if node.driver == "luks" && text(options, "key-secret").is_none() {
            return refuse("Parameter 'key-secret' is required for cipher");
        }
        let secret = text(options, "key-secret").filter(|_| node.driver == "luks");
        if let Some(secret) = secret.filter(|id| self.objects.iter().all(|known| known.id != *id)) {
            return refuse(format!("No secret with id '{secret}'"));
        }
        let (allocated, file_size) = (file.allocated, file.size);
        let head = self.head(&child);
        let image = formats::read(&node.driver, &head, &filename).or_else(refuse)?;
        self.check_exclusive(node, &child)?;
        node.size = image.size.unwrap_or(file_size);
        node.allocated = allocated;
        node.filename = filename.clone();
        node.backing_file = image.backing;
        if let Some(backing) = options.get("backing") {
            if !backing.is_null() {
                // Backing files are never written.
                let opened = self.open_child(backing, true, depth).or_else(cannot_open_backing)?;
                node.set_child("backing", Some(&opened));
            }
            return Ok(());
        }
        if !supports_backing(&node.driver) {
            return Ok(());
        }
        if let Some((backing, format)) = node.backing_file.clone() {
            let path = beside(&filename, &backing);
            let file = json!({"driver": "file", "filename": path, "read-only": true});
            let format = match format {
                Some(format) => format,
                None => self.probe(&path),
            };
            let options = json!({"driver": format, "file": file, "read-only": true});
            let options = options.as_object().cloned().unwrap_or_default();
            let opened = self.open(&options, false, true, depth + 1);
            let opened = opened.or_else(cannot_open_backing)?;
            node.set_child("backing", Some(&opened));
        }
        Ok(())
    }

    /// Checks that no other image with metadata uses the same file for writing.
    fn check_exclusive(&self, node: &Node, child: &str) -> Result<(), QmpError> {
        if node.read_only {
            return Ok(());
        }
        let file = self.node(child);
        let mut others = self.nodes.iter().filter(|other| other.is_format() && !other.read_only);
        let Some(other) = others.find(|other| {
            let used = other.child("file").and_then(|name| self.node(name));
            used.zip(file).is_some_and(|(used, file)| {
                used.name == file.name || (used.driver == "file" && used.filename == file.filename)
            })
        }) else {
            return Ok(());
        };
        if other.child("file") != Some(child) {
            return refuse("Failed to get \"write\" lock");
        }
        let (name, other) = (&node.name, &other.name);
        refuse(format!(
            "Permission conflict on node '{child}': permissions 'write, resize' are both required \
             by node '{other}' (uses node '{child}' as 'file' child) and unshared by node '{name}' \
             (uses node '{child}' as 'file' child)."
        ))
    }
}

fn cannot_open_backing(error: QmpError) -> Result<String, QmpError> {
    refuse(format!("Could not open backing file: {}", error.desc))
}

fn raw_size(below: u64, offset: u64, size: Option<u64>) -> Result<u64, QmpError> {
    if offset > below {
        return refuse(format!(
            "Offset ({offset}) cannot be greater than size of the containing file ({below})"
        ));
    }
    let Some(size) = size else { return Ok(below - offset) };
    if below - offset < size {
        return refuse(format!(
            "The sum of offset ({offset}) and size ({size}) has to be smaller or equal to the  \
             actual size of the containing file ({below})"
        ));
    }
    if size % 512 != 0 {
        return refuse("Specified size is not multiple of 512");
    }
    Ok(size)
}

fn description_over(node: &Node, below: &Node) -> String {
    let mut options = node.options.clone();
    options.insert("file".to_owned(), Value::Object(below.options.clone()));
    format!("json:{}", Value::Object(options))
}

/// Returns the path of a backing file that an image at `image` names.
fn beside(image: &str, backing: &str) -> String {
    match (backing.starts_with('/'), image.rsplit_once('/')) {
        (false, Some((directory, _))) => format!("{directory}/{backing}"),
        _ => backing.to_owned(),
    }
}
