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

/// The error for arguments that did not decode, after [`check`] has found no fault that it can
/// name: numbers out of range, and alternates.
pub(crate) fn explain(fault: Option<Fault>, error: Option<&DecodeError>) -> QmpError {
    let reason = error.map(DecodeError::reason).unwrap_or_default();
    let desc = match fault {
        Some(Fault::Known(desc)) => desc,
        Some(Fault::Alternate { name }) => {
            let known = reason.split_once("one of the alternatives of ").map(|(_, name)| name);
            let expected = known.unwrap_or("another type");
            format!("Invalid parameter type for '{name}', expected: {expected}")
        }
        None => {
            let path = error.map(DecodeError::path).unwrap_or_default();
            let name = path.rsplit(['.', '$']).next().unwrap_or_default();
            match reason.split_once("expected ").map(|(_, kind)| kind.trim()) {
                Some("i64" | "u64") => {
                    format!("Invalid parameter type for '{name}', expected: integer")
                }
                Some(kind @ ("i8" | "i16" | "i32" | "u8" | "u16" | "u32")) => {
                    let c_name = kind.replace('i', "int").replace('u', "uint");
                    format!("Parameter '{name}' expects {c_name}_t")
                }
                _ => format!("Invalid parameter '{name}': {reason}"),
            }
        }
    };
    QmpError::generic(desc)
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
        let path = self.full();
        Fault::Known(format!("Invalid parameter type for '{path}', expected: {kind}"))
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
        Json::Integer => (value.is_i64() || value.is_u64(), "integer"),
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
