//! Which arguments are names of what lives in the machine.

use super::place::Place;
use super::{Candidate, Kind, Live};

/// A kind with its own parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Named {
    Plain(Kind<'static>),
    QomPath(String),
    PathProperty(String),
    Bitmap(String),
}

impl Named {
    pub(super) fn ask(&self, live: &dyn Live) -> Vec<Candidate> {
        match self {
            Self::Plain(kind) => live.candidates(*kind),
            Self::QomPath(path) => live.candidates(Kind::QomPath(path)),
            Self::PathProperty(path) => live.candidates(Kind::PathProperty(path)),
            Self::Bitmap(node) => live.candidates(Kind::Bitmap(node)),
        }
    }
}

/// Returns the kind of names that an argument takes. `prefix` is what is written of it.
pub(super) fn kind_of(place: &Place<'_>, path: &[&str], name: &str, prefix: &str) -> Option<Named> {
    let command = place.command;
    let value = |name: &str| place.given.value(&[], name).unwrap_or_default();
    let kind = match (command, name) {
        ("qom-get" | "qom-set" | "qom-list" | "qom-list-get" | "gpio-set", "path") => {
            return Some(Named::QomPath(prefix.to_owned()));
        }
        (command, "path") if command.starts_with("x-query-virtio") => {
            return Some(Named::QomPath(prefix.to_owned()));
        }
        ("qom-get" | "qom-set", "property") => return Some(Named::PathProperty(value("path"))),
        (command, "name") if command.starts_with("block-dirty-bitmap-") => {
            let is_new = command == "block-dirty-bitmap-add";
            return (!is_new).then(|| Named::Bitmap(value("node")));
        }
        ("block-dirty-bitmap-merge", "target" | "bitmaps") => {
            return Some(Named::Bitmap(value("node")));
        }
        (_, "bitmap") => return Some(Named::Bitmap(value("device"))),
        ("device_add" | "device-list-properties", "driver" | "typename") => Kind::Driver,
        ("qom-list-properties" | "qom-list-types", "typename" | "implements") => Kind::ObjectType,
        ("device_add", "bus") => Kind::Bus,
        ("device_add", "drive") => Kind::BlockNode,
        ("object-del", "id") => Kind::Object(""),
        ("netdev_del", "id") | ("set_link", "name") | ("query-rx-filter", "name") => Kind::Netdev,
        ("block-export-del", "id") => Kind::Export,
        ("ringbuf-read" | "ringbuf-write", "device") => Kind::Chardev,
        ("device_del" | "device-sync-config", "id") | ("query-memory-devices", "id") => {
            Kind::Device
        }
        (command, "id") if command.starts_with("job-") => Kind::Job,
        (command, "device") if command.starts_with("block-job-") => Kind::Job,
        (command, "id") if command.starts_with("chardev-") => {
            return (command != "chardev-add").then_some(Named::Plain(Kind::Chardev));
        }
        ("eject", "id") | ("block_set_io_throttle" | "block-latency-histogram-set", "id") => {
            Kind::Device
        }
        (command, "id") if command.starts_with("blockdev-") => Kind::Device,
        (command, "node-name") => {
            // These give a name to a new node.
            let is_new = matches!(command, "blockdev-add" | "blockdev-create")
                || command == "blockdev-reopen" && path.len() > 1;
            return (!is_new).then_some(Named::Plain(Kind::BlockNode));
        }
        (command, "device") if is_block(command) => Kind::BlockNode,
        ("drive-mirror" | "drive-backup", "target") => return None,
        (command, "target" | "overlay" | "node" | "parent" | "replaces" | "bottom" | "child")
            if is_block(command) =>
        {
            Kind::BlockNode
        }
        (_, "top-node" | "base-node" | "block-node" | "filter-node") => Kind::BlockNode,
        (_, "chardev") => Kind::Chardev,
        (_, "netdev" | "peer") => Kind::Netdev,
        (_, "iothread") => Kind::Object("iothread"),
        (_, "throttle-group") => Kind::Object("throttle-group"),
        (_, "memdev") => Kind::Object("memory-backend"),
        (_, "tls-creds") => Kind::Object("tls-creds"),
        (_, "tls-authz" | "authz") => Kind::Object("authz"),
        (_, name) if name == "secret" || name.ends_with("-secret") => Kind::Object("secret"),
        // A reference to a node: `file`, `backing`.
        ("blockdev-add" | "blockdev-reopen" | "blockdev-create", name)
            if matches!(name, "file" | "backing" | "data-file" | "raw" | "image" | "test")
                || path.is_empty() && matches!(name, "target" | "top" | "header") =>
        {
            Kind::BlockNode
        }
        _ => return None,
    };
    Some(Named::Plain(kind))
}

/// Returns whether a command works on block nodes.
fn is_block(command: &str) -> bool {
    let prefixes =
        ["block-", "block_", "blockdev-", "drive-", "nbd-", "change-backing", "x-blockdev"];
    prefixes.iter().any(|prefix| command.starts_with(prefix))
        || matches!(command, "eject" | "snapshot-save" | "snapshot-load" | "snapshot-delete")
}
