//! Arguments of QEMU: those made of typed values, and all others.

use std::ffi::OsString;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qmp_types::{is_secret, redact};
use serde::Serialize;
use serde_json::{Map, Value};

use super::shell::quote;

/// The longest secret, in bytes of Base64: a shell writes as many to a pipe without another process.
const LONGEST_SECRET: usize = 4095;

/// One argument, or a few that belong together.
pub(super) enum Argument {
    /// An argument as it is passed.
    Plain(OsString),
    /// An option and the typed value that follows it, as JSON.
    Typed(&'static str, String),
    /// A secret object, whose data does not appear among the arguments.
    Secret(Secret),
}

/// A secret object. Everyone on the host can read the arguments of a process; the data goes through a
/// pipe.
pub(super) struct Secret {
    members: Map<String, Value>,
    /// The data, encoded as Base64.
    pub(super) data: String,
}

impl Secret {
    /// Returns the object's JSON, with a place for the data.
    pub(super) fn json(&self, place: &str) -> String {
        let mut members = self.members.clone();
        members.insert("format".to_owned(), "base64".into());
        members.insert("file".to_owned(), place.into());
        Value::from(members).to_string()
    }
}

/// Returns the argument of a typed value.
///
/// # Errors
/// The value has no JSON.
pub(super) fn typed(option: &'static str, value: &impl Serialize) -> Result<Argument, String> {
    let json = serde_json::to_string(value).map_err(|error| format!("`{option}`: {error}"))?;
    Ok(Argument::Typed(option, json))
}

/// Returns the argument of an object.
///
/// # Errors
/// The value has no JSON, or it is a secret that is too long.
pub(super) fn object(value: &impl Serialize) -> Result<Argument, String> {
    let json = serde_json::to_value(value).map_err(|error| format!("`-object`: {error}"))?;
    let Value::Object(mut members) = json else { return typed("-object", value) };
    if members.get("qom-type").and_then(Value::as_str) != Some("secret") {
        return typed("-object", value);
    }
    let Some(Value::String(data)) = members.remove("data") else { return typed("-object", value) };
    let data = match members.get("format").and_then(Value::as_str) {
        None | Some("raw") => STANDARD.encode(data),
        Some("base64") => data.split_ascii_whitespace().collect(),
        // QEMU refuses it.
        Some(_) => String::new(),
    };
    if data.len() > LONGEST_SECRET {
        let id = members.get("id").and_then(Value::as_str).unwrap_or_default();
        return Err(format!(
            "the secret object `{id}` is longer than {LONGEST_SECRET} bytes of Base64; put it in a \
             file, and use `file`"
        ));
    }
    if !data.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
        return Err("the data of a secret object is not Base64, as its format says".to_owned());
    }
    Ok(Argument::Secret(Secret { members, data }))
}

/// Returns arguments as a line for a shell, without secrets.
pub(super) fn shell_line(program: &str, arguments: &[Argument]) -> String {
    let mut line = quote(program).into_owned();
    let mut add = |word: &str| {
        line.push(' ');
        line.push_str(&quote(word));
    };
    let mut option = String::new();
    for argument in arguments {
        match argument {
            Argument::Plain(argument) => {
                let text = argument.to_string_lossy();
                add(&masked(&option, &text));
                option = text.into_owned();
            }
            Argument::Typed(option, json) => {
                add(option);
                add(&masked(option, json));
            }
            Argument::Secret(secret) => {
                let mut members = secret.members.clone();
                members.insert("data".to_owned(), "<secret>".into());
                add("-object");
                add(&Value::from(members).to_string());
            }
        }
    }
    line
}

/// Masks the secrets in the value of an option, as far as their names tell.
fn masked(option: &str, value: &str) -> String {
    let command = match option.trim_start_matches('-') {
        "object" => "object-add",
        "blockdev" | "drive" => "blockdev-add",
        "netdev" => "netdev_add",
        other => other,
    };
    if value.trim_start().starts_with('{') {
        return redact(command, value).into_owned();
    }
    let mut masked = String::new();
    for (number, part) in parts(value).into_iter().enumerate() {
        if number > 0 {
            masked.push(',');
        }
        match part.split_once('=') {
            // A switch is not a secret: `-vnc :0,password=on`.
            Some((name, value)) if !matches!(value, "on" | "off") && is_named(command, name) => {
                masked.push_str(name);
                masked.push_str("=<secret>");
            }
            _ => masked.push_str(part),
        }
    }
    masked
}

/// Returns whether a name, of which only the last part counts, is that of a secret.
fn is_named(command: &str, name: &str) -> bool {
    is_secret(command, name.rsplit('.').next().unwrap_or(name))
}

/// Splits the value of an option at its commas; a comma in a value is doubled.
fn parts(value: &str) -> Vec<&str> {
    let bytes = value.as_bytes();
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b',', Some(b',')) => at += 2,
            (b',', _) => {
                parts.push(&value[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    parts.push(&value[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &[&str]) -> String {
        let arguments: Vec<_> =
            arguments.iter().map(|argument| Argument::Plain(argument.into())).collect();
        shell_line("qemu", &arguments)
    }

    #[test]
    fn lines_have_no_secrets() {
        for (arguments, expected) in [
            (&["-m", "1G"][..], "qemu -m 1G"),
            (
                &["-object", "secret,id=s,data=hun,,ter2"],
                "qemu -object 'secret,id=s,data=<secret>'",
            ),
            (&["-object", "rng-random,id=r"], "qemu -object rng-random,id=r"),
            (
                &["-blockdev", "curl,file.cookie=a=b,x=1"],
                "qemu -blockdev 'curl,file.cookie=<secret>,x=1'",
            ),
            (&["-spice", "password=hunter2,port=1"], "qemu -spice 'password=<secret>,port=1'"),
            (&["-vnc", ":0,password=on"], "qemu -vnc :0,password=on"),
            (&["-append", "console=ttyS0 quiet"], "qemu -append 'console=ttyS0 quiet'"),
            (
                &["-object", r#"{"qom-type": "secret", "data": "it's"}"#],
                r#"qemu -object '{"qom-type": "secret", "data": "<secret>"}'"#,
            ),
        ] {
            assert_eq!(line(arguments), expected);
        }
    }
}
