//! The help on one definition.

use crate::reference::{Definition, Feature, Kind, Member, Reference};
use crate::shell::types::{Schema, Shape};

use super::example;

/// Returns the help on a definition, in lines of at most `width` columns. What the schema of the
/// connected machine lacks is marked.
#[must_use]
pub fn page(
    definition: &Definition,
    reference: &Reference,
    machine: Option<&Schema>,
    width: usize,
) -> String {
    let mut page = Page { text: String::new(), width: width.max(40) };
    page.title(definition);
    let live = machine.filter(|schema| schema.is_live());
    if let Some(schema) = live {
        page.availability(definition, schema);
    }
    page.features(&definition.features);
    page.paragraphs(&definition.text, 0);
    for flag in &definition.flags {
        page.paragraphs(flag, 0);
    }
    if definition.condition.is_some() {
        page.text.push('\n');
        page.condition(definition.condition.as_ref(), 0);
    }
    page.members(definition, reference, live);
    page.branches(definition, reference);
    page.values(definition);
    page.returns(definition, reference);
    if !definition.errors.is_empty() {
        page.heading("Errors");
        page.paragraphs(&definition.errors, 2);
    }
    for note in &definition.notes {
        page.paragraphs(&format!("Note: {note}"), 0);
    }
    if definition.kind == Kind::Command {
        page.heading("Example");
        page.line(&format!("  {}", example::of(definition, reference)));
    }
    page.text
}

/// Returns a name and its summary, in lines of at most `width` columns.
pub(super) fn entry(name: &str, summary: &str, width: usize) -> String {
    let mut page = Page { text: String::new(), width: width.max(40) };
    page.line(name);
    page.paragraphs(summary, 4);
    page.text
}

/// Returns what a schema tells of a command or an event without documentation.
pub(super) fn from_schema(name: &str, schema: &Schema) -> Option<Definition> {
    let (kind, ty) = match (schema.arguments_of(name), schema.data_of(name)) {
        (Some(ty), _) => (Kind::Command, ty),
        (None, Some(ty)) => (Kind::Event, ty),
        (None, None) => return None,
    };
    let members = match schema.shape(ty) {
        Shape::Object(object) => schema.all_members(object),
        _ => Vec::new(),
    };
    let members = members.into_iter().map(|member| Member {
        name: member.name.to_owned(),
        ty: shape_name(schema, member.ty),
        optional: member.optional,
        features: features_of(member.features),
        ..Member::default()
    });
    Some(Definition {
        name: name.to_owned(),
        kind,
        text: String::from("The machine has it, but no documentation of it is known."),
        features: features_of(schema.features_of(name)),
        members: members.collect(),
        ..Definition::default()
    })
}

fn features_of(names: &[String]) -> Vec<Feature> {
    let named = |name: &String| Feature { name: name.clone(), text: String::new() };
    names.iter().map(named).collect()
}

/// Returns a name for a type whose name the machine does not tell.
fn shape_name(schema: &Schema, ty: &str) -> String {
    match schema.shape(ty) {
        Shape::String => String::from("str"),
        Shape::Integer => String::from("int"),
        Shape::Number => String::from("number"),
        Shape::Boolean => String::from("bool"),
        Shape::Null => String::from("null"),
        Shape::Enumeration(values) => {
            let values: Vec<_> = values.iter().map(|value| value.name.as_str()).collect();
            values.join("|")
        }
        Shape::Object(_) => String::from("object"),
        Shape::Array(element) => match schema.shape(element) {
            Shape::Array(_) => String::from("[list]"),
            _ => format!("[{}]", shape_name(schema, element)),
        },
        Shape::Alternate(_) => String::from("alternate"),
        Shape::Any => String::from("any"),
    }
}

struct Page {
    text: String,
    width: usize,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn heading(&mut self, title: &str) {
        self.line(&format!("\n{title}:"));
    }

    fn title(&mut self, definition: &Definition) {
        let kind = match definition.kind {
            Kind::Command => "command",
            Kind::Event => "event",
            Kind::Enumeration => "enumeration",
            Kind::Struct => "object",
            Kind::Union => "object with branches",
            Kind::Alternate => "one of several types",
        };
        let since = definition.since.as_ref();
        let since = since.map(|since| format!(", since QEMU {since}")).unwrap_or_default();
        self.line(&format!("{} ({kind}{since})", definition.name));
    }

    /// Adds that the machine lacks a command or an event.
    fn availability(&mut self, definition: &Definition, schema: &Schema) {
        let lacks = match definition.kind {
            Kind::Command => schema.arguments_of(&definition.name).is_none(),
            Kind::Event => schema.data_of(&definition.name).is_none(),
            _ => false,
        };
        if lacks {
            self.line("\nThe connected machine does not have it.");
        }
    }

    fn features(&mut self, features: &[Feature]) {
        for feature in features {
            self.paragraphs(&described(feature), 0);
        }
    }

    /// Adds paragraphs, after a blank line, wrapped and indented.
    fn paragraphs(&mut self, text: &str, indent: usize) {
        if text.is_empty() {
            return;
        }
        if indent == 0 {
            self.text.push('\n');
        }
        self.wrapped(text, indent);
    }

    fn wrapped(&mut self, text: &str, indent: usize) {
        let mut first = true;
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            if !first {
                self.text.push('\n');
            }
            first = false;
            let margin = " ".repeat(indent);
            let mut line = String::new();
            for part in paragraph.lines() {
                let is_literal = part.starts_with("    ");
                let is_item = part.trim_start().starts_with(['-', '*']);
                if is_literal || is_item {
                    self.flush(&margin, &mut line);
                }
                if is_literal {
                    self.line(format!("{margin}{part}").trim_end());
                    continue;
                }
                for word in part.split_whitespace() {
                    let length = line.chars().count() + 1 + word.chars().count();
                    if !line.is_empty() && indent + length > self.width {
                        self.flush(&margin, &mut line);
                    }
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(word);
                }
            }
            self.flush(&margin, &mut line);
        }
    }

    fn flush(&mut self, margin: &str, line: &mut String) {
        if !line.is_empty() {
            let full = format!("{margin}{line}");
            self.line(&full);
            line.clear();
        }
    }

    fn condition(&mut self, condition: Option<&String>, indent: usize) {
        if let Some(condition) = condition {
            self.wrapped(&format!("Available if {condition}."), indent);
        }
    }

    fn members(&mut self, definition: &Definition, reference: &Reference, live: Option<&Schema>) {
        if definition.members.is_empty() {
            if definition.kind == Kind::Command && definition.branches.is_empty() {
                self.line("\nIt has no arguments.");
            }
            return;
        }
        self.heading(match definition.kind {
            Kind::Command => "Arguments (those in brackets are optional)",
            Kind::Event => "Data",
            _ => "Members (those in brackets are optional)",
        });
        // Mandatory ones first, as completion has them.
        let (optional, mandatory): (Vec<_>, Vec<_>) =
            definition.members.iter().partition(|member| member.optional);
        for member in mandatory.into_iter().chain(optional) {
            let written = format!("{}={}", member.name, member.ty);
            let written = if member.optional { format!("[{written}]") } else { written };
            let lacks = live.is_some_and(|schema| lacks_member(schema, definition, &member.name));
            let lacks = if lacks { "  (not in the connected machine)" } else { "" };
            self.line(&format!("  {written}{lacks}"));
            let mut text = member.text.clone();
            if let Some(values) = values_of(&member.ty, reference) {
                text.push_str(&format!("\n\nOne of {values}."));
            }
            self.wrapped(&text, 6);
            for feature in &member.features {
                self.wrapped(&described(feature), 6);
            }
            self.condition(member.condition.as_ref(), 6);
            if member.secret {
                self.wrapped("Its value is secret: it is not shown or recorded.", 6);
            }
        }
    }

    fn branches(&mut self, definition: &Definition, reference: &Reference) {
        if definition.branches.is_empty() {
            return;
        }
        match &definition.discriminator {
            Some(tag) => self.heading(&format!("`{tag}` decides about further members")),
            None => self.heading("One of"),
        }
        for branch in &definition.branches {
            self.line(&format!("  {}: {}", branch.name, branch.ty));
            let known = reference.find(&branch.ty).map(|ty| ty.members).unwrap_or_default();
            let members: Vec<String> = known
                .iter()
                .map(|member| {
                    let written = format!("{}={}", member.name, member.ty);
                    if member.optional { format!("[{written}]") } else { written }
                })
                .collect();
            self.wrapped(&members.join(" "), 6);
        }
    }

    fn values(&mut self, definition: &Definition) {
        if definition.values.is_empty() {
            return;
        }
        self.heading("Values");
        for value in &definition.values {
            self.line(&format!("  {}", value.name));
            self.wrapped(&value.text, 6);
            for feature in &value.features {
                self.wrapped(&described(feature), 6);
            }
            self.condition(value.condition.as_ref(), 6);
        }
    }

    fn returns(&mut self, definition: &Definition, reference: &Reference) {
        if definition.kind != Kind::Command {
            return;
        }
        let Some(ty) = &definition.returns else { return };
        self.heading("Returns");
        self.line(&format!("  {ty}"));
        self.wrapped(&definition.returned, 6);
        if let Some(ty) = reference.find(ty.trim_matches(['[', ']'])) {
            let members: Vec<String> = ty
                .members
                .iter()
                .map(|member| {
                    let written = format!("{}: {}", member.name, member.ty);
                    if member.optional { format!("[{written}]") } else { written }
                })
                .collect();
            self.wrapped(&members.join(", "), 6);
        }
    }
}

fn described(feature: &Feature) -> String {
    let title = match feature.name.as_str() {
        "deprecated" => String::from("Deprecated"),
        "unstable" => String::from("Unstable"),
        name => format!("Feature `{name}`"),
    };
    if feature.text.is_empty() { title } else { format!("{title}: {}", feature.text) }
}

/// Returns the values of a type if there are few.
fn values_of(ty: &str, reference: &Reference) -> Option<String> {
    const MOST: usize = 12;
    let definition = reference.find(ty.trim_matches(['[', ']']))?;
    let count = definition.values.len();
    if count == 0 || count > MOST {
        return None;
    }
    let names: Vec<_> = definition.values.iter().map(|value| value.name.as_str()).collect();
    Some(names.join(", "))
}

/// Returns whether the connected machine lacks a member of a command or an event that it has.
fn lacks_member(schema: &Schema, definition: &Definition, member: &str) -> bool {
    let ty = match definition.kind {
        Kind::Command => schema.arguments_of(&definition.name),
        Kind::Event => schema.data_of(&definition.name),
        _ => None,
    };
    match ty.map(|ty| schema.shape(ty)) {
        Some(Shape::Object(object)) => {
            !schema.all_members(object).iter().any(|known| known.name == member)
        }
        _ => false,
    }
}
