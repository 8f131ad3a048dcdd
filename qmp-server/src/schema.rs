//! The description of a server's commands, by which arguments are checked.

use std::collections::HashMap;
use std::sync::Arc;

use qmp_types::{ErrorClass, QmpError};
use serde_json::{Map, Value};

use crate::arguments::{self, explain};
use crate::introspection::{Introspection, SchemaError, Shape};

/// The commands of the protocol itself, which every server has.
pub(crate) const PROTOCOL_COMMANDS: [&str; 4] =
    ["qmp_capabilities", "query-commands", "query-qmp-schema", "query-version"];

/// The command whose arguments no schema lists. Introspection does not tell.
const OPEN_COMMAND: &str = "device_add";

/// The introspection of the protocol's own commands. Names of types are replaced by numbers that the
/// schema does not use.
const PROTOCOL: &str = include_str!("protocol.json");

/// The description of commands, events and types that `query-qmp-schema` returns.
///
/// It is cheap to clone: servers with the same schema can share it.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Introspection>);

impl Schema {
    /// Reads the `INTROSPECTION` constant of a vocabulary, or the return value of
    /// `query-qmp-schema`. The protocol's own commands, such as `query-commands`, are added if they
    /// are missing.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// let schema = qmp_server::Schema::parse(qmp_types::qmp::INTROSPECTION)?;
    /// # }
    /// # Ok::<(), qmp_server::SchemaError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the text is not an array of `SchemaInfo`, or refers to types that it does
    /// not contain.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let introspection = Introspection::parse(text)?;
        let is_missing = |name: &&str| introspection.shape(name).is_none();
        let missing: Vec<&str> = PROTOCOL_COMMANDS.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(Self(Arc::new(introspection)));
        }
        let protocol = Introspection::parse(PROTOCOL)?;
        let added = renamed(&introspection, protocol.subset(&missing));
        let entries = introspection.entries().iter().cloned().chain(added).collect();
        Ok(Self(Arc::new(Introspection::from_entries(entries)?)))
    }

    /// Checks a command as a server with this schema does before it executes it.
    ///
    /// The arguments of `device_add` may have members that the schema does not list, since they are
    /// the properties of the device.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use serde_json::Map;
    ///
    /// let schema = qmp_server::Schema::parse(qmp_types::qmp::INTROSPECTION)?;
    /// let error = schema.check_command("device_del", &Map::new(), false).unwrap_err();
    /// assert_eq!(error.desc, "Parameter 'id' is missing");
    /// # }
    /// # Ok::<(), qmp_server::SchemaError>(())
    /// ```
    ///
    /// # Errors
    /// Returns the server's error, in QEMU's words.
    pub fn check_command(
        &self,
        name: &str,
        arguments: &Map<String, Value>,
        out_of_band: bool,
    ) -> Result<(), QmpError> {
        let Some(Shape::Command { allow_oob, .. }) = self.0.shape(name) else {
            let desc = format!("The command {name} has not been found");
            return Err(QmpError::new(ErrorClass::CommandNotFound, desc));
        };
        if out_of_band && !allow_oob {
            return Err(crate::request::oob_unsupported(name));
        }
        let checked = arguments::check(&self.0, name, arguments, name == OPEN_COMMAND);
        checked.map_err(|fault| explain(Some(fault), None))
    }

    pub(crate) fn introspection(&self) -> &Introspection {
        &self.0
    }
}

/// Gives entries that are to be added names that do not clash with existing ones. Built-in types that
/// exist are left out.
fn renamed(existing: &Introspection, entries: Vec<&Value>) -> Vec<Value> {
    let numbers = existing.entries().iter().filter_map(|entry| name_of(entry).parse::<u64>().ok());
    let mut next = numbers.max().map_or(0, |last| last.saturating_add(1));
    let mut names = HashMap::new();
    for entry in &entries {
        let name = name_of(entry);
        match entry.get("meta-type").and_then(Value::as_str) {
            Some("builtin" | "command" | "array") => {}
            _ => {
                names.insert(name.to_owned(), next.to_string());
                next += 1;
            }
        }
    }
    let is_new = |entry: &&Value| existing.shape(name_of(entry)).is_none();
    let entries = entries.into_iter().map(|entry| rename(entry, &names));
    let mut added: Vec<Value> = entries.collect();
    added.retain(|entry| is_new(&entry));
    added
}

fn rename(entry: &Value, names: &HashMap<String, String>) -> Value {
    let new = |name: &str| {
        let element = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        match (names.get(name), element) {
            (Some(new), _) => new.clone(),
            (None, Some(element)) => match names.get(element) {
                Some(new) => format!("[{new}]"),
                None => name.to_owned(),
            },
            (None, None) => name.to_owned(),
        }
    };
    let mut entry = entry.clone();
    let is_command = entry.get("meta-type").and_then(Value::as_str) == Some("command");
    let own = if is_command { None } else { Some("name") };
    for key in ["arg-type", "ret-type", "element-type"].into_iter().chain(own) {
        replace(&mut entry, key, new);
    }
    for list in ["members", "variants"] {
        let elements = entry.get_mut(list).and_then(Value::as_array_mut);
        for element in elements.into_iter().flatten() {
            replace(element, "type", new);
        }
    }
    entry
}

fn replace(entry: &mut Value, key: &str, new: impl Fn(&str) -> String) {
    if let Some(Value::String(name)) = entry.get_mut(key) {
        *name = new(name);
    }
}

fn name_of(entry: &Value) -> &str {
    entry.get("name").and_then(Value::as_str).unwrap_or_default()
}
