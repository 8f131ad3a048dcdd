//! Which release has added or removed what, as far as the documentation of a schema says.

use std::collections::BTreeMap;

use qmp_codegen::schema::{Arguments, Base, Member, Schema, TypeKind};

use super::html::{code, escape, link};
use super::model::{Item, Page, Part, Places};

/// The changes of a release: links, by kind.
#[derive(Default)]
struct Release {
    added: BTreeMap<&'static str, Vec<String>>,
    removed: Vec<String>,
}

/// Releases in order, each with its name.
type Releases = BTreeMap<Vec<u32>, (String, Release)>;

/// The first and the last release that have something.
#[derive(Debug, Default, Eq, PartialEq)]
struct History {
    since: Option<String>,
    until: Option<String>,
}

/// Renders the list of all releases, the newest first.
pub(super) fn render(parts: &[Part], pages: &[Page], places: &Places) -> String {
    let mut releases = Releases::new();
    for page in pages {
        let schema = &parts[page.part].schema;
        for item in &page.items {
            let definition = item.definition(schema);
            let name = &definition.name;
            let target = places.target(page.part, name).unwrap_or_default();
            let since = definition.doc.since.as_deref().unwrap_or_default();
            note(
                &mut releases,
                &history(&format!("(since {since})")),
                plural(*item),
                &link(&target, name),
            );
            for (member, doc) in members(schema, *item) {
                let shown = format!("{} of {}", code(&member), link(&target, name));
                note(&mut releases, &history(&doc), "members and values", &shown);
            }
        }
    }
    let mut out = String::from(
        "<h1>By release</h1>\n<p>Which release of QEMU has added or removed what, as far as the \
         schema says. What was there before the oldest release that a schema describes has no \
         entry of its own.</p>\n",
    );
    for (version, release) in releases.values().rev() {
        out += &format!("<h2 id=\"v{0}\">{0}</h2>\n", escape(version));
        for (kind, links) in &release.added {
            out += &format!("<p>New {kind}: {}.</p>\n", links.join(", "));
        }
        if !release.removed.is_empty() {
            out += &format!("<p>The last release with: {}.</p>\n", release.removed.join(", "));
        }
    }
    out
}

fn note(releases: &mut Releases, history: &History, kind: &'static str, shown: &str) {
    if let Some(version) = &history.since {
        add(releases, version).added.entry(kind).or_default().push(shown.to_owned());
    }
    if let Some(version) = &history.until {
        add(releases, version).removed.push(shown.to_owned());
    }
}

fn add<'r>(releases: &'r mut Releases, version: &str) -> &'r mut Release {
    let parts = version.split('.').filter_map(|part| part.parse().ok()).collect();
    &mut releases.entry(parts).or_insert_with(|| (version.to_owned(), Release::default())).1
}

/// Returns the members of a definition, or its values, with their documentation.
fn members(schema: &Schema, item: Item) -> Vec<(String, String)> {
    let of = |members: &[Member]| {
        members.iter().map(|member| (member.name.clone(), member.doc.clone())).collect()
    };
    let arguments = |arguments: &Arguments| match arguments {
        Arguments::Inline(members) => of(members),
        Arguments::Named { .. } => Vec::new(),
    };
    match item {
        Item::Command(at) => arguments(&schema.commands[at].arguments),
        Item::Event(at) => arguments(&schema.events[at].data),
        Item::Type(at) => match &schema.types[at].kind {
            TypeKind::Enum(data) => {
                let values = data.values.iter();
                values.map(|value| (value.name.clone(), value.doc.clone())).collect()
            }
            TypeKind::Struct(data) => of(&data.members),
            TypeKind::Union(union) => match &union.base {
                Base::Named(_) => Vec::new(),
                Base::Inline(members) => of(members),
            },
            TypeKind::Alternate(data) => {
                data.alternatives.iter().map(|one| (one.name.clone(), one.doc.clone())).collect()
            }
        },
    }
}

fn plural(item: Item) -> &'static str {
    match item {
        Item::Command(_) => "commands",
        Item::Event(_) => "events",
        Item::Type(_) => "types",
    }
}

/// Reads `(since 4.1, until 9.0)` in documentation. Case does not matter.
fn history(doc: &str) -> History {
    let mut history = History::default();
    for group in doc.split('(').skip(1) {
        let group = group.split(')').next().unwrap_or_default().to_ascii_lowercase();
        for part in group.split(',') {
            let (word, version) = part.trim().split_once(char::is_whitespace).unwrap_or_default();
            let version = version.trim();
            let is_version = version.starts_with(|c: char| c.is_ascii_digit())
                && version.len() < 16
                && version.chars().all(|c| c.is_ascii_digit() || c == '.');
            match word.trim_end_matches(':') {
                "since" if is_version => history.since = Some(version.to_owned()),
                "until" if is_version => history.until = Some(version.to_owned()),
                _ => {}
            }
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_read() {
        let versions = |since: Option<&str>, until: Option<&str>| History {
            since: since.map(str::to_owned),
            until: until.map(str::to_owned),
        };
        for (doc, expected) in [
            ("X. (since 4.1)", versions(Some("4.1"), None)),
            ("X. (Since: 2.7, until 9.0)", versions(Some("2.7"), Some("9.0"))),
            ("Y (not this). (until 10.2)", versions(None, Some("10.2"))),
            ("(since <b>)", versions(None, None)),
            ("", versions(None, None)),
        ] {
            assert_eq!(history(doc), expected, "{doc}");
        }
    }
}
