//! Documentation: turns that of the schema into rustdoc.

use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::quote;

use super::plan::Plan;
use crate::description::Description;
use crate::markup;
use crate::schema::{
    Alternative, Command, Definition, EnumValue, Event, Feature, Member, TypeId, Union,
};

/// Documents a type.
pub(crate) fn definition(plan: &Plan<'_>, definition: &Definition) -> TokenStream {
    let link = |name: &str| plan.link(name);
    let mut doc = Description::new(&link);
    doc.overview(definition, &format!("The type `{}` of the schema.", definition.name));
    doc.sections(definition);
    doc.footer(&format!("Name in the schema: `{}`.", definition.name), definition);
    finish(doc, &definition.features)
}

/// Documents a command.
pub(crate) fn command(plan: &Plan<'_>, command: &Command) -> TokenStream {
    let definition = &command.definition;
    let link = |name: &str| plan.link(name);
    let mut doc = Description::new(&link);
    doc.overview(definition, &format!("The command `{}`.", definition.name));
    doc.sections(definition);
    doc.flags(command);
    doc.footer(&format!("Name on the wire: `{}`.", definition.name), definition);
    finish(doc, &definition.features)
}

/// Documents an event.
pub(crate) fn event(plan: &Plan<'_>, event: &Event) -> TokenStream {
    let definition = &event.definition;
    let link = |name: &str| plan.link(name);
    let mut doc = Description::new(&link);
    doc.overview(definition, &format!("The event `{}`.", definition.name));
    doc.sections(definition);
    doc.footer(&format!("Name on the wire: `{}`.", definition.name), definition);
    finish(doc, &definition.features)
}

/// Documents the enum of a union's branches.
pub(crate) fn branches(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    let definition = &plan.get(id).definition;
    let link = |name: &str| plan.link(name);
    let mut doc = Description::new(&link);
    let name = plan.name(id);
    doc.paragraph(&format!(
        "The branches of [`{name}`](super::types::{name}), selected by its member `{}`.",
        union.discriminator
    ));
    doc.condition(&definition.condition);
    finish(doc, &definition.features)
}

/// Documents a member, an argument, or a part of an event's data.
pub(crate) fn member(plan: &Plan<'_>, definition: &str, member: &Member) -> TokenStream {
    let link = |name: &str| plan.link(name);
    let mut doc = Description::new(&link);
    doc.text(&member.doc, &format!("The member `{}` of `{definition}`.", member.name));
    if member.secret {
        doc.paragraph("The value is secret: `Debug` does not show it.");
    }
    doc.condition(&member.condition);
    finish(doc, &member.features)
}

/// Documents a value of an enumeration, or the branch that it selects.
pub(crate) fn value(plan: &Plan<'_>, value: &EnumValue) -> TokenStream {
    let link = |name: &str| plan.link(name);
    let mut doc = Description::new(&link);
    doc.text(&value.doc, &format!("`{}`.", value.name));
    doc.condition(&value.condition);
    finish(doc, &value.features)
}

/// Documents an alternative of an alternate.
pub(crate) fn alternative(plan: &Plan<'_>, alternative: &Alternative) -> TokenStream {
    let link = |name: &str| plan.link(name);
    let mut doc = Description::new(&link);
    doc.text(&alternative.doc, &format!("`{}`.", alternative.name));
    doc.condition(&alternative.condition);
    finish(doc, &[])
}

/// Returns the attributes: the text line by line, and `#[deprecated]`.
fn finish(mut doc: Description<'_>, features: &[Feature]) -> TokenStream {
    doc.special(features, "unstable", "**Unstable:**");
    let mut attributes = lines(&doc.finish());
    if let Some(feature) = Feature::named(features, "deprecated") {
        let note = markup::plain(&feature.doc);
        attributes.extend(match note.is_empty() {
            true => quote!(#[deprecated]),
            false => quote!(#[deprecated(note = #note)]),
        });
    }
    attributes
}

/// Returns text as documentation, line by line.
pub(super) fn lines(text: &str) -> TokenStream {
    let mut attributes = TokenStream::new();
    for line in text.lines() {
        attributes.extend(attribute(line));
    }
    attributes
}

/// Returns `#[doc = " line"]`, made token by token: most of the generated code is documentation.
fn attribute(line: &str) -> [TokenTree; 2] {
    let text = if line.is_empty() { String::new() } else { format!(" {line}") };
    let attribute = [
        TokenTree::Ident(Ident::new("doc", Span::call_site())),
        TokenTree::Punct(Punct::new('=', Spacing::Alone)),
        TokenTree::Literal(Literal::string(&text)),
    ];
    [
        TokenTree::Punct(Punct::new('#', Spacing::Alone)),
        TokenTree::Group(Group::new(Delimiter::Bracket, attribute.into_iter().collect())),
    ]
}
