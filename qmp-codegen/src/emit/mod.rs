//! A schema as Rust.
//!
//! ```text
//! Schema + Options ──> Plan (what is reached, named, boxed) ──> TokenStream ──prettyplease──> text
//! ```
//!
//! The shape of what comes out: a module `types`, a module `commands`, a module `events`, the
//! enum `AnyEvent` of all events. Everything that types have in common is in `qmp_types`, not
//! repeated here: a type gives a table of names and one function that reads its members.

mod alternate;
mod command;
mod docs;
mod enumeration;
mod event;
pub(crate) mod ident;
mod layout;
mod object;
mod plan;
mod recursion;
mod surface;
mod union;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote;

use crate::introspection::{self, Naming};
use crate::schema::{Condition, Definition, Schema, TypeKind};
use plan::Plan;

pub(crate) use layout::unparse;
pub(crate) use surface::surface;
pub use surface::{SurfaceItem, SurfaceKind};

/// What the caller wants of the Rust.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// Only these commands; all, if absent.
    pub(crate) commands: Option<HashSet<String>>,
    /// Only these events; all, if absent.
    pub(crate) events: Option<HashSet<String>>,
    /// Constructors also for what only servers build.
    pub(crate) constructors_for_all: bool,
    /// Rust types of the caller's in place of types of the schema, by name.
    pub(crate) replacements: HashMap<String, syn::Path>,
    /// Rust types of the caller's for members, by definition and member.
    pub(crate) member_types: HashMap<String, HashMap<String, syn::Type>>,
    /// Attributes on types, by name.
    pub(crate) attributes: HashMap<String, Vec<syn::Attribute>>,
    /// Which configuration symbols are set; all conditions hold, if absent.
    pub(crate) symbols: Option<Symbols>,
    /// Whether `INTROSPECTION` is wanted.
    pub(crate) introspection: bool,
}

/// Says whether a configuration symbol is set.
pub(crate) type Symbols = Rc<dyn Fn(&str) -> bool>;

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("commands", &self.commands)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Options {
    fn selects_command(&self, definition: &Definition) -> bool {
        selects(self.commands.as_ref(), self.events.is_some(), definition)
            && self.holds(&definition.condition)
    }

    fn selects_event(&self, definition: &Definition) -> bool {
        selects(self.events.as_ref(), self.commands.is_some(), definition)
            && self.holds(&definition.condition)
    }

    /// Whether types that nothing reaches are wanted, too.
    fn takes_everything(&self) -> bool {
        self.commands.is_none() && self.events.is_none()
    }

    fn member_type(&self, definition: &str, member: &str) -> Option<&syn::Type> {
        self.member_types.get(definition)?.get(member)
    }

    fn holds(&self, condition: &Option<Condition>) -> bool {
        match (condition, &self.symbols) {
            (Some(condition), Some(is_set)) => condition.holds(&**is_set),
            _ => true,
        }
    }
}

/// A selection of commands alone means no events, and the other way round.
fn selects(names: Option<&HashSet<String>>, other: bool, definition: &Definition) -> bool {
    match names {
        Some(names) => names.contains(&definition.name),
        None => !other,
    }
}

/// The Rust of a schema, not yet formatted.
pub(crate) fn emit(schema: &Schema, options: &Options) -> TokenStream {
    let plan = Plan::new(schema, options);
    let types = plan.types.iter().map(|id| match &plan.get(*id).kind {
        TypeKind::Enum(data) => enumeration::emit(&plan, *id, data),
        TypeKind::Struct(_) => object::emit_struct(&plan, *id),
        TypeKind::Union(data) => union::emit(&plan, *id, data),
        TypeKind::Alternate(data) => alternate::emit(&plan, *id, data),
    });
    let types = module("types", " The types that commands and events are made of.", types);
    let commands = plan.commands.iter().map(|(data, name)| command::emit(&plan, data, name));
    let commands = module("commands", " The commands.", commands);
    let events = plan.events.iter().map(|(data, name)| event::emit(&plan, data, name));
    let events = module("events", " The events.", events);
    let any_event = event::emit_any(&plan);
    let introspection = options.introspection.then(|| emit_introspection(&plan));
    [types, commands, events, any_event].into_iter().chain(introspection).collect()
}

/// A module of items. They are moved into it: `quote!` would copy every token.
fn module(name: &str, doc: &str, items: impl Iterator<Item = TokenStream>) -> TokenStream {
    let name = Ident::new(name, Span::call_site());
    let allow = allow();
    let mut module = quote!(#[doc = #doc] #allow pub mod #name);
    module.extend([TokenTree::Group(Group::new(Delimiter::Brace, items.collect()))]);
    module
}

/// The lints that generated code does not satisfy, with the reason, which a reader of it sees.
fn allow() -> TokenStream {
    quote! {
        #[allow(
            dead_code,
            unreachable_pub,
            reason = "a crate may use a part of its vocabulary, and keep it private"
        )]
        #[allow(deprecated, reason = "deprecated items are still read and written")]
        #[allow(
            clippy::doc_lazy_continuation,
            clippy::doc_markdown,
            rustdoc::redundant_explicit_links,
            reason = "documentation comes from the schema, and its links hold in every module"
        )]
        #[allow(
            clippy::enum_variant_names,
            clippy::large_enum_variant,
            clippy::module_name_repetitions,
            clippy::new_without_default,
            clippy::should_implement_trait,
            clippy::struct_excessive_bools,
            clippy::struct_field_names,
            clippy::too_many_arguments,
            clippy::upper_case_acronyms,
            clippy::wrong_self_convention,
            reason = "the schema decides on names, sizes and numbers"
        )]
    }
}

/// What `query-qmp-schema` answers for what was selected.
fn emit_introspection(plan: &Plan<'_>) -> TokenStream {
    let selected = Schema {
        commands: plan.commands.iter().map(|(command, _)| (*command).clone()).collect(),
        events: plan.events.iter().map(|(event, _)| (*event).clone()).collect(),
        ..plan.schema.clone()
    };
    let holds = |symbol: &str| plan.options.symbols.as_ref().is_none_or(|is_set| is_set(symbol));
    let json = introspection::export(&selected, Naming::Masked, &holds).to_string();
    quote! {
        /// What `query-qmp-schema` answers for this vocabulary: an array of `SchemaInfo`, as JSON.
        #[allow(dead_code, unreachable_pub)]
        pub const INTROSPECTION: &str = #json;
    }
}
