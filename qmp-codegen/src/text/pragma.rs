//! Writes pragmas, the exceptions to the rules for names, return types, and documentation.

use super::described::Described;
use super::layout::{self, Node};
use super::order::Item;
use crate::check::{is_foreign_member, is_foreign_value};
use crate::introspection::unusual;
use crate::schema::{Arguments, Base, Command, Definition, Member, Schema, TypeKind, TypeRef};
use crate::shape;

/// Returns a directive with the exceptions that a schema needs, or an empty string.
pub(super) fn pragmas(schema: &Schema, items: &[Item<'_>]) -> String {
    let commands = || schema.commands.iter();
    let named_with_underscore = commands()
        .filter(|command| unusual::stem(&command.definition.name).contains('_'))
        .map(|command| &*command.definition.name);
    let returning_no_object = commands()
        .filter(|command| !returns_objects(schema, command))
        .map(|command| &*command.definition.name);
    let lists = [
        ("command-name-exceptions", named_with_underscore.collect()),
        ("command-returns-exceptions", returning_no_object.collect()),
        ("documentation-exceptions", undocumented(items)),
        ("foreign-name-exceptions", with_members(schema, is_foreign_member, is_foreign_value)),
        ("member-name-exceptions", with_members(schema, unusual::is_unusual, unusual::is_unusual)),
    ];
    let secret = secret_members(schema);
    let read_only = commands().filter(|command| command.read_only);
    let read_only = read_only.map(|command| &*command.definition.name).collect();
    let lists = lists.into_iter().chain([
        ("read-only-commands", read_only),
        ("secret-members", secret.iter().map(String::as_str).collect()),
    ]);
    let keys: Vec<(String, Node)> = lists
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

fn undocumented<'a>(items: &[Item<'a>]) -> Vec<&'a str> {
    let described = items.iter().filter_map(|item| match item {
        Item::Introduction(_) => None,
        Item::Type(ty) => Some(Described::of_type(ty)),
        Item::Command(command) => Some(Described::of_command(command)),
        Item::Event(event) => Some(Described::of_event(event)),
    });
    let incomplete = described.filter(Described::is_incomplete);
    incomplete.map(|described| &*described.definition.name).collect()
}

/// Returns the types with members or values whose names need an exception, which inline members of
/// commands and events cannot have.
fn with_members(
    schema: &Schema,
    is_member: fn(&str) -> bool,
    is_value: fn(&str) -> bool,
) -> Vec<&str> {
    let any = |members: &[Member]| members.iter().any(|member| is_member(&member.name));
    let types = schema.types.iter().filter(|ty| match &ty.kind {
        TypeKind::Enum(values) => values.values.iter().any(|v| is_value(&v.name)),
        TypeKind::Struct(object) => any(&object.members),
        TypeKind::Union(union) => match &union.base {
            Base::Inline(members) => any(members),
            Base::Named(_) => false,
        },
        TypeKind::Alternate(_) => false,
    });
    types.map(|ty| &*ty.definition.name).collect()
}

/// Returns the members that are secret, as `DEFINITION.MEMBER`.
fn secret_members(schema: &Schema) -> Vec<String> {
    let of = |definition: &Definition, members: &[Member]| {
        let secret = members.iter().filter(|member| member.secret);
        secret.map(|member| format!("{}.{}", definition.name, member.name)).collect::<Vec<_>>()
    };
    let types = schema.types.iter().flat_map(|ty| match &ty.kind {
        TypeKind::Struct(object) => of(&ty.definition, &object.members),
        TypeKind::Union(crate::schema::Union { base: Base::Inline(members), .. }) => {
            of(&ty.definition, members)
        }
        _ => Vec::new(),
    });
    let commands = schema.commands.iter().map(|command| (&command.definition, &command.arguments));
    let events = schema.events.iter().map(|event| (&event.definition, &event.data));
    let inline = commands.chain(events).flat_map(|(definition, arguments)| match arguments {
        Arguments::Inline(members) => of(definition, members),
        Arguments::Named { .. } => Vec::new(),
    });
    types.chain(inline).collect()
}
