//! Character devices in the words of `-chardev`, which does not take JSON.

use qmp_types::qmp::commands::ChardevAdd;
use serde_json::{Map, Value};

/// Returns the value of `-chardev` that creates what `chardev-add` would.
///
/// # Errors
/// `-chardev` has no words for it.
pub(super) fn option(chardev: &ChardevAdd) -> Result<String, String> {
    let refused = |why: &str| format!("`-chardev` cannot create `{}`: {why}", chardev.id);
    let backend = serde_json::to_value(&chardev.backend).map_err(|e| refused(&e.to_string()))?;
    let (kind, mut data) = tagged(backend).ok_or_else(|| refused("the backend is not known"))?;
    let mut option = Words(escaped(&kind));
    option.add("id", &chardev.id);
    match kind.as_str() {
        "file" => option.renamed(&mut data, &[("out", "path"), ("in", "input-path")]),
        "serial" | "parallel" | "pipe" => option.renamed(&mut data, &[("device", "path")]),
        "spicevmc" => option.renamed(&mut data, &[("type", "name")]),
        "spiceport" => option.renamed(&mut data, &[("fqdn", "name")]),
        "socket" => {
            let address = data.remove("addr").and_then(tagged);
            let Some((transport, address)) = address else {
                return Err(refused("the address is not known"));
            };
            match transport.as_str() {
                "fd" => option.renamed(&mut address.clone(), &[("str", "fd")]),
                "inet" | "unix" => option.all(&address),
                other => return Err(refused(&format!("it has no addresses of type `{other}`"))),
            }
            // The command listens unless it is told otherwise, and does not wait.
            let listens = !matches!(data.get("server"), Some(Value::Bool(false)));
            data.insert("server".to_owned(), listens.into());
            if listens && !data.contains_key("wait") {
                data.insert("wait".to_owned(), false.into());
            }
        }
        "udp" => {
            for (member, host, port) in
                [("remote", "host", "port"), ("local", "localaddr", "localport")]
            {
                let Some(address) = data.remove(member) else { continue };
                match tagged(address) {
                    Some((transport, mut address)) if transport == "inet" => {
                        option.renamed(&mut address, &[("host", host), ("port", port)]);
                        if member == "remote" {
                            option.all(&address);
                        }
                    }
                    _ => return Err(refused("its addresses are of type `inet` only")),
                }
            }
        }
        "hub" => {
            if let Some(Value::Array(chardevs)) = data.remove("chardevs") {
                for (number, chardev) in chardevs.iter().enumerate() {
                    option.add(&format!("chardevs.{number}"), chardev.as_str().unwrap_or_default());
                }
            }
        }
        "pty" | "null" | "mux" | "msmouse" | "wctablet" | "braille" | "testdev" | "stdio"
        | "console" | "qemu-vdagent" | "dbus" | "vc" | "ringbuf" | "memory" => {}
        other => return Err(refused(&format!("backends of type `{other}` are not known"))),
    }
    option.all(&data);
    Ok(option.0)
}

/// Splits a value of the form `{"type": "...", "data": {...}}`.
fn tagged(value: Value) -> Option<(String, Map<String, Value>)> {
    let Value::Object(mut members) = value else { return None };
    let kind = members.remove("type")?.as_str()?.to_owned();
    match members.remove("data") {
        Some(Value::Object(data)) => Some((kind, data)),
        None => Some((kind, Map::new())),
        Some(_) => None,
    }
}

fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

/// The words of an option.
struct Words(String);

impl Words {
    fn add(&mut self, name: &str, value: &str) {
        self.0 += &format!(",{name}={}", escaped(value));
    }

    /// Adds all members by their own names.
    fn all(&mut self, members: &Map<String, Value>) {
        for (name, value) in members {
            match value {
                Value::Bool(true) => self.add(name, "on"),
                Value::Bool(false) => self.add(name, "off"),
                Value::String(text) => self.add(name, text),
                other => self.add(name, &other.to_string()),
            }
        }
    }

    /// Takes members that the option calls by other names.
    fn renamed(&mut self, members: &mut Map<String, Value>, names: &[(&str, &str)]) {
        for (member, name) in names {
            if let Some(value) = members.remove(*member) {
                self.all(&Map::from_iter([((*name).to_owned(), value)]));
            }
        }
    }
}
