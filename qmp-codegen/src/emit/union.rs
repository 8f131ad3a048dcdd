//! Unions.
//!
//! Where the base is only the discriminator, the union is a Rust enum. Where there is more in the
//! base, it is a struct of the base, in which the discriminator's field is that enum.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::docs;
use super::ident::Scope;
use super::object::{self, Object};
use super::plan::Plan;
use crate::schema::{Branch, EnumValue, TypeId, TypeKind, Union};

pub(crate) fn emit(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    if plan.is_bare_union(id) {
        let doc = docs::definition(plan, &plan.get(id).definition);
        let attributes = object::attributes(plan, &plan.get(id).definition.name);
        let branches = emit_branches(plan, id, union, &quote!(#doc #attributes));
        let object = emit_bare(plan, id, union);
        quote!(#branches #object)
    } else {
        let doc = docs::branches(plan, id, union);
        let branches = emit_branches(plan, id, union, &doc);
        let object = emit_with_base(plan, id, union);
        quote!(#object #branches)
    }
}

/// A branch on its way to Rust: a value of the discriminator, and what it adds.
struct Variant<'p> {
    value: &'p EnumValue,
    ident: Ident,
    branch: Option<&'p Branch>,
}

fn variants<'p>(plan: &Plan<'p>, union: &'p Union) -> Vec<Variant<'p>> {
    let TypeKind::Enum(values) = &plan.get(union.discriminator_type).kind else {
        return Vec::new();
    };
    let mut scope = Scope::reserving(&["Unknown"]);
    let values = values.values.iter().filter(|value| plan.options.holds(&value.condition));
    values
        .map(|value| Variant {
            value,
            ident: scope.camel(&value.name),
            branch: union
                .branches
                .iter()
                .find(|branch| branch.name == value.name && plan.options.holds(&branch.condition)),
        })
        .collect()
}

fn emit_branches(plan: &Plan<'_>, id: TypeId, union: &Union, doc: &TokenStream) -> TokenStream {
    let name = plan.branches_name(id);
    let discriminator = &union.discriminator;
    let variants = variants(plan, union);
    let declarations = variants.iter().map(|variant| declare(plan, id, variant));
    let reads = variants.iter().map(|variant| read(plan, id, variant));
    let writes = variants.iter().filter_map(|variant| Some((variant, variant.branch?)));
    let writes = writes.map(|(variant, branch)| {
        let ident = &variant.ident;
        let boxed = plan.is_boxed(id, &branch.name);
        let branch = if boxed { quote!(&**branch) } else { quote!(branch) };
        quote!(Self::#ident(branch) => ::qmp_types::object::Object::write(#branch, out),)
    });
    let without = variants.iter().any(|variant| variant.branch.is_none());
    let without = without.then(|| quote!(_ => {}));
    let names = variants.iter().map(|variant| {
        let (ident, wire) = (&variant.ident, &variant.value.name);
        let fields = variant.branch.map(|_| quote!((..)));
        quote!(Self::#ident #fields => #wire,)
    });
    quote! {
        #doc
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum #name {
            #(#declarations)*
            /// A branch that the schema does not know, as it came.
            Unknown {
                /// The discriminator's value.
                name: ::std::boxed::Box<str>,
                /// The members that the base does not list.
                members: ::qmp_types::serde_json::Map<
                    ::std::string::String,
                    ::qmp_types::serde_json::Value,
                >,
            },
        }

        impl #name {
            /// The discriminator's value on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    #(#names)*
                    Self::Unknown { name, .. } => name,
                }
            }
        }

        impl ::qmp_types::object::Branches for #name {
            const DISCRIMINATOR: &'static str = #discriminator;

            fn read_branch<'de, A: ::qmp_types::serde::de::MapAccess<'de>>(
                value: &str,
                members: &mut ::qmp_types::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                ::std::result::Result::Ok(match value {
                    #(#reads)*
                    _ => Self::Unknown { name: value.into(), members: members.rest()? },
                })
            }

            fn write_branch<M: ::qmp_types::serde::ser::SerializeMap>(
                &self,
                out: &mut ::qmp_types::object::Writer<'_, M>,
            ) {
                match self {
                    #(#writes)*
                    Self::Unknown { members, .. } => out.open(members),
                    #without
                }
            }

            fn discriminator(&self) -> &str {
                self.as_str()
            }
        }
    }
}

fn declare(plan: &Plan<'_>, id: TypeId, variant: &Variant<'_>) -> TokenStream {
    let (doc, ident) = (docs::value(plan, variant.value), &variant.ident);
    match variant.branch {
        None => quote!(#doc #ident,),
        Some(branch) => {
            let ty = plan.path(branch.ty);
            if plan.is_boxed(id, &branch.name) {
                quote!(#doc #ident(::std::boxed::Box<#ty>),)
            } else {
                quote!(#doc #ident(#ty),)
            }
        }
    }
}

fn read(plan: &Plan<'_>, id: TypeId, variant: &Variant<'_>) -> TokenStream {
    let (ident, wire) = (&variant.ident, &variant.value.name);
    let value = match variant.branch {
        // The base members that are still to come must be read all the same.
        None => quote!({ members.skip_rest()?; Self::#ident }),
        Some(branch) => {
            let read = quote!(::qmp_types::object::Object::read(members)?);
            if plan.is_boxed(id, &branch.name) {
                quote!(Self::#ident(::std::boxed::Box::new(#read)))
            } else {
                quote!(Self::#ident(#read))
            }
        }
    };
    quote!(#wire => #value,)
}

/// The union that is an enum by itself, as an object.
fn emit_bare(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    let name = plan.name(id);
    let schema_name = &plan.get(id).definition.name;
    let discriminator = &union.discriminator;
    let from = from_branches(plan, id, union);
    quote! {
        #from

        impl ::qmp_types::object::Object for #name {
            const NAME: &'static str = #schema_name;
            const MEMBERS: &'static [&'static str] = &[#discriminator];

            fn read<'de, A: ::qmp_types::serde::de::MapAccess<'de>>(
                members: &mut ::qmp_types::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                members.branches(Self::MEMBERS, &mut |_, source| source.skip())
            }

            fn write<M: ::qmp_types::serde::ser::SerializeMap>(
                &self,
                out: &mut ::qmp_types::object::Writer<'_, M>,
            ) {
                out.branches(self);
            }
        }

        ::qmp_types::object_impls!(#name);
    }
}

/// A branch that only one value has converts into the union.
fn from_branches(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    let name = plan.branches_name(id);
    let variants = variants(plan, union);
    let branches: Vec<_> = variants.iter().filter_map(|v| Some((v, v.branch?))).collect();
    let conversions = branches.iter().filter_map(|(variant, branch)| {
        if branches.iter().filter(|(_, other)| other.ty == branch.ty).count() > 1 {
            return None;
        }
        let (ident, ty) = (&variant.ident, plan.path(branch.ty));
        let value = if plan.is_boxed(id, &branch.name) {
            quote!(::std::boxed::Box::new(branch))
        } else {
            quote!(branch)
        };
        Some(quote! {
            impl ::std::convert::From<#ty> for #name {
                fn from(branch: #ty) -> Self {
                    Self::#ident(#value)
                }
            }
        })
    });
    quote!(#(#conversions)*)
}

/// The union that is a struct of its base.
fn emit_with_base(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    let definition = &plan.get(id).definition;
    let members = plan.members(id);
    let mut object = Object {
        name: plan.name(id),
        schema_name: &definition.name,
        doc: docs::definition(plan, definition),
        attributes: object::attributes(plan, &definition.name),
        fields: object::fields(plan, &definition.name, Some(id), &members, &mut object::scope()),
        open: None,
        built: plan.is_built_by_callers(id),
    };
    let Some(at) = members.iter().position(|member| member.name == union.discriminator) else {
        return TokenStream::new();
    };
    let branches = plan.branches_name(id);
    object.fields[at].carry_branches(&quote!(super::types::#branches));
    let from = from_branches(plan, id, union);
    let names = object.members_const();
    let read = read_with_base(&object, at);
    let object = object.emit(&names, &read);
    quote!(#object #from)
}

fn read_with_base(object: &Object<'_>, discriminator: usize) -> TokenStream {
    let slots = (0..object.fields.len()).filter(|index| *index != discriminator);
    let slots = slots.map(object::slot);
    let ident = &object.fields[discriminator].ident;
    let arms = object.arms(&quote!(source), Some(discriminator));
    let finish = object.finish(Some(discriminator), &quote!(#ident: branches));
    quote! {
        #(let mut #slots = ::std::option::Option::None;)*
        let branches = members.branches(Self::MEMBERS, &mut |member, source| {
            match member {
                #arms
                _ => source.skip(),
            }
        })?;
        #finish
    }
}
