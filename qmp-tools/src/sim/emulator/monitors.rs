//! The monitors that the options ask for.

use std::collections::BTreeMap;

use super::options::{Given, Options};
use super::{Refusal, complain};
use crate::sim::address::{Address, Endpoint, parse, split};
use crate::sim::running::Monitor;

/// The options of a socket as a character device that say where it is.
const PLACES: [&str; 5] = ["id", "path", "host", "port", "fd"];

/// Opens all monitors, and waits for the clients of those that ask for it.
pub(crate) fn open(name: &str, options: &Options) -> Result<Vec<Monitor>, Refusal> {
    let mut chardevs = BTreeMap::new();
    for given in options.all(&["chardev"]) {
        let (id, endpoint) = chardev(given)?;
        if chardevs.contains_key(&id) {
            return Err(Refusal::of(given, format!("Duplicate ID '{id}' for chardev")));
        }
        chardevs.insert(id, (given, endpoint));
    }
    let mut monitors = Vec::new();
    for given in options.all(&["qmp", "qmp-pretty", "mon", "object"]) {
        let Some(wanted) = wanted(given)? else { continue };
        let (given, endpoint) = match wanted {
            Wanted::Endpoint(endpoint) => (given, Some(endpoint)),
            Wanted::Chardev(id) => match chardevs.remove(&id) {
                Some((chardev, endpoint)) => (chardev, endpoint),
                None => {
                    let message = format!("chardev \"{id}\" not found");
                    return Err(match given.name.as_str() {
                        "object" => Refusal::new(message),
                        _ => Refusal::of(given, message),
                    });
                }
            },
        };
        let Some(endpoint) = endpoint else { continue };
        let mut monitor = Monitor::open(&endpoint).map_err(|error| Refusal::of(given, error))?;
        if endpoint.waits {
            let place = format!("disconnected:{},server=on", endpoint.address);
            complain(name, &format!("{given}: info: QEMU waiting for connection on: {place}"));
            monitor.wait().map_err(|error| Refusal::of(given, error.to_string()))?;
        }
        monitors.push(monitor);
    }
    Ok(monitors)
}

/// Returns whether the option is for a monitor, and not for the machine.
pub(crate) fn uses(options: &Options, given: &Given) -> bool {
    match given.name.as_str() {
        "object" => given.value.starts_with("monitor-"),
        _ => {
            let (_, pairs) = split(&given.value);
            let id = pairs.iter().find(|(name, _)| *name == "id").map(|(_, id)| *id);
            options.all(&["qmp", "qmp-pretty", "mon", "object"]).any(|other| {
                matches!(wanted(other), Ok(Some(Wanted::Chardev(wanted))) if Some(&*wanted) == id)
            })
        }
    }
}

enum Wanted {
    Endpoint(Endpoint),
    Chardev(String),
}

/// Returns the monitor that an option asks for, if it asks for one.
fn wanted(given: &Given) -> Result<Option<Wanted>, Refusal> {
    let (first, mut pairs) = split(&given.value);
    let chardev = |pairs: &[(&str, &str)]| {
        pairs.iter().find(|(name, _)| *name == "chardev").map(|(_, id)| (*id).to_owned())
    };
    match given.name.as_str() {
        "object" if first != "monitor-qmp" => Ok(None),
        "object" => match chardev(&pairs) {
            Some(id) => Ok(Some(Wanted::Chardev(id))),
            None => Err(Refusal::of(given, "Parameter 'chardev' is missing")),
        },
        "mon" => {
            match first.split_once('=') {
                Some(pair) => pairs.insert(0, pair),
                None => pairs.insert(0, ("chardev", first)),
            }
            let known = ["chardev", "mode", "pretty"];
            if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(name)) {
                return Err(Refusal::of(given, format!("Invalid parameter '{name}'")));
            }
            let mode = pairs.iter().find(|(name, _)| *name == "mode").map(|(_, mode)| *mode);
            match (mode, chardev(&pairs)) {
                (Some("control"), Some(id)) => Ok(Some(Wanted::Chardev(id))),
                (None | Some("readline" | "control"), _) => Ok(None),
                (Some(mode), _) => {
                    let message = format!("Parameter 'mode' does not accept value '{mode}'");
                    Err(Refusal::of(given, message))
                }
            }
        }
        _ => match first.strip_prefix("chardev:") {
            Some(id) => Ok(Some(Wanted::Chardev(id.to_owned()))),
            None => match parse(first).map(|address| Endpoint::new(address, pairs)) {
                Some(Ok(endpoint)) => Ok(Some(Wanted::Endpoint(endpoint))),
                Some(Err(message)) => Err(Refusal::of(given, message)),
                None if first.contains(':') => {
                    Err(Refusal::of(given, format!("parse error: {}", given.value)))
                }
                None => Err(Refusal::of(given, format!("'{first}' is not a valid char driver"))),
            },
        },
    }
}

/// Reads a character device: its name, and its endpoint if a monitor can be there.
fn chardev(given: &Given) -> Result<(String, Option<Endpoint>), Refusal> {
    let (kind, pairs) = split(&given.value);
    let get =
        |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let Some(id) = get("id") else { return Err(Refusal::of(given, "chardev: no id specified")) };
    let address = match (kind, get("path"), get("fd"), get("port")) {
        ("stdio", ..) => Address::Stdio,
        ("null", ..) => Address::Null,
        ("socket", Some(path), ..) => Address::Unix(path.into()),
        ("socket", None, Some(number), _) => match number.parse() {
            Ok(number) => Address::Descriptor(number),
            // The name of a descriptor that a monitor has received: none has yet.
            Err(_) => {
                let message = format!("No file descriptor named {number} found");
                return Err(Refusal::of(given, message));
            }
        },
        ("socket", None, None, Some(port)) => match port.parse() {
            Ok(port) => {
                let host = get("host").unwrap_or_default().to_owned();
                Address::Tcp { host, port }
            }
            Err(_) => return Err(Refusal::of(given, "address resolution failed")),
        },
        ("socket", ..) => {
            return Err(Refusal::of(given, "Unable to parse FD number "));
        }
        _ => return Ok((id.to_owned(), None)),
    };
    let options = pairs.iter().copied().filter(|(name, _)| !PLACES.contains(name));
    let endpoint = Endpoint::new(address, options);
    Ok((id.to_owned(), Some(endpoint.map_err(|message| Refusal::of(given, message))?)))
}
