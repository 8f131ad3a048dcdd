//! Character devices.

use qmp_types::QmpError;
use qmp_types::qmp::commands::{
    ChardevAdd, ChardevChange, ChardevRemove, ChardevSendBreak, QueryChardev, QueryChardevBackends,
    RingbufRead, RingbufWrite,
};
use serde_json::{Map, Value, json};

use super::descriptor_set::WRITE;
use super::machine::Machine;
use super::network::{check_listen, connect, describe};
use super::replies::{Arguments, Handle, Reply, done, refuse};
use crate::router::Router;

/// The size in bytes of a ring buffer without a given size.
const RING_SIZE: u64 = 64 << 10;

/// The largest size of all ring buffers in bytes.
const MAX_RING_SIZE: u64 = 16 << 20;

/// The kinds of character devices that can be created.
pub(super) const KINDS: [&str; 18] = [
    "file",
    "hub",
    "memory",
    "msmouse",
    "mux",
    "null",
    "parallel",
    "pipe",
    "pty",
    "qemu-vdagent",
    "ringbuf",
    "serial",
    "socket",
    "stdio",
    "testdev",
    "udp",
    "vc",
    "wctablet",
];

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<QueryChardev>(|machine, _, _| Ok(machine.query_chardevs()))
        .on::<QueryChardevBackends>(|_, _, _| {
            Ok(KINDS.iter().map(|name| json!({"name": name})).collect())
        })
        .on::<ChardevAdd>(|machine, arguments, _| machine.add_chardev(arguments))
        .on::<ChardevChange>(|machine, arguments, _| machine.change_chardev(arguments))
        .on::<ChardevRemove>(|machine, arguments, _| {
            machine.remove_chardev(arguments.required("id"))
        })
        .on::<ChardevSendBreak>(|machine, arguments, _| {
            machine.named_chardev(arguments.required("id"))?;
            done()
        })
        .on::<RingbufRead>(|machine, arguments, _| machine.read_ring(arguments))
        .on::<RingbufWrite>(|machine, arguments, _| machine.write_ring(arguments))
}

/// A character device.
#[derive(Clone, Debug)]
pub(super) struct Chardev {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) filename: String,
    /// The character device that a multiplexer uses.
    base: Option<String>,
    /// The contents of a ring buffer, and its size.
    ring: Option<(Vec<u8>, usize)>,
}

impl Chardev {
    /// Returns the one of the monitor itself.
    pub(super) fn monitor() -> Self {
        let (id, kind) = ("compat_monitor0".to_owned(), "socket".to_owned());
        Self { id, kind, filename: "simulated".to_owned(), base: None, ring: None }
    }

    fn is_monitor(&self) -> bool {
        self.id.starts_with("compat_monitor")
    }
}

impl Machine {
    pub(super) fn has_chardev(&self, id: Option<&str>) -> bool {
        self.chardevs.iter().any(|chardev| Some(chardev.id.as_str()) == id)
    }

    fn named_chardev(&self, id: &str) -> Result<&Chardev, QmpError> {
        let found = self.chardevs.iter().find(|chardev| chardev.id == id);
        found.map_or_else(|| refuse(format!("Chardev '{id}' not found")), Ok)
    }

    /// Returns the device, object or back end that uses a character device.
    pub(super) fn chardev_user(&self, id: &str) -> Option<String> {
        if id.starts_with("compat_monitor") {
            return Some("monitor".to_owned());
        }
        let above = self.chardevs.iter().find(|other| other.base.as_deref() == Some(id));
        if let Some(above) = above {
            return Some(above.id.clone());
        }
        let device = self.devices.iter().find(|device| device.string("chardev") == Some(id));
        let names = |value: Option<&Value>| value.and_then(Value::as_str) == Some(id);
        let object = self.objects.iter().find(|object| names(object.properties.get("chardev")));
        let netdev = self.netdevs.iter().find(|netdev| names(netdev.options.get("chardev")));
        device
            .map(|device| device.name().to_owned())
            .or(object.map(|object| object.id.clone()))
            .or(netdev.map(|netdev| netdev.id.clone()))
    }

    fn query_chardevs(&self) -> Value {
        let infos = self.chardevs.iter().map(|chardev| {
            let open = chardev.is_monitor() || self.chardev_user(&chardev.id).is_some();
            json!({"label": chardev.id, "filename": chardev.filename, "frontend-open": open})
        });
        infos.collect()
    }

    pub(super) fn add_chardev(&mut self, arguments: &Arguments) -> Reply {
        let id = arguments.required("id");
        if self.has_chardev(Some(id)) {
            return refuse(format!("Chardev with id '{id}' already exists"));
        }
        self.check_room(self.chardevs.len(), 1, "character devices")?;
        let chardev = self.new_chardev(id, arguments).map_err(|error| {
            match error.desc.starts_with("Parameter ") {
                true => error,
                false => QmpError::generic(format!("Failed to add chardev '{id}': {}", error.desc)),
            }
        })?;
        let is_pty = chardev.kind == "pty";
        self.chardevs.push(chardev);
        match is_pty {
            true => Ok(json!({"pty": "/dev/pts/0"})),
            false => done(),
        }
    }

    fn new_chardev(&mut self, id: &str, arguments: &Arguments) -> Result<Chardev, QmpError> {
        let backend = arguments.object("backend").cloned().unwrap_or_default();
        let kind = backend.get("type").and_then(Value::as_str).unwrap_or_default();
        let empty = Map::new();
        let data = backend.get("data").and_then(Value::as_object).unwrap_or(&empty);
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let mut chardev = Chardev {
            id: id.to_owned(),
            kind: kind.to_owned(),
            filename: kind.to_owned(),
            base: None,
            ring: None,
        };
        match kind {
            "file" => {
                let path = text("out").unwrap_or_default();
                match self.descriptors.open(path, WRITE) {
                    Some(descriptor) => drop(descriptor.or_else(|error| {
                        let text = match error.desc.starts_with("Failed to find file") {
                            true => "Permission denied",
                            false => "No such file or directory",
                        };
                        refuse(format!("Could not open '{path}': {text}"))
                    })?),
                    None => self.check_new_file(path)?,
                }
                if let Some(path) = text("in") {
                    self.check_input(path)?;
                }
                let is_named = self.descriptors.open(path, WRITE).is_none();
                if is_named && self.files.metadata(path).is_err() {
                    // A program may wait for the file.
                    let _ = self.files.create(path, 0, &[]);
                }
            }
            "pipe" | "serial" | "parallel" => {
                self.check_input(text("device").unwrap_or_default())?
            }
            "socket" => chardev.filename = self.check_socket(data)?,
            "ringbuf" | "memory" => {
                let size = data.get("size").and_then(Value::as_u64).unwrap_or(RING_SIZE);
                if !size.is_power_of_two() {
                    return refuse("size of ringbuf chardev must be power of two");
                }
                // One of the same name is replaced.
                let others = self.chardevs.iter().filter(|chardev| chardev.id != id);
                let rings = others.filter_map(|chardev| chardev.ring.as_ref());
                let kept: u64 = rings.map(|(_, size)| *size as u64).sum();
                if self.is_served() && size > MAX_RING_SIZE.saturating_sub(kept) {
                    let most = MAX_RING_SIZE >> 20;
                    return refuse(format!("the simulated machine keeps at most {most} MiB"));
                }
                chardev.ring = Some((Vec::new(), usize::try_from(size).unwrap_or_default()));
            }
            "mux" => {
                let base = text("chardev").unwrap_or_default();
                if !self.has_chardev(Some(base)) {
                    return refuse(format!("mux: base chardev {base} not found"));
                }
                chardev.base = Some(base.to_owned());
            }
            "hub" => {
                let members = data.get("chardevs").and_then(Value::as_array);
                for member in members.into_iter().flatten().filter_map(Value::as_str) {
                    if !self.has_chardev(Some(member)) {
                        return refuse(format!("hub: chardev can't be found by id '{member}'"));
                    }
                }
            }
            "pty" => chardev.filename = "pty:/dev/pts/0".to_owned(),
            kind if KINDS.contains(&kind) => {}
            "console" => return refuse("Parameter 'type' does not accept value 'console'"),
            kind => return refuse(format!("'{kind}' is not a valid char driver name")),
        }
        Ok(chardev)
    }

    fn check_input(&self, path: &str) -> Result<(), QmpError> {
        match self.files.metadata(path) {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = super::replies::os_error(&error);
                refuse(format!("Could not open '{path}': {text}"))
            }
        }
    }

    /// Checks a socket's address, and returns the name of the character device.
    fn check_socket(&mut self, data: &Map<String, Value>) -> Result<String, QmpError> {
        let is_server = data.get("server").and_then(Value::as_bool).unwrap_or(true);
        let waits = ["reconnect", "reconnect-ms"]
            .iter()
            .any(|name| data.get(*name).and_then(Value::as_u64).is_some_and(|time| time > 0));
        if is_server && waits {
            return refuse("'reconnect' option is incompatible with socket in server listen mode");
        }
        if !is_server && data.contains_key("wait") {
            return refuse("'wait' option is incompatible with socket in client connect mode");
        }
        if let Some(id) = data.get("tls-creds").and_then(Value::as_str) {
            if self.objects.iter().all(|object| object.id != id) {
                return refuse(format!("No TLS credentials with id '{id}'"));
            }
        }
        let mut address = data.get("addr").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(Value::Object(members)) = address.remove("data") {
            address.extend(members);
        }
        match (is_server, waits) {
            (true, _) => check_listen(&address, self)?,
            (false, true) => {}
            (false, false) => drop(connect(&address, self)?),
        }
        let mode = if is_server { ",server=on" } else { "" };
        let prefix = if is_server { "disconnected:" } else { "" };
        Ok(format!("{prefix}{}{mode}", describe(&address)))
    }

    fn change_chardev(&mut self, arguments: &Arguments) -> Reply {
        let id = arguments.required("id");
        let Some(old) = self.chardevs.iter().find(|chardev| chardev.id == id) else {
            return refuse(format!("Chardev '{id}' does not exist"));
        };
        if matches!(old.kind.as_str(), "mux" | "hub") {
            return refuse("Mux device hotswap not supported yet");
        }
        if self.chardev_user(id).is_some() {
            return refuse("Chardev user does not support chardev hotswap");
        }
        let new = self.new_chardev(id, arguments)?;
        if let Some(old) = self.chardevs.iter_mut().find(|chardev| chardev.id == id) {
            *old = new;
        }
        done()
    }

    pub(super) fn remove_chardev(&mut self, id: &str) -> Reply {
        let chardev = self.named_chardev(id)?;
        if chardev.is_monitor() || self.chardev_user(id).is_some() {
            return refuse(format!("Chardev '{id}' is busy"));
        }
        self.chardevs.retain(|chardev| chardev.id != id);
        done()
    }

    fn ring(&mut self, id: &str) -> Result<&mut (Vec<u8>, usize), QmpError> {
        let chardev = self.chardevs.iter_mut().find(|chardev| chardev.id == id);
        let Some(chardev) = chardev else { return refuse(format!("Device '{id}' not found")) };
        let ring = chardev.ring.as_mut();
        ring.map_or_else(|| refuse(format!("{id} is not a ringbuf device")), Ok)
    }

    fn read_ring(&mut self, arguments: &Arguments) -> Reply {
        let (bytes, _) = self.ring(arguments.required("device"))?;
        let size = arguments.integer("size").unwrap_or_default();
        let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
            return refuse("size must be greater than zero");
        };
        let rest = bytes.split_off(size.min(bytes.len()));
        let read = std::mem::replace(bytes, rest);
        Ok(match arguments.text("format") {
            Some("base64") => encode_base64(&read).into(),
            _ => String::from_utf8_lossy(&read).into(),
        })
    }

    fn write_ring(&mut self, arguments: &Arguments) -> Reply {
        let (bytes, size) = self.ring(arguments.required("device"))?;
        let data = arguments.required("data");
        let data = match arguments.text("format") {
            Some("base64") => match decode_base64(data) {
                Some(data) => data,
                None => return refuse("Base64 data contains invalid characters"),
            },
            _ => data.as_bytes().to_vec(),
        };
        bytes.extend(data);
        let excess = bytes.len().saturating_sub(*size);
        bytes.drain(..excess);
        done()
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xFF) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_encoded_and_decoded() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"h", "aA=="),
            (b"he", "aGU="),
            (b"hel", "aGVs"),
            (b"hell", "aGVsbA=="),
        ] {
            assert_eq!(encode_base64(bytes), text);
            assert_eq!(decode_base64(text).unwrap(), bytes);
        }
        assert_eq!(decode_base64("!!"), None);
    }
}
