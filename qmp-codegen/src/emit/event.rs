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
    let (mut names, mut variants) = (Vec::new(), Vec::new());
    let mut declarations = TokenStream::new();
    let mut decoders = TokenStream::new();
    let mut arms = TokenStream::new();
    for (event, ty) in &plan.events {
        let (name, variant) = (event.definition.name.as_str(), scope.camel(&event.definition.name));
        let doc = format!(" [`{name}`](events::{ty}).");
        declarations.extend(quote!(#[doc = #doc] #variant(events::#ty),));
        decoders.extend(quote! {
            if name == #name {
                return ::qmp_types::decode(data).map(Self::#variant);
            }
        });
        arms.extend(quote!(Self::#variant(_) => #name,));
        names.push(name);
        variants.push(variant);
    }
    let beginning = decode_beginning(&names, &variants);
    quote! {
        /// Any event: events of this vocabulary by type, other events by name.
        #[allow(clippy::large_enum_variant, dead_code, deprecated, unreachable_pub)]
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyEvent {
            #declarations
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
                #decoders
                ::qmp_types::decode(data).map(|data| Self::Unknown { name: name.into(), data })
            }

            #beginning

            #[inline]
            fn name(&self) -> &str {
                match self {
                    #arms
                    Self::Unknown { name, .. } => name,
                }
            }
        }
    }
}

/// Emits the function that reads an event in one pass. It looks at the length of the name first:
/// comparing with every name would take longer than reading most events.
fn decode_beginning(names: &[&str], variants: &[Ident]) -> TokenStream {
    if names.is_empty() {
        return TokenStream::new();
    }
    let mut lengths = Vec::with_capacity(names.len());
    for name in names {
        lengths.push(name.len() as u128);
    }
    let mut arms = TokenStream::new();
    for at in order::indices(lengths) {
        let (name, variant) = (names[at], &variants[at]);
        let length = Literal::usize_unsuffixed(name.len());
        arms.extend(quote! {
            (#length, #name) => ::qmp_types::decode_beginning(text)
                .map(|(event, length)| (Self::#variant(event), length)),
        });
    }
    quote! {
        #[inline]
        fn decode_beginning(name: &str, text: &str) -> ::std::option::Option<(Self, usize)> {
            match (name.len(), name) {
                #arms
                _ => ::std::option::Option::None,
            }
        }
    }
}
