//! Disks by `-drive`, `-hda` and the like: a node, and the device that an interface means.

use std::fs::File;
use std::io::Read;

use serde_json::{Map, Value, json};

use super::Refusal;
use super::options::Given;
use crate::sim::address::{split, switch};

/// A drive as the options of a block node and of a device.
#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) node: Option<Value>,
    pub(crate) device: Option<Value>,
}

impl Drive {
    /// Reads a drive. `number` counts those without a name.
    pub(crate) fn read(given: &Given, number: usize) -> Result<Self, Refusal> {
        let refuse = |message: String| Err(Refusal::of(given, message));
        let mut options = Map::new();
        match given.name.as_str() {
            "drive" => {
                let (first, pairs) = split(&given.value);
                let first = first.split_once('=').into_iter();
                for (name, value) in first.chain(pairs) {
                    options.insert(name.to_owned(), value.into());
                }
            }
            name => {
                options.insert("file".to_owned(), given.value.clone().into());
                let media = if name == "cdrom" { "cdrom" } else { "disk" };
                options.insert("media".to_owned(), media.into());
            }
        }
        let mut take = |name: &str| match options.remove(name) {
            Some(Value::String(value)) => Some(value),
            _ => None,
        };
        let (file, format) =
            (take("file").or(take("file.filename")), take("format").or(take("driver")));
        let media = take("media").unwrap_or_else(|| "disk".to_owned());
        let interface = take("if").unwrap_or_else(|| "ide".to_owned());
        let id = take("id").unwrap_or_else(|| format!("{interface}-drive{number}"));
        let id = if id.starts_with("none-") { format!("drive{number}") } else { id };
        let mut read_only = media == "cdrom";
        for name in ["readonly", "read-only"] {
            if let Some(value) = take(name) {
                read_only = switch(name, &value).map_err(|error| Refusal::of(given, error))?;
            }
        }
        for name in [
            "cache",
            "aio",
            "discard",
            "index",
            "bus",
            "unit",
            "werror",
            "rerror",
            "snapshot",
            "detect-zeroes",
            "file.driver",
            "file.locking",
            "serial",
        ] {
            take(name);
        }
        let node = match file {
            None => None,
            Some(file) => {
                let format = match format {
                    Some(format) => format,
                    None => probe(&file),
                };
                if let Some(name) = options.keys().next() {
                    return refuse(format!(
                        "Block format '{format}' does not support the option '{name}'"
                    ));
                }
                Some(json!({"driver": format, "node-name": id, "read-only": read_only,
                    "file": {"driver": "file", "filename": file}}))
            }
        };
        let is_cd = media == "cdrom";
        let model = match (interface.as_str(), is_cd) {
            ("none" | "pflash" | "sd" | "mtd", _) => None,
            ("virtio", _) => Some("virtio-blk-pci"),
            ("floppy", _) => Some("floppy"),
            ("ide", true) => Some("ide-cd"),
            ("ide", false) => Some("ide-hd"),
            ("scsi", _) => {
                return refuse("machine type does not support if=scsi,bus=0,unit=0".to_owned());
            }
            _ => return refuse(format!("unsupported bus type '{interface}'")),
        };
        let device = model.map(|model| match &node {
            Some(_) => json!({"driver": model, "drive": id}),
            None => json!({"driver": model}),
        });
        Ok(Self { node, device })
    }
}

/// Returns the format of an image, which is raw unless it says otherwise.
fn probe(path: &str) -> String {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    let is_qcow2 = read.is_ok() && &magic == b"QFI\xfb";
    if is_qcow2 { "qcow2" } else { "raw" }.to_owned()
}
