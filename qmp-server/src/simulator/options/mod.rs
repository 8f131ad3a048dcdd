//! The arguments of QEMU's command line options, in JSON or as `key=value,...`.

mod drive;

use qmp_types::QmpError;
use serde_json::{Map, Value, json};

use super::chardevs::KINDS;
use super::facts;
use super::replies::{is_identifier, refuse};
use crate::arguments::{self, explain};
use crate::introspection::{Introspection, Json, Object, Shape};

pub(super) use drive::{DriveOptions, read as read_drive};

/// The maximum depth of nested keys, such as `file.file.filename`.
const MAX_DEPTH: usize = 32;

type Members = Map<String, Value>;

/// Reads the argument of an option that a command of the given schema corresponds to.
pub(super) fn read(
    introspection: &Introspection,
    option: &str,
    argument: &str,
) -> Result<Members, QmpError> {
    let (command, implied) = match option {
        "blockdev" => ("blockdev-add", "driver"),
        "chardev" => ("chardev-add", "backend"),
        "device" => ("device_add", "driver"),
        "netdev" => ("netdev_add", "type"),
        "object" => ("object-add", "qom-type"),
        _ => return refuse("invalid option"),
    };
    if argument.starts_with('{') && option != "chardev" {
        return match serde_json::from_str(argument) {
            Ok(members) => Ok(members),
            Err(error) => refuse(format!("JSON parse error: {error}")),
        };
    }
    let pairs = pairs(argument, implied)?;
    let id = pairs.iter().find(|(key, _)| key == "id").map(|(_, id)| id.as_deref().unwrap_or("on"));
    if option != "blockdev" && id.is_some_and(|id| !is_identifier(id)) {
        return refuse("Parameter 'id' expects an identifier");
    }
    let members = match option {
        "blockdev" | "object" => nested(pairs)?,
        _ => flat(pairs),
    };
    match option {
        "device" if !members.contains_key("driver") => refuse("Parameter 'driver' is missing"),
        "device" => device(members),
        "chardev" => chardev(&members),
        _ => {
            let Some(Shape::Command { arguments, .. }) = introspection.shape(command) else {
                return Ok(members);
            };
            let value = convert(introspection, arguments, Value::Object(members), "")?;
            let members = match value {
                Value::Object(members) => members,
                _ => Map::new(),
            };
            if option == "netdev" {
                check(introspection, command, &members).map_err(in_words_of_options)?;
            }
            Ok(members)
        }
    }
}

/// Checks arguments as the command's dispatch does.
pub(super) fn check(
    introspection: &Introspection,
    command: &str,
    arguments: &Members,
) -> Result<(), QmpError> {
    arguments::check(introspection, command, arguments, false)
        .map_err(|fault| explain(Some(fault), None))
}

/// Returns the error that older options have for a name that the schema does not list.
fn in_words_of_options(error: QmpError) -> QmpError {
    let name = error.desc.strip_prefix("Parameter '").and_then(|rest| rest.split_once('\''));
    match name {
        Some((name, " is unexpected")) => QmpError::generic(format!("Invalid parameter '{name}'")),
        _ => error,
    }
}

/// Splits `key=value,...`. A comma in a value is doubled. A first value without key has the implied
/// one.
fn pairs(text: &str, implied: &str) -> Result<Vec<(String, Option<String>)>, QmpError> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' && characters.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
    parts
        .map(|(at, part)| match part.split_once('=') {
            Some(("", _)) => refuse(format!("Invalid parameter '{part}'")),
            Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
            None if at == 0 => Ok((implied.to_owned(), Some(part))),
            None => Ok((part, None)),
        })
        .collect()
}

/// Returns an object without nesting. A key without value is a switch; keys may be repeated.
fn flat(pairs: Vec<(String, Option<String>)>) -> Members {
    let mut members = Map::new();
    for (key, value) in pairs {
        let (key, value) = match (value, key.strip_prefix("no")) {
            (Some(value), _) => (key, value),
            (None, Some(off)) if !off.is_empty() => (off.to_owned(), "off".to_owned()),
            (None, _) => (key, "on".to_owned()),
        };
        match members.get_mut(&key) {
            None => drop(members.insert(key, value.into())),
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    members
}

/// Returns an object in which the dots of keys are levels.
fn nested(pairs: Vec<(String, Option<String>)>) -> Result<Members, QmpError> {
    let mut root = Value::Object(Map::new());
    for (key, value) in pairs {
        let Some(value) = value else {
            return refuse(format!("Expected '=' after parameter '{key}'"));
        };
        if key.split('.').count() > MAX_DEPTH {
            return refuse(format!("Parameter '{key}' is nested too deep"));
        }
        let mut place = &mut root;
        for step in key.split('.') {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(members) = place else {
                return refuse(format!("Parameters '{step}.*' used inconsistently"));
            };
            place = members.entry(step).or_insert(Value::Null);
        }
        *place = value.into();
    }
    match root {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}

/// Gives the strings of an option the types that the schema says.
fn convert(
    introspection: &Introspection,
    shape: &str,
    value: Value,
    name: &str,
) -> Result<Value, QmpError> {
    let value = match (introspection.shape(shape), value) {
        (Some(Shape::Array(_)), value) => value,
        // Of repeated keys, the last one counts.
        (_, Value::Array(mut values)) => values.pop().unwrap_or_default(),
        (_, value) => value,
    };
    match (introspection.shape(shape), value) {
        (Some(Shape::Builtin(json)), Value::String(text)) => scalar(*json, text, name),
        (Some(Shape::Array(element)), Value::Array(values)) => {
            let convert = |value| convert(introspection, element, value, name);
            values.into_iter().map(convert).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        (Some(Shape::Array(element)), Value::Object(members)) => {
            // Keys such as `server.0` are indices.
            let convert = |value| convert(introspection, element, value, name);
            members.into_iter().map(|(_, value)| convert(value)).collect()
        }
        (Some(Shape::Array(element)), value) => {
            Ok(json!([convert(introspection, element, value, name)?]))
        }
        (Some(Shape::Object(object)), Value::Object(members)) => {
            convert_members(introspection, object, members).map(Value::Object)
        }
        // The elements of lists such as `hostfwd`.
        (Some(Shape::Object(object)), Value::String(text))
            if object.members.iter().any(|member| member.name == "str") =>
        {
            Ok(json!({"str": text}))
        }
        (Some(Shape::Alternate(alternatives)), value) => {
            let fits = |shape: &&String| match introspection.shape(shape) {
                Some(Shape::Object(_)) => value.is_object(),
                Some(Shape::Builtin(Json::String) | Shape::Enum(_)) => value.is_string(),
                _ => false,
            };
            match alternatives.iter().find(fits).or(alternatives.first()) {
                Some(shape) => convert(introspection, shape, value, name),
                None => Ok(value),
            }
        }
        (_, value) => Ok(value),
    }
}

fn convert_members(
    introspection: &Introspection,
    object: &Object,
    mut members: Members,
) -> Result<Members, QmpError> {
    for member in &object.members {
        if let Some(value) = members.get_mut(&member.name) {
            *value = convert(introspection, &member.shape, value.take(), &member.name)?;
        }
    }
    let tag = object.tag.as_ref().and_then(|tag| members.get(tag)).and_then(Value::as_str);
    let branch = tag.and_then(|tag| object.branches.get(tag));
    match branch.and_then(|branch| introspection.shape(branch)) {
        Some(Shape::Object(branch)) => convert_members(introspection, branch, members),
        _ => Ok(members),
    }
}

fn scalar(json: Json, text: String, name: &str) -> Result<Value, QmpError> {
    match json {
        Json::Boolean => boolean(&text, name).map(Value::Bool),
        Json::Integer => integer(&text, name),
        Json::Number => match text.parse::<f64>() {
            Ok(number) => Ok(number.into()),
            Err(_) => refuse(format!("Parameter '{name}' expects number")),
        },
        _ => Ok(text.into()),
    }
}

fn boolean(text: &str, name: &str) -> Result<bool, QmpError> {
    match text {
        "on" | "yes" | "true" | "y" => Ok(true),
        "off" | "no" | "false" | "n" => Ok(false),
        _ => refuse(format!("Parameter '{name}' expects 'on' or 'off'")),
    }
}

/// Reads an integer, in hexadecimal or with a suffix such as `M`.
fn integer(text: &str, name: &str) -> Result<Value, QmpError> {
    let (text, shift) = match text.char_indices().last() {
        Some((at, suffix)) if at > 0 && !text.starts_with("0x") => {
            let shift = "kmgtpe".find(suffix.to_ascii_lowercase()).map(|power| 10 * (power + 1));
            match shift {
                Some(shift) => (&text[..at], shift),
                None => (text, 0),
            }
        }
        _ => (text, 0),
    };
    let number = match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let number = number.ok().and_then(|number| number.checked_mul(1 << shift));
    let unsigned = number.and_then(|number| u64::try_from(number).ok());
    let signed = number.and_then(|number| i64::try_from(number).ok());
    match (unsigned, signed) {
        (Some(number), _) => Ok(number.into()),
        (_, Some(number)) => Ok(number.into()),
        _ => refuse(format!("Parameter '{name}' expects integer")),
    }
}

/// Gives the strings of a device's properties the types of its model.
fn device(mut members: Members) -> Result<Members, QmpError> {
    let model = members.get("driver").and_then(Value::as_str).and_then(facts::driver_or_alias);
    for (name, value) in &mut members {
        if let Value::Array(values) = value {
            *value = values.pop().unwrap_or_default();
        }
        let property = model.and_then(|model| model.property(name));
        let (Some(property), Value::String(text)) = (property, &*value) else { continue };
        *value = match property.kind {
            "bool" => boolean(text, name)?.into(),
            "int" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32"
            | "uint64" | "size" | "blocksize" => integer(text, name)?,
            _ => continue,
        };
    }
    Ok(members)
}

/// Converts the flat options of a character device to the arguments of `chardev-add`.
fn chardev(members: &Members) -> Result<Members, QmpError> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let Some(id) = text("id") else { return refuse("chardev: no id specified") };
    let Some(kind) = text("backend") else {
        return refuse(format!("chardev: \"{id}\" missing backend"));
    };
    if !KINDS.contains(&kind) {
        return refuse(format!("'{kind}' is not a valid char driver name"));
    }
    let mut data = Map::new();
    let mut known = vec!["id", "backend", "logfile", "logappend", "mux"];
    let copied: &[(&'static str, &str)] = match kind {
        "file" => &[("path", "out"), ("input-path", "in")],
        "parallel" | "pipe" | "serial" => &[("path", "device")],
        "mux" => &[("chardev", "chardev")],
        _ => &[],
    };
    for (from, to) in copied {
        known.push(from);
        if let Some(value) = text(from) {
            data.insert((*to).to_owned(), value.into());
        }
    }
    match kind {
        "ringbuf" | "memory" => {
            known.push("size");
            if let Some(size) = text("size") {
                data.insert("size".to_owned(), integer(size, "size")?);
            }
        }
        "socket" => {
            known.extend(["path", "host", "port", "fd", "server", "wait", "delay", "abstract"]);
            known.extend(["reconnect", "reconnect-ms", "ipv4", "ipv6", "to", "telnet"]);
            socket(members, &mut data)?;
        }
        _ => {}
    }
    if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return refuse(format!("Invalid parameter '{name}'"));
    }
    let arguments = json!({"id": id, "backend": {"type": kind, "data": data}});
    Ok(arguments.as_object().cloned().unwrap_or_default())
}

fn socket(members: &Members, data: &mut Members) -> Result<(), QmpError> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let address = match (text("path"), text("fd")) {
        (Some(path), _) => json!({"type": "unix", "data": {"path": path}}),
        (None, Some(fd)) => json!({"type": "fd", "data": {"str": fd}}),
        (None, None) => {
            let (host, port) = (text("host").unwrap_or_default(), text("port"));
            let Some(port) = port else { return refuse("chardev: socket: no port given") };
            json!({"type": "inet", "data": {"host": host, "port": port}})
        }
    };
    data.insert("addr".to_owned(), address);
    data.insert("server".to_owned(), false.into());
    for name in ["server", "wait", "telnet"] {
        if let Some(value) = text(name) {
            data.insert(name.to_owned(), boolean(value, name)?.into());
        }
    }
    for name in ["reconnect", "reconnect-ms"] {
        if let Some(value) = text(name) {
            data.insert(name.to_owned(), integer(value, name)?);
        }
    }
    Ok(())
}
