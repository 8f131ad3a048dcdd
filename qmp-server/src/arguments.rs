//! Whether arguments fit a command, and what QEMU says where they do not.
//!
//! A client that is wrong about a command should read here what it would read from QEMU: the same
//! fault first, in the same words.

use std::collections::HashSet;

use qmp_types::{DecodeError, QmpError};
use serde_json::{Map, Value};

use crate::introspection::{Introspection, Json, Object, Shape};

/// What is wrong with arguments.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// In QEMU's words.
    Known(String),
    /// The value of an alternate is of none of its types. QEMU names the alternate, which
    /// introspection hides: decoding the arguments tells.
    Alternate {
        /// The member; elements of an array have no name, and QEMU says `null`.
        name: String,
    },
    /// An integer is none. QEMU has one text for signed and one for unsigned, which introspection
    /// shows alike: decoding tells.
    Integer {
        /// Where it stands.
        path: String,
    },
}

/// Checks the arguments of `command`. One that the introspection does not know has no rules.
pub(crate) fn check(
    introspection: &Introspection,
    command: &str,
    arguments: &Map<String, Value>,
    open: bool,
) -> Result<(), Fault> {
    let Some(Shape::Command { arguments: shape, .. }) = introspection.shape(command) else {
        return Ok(());
    };
    let Some(Shape::Object(object)) = introspection.shape(shape) else { return Ok(()) };
    Check { introspection }.object(object, arguments, None, open)
}

/// How many objects and arrays stand in each other.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// The error for arguments that did not decode, or in which [`check`] found what decoding explains.
pub(crate) fn explain(fault: Option<Fault>, error: Option<&DecodeError>) -> QmpError {
    let reason = error.map(DecodeError::reason).unwrap_or_default();
    let expected = reason.split_once("expected ").map(|(_, kind)| kind.trim()).unwrap_or_default();
    QmpError::generic(match fault {
        Some(Fault::Known(desc)) => desc,
        Some(Fault::Alternate { name }) => {
            let known = expected.strip_prefix("one of the alternatives of ");
            invalid_type(&name, known.unwrap_or("another type"))
        }
        Some(Fault::Integer { path }) if expected.starts_with('u') => expects(&path, "uint64"),
        Some(Fault::Integer { path }) => invalid_type(&path, "integer"),
        None => {
            let path = error.map(DecodeError::path).unwrap_or_default();
            let path = path.trim_start_matches("$").trim_start_matches('.');
            let name = if path.ends_with(']') { "null" } else { path };
            let name = name.rsplit('.').next().unwrap_or_default();
            match expected {
                "i64" => invalid_type(path, "integer"),
                "u64" => expects(path, "uint64"),
                "i8" | "i16" | "i32" | "u8" | "u16" | "u32" => {
                    let c_name = expected.replace('i', "int").replace('u', "uint");
                    expects(name, &format!("{c_name}_t"))
                }
                _ => format!("Invalid parameter '{path}': {reason}"),
            }
        }
    })
}

fn invalid_type(name: &str, expected: &str) -> String {
    format!("Invalid parameter type for '{name}', expected: {expected}")
}

fn expects(name: &str, expected: &str) -> String {
    format!("Parameter '{name}' expects {expected}")
}

/// Where a value stands, from the inside out.
#[derive(Clone, Copy)]
struct Path<'p> {
    outer: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Member(&'p str),
    Element(usize),
}

impl Path<'_> {
    /// The whole path: `actions[0].data.device`.
    fn full(&self) -> String {
        let outer = self.outer.map(Path::full).unwrap_or_default();
        match self.step {
            Step::Member(name) if outer.is_empty() => name.to_owned(),
            Step::Member(name) => format!("{outer}.{name}"),
            Step::Element(at) => format!("{outer}[{at}]"),
        }
    }

    /// The last step alone, as QEMU's checks of enumerations and alternates know it.
    fn name(&self) -> &str {
        match self.step {
            Step::Member(name) => name,
            Step::Element(_) => "null",
        }
    }

    fn expected(&self, kind: &str) -> Fault {
        Fault::Known(invalid_type(&self.full(), kind))
    }
}

struct Check<'i> {
    introspection: &'i Introspection,
}

impl Check<'_> {
    /// Checks the members of an object in the order of the schema, then looks for others. An
    /// `open` object may have others.
    fn object(
        &self,
        object: &Object,
        members: &Map<String, Value>,
        at: Option<&Path<'_>>,
        open: bool,
    ) -> Result<(), Fault> {
        let mut known = HashSet::new();
        self.members(object, members, at, &mut known)?;
        match members.keys().find(|name| !open && !known.contains(name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let path = Path { outer: at, step: Step::Member(name) }.full();
                Err(Fault::Known(format!("Parameter '{path}' is unexpected")))
            }
        }
    }

    fn members<'o>(
        &'o self,
        object: &'o Object,
        members: &Map<String, Value>,
        at: Option<&Path<'_>>,
        known: &mut HashSet<&'o str>,
    ) -> Result<(), Fault> {
        for member in &object.members {
            let path = Path { outer: at, step: Step::Member(&member.name) };
            match members.get(&member.name) {
                Some(value) => self.value(&member.shape, value, &path)?,
                None if member.optional => {}
                None => {
                    return Err(Fault::Known(format!("Parameter '{}' is missing", path.full())));
                }
            }
            known.insert(&member.name);
        }
        let tag = object.tag.as_ref().and_then(|tag| members.get(tag)).and_then(Value::as_str);
        let variant = tag.and_then(|tag| object.variants.get(tag));
        match variant.and_then(|variant| self.introspection.shape(variant)) {
            Some(Shape::Object(variant)) => self.members(variant, members, at, known),
            _ => Ok(()),
        }
    }

    fn value(&self, shape: &str, value: &Value, path: &Path<'_>) -> Result<(), Fault> {
        match self.introspection.shape(shape) {
            Some(Shape::Builtin(json)) => builtin(*json, value, path),
            Some(Shape::Enum(values)) => enumeration(values, value, path),
            Some(Shape::Array(element)) => {
                let Value::Array(elements) = value else { return Err(path.expected("array")) };
                elements.iter().enumerate().try_for_each(|(at, value)| {
                    self.value(element, value, &Path { outer: Some(path), step: Step::Element(at) })
                })
            }
            Some(Shape::Object(object)) => {
                let Value::Object(members) = value else { return Err(path.expected("object")) };
                self.object(object, members, Some(path), false)
            }
            Some(Shape::Alternate(alternatives)) => {
                match alternatives.iter().find(|shape| self.is_of(shape, value)) {
                    Some(shape) => self.value(shape, value, path),
                    None => Err(Fault::Alternate { name: path.name().to_owned() }),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether the value's JSON type is that of the shape: it alone selects an alternative.
    fn is_of(&self, shape: &str, value: &Value) -> bool {
        match self.introspection.shape(shape) {
            Some(Shape::Builtin(json)) => match json {
                Json::String => value.is_string(),
                Json::Number | Json::Integer => value.is_number(),
                Json::Boolean => value.is_boolean(),
                Json::Null => value.is_null(),
                Json::Any => true,
            },
            Some(Shape::Enum(_)) => value.is_string(),
            Some(Shape::Array(_)) => value.is_array(),
            Some(Shape::Object(_)) => value.is_object(),
            _ => false,
        }
    }
}

fn builtin(json: Json, value: &Value, path: &Path<'_>) -> Result<(), Fault> {
    let (fits, name) = match json {
        Json::String => (value.is_string(), "string"),
        Json::Number => (value.is_number(), "number"),
        Json::Integer if value.is_i64() || value.is_u64() => (true, "integer"),
        Json::Integer => return Err(Fault::Integer { path: path.full() }),
        Json::Boolean => (value.is_boolean(), "boolean"),
        Json::Null => (value.is_null(), "null"),
        Json::Any => (true, "value"),
    };
    if fits { Ok(()) } else { Err(path.expected(name)) }
}

fn enumeration(values: &[String], value: &Value, path: &Path<'_>) -> Result<(), Fault> {
    match value.as_str() {
        None => Err(path.expected("string")),
        Some(value) if values.iter().any(|known| known == value) => Ok(()),
        Some(value) => {
            let name = path.name();
            Err(Fault::Known(format!("Parameter '{name}' does not accept value '{value}'")))
        }
    }
}
