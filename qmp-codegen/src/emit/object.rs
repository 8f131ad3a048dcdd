//! Everything that is an object with named members: structs, the bases of unions, commands,
//! events.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::docs;
use super::ident::Scope;
use super::plan::Plan;
use crate::schema::{Builtin, Member, TypeId, TypeKind, TypeRef};

/// An object, as Rust: its members with their identifiers and types.
pub(crate) struct Object<'p> {
    pub(crate) name: &'p Ident,
    pub(crate) schema_name: &'p str,
    pub(crate) doc: TokenStream,
    pub(crate) attributes: TokenStream,
    pub(crate) fields: Vec<Field<'p>>,
    /// The field for members that the schema does not list, if the object is open.
    pub(crate) open: Option<Ident>,
    /// Whether it has `new` and setters.
    pub(crate) built: bool,
    /// Whether it is read and written as a part of another object.
    pub(crate) inner: bool,
}

/// A member, as Rust.
pub(crate) struct Field<'p> {
    pub(crate) member: &'p Member,
    pub(crate) ident: Ident,
    /// The type without `Option`.
    pub(crate) ty: TokenStream,
    pub(crate) boxed: bool,
    conversion: Conversion,
    carries_branches: bool,
    doc: TokenStream,
}

pub(crate) fn emit_struct(plan: &Plan<'_>, id: TypeId) -> TokenStream {
    let definition = &plan.get(id).definition;
    let object = Object {
        name: plan.name(id),
        schema_name: &definition.name,
        doc: docs::definition(plan, definition),
        attributes: attributes(plan, &definition.name),
        fields: fields(plan, &definition.name, Some(id), &plan.members(id), &mut scope()),
        open: None,
        built: plan.is_built_by_callers(id),
        inner: plan.is_inner(id),
    };
    object.emit()
}

pub(crate) fn attributes(plan: &Plan<'_>, schema_name: &str) -> TokenStream {
    plan.options.attributes.get(schema_name).cloned().unwrap_or_default()
}

/// Returns the scope of an object's fields. Setters have the names of their fields, so `new` is
/// taken.
pub(crate) fn scope() -> Scope {
    Scope::reserving(&["new"])
}

pub(crate) fn fields<'p>(
    plan: &Plan<'p>,
    definition: &str,
    owner: Option<TypeId>,
    members: &[&'p Member],
    scope: &mut Scope,
) -> Vec<Field<'p>> {
    members
        .iter()
        .map(|member| {
            let boxed = owner.is_some_and(|owner| plan.is_boxed(owner, &member.name));
            let (ty, conversion) = match plan.options.member_type(definition, &member.name) {
                Some(ty) => (quote!(#ty), Conversion::None),
                None => (plan.rust_type(&member.ty), Conversion::of(plan, &member.ty)),
            };
            Field {
                member,
                ident: scope.snake(&member.name),
                ty,
                boxed,
                conversion,
                carries_branches: false,
                doc: docs::member(plan, definition, member),
            }
        })
        .collect()
}

impl Field<'_> {
    /// Turns the discriminator into the field of a union's branches.
    pub(crate) fn carry_branches(&mut self, ty: &TokenStream) {
        self.ty = ty.clone();
        self.conversion = Conversion::Into;
        self.carries_branches = true;
    }

    /// Returns the type of the Rust field.
    pub(crate) fn field_type(&self) -> TokenStream {
        let ty = &self.ty;
        let ty = if self.boxed { quote!(::std::boxed::Box<#ty>) } else { quote!(#ty) };
        if self.member.optional { quote!(::std::option::Option<#ty>) } else { ty }
    }

    /// Emits the member as `qmp_types::object!` takes it, with its parameter if callers build the
    /// object.
    fn line(&self, built: bool) -> TokenStream {
        let (ident, wire) = (&self.ident, &self.member.name);
        let mark = match (self.carries_branches, self.member.optional) {
            (true, _) => quote!(=>),
            (false, true) => quote!(?:),
            (false, false) => quote!(:),
        };
        let parameter = built.then(|| self.parameter());
        quote!(#ident #mark #wire #parameter,)
    }

    fn parameter(&self) -> TokenStream {
        let ty = &self.ty;
        let given = match self.conversion {
            Conversion::None => quote!(#ty),
            Conversion::String => quote!(string),
            Conversion::Strings => quote!(strings),
            Conversion::Into => quote!(into #ty),
        };
        if self.boxed { quote!((boxed #given)) } else { quote!((#given)) }
    }
}

/// The conversion of an argument, so that callers need not wrap `"disk0"` or an alternative of an
/// alternate.
#[derive(Clone, Copy)]
enum Conversion {
    None,
    Into,
    String,
    Strings,
}

impl Conversion {
    fn of(plan: &Plan<'_>, ty: &TypeRef) -> Self {
        match ty {
            TypeRef::Builtin(Builtin::Str) => Self::String,
            TypeRef::Builtin(Builtin::Any) => Self::Into,
            TypeRef::Defined(id) if matches!(plan.get(*id).kind, TypeKind::Alternate(_)) => {
                Self::Into
            }
            TypeRef::Array(element) if **element == TypeRef::Builtin(Builtin::Str) => Self::Strings,
            _ => Self::None,
        }
    }
}

impl Object<'_> {
    /// Emits the struct and its implementations.
    pub(crate) fn emit(&self) -> TokenStream {
        let (name, schema_name, doc, attributes) =
            (self.name, self.schema_name, &self.doc, &self.attributes);
        let fields = self.fields.iter().map(|field| {
            let (doc, ident, ty) = (&field.doc, &field.ident, field.field_type());
            quote!(#doc pub #ident: #ty,)
        });
        let open_field = self.open.as_ref().map(|open| {
            quote! {
                /// Members that the schema does not list.
                pub #open: ::qmp_types::serde_json::Map<
                    ::std::string::String,
                    ::qmp_types::serde_json::Value,
                >,
            }
        });
        let default = self.has_default().then(|| quote!(Default,));
        let hides = self.hides_something();
        let debug = (!hides).then(|| quote!(Debug,));
        let masked = hides.then(|| self.emit_debug());
        let new = self.built.then(|| quote!(new));
        let inner = self.inner.then(|| quote!(inner));
        let mandatory = self.fields.iter().filter(|field| !field.member.optional);
        let optional = self.fields.iter().filter(|field| field.member.optional);
        let lines = mandatory.chain(optional).map(|field| field.line(self.built));
        let open = self.open.as_ref().map(|open| quote!(..#open));
        quote! {
            #doc
            #attributes
            #[derive(Clone, #debug #default PartialEq)]
            #[non_exhaustive]
            pub struct #name { #(#fields)* #open_field }

            ::qmp_types::object! { #new #inner #name = #schema_name { #(#lines)* #open } }

            #masked
        }
    }

    /// Returns whether `Debug` does not show everything: the object has secrets, or members that the
    /// schema does not list, which may be secrets.
    fn hides_something(&self) -> bool {
        self.open.is_some() || self.fields.iter().any(|field| field.member.secret)
    }

    /// Emits `Debug`, without secrets.
    fn emit_debug(&self) -> TokenStream {
        let name = self.name;
        let fields = self.fields.iter().map(|field| {
            let (ident, optional) = (&field.ident, field.member.optional);
            match (field.member.secret, optional) {
                (false, _) => quote!(#ident,),
                (true, false) => quote!(#ident: secret,),
                (true, true) => quote!(#ident?: secret,),
            }
        });
        let open = self.open.as_ref().map(|open| quote!(..#open));
        quote!(::qmp_types::debug_without_secrets! { #name { #(#fields)* #open } })
    }

    fn has_default(&self) -> bool {
        self.built && self.fields.iter().all(|field| field.member.optional)
    }
}
