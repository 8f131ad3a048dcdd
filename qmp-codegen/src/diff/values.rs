//! Values of types.

use serde_json::Value;

use super::object::Side;
use crate::schema::{Builtin, Member, Schema, TypeKind, TypeRef};
use crate::shape::{self, Kind};

/// The text that recordings have in the place of a secret. It fits every type.
const SECRET: &str = "<secret>";

/// The greatest depth of branches that are unions themselves.
const MAX_BRANCHES: usize = 64;

/// Returns whether a recording has masked a value.
pub(super) fn is_secret(value: &Value) -> bool {
    value == SECRET
}

/// Returns whether a value is one of a type, with all that it contains.
pub(super) fn fits_deeply(schema: &Schema, side: Side<'_>, value: &Value, ranges: bool) -> bool {
    if is_secret(value) {
        return true;
    }
    if let Some(members) = members(schema, side, value) {
        let Some(object) = value.as_object() else { return false };
        let is_known = |name: &String| members.iter().any(|member| member.name == *name);
        return object.keys().all(is_known)
            && members.iter().all(|member| match object.get(&member.name) {
                Some(value) => fits_deeply(schema, Side::of(&member.ty), value, ranges),
                None => member.optional,
            });
    }
    if !fits(schema, side, value, ranges) {
        return false;
    }
    match side {
        Side::Array(element) => {
            let element = Side::of(element);
            let mut elements = value.as_array().into_iter().flatten();
            elements.all(|value| fits_deeply(schema, element, value, ranges))
        }
        Side::Defined(id) => match &shape::type_of(schema, id).kind {
            TypeKind::Alternate(alternate) => alternate.alternatives.iter().any(|one| {
                !is_alternate(schema, &one.ty)
                    && fits_deeply(schema, Side::of(&one.ty), value, ranges)
            }),
            _ => true,
        },
        Side::Builtin(_) | Side::Members(_) => true,
    }
}

/// Returns the members that a value can have, with those of the branches that it selects, if the type
/// is an object.
fn members<'a>(schema: &'a Schema, side: Side<'a>, value: &Value) -> Option<Vec<&'a Member>> {
    let mut object = side.object(schema)?;
    let mut members = object.members.clone();
    for _ in 0..MAX_BRANCHES {
        let case = object.tag.and_then(|tag| value.get(tag)).and_then(Value::as_str);
        let branch = case.and_then(|case| object.case(case)).flatten();
        let Some(branch) = branch.and_then(|id| Side::Defined(id).object(schema)) else { break };
        members.extend(&branch.members);
        object = branch;
    }
    Some(members)
}

/// Returns whether a value is one of a type, apart from what it contains.
pub(super) fn fits(schema: &Schema, side: Side<'_>, value: &Value, ranges: bool) -> bool {
    match side {
        Side::Members(_) => value.is_object(),
        Side::Array(_) => value.is_array(),
        Side::Builtin(builtin) => fits_builtin(builtin, value, ranges),
        Side::Defined(id) => match &shape::type_of(schema, id).kind {
            TypeKind::Struct(_) | TypeKind::Union(_) => value.is_object(),
            TypeKind::Enum(values) => values.values.iter().any(|one| value == one.name.as_str()),
            TypeKind::Alternate(alternate) => alternate
                .alternatives
                .iter()
                // Alternates are not nested.
                .any(|one| {
                    !is_alternate(schema, &one.ty) && fits(schema, Side::of(&one.ty), value, ranges)
                }),
        },
    }
}

fn is_alternate(schema: &Schema, ty: &TypeRef) -> bool {
    shape::json_type(schema, ty) == "alternate"
}

fn fits_builtin(builtin: Builtin, value: &Value, ranges: bool) -> bool {
    match shape::builtin_kind(builtin) {
        Kind::Any => true,
        Kind::String => value.is_string(),
        Kind::Boolean => value.is_boolean(),
        Kind::Null => value.is_null(),
        Kind::Number => value.is_number(),
        Kind::Integer => {
            let integer = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
            let (least, greatest) = shape::range(builtin);
            integer.is_some_and(|integer| !ranges || (least..=greatest).contains(&integer))
        }
    }
}
