//! The description of commands, events and types that `query-qmp-schema` returns.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use serde_json::Value;

/// A parsed `query-qmp-schema` reply.
#[derive(Debug, Default)]
pub(crate) struct Introspection {
    /// The entries as received, for replies.
    entries: Vec<Value>,
    shapes: Vec<Shape>,
    /// The indices of entries. Commands, events and types share one namespace.
    by_name: HashMap<String, usize, BuildHasherDefault<NameHasher>>,
}

/// A hasher for names (FNV-1a). The names are the server's, so that no client can make them collide.
#[derive(Debug)]
struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

/// A command, an event or a type. Entries refer to types by name.
#[derive(Debug)]
pub(crate) enum Shape {
    Builtin(Json),
    Enum(Vec<String>),
    Array(String),
    Object(Object),
    /// An alternate, with the types of its alternatives.
    Alternate(Vec<String>),
    Command {
        arguments: String,
        returns: String,
        allow_oob: bool,
    },
    Event(String),
}

/// An error in introspection data.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is not a JSON array. The string is the JSON parser's message.
    Json(String),
    /// The entry with this index has no name.
    Unnamed(usize),
    /// Two entries have this name.
    Duplicate(String),
    /// The entry with this name has an unknown `meta-type`.
    UnknownMetaType(String),
    /// An entry refers to a type that does not exist.
    UnknownType {
        /// The name of the entry.
        name: String,
        /// The name of the missing type.
        reference: String,
    },
}

impl fmt::Debug for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "SchemaError", self, format_args!(""))
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "introspection is not a JSON array: {error}"),
            Self::Unnamed(at) => write!(f, "entry {at} of the introspection has no name"),
            Self::Duplicate(name) => {
                write!(f, "the introspection has two entries with the name {name:?}")
            }
            Self::UnknownMetaType(name) => {
                write!(f, "the introspection's entry {name:?} has an unknown meta-type")
            }
            Self::UnknownType { name, reference } => write!(
                f,
                "the introspection's entry {name:?} refers to the type {reference:?}, which does \
                 not exist"
            ),
        }
    }
}

impl std::error::Error for SchemaError {}

/// The JSON type of a built-in type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Json {
    String,
    Number,
    Integer,
    Boolean,
    Null,
    Any,
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) members: Vec<Member>,
    /// The name of the discriminator.
    pub(crate) tag: Option<String>,
    /// The type of the branch that each value of the discriminator selects.
    pub(crate) branches: HashMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) shape: String,
    pub(crate) optional: bool,
}

impl Introspection {
    /// Parses an array of `SchemaInfo`.
    pub(crate) fn parse(text: &str) -> Result<Self, SchemaError> {
        let entries: Vec<Value> =
            serde_json::from_str(text).map_err(|error| SchemaError::Json(error.to_string()))?;
        Self::from_entries(entries)
    }

    pub(crate) fn from_entries(entries: Vec<Value>) -> Result<Self, SchemaError> {
        let mut by_name = HashMap::default();
        for (at, entry) in entries.iter().enumerate() {
            let name = string(entry, "name");
            if name.is_empty() {
                return Err(SchemaError::Unnamed(at));
            }
            if by_name.insert(name.clone(), at).is_some() {
                return Err(SchemaError::Duplicate(name));
            }
        }
        let shapes = entries.iter().map(shape).collect::<Result<Vec<_>, _>>()?;
        let introspection = Self { entries, shapes, by_name };
        introspection.check_references()?;
        Ok(introspection)
    }

    fn check_references(&self) -> Result<(), SchemaError> {
        for (shape, entry) in self.shapes.iter().zip(&self.entries) {
            for reference in shape.refers_to() {
                match self.shape(reference) {
                    Some(Shape::Command { .. } | Shape::Event(_)) | None => {
                        let (name, reference) = (string(entry, "name"), reference.to_owned());
                        return Err(SchemaError::UnknownType { name, reference });
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    pub(crate) fn entries(&self) -> &[Value] {
        &self.entries
    }

    /// Returns the names of all commands, in the order of the schema.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        let entries = self.shapes.iter().zip(&self.entries);
        let commands = entries.filter(|(shape, _)| matches!(shape, Shape::Command { .. }));
        commands.filter_map(|(_, entry)| entry.get("name")?.as_str())
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(*self.by_name.get(name)?)
    }

    /// Returns the entries of the given commands and events, and of all types that they refer to.
    pub(crate) fn subset(&self, roots: &[&str]) -> Vec<&Value> {
        let mut queue: Vec<usize> = self
            .shapes
            .iter()
            .zip(&self.entries)
            .enumerate()
            .filter(|(_, (shape, entry))| {
                let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
                matches!(shape, Shape::Command { .. } | Shape::Event(_)) && roots.contains(&name)
            })
            .map(|(at, _)| at)
            .collect();
        let mut reached: HashSet<usize> = queue.iter().copied().collect();
        let mut next = 0;
        while let Some(&at) = queue.get(next) {
            for name in self.shapes[at].refers_to() {
                let other = self.by_name.get(name).copied();
                queue.extend(other.filter(|&other| reached.insert(other)));
            }
            next += 1;
        }
        queue.iter().map(|at| &self.entries[*at]).collect()
    }
}

impl Shape {
    fn refers_to(&self) -> Vec<&str> {
        match self {
            Self::Builtin(_) | Self::Enum(_) => Vec::new(),
            Self::Array(element) => vec![element],
            Self::Object(object) => {
                let members = object.members.iter().map(|member| member.shape.as_str());
                members.chain(object.branches.values().map(String::as_str)).collect()
            }
            Self::Alternate(members) => members.iter().map(String::as_str).collect(),
            Self::Command { arguments, returns, .. } => vec![arguments, returns],
            Self::Event(data) => vec![data],
        }
    }
}

fn shape(entry: &Value) -> Result<Shape, SchemaError> {
    Ok(match string(entry, "meta-type").as_str() {
        "builtin" => Shape::Builtin(match string(entry, "json-type").as_str() {
            "string" => Json::String,
            "number" => Json::Number,
            "int" => Json::Integer,
            "boolean" => Json::Boolean,
            "null" => Json::Null,
            _ => Json::Any,
        }),
        "enum" => {
            let values = list(entry, "values").iter();
            Shape::Enum(values.filter_map(Value::as_str).map(str::to_owned).collect())
        }
        "array" => Shape::Array(string(entry, "element-type")),
        "object" => Shape::Object(object(entry)),
        "alternate" => {
            Shape::Alternate(list(entry, "members").iter().map(|m| string(m, "type")).collect())
        }
        "command" => Shape::Command {
            arguments: string(entry, "arg-type"),
            returns: string(entry, "ret-type"),
            allow_oob: entry.get("allow-oob").and_then(Value::as_bool).unwrap_or_default(),
        },
        "event" => Shape::Event(string(entry, "arg-type")),
        _ => return Err(SchemaError::UnknownMetaType(string(entry, "name"))),
    })
}

fn object(entry: &Value) -> Object {
    let member = |member: &Value| Member {
        name: string(member, "name"),
        shape: string(member, "type"),
        optional: member.get("default").is_some(),
    };
    let branch = |branch: &Value| (string(branch, "case"), string(branch, "type"));
    Object {
        members: list(entry, "members").iter().map(member).collect(),
        tag: entry.get("tag").and_then(Value::as_str).map(str::to_owned),
        branches: list(entry, "variants").iter().map(branch).collect(),
    }
}

fn string(entry: &Value, member: &str) -> String {
    entry.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'v>(entry: &'v Value, member: &str) -> &'v [Value] {
    entry.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
