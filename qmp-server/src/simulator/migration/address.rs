//! The addresses of migrations.

use qmp_types::QmpError;
use serde_json::{Map, Value};

use crate::simulator::replies::{Arguments, refuse};

/// Where a machine is sent to or received from.
pub(super) enum Destination {
    Address(Map<String, Value>),
    File(String),
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
                "file" => Destination::File(text("filename").to_owned()),
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
                "fd" => address("fd", &[("str", rest)]),
                "file" => Destination::File(rest.to_owned()),
                "exec" => Destination::Program,
                _ => return refuse(format!("unknown migration protocol: {uri}")),
            })
        }
    }
}
