//! Unions.
//!
//! A union whose base is only the discriminator is a Rust enum. Any other union is a struct of its
//! base, in which the field of the discriminator is that enum.

use std::collections::{HashMap, HashSet};

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

/// A branch, as Rust: a value of the discriminator, and the members that it adds.
pub(super) struct Variant<'p> {
    pub(super) value: &'p EnumValue,
    pub(super) ident: Ident,
    branch: Option<&'p Branch>,
}

/// The contents of a variant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Contents {
    None,
    Plain,
    Boxed,
}

impl Variant<'_> {
    fn contents(&self, plan: &Plan<'_>, union: TypeId) -> Contents {
        match self.branch {
            None => Contents::None,
            Some(branch) if plan.is_boxed(union, &branch.name) => Contents::Boxed,
            Some(_) => Contents::Plain,
        }
    }

    /// Returns the type that the variant holds, if any.
    pub(super) fn holds(&self, plan: &Plan<'_>, union: TypeId) -> Option<TokenStream> {
        let ty = plan.path(self.branch?.ty);
        Some(match self.contents(plan, union) {
            Contents::Boxed => quote!(::std::boxed::Box<#ty>),
            Contents::None | Contents::Plain => ty,
        })
    }
}

pub(super) fn variants<'p>(plan: &Plan<'p>, union: &'p Union) -> Vec<Variant<'p>> {
    let TypeKind::Enum(values) = &plan.get(union.discriminator_type).kind else {
        return Vec::new();
    };
    let mut scope = Scope::reserving(&["Unknown"]);
    let values = values.values.iter().filter(|value| plan.options.holds(&value.condition));
    let mut branches = HashMap::new();
    for (index, branch) in union.branches.iter().enumerate() {
        if plan.options.holds(&branch.condition) {
            branches.insert(branch.name.as_str(), index);
        }
    }
    values
        .map(|value| Variant {
            value,
            ident: scope.camel(&value.name),
            branch: branches.get(value.name.as_str()).map(|index| &union.branches[*index]),
        })
        .collect()
}

fn emit_branches(plan: &Plan<'_>, id: TypeId, union: &Union, doc: &TokenStream) -> TokenStream {
    let name = plan.branches_name(id);
    let discriminator = &union.discriminator;
    let variants = variants(plan, union);
    let declarations = variants.iter().map(|variant| declare(plan, id, variant));
    let lines = variants.iter().map(|variant| {
        let (ident, wire) = (&variant.ident, &variant.value.name);
        match variant.contents(plan, id) {
            Contents::None => quote!(#ident: #wire,),
            Contents::Plain => quote!(#ident(_): #wire,),
            Contents::Boxed => quote!(#ident(Box<_>): #wire,),
        }
    });
    quote! {
        #doc
        #[derive(Clone, PartialEq)]
        #[non_exhaustive]
        pub enum #name {
            #(#declarations)*
            /// A branch that the schema does not list, as received.
            Unknown {
                /// The value of the discriminator.
                name: ::std::boxed::Box<str>,
                /// The members that the base does not have.
                members: ::qmp_types::serde_json::Map<
                    ::std::string::String,
                    ::qmp_types::serde_json::Value,
                >,
            },
        }

        ::qmp_types::branches! { #name by #discriminator { #(#lines)* } }
    }
}

fn declare(plan: &Plan<'_>, id: TypeId, variant: &Variant<'_>) -> TokenStream {
    let (doc, ident) = (docs::value(plan, variant.value), &variant.ident);
    match variant.holds(plan, id) {
        None => quote!(#doc #ident,),
        Some(ty) => quote!(#doc #ident(#ty),),
    }
}

/// Emits the implementations for a union that is an enum by itself.
fn emit_bare(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    let name = plan.name(id);
    let schema_name = &plan.get(id).definition.name;
    let discriminator = &union.discriminator;
    let from = from_branches(plan, id, union);
    quote! {
        #from

        ::qmp_types::bare_union! { #name = #schema_name by #discriminator }
    }
}

/// Emits conversions into the union, from types that are a branch for one value only.
fn from_branches(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    let name = plan.branches_name(id);
    let variants = variants(plan, union);
    let branches: Vec<_> = variants.iter().filter_map(|v| Some((v, v.branch?))).collect();
    let (mut once, mut often) = (HashSet::new(), HashSet::new());
    for (_, branch) in &branches {
        if !once.insert(branch.ty) {
            often.insert(branch.ty);
        }
    }
    let conversions = branches.iter().filter_map(|(variant, branch)| {
        if often.contains(&branch.ty) {
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
                #[inline]
                fn from(branch: #ty) -> Self {
                    Self::#ident(#value)
                }
            }
        })
    });
    quote!(#(#conversions)*)
}

/// Emits a union that is a struct of its base.
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
        inner: plan.is_inner(id),
    };
    let Some(at) = members.iter().position(|member| member.name == union.discriminator) else {
        return TokenStream::new();
    };
    let branches = plan.branches_name(id);
    object.fields[at].carry_branches(&quote!(super::types::#branches));
    let from = from_branches(plan, id, union);
    let object = object.emit();
    quote!(#object #from)
}
