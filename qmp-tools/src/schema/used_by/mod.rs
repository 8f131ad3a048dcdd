//! Selects the changes between two schemas that touch what clients use.
//!
//! ```text
//! RECORDING ──messages──> Usage ───┐
//! list of names ──┐                ├──> Touched ──> changes, with the first place of each
//! build script ───┴names─> diff ───┘
//! ```
//!
//! What a recording uses is known exactly: the members, values and branches of its messages. A list of
//! commands and events, or a build script that selects them, uses all that they have.

mod recording;
mod selection;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use qmp_codegen::diff::{Change, Root, RootKind, Scope, Usage, What};
use qmp_codegen::schema::Schema;
use serde_json::{Map, Value, json};

use self::selection::Selection;
use super::changes::{Changes, Listed, Place};
use super::{Failure, input};
use crate::terminal::inline;

/// The greatest number of changes that are listed, and of names that are kept. Of changes that break
/// clients, as many more are listed.
const MAX_TOUCHED: usize = 10_000;

/// The changes that what is used meets.
pub(super) struct Touched<'s> {
    old: &'s Schema,
    new: &'s Schema,
    scope: Scope,
    usage: Usage<'s>,
    listed: Vec<Listed>,
    /// The index of a change.
    known: HashMap<(String, String, What), usize>,
    counts: Counts,
}

/// The names that are used, and the messages that were not compared.
#[derive(Default)]
struct Counts {
    commands: BTreeSet<String>,
    events: BTreeSet<String>,
    /// The number of commands that failed when they were recorded, which tells nothing.
    failed: u64,
    /// The number of messages that take too much memory, or are not JSON.
    skipped: u64,
    /// Commands and events that the old schema does not have, with their first places.
    unknown: Vec<(String, Place)>,
    /// Whether there are more changes or names than are kept.
    is_incomplete: bool,
}

impl<'s> Touched<'s> {
    pub(super) fn new(old: &'s Schema, new: &'s Schema, scope: Scope) -> Self {
        let usage = Usage::new(old, new, scope);
        let (listed, known, counts) = (Vec::new(), HashMap::new(), Counts::default());
        Self { old, new, scope, usage, listed, known, counts }
    }

    /// Adds what a file uses: a recording, a list of names, or a build script.
    pub(super) fn file(&mut self, path: &str) -> Result<(), Failure> {
        let name: Rc<str> = Rc::from(path);
        if recording::is_recording(path)? {
            return recording::read(self, path, &name);
        }
        let text = input::read(path)?;
        let selection = Selection::parse(path, &text)?;
        selection::add(self, &selection, &name);
        Ok(())
    }

    /// Returns the changes: those that break clients in the order of their first places.
    pub(super) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        changes.listed = std::mem::take(&mut self.listed);
        changes
    }

    /// Describes what was used, for people.
    pub(super) fn summary(&self, changes: &Changes) -> String {
        let Counts { commands, events, failed, skipped, unknown, is_incomplete } = &self.counts;
        let used = format!(
            "{} and {} that are used",
            count(commands.len(), "command"),
            count(events.len(), "event")
        );
        let mut text = match (changes.listed.len(), changes.breaking()) {
            (0, _) => format!("No change touches the {used}.\n"),
            (1, breaking) => format!("\n1 change touches the {used}, {breaking} breaking.\n"),
            (all, breaking) => format!("\n{all} changes touch the {used}, {breaking} breaking.\n"),
        };
        if *failed > 0 {
            text += &format!("Commands that failed and were not compared: {failed}.\n");
        }
        if *skipped > 0 {
            text += &format!("Messages that cannot be decoded: {skipped}.\n");
        }
        if *is_incomplete {
            text += &format!("Only the first {MAX_TOUCHED} changes and names are listed.\n");
        }
        if !unknown.is_empty() {
            text += "These are not in OLD, and were not compared:\n";
        }
        for (name, place) in unknown {
            text += &format!("  {}\n      first at {place}\n", inline(name));
        }
        text
    }

    /// Returns what was not compared, for formats that have no summary.
    pub(super) fn omissions(&self) -> Vec<String> {
        let Counts { skipped, unknown, is_incomplete, .. } = &self.counts;
        let mut omissions = Vec::new();
        if *skipped > 0 {
            omissions.push(format!("{skipped} messages cannot be decoded, and were not compared"));
        }
        if let Some((name, place)) = unknown.first() {
            let name = inline(name);
            let others = match unknown.len() - 1 {
                0 => String::new(),
                others => format!(" (and {others} more)"),
            };
            omissions.push(format!("{place}: {name} is not in OLD, and was not compared{others}"));
        }
        if *is_incomplete {
            omissions.push("not all changes and names are listed".to_owned());
        }
        omissions
    }

    /// Describes what was used, as JSON.
    pub(super) fn used(&self) -> Map<String, Value> {
        let counts = &self.counts;
        let unknown = counts.unknown.iter();
        let unknown = unknown.map(|(name, place)| {
            json!({"name": name, "file": *place.file, "line": place.line, "time": place.time})
        });
        let mut used = Map::new();
        used.insert("commands".into(), counts.commands.iter().cloned().collect());
        used.insert("events".into(), counts.events.iter().cloned().collect());
        used.insert("failed".into(), counts.failed.into());
        used.insert("skipped".into(), counts.skipped.into());
        used.insert("complete".into(), (!counts.is_incomplete).into());
        used.insert("unknown".into(), unknown.collect());
        used
    }

    fn add(&mut self, changes: Vec<Change>, place: &Place) {
        for change in changes {
            let Root { kind, name } = &change.root;
            let key = (format!("{kind} {name}"), change.path.clone(), change.what.clone());
            if let Some(known) = self.known.get(&key) {
                let listed = &mut self.listed[*known];
                listed.count += 1;
                // What a command meets counts when it is answered, which may be later.
                let first = listed.first.get_or_insert_with(|| place.clone());
                if first.file == place.file && place.line < first.line {
                    *first = place.clone();
                }
                continue;
            }
            // Others must not hide that something breaks.
            let most = if change.breaking { 2 * MAX_TOUCHED } else { MAX_TOUCHED };
            if self.listed.len() >= most {
                self.counts.is_incomplete = true;
                continue;
            }
            self.known.insert(key, self.listed.len());
            let first = Some(place.clone());
            self.listed.push(Listed { change, first, count: 1, reason: None });
        }
    }
}

impl Counts {
    fn uses(&mut self, kind: RootKind, name: &str) {
        let names = match kind {
            RootKind::Command => &mut self.commands,
            RootKind::Event => &mut self.events,
        };
        if !names.contains(name) {
            if names.len() < MAX_TOUCHED {
                names.insert(name.to_owned());
            } else {
                self.is_incomplete = true;
            }
        }
    }

    fn is_unknown(&mut self, name: String, place: &Place) {
        if self.unknown.len() == MAX_TOUCHED {
            self.is_incomplete = true;
        } else if self.unknown.iter().all(|(known, _)| *known != name) {
            self.unknown.push((name, place.clone()));
        }
    }
}

fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_are_not_listed_hide_none_that_breaks() {
        let schema = Schema::default();
        let mut touched = Touched::new(&schema, &schema, Scope::Schema);
        let place = Place { file: Rc::from("session.qmp"), line: 1, time: None };
        let change = |number: usize, breaking| Change {
            root: Root { kind: RootKind::Command, name: format!("c{number}") },
            path: String::new(),
            what: What::Removed,
            breaking,
            directions: Vec::new(),
            announced: None,
            also: Vec::new(),
        };
        let others = (0..=MAX_TOUCHED).map(|number| change(number, false));
        touched.add(others.chain([change(MAX_TOUCHED + 1, true)]).collect(), &place);
        assert!(touched.counts.is_incomplete);
        let changes = touched.changes();
        assert_eq!((changes.listed.len(), changes.breaking()), (MAX_TOUCHED + 1, 1));
    }
}
