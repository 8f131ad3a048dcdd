//! Enumerations: a Rust enum that stays open.

use proc_macro2::TokenStream;
use quote::quote;

use super::docs;
use super::ident::Scope;
use super::object;
use super::plan::Plan;
use crate::schema::{Enum, EnumValue, TypeId};

pub(crate) fn emit(plan: &Plan<'_>, id: TypeId, data: &Enum) -> TokenStream {
    let definition = &plan.get(id).definition;
    let name = plan.name(id);
    let schema_name = &definition.name;
    let values: Vec<&EnumValue> =
        data.values.iter().filter(|value| plan.options.holds(&value.condition)).collect();
    let mut scope = scope();
    let idents: Vec<_> = values.iter().map(|value| scope.camel(&value.name)).collect();
    let wires: Vec<_> = values.iter().map(|value| &value.name).collect();
    let docs = values.iter().map(|value| docs::value(plan, value));
    let doc = docs::definition(plan, definition);
    let attributes = object::attributes(plan, schema_name);
    quote! {
        #doc
        #attributes
        #[derive(Clone, Debug, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum #name {
            #(#docs #idents,)*
            /// A value that the schema does not list, as received.
            Unknown(::std::boxed::Box<str>),
        }

        ::qmp_types::enumeration! { #name = #schema_name { #(#idents: #wires,)* } }
    }
}

/// Returns the scope of an enumeration's values.
pub(super) fn scope() -> Scope {
    Scope::reserving(&["Unknown"])
}
