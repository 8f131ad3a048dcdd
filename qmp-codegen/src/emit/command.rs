//! Commands: a struct of the arguments, with the type of the reply.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::object::{self, Object};
use super::plan::Plan;
use super::{docs, ident::Scope};
use crate::schema::{Arguments, Command, Definition, TypeId};

pub(crate) fn emit(plan: &Plan<'_>, command: &Command, name: &Ident) -> TokenStream {
    let definition = &command.definition;
    let wire = &definition.name;
    let doc = docs::command(plan, command);
    let body = body(plan, definition, &command.arguments, name, doc, command.is_open(), true);
    let returns = match &command.returns {
        Some(ty) => plan.rust_type(ty),
        None => quote!(::qmp_types::Empty),
    };
    let secrets = plan.secrets(&command.arguments);
    let particular = [
        (!command.has_arguments(plan), quote!(no_arguments)),
        (!command.success_response, quote!(no_success_response)),
        (command.allow_oob, quote!(allow_oob)),
        (command.read_only, quote!(read_only)),
        (!secrets.is_empty(), quote!(secrets(#(#secrets),*))),
    ];
    let particular = particular.iter().filter(|(is, _)| *is).map(|(_, word)| word);
    quote! {
        #body

        ::qmp_types::command! { #name = #wire -> #returns #(, #particular)* }
    }
}

impl Command {
    /// Whether callers may add arguments that the schema does not list.
    pub(super) fn is_open(&self) -> bool {
        match &self.arguments {
            Arguments::Inline(members) => !self.generated && !members.is_empty(),
            Arguments::Named { .. } => false,
        }
    }

    fn has_arguments(&self, plan: &Plan<'_>) -> bool {
        self.is_open()
            || plan.whole_arguments(&self.arguments).is_some()
            || !plan.flat_arguments(&self.arguments).is_empty()
    }
}

/// Emits the struct of a command's arguments or of an event's data.
pub(crate) fn body<'p>(
    plan: &Plan<'p>,
    definition: &Definition,
    arguments: &'p Arguments,
    name: &Ident,
    doc: TokenStream,
    is_open: bool,
    built: bool,
) -> TokenStream {
    if let Some(ty) = plan.whole_arguments(arguments) {
        return emit_whole(plan, ty, definition, name, &doc, built);
    }
    let mut scope = self::scope(is_open);
    let members = plan.flat_arguments(arguments);
    let fields = object::fields(plan, &definition.name, None, &members, &mut scope);
    let object = Object {
        name,
        schema_name: &definition.name,
        doc,
        attributes: object::attributes(plan, &definition.name),
        fields,
        open: is_open.then(|| scope.snake("properties")),
        built,
        inner: false,
    };
    let item = object.emit();
    let from = match arguments {
        Arguments::Named { ty, .. } => emit_from(plan, *ty, name, &object),
        Arguments::Inline(_) => TokenStream::new(),
    };
    quote!(#item #from)
}

/// Returns the scope of a command's fields.
pub(super) fn scope(is_open: bool) -> Scope {
    if is_open { Scope::reserving(&["new", "property"]) } else { object::scope() }
}

/// Emits the conversion into a command from the type of its arguments.
fn emit_from(plan: &Plan<'_>, ty: TypeId, name: &Ident, object: &Object<'_>) -> TokenStream {
    let path = plan.path(ty);
    let fields = object.fields.iter().map(|field| {
        let (ident, optional) = (&field.ident, field.member.optional);
        // A type that contains itself has boxes, which the command does not need.
        match (plan.is_boxed(ty, &field.member.name), optional) {
            (false, _) => quote!(#ident: data.#ident),
            (true, false) => quote!(#ident: *data.#ident),
            (true, true) => quote!(#ident: data.#ident.map(|value| *value)),
        }
    });
    let from = if object.fields.is_empty() { quote!(_) } else { quote!(data) };
    quote! {
        impl ::std::convert::From<#path> for #name {
            #[inline]
            fn from(#from: #path) -> Self {
                Self { #(#fields),* }
            }
        }
    }
}

/// Emits a command or event whose arguments are a union, which cannot be flattened into a struct and
/// is carried whole.
fn emit_whole(
    plan: &Plan<'_>,
    ty: TypeId,
    definition: &Definition,
    name: &Ident,
    doc: &TokenStream,
    built: bool,
) -> TokenStream {
    let path = plan.path(ty);
    let schema_name = &definition.name;
    let new = built.then(|| quote!(new));
    let attributes = object::attributes(plan, schema_name);
    quote! {
        #doc
        #attributes
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct #name {
            /// All members, in one piece.
            pub data: #path,
        }

        ::qmp_types::whole_object! { #new #name (#path) }
    }
}
