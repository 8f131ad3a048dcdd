//! Documentation as Markdown, for all back ends.

use crate::markup;
use crate::schema::{Command, Condition, Definition, Feature, SectionKind};

/// Returns the link target of a name in documentation, if there is one.
pub(crate) type Link<'l> = &'l dyn Fn(&str) -> Option<String>;

/// Collects documentation, as paragraphs of Markdown.
pub(crate) struct Description<'l> {
    link: Link<'l>,
    markdown: String,
}

impl<'l> Description<'l> {
    pub(crate) fn new(link: Link<'l>) -> Self {
        Self { link, markdown: String::new() }
    }

    pub(crate) fn paragraph(&mut self, markdown: &str) {
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

    pub(crate) fn text(&mut self, text: &str, otherwise: &str) {
        if text.trim().is_empty() {
            self.paragraph(otherwise);
        } else {
            self.paragraph(&self.markdown_of(text));
        }
    }

    fn markdown_of(&self, text: &str) -> String {
        markup::to_markdown(text, self.link)
    }

    pub(crate) fn overview(&mut self, definition: &Definition, otherwise: &str) {
        self.text(&definition.doc.body, otherwise);
    }

    pub(crate) fn sections(&mut self, definition: &Definition) {
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

    /// Adds the properties of a command that its arguments do not show.
    pub(crate) fn flags(&mut self, command: &Command) {
        if command.read_only {
            self.paragraph("Has no effect on the machine.");
        }
        if command.allow_oob {
            self.paragraph("Can be executed out-of-band.");
        }
        if command.allow_preconfig {
            self.paragraph("Available before the virtual machine is built (`--preconfig`).");
        }
        if !command.success_response {
            self.paragraph("The server does not reply on success.");
        }
    }

    /// Adds features other than those that have a meaning of their own.
    fn feature_list(&mut self, definition: &Definition) {
        let mut items = String::new();
        for feature in &definition.features {
            if feature.is_special() {
                continue;
            }
            let text = self.markdown_of(&feature.doc);
            let item = markup::titled(&format!("- `{}`:", feature.name), &text);
            if !items.is_empty() {
                items.push('\n');
            }
            items.push_str(&item.replace('\n', "\n  "));
        }
        if !items.is_empty() {
            self.heading("Features");
            self.paragraph(&items);
        }
    }

    pub(crate) fn footer(&mut self, name: &str, definition: &Definition) {
        match &definition.doc.since {
            Some(since) => {
                self.paragraph(&format!("{name} Available since {}.", markup::line(since)));
            }
            None => self.paragraph(name),
        }
        self.condition(&definition.condition);
    }

    pub(crate) fn condition(&mut self, condition: &Option<Condition>) {
        if let Some(condition) = condition {
            self.paragraph(&format!("Available if {}.", condition.describe()));
        }
    }

    /// Adds the text of a feature that has a meaning of its own, if there is such a feature.
    pub(crate) fn special(&mut self, features: &[Feature], name: &str, title: &str) {
        if let Some(feature) = Feature::named(features, name) {
            let text = self.markdown_of(&feature.doc);
            self.paragraph(&markup::titled(title, &text));
        }
    }

    /// Returns the Markdown.
    pub(crate) fn finish(self) -> String {
        self.markdown
    }
}

impl Feature {
    /// Returns the feature with a name.
    pub(crate) fn named<'f>(features: &'f [Self], name: &str) -> Option<&'f Self> {
        features.iter().find(|feature| feature.name == name)
    }

    /// Whether the feature has a meaning of its own in the language.
    pub(crate) fn is_special(&self) -> bool {
        matches!(self.name.as_str(), "deprecated" | "unstable")
    }
}

impl Condition {
    /// Describes the condition in words, each symbol as code.
    pub(crate) fn describe(&self) -> String {
        let join = |conditions: &[Self], word: &str| {
            let mut joined = String::new();
            for (index, condition) in conditions.iter().enumerate() {
                joined.push_str(if index > 0 { word } else { "" });
                joined.push_str(&condition.nested());
            }
            joined
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
