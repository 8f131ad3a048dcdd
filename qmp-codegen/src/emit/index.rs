//! Indexes of generated items, in their documentation, by domain, which is the file of the schema that
//! defines them. Hundreds of items in one list are of no use to a reader who does not know their names.
//!
//! The page of each module begins with the names of its items. The page of the module `index`, which exists
//! in documentation alone, has the items of all modules, with the first sentence of each.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::docs;
use super::plan::Plan;
use crate::markup;
use crate::schema::{Definition, Module};

/// The width that lines are wrapped at, without the comment's marker.
const WIDTH: usize = 96;

/// The kinds of items, in the order in which a domain lists them: the word for one, and the module.
const KINDS: [(&str, &str); 3] = [("command", "commands"), ("event", "events"), ("type", "types")];

/// The items of a kind, and their names in Rust.
pub(super) type Items<'p> = Vec<(&'p Definition, &'p Ident)>;

/// Returns the items of all kinds, in the order of `KINDS`.
pub(super) fn items<'p>(plan: &'p Plan<'_>) -> [Items<'p>; KINDS.len()] {
    let [mut commands, mut events, mut types] = [Items::new(), Items::new(), Items::new()];
    for (command, name) in &plan.commands {
        commands.push((&command.definition, name));
    }
    for (event, name) in &plan.events {
        events.push((&event.definition, name));
    }
    for id in &plan.types {
        types.push((&plan.get(*id).definition, plan.name(*id)));
    }
    [commands, events, types]
}

/// Emits the module `index`. Returns nothing if all items are in one file.
pub(super) fn page(plan: &Plan<'_>, items: &[Items<'_>; KINDS.len()]) -> Option<TokenStream> {
    let mut domains = vec![String::new(); plan.schema.modules.len()];
    for (items, (word, parent)) in items.iter().zip(KINDS) {
        for (definition, name) in items {
            let Some(domain) = definition.module.and_then(|id| domains.get_mut(id.0 as usize))
            else {
                continue;
            };
            domain.push_str(&format!("\n- {word} [`{}`]({parent}::{name})", definition.name));
            if let Some(sentence) = first_sentence(&definition.doc.body) {
                domain.push_str(&format!(": {sentence}"));
            }
        }
    }
    if domains.iter().filter(|domain| !domain.is_empty()).count() < 2 {
        return None;
    }
    let mut text = String::from("All commands, events and types, by domain.\n");
    for (module, entries) in plan.schema.modules.iter().zip(&domains) {
        if !entries.is_empty() {
            text.push_str(&format!("\n# {}\n{entries}\n", title(module)));
        }
    }
    let doc = docs::lines(&text);
    Some(quote!(#[cfg(doc)] #doc pub mod index {}))
}

/// Returns the first sentence of a text in one line, if the text has any words.
fn first_sentence(text: &str) -> Option<String> {
    let paragraph = text.trim_start().split("\n\n").next()?;
    let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_start = |rest: &str| rest.starts_with(|c: char| !c.is_lowercase());
    let end = words.match_indices(". ").map(|(at, _)| at).find(|at| is_start(&words[at + 2..]));
    let sentence = markup::line(&words[..end.map_or(words.len(), |at| at + 1)]);
    (!sentence.is_empty()).then_some(sentence)
}

/// Returns the index of the module `parent` as Markdown: a list item for each file of the schema, with a
/// link to each of the items that it defines. Returns nothing if all of them are in one file.
pub(super) fn index(plan: &Plan<'_>, parent: &str, items: &Items<'_>) -> String {
    let mut domains = vec![Vec::new(); plan.schema.modules.len()];
    for (definition, name) in items {
        let domain = definition.module.and_then(|id| domains.get_mut(id.0 as usize));
        if let Some(links) = domain {
            links.push(format!("[`{}`]({parent}::{name})", definition.name));
        }
    }
    if domains.iter().filter(|links| !links.is_empty()).count() < 2 {
        return String::new();
    }
    let mut index = String::from("\n# By domain\n");
    for (module, links) in plan.schema.modules.iter().zip(&domains) {
        if !links.is_empty() {
            wrap(&mut index, &title(module), links);
        }
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{first_sentence, heading, wrap};

    #[test]
    fn sentences_end_before_the_next() {
        let first = |text| first_sentence(text).unwrap();
        assert_eq!(first("Stops it.  Then\nmore."), "Stops it.");
        assert_eq!(
            first("\nAn image\nof a disk, e.g. qcow2, or 1.5 GiB. More."),
            "An image of a disk, e.g. qcow2, or 1.5 GiB."
        );
        assert_eq!(first("Without an end\n\nAnother paragraph."), "Without an end");
        assert_eq!(first("Of @device. `x` is more."), "Of `device`.");
        assert_eq!(first_sentence(" \n"), None);
    }

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
