//! Checks the arguments of commands, with QEMU's error messages.
//!
//! Invalid arguments get the reply that QEMU would send: if there are several errors, the same one
//! is reported first, with the same text.

use std::collections::HashSet;

use qmp_types::{DecodeError, QmpError};
use serde_json::{Map, Value};

use crate::introspection::{Introspection, Json, Object, Shape};

/// An error in arguments.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// An error with QEMU's message for it.
    Known(String),
    /// A value that has the type of none of the alternatives. QEMU's message contains the name of
    /// the alternate, which introspection hides; it is taken from the error of decoding.
    Alternate {
        /// The name of the member. Elements of an array have no name, and QEMU prints `null`.
        name: String,
    },
    /// A value that is not an integer. QEMU has different messages for signed and unsigned types,
    /// which introspection does not distinguish; the type is taken from the error of decoding.
    Integer {
        /// The path of the value.
        path: String,
    },
}

/// Checks the arguments of `command`, unless introspection does not list the command. The arguments
/// of an `open` command may have other members.
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

/// Returns the error reply for arguments that failed to decode, or in which [`check`] has found a
/// fault that only decoding can explain.
pub(crate) fn explain(fault: Option<Fault>, error: Option<&DecodeError>) -> QmpError {
    let expected = error.map(expected_type).unwrap_or_default();
    QmpError::generic(match (fault, error) {
        (Some(Fault::Known(desc)), _) => desc,
        (Some(Fault::Alternate { name }), _) => {
            let alternate = expected.strip_prefix("one of the alternatives of ");
            invalid_type(&name, alternate.unwrap_or("another type"))
        }
        (Some(Fault::Integer { path }), _) if expected.starts_with('u') => {
            expects_type(&path, "uint64")
        }
        (Some(Fault::Integer { path }), _) => invalid_type(&path, "integer"),
        (None, Some(error)) => explain_decoding(error),
        (None, None) => "invalid arguments".to_owned(),
    })
}

/// Returns the message for an error that only decoding has found, such as an integer that is out of
/// range.
fn explain_decoding(error: &DecodeError) -> String {
    let path = error.path().trim_start_matches('$').trim_start_matches('.');
    let name = match path.ends_with(']') {
        true => "null",
        false => path.rsplit('.').next().unwrap_or_default(),
    };
    match expected_type(error) {
        "i64" => invalid_type(path, "integer"),
        "u64" => expects_type(path, "uint64"),
        expected @ ("i8" | "i16" | "i32" | "u8" | "u16" | "u32") => {
            let c_name = expected.replace('i', "int").replace('u', "uint");
            expects_type(name, &format!("{c_name}_t"))
        }
        _ => format!("Invalid parameter '{path}': {}", error.reason()),
    }
}

/// Returns the part of serde's message that says which type was expected.
fn expected_type(error: &DecodeError) -> &str {
    error.reason().split_once("expected ").map(|(_, expected)| expected.trim()).unwrap_or_default()
}

/// Returns arguments in which the negative number that an error is about is replaced by the unsigned
/// one with the same bits, if the type is unsigned and has 64 bits.
pub(crate) fn without_sign(text: &str, error: &DecodeError) -> Option<String> {
    if expected_type(error) != "u64" {
        return None;
    }
    let mut arguments: Value = serde_json::from_str(text).ok()?;
    let mut place = &mut arguments;
    let path = error.path().trim_start_matches('$').replace('[', ".[");
    for step in path.split('.').filter(|step| !step.is_empty()) {
        place = match step.strip_prefix('[').and_then(|step| step.strip_suffix(']')) {
            Some(index) => place.get_mut(index.parse::<usize>().ok()?)?,
            None => place.get_mut(step)?,
        };
    }
    let negative = place.as_i64().filter(|number| *number < 0)?;
    *place = u64::from_ne_bytes(negative.to_ne_bytes()).into();
    serde_json::to_string(&arguments).ok()
}

fn invalid_type(name: &str, expected: &str) -> String {
    format!("Invalid parameter type for '{name}', expected: {expected}")
}

fn expects_type(name: &str, expected: &str) -> String {
    format!("Parameter '{name}' expects {expected}")
}

/// The path of a value, as a list from the inside out.
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
    /// Returns the whole path, such as `actions[0].data.device`.
    fn full(&self) -> String {
        let outer = self.outer.map(Path::full).unwrap_or_default();
        match self.step {
            Step::Member(name) if outer.is_empty() => name.to_owned(),
            Step::Member(name) => format!("{outer}.{name}"),
            Step::Element(at) => format!("{outer}[{at}]"),
        }
    }

    /// Returns the last step, which is all that QEMU reports for enumerations and alternates.
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
    /// Checks the members of an object in the order of the schema, then looks for unexpected ones
    /// unless the object is `open`.
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

    /// Checks the members that the schema lists, and adds their names to `known`.
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
        let branch = tag.and_then(|tag| object.branches.get(tag));
        match branch.and_then(|branch| self.introspection.shape(branch)) {
            Some(Shape::Object(branch)) => self.members(branch, members, at, known),
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
                match alternatives.iter().find(|shape| self.has_json_type(shape, value)) {
                    Some(shape) => self.value(shape, value, path),
                    None => Err(Fault::Alternate { name: path.name().to_owned() }),
                }
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the value has the shape's JSON type, which selects an alternative.
    fn has_json_type(&self, shape: &str, value: &Value) -> bool {
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
