//! Objects as they are on the wire: bases flattened, every discriminator value with its members.

#[cfg(feature = "introspection")]
mod wire;

use crate::schema::{Base, Member, Schema, Type, TypeId, TypeKind};

#[cfg(feature = "introspection")]
pub(crate) use wire::*;

/// Returns the type with an id.
pub(crate) fn type_of(schema: &Schema, id: TypeId) -> &Type {
    &schema.types[id.0 as usize]
}

/// Returns the members that every value of a struct or union has, those of bases first. Other types
/// have none.
pub(crate) fn common_members(schema: &Schema, id: TypeId) -> Vec<&Member> {
    match &type_of(schema, id).kind {
        TypeKind::Struct(_) => struct_members(schema, id),
        TypeKind::Union(union) => match &union.base {
            Base::Named(base) => struct_members(schema, *base),
            Base::Inline(members) => members.iter().collect(),
        },
        TypeKind::Enum(_) | TypeKind::Alternate(_) => Vec::new(),
    }
}

fn struct_members(schema: &Schema, id: TypeId) -> Vec<&Member> {
    let mut chain = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next.filter(|_| chain.len() <= schema.types.len()) {
        let TypeKind::Struct(object) = &type_of(schema, id).kind else {
            break;
        };
        chain.push(object);
        next = object.base;
    }
    let mut members = Vec::new();
    for object in chain.iter().rev() {
        members.extend(&object.members);
    }
    members
}
