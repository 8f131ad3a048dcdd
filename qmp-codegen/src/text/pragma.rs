//! Exceptions from the rules for names and return types.

use super::layout::{self, Node};
use crate::schema::{Arguments, Base, Command, Member, Schema, TypeKind, TypeRef};
use crate::shape;

/// A directive with the exceptions that a schema needs; empty if it needs none.
pub(super) fn pragmas(schema: &Schema) -> String {
    let commands = || schema.commands.iter();
    let named_with_underscore = commands()
        .filter(|command| stem(&command.definition.name).contains('_'))
        .map(|command| &*command.definition.name);
    let returning_no_object = commands()
        .filter(|command| !returns_objects(schema, command))
        .map(|command| &*command.definition.name);
    let lists = [
        ("command-name-exceptions", named_with_underscore.collect()),
        ("command-returns-exceptions", returning_no_object.collect()),
        ("member-name-exceptions", with_unusual_members(schema)),
    ];
    let keys: Vec<(String, Node)> = lists
        .into_iter()
        .filter(|(_, names): &(_, Vec<&str>)| !names.is_empty())
        .map(|(key, mut names)| {
            names.sort_unstable();
            (key.to_owned(), Node::texts(names))
        })
        .collect();
    if keys.is_empty() {
        return String::new();
    }
    layout::top_level(&[(String::from("pragma"), Node::Object(keys))])
}

fn returns_objects(schema: &Schema, command: &Command) -> bool {
    let Some(returns) = &command.returns else { return true };
    match shape::innermost(returns).0 {
        TypeRef::Defined(id) => {
            matches!(shape::type_of(schema, *id).kind, TypeKind::Struct(_) | TypeKind::Union(_))
        }
        _ => false,
    }
}

fn with_unusual_members(schema: &Schema) -> Vec<&str> {
    let any = |members: &[Member]| members.iter().any(|member| is_unusual(&member.name));
    let in_place = |arguments: &Arguments| match arguments {
        Arguments::Inline(members) => any(members),
        Arguments::Named { .. } => false,
    };
    let types = schema.types.iter().filter(|ty| match &ty.kind {
        TypeKind::Enum(values) => values.values.iter().any(|value| is_unusual(&value.name)),
        TypeKind::Struct(object) => any(&object.members),
        TypeKind::Union(union) => match &union.base {
            Base::Inline(members) => any(members),
            Base::Named(_) => false,
        },
        TypeKind::Alternate(_) => false,
    });
    let commands = schema.commands.iter().filter(|command| in_place(&command.arguments));
    let events = schema.events.iter().filter(|event| in_place(&event.data));
    types
        .map(|ty| &*ty.definition.name)
        .chain(commands.map(|command| &*command.definition.name))
        .chain(events.map(|event| &*event.definition.name))
        .collect()
}

fn is_unusual(name: &str) -> bool {
    stem(name).contains(|c: char| c == '_' || c.is_ascii_uppercase())
}

/// A name without the prefix of a downstream extension, `__com.example_`.
fn stem(name: &str) -> &str {
    name.strip_prefix("__").and_then(|rest| rest.split_once('_')).map_or(name, |(_, stem)| stem)
}
