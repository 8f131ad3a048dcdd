//! The sides of a comparison.

use super::step::Case;
use crate::schema::{Arguments, Builtin, Feature, Member, Schema, TypeId, TypeKind, TypeRef};
use crate::shape;

/// A type or inline members.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side<'a> {
    Members(&'a [Member]),
    Defined(TypeId),
    Builtin(Builtin),
    /// An array of this type.
    Array(&'a TypeRef),
}

/// The identity of a side.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum SideKey<'a> {
    /// Inline members are identified by their address and number.
    Members(*const Member, usize),
    Defined(TypeId),
    Builtin(Builtin),
    Array(&'a TypeRef),
}

impl<'a> Side<'a> {
    pub(super) const EMPTY: Self = Self::Members(&[]);

    pub(super) fn of(ty: &'a TypeRef) -> Self {
        match ty {
            TypeRef::Builtin(builtin) => Self::Builtin(*builtin),
            TypeRef::Defined(id) => Self::Defined(*id),
            TypeRef::Array(element) => Self::Array(element),
        }
    }

    pub(super) fn of_arguments(arguments: &'a Arguments) -> Self {
        match arguments {
            Arguments::Inline(members) => Self::Members(members),
            Arguments::Named { ty, .. } => Self::Defined(*ty),
        }
    }

    /// Returns the side of a type, or an object without members for `None`.
    pub(super) fn of_optional(ty: Option<&'a TypeRef>) -> Self {
        ty.map_or(Self::EMPTY, Self::of)
    }

    pub(super) fn key(self) -> SideKey<'a> {
        match self {
            Self::Members(members) => SideKey::Members(members.as_ptr(), members.len()),
            Self::Defined(id) => SideKey::Defined(id),
            Self::Builtin(builtin) => SideKey::Builtin(builtin),
            Self::Array(element) => SideKey::Array(element),
        }
    }

    pub(super) fn features(self, schema: &'a Schema) -> &'a [Feature] {
        match self {
            Self::Defined(id) => &shape::type_of(schema, id).definition.features,
            _ => &[],
        }
    }

    /// Returns the JSON type of the side's values.
    pub(super) fn json_type(self, schema: &Schema) -> &'static str {
        match self {
            Self::Members(_) => "object",
            Self::Builtin(builtin) => shape::builtin_json_type(builtin),
            Self::Array(_) => "array",
            Self::Defined(id) => shape::json_type(schema, &TypeRef::Defined(id)),
        }
    }

    /// Returns the members and branches if the side is an object.
    pub(super) fn object(self, schema: &'a Schema) -> Option<Object<'a>> {
        match self {
            Self::Members(members) => {
                Some(Object { members: members.iter().collect(), tag: None, cases: Vec::new() })
            }
            Self::Defined(id) => {
                let (tag, cases) = match &shape::type_of(schema, id).kind {
                    TypeKind::Struct(_) => (None, Vec::new()),
                    TypeKind::Union(union) => {
                        let cases = shape::cases(schema, union);
                        let cases = cases.iter().map(|case| (case.name, case.ty)).collect();
                        (Some(&*union.discriminator), cases)
                    }
                    TypeKind::Enum(_) | TypeKind::Alternate(_) => return None,
                };
                Some(Object { members: shape::common_members(schema, id), tag, cases })
            }
            Self::Builtin(_) | Self::Array(_) => None,
        }
    }
}

/// An object with its base flattened.
pub(super) struct Object<'a> {
    /// The members common to all cases.
    pub(super) members: Vec<&'a Member>,
    /// The member that selects a branch.
    pub(super) tag: Option<&'a str>,
    /// The values of the tag, each with the type whose members it adds.
    pub(super) cases: Vec<(&'a str, Option<TypeId>)>,
}

impl<'a> Object<'a> {
    pub(super) fn member(&self, name: &str) -> Option<&'a Member> {
        self.members.iter().find(|member| member.name == name).copied()
    }

    /// Returns the type of a case. The inner option is `None` if the case adds no members.
    pub(super) fn case(&self, name: &str) -> Option<Option<TypeId>> {
        self.cases.iter().find(|(case, _)| *case == name).map(|(_, ty)| *ty)
    }

    /// Returns the cases that add a member, and the number of those that do not.
    pub(super) fn cases_with(&self, schema: &Schema, name: &str) -> (Vec<&'a str>, usize) {
        let has = |ty: Option<TypeId>| {
            ty.is_some_and(|id| shape::common_members(schema, id).iter().any(|m| m.name == name))
        };
        let (with, without): (Vec<_>, Vec<_>) = self.cases.iter().partition(|(_, ty)| has(*ty));
        (with.into_iter().map(|(case, _)| case).collect(), without.len())
    }

    /// Returns the step to a case in a path.
    pub(super) fn step(&self, case: &'a str) -> Case<'a> {
        Case { tag: self.tag.unwrap_or_default(), value: case }
    }
}
