//! Checks alternates: the alternatives must have distinct JSON types.

use crate::ast::{Alternative, Body};
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};
use crate::schema::Builtin;

use super::index::{Index, Lookup};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for definition in index.definitions() {
        if let Body::Alternate { alternatives } = &definition.body {
            check_alternatives(index, alternatives, &mut Scope::of(report, definition));
        }
    }
}

/// The JSON types of alternatives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Json {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

fn check_alternatives(index: &Index<'_>, alternatives: &[Alternative], scope: &mut Scope<'_, '_>) {
    let mut taken: Vec<(Json, Json, &Alternative)> = Vec::new();
    for alternative in alternatives {
        let name = &alternative.ty.name;
        let types = match json_types(index, alternative) {
            Ok(types) => types,
            Err(None) => continue,
            Err(Some(what)) => {
                let message = format!(
                    "alternative '{}' cannot have type '{}', {what}",
                    alternative.name.text, name.text
                );
                scope.error(name.span, message);
                continue;
            }
        };
        let Some(own) = types.first().copied() else { continue };
        // The first of the types that another alternative has.
        let is_taken = |json: &&Json| taken.iter().any(|(other, ..)| other == *json);
        let clash = types.iter().find(is_taken);
        let clash = taken.iter().find(|(other, ..)| Some(other) == clash);
        if let Some((json, other_own, other)) = clash {
            let message = format!(
                "alternatives '{}' and '{}' cannot be distinguished",
                alternative.name.text, other.name.text
            );
            let error = Diagnostic::error(alternative.name.span, message)
                .related(other.name.span, "the other alternative")
                .help(reason(*json, own == *other_own));
            scope.push(error);
        }
        for json in types {
            taken.push((json, own, alternative));
        }
    }
}

/// Returns why two alternatives cannot be distinguished. On a command line, every value is a
/// string.
fn reason(clash: Json, same_type: bool) -> &'static str {
    match clash {
        Json::Number if !same_type => "on a command line, a string can look like a number",
        Json::Bool if !same_type => "on a command line, 'on' and 'off' can be strings or booleans",
        Json::Null => "both are null in JSON",
        Json::Bool => "both are booleans in JSON",
        Json::Number => "both are numbers in JSON",
        Json::String => "both are strings in JSON",
        Json::Array => "both are arrays in JSON",
        Json::Object => "both are objects in JSON",
    }
}

/// Returns the JSON types that an alternative can be mistaken for, beginning with its own. Returns
/// an error if its type cannot be in an alternate, with the reason unless it has been reported.
fn json_types(index: &Index<'_>, alternative: &Alternative) -> Result<Vec<Json>, Option<String>> {
    let lookup = index.lookup(&alternative.ty.name.text);
    if alternative.ty.array {
        return match lookup {
            Lookup::Builtin(_) | Lookup::Type(..) => Ok(vec![Json::Array]),
            _ => Err(None),
        };
    }
    match lookup {
        Lookup::Builtin(builtin) => match builtin {
            Builtin::Str => Ok(vec![Json::String, Json::Number, Json::Bool]),
            Builtin::QType => Ok(vec![Json::String]),
            Builtin::Bool => Ok(vec![Json::Bool]),
            Builtin::Null => Ok(vec![Json::Null]),
            Builtin::Any => Err(Some(String::from("which accepts every JSON value"))),
            _ => Ok(vec![Json::Number]),
        },
        Lookup::Type(position, ty) => match &ty.body {
            Body::Enum { .. } => {
                let mut types = vec![Json::String];
                if index.has_switch(position) {
                    types.push(Json::Bool);
                }
                if index.has_numeric(position) {
                    types.push(Json::Number);
                }
                Ok(types)
            }
            Body::Struct { .. } | Body::Union { .. } => Ok(vec![Json::Object]),
            _ => Err(Some(format!("which is itself {}", ty.with_article()))),
        },
        Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => Err(None),
    }
}
