//! Asks a QEMU for its devices.
//!
//! ```text
//! qom-list-types ──> types with their parents ──selection──> names
//! device-list-properties of each name ─────────────────────> Asked (devices, and what was skipped)
//! ```
//!
//! To answer, QEMU creates the device. A QEMU that lacks a module exits if that fails, so that a
//! program is started again, and the device is skipped. A machine that is running is not put at risk.

use std::collections::HashMap;
use std::path::Path;

use qmp_client::Error;
use qmp_client::blocking::Client;
use qmp_client::protocol::Printable;
use qmp_client::qmp::commands::{DeviceListProperties, QomGet, QomListTypes, QueryStatus};
use qmp_client::qmp::types::{ObjectPropertyInfo, ObjectTypeInfo};
use qmp_codegen::devices::{DeviceProperty, DeviceType, MAX_DEVICES, MAX_PROPERTIES};
use serde_json::Value;

use super::{Failure, input};
use crate::cli::{TimeoutArgs, chain};

/// The number of times that a program is started again.
const MAX_STARTS: usize = 100;
/// The largest number of ancestors of a type. QEMU's have at most eight.
const MAX_ANCESTORS: usize = 32;
/// The memory that all properties may take, in bytes. Those of QEMU 11.1 take a tenth of it.
const MAX_BYTES: usize = 256 << 20;
/// The longest reason of QEMU that is kept, in characters.
const MAX_REASON: usize = 200;

/// The answers of a QEMU.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) devices: Vec<DeviceType>,
    /// The devices that it did not describe, each with the reason.
    pub(super) skipped: Vec<(String, String)>,
}

/// Asks the QEMU at an address, or a program that is started for this.
pub(super) fn ask(source: &str, only: &[String], timeout: TimeoutArgs) -> Result<Asked, Failure> {
    let mut qemu = Qemu::new(source, timeout)?;
    let types = qemu.client.execute(QomListTypes::new().implements("device").abstract_(true))?;
    let types = Types::new(types);
    let names = types.selected(only)?;
    if names.len() > MAX_DEVICES {
        return Err(format!("{} devices are too many: at most {MAX_DEVICES}", names.len()).into());
    }
    qemu.check_risk(only)?;
    let mut asked = Asked::default();
    let mut left = Left { properties: MAX_PROPERTIES, bytes: MAX_BYTES };
    for name in names {
        let properties = match qemu.client.execute(DeviceListProperties::new(name)) {
            Ok(properties) => properties,
            Err(Error::Server(error)) => {
                let reason = error.error.desc.chars().take(MAX_REASON).collect();
                asked.skipped.push((name.to_owned(), reason));
                continue;
            }
            Err(error) => {
                let reason = qemu.restart(name, error)?;
                asked.skipped.push((name.to_owned(), reason));
                continue;
            }
        };
        left.take(&properties)?;
        let property = |property: ObjectPropertyInfo| DeviceProperty {
            name: property.name,
            ty: property.type_,
            description: property.description,
            default: property.default_value,
        };
        asked.devices.push(DeviceType {
            name: name.to_owned(),
            ancestors: types.ancestors(name),
            properties: properties.into_iter().map(property).collect(),
        });
    }
    Ok(asked)
}

/// The room that is left for properties.
struct Left {
    properties: usize,
    bytes: usize,
}

impl Left {
    fn take(&mut self, properties: &[ObjectPropertyInfo]) -> Result<(), String> {
        let left = self.properties.checked_sub(properties.len());
        self.properties = left.ok_or_else(|| {
            format!(
                "the devices have more than {MAX_PROPERTIES} properties; select some with --only"
            )
        })?;
        let left = self.bytes.checked_sub(properties.iter().map(size).sum());
        self.bytes = left.ok_or_else(|| {
            format!(
                "the properties of the devices take more than {} MiB; select some with --only",
                MAX_BYTES >> 20
            )
        })?;
        Ok(())
    }
}

/// Returns roughly the memory that a property takes, in bytes.
fn size(property: &ObjectPropertyInfo) -> usize {
    let ObjectPropertyInfo { name, type_, description, default_value, .. } = property;
    let texts = name.len() + type_.len() + description.as_ref().map_or(0, String::len);
    size_of::<DeviceProperty>() + texts + default_value.as_ref().map_or(0, size_of_value)
}

fn size_of_value(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(elements) => elements.iter().map(size_of_value).sum(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| name.len() + size_of_value(value)).sum()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// The types of a QEMU, by name.
struct Types(HashMap<String, ObjectTypeInfo>);

impl Types {
    fn new(types: Vec<ObjectTypeInfo>) -> Self {
        Self(types.into_iter().map(|ty| (ty.name.clone(), ty)).collect())
    }

    /// Returns the types that can be created and that the patterns select, in order.
    fn selected(&self, only: &[String]) -> Result<Vec<&str>, Failure> {
        let concrete = self.0.values().filter(|ty| ty.abstract_ != Some(true));
        let mut names: Vec<&str> = concrete.map(|ty| ty.name.as_str()).collect();
        names.sort_unstable();
        let excluded = only.iter().filter_map(|pattern| pattern.strip_prefix('!'));
        let excluded: Vec<&str> = excluded.collect();
        let included = only.iter().map(String::as_str).filter(|pattern| !pattern.starts_with('!'));
        let included: Vec<&str> = included.collect();
        for pattern in included.iter().chain(&excluded) {
            if !names.iter().any(|name| matches(pattern, name)) {
                return Err(format!("no device has the name '{pattern}'").into());
            }
        }
        let any = |patterns: &[&str], name: &str| patterns.iter().any(|one| matches(one, name));
        names.retain(|name| (included.is_empty() || any(&included, name)) && !any(&excluded, name));
        Ok(names)
    }

    /// Returns the types that a type inherits from, the nearest first.
    fn ancestors(&self, name: &str) -> Vec<String> {
        let parent = |name: &str| self.0.get(name)?.parent.as_deref();
        let ancestors = std::iter::successors(parent(name), |name| parent(name));
        ancestors.take(MAX_ANCESTORS).map(str::to_owned).collect()
    }
}

/// Returns whether a name is that of a pattern, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// A QEMU that answers.
struct Qemu {
    client: Client,
    #[cfg(unix)]
    program: Option<program::Program>,
}

impl Qemu {
    fn new(source: &str, timeout: TimeoutArgs) -> Result<Self, Failure> {
        if input::is_address(source) || !is_program(source) {
            let client = timeout.connect(source)?;
            return Ok(Self {
                client,
                #[cfg(unix)]
                program: None,
            });
        }
        Self::launch(source, timeout)
    }

    #[cfg(unix)]
    fn launch(source: &str, timeout: TimeoutArgs) -> Result<Self, Failure> {
        let program = program::Program::start(source, timeout)?;
        Ok(Self { client: program.client(), program: Some(program) })
    }

    #[cfg(not(unix))]
    fn launch(source: &str, _: TimeoutArgs) -> Result<Self, Failure> {
        Err(format!("'{source}' is a program, which can be started on Unix only").into())
    }

    #[cfg(unix)]
    fn is_ours(&self) -> bool {
        self.program.is_some()
    }

    #[cfg(not(unix))]
    fn is_ours(&self) -> bool {
        false
    }

    /// Refuses to ask a running machine for all of its devices.
    fn check_risk(&self, only: &[String]) -> Result<(), Failure> {
        if self.is_ours() || !only.is_empty() || !self.client.execute(QueryStatus::new())?.running {
            return Ok(());
        }
        let machine = self.client.execute(QomGet::new("/machine", "type"));
        if machine.is_ok_and(|machine| machine == "none-machine") {
            return Ok(());
        }
        Err("the machine is running, and a QEMU that lacks a module exits when it is asked about a \
             device that needs it; give the program of this QEMU, or select devices with --only"
            .into())
    }

    /// Starts a program that has exited again, and returns why it has.
    fn restart(&mut self, name: &str, error: Error) -> Result<String, Failure> {
        #[cfg(unix)]
        if let Some(program) = &mut self.program {
            if !error.is_timeout() {
                let reason = program.restart()?;
                self.client = program.client();
                return Ok(reason);
            }
        }
        let error = chain(&error);
        let name = Printable(name);
        Err(format!("the QEMU did not answer when it was asked about '{name}': {error}").into())
    }
}

/// Returns whether a program has this path, or is in `PATH` under this name.
fn is_program(source: &str) -> bool {
    if source.contains('/') {
        return Path::new(source).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(source).is_file())
}

#[cfg(unix)]
mod program {
    use std::sync::{Arc, Mutex, PoisonError};

    use qmp_client::blocking::Client;
    use qmp_vm::{Launch, Launched};

    use super::{Failure, MAX_STARTS};
    use crate::cli::TimeoutArgs;

    /// The last line that a program wrote to standard error.
    type Line = Arc<Mutex<Option<String>>>;

    /// A QEMU without a machine, which is started for its answers.
    pub(super) struct Program {
        path: String,
        timeout: TimeoutArgs,
        launched: Launched<Client>,
        line: Line,
        starts: usize,
    }

    impl Program {
        pub(super) fn start(path: &str, timeout: TimeoutArgs) -> Result<Self, Failure> {
            let line = Line::default();
            let launched = start(path, timeout, &line)?;
            Ok(Self { path: path.to_owned(), timeout, launched, line, starts: 1 })
        }

        pub(super) fn client(&self) -> Client {
            self.launched.client().clone()
        }

        /// Starts the program again, and returns the last line that it wrote.
        pub(super) fn restart(&mut self) -> Result<String, Failure> {
            if self.starts >= MAX_STARTS {
                return Err(format!("'{}' exited {MAX_STARTS} times", self.path).into());
            }
            self.starts += 1;
            let next = Line::default();
            let launched = start(&self.path, self.timeout, &next)?;
            // What is dropped has been waited for, and has written everything.
            drop(std::mem::replace(&mut self.launched, launched));
            let line = std::mem::replace(&mut self.line, next);
            let line = line.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(format!("QEMU exited: {}", line.as_deref().unwrap_or("without a message")))
        }
    }

    fn start(path: &str, timeout: TimeoutArgs, line: &Line) -> Result<Launched<Client>, Failure> {
        let line = Arc::clone(line);
        let launch = Launch::new(path)
            .machine("none")
            .args(["-nodefaults", "-display", "none"])
            .options(timeout.options())
            .on_stdout(|_| {})
            .on_stderr(move |text| {
                let text = text.chars().take(200).collect();
                *line.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            });
        Ok(launch.start::<Client>()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Left, ObjectPropertyInfo, ObjectTypeInfo, Types, matches};

    /// Each reply is limited, and a QEMU has thousands of devices.
    #[test]
    fn the_memory_of_all_properties_is_limited() {
        let property = |name: &str| ObjectPropertyInfo::new(name, "str");
        let mut left = Left { properties: 10, bytes: 10_000 };
        for _ in 0..5 {
            assert_eq!(left.take(&[property("short")]), Ok(()));
        }
        let too_many = left.take(&vec![property("short"); 6]).err().unwrap_or_default();
        assert!(too_many.contains("properties; select"), "{too_many}");
        for long in [
            property(&"x".repeat(10_000)),
            property("x").description("x".repeat(10_000)),
            property("x").default_value(json!([[[], {"x": "x".repeat(10_000)}]])),
            property("x").default_value(json!(vec![0; 1_000])),
        ] {
            let mut left = Left { properties: 10, bytes: 10_000 };
            let error = left.take(&[long]).err().unwrap_or_default();
            assert!(error.contains("MiB; select some"), "{error}");
        }
    }

    #[test]
    fn selections() {
        let names = ["a-cpu", "b-cpu", "disk"];
        let types = Types::new(names.map(ObjectTypeInfo::new).into());
        for (only, expected) in [
            (&[][..], &names[..]),
            (&["!*-cpu"], &["disk"]),
            (&["*-cpu", "!b-cpu"], &["a-cpu"]),
            (&["disk", "a-cpu"], &["a-cpu", "disk"]),
        ] {
            let only: Vec<String> = only.iter().map(|pattern| (*pattern).to_owned()).collect();
            assert_eq!(types.selected(&only).unwrap_or_default(), expected, "{only:?}");
        }
        assert!(types.selected(&["!card".to_owned()]).is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("e1000", "e1000", true),
            ("e1000", "e1000e", false),
            ("virtio-*-pci", "virtio-blk-pci", true),
            ("virtio-*-pci", "virtio-pci", false),
            ("*", "", true),
            ("*-cpu", "x-cpu", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
