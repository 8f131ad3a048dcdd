//! The argument of `-drive`.

use qmp_types::QmpError;
use serde_json::{Value, json};

use super::{Members, boolean, check, convert, nested, pairs};
use crate::introspection::{Introspection, Shape};
use crate::simulator::replies::{is_identifier, refuse};

/// The interfaces by which a drive reaches the guest.
const INTERFACES: [&str; 9] =
    ["floppy", "ide", "mtd", "none", "pflash", "scsi", "sd", "virtio", "xen"];

/// Options that the simulated machine accepts and ignores.
const IGNORED: [&str; 4] = ["copy-on-read", "snapshot", "stats-account-failed", "stats-intervals"];

/// A drive as its option describes it.
#[derive(Debug)]
pub(in crate::simulator) struct DriveOptions {
    pub(in crate::simulator) id: Option<String>,
    /// `None` for the machine's default.
    pub(in crate::simulator) interface: Option<String>,
    pub(in crate::simulator) is_cd: bool,
    pub(in crate::simulator) bus: Option<u32>,
    pub(in crate::simulator) unit: Option<u32>,
    pub(in crate::simulator) index: Option<u32>,
    /// The arguments of `blockdev-add`; `None` if the drive is empty.
    pub(in crate::simulator) node: Option<Members>,
}

/// Reads the argument. `probe` returns the format of an image without a `format`.
pub(in crate::simulator) fn read(
    introspection: &Introspection,
    argument: &str,
    probe: impl Fn(&str) -> String,
) -> Result<DriveOptions, QmpError> {
    let mut given = Given::read(argument)?;
    let id = given.take("id");
    if id.as_ref().is_some_and(|id| !is_identifier(id)) {
        return refuse("Parameter 'id' expects an identifier");
    }
    let (bus, unit) = (given.number("bus")?, given.number("unit")?);
    let index = given.number("index")?;
    let is_cd = match given.take("media").as_deref() {
        Some("cdrom") => true,
        None | Some("disk") => false,
        Some(media) => return refuse(format!("'{media}' invalid media")),
    };
    let interface = given.take("if");
    if let Some(name) = interface.as_deref().filter(|name| !INTERFACES.contains(name)) {
        return refuse(format!("unsupported bus type '{name}'"));
    }
    if index.is_some() && (bus.unwrap_or_default() > 0 || unit.is_some()) {
        return refuse("index cannot be used with bus and unit");
    }
    let node = given.node(introspection, is_cd, probe)?;
    Ok(DriveOptions { id, interface, is_cd, bus, unit, index, node })
}

/// The options that are left to be read.
struct Given(Vec<(String, String)>);

impl Given {
    fn read(argument: &str) -> Result<Self, QmpError> {
        let pairs = pairs(argument, "")?.into_iter().map(|(key, value)| match value {
            // An option without a value is a switch.
            Some(value) if key.is_empty() => (value, "on".to_owned()),
            Some(value) => (key, value),
            None => (key, "on".to_owned()),
        });
        Ok(Self(pairs.collect()))
    }

    /// Takes the value of an option, the last one if it is repeated.
    fn take(&mut self, name: &str) -> Option<String> {
        let found = self.0.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.clone());
        self.0.retain(|(key, _)| key != name);
        found
    }

    fn number(&mut self, name: &str) -> Result<Option<u32>, QmpError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => refuse(format!("Parameter '{name}' expects a number")),
        }
    }

    fn switch(&mut self, name: &str) -> Result<Option<bool>, QmpError> {
        self.take(name).map(|text| boolean(&text, name)).transpose()
    }

    /// Takes an option whose values are listed.
    fn one_of(
        &mut self,
        name: &str,
        known: &[&str],
        error: impl Fn(&str) -> String,
    ) -> Result<Option<String>, QmpError> {
        match self.take(name) {
            Some(value) if !known.contains(&value.as_str()) => refuse(error(&value)),
            value => Ok(value),
        }
    }

    /// Returns the arguments of `blockdev-add`, unless the drive is empty.
    fn node(
        mut self,
        introspection: &Introspection,
        is_cd: bool,
        probe: impl Fn(&str) -> String,
    ) -> Result<Option<Members>, QmpError> {
        let mut own = self.common()?;
        let read_only = match self.switch("readonly")? {
            Some(value) => Some(value),
            None => self.switch("read-only")?,
        };
        own.insert("read-only".to_owned(), (is_cd || read_only.unwrap_or_default()).into());
        let format = match (self.take("format"), self.take("driver")) {
            (Some(_), Some(_)) => return refuse("Cannot specify both 'driver' and 'format'"),
            (format, driver) => format.or(driver),
        };
        let file = self.take("file").filter(|file| !file.is_empty());
        if file.is_none() && format.is_none() && self.0.is_empty() {
            return Ok(None);
        }
        let keys: Vec<String> = self.0.iter().map(|(key, _)| key.clone()).collect();
        let pairs = self.0.into_iter().map(|(key, value)| (key, Some(value)));
        let mut members = nested(pairs.collect())?;
        if let Some(file) = file {
            set_file(&mut members, &file);
        }
        let path = members.get("file").map(|file| match file {
            Value::Object(file) => file.get("filename").and_then(Value::as_str).unwrap_or_default(),
            name => name.as_str().unwrap_or_default(),
        });
        let driver = match (format, path) {
            (Some(format), _) => format,
            (None, Some(path)) => probe(path),
            (None, None) => return refuse("Must specify either driver or file"),
        };
        let needs_file = driver == "raw" || super::super::block::node::is_format(&driver);
        if needs_file && path.is_none() {
            return refuse("A block device must be specified for \"file\"");
        }
        members.extend(own);
        members.insert("driver".to_owned(), driver.clone().into());
        typed(introspection, members)
            .map(Some)
            .map_err(|error| in_words_of_drives(error, &driver, &keys))
    }

    /// Takes the options that are spelled otherwise for `blockdev-add`, or do not exist there.
    fn common(&mut self) -> Result<Members, QmpError> {
        let mut own = Members::new();
        let caches = ["directsync", "none", "off", "unsafe", "writeback", "writethrough"];
        let cache = self.one_of("cache", &caches, |_| "invalid cache option".to_owned())?;
        if let Some(cache) = cache {
            let is_direct = matches!(cache.as_str(), "directsync" | "none" | "off");
            let cache = json!({"direct": is_direct, "no-flush": cache == "unsafe"});
            own.insert("cache".to_owned(), cache);
        }
        let discards = ["ignore", "off", "on", "unmap"];
        let discard = self.one_of("discard", &discards, |_| "Invalid discard option".to_owned())?;
        if let Some(discard) = discard {
            let is_unmap = matches!(discard.as_str(), "on" | "unmap");
            own.insert("discard".to_owned(), if is_unmap { "unmap" } else { "ignore" }.into());
        }
        let detects = ["off", "on", "unmap"];
        let name = "detect-zeroes";
        if let Some(detect) =
            self.one_of(name, &detects, |value| format!("invalid parameter value: {value}"))?
        {
            own.insert(name.to_owned(), detect.into());
        }
        let aios = ["io_uring", "native", "threads"];
        self.one_of("aio", &aios, |_| "invalid aio option".to_owned())?;
        let writes = ["enospc", "ignore", "report", "stop"];
        self.one_of("werror", &writes, |value| format!("'{value}' invalid write error action"))?;
        let reads = ["ignore", "report", "stop"];
        self.one_of("rerror", &reads, |value| format!("'{value}' invalid read error action"))?;
        for name in IGNORED {
            self.take(name);
        }
        self.0.retain(|(key, _)| !key.starts_with("throttling."));
        Ok(own)
    }
}

/// Makes the child node of a file name, with the options `file.*` that were given besides.
fn set_file(members: &mut Members, name: &str) {
    let file = members.entry("file").or_insert_with(|| json!({}));
    if !file.is_object() {
        *file = json!({});
    }
    match name {
        "null-aio://" | "null-co://" => file["driver"] = name.trim_end_matches("://").into(),
        _ => {
            if file.get("driver").is_none() {
                file["driver"] = "file".into();
            }
            file["filename"] = name.into();
        }
    }
}

fn typed(introspection: &Introspection, members: Members) -> Result<Members, QmpError> {
    let command = "blockdev-add";
    let Some(Shape::Command { arguments, .. }) = introspection.shape(command) else {
        return Ok(members);
    };
    let members = match convert(introspection, arguments, Value::Object(members), "")? {
        Value::Object(members) => members,
        _ => Members::new(),
    };
    check(introspection, command, &members)?;
    Ok(members)
}

/// Returns the error that `-drive` has for options that the schema does not know.
fn in_words_of_drives(error: QmpError, driver: &str, keys: &[String]) -> QmpError {
    let name = error.desc.strip_prefix("Parameter '").and_then(|rest| rest.split_once('\''));
    let desc = match name {
        Some(("driver", rest)) if rest.starts_with(" does not accept value") => {
            format!("Unknown driver '{driver}'")
        }
        Some((name, " is unexpected")) => {
            let is_below =
                |key: &&String| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            let name = keys.iter().find(is_below).map_or(name, String::as_str);
            match name.strip_prefix("file.") {
                Some(name) => {
                    format!("Block protocol 'file' doesn't support the option '{name}'")
                }
                None => format!("Block format '{driver}' does not support the option '{name}'"),
            }
        }
        _ => return error,
    };
    QmpError::generic(desc)
}
