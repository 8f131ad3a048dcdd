//! The addresses of migrations.

use qmp_types::QmpError;
use serde_json::{Map, Value};

use crate::simulator::replies::{Arguments, refuse};

/// Where a machine is sent to or received from.
pub(super) enum Destination {
    Address(Map<String, Value>),
    File { path: String, offset: u64 },
    Program,
}

pub(super) fn destination(arguments: &Arguments) -> Result<Destination, QmpError> {
    let channel = arguments.list("channels").first().and_then(|channel| channel.get("addr"));
    let channel = channel.and_then(Value::as_object);
    let address = |kind: &str, members: &[(&str, &str)]| {
        let mut address = Map::new();
        address.insert("type".to_owned(), kind.into());
        for (name, value) in members {
            address.insert((*name).to_owned(), (*value).into());
        }
        Destination::Address(address)
    };
    match (arguments.text("uri"), channel) {
        (None, None) | (Some(_), Some(_)) => refuse("need either 'uri' or 'channels' argument"),
        (None, Some(channel)) => {
            let text = |name: &str| channel.get(name).and_then(Value::as_str).unwrap_or_default();
            Ok(match text("transport") {
                "file" => {
                    let path = text("filename").to_owned();
                    let offset = channel.get("offset").and_then(Value::as_u64).unwrap_or_default();
                    Destination::File { path, offset }
                }
                "exec" => Destination::Program,
                _ => Destination::Address(channel.clone()),
            })
        }
        (Some(uri), None) => {
            let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
            Ok(match scheme {
                "tcp" => {
                    let Some((host, port)) = rest.rsplit_once(':') else {
                        return refuse(format!("error parsing address '{rest}'"));
                    };
                    address("inet", &[("host", host), ("port", port)])
                }
                "unix" if rest.is_empty() => return refuse("invalid Unix socket address"),
                "unix" => address("unix", &[("path", rest)]),
                "fd" if rest.is_empty() => return refuse("invalid file descriptor address"),
                "fd" => address("fd", &[("str", rest)]),
                "file" => file(rest)?,
                "exec" => Destination::Program,
                _ => return refuse(format!("unknown migration protocol: {uri}")),
            })
        }
    }
}

/// Reads the path of a file, and the offset that may follow.
fn file(text: &str) -> Result<Destination, QmpError> {
    let (path, offset) = text.split_once(",offset=").unwrap_or((text, "0"));
    match parse_size(offset) {
        Some(offset) => Ok(Destination::File { path: path.to_owned(), offset }),
        None => refuse(format!("file URI has bad offset {offset}: Invalid argument")),
    }
}

/// Reads a size with a unit, such as `4k`.
fn parse_size(text: &str) -> Option<u64> {
    let unit = text.chars().last().filter(char::is_ascii_alphabetic);
    let digits = text.strip_suffix(|last: char| Some(last) == unit).unwrap_or(text);
    let power = match unit.map(|unit| unit.to_ascii_lowercase()) {
        None | Some('b') => 0,
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        Some('t') => 40,
        Some(_) => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << power)
}
