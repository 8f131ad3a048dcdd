//! Emits a schema as Rust.
//!
//! ```text
//! Schema + Options ──> Plan (what is reached, named, boxed) ──> TokenStream ──writer or format──> text
//! ```
//!
//! The result has a module `types`, a module `commands`, a module `events`, and the enum `AnyEvent`
//! of all events. In documentation, it has a module `index`, too. Everything that types have in common is in macros of `qmp_types`; a type only
//! lists its members.

mod alternate;
mod budget;
mod command;
mod docs;
mod enumeration;
mod event;
#[cfg(feature = "format")]
mod format;
pub(crate) mod ident;
mod index;
mod object;
mod options;
mod plan;
mod recursion;
#[cfg(feature = "tools")]
mod surface;
mod union;
mod writer;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote;

#[cfg(feature = "introspection")]
use crate::introspection::{self, Naming};
#[cfg(feature = "introspection")]
use crate::schema::Condition;
use crate::schema::{Schema, TypeKind};
use plan::Plan;

#[cfg(feature = "format")]
pub(crate) use format::unparse;
pub(crate) use options::Options;
#[cfg(feature = "tools")]
pub(crate) use surface::surface;
#[cfg(feature = "tools")]
pub use surface::{SurfaceItem, SurfaceKind};
pub(crate) use writer::write;

/// Emits the Rust of a schema, not yet formatted.
///
/// Returns an error if the schema expands to far more than its own size.
pub(crate) fn emit(schema: &Schema, options: &Options) -> Result<TokenStream, String> {
    let plan = budget::plan(schema, options)?;
    let items = index::items(&plan);
    let mut types = TokenStream::new();
    for id in &plan.types {
        types.extend(match &plan.get(*id).kind {
            TypeKind::Enum(data) => enumeration::emit(&plan, *id, data),
            TypeKind::Struct(_) => object::emit_struct(&plan, *id),
            TypeKind::Union(data) => union::emit(&plan, *id, data),
            TypeKind::Alternate(data) => alternate::emit(&plan, *id, data),
        });
    }
    let mut commands = TokenStream::new();
    for (command, name) in &plan.commands {
        commands.extend(command::emit(&plan, command, name));
    }
    let mut events = TokenStream::new();
    for (event, name) in &plan.events {
        events.extend(event::emit(&plan, event, name));
    }
    let [command_items, event_items, type_items] = &items;
    let index = index::index(&plan, "types", type_items);
    let mut file =
        module("types", "The types that commands and events are made of.", &index, types);
    let index = index::index(&plan, "commands", command_items);
    file.extend(module("commands", "The commands.", &index, commands));
    let index = index::index(&plan, "events", event_items);
    file.extend(module("events", "The events.", &index, events));
    file.extend(event::emit_any(&plan));
    file.extend(emit_secrets(&plan));
    file.extend(emit_read_only(&plan));
    file.extend(index::page(&plan, &items).unwrap_or_default());
    #[cfg(feature = "introspection")]
    if options.introspection {
        file.extend(emit_introspection(&plan));
    }
    Ok(file)
}

/// Emits a module of items, which are moved into it: `quote!` would copy every token.
fn module(name: &str, doc: &str, index: &str, items: TokenStream) -> TokenStream {
    let name = Ident::new(name, Span::call_site());
    let (doc, allow) = (docs::lines(&format!("{doc}\n{index}")), allow());
    let mut module = quote!(#doc #allow pub mod #name);
    module.extend(TokenStream::from(TokenTree::Group(Group::new(Delimiter::Brace, items))));
    module
}

/// Allows the lints that generated code does not satisfy, with reasons for its readers.
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

/// Emits the table of commands with secrets.
fn emit_secrets(plan: &Plan<'_>) -> TokenStream {
    let mut rows = TokenStream::new();
    for (command, _) in &plan.commands {
        let (name, secrets) = (&command.definition.name, plan.secrets(&command.arguments));
        if !secrets.is_empty() {
            rows.extend(quote!((#name, &[#(#secrets),*]),));
        }
    }
    quote! {
        /// The commands whose arguments contain secrets, with the names of the members that are
        /// secret, at whatever depth: for `qmp_types::redact_members`.
        #[allow(dead_code, unreachable_pub)]
        pub const SECRETS: &[(&str, &[&str])] = &[#rows];
    }
}

/// Emits the table of commands that have no effect.
fn emit_read_only(plan: &Plan<'_>) -> TokenStream {
    let mut names = Vec::new();
    for (command, _) in &plan.commands {
        if command.read_only {
            names.push(command.definition.name.as_str());
        }
    }
    names.sort_unstable();
    quote! {
        /// The commands that have no effect on the machine and only return something, in the order
        /// of their names.
        #[allow(dead_code, unreachable_pub)]
        pub const READ_ONLY: &[&str] = &[#(#names),*];

        /// Returns whether a command is known to have no effect on the machine: false for all
        /// others, and for those that this vocabulary does not have.
        #[allow(dead_code, unreachable_pub)]
        #[must_use]
        pub fn is_read_only(command: &str) -> bool {
            READ_ONLY.binary_search(&command).is_ok()
        }
    }
}

/// Emits the reply to `query-qmp-schema` for the selected part of the schema.
#[cfg(feature = "introspection")]
fn emit_introspection(plan: &Plan<'_>) -> TokenStream {
    let selected = Schema {
        commands: plan.commands.iter().map(|(command, _)| (*command).clone()).collect(),
        events: plan.events.iter().map(|(event, _)| (*event).clone()).collect(),
        ..plan.schema.clone()
    };
    // Without symbols, the vocabulary has everything, also what depends on a symbol not being set.
    let exists = |condition: &Condition| plan.options.may_hold(condition);
    let json = introspection::export_where(&selected, Naming::Masked, &exists).to_string();
    quote! {
        /// The reply to `query-qmp-schema` for this vocabulary: an array of `SchemaInfo`, as JSON.
        #[allow(dead_code, unreachable_pub)]
        pub const INTROSPECTION: &str = #json;
    }
}
