//! Alternates: a Rust enum whose alternative is chosen by the JSON type of the value alone.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::ident::Scope;
use super::plan::Plan;
use super::{docs, object};
use crate::schema::{Alternate, Alternative, Builtin, TypeId, TypeKind, TypeRef};

pub(crate) fn emit(plan: &Plan<'_>, id: TypeId, data: &Alternate) -> TokenStream {
    let definition = &plan.get(id).definition;
    let (name, schema_name) = (plan.name(id), &definition.name);
    let doc = docs::definition(plan, definition);
    let attributes = object::attributes(plan, schema_name);
    let mut scope = Scope::default();
    let mut choices = Vec::new();
    for alternative in &data.alternatives {
        if plan.options.holds(&alternative.condition) {
            choices.push(Choice::new(plan, id, alternative, &mut scope));
        }
    }
    let variants = choices.iter().map(|choice| {
        let (doc, ident, ty) = (&choice.doc, &choice.ident, &choice.field);
        quote!(#doc #ident(#ty),)
    });
    let writes = choices.iter().map(|choice| {
        let ident = &choice.ident;
        quote!(Self::#ident(value) => ::qmp_types::serde::Serialize::serialize(value, serializer),)
    });
    // A reference to a type without values is not without values.
    let this = if choices.is_empty() { quote!(*self) } else { quote!(self) };
    let reads = choices.iter().map(Choice::read);
    let conversions = choices.iter().map(|choice| choice.convert(name));
    quote! {
        #doc
        #attributes
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum #name { #(#variants)* }

        #(#conversions)*

        impl ::qmp_types::alternate::Alternate for #name {
            const NAME: &'static str = #schema_name;
            #(#reads)*
        }

        impl ::qmp_types::serde::Serialize for #name {
            fn serialize<S: ::qmp_types::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                match #this { #(#writes)* }
            }
        }

        ::qmp_types::alternate_impls! { #name }
    }
}

/// Returns the alternatives with their identifiers and types.
#[cfg(feature = "tools")]
pub(super) fn variants<'d>(
    plan: &Plan<'_>,
    id: TypeId,
    data: &'d Alternate,
) -> Vec<(&'d Alternative, Ident, TokenStream)> {
    let mut scope = Scope::default();
    let alternatives = data.alternatives.iter().filter(|a| plan.options.holds(&a.condition));
    alternatives
        .map(|alternative| {
            let choice = Choice::new(plan, id, alternative, &mut scope);
            (alternative, choice.ident, choice.field)
        })
        .collect()
}

/// An alternative, as Rust.
struct Choice {
    ident: Ident,
    doc: TokenStream,
    ty: TokenStream,
    field: TokenStream,
    boxed: bool,
    json: Json,
}

/// The JSON type that selects an alternative.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Json {
    Bool,
    Integer,
    Number,
    String,
    Enumeration,
    Null,
    Array,
    Object,
}

impl Choice {
    fn new(plan: &Plan<'_>, id: TypeId, alternative: &Alternative, scope: &mut Scope) -> Self {
        let ty = plan.rust_type(&alternative.ty);
        let boxed = plan.is_boxed(id, &alternative.name);
        Self {
            ident: scope.camel(&alternative.name),
            doc: docs::alternative(plan, alternative),
            field: if boxed { quote!(::std::boxed::Box<#ty>) } else { ty.clone() },
            ty,
            boxed,
            json: json_type(plan, &alternative.ty),
        }
    }

    fn value(&self, value: TokenStream) -> TokenStream {
        let ident = &self.ident;
        if self.boxed {
            quote!(Self::#ident(::std::boxed::Box::new(#value)))
        } else {
            quote!(Self::#ident(#value))
        }
    }

    /// Emits the method that reads this alternative.
    fn read(&self) -> TokenStream {
        let (method, argument, value) = match self.json {
            Json::Bool => ("from_bool", quote!(value: bool), quote!(value)),
            Json::Integer => {
                let value = quote!(::qmp_types::alternate::integer(value)?);
                ("from_integer", quote!(value: i128), value)
            }
            Json::Number => ("from_number", quote!(value: f64), quote!(value)),
            Json::String => ("from_str", quote!(value: &str), quote!(value.into())),
            Json::Enumeration => {
                let value = quote!(::qmp_types::enumeration::parse(value));
                ("from_str", quote!(value: &str), value)
            }
            Json::Null => ("from_null", quote!(), quote!(::qmp_types::Null)),
            Json::Array => {
                let value = self.value(quote!(::qmp_types::alternate::elements(seq)?));
                return quote! {
                    fn from_array<'de, A: ::qmp_types::serde::de::SeqAccess<'de>>(
                        seq: A,
                    ) -> ::std::result::Result<Self, A::Error> {
                        ::std::result::Result::Ok(#value)
                    }
                };
            }
            Json::Object => {
                let value = self.value(quote!(::qmp_types::object::Object::read(members)?));
                return quote! {
                    fn from_object<'de, A: ::qmp_types::serde::de::MapAccess<'de>>(
                        members: &mut ::qmp_types::object::Members<'_, 'de, A>,
                    ) -> ::std::result::Result<Self, A::Error> {
                        ::std::result::Result::Ok(#value)
                    }
                };
            }
        };
        let signature = |method: &str, argument: &TokenStream| {
            let method = Ident::new(method, Span::call_site());
            quote! {
                fn #method<E: ::qmp_types::serde::de::Error>(#argument)
                    -> ::std::result::Result<Self, E>
            }
        };
        let integers = (self.json == Json::Number).then(|| {
            let signature = signature("from_integer", &quote!(value: i128));
            quote!(#signature { Self::from_number(value as f64) })
        });
        let (signature, value) = (signature(method, &argument), self.value(value));
        quote!(#integers #signature { ::std::result::Result::Ok(#value) })
    }

    /// Emits the conversion. Each alternative has a JSON type of its own, hence a Rust type of its
    /// own.
    fn convert(&self, name: &Ident) -> TokenStream {
        let ty = &self.ty;
        let value = self.value(quote!(value));
        let from_str = (self.json == Json::String).then(|| {
            let value = self.value(quote!(value.into()));
            quote! {
                impl ::std::convert::From<&str> for #name {
                    #[inline]
                    fn from(value: &str) -> Self { #value }
                }
            }
        });
        quote! {
            impl ::std::convert::From<#ty> for #name {
                #[inline]
                fn from(value: #ty) -> Self { #value }
            }
            #from_str
        }
    }
}

fn json_type(plan: &Plan<'_>, ty: &TypeRef) -> Json {
    match ty {
        TypeRef::Array(_) => Json::Array,
        TypeRef::Builtin(Builtin::Str | Builtin::QType) => Json::String,
        TypeRef::Builtin(Builtin::Bool) => Json::Bool,
        TypeRef::Builtin(Builtin::Number) => Json::Number,
        // `any` has no JSON type of its own; the checker refuses it in an alternate.
        TypeRef::Builtin(Builtin::Null | Builtin::Any) => Json::Null,
        TypeRef::Builtin(_) => Json::Integer,
        TypeRef::Defined(id) => match plan.get(*id).kind {
            TypeKind::Enum(_) => Json::Enumeration,
            _ => Json::Object,
        },
    }
}
