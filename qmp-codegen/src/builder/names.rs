//! Checks that a schema has everything that a builder names.

use proc_macro2::TokenStream;

use crate::emit::Options;
use crate::named::{NameSet, Named};
use crate::schema::{
    Arguments, Base, Condition, Definition, Feature, Member, Schema, TypeId, TypeKind,
};
use crate::shape;
use crate::similar::did_you_mean;

/// Returns a message for each name that the schema does not have.
pub(super) fn unknown(schema: &Schema, options: &Options, symbols: &NameSet) -> Vec<String> {
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
    if let Some(commands) = &options.commands {
        commands.names().for_each(|name| check("command", name, &[&names.commands]));
    }
    if let Some(events) = &options.events {
        events.names().for_each(|name| check("event", name, &[&names.events]));
    }
    for name in options.replacements.names() {
        check("type", name, &[&names.types]);
    }
    for name in options.attributes.names().chain(options.member_types.names()) {
        check("definition", name, &[&names.types, &names.commands, &names.events]);
    }
    if !symbols.is_empty() {
        let known = symbols_of(schema);
        for symbol in symbols.names() {
            check("condition with the symbol", symbol, &[&known]);
        }
    }
    for definition in options.member_types.names() {
        if let Some(members) = options.member_types.get(definition) {
            unknown_members(schema, definition, members, &mut unknown);
        }
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
        let [mut types, mut commands, mut events] = [Vec::new(), Vec::new(), Vec::new()];
        for ty in &schema.types {
            types.push(ty.definition.name.as_str());
        }
        for command in &schema.commands {
            commands.push(command.definition.name.as_str());
        }
        for event in &schema.events {
            events.push(event.definition.name.as_str());
        }
        Self { types, commands, events }
    }
}

/// Checks members whose type is overridden: the Rust type of the definition must have the field.
fn unknown_members(
    schema: &Schema,
    definition: &str,
    members: &Named<TokenStream>,
    unknown: &mut Vec<String>,
) {
    // An unknown definition has its own message.
    let Some(fields) = Fields::of(schema, definition) else { return };
    for member in members.names() {
        unknown.push(match &fields {
            Fields::None(kind) => {
                format!("'{definition}' is {kind} and has no members whose type can be set")
            }
            Fields::Whole(ty) => format!(
                "'{definition}' carries type '{ty}' whole; set the type of '{ty}' member '{member}'"
            ),
            Fields::Members(_, Some(discriminator)) if member == *discriminator => format!(
                "the type of member '{member}' of '{definition}' cannot be set: as the \
                 discriminator, it is the enum of the branches"
            ),
            Fields::Members(names, _) if names.contains(&member) => continue,
            Fields::Members(names, _) => {
                let what = format!("'{definition}' has no member '{member}'");
                message(&what, member, names.clone())
            }
        });
    }
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
        if let Some(index) = schema.types.iter().position(|ty| ty.definition.name == name) {
            return Some(Self::of_type(schema, TypeId(u32::try_from(index).ok()?)));
        }
        let command = schema.commands.iter().find(|command| command.definition.name == name);
        let arguments = match command {
            Some(command) => &command.arguments,
            None => &schema.events.iter().find(|event| event.definition.name == name)?.data,
        };
        Some(match arguments {
            Arguments::Inline(members) => Self::Members(names(members.iter().collect()), None),
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

fn names(members: Vec<&Member>) -> Vec<&str> {
    let mut names = Vec::with_capacity(members.len());
    for member in members {
        names.push(member.name.as_str());
    }
    names
}

/// Returns the symbols in the conditions of a schema.
fn symbols_of(schema: &Schema) -> Vec<&str> {
    let mut symbols = Symbols(Vec::new());
    for ty in &schema.types {
        symbols.definition(&ty.definition);
        match &ty.kind {
            TypeKind::Enum(data) => {
                for value in &data.values {
                    symbols.condition(value.condition.as_ref());
                    symbols.features(&value.features);
                }
            }
            TypeKind::Struct(data) => symbols.members(&data.members),
            TypeKind::Union(data) => {
                if let Base::Inline(members) = &data.base {
                    symbols.members(members);
                }
                for branch in &data.branches {
                    symbols.condition(branch.condition.as_ref());
                }
            }
            TypeKind::Alternate(data) => {
                for alternative in &data.alternatives {
                    symbols.condition(alternative.condition.as_ref());
                }
            }
        }
    }
    for command in &schema.commands {
        symbols.arguments(&command.definition, &command.arguments);
    }
    for event in &schema.events {
        symbols.arguments(&event.definition, &event.data);
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

    fn arguments(&mut self, definition: &'s Definition, arguments: &'s Arguments) {
        self.definition(definition);
        if let Arguments::Inline(members) = arguments {
            self.members(members);
        }
    }

    fn members(&mut self, members: &'s [Member]) {
        for member in members {
            self.condition(member.condition.as_ref());
            self.features(&member.features);
        }
    }

    fn features(&mut self, features: &'s [Feature]) {
        for feature in features {
            self.condition(feature.condition.as_ref());
        }
    }

    fn condition(&mut self, condition: Option<&'s Condition>) {
        match condition {
            None => {}
            Some(Condition::Symbol(symbol)) => self.0.push(symbol),
            Some(Condition::Not(condition)) => self.condition(Some(condition)),
            Some(Condition::All(conditions) | Condition::Any(conditions)) => {
                for condition in conditions {
                    self.condition(Some(condition));
                }
            }
        }
    }
}
