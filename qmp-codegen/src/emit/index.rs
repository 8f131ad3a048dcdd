//! The index of a generated module, in its documentation: its items by domain, which is the file of the
//! schema that defines them. Hundreds of items in one list are of no use to a reader who does not know
//! their names.

use std::collections::BTreeMap;

use proc_macro2::Ident;

use super::plan::Plan;
use crate::markup;
use crate::schema::{Definition, Module, ModuleId};

/// The width that lines are wrapped at, without the comment's marker.
const WIDTH: usize = 96;

/// Returns the index of the module `parent` as Markdown: a list item for each file of the schema, with a
/// link to each of the items that it defines. Returns nothing if all of them are in one file.
pub(super) fn index<'p>(
    plan: &Plan<'_>,
    parent: &str,
    items: impl Iterator<Item = (&'p Definition, &'p Ident)>,
) -> String {
    let mut domains: BTreeMap<ModuleId, Vec<String>> = BTreeMap::new();
    for (definition, name) in items {
        let Some(module) = definition.module else { continue };
        let link = format!("[`{}`]({parent}::{name})", definition.name);
        domains.entry(module).or_default().push(link);
    }
    if domains.len() < 2 {
        return String::new();
    }
    let mut index = String::from("\n# By domain\n");
    for (module, links) in &domains {
        let title = plan.schema.modules.get(module.0 as usize).map(title).unwrap_or_default();
        wrap(&mut index, &title, links);
    }
    index
}

/// Writes a list item, a few links a line.
fn wrap(index: &mut String, title: &str, links: &[String]) {
    let mut line = format!("\n- **{title}:**");
    for (number, link) in links.iter().enumerate() {
        if line.len() + 2 + link.len() > WIDTH {
            index.push_str(&line);
            line = String::from("\n ");
        }
        line.push(' ');
        line.push_str(link);
        if number + 1 < links.len() {
            line.push(',');
        }
    }
    index.push_str(&line);
}

/// Returns the title of a file: its first heading, or its name.
fn title(module: &Module) -> String {
    let heading = module.introduction.iter().find_map(|text| heading(text));
    markup::line(heading.unwrap_or_else(|| {
        let name = module.path.rsplit(['/', '\\']).next().unwrap_or_default();
        name.strip_suffix(".json").unwrap_or(name)
    }))
}

/// Returns the first heading of a text: `= Title`, as QEMU wrote it up to 9.2, or a line between two
/// lines of punctuation.
fn heading(text: &str) -> Option<&str> {
    let mut above = "";
    for line in text.lines().map(str::trim) {
        let title = line.trim_start_matches('=');
        if title.len() < line.len() && title.starts_with(' ') {
            return Some(title.trim());
        }
        if is_rule(above) && !line.is_empty() && !is_rule(line) {
            return Some(line);
        }
        above = line;
    }
    None
}

fn is_rule(line: &str) -> bool {
    line.len() > 2 && line.chars().all(|c| "*=-~^".contains(c))
}

#[cfg(test)]
mod tests {
    use super::{heading, wrap};

    #[test]
    fn headings_of_all_releases() {
        assert_eq!(heading("****\nBlock jobs\n****\n\nText."), Some("Block jobs"));
        assert_eq!(heading("= Block jobs\n\nText."), Some("Block jobs"));
        assert_eq!(heading("== Background jobs"), Some("Background jobs"));
        assert_eq!(heading("An introduction.\n\nA = b, and ---."), None);
        assert_eq!(heading(""), None);
        assert_eq!(heading("****"), None);
    }

    #[test]
    fn long_domains_are_wrapped() {
        let links: Vec<String> =
            (0..20).map(|n| format!("[`stop-{n}`](commands::Stop{n})")).collect();
        let mut index = String::new();
        wrap(&mut index, "Run state", &links);
        assert!(index.starts_with("\n- **Run state:** [`stop-0`](commands::Stop0), "), "{index}");
        assert!(index.lines().all(|line| line.len() <= super::WIDTH + 1), "{index}");
        assert!(index.lines().skip(2).all(|line| line.starts_with("  [")), "{index}");
        assert_eq!(index.matches("](").count(), 20);
    }
}
