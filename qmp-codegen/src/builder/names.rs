//! Checks that a schema has everything that a builder names.

use std::collections::{HashMap, HashSet};

use proc_macro2::TokenStream;

use crate::emit::Options;
use crate::schema::{
    Arguments, Base, Condition, Definition, Feature, Member, Schema, TypeId, TypeKind,
};
use crate::shape;
use crate::similar::did_you_mean;

/// Returns a message for each name that the schema does not have.
pub(super) fn unknown(
    schema: &Schema,
    options: &Options,
    symbols: &HashSet<String>,
) -> Vec<String> {
    let names = Names::of(schema);
    let mut unknown = Vec::new();
    let mut check = |kind: &str, name: &str, known: &[&[&str]]| {
        if !known.iter().any(|names| names.contains(&name)) {
            unknown.push(message(
                &format!("the schema has no {kind} '{name}'"),
                name,
                known.concat(),
            ));
        }
    };
    for name in options.commands.iter().flatten() {
        check("command", name, &[&names.commands]);
    }
    for name in options.events.iter().flatten() {
        check("event", name, &[&names.events]);
    }
    for name in options.replacements.keys() {
        check("type", name, &[&names.types]);
    }
    for name in options.attributes.keys().chain(options.member_types.keys()) {
        check("definition", name, &[&names.types, &names.commands, &names.events]);
    }
    if !symbols.is_empty() {
        let known = symbols_of(schema);
        for symbol in symbols {
            check("condition with the symbol", symbol, &[&known]);
        }
    }
    for (definition, members) in &options.member_types {
        unknown.extend(unknown_members(schema, definition, members));
    }
    unknown
}

fn message(what: &str, name: &str, known: Vec<&str>) -> String {
    match did_you_mean(name, known) {
        Some(guess) => format!("{what}; {guess}"),
        None => what.to_owned(),
    }
}

struct Names<'s> {
    types: Vec<&'s str>,
    commands: Vec<&'s str>,
    events: Vec<&'s str>,
}

impl<'s> Names<'s> {
    fn of(schema: &'s Schema) -> Self {
        let name = |definition: &'s Definition| definition.name.as_str();
        Self {
            types: schema.types.iter().map(|ty| name(&ty.definition)).collect(),
            commands: schema.commands.iter().map(|command| name(&command.definition)).collect(),
            events: schema.events.iter().map(|event| name(&event.definition)).collect(),
        }
    }
}

/// Checks members whose type is overridden: the Rust type of the definition must have the field.
fn unknown_members(
    schema: &Schema,
    definition: &str,
    members: &HashMap<String, TokenStream>,
) -> Vec<String> {
    let Some(fields) = Fields::of(schema, definition) else {
        // An unknown definition has its own message.
        return Vec::new();
    };
    let unknown = members.keys().filter_map(|member| match &fields {
        Fields::None(kind) => {
            Some(format!("'{definition}' is {kind} and has no members whose type can be set"))
        }
        Fields::Whole(ty) => Some(format!(
            "'{definition}' carries type '{ty}' whole; set the type of '{ty}' member '{member}'"
        )),
        Fields::Members(_, Some(discriminator)) if member == discriminator => Some(format!(
            "the type of member '{member}' of '{definition}' cannot be set: as the discriminator, \
             it is the enum of the branches"
        )),
        Fields::Members(names, _) if names.contains(&member.as_str()) => None,
        Fields::Members(names, _) => Some(message(
            &format!("'{definition}' has no member '{member}'"),
            member,
            names.clone(),
        )),
    });
    unknown.collect()
}

/// The fields of the Rust type that a definition becomes.
enum Fields<'s> {
    None(&'static str),
    /// The arguments are those of a union, in one field.
    Whole(&'s str),
    /// The members, and the discriminator.
    Members(Vec<&'s str>, Option<&'s str>),
}

impl<'s> Fields<'s> {
    fn of(schema: &'s Schema, name: &str) -> Option<Self> {
        let types = || (0..schema.types.len()).filter_map(|index| u32::try_from(index).ok());
        let id = types().map(TypeId).find(|id| shape::type_of(schema, *id).definition.name == name);
        if let Some(id) = id {
            return Some(Self::of_type(schema, id));
        }
        let commands = schema.commands.iter().map(|c| (&c.definition, &c.arguments));
        let events = schema.events.iter().map(|event| (&event.definition, &event.data));
        let (_, arguments) =
            commands.chain(events).find(|(definition, _)| definition.name == name)?;
        Some(match arguments {
            Arguments::Inline(members) => Self::Members(names(members), None),
            Arguments::Named { ty, .. } => {
                let definition = &shape::type_of(schema, *ty).definition;
                match Self::of_type(schema, *ty) {
                    Self::Members(_, Some(_)) => Self::Whole(&definition.name),
                    fields => fields,
                }
            }
        })
    }

    fn of_type(schema: &'s Schema, id: TypeId) -> Self {
        let discriminator = match &shape::type_of(schema, id).kind {
            TypeKind::Enum(_) => return Self::None("an enum"),
            TypeKind::Alternate(_) => return Self::None("an alternate"),
            TypeKind::Struct(_) => None,
            TypeKind::Union(union) => Some(union.discriminator.as_str()),
        };
        Self::Members(names(shape::common_members(schema, id)), discriminator)
    }
}

fn names<'s>(members: impl IntoIterator<Item = &'s Member>) -> Vec<&'s str> {
    members.into_iter().map(|member| member.name.as_str()).collect()
}

/// Returns the symbols in the conditions of a schema.
fn symbols_of(schema: &Schema) -> Vec<&str> {
    let mut symbols = Symbols(Vec::new());
    for ty in &schema.types {
        symbols.definition(&ty.definition);
        match &ty.kind {
            TypeKind::Enum(data) => data.values.iter().for_each(|value| {
                symbols.condition(value.condition.as_ref());
                symbols.features(&value.features);
            }),
            TypeKind::Struct(data) => symbols.members(&data.members),
            TypeKind::Union(data) => {
                if let Base::Inline(members) = &data.base {
                    symbols.members(members);
                }
                data.branches.iter().for_each(|b| symbols.condition(b.condition.as_ref()));
            }
            TypeKind::Alternate(data) => {
                data.alternatives.iter().for_each(|a| symbols.condition(a.condition.as_ref()));
            }
        }
    }
    let commands = schema.commands.iter().map(|c| (&c.definition, &c.arguments));
    let events = schema.events.iter().map(|event| (&event.definition, &event.data));
    for (definition, arguments) in commands.chain(events) {
        symbols.definition(definition);
        if let Arguments::Inline(members) = arguments {
            symbols.members(members);
        }
    }
    symbols.0.sort_unstable();
    symbols.0.dedup();
    symbols.0
}

struct Symbols<'s>(Vec<&'s str>);

impl<'s> Symbols<'s> {
    fn definition(&mut self, definition: &'s Definition) {
        self.condition(definition.condition.as_ref());
        self.features(&definition.features);
    }

    fn members(&mut self, members: &'s [Member]) {
        for member in members {
            self.condition(member.condition.as_ref());
            self.features(&member.features);
        }
    }

    fn features(&mut self, features: &'s [Feature]) {
        features.iter().for_each(|feature| self.condition(feature.condition.as_ref()));
    }

    fn condition(&mut self, condition: Option<&'s Condition>) {
        match condition {
            None => {}
            Some(Condition::Symbol(symbol)) => self.0.push(symbol),
            Some(Condition::Not(condition)) => self.condition(Some(condition)),
            Some(Condition::All(conditions) | Condition::Any(conditions)) => {
                conditions.iter().for_each(|condition| self.condition(Some(condition)));
            }
        }
    }
}
