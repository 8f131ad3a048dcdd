//! Objects created by `object-add`.

use std::io::ErrorKind;

use qmp_types::QmpError;
use qmp_types::qmp::commands::{ObjectAdd, ObjectDel, QueryIothreads};
use serde_json::{Map, Value, json};

use super::machine::{Machine, Object};
use super::replies::{Arguments, Handle, Reply, done, is_identifier, not_found, os_error, refuse};
use crate::router::Router;

/// The largest rate of a throttle group.
const MAX_RATE: i64 = 1_000_000_000_000_000;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<ObjectAdd>(|machine, arguments, _| machine.add_object(arguments))
        .on::<ObjectDel>(|machine, arguments, _| machine.delete_object(arguments.required("id")))
        .on::<QueryIothreads>(|machine, _, _| Ok(machine.query_iothreads()))
}

impl Machine {
    pub(super) fn add_object(&mut self, arguments: &Arguments) -> Reply {
        let (kind, id) = (arguments.required("qom-type"), arguments.required("id"));
        if !is_identifier(id) {
            return refuse("Parameter 'id' expects an identifier");
        }
        self.check_object(kind, arguments)?;
        if self.objects.iter().any(|object| object.id == id) || is_reserved(id) {
            return refuse(format!(
                "attempt to add duplicate property '{id}' to object (type 'container')"
            ));
        }
        self.check_room(self.objects.len(), 1, "objects")?;
        let (kind, id) = (kind.to_owned(), id.to_owned());
        let mut properties = arguments.0.clone();
        properties.remove("qom-type");
        properties.remove("id");
        self.objects.push(Object { id, kind, properties });
        done()
    }

    /// Checks what the schema does not say of an object's properties.
    fn check_object(&self, kind: &str, arguments: &Arguments) -> Result<(), QmpError> {
        let text = |name: &str| arguments.text(name);
        match kind {
            "iothread" | "main-loop" => check_loop(arguments),
            "throttle-group" => check_limits(arguments),
            "secret" => self.check_secret(arguments),
            "secret_keyring" => {
                let serial = arguments.integer("serial").unwrap_or_default();
                refuse(format!(
                    "Unable to read serial key {serial:08x}: Required key not available"
                ))
            }
            "rng-random" => self.check_file(text("filename").unwrap_or("/dev/urandom")),
            "rng-egd" | "cryptodev-vhost-user" => {
                let chardev = text("chardev").unwrap_or_default();
                if !self.has_chardev(Some(chardev)) {
                    return Err(not_found(chardev));
                }
                match self.chardev_user(chardev) {
                    Some(_) => refuse(format!("chardev '{chardev}' is already in use")),
                    None => Ok(()),
                }
            }
            "monitor-qmp" | "monitor-hmp" => match self.has_chardev(text("chardev")) {
                // It would have to be served.
                true => refuse("the simulated machine cannot add monitors"),
                false => {
                    refuse(format!("chardev \"{}\" not found", text("chardev").unwrap_or_default()))
                }
            },
            "qtest" => match self.has_chardev(text("chardev")) {
                true => Ok(()),
                false => refuse(format!(
                    "Cannot find character device '{}'",
                    text("chardev").unwrap_or_default()
                )),
            },
            "authz-list-file" | "can-host-socketcan" | "memory-backend-epc" => {
                refuse(format!("invalid object type: {kind}"))
            }
            "iommufd" => {
                refuse("/dev/iommu does not exist (is your kernel config missing CONFIG_IOMMUFD?)")
            }
            "input-barrier" => {
                let server = text("server").unwrap_or("localhost");
                let port = text("port").unwrap_or("24800");
                refuse(format!("Failed to connect to '{server}:{port}': Connection refused"))
            }
            "input-linux" => self.check_file(text("evdev").unwrap_or_default()),
            "pr-manager-helper" => {
                let path = text("path").unwrap_or_default();
                refuse(format!("Failed to connect to '{path}': No such file or directory"))
            }
            "dbus-vmstate" => {
                let address = text("addr").unwrap_or_default();
                refuse(format!("failed to connect to DBus: '{address}'"))
            }
            kind if kind.starts_with("memory-backend-") => self.check_memory(kind, arguments),
            kind if kind.starts_with("tls-creds-") => self.check_credentials(kind, arguments),
            kind if kind.starts_with("filter-") || kind == "colo-compare" => {
                self.check_filter(kind, arguments)
            }
            _ => Ok(()),
        }
    }

    fn check_file(&self, path: &str) -> Result<(), QmpError> {
        match self.files.metadata(path) {
            Ok(_) => Ok(()),
            Err(error) => refuse(format!("Could not open '{path}': {}", os_error(&error))),
        }
    }

    fn check_secret(&self, arguments: &Arguments) -> Result<(), QmpError> {
        match (arguments.text("data"), arguments.text("file")) {
            (None, None) => return refuse("Either 'file' or 'data' must be provided"),
            (Some(_), Some(_)) => return refuse("'file' and 'data' are mutually exclusive"),
            (None, Some(path)) => {
                if let Err(error) = self.files.metadata(path) {
                    let text = os_error(&error);
                    let what = match error.kind() {
                        ErrorKind::NotFound => "No such file or directory",
                        _ => &text,
                    };
                    return refuse(format!(
                        "Unable to read {path}: Failed to open file “{path}”: {what}"
                    ));
                }
            }
            (Some(data), None) => {
                let is_base64 = arguments.text("format") == Some("base64");
                let digits = data.trim_end_matches('=');
                let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
                if is_base64 && !digits.bytes().all(valid) {
                    return refuse("Base64 data contains invalid characters");
                }
            }
        }
        let Some(key) = arguments.text("keyid") else { return Ok(()) };
        match self.objects.iter().any(|object| object.id == key && object.kind == "secret") {
            true => Ok(()),
            false => refuse(format!("No secret with id '{key}'")),
        }
    }

    fn check_memory(&self, kind: &str, arguments: &Arguments) -> Result<(), QmpError> {
        let Some(size) = arguments.get("size").and_then(Value::as_u64) else {
            return refuse("Parameter 'size' is missing");
        };
        if size == 0 {
            return refuse(format!("property 'size' of {kind} doesn't take value '0'"));
        }
        let nodes = !arguments.list("host-nodes").is_empty();
        match (arguments.text("policy").unwrap_or("default"), nodes) {
            ("default", true) => {
                return refuse(
                    "host-nodes must be empty for policy default, or you should explicitly \
                     specify a policy other than default",
                );
            }
            ("default", false) => {}
            (policy, false) => {
                return refuse(format!("host-nodes must be set for policy {policy}"));
            }
            _ => {}
        }
        if kind != "memory-backend-file" {
            return Ok(());
        }
        let path = arguments.required("mem-path");
        match self.files.metadata(path).map(drop).or_else(|_| self.files.check_parent(path)) {
            Ok(()) => Ok(()),
            Err(error) => refuse(format!(
                "can't open backing store {path} for guest RAM: {}",
                os_error(&error)
            )),
        }
    }

    fn check_credentials(&self, kind: &str, arguments: &Arguments) -> Result<(), QmpError> {
        let is_server = arguments.text("endpoint") == Some("server");
        let file = match kind {
            "tls-creds-x509" => "ca-cert.pem",
            "tls-creds-psk" if is_server => "keys.psk",
            "tls-creds-psk" => "keys.psk",
            _ => return Ok(()),
        };
        let directory = arguments.text("dir").unwrap_or_default();
        let path = format!("{directory}/{file}");
        match self.files.metadata(&path) {
            Ok(_) => Ok(()),
            Err(error) => {
                refuse(format!("Unable to access credentials {path}: {}", os_error(&error)))
            }
        }
    }

    fn check_filter(&self, kind: &str, arguments: &Arguments) -> Result<(), QmpError> {
        if kind == "colo-compare" {
            return refuse("the simulated machine does not compare network traffic");
        }
        let netdev = arguments.required("netdev");
        if self.netdevs.iter().all(|known| known.id != netdev) {
            return refuse("Parameter 'netdev' expects a network backend id");
        }
        if kind == "filter-buffer" && arguments.size("interval") == Some(0) {
            return refuse("Property 'filter-buffer.interval' requires a positive value");
        }
        match arguments.text("file") {
            Some(path) => self.check_new_file(path),
            None => Ok(()),
        }
    }

    /// Checks that a file could be created.
    pub(super) fn check_new_file(&self, path: &str) -> Result<(), QmpError> {
        match self.files.check_parent(path) {
            Ok(()) => Ok(()),
            Err(error) => refuse(format!("Could not open '{path}': {}", os_error(&error))),
        }
    }

    pub(super) fn delete_object(&mut self, id: &str) -> Reply {
        if id == "pc.ram" || self.is_mapped(id) {
            return refuse(format!("Cannot delete host memory backend '{id}' which is mapped"));
        }
        let Some(at) = self.objects.iter().position(|object| object.id == id) else {
            return refuse(format!("object '{id}' not found"));
        };
        let in_use = self.devices.iter().any(|device| {
            ["iothread", "rng", "cryptodev"].iter().any(|name| device.string(name) == Some(id))
        });
        let has_node = self
            .nodes
            .iter()
            .any(|node| node.options.get("throttle-group").and_then(Value::as_str) == Some(id));
        if in_use || has_node {
            return refuse(format!("object '{id}' is in use, can not be deleted"));
        }
        self.objects.remove(at);
        done()
    }

    pub(super) fn query_iothreads(&self) -> Value {
        let iothreads = self.objects.iter().filter(|object| object.kind == "iothread");
        let infos = iothreads.enumerate().map(|(at, object)| {
            json!({
                "id": object.id,
                "thread-id": 2000 + at,
                "poll-max-ns": object.number("poll-max-ns", 32_768),
                "poll-grow": object.number("poll-grow", 2),
                "poll-shrink": object.number("poll-shrink", 2),
                "poll-weight": object.number("poll-weight", 3),
                "aio-max-batch": object.number("aio-max-batch", 0),
            })
        });
        infos.collect()
    }
}

impl Object {
    pub(super) fn number(&self, name: &str, default: i64) -> i64 {
        self.properties.get(name).and_then(Value::as_i64).unwrap_or(default)
    }
}

/// Returns whether an identifier belongs to an object of the machine.
fn is_reserved(id: &str) -> bool {
    matches!(id, "pc.ram" | "compat_monitor0")
}

fn check_loop(arguments: &Arguments) -> Result<(), QmpError> {
    let names = [
        "poll-max-ns",
        "poll-grow",
        "poll-shrink",
        "poll-weight",
        "aio-max-batch",
        "thread-pool-min",
        "thread-pool-max",
    ];
    for name in names {
        check_range(name, arguments.get(name))?;
    }
    let (min, max) = (arguments.integer("thread-pool-min"), arguments.integer("thread-pool-max"));
    match min.unwrap_or(0) > max.unwrap_or(64) {
        true => refuse("bad thread-pool-min/thread-pool-max values"),
        false => Ok(()),
    }
}

/// Checks a number of an event loop.
pub(super) fn check_range(name: &str, value: Option<&Value>) -> Result<(), QmpError> {
    match value.and_then(Value::as_i64) {
        Some(number) if number < 0 => {
            refuse(format!("{name} value must be in range [0, {}]", i64::MAX))
        }
        _ => Ok(()),
    }
}

fn check_limits(arguments: &Arguments) -> Result<(), QmpError> {
    let empty = Map::new();
    let limits = arguments.object("limits").unwrap_or(&empty);
    let get = |name: &str| limits.get(name).and_then(Value::as_i64).unwrap_or_default();
    if limits.values().filter_map(Value::as_i64).any(|rate| !(0..=MAX_RATE).contains(&rate)) {
        return refuse(format!("bps/iops/max values must be within [0, {MAX_RATE}]"));
    }
    for kind in ["bps", "iops"] {
        let name = |what: &str| format!("{kind}-{what}");
        let has = |what: &str| get(&name(what)) > 0;
        if has("total") && (has("read") || has("write")) {
            return refuse(
                "bps/iops/max total values and read/write values cannot be used at the same time",
            );
        }
        for what in ["total", "read", "write"] {
            if has(&format!("{what}-max")) && !has(what) {
                return refuse("bps_max/iops_max require corresponding bps/iops values");
            }
        }
    }
    Ok(())
}
