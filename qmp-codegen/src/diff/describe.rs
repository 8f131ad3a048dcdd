//! Describes types without their names, and relates them.

use super::object::Side;
use crate::schema::{Builtin, Schema, TypeKind, TypeRef};
use crate::shape::{self, Kind};

/// Describes a type as on the wire, such as `int` or `[str]`.
pub(super) fn describe(schema: &Schema, side: Side<'_>) -> String {
    match side {
        Side::Members(_) => String::from("object"),
        Side::Builtin(builtin) => shape::builtin_name(builtin).to_owned(),
        Side::Array(element) => format!("[{}]", describe(schema, Side::of(element))),
        Side::Defined(id) => match &shape::type_of(schema, id).kind {
            TypeKind::Enum(_) => String::from("enum"),
            TypeKind::Struct(_) | TypeKind::Union(_) => String::from("object"),
            TypeKind::Alternate(alternate) => {
                let alternatives = alternate.alternatives.iter();
                let types = alternatives.map(|one| describe_alternative(schema, &one.ty));
                types.collect::<Vec<_>>().join(" or ")
            }
        },
    }
}

/// Describes the type of an alternative. An alternate, which is invalid there, is not expanded.
pub(super) fn describe_alternative(schema: &Schema, ty: &TypeRef) -> String {
    match shape::json_type(schema, ty) {
        json_type @ ("object" | "alternate") => json_type.to_owned(),
        _ => describe(schema, Side::of(ty)),
    }
}

/// The relation of a new type to an old one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Relation {
    Same,
    /// The new type has all values of the old one, and more.
    Wider,
    /// The new type has only some of the values of the old one.
    Narrower,
    Other,
}

/// Relates built-in types. With `ranges`, distinguishes integer types.
pub(super) fn relate(old: Builtin, new: Builtin, ranges: bool) -> Relation {
    match (shape::builtin_kind(old), shape::builtin_kind(new)) {
        (Kind::Integer, Kind::Integer) if ranges => {
            relate_ranges(shape::range(old), shape::range(new))
        }
        (old, new) if old == new => Relation::Same,
        (Kind::Integer, Kind::Number) | (_, Kind::Any) => Relation::Wider,
        (Kind::Number, Kind::Integer) | (Kind::Any, _) => Relation::Narrower,
        _ => Relation::Other,
    }
}

fn relate_ranges(old: (i128, i128), new: (i128, i128)) -> Relation {
    let contains = |a: (i128, i128), b: (i128, i128)| a.0 <= b.0 && a.1 >= b.1;
    match (contains(new, old), contains(old, new)) {
        (true, true) => Relation::Same,
        (true, false) => Relation::Wider,
        (false, true) => Relation::Narrower,
        (false, false) => Relation::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_types_relate_by_range() {
        for (old, new, relation) in [
            (Builtin::Int, Builtin::Int64, Relation::Same),
            (Builtin::Uint8, Builtin::Uint32, Relation::Wider),
            (Builtin::Uint32, Builtin::Int, Relation::Wider),
            (Builtin::Int, Builtin::Size, Relation::Other),
            (Builtin::Int16, Builtin::Int8, Relation::Narrower),
            (Builtin::Int, Builtin::Number, Relation::Wider),
            (Builtin::Any, Builtin::Str, Relation::Narrower),
            (Builtin::Str, Builtin::Bool, Relation::Other),
        ] {
            assert_eq!(relate(old, new, true), relation, "{old:?} and {new:?}");
        }
        assert_eq!(relate(Builtin::Uint8, Builtin::Int, false), Relation::Same);
    }
}
