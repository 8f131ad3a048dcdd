//! Everything that is an object with named members: structs, the bases of unions, commands,
//! events.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::docs;
use super::ident::Scope;
use super::plan::Plan;
use crate::schema::{Builtin, Member, TypeId, TypeKind, TypeRef};

/// An object on its way to Rust: its members with their identifiers and types.
pub(crate) struct Object<'p> {
    pub(crate) name: &'p Ident,
    pub(crate) schema_name: &'p str,
    pub(crate) doc: TokenStream,
    pub(crate) attributes: TokenStream,
    pub(crate) fields: Vec<Field<'p>>,
    /// Whether members that the schema does not list are carried, too.
    pub(crate) open: Option<Ident>,
    /// Whether `new` and setters are wanted.
    pub(crate) built: bool,
}

/// A member on its way to Rust.
pub(crate) struct Field<'p> {
    pub(crate) member: &'p Member,
    pub(crate) ident: Ident,
    /// Its type without `Option`.
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
    };
    let members = object.members_const();
    let read = object.read_members();
    object.emit(&members, &read)
}

pub(crate) fn attributes(plan: &Plan<'_>, schema_name: &str) -> TokenStream {
    let attributes = plan.options.attributes.get(schema_name).into_iter().flatten();
    quote!(#(#attributes)*)
}

/// The scope of an object's fields; a setter has its field's name, and `new` is taken.
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
            let key = (definition.to_owned(), member.name.clone());
            let boxed = owner.is_some_and(|owner| plan.is_boxed(owner, &member.name));
            let (ty, conversion) = match plan.options.member_types.get(&key) {
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
    /// Makes it the field of a union's branches: it writes the discriminator and their members.
    pub(crate) fn carry_branches(&mut self, ty: &TokenStream) {
        self.ty = ty.clone();
        self.conversion = Conversion::Into;
        self.carries_branches = true;
    }

    /// The type of the Rust field.
    fn field_type(&self) -> TokenStream {
        let ty = &self.ty;
        let ty = if self.boxed { quote!(::std::boxed::Box<#ty>) } else { quote!(#ty) };
        if self.member.optional { quote!(::std::option::Option<#ty>) } else { ty }
    }

    /// The type of a parameter that sets the field, and how it becomes the field's value.
    fn parameter(&self) -> (TokenStream, TokenStream) {
        let (ident, ty) = (&self.ident, &self.ty);
        let (parameter, value) = match self.conversion {
            Conversion::None => (quote!(#ty), quote!(#ident)),
            Conversion::Into => (quote!(impl ::std::convert::Into<#ty>), quote!(#ident.into())),
            Conversion::Strings => (
                quote!(
                    impl ::std::iter::IntoIterator<
                        Item = impl ::std::convert::Into<::std::string::String>,
                    >
                ),
                quote!(#ident.into_iter().map(::std::convert::Into::into).collect()),
            ),
        };
        if self.boxed {
            (parameter, quote!(::std::boxed::Box::new(#value)))
        } else {
            (parameter, value)
        }
    }
}

/// What a caller may give where a member is set, so that `"disk0"` and an alternative of an
/// alternate need no wrapping.
#[derive(Clone, Copy, Debug)]
enum Conversion {
    None,
    Into,
    Strings,
}

impl Conversion {
    fn of(plan: &Plan<'_>, ty: &TypeRef) -> Self {
        match ty {
            TypeRef::Builtin(Builtin::Str | Builtin::Any) => Self::Into,
            TypeRef::Defined(id) if matches!(plan.get(*id).kind, TypeKind::Alternate(_)) => {
                Self::Into
            }
            TypeRef::Array(element) if **element == TypeRef::Builtin(Builtin::Str) => Self::Strings,
            _ => Self::None,
        }
    }
}

impl Object<'_> {
    pub(crate) fn members_const(&self) -> TokenStream {
        let names = self.fields.iter().map(|field| &field.member.name);
        quote!(&[#(#names),*])
    }

    /// The whole item: struct, constructor, reading and writing.
    pub(crate) fn emit(&self, members: &TokenStream, read: &TokenStream) -> TokenStream {
        let (name, schema_name, doc, attributes) =
            (self.name, self.schema_name, &self.doc, &self.attributes);
        let fields = self.fields.iter().map(|field| {
            let (doc, ident, ty) = (&field.doc, &field.ident, field.field_type());
            quote!(#doc pub #ident: #ty,)
        });
        let open = self.open.as_ref().map(|open| {
            quote! {
                /// Members that the schema does not list.
                pub #open: ::qmp_types::serde_json::Map<
                    ::std::string::String,
                    ::qmp_types::serde_json::Value,
                >,
            }
        });
        let default = self.has_default().then(|| quote!(Default,));
        let build = self.built.then(|| self.emit_build());
        let write = self.write_members();
        quote! {
            #doc
            #attributes
            #[derive(Clone, Debug, #default PartialEq)]
            #[non_exhaustive]
            pub struct #name { #(#fields)* #open }

            #build

            impl ::qmp_types::object::Object for #name {
                const NAME: &'static str = #schema_name;
                const MEMBERS: &'static [&'static str] = #members;

                fn read<'de, A: ::qmp_types::serde::de::MapAccess<'de>>(
                    members: &mut ::qmp_types::object::Members<'_, 'de, A>,
                ) -> ::std::result::Result<Self, A::Error> {
                    #read
                }

                fn write<M: ::qmp_types::serde::ser::SerializeMap>(
                    &self,
                    out: &mut ::qmp_types::object::Writer<'_, M>,
                ) {
                    #write
                }
            }

            ::qmp_types::object_impls!(#name);
        }
    }

    fn has_default(&self) -> bool {
        self.built && self.fields.iter().all(|field| field.member.optional)
    }

    /// Reads the members in a loop; the last one needs no pattern of its own.
    ///
    /// Few ways lead out of the function: each has to drop all slots, and the compiler's work
    /// grows with their product.
    pub(crate) fn read_members(&self) -> TokenStream {
        let slots: Vec<_> = (0..self.fields.len()).map(slot).collect();
        let arms = self.arms(&quote!(members), None);
        let open = self.open.as_ref();
        let finish = self.finish(None, &quote!(#open));
        let next = match open {
            Some(open) => quote!(members.next_or_keep(Self::MEMBERS, &mut #open)?),
            None => quote!(members.next(Self::MEMBERS)?),
        };
        let new_open =
            open.map(|open| quote!(let mut #open = ::qmp_types::serde_json::Map::new();));
        if slots.is_empty() {
            return quote! {
                #new_open
                while #next.is_some() {}
                ::std::result::Result::Ok(Self { #open })
            };
        }
        quote! {
            #(let mut #slots = ::std::option::Option::None;)*
            #new_open
            while let ::std::option::Option::Some(member) = #next {
                match member { #arms }?;
            }
            #finish
        }
    }

    /// The arms that read each member into its slot, but the discriminator.
    pub(crate) fn arms(&self, source: &TokenStream, but: Option<usize>) -> TokenStream {
        let last = self.fields.len().saturating_sub(1);
        let arms = (0..self.fields.len()).filter(|index| Some(*index) != but).map(|index| {
            let slot = slot(index);
            let pattern = if index == last && but.is_none() { quote!(_) } else { quote!(#index) };
            quote!(#pattern => #source.fill(&mut #slot),)
        });
        quote!(#(#arms)*)
    }

    /// The finished struct from its slots, but the discriminator's, which `rest` gives.
    pub(crate) fn finish(&self, but: Option<usize>, rest: &TokenStream) -> TokenStream {
        let fields = self.fields.iter().enumerate().filter(|(index, _)| Some(*index) != but);
        let inits = fields.clone().map(|(index, field)| {
            let (ident, slot) = (&field.ident, slot(index));
            quote!(#ident: #slot,)
        });
        let done = quote!(::std::result::Result::Ok(Self { #(#inits)* #rest }));
        let (slots, wires): (Vec<_>, Vec<_>) = fields
            .filter(|(_, field)| !field.member.optional)
            .map(|(index, field)| (slot(index), &field.member.name))
            .unzip();
        if slots.is_empty() {
            return done;
        }
        quote! {
            match (#(#slots,)*) {
                (#(::std::option::Option::Some(#slots),)*) => #done,
                (#(#slots,)*) => ::std::result::Result::Err(
                    members.missing(&[#((#slots.is_none(), #wires)),*]),
                ),
            }
        }
    }

    fn write_members(&self) -> TokenStream {
        let writes = self.fields.iter().map(|field| write_field(field));
        let open = self.open.as_ref().map(|open| quote!(out.open(&self.#open);));
        if self.fields.is_empty() && open.is_none() {
            return quote!(let _ = out;);
        }
        quote!(#(#writes)* #open)
    }

    /// `new` with the mandatory members, a setter for each optional one.
    fn emit_build(&self) -> TokenStream {
        let name = self.name;
        let required = self.fields.iter().filter(|field| !field.member.optional);
        let (parameters, values): (Vec<_>, Vec<_>) = required
            .map(|field| {
                let (ty, value) = field.parameter();
                let ident = &field.ident;
                (quote!(#ident: #ty), quote!(#ident: #value))
            })
            .unzip();
        let absent = self.fields.iter().filter(|field| field.member.optional).map(|field| {
            let ident = &field.ident;
            quote!(#ident: ::std::option::Option::None)
        });
        let open = self.open.iter().map(|open| quote!(#open: ::qmp_types::serde_json::Map::new()));
        let inits = values.into_iter().chain(absent).chain(open);
        let setters = self.fields.iter().filter(|field| field.member.optional).map(setter);
        let doc = if parameters.is_empty() {
            "With nothing set."
        } else {
            "With the mandatory members; the optional ones are set one by one."
        };
        let property = self.open.as_ref().map(|open| {
            quote! {
                /// Adds a member that the schema does not list.
                #[must_use]
                pub fn property(
                    mut self,
                    name: impl ::std::convert::Into<::std::string::String>,
                    value: impl ::std::convert::Into<::qmp_types::serde_json::Value>,
                ) -> Self {
                    self.#open.insert(name.into(), value.into());
                    self
                }
            }
        });
        quote! {
            impl #name {
                #[doc = #doc]
                #[must_use]
                pub fn new(#(#parameters),*) -> Self {
                    Self { #(#inits),* }
                }
                #(#setters)*
                #property
            }
        }
    }
}

fn setter(field: &Field<'_>) -> TokenStream {
    let ident = &field.ident;
    let (ty, value) = field.parameter();
    let doc = format!("Sets [`{ident}`](Self::{ident}).");
    quote! {
        #[doc = #doc]
        #[must_use]
        pub fn #ident(mut self, #ident: #ty) -> Self {
            self.#ident = ::std::option::Option::Some(#value);
            self
        }
    }
}

fn write_field(field: &Field<'_>) -> TokenStream {
    let (ident, wire) = (&field.ident, &field.member.name);
    if field.carries_branches {
        quote!(out.branches(&self.#ident);)
    } else if field.member.optional {
        quote!(out.optional(#wire, &self.#ident);)
    } else {
        quote!(out.member(#wire, &self.#ident);)
    }
}

/// The variable that holds a member until all are read. A name of its own, since a member may be
/// called like anything else in scope.
pub(crate) fn slot(index: usize) -> Ident {
    Ident::new(&format!("slot{index}"), proc_macro2::Span::call_site())
}
