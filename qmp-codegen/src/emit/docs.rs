//! Documentation: turns that of the schema into rustdoc.

use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::quote;

use super::plan::Plan;
use crate::markup;
use crate::schema::{
    Alternative, Command, Condition, Definition, EnumValue, Event, Feature, Member, SectionKind,
    TypeId, Union,
};

/// Documents a type.
pub(crate) fn definition(plan: &Plan<'_>, definition: &Definition) -> TokenStream {
    let mut doc = Doc::new(plan);
    doc.overview(definition, &format!("The type `{}` of the schema.", definition.name));
    doc.sections(definition);
    doc.footer(&format!("Name in the schema: `{}`.", definition.name), definition);
    doc.finish(&definition.features)
}

/// Documents a command.
pub(crate) fn command(plan: &Plan<'_>, command: &Command) -> TokenStream {
    let definition = &command.definition;
    let mut doc = Doc::new(plan);
    doc.overview(definition, &format!("The command `{}`.", definition.name));
    doc.sections(definition);
    if command.read_only {
        doc.paragraph("Has no effect on the machine.");
    }
    if command.allow_oob {
        doc.paragraph("Can be executed out-of-band.");
    }
    if command.allow_preconfig {
        doc.paragraph("Available before the virtual machine is built (`--preconfig`).");
    }
    if !command.success_response {
        doc.paragraph("The server does not reply on success.");
    }
    doc.footer(&format!("Name on the wire: `{}`.", definition.name), definition);
    doc.finish(&definition.features)
}

/// Documents an event.
pub(crate) fn event(plan: &Plan<'_>, event: &Event) -> TokenStream {
    let definition = &event.definition;
    let mut doc = Doc::new(plan);
    doc.overview(definition, &format!("The event `{}`.", definition.name));
    doc.sections(definition);
    doc.footer(&format!("Name on the wire: `{}`.", definition.name), definition);
    doc.finish(&definition.features)
}

/// Documents the enum of a union's branches.
pub(crate) fn branches(plan: &Plan<'_>, id: TypeId, union: &Union) -> TokenStream {
    let definition = &plan.get(id).definition;
    let mut doc = Doc::new(plan);
    let name = plan.name(id);
    doc.paragraph(&format!(
        "The branches of [`{name}`](super::types::{name}), selected by its member `{}`.",
        union.discriminator
    ));
    doc.condition(&definition.condition);
    doc.finish(&definition.features)
}

/// Documents a member, an argument, or a part of an event's data.
pub(crate) fn member(plan: &Plan<'_>, definition: &str, member: &Member) -> TokenStream {
    let mut doc = Doc::new(plan);
    doc.text(&member.doc, &format!("The member `{}` of `{definition}`.", member.name));
    if member.secret {
        doc.paragraph("The value is secret: `Debug` does not show it.");
    }
    doc.condition(&member.condition);
    doc.finish(&member.features)
}

/// Documents a value of an enumeration, or the branch that it selects.
pub(crate) fn value(plan: &Plan<'_>, value: &EnumValue) -> TokenStream {
    let mut doc = Doc::new(plan);
    doc.text(&value.doc, &format!("`{}`.", value.name));
    doc.condition(&value.condition);
    doc.finish(&value.features)
}

/// Documents an alternative of an alternate.
pub(crate) fn alternative(plan: &Plan<'_>, alternative: &Alternative) -> TokenStream {
    let mut doc = Doc::new(plan);
    doc.text(&alternative.doc, &format!("`{}`.", alternative.name));
    doc.condition(&alternative.condition);
    doc.finish(&[])
}

/// Collects documentation, as paragraphs of Markdown.
struct Doc<'p> {
    plan: &'p Plan<'p>,
    markdown: String,
}

impl<'p> Doc<'p> {
    fn new(plan: &'p Plan<'p>) -> Self {
        Self { plan, markdown: String::new() }
    }

    fn paragraph(&mut self, markdown: &str) {
        let markdown = markdown.trim_end();
        if markdown.is_empty() {
            return;
        }
        if !self.markdown.is_empty() {
            self.markdown.push_str("\n\n");
        }
        self.markdown.push_str(markdown);
    }

    fn heading(&mut self, title: &str) {
        self.paragraph(&format!("# {title}"));
    }

    fn text(&mut self, text: &str, otherwise: &str) {
        if text.trim().is_empty() {
            self.paragraph(otherwise);
        } else {
            self.paragraph(&self.markdown_of(text));
        }
    }

    fn markdown_of(&self, text: &str) -> String {
        markup::to_markdown(text, &|name| self.plan.link(name))
    }

    fn overview(&mut self, definition: &Definition, otherwise: &str) {
        self.text(&definition.doc.body, otherwise);
    }

    fn sections(&mut self, definition: &Definition) {
        for section in &definition.doc.sections {
            let text = &section.text;
            match section.kind {
                SectionKind::Plain => self.paragraph(&self.markdown_of(text)),
                SectionKind::Returns => {
                    self.heading("Returns");
                    self.paragraph(&self.markdown_of(text));
                }
                SectionKind::Errors => {
                    self.heading("Errors");
                    self.paragraph(&self.markdown_of(text));
                }
                SectionKind::Note => {
                    self.paragraph(&markup::titled("**Note:**", &self.markdown_of(text)));
                }
                SectionKind::Example => {
                    self.heading("Examples");
                    self.paragraph(&markup::literal(text));
                }
                SectionKind::Todo => {}
            }
        }
        self.feature_list(definition);
    }

    /// Adds features other than those that have a meaning of their own.
    fn feature_list(&mut self, definition: &Definition) {
        let mut features = definition.features.iter().filter(|f| !f.is_special()).peekable();
        if features.peek().is_none() {
            return;
        }
        self.heading("Features");
        let items = features.map(|feature| {
            let text = self.markdown_of(&feature.doc);
            markup::titled(&format!("- `{}`:", feature.name), &text).replace('\n', "\n  ")
        });
        let items: Vec<String> = items.collect();
        self.paragraph(&items.join("\n"));
    }

    fn footer(&mut self, name: &str, definition: &Definition) {
        match &definition.doc.since {
            Some(since) => {
                self.paragraph(&format!("{name} Available since {}.", markup::line(since)));
            }
            None => self.paragraph(name),
        }
        self.condition(&definition.condition);
    }

    fn condition(&mut self, condition: &Option<Condition>) {
        if let Some(condition) = condition {
            self.paragraph(&format!("Available if {}.", condition.describe()));
        }
    }

    /// Returns the attributes: the text line by line, and `#[deprecated]`.
    fn finish(mut self, features: &[Feature]) -> TokenStream {
        let special = |name: &str| features.iter().find(|feature| feature.name == name);
        if let Some(unstable) = special("unstable") {
            let text = self.markdown_of(&unstable.doc);
            self.paragraph(&markup::titled("**Unstable:**", &text));
        }
        let deprecated = special("deprecated").map(|feature| {
            let note = markup::plain(&feature.doc);
            if note.is_empty() {
                quote!(#[deprecated])
            } else {
                quote!(#[deprecated(note = #note)])
            }
        });
        let mut attributes: TokenStream = self.markdown.lines().flat_map(attribute).collect();
        attributes.extend(deprecated);
        attributes
    }
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

impl Feature {
    /// Whether the feature has a meaning of its own in the language.
    fn is_special(&self) -> bool {
        matches!(self.name.as_str(), "deprecated" | "unstable")
    }
}

impl Condition {
    /// Describes the condition in words, each symbol as code.
    fn describe(&self) -> String {
        let join = |conditions: &[Self], word: &str| {
            let parts: Vec<String> = conditions.iter().map(|c| c.nested()).collect();
            parts.join(word)
        };
        match self {
            Self::Symbol(symbol) => format!("`{symbol}`"),
            Self::All(conditions) => join(conditions, " and "),
            Self::Any(conditions) => join(conditions, " or "),
            Self::Not(condition) => format!("not {}", condition.nested()),
        }
    }

    fn nested(&self) -> String {
        match self {
            Self::All(conditions) | Self::Any(conditions) if conditions.len() > 1 => {
                format!("({})", self.describe())
            }
            _ => self.describe(),
        }
    }
}
