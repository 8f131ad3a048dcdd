//! The NBD server, and exports of nodes.

use qmp_types::qmp::events::BlockExportDeleted;
use serde_json::{Value, json};

use crate::context::Context;
use crate::simulator::machine::Machine;
use crate::simulator::network::check_listen;
use crate::simulator::replies::{Arguments, Reply, done, is_identifier, refuse};

/// A node that is exported to other processes.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Export {
    pub(in crate::simulator) id: String,
    kind: String,
    pub(in crate::simulator) node: String,
    /// The name by which clients ask for the export.
    pub(in crate::simulator) name: String,
}

impl Machine {
    /// Returns the path of the NBD server's socket, if it runs and has one.
    pub(in crate::simulator) fn nbd_path(&self) -> Option<&str> {
        self.nbd_server.as_ref()?.get("path")?.as_str()
    }

    pub(super) fn start_nbd(&mut self, arguments: &Arguments) -> Reply {
        if self.nbd_server.is_some() {
            return refuse("NBD server already running");
        }
        let address = arguments.object("addr");
        // The older form of an address has its members in `data`.
        let data = address.and_then(|address| address.get("data")).and_then(Value::as_object);
        let (mut at, kind) = (data.or(address).cloned().unwrap_or_default(), address);
        if let Some(kind) = kind.and_then(|address| address.get("type")) {
            at.insert("type".to_owned(), kind.clone());
        }
        if let Some(id) = arguments.text("tls-creds") {
            if self.objects.iter().all(|object| object.id != id) {
                return refuse(format!("No TLS credentials with id '{id}'"));
            }
        }
        check_listen(&at, self)?;
        self.nbd_server = Some(at);
        done()
    }

    pub(super) fn stop_nbd(&mut self, context: &mut Context) -> Reply {
        if self.nbd_server.take().is_none() {
            return refuse("NBD server not running");
        }
        let ids: Vec<String> = self.exports.iter().rev().map(|export| export.id.clone()).collect();
        for id in ids {
            let of_server = self.exports.iter().any(|known| known.id == id && known.kind == "nbd");
            if of_server {
                self.remove_export(&id, context);
            }
        }
        done()
    }

    /// Exports a node under the name that is also the export's identifier.
    pub(super) fn add_nbd_export(&mut self, arguments: &Arguments) -> Reply {
        let node = self.named_node(arguments.required("device"))?.name.clone();
        let name = arguments.text("name").unwrap_or(&node);
        let export = json!({
            "type": "nbd",
            "id": name,
            "node-name": node,
            "name": name,
            "writable": arguments.flag("writable"),
        });
        self.add_export(&Arguments::of(&export))
    }

    pub(super) fn add_export(&mut self, arguments: &Arguments) -> Reply {
        let (id, kind) = (arguments.required("id"), arguments.required("type"));
        let node = arguments.required("node-name");
        if !is_identifier(id) {
            return refuse("Invalid block export id");
        }
        if self.exports.iter().any(|export| export.id == id) {
            return refuse(format!("Block export id '{id}' is already in use"));
        }
        self.check_room(self.exports.len(), 1, "block exports")?;
        let node = self.either_node(None, Some(node))?;
        let read_only = self.node(&node).is_some_and(|node| node.read_only);
        if arguments.flag("writable") && read_only {
            return refuse("Cannot export read-only node as writable");
        }
        if kind == "nbd" && self.nbd_server.is_none() {
            return refuse("NBD server not running");
        }
        let name = arguments.text("name").unwrap_or(&node);
        if kind == "nbd" && name.len() > 4096 {
            return refuse(format!("export name '{name}' too long"));
        }
        let mut others = self.exports.iter().filter(|export| export.kind == "nbd");
        if kind == "nbd" && others.any(|export| export.name == name) {
            return refuse(format!("NBD server already has export named '{name}'"));
        }
        if let Some(address) = arguments.object("addr") {
            check_listen(address, self)?;
        }
        if let Some(path) = arguments.text("mountpoint") {
            if self.files.metadata(path).is_err() {
                return refuse(format!("Failed to stat '{path}': No such file or directory"));
            }
        }
        let (id, kind, name) = (id.to_owned(), kind.to_owned(), name.to_owned());
        self.exports.push(Export { id, kind, node, name });
        done()
    }

    pub(super) fn delete_export(&mut self, id: &str, context: &mut Context) -> Reply {
        if self.exports.iter().all(|export| export.id != id) {
            return refuse(format!("Export '{id}' is not found"));
        }
        self.remove_export(id, context);
        done()
    }

    fn remove_export(&mut self, id: &str, context: &mut Context) {
        self.exports.retain(|export| export.id != id);
        context.emit(&BlockExportDeleted::new(id));
    }

    pub(super) fn query_exports(&self) -> Value {
        let infos = self.exports.iter().rev().map(|export| {
            json!({
                "id": export.id,
                "type": export.kind,
                "node-name": export.node,
                "shutting-down": false,
            })
        });
        infos.collect()
    }
}
