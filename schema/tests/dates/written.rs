//! Statements of the schema: every item that introspection can show, and its dates.

use std::collections::BTreeMap;
use std::fmt;

use qmp_codegen::schema::{
    Arguments, Base, Definition, Feature, Member, Schema, Type, TypeId, TypeKind,
};

use super::version::Dates;

/// The kinds of items.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Command,
    Event,
    /// A member that is written in a command.
    Argument,
    /// A member that is written in an event.
    Datum,
    /// A member of a struct or union.
    Member,
    /// A value of an enumeration.
    Value,
    /// A branch of a union. Its date is that of the value that selects it.
    Branch,
}

/// Names an item: its kind, the definition in which it is written, and its own name, which is empty
/// for a command or event itself.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, owner, name } = self;
        match kind {
            Kind::Command => write!(f, "command {owner}"),
            Kind::Event => write!(f, "event {owner}"),
            Kind::Argument | Kind::Datum | Kind::Member => write!(f, "{owner}.{name}"),
            Kind::Value => write!(f, "{owner} value {name}"),
            Kind::Branch => write!(f, "{owner} branch {name}"),
        }
    }
}

/// The dates and features of an item in the schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statement {
    pub(crate) dates: Dates,
    /// The dates of the definition in which it is written.
    pub(crate) of_owner: Dates,
    /// Whether it, or the definition in which it is written, depends on how QEMU was built.
    pub(crate) conditional: bool,
    /// `deprecated` and `unstable`.
    pub(crate) deprecated: bool,
    pub(crate) unstable: bool,
}

/// Every item of the schema.
pub(crate) fn statements(schema: &Schema) -> BTreeMap<Item, Statement> {
    let mut all = Statements { schema, items: BTreeMap::new() };
    for command in &schema.commands {
        all.definition(Kind::Command, &command.definition);
        if let Arguments::Inline(members) = &command.arguments {
            all.members(Kind::Argument, &command.definition, members);
        }
    }
    for event in &schema.events {
        all.definition(Kind::Event, &event.definition);
        if let Arguments::Inline(members) = &event.data {
            all.members(Kind::Datum, &event.definition, members);
        }
    }
    schema.types.iter().for_each(|ty| all.ty(ty));
    all.items
}

struct Statements<'a> {
    schema: &'a Schema,
    items: BTreeMap<Item, Statement>,
}

impl Statements<'_> {
    fn definition(&mut self, kind: Kind, definition: &Definition) {
        let item = Item { kind, owner: definition.name.clone(), name: String::new() };
        let dates = Dates::of_definition(&definition.doc);
        let conditional = definition.condition.is_some();
        let statement = Statement { dates, conditional, ..flags(&definition.features) };
        self.items.insert(item, statement);
    }

    fn part(&mut self, kind: Kind, owner: &Definition, name: &str, statement: Statement) {
        let item = Item { kind, owner: owner.name.clone(), name: name.to_owned() };
        let conditional = statement.conditional || owner.condition.is_some();
        let of_owner = Dates::of_definition(&owner.doc);
        self.items.insert(item, Statement { of_owner, conditional, ..statement });
    }

    fn members(&mut self, kind: Kind, owner: &Definition, members: &[Member]) {
        for member in members {
            let dates = Dates::of_member(&member.doc);
            let conditional = member.condition.is_some();
            let statement = Statement { dates, conditional, ..flags(&member.features) };
            self.part(kind, owner, &member.name, statement);
        }
    }

    fn ty(&mut self, ty: &Type) {
        match &ty.kind {
            TypeKind::Struct(data) => self.members(Kind::Member, &ty.definition, &data.members),
            TypeKind::Enum(data) => {
                for value in &data.values {
                    let dates = Dates::of_member(&value.doc);
                    let conditional = value.condition.is_some();
                    let statement = Statement { dates, conditional, ..flags(&value.features) };
                    self.part(Kind::Value, &ty.definition, &value.name, statement);
                }
            }
            TypeKind::Union(data) => {
                if let Base::Inline(members) = &data.base {
                    self.members(Kind::Member, &ty.definition, members);
                }
                for branch in &data.branches {
                    let values = &self.schema.types[data.discriminator_type.0 as usize];
                    let value = value_of(values, &branch.name);
                    let conditional = branch.condition.is_some() || value.conditional;
                    let statement = Statement { conditional, ..value };
                    self.part(Kind::Branch, &ty.definition, &branch.name, statement);
                }
            }
            TypeKind::Alternate(_) => {}
        }
    }
}

/// Returns what the enumeration states of a value.
fn value_of(values: &Type, name: &str) -> Statement {
    let TypeKind::Enum(data) = &values.kind else { return Statement::default() };
    let value = data.values.iter().find(|value| value.name == name);
    value.map_or_else(Statement::default, |value| Statement {
        dates: Dates::of_member(&value.doc),
        conditional: value.condition.is_some(),
        ..Statement::default()
    })
}

fn flags(features: &[Feature]) -> Statement {
    let has = |name| features.iter().any(|feature| feature.name == name);
    Statement { deprecated: has("deprecated"), unstable: has("unstable"), ..Statement::default() }
}

/// Returns the definition in which a member of a type is written: the type itself, or one of its
/// bases.
pub(crate) fn owner_of<'a>(schema: &'a Schema, ty: TypeId, member: &str) -> Option<&'a str> {
    let mut next = Some(ty);
    while let Some(id) = next {
        let ty = &schema.types[id.0 as usize];
        let (base, own): (_, &[Member]) = match &ty.kind {
            TypeKind::Struct(data) => (data.base, &data.members),
            TypeKind::Union(data) => match &data.base {
                Base::Named(base) => (Some(*base), &[]),
                Base::Inline(members) => (None, members),
            },
            TypeKind::Enum(_) | TypeKind::Alternate(_) => (None, &[]),
        };
        if own.iter().any(|own| own.name == member) {
            return Some(&ty.definition.name);
        }
        next = base;
    }
    None
}
