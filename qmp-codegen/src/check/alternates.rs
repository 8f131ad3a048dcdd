//! Alternates: JSON must tell their alternatives apart.

use crate::ast::{Alternative, Body};
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};
use crate::schema::Builtin;

use super::index::{Index, Lookup};
use super::references::with_article;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for definition in index.definitions() {
        if let Body::Alternate { alternatives } = &definition.body {
            check_alternatives(index, alternatives, &mut Scope::of(report, definition));
        }
    }
}

/// The JSON types that an alternative can be mistaken for.
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
    let mut taken: Vec<(Json, &Alternative)> = Vec::new();
    for alternative in alternatives {
        let name = &alternative.ty.name;
        let types = match json_types(index, alternative) {
            Ok(types) => types,
            Err(None) => continue,
            Err(Some(what)) => {
                let message = format!(
                    "alternative '{}' cannot be '{}', {what}",
                    alternative.name.text, name.text
                );
                scope.error(name.span, message);
                continue;
            }
        };
        let clash = types.iter().find_map(|json| taken.iter().find(|(other, _)| other == json));
        if let Some((json, other)) = clash {
            let message = format!(
                "alternatives '{}' and '{}' cannot be told apart",
                alternative.name.text, other.name.text
            );
            let mut error = Diagnostic::error(alternative.name.span, message)
                .related(other.name.span, "the other one");
            error.help = confusion(*json, types.first().copied());
            scope.push(error);
        }
        taken.extend(types.into_iter().map(|json| (json, alternative)));
    }
}

/// Why something is taken for what it is not: where values come from a command line, all are
/// strings.
fn confusion(clash: Json, own: Option<Json>) -> Option<String> {
    if own == Some(Json::String) || clash == Json::String {
        let message = match clash {
            Json::Number => "a string that begins like a number could be meant as one",
            Json::Bool => "the strings 'on' and 'off' could be meant as booleans",
            _ => return None,
        };
        return Some(String::from(message));
    }
    None
}

/// The JSON types that it could be, its own first; or why it cannot be in an alternate.
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
            Builtin::Any => Err(Some(String::from("which can be anything"))),
            _ => Ok(vec![Json::Number]),
        },
        Lookup::Type(_, ty) => match &ty.body {
            Body::Enum { values, .. } => {
                let mut types = vec![Json::String];
                if values.iter().any(|value| matches!(value.name.text.as_str(), "on" | "off")) {
                    types.push(Json::Bool);
                }
                let numeric = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.');
                if values.iter().any(|value| value.name.text.starts_with(numeric)) {
                    types.push(Json::Number);
                }
                Ok(types)
            }
            Body::Struct { .. } | Body::Union { .. } => Ok(vec![Json::Object]),
            _ => Err(Some(format!("which is {} itself", with_article(ty)))),
        },
        Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => Err(None),
    }
}
