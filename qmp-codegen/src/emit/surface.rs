//! The surface of a vocabulary: every public item, with its name on the wire and in Rust.

use std::fmt;

use proc_macro2::TokenStream;

use super::ident::Scope;
use super::options::Options;
use super::plan::Plan;
use super::{alternate, budget, command, enumeration, object, union};
use crate::schema::{
    Alternate, Arguments, Definition, Enum, Member, Schema, Type, TypeId, TypeKind, Union,
};

/// A public item of a vocabulary.
///
/// `Display` gives the line by which changes of a schema are reviewed:
/// `field BlockInfo.removable types::BlockInfo::removable: bool`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SurfaceItem {
    /// The kind of the item.
    pub kind: SurfaceKind,
    /// The name on the wire; for members and values, after the name of their owner.
    pub wire: String,
    /// The path within the vocabulary.
    pub path: String,
    /// The Rust type of a field, of the contents of a variant, or of a command's reply.
    pub ty: Option<String>,
    /// The first release that has the item, if the schema says so.
    pub since: Option<String>,
    /// Whether the value of a field is secret.
    pub secret: bool,
}

/// The kinds of public items.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum SurfaceKind {
    /// A struct of the schema.
    Struct,
    /// A union.
    Union,
    /// An alternate.
    Alternate,
    /// An enumeration.
    Enum,
    /// A command.
    Command,
    /// An event.
    Event,
    /// A member, an argument, or a part of an event's data.
    Field,
    /// A branch of a union: a value of its discriminator.
    Branch,
    /// An alternative of an alternate.
    Alternative,
    /// A value of an enumeration.
    Value,
}

impl fmt::Display for SurfaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Alternate => "alternate",
            Self::Enum => "enum",
            Self::Command => "command",
            Self::Event => "event",
            Self::Field => "field",
            Self::Branch => "branch",
            Self::Alternative => "alternative",
            Self::Value => "value",
        })
    }
}

impl fmt::Display for SurfaceItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.wire, self.path)?;
        match (&self.ty, self.kind) {
            (Some(ty), SurfaceKind::Field) => write!(f, ": {ty}")?,
            (Some(ty), SurfaceKind::Command) => write!(f, " -> {ty}")?,
            (Some(ty), _) => write!(f, "({ty})")?,
            (None, _) => {}
        }
        self.since.iter().try_for_each(|since| write!(f, " since {since}"))?;
        f.write_str(if self.secret { " secret" } else { "" })
    }
}

/// Lists the items that [`emit`](super::emit) emits for a schema, in the same order, or fails as it
/// does.
pub(crate) fn surface(schema: &Schema, options: &Options) -> Result<Vec<SurfaceItem>, String> {
    let plan = budget::plan(schema, options)?;
    let mut surface = Surface { plan: &plan, items: Vec::new() };
    for id in &plan.types {
        surface.ty(*id, plan.get(*id));
    }
    for (command, name) in &plan.commands {
        let (definition, path) = (&command.definition, format!("commands::{name}"));
        let returns = command.returns.as_ref().map(|ty| plan.rust_type(ty));
        surface.definition(SurfaceKind::Command, definition, &path, returns.as_ref());
        surface.arguments(definition, &command.arguments, &path, command::scope(command.is_open()));
    }
    for (event, name) in &plan.events {
        let (definition, path) = (&event.definition, format!("events::{name}"));
        surface.definition(SurfaceKind::Event, definition, &path, None);
        surface.arguments(definition, &event.data, &path, object::scope());
    }
    Ok(surface.items)
}

struct Surface<'p, 's> {
    plan: &'p Plan<'s>,
    items: Vec<SurfaceItem>,
}

impl<'s> Surface<'_, 's> {
    fn ty(&mut self, id: TypeId, ty: &'s Type) {
        let path = format!("types::{}", self.plan.name(id));
        let kind = match &ty.kind {
            TypeKind::Enum(_) => SurfaceKind::Enum,
            TypeKind::Struct(_) => SurfaceKind::Struct,
            TypeKind::Union(_) => SurfaceKind::Union,
            TypeKind::Alternate(_) => SurfaceKind::Alternate,
        };
        self.definition(kind, &ty.definition, &path, None);
        match &ty.kind {
            TypeKind::Enum(data) => self.values(&ty.definition, data, &path),
            TypeKind::Struct(_) => {
                let members = self.plan.members(id);
                self.fields(&ty.definition, Some(id), &members, &path, object::scope());
            }
            TypeKind::Union(data) => self.union(&ty.definition, id, data, &path),
            TypeKind::Alternate(data) => self.alternatives(&ty.definition, id, data, &path),
        }
    }

    fn values(&mut self, owner: &Definition, data: &Enum, path: &str) {
        let mut scope = enumeration::scope();
        for value in data.values.iter().filter(|v| self.plan.options.holds(&v.condition)) {
            let path = format!("{path}::{}", scope.camel(&value.name));
            self.part(SurfaceKind::Value, owner, &value.name, path, None, &value.doc);
        }
    }

    fn union(&mut self, owner: &Definition, id: TypeId, data: &'s Union, path: &str) {
        let branches = format!("types::{}", self.plan.branches_name(id));
        if !self.plan.is_bare_union(id) {
            let members = self.plan.members(id);
            let at = self.items.len();
            self.fields(owner, Some(id), &members, path, object::scope());
            // In Rust, the discriminator's field is the branch.
            let discriminator = members.iter().position(|m| m.name == data.discriminator);
            if let Some(item) = discriminator.and_then(|index| self.items.get_mut(at + index)) {
                item.ty = Some(branches.clone());
            }
        }
        for variant in union::variants(self.plan, data) {
            let path = format!("{branches}::{}", variant.ident);
            let holds = variant.holds(self.plan, id);
            let (name, doc) = (&variant.value.name, &variant.value.doc);
            self.part(SurfaceKind::Branch, owner, name, path, holds.as_ref(), doc);
        }
    }

    fn alternatives(&mut self, owner: &Definition, id: TypeId, data: &Alternate, path: &str) {
        for (alternative, ident, holds) in alternate::variants(self.plan, id, data) {
            let path = format!("{path}::{ident}");
            let (name, doc) = (&alternative.name, &alternative.doc);
            self.part(SurfaceKind::Alternative, owner, name, path, Some(&holds), doc);
        }
    }

    fn arguments(
        &mut self,
        owner: &Definition,
        arguments: &'s Arguments,
        path: &str,
        scope: Scope,
    ) {
        match self.plan.whole_arguments(arguments) {
            Some(ty) => {
                let ty = self.plan.path(ty);
                self.part(SurfaceKind::Field, owner, "*", format!("{path}::data"), Some(&ty), "");
            }
            None => {
                let members = self.plan.flat_arguments(arguments);
                self.fields(owner, None, &members, path, scope);
            }
        }
    }

    fn fields(
        &mut self,
        owner: &Definition,
        id: Option<TypeId>,
        members: &[&'s Member],
        path: &str,
        mut scope: Scope,
    ) {
        for field in object::fields(self.plan, &owner.name, id, members, &mut scope) {
            let (member, ty) = (field.member, field.field_type());
            let path = format!("{path}::{}", field.ident);
            self.part(SurfaceKind::Field, owner, &member.name, path, Some(&ty), &member.doc);
            if let Some(item) = self.items.last_mut() {
                item.secret = member.secret;
            }
        }
    }

    fn definition(
        &mut self,
        kind: SurfaceKind,
        definition: &Definition,
        path: &str,
        ty: Option<&TokenStream>,
    ) {
        let (wire, path, ty) = (definition.name.clone(), path.to_owned(), ty.map(shown));
        let since = definition.doc.since.clone();
        self.items.push(SurfaceItem { kind, wire, path, ty, since, secret: false });
    }

    fn part(
        &mut self,
        kind: SurfaceKind,
        owner: &Definition,
        name: &str,
        path: String,
        ty: Option<&TokenStream>,
        doc: &str,
    ) {
        let wire = format!("{}.{name}", owner.name);
        let (ty, since) = (ty.map(shown), since(doc));
        self.items.push(SurfaceItem { kind, wire, path, ty, since, secret: false });
    }
}

/// Returns a type as people write it: without the prefixes that make it unambiguous.
fn shown(ty: &TokenStream) -> String {
    let text = ty.to_string().replace(' ', "");
    ["::std::option::", "::std::vec::", "::std::string::", "::std::boxed::", "super::"]
        .iter()
        .fold(text, |text, prefix| text.replace(prefix, ""))
        .replace("::qmp_types::", "")
}

/// Returns the first release that has a member or value: `(since 9.1)` in its documentation.
fn since(doc: &str) -> Option<String> {
    let (_, after) = doc.split_once("(since")?;
    let release: String = after
        .trim_start()
        .trim_start_matches(':')
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    Some(release).filter(|release| !release.is_empty())
}
