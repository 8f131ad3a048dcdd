//! Events: a struct of the data of each, and an enum of all of them.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

use super::command;
use super::docs;
use super::ident::Scope;
use super::plan::Plan;
use crate::order;
use crate::schema::Event;

pub(crate) fn emit(plan: &Plan<'_>, event: &Event, name: &Ident) -> TokenStream {
    let definition = &event.definition;
    let wire = &definition.name;
    let doc = docs::event(plan, event);
    let built = plan.options.constructors_for_all;
    let body = command::body(plan, definition, &event.data, name, doc, false, built);
    quote! {
        #body

        ::qmp_types::event! { #name = #wire }
    }
}

/// Emits the enum of all events, open like everything that is received.
pub(crate) fn emit_any(plan: &Plan<'_>) -> TokenStream {
    let mut scope = Scope::reserving(&["Unknown"]);
    let variants: Vec<_> =
        plan.events.iter().map(|(event, _)| scope.camel(&event.definition.name)).collect();
    let names: Vec<_> = plan.events.iter().map(|(event, _)| &event.definition.name).collect();
    let types: Vec<_> = plan.events.iter().map(|(_, name)| quote!(events::#name)).collect();
    let beginning = decode_beginning(&names, &variants);
    let docs = plan.events.iter().map(|(event, name)| {
        let doc = format!(" [`{}`](events::{name}).", event.definition.name);
        quote!(#[doc = #doc])
    });
    quote! {
        /// Any event: events of this vocabulary by type, other events by name.
        #[allow(clippy::large_enum_variant, dead_code, deprecated, unreachable_pub)]
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyEvent {
            #(#docs #variants(#types),)*
            /// An event that is not in the vocabulary.
            Unknown {
                /// The name of the event.
                name: ::std::boxed::Box<str>,
                /// The data of the event, an empty object if it has none.
                data: ::qmp_types::serde_json::Value,
            },
        }

        #[allow(clippy::too_many_lines, deprecated)]
        impl ::qmp_types::Vocabulary for AnyEvent {
            const EVENTS: &'static [&'static str] = &[#(#names),*];

            #[inline]
            fn decode(
                name: &str,
                data: ::std::option::Option<&::qmp_types::serde_json::value::RawValue>,
            ) -> ::std::result::Result<Self, ::qmp_types::DecodeError> {
                let data = data.map_or("{}", ::qmp_types::serde_json::value::RawValue::get);
                #(
                    if name == #names {
                        return ::qmp_types::decode(data).map(Self::#variants);
                    }
                )*
                ::qmp_types::decode(data).map(|data| Self::Unknown { name: name.into(), data })
            }

            #beginning

            #[inline]
            fn name(&self) -> &str {
                match self {
                    #(Self::#variants(_) => #names,)*
                    Self::Unknown { name, .. } => name,
                }
            }
        }
    }
}

/// Emits the function that reads an event in one pass. It looks at the length of the name first:
/// comparing with every name would take longer than reading most events.
fn decode_beginning(names: &[&String], variants: &[Ident]) -> TokenStream {
    if names.is_empty() {
        return TokenStream::new();
    }
    let by_length = order::indices(names.iter().map(|name| name.len() as u128).collect());
    let arms = by_length.iter().map(|at| {
        let (name, variant) = (names[*at], &variants[*at]);
        let length = Literal::usize_unsuffixed(name.len());
        quote! {
            (#length, #name) => ::qmp_types::decode_beginning(text)
                .map(|(event, length)| (Self::#variant(event), length)),
        }
    });
    quote! {
        #[inline]
        fn decode_beginning(name: &str, text: &str) -> ::std::option::Option<(Self, usize)> {
            match (name.len(), name) {
                #(#arms)*
                _ => ::std::option::Option::None,
            }
        }
    }
}
