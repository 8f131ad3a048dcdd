//! Documents what a running QEMU has: introspection data has no documentation.

use std::collections::HashMap;

use qmp_codegen::schema::{Arguments, Base, Definition, Feature, Member, Schema, TypeId, TypeKind};

use super::site::builtin;
use super::{Failure, input, names};
use crate::cli::TimeoutArgs;

/// Reads a schema from a file of either kind, or from a running QEMU. If it is introspection data, types
/// have the names that the builtin schema has for them, and its documentation.
pub(super) fn read(source: &str, timeout: TimeoutArgs) -> Result<Schema, Failure> {
    let detected = input::detect_with(source, &names::names(None)?, timeout)?;
    let mut schema = detected.schema;
    if detected.is_introspection {
        for part in builtin::parts()? {
            document(&mut schema, &part.schema);
        }
    }
    Ok(schema)
}

/// Takes the documentation of what another schema has by the same names.
fn document(schema: &mut Schema, known: &Schema) {
    let types: HashMap<_, _> =
        known.types.iter().map(|ty| (ty.definition.name.clone(), ty)).collect();
    for command in &mut schema.commands {
        let name = &command.definition.name;
        let Some(known_command) = known.commands.iter().find(|one| one.definition.name == *name)
        else {
            continue;
        };
        definition(&mut command.definition, &known_command.definition);
        command.read_only = known_command.read_only;
        arguments(&mut command.arguments, &known_command.arguments, known);
    }
    for event in &mut schema.events {
        let name = &event.definition.name;
        let Some(known_event) = known.events.iter().find(|one| one.definition.name == *name) else {
            continue;
        };
        definition(&mut event.definition, &known_event.definition);
        arguments(&mut event.data, &known_event.data, known);
    }
    for ty in &mut schema.types {
        let Some(known_type) = types.get(&ty.definition.name) else { continue };
        definition(&mut ty.definition, &known_type.definition);
        match (&mut ty.kind, &known_type.kind) {
            (TypeKind::Enum(data), TypeKind::Enum(known)) => {
                for value in &mut data.values {
                    let same = known.values.iter().find(|known| known.name == value.name);
                    if let Some(same) = same {
                        value.doc.clone_from(&same.doc);
                        features(&mut value.features, &same.features);
                    }
                }
            }
            (TypeKind::Struct(data), kind) => {
                members(&mut data.members, &members_of(kind, known, 0));
            }
            (TypeKind::Union(union), kind) => {
                if let Base::Inline(inline) = &mut union.base {
                    members(inline, &members_of(kind, known, 0));
                }
            }
            (TypeKind::Alternate(data), TypeKind::Alternate(known)) => {
                for one in &mut data.alternatives {
                    let same = known.alternatives.iter().find(|known| known.name == one.name);
                    if let Some(same) = same {
                        one.doc.clone_from(&same.doc);
                    }
                }
            }
            _ => {}
        }
    }
}

fn definition(definition: &mut Definition, known: &Definition) {
    definition.doc = known.doc.clone();
    features(&mut definition.features, &known.features);
}

fn features(features: &mut [Feature], known: &[Feature]) {
    for feature in features {
        if let Some(known) = known.iter().find(|known| known.name == feature.name) {
            feature.doc.clone_from(&known.doc);
        }
    }
}

fn arguments(arguments: &mut Arguments, known: &Arguments, schema: &Schema) {
    if let Arguments::Inline(inline) = arguments {
        members(inline, &members_of_arguments(known, schema));
    }
}

fn members(members: &mut [Member], known: &[&Member]) {
    for member in members {
        if let Some(known) = known.iter().find(|known| known.name == member.name) {
            member.doc.clone_from(&known.doc);
            member.secret = known.secret;
            features(&mut member.features, &known.features);
        }
    }
}

fn members_of_arguments<'s>(arguments: &'s Arguments, schema: &'s Schema) -> Vec<&'s Member> {
    match arguments {
        Arguments::Inline(members) => members.iter().collect(),
        Arguments::Named { ty, .. } => members_of_type(*ty, schema, 0),
    }
}

fn members_of_type(id: TypeId, schema: &Schema, depth: usize) -> Vec<&Member> {
    let ty = schema.types.get(id.0 as usize);
    ty.map_or_else(Vec::new, |ty| members_of(&ty.kind, schema, depth))
}

/// Returns the members of an object and of its bases, of which introspection data says nothing.
fn members_of<'s>(kind: &'s TypeKind, schema: &'s Schema, depth: usize) -> Vec<&'s Member> {
    /// The greatest number of bases of bases. QEMU's schema has five.
    const MAX_BASES: usize = 32;
    let (base, own): (_, &[Member]) = match kind {
        TypeKind::Struct(data) => (data.base, &data.members),
        TypeKind::Union(union) => match &union.base {
            Base::Named(base) => (Some(*base), &[]),
            Base::Inline(members) => (None, members),
        },
        TypeKind::Enum(_) | TypeKind::Alternate(_) => (None, &[]),
    };
    let base = base.filter(|_| depth < MAX_BASES);
    let base = base.map_or_else(Vec::new, |base| members_of_type(base, schema, depth + 1));
    base.into_iter().chain(own).collect()
}
