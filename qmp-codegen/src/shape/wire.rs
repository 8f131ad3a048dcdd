//! Questions of back ends other than that of Rust: values of the discriminator, and JSON types.

use std::collections::{HashMap, HashSet};

use super::{common_members, type_of};
use crate::schema::{
    Arguments, Base, Branch, Builtin, Condition, Enum, Member, Schema, TypeId, TypeKind, TypeRef,
    Union,
};

/// The members that a value of the discriminator adds to an object.
pub(crate) struct Case<'a> {
    /// The value.
    pub(crate) name: &'a str,
    /// The struct or union whose members are added; `None` for a value without a branch.
    pub(crate) ty: Option<TypeId>,
    /// The condition under which the case exists.
    pub(crate) condition: Option<&'a Condition>,
}

/// Returns the ids of all types.
pub(crate) fn type_ids(schema: &Schema) -> impl Iterator<Item = TypeId> {
    (0..schema.types.len()).filter_map(|index| u32::try_from(index).ok()).map(TypeId)
}

/// Returns whether arguments or data have a mandatory member. `known` has the types that have been
/// asked for, since many commands can have the same arguments.
pub(crate) fn is_needed(
    schema: &Schema,
    arguments: &Arguments,
    known: &mut HashMap<TypeId, bool>,
) -> bool {
    match arguments {
        Arguments::Inline(members) => members.iter().any(|member| !member.optional),
        Arguments::Named { ty, .. } => *known.entry(*ty).or_insert_with(|| {
            common_members(schema, *ty).into_iter().any(|member| !member.optional)
        }),
    }
}

/// A struct or union as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    /// The struct whose members come first.
    pub(crate) base: Option<TypeId>,
    /// Its own members.
    pub(crate) members: &'a [Member],
    /// The union, if a discriminator selects further members.
    pub(crate) union: Option<&'a Union>,
}

impl<'a> Written<'a> {
    /// Returns the branches, each with its union.
    pub(crate) fn branches(self) -> impl Iterator<Item = (&'a Union, &'a Branch)> {
        let union = self.union.into_iter();
        union.flat_map(|union| union.branches.iter().map(move |branch| (union, branch)))
    }
}

/// Returns a struct or union as it is written; `None` for other types.
pub(crate) fn written(schema: &Schema, id: TypeId) -> Option<Written<'_>> {
    Some(match &type_of(schema, id).kind {
        TypeKind::Struct(data) => Written { base: data.base, members: &data.members, union: None },
        TypeKind::Union(union) => match &union.base {
            Base::Named(base) => Written { base: Some(*base), members: &[], union: Some(union) },
            Base::Inline(members) => Written { base: None, members, union: Some(union) },
        },
        TypeKind::Enum(_) | TypeKind::Alternate(_) => return None,
    })
}

/// Returns the types that are the base or a branch of another.
pub(crate) fn parts(schema: &Schema) -> HashSet<TypeId> {
    let mut parts = HashSet::new();
    for object in type_ids(schema).filter_map(|id| written(schema, id)) {
        parts.extend(object.base);
        parts.extend(object.branches().map(|(_, branch)| branch.ty));
    }
    parts
}

/// Returns the cases of a union: its branches in their order, then the values that have none.
pub(crate) fn cases<'a>(schema: &'a Schema, union: &'a Union) -> Vec<Case<'a>> {
    let branches = union.branches.iter().map(|branch| Case {
        name: &branch.name,
        ty: Some(branch.ty),
        condition: branch.condition.as_ref(),
    });
    let named: HashSet<&str> = union.branches.iter().map(|branch| branch.name.as_str()).collect();
    let rest = discriminator_values(schema, union)
        .map_or(&[][..], |values| &values.values)
        .iter()
        .filter(|value| !named.contains(value.name.as_str()))
        .map(|value| Case { name: &value.name, ty: None, condition: value.condition.as_ref() });
    branches.chain(rest).collect()
}

/// Returns the enumeration of a union's discriminator.
pub(crate) fn discriminator_values<'a>(schema: &'a Schema, union: &Union) -> Option<&'a Enum> {
    match &type_of(schema, union.discriminator_type).kind {
        TypeKind::Enum(values) => Some(values),
        _ => None,
    }
}

/// Returns the innermost element type of nested arrays, and the number of arrays around it.
pub(crate) fn innermost(mut ty: &TypeRef) -> (&TypeRef, usize) {
    let mut depth = 0;
    while let TypeRef::Array(element) = ty {
        ty = element;
        depth += 1;
    }
    (ty, depth)
}

/// The values of the built-in enumeration `QType`.
pub(crate) const QTYPE_VALUES: [&str; 7] =
    ["none", "qnull", "qnum", "qstring", "qdict", "qlist", "qbool"];

/// The JSON types of built-in types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Integer,
    Number,
    String,
    Boolean,
    Null,
    Any,
}

/// Returns the JSON type of a built-in type.
pub(crate) fn builtin_kind(builtin: Builtin) -> Kind {
    match builtin {
        Builtin::Str | Builtin::QType => Kind::String,
        Builtin::Number => Kind::Number,
        Builtin::Bool => Kind::Boolean,
        Builtin::Null => Kind::Null,
        Builtin::Any => Kind::Any,
        Builtin::Int
        | Builtin::Int8
        | Builtin::Int16
        | Builtin::Int32
        | Builtin::Int64
        | Builtin::Uint8
        | Builtin::Uint16
        | Builtin::Uint32
        | Builtin::Uint64
        | Builtin::Size => Kind::Integer,
    }
}

/// Returns the least and the greatest value of an integer type.
pub(crate) fn range(builtin: Builtin) -> (i128, i128) {
    let signed = |bits: u32| (-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
    let unsigned = |bits: u32| (0, (1 << bits) - 1);
    match builtin {
        Builtin::Int8 => signed(8),
        Builtin::Int16 => signed(16),
        Builtin::Int32 => signed(32),
        Builtin::Uint8 => unsigned(8),
        Builtin::Uint16 => unsigned(16),
        Builtin::Uint32 => unsigned(32),
        Builtin::Uint64 | Builtin::Size => unsigned(64),
        _ => signed(64),
    }
}

/// Returns the name of the JSON type of a built-in type.
pub(crate) fn builtin_json_type(builtin: Builtin) -> &'static str {
    match builtin_kind(builtin) {
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::String => "string",
        Kind::Boolean => "boolean",
        Kind::Null => "null",
        Kind::Any => "any",
    }
}

/// Returns the name of the JSON type of a type; `alternate` for alternates, which have several.
pub(crate) fn json_type(schema: &Schema, ty: &TypeRef) -> &'static str {
    match ty {
        TypeRef::Builtin(builtin) => builtin_json_type(*builtin),
        TypeRef::Array(_) => "array",
        TypeRef::Defined(id) => match type_of(schema, *id).kind {
            TypeKind::Enum(_) => "string",
            TypeKind::Struct(_) | TypeKind::Union(_) => "object",
            TypeKind::Alternate(_) => "alternate",
        },
    }
}

/// Returns the name of a built-in type in a schema.
pub(crate) fn builtin_name(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::Str => "str",
        Builtin::Number => "number",
        Builtin::Int => "int",
        Builtin::Int8 => "int8",
        Builtin::Int16 => "int16",
        Builtin::Int32 => "int32",
        Builtin::Int64 => "int64",
        Builtin::Uint8 => "uint8",
        Builtin::Uint16 => "uint16",
        Builtin::Uint32 => "uint32",
        Builtin::Uint64 => "uint64",
        Builtin::Size => "size",
        Builtin::Bool => "bool",
        Builtin::Null => "null",
        Builtin::Any => "any",
        Builtin::QType => "QType",
    }
}
