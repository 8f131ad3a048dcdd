//! Renders definitions.

use qmp_codegen::schema::{
    Alternate, Arguments, Base, Builtin, Command, Condition, Definition, Enum, Event, Feature,
    Member, Schema, SectionKind, Struct, TypeId, TypeKind, TypeRef, Union,
};
use serde_json::{Map, Value, json};

use super::html::{code, escape, link};
use super::markup;
use super::model::{Item, Places, anchor};
use crate::reference::{self, Reference, example};
use crate::shell::syntax::write;

/// Renders the definitions of one part.
pub(super) struct Renderer<'a> {
    pub(super) schema: &'a Schema,
    pub(super) reference: &'a Reference,
    pub(super) part: usize,
    pub(super) places: &'a Places,
}

impl Renderer<'_> {
    /// Renders a definition as a section.
    pub(super) fn item(&self, item: Item) -> String {
        let definition = item.definition(self.schema);
        let id = escape(&anchor(item, &definition.name));
        let mut out = format!(
            "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\"><a class=\"self\" href=\"#{id}\">{}</a></h2>\n",
            code(&definition.name)
        );
        out += &self.facts(item, definition);
        out += &self.specials(&definition.features);
        out += &self.text(&definition.doc.body);
        out += &match item {
            Item::Command(at) => self.command(&self.schema.commands[at]),
            Item::Event(at) => self.event(&self.schema.events[at]),
            Item::Type(at) => self.type_kind(&self.schema.types[at].kind),
        };
        out += &self.sections(definition);
        if let Item::Type(at) = item {
            out += &self.users(at);
        }
        out + "</section>\n"
    }

    fn facts(&self, item: Item, definition: &Definition) -> String {
        let mut badges = vec![escape(match item {
            Item::Type(at) => kind_of(&self.schema.types[at].kind),
            other => other.kind(),
        })];
        badges
            .extend(definition.doc.since.as_ref().map(|since| format!("since {}", escape(since))));
        if let Item::Command(at) = item {
            let command = &self.schema.commands[at];
            let flags = [
                (command.read_only, "no effect on the machine"),
                (command.allow_oob, "out-of-band"),
                (command.allow_preconfig, "before the machine is built"),
                (!command.success_response, "no reply on success"),
            ];
            badges.extend(flags.into_iter().filter(|(is, _)| *is).map(|(_, text)| text.to_owned()));
        }
        badges.extend(definition.condition.as_ref().map(|c| format!("if {}", condition(c))));
        let badges = badges.iter().map(|badge| format!("<span class=\"badge\">{badge}</span>"));
        let special = definition.features.iter().filter(|feature| is_special(feature));
        let special =
            special.map(|f| format!("<span class=\"badge warn\">{}</span>", escape(&f.name)));
        format!("<p class=\"facts\">{}</p>\n", badges.chain(special).collect::<String>())
    }

    /// Renders why something is deprecated or unstable.
    fn specials(&self, features: &[Feature]) -> String {
        let special = features.iter().filter(|feature| is_special(feature));
        let render = |feature: &Feature| {
            let mut name = feature.name.clone();
            name[..1].make_ascii_uppercase();
            format!(
                "<div class=\"warn\"><strong>{name}.</strong> {}</div>\n",
                self.text(&feature.doc)
            )
        };
        special.map(render).collect()
    }

    fn text(&self, text: &str) -> String {
        markup::blocks(text, &|name| self.places.target(self.part, name))
    }

    fn command(&self, command: &Command) -> String {
        let mut out = self.arguments("Arguments", &command.arguments);
        if !command.generated {
            out += "<p>The schema does not list all arguments.</p>\n";
        }
        if let Some(returns) = &command.returns {
            out += &format!("<h3>Returns</h3>\n<p>{}</p>\n", self.type_ref(returns));
            out += &self.section(&command.definition, SectionKind::Returns);
        }
        out += &self.titled("Errors", &self.section(&command.definition, SectionKind::Errors));
        let Some(definition) = self.reference.find(&command.definition.name) else { return out };
        let Some(arguments) = example::members(self.reference, &definition) else { return out };
        let reply = match &definition.returns {
            Some(ty) => example::value(self.reference, ty),
            None => Some(json!({})),
        };
        let reply = reply.filter(|_| command.success_response);
        out + &example_of(&definition.name, arguments, reply)
    }

    fn event(&self, event: &Event) -> String {
        let mut out = self.arguments("Data", &event.data);
        let definition = self.reference.find(&event.definition.name);
        let data = definition.and_then(|event| example::members(self.reference, &event));
        if let Some(data) = data {
            let mut message = Map::new();
            message.insert("event".to_owned(), event.definition.name.clone().into());
            if !data.is_empty() {
                message.insert("data".to_owned(), data.into());
            }
            let timestamp = json!({"seconds": 1_764_195_600, "microseconds": 25});
            message.insert("timestamp".to_owned(), timestamp);
            out += &format!("<h3>Example</h3>\n<pre>{}</pre>\n", escape(&pretty(&message.into())));
        }
        out
    }

    fn arguments(&self, title: &str, arguments: &Arguments) -> String {
        let list = match arguments {
            Arguments::Inline(members) => self.members(members),
            Arguments::Named { ty, .. } => {
                format!("<p>The members of {}.</p>\n", self.type_link(*ty))
            }
        };
        self.titled(title, &list)
    }

    fn titled(&self, title: &str, html: &str) -> String {
        if html.is_empty() { String::new() } else { format!("<h3>{title}</h3>\n{html}") }
    }

    fn type_kind(&self, kind: &TypeKind) -> String {
        match kind {
            TypeKind::Enum(data) => self.enumeration(data),
            TypeKind::Struct(data) => self.structure(data),
            TypeKind::Union(data) => self.union(data),
            TypeKind::Alternate(data) => self.alternate(data),
        }
    }

    fn enumeration(&self, data: &Enum) -> String {
        let value = |value: &qmp_codegen::schema::EnumValue| {
            self.entry(&code(&value.name), &value.doc, &value.features, value.condition.as_ref())
        };
        self.titled("Values", &list(data.values.iter().map(value)))
    }

    fn structure(&self, data: &Struct) -> String {
        let base =
            data.base.map(|base| format!("<p>The members of {}, and:</p>\n", self.type_link(base)));
        self.titled("Members", &(base.unwrap_or_default() + &self.members(&data.members)))
    }

    fn union(&self, union: &Union) -> String {
        let base = match &union.base {
            Base::Named(base) => format!("<p>The members of {}.</p>\n", self.type_link(*base)),
            Base::Inline(members) => self.members(members),
        };
        let branches = union.branches.iter().map(|branch| {
            let title = format!(
                "{} is {}: the members of {}",
                code(&union.discriminator),
                code(&branch.name),
                self.type_link(branch.ty)
            );
            self.entry(&title, "", &[], branch.condition.as_ref())
        });
        self.titled("Members", &base) + &self.titled("Branches", &list(branches))
    }

    fn alternate(&self, data: &Alternate) -> String {
        let alternatives = data.alternatives.iter().map(|one| {
            let title = format!("{} ({})", self.type_ref(&one.ty), escape(&one.name));
            self.entry(&title, &one.doc, &[], one.condition.as_ref())
        });
        self.titled("One of", &list(alternatives))
    }

    fn members(&self, members: &[Member]) -> String {
        list(members.iter().map(|member| {
            let optional = if member.optional { ", optional" } else { "" };
            let secret = if member.secret { ", secret" } else { "" };
            let title = format!(
                "{} <span class=\"type\">{}{optional}{secret}</span>",
                code(&member.name),
                self.type_ref(&member.ty)
            );
            self.entry(&title, &member.doc, &member.features, member.condition.as_ref())
        }))
    }

    /// Renders a member, a value or a branch.
    fn entry(
        &self,
        title: &str,
        doc: &str,
        features: &[Feature],
        when: Option<&Condition>,
    ) -> String {
        let condition = when.map(|when| format!("<p class=\"facts\">If {}.</p>", condition(when)));
        format!(
            "<dt>{title}</dt>\n<dd>{}{}{}{}</dd>\n",
            self.text(doc),
            self.specials(features),
            self.features(features),
            condition.unwrap_or_default()
        )
    }

    fn features(&self, features: &[Feature]) -> String {
        let others = features.iter().filter(|feature| !is_special(feature));
        let render = |feature: &Feature| {
            let when = feature.condition.as_ref().map(|c| format!(" (if {})", condition(c)));
            format!(
                "<li>{}{}: {}</li>\n",
                code(&feature.name),
                when.unwrap_or_default(),
                self.text(&feature.doc)
            )
        };
        let items: String = others.map(render).collect();
        if items.is_empty() { items } else { format!("<p>Features:</p>\n<ul>{items}</ul>\n") }
    }

    /// Renders the sections that have no place of their own.
    fn sections(&self, definition: &Definition) -> String {
        let mut out = String::new();
        for section in &definition.doc.sections {
            match section.kind {
                SectionKind::Plain => out += &self.text(&section.text),
                SectionKind::Note => {
                    out += &format!(
                        "<div class=\"note\"><strong>Note:</strong> {}</div>\n",
                        self.text(&section.text)
                    );
                }
                SectionKind::Example => {
                    out += &format!(
                        "<h3>Example of a session</h3>\n<pre>{}</pre>\n",
                        escape(section.text.trim_matches('\n'))
                    );
                }
                SectionKind::Returns | SectionKind::Errors | SectionKind::Todo => {}
            }
        }
        out + &self.features(&definition.features)
    }

    fn section(&self, definition: &Definition, kind: SectionKind) -> String {
        let sections = definition.doc.sections.iter().filter(|section| section.kind == kind);
        sections.map(|section| self.text(&section.text)).collect()
    }

    fn users(&self, at: usize) -> String {
        let Ok(id) = u32::try_from(at) else { return String::new() };
        let users = self.places.users(self.part, TypeId(id)).map(|item| {
            let name = &item.definition(self.schema).name;
            self.named(name)
        });
        let users: Vec<String> = users.collect();
        match users.is_empty() {
            true => String::new(),
            false => format!("<p class=\"facts\">Used by {}.</p>\n", users.join(", ")),
        }
    }

    fn named(&self, name: &str) -> String {
        self.places.target(self.part, name).map_or_else(|| code(name), |at| link(&at, name))
    }

    fn type_link(&self, id: TypeId) -> String {
        let ty = self.schema.types.get(id.0 as usize);
        ty.map_or_else(String::new, |ty| self.named(&ty.definition.name))
    }

    fn type_ref(&self, ty: &TypeRef) -> String {
        match ty {
            TypeRef::Builtin(builtin) => builtin_name(*builtin).to_owned(),
            TypeRef::Defined(id) => self.type_link(*id),
            TypeRef::Array(element) => format!("array of {}", self.type_ref(element)),
        }
    }
}

fn list(entries: impl Iterator<Item = String>) -> String {
    let entries: String = entries.collect();
    if entries.is_empty() { entries } else { format!("<dl>\n{entries}</dl>\n") }
}

/// Renders a command in the syntax of the shell and as JSON, and its reply.
fn example_of(name: &str, arguments: Map<String, Value>, reply: Option<Value>) -> String {
    let arguments = Value::Object(arguments);
    let line = write::command(name, &arguments);
    let mut message = Map::new();
    message.insert("execute".to_owned(), name.into());
    if arguments != json!({}) {
        message.insert("arguments".to_owned(), arguments);
    }
    let mut text = pretty(&message.into());
    if let Some(reply) = reply {
        text += &format!("\n{}", pretty(&json!({"return": reply})));
    }
    format!(
        "<h3>Example</h3>\n<pre class=\"shell\">{}</pre>\n<pre class=\"json\">{}</pre>\n",
        escape(&line),
        escape(&text)
    )
}

/// Formats short values on one line, and others over several.
fn pretty(value: &Value) -> String {
    let short = value.to_string();
    if short.len() <= 100 { short } else { format!("{value:#}") }
}

fn is_special(feature: &Feature) -> bool {
    matches!(&*feature.name, "deprecated" | "unstable")
}

fn kind_of(kind: &TypeKind) -> &'static str {
    match kind {
        TypeKind::Enum(_) => "enumeration",
        TypeKind::Struct(_) => "struct",
        TypeKind::Union(_) => "union",
        TypeKind::Alternate(_) => "alternate",
    }
}

fn builtin_name(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::Str => "string",
        Builtin::Number => "number",
        Builtin::Int | Builtin::Int64 => "integer",
        Builtin::Int8 => "8-bit integer",
        Builtin::Int16 => "16-bit integer",
        Builtin::Int32 => "32-bit integer",
        Builtin::Uint8 => "unsigned 8-bit integer",
        Builtin::Uint16 => "unsigned 16-bit integer",
        Builtin::Uint32 => "unsigned 32-bit integer",
        Builtin::Uint64 => "unsigned integer",
        Builtin::Size => "size in bytes",
        Builtin::Bool => "boolean",
        Builtin::Null => "null",
        Builtin::Any => "any value",
        Builtin::QType => "name of a JSON type",
    }
}

/// Renders a condition in words.
fn condition(condition: &Condition) -> String {
    reference::in_words(condition, code)
}
