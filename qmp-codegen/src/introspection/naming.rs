//! What the types of introspection are called.
//!
//! Introspection masks them. Real names are taken from a table as far as it goes, following the
//! steps from commands and events in both; the rest is named after the shortest path that leads
//! there, the first of several.

use std::collections::{HashMap, HashSet, VecDeque};

use super::names::{self, Names};
use super::raw::{Body, Index, Raw};
use super::spelling;
use crate::shape;

/// What becomes of the types. Those that nothing leads to get no name: they are left over from
/// what the server's build does not have.
pub(super) struct Naming {
    /// The name of every type that has one of its own.
    pub(super) names: Vec<Option<String>>,
    /// The object without members that stands for no arguments, no data and no branch.
    pub(super) empty: Option<Index>,
    taken: HashSet<String>,
    /// The last number behind a name that several types would have.
    numbers: HashMap<String, usize>,
}

impl Naming {
    /// Names the enumerations, objects and alternates, except objects that a schema writes in
    /// place: those that are only the arguments of one command or the data of one event.
    pub(super) fn new(raw: &Raw, table: &Names) -> Self {
        let names = vec![None; raw.entries.len()];
        let mut naming = Self {
            names,
            empty: empty_object(raw),
            taken: HashSet::new(),
            numbers: HashMap::new(),
        };
        naming.keep_own(raw);
        naming.take_from(raw, table);
        let in_place = naming.in_place(raw);
        naming.make_from_paths(raw, &in_place);
        naming
    }

    /// Unmasked introspection has names already.
    fn keep_own(&mut self, raw: &Raw) {
        let reachable = raw.reachable();
        for (index, entry) in raw.entries.iter().enumerate() {
            if reachable.contains(&index)
                && raw.is_definition(index)
                && fits(raw, index, &entry.name)
            {
                self.give(index, &entry.name);
            }
        }
    }

    fn take_from<'a>(&mut self, raw: &'a Raw, table: &'a Names) {
        // Types, each with what the table calls whatever has its members.
        let mut queue: VecDeque<(Index, &'a str)> = VecDeque::new();
        for (index, entry) in raw.entries.iter().enumerate() {
            for (ty, step) in root_steps(raw, index) {
                match table.step(&entry.name, step) {
                    Some(name) => queue.push_back((ty, name)),
                    None if step == names::ARGUMENTS => queue.push_back((ty, &entry.name)),
                    None => {}
                }
            }
        }
        let mut seen = HashSet::new();
        while let Some((index, name)) = queue.pop_front() {
            let (index, name) = meet(raw, table, index, name);
            if Some(index) == self.empty || !seen.insert(index) {
                continue;
            }
            if raw.is_definition(index) && fits(raw, index, name) {
                self.give(index, name);
            }
            for step in steps(raw, index) {
                if let Some(next) = table.step(name, &step.key) {
                    queue.push_back((step.ty, next));
                }
            }
        }
    }

    fn make_from_paths(&mut self, raw: &Raw, in_place: &HashSet<Index>) {
        // Types, each with a name for it and with what the names of its members' types begin.
        let mut queue: VecDeque<(Index, String, String)> = VecDeque::new();
        for (index, entry) in raw.entries.iter().enumerate() {
            let stem = spelling::camel(&entry.name);
            for (ty, step) in root_steps(raw, index) {
                let (name, stem) = match (step, raw.body(index)) {
                    (names::RETURNS, _) => (format!("{stem}Return"), format!("{stem}Return")),
                    (_, Body::Event { .. }) => (format!("{stem}Data"), stem.clone()),
                    _ => (format!("{stem}Arguments"), stem.clone()),
                };
                queue.push_back((ty, name, stem));
            }
        }
        let mut seen = HashSet::new();
        while let Some((index, name, mut stem)) = queue.pop_front() {
            let index = raw.element(index);
            if !seen.insert(index) {
                continue;
            }
            if let Some(known) = &self.names[index] {
                stem.clone_from(known);
            } else if raw.is_definition(index) && !in_place.contains(&index) {
                self.give_unique(index, &spelling::type_name(&name));
            }
            for step in steps(raw, index) {
                let name = spelling::join(&stem, &step.word);
                queue.push_back((step.ty, name.clone(), name));
            }
        }
    }

    /// Objects that need no name.
    fn in_place(&self, raw: &Raw) -> HashSet<Index> {
        let mut arguments = vec![0; raw.entries.len()];
        let mut elsewhere = vec![0; raw.entries.len()];
        for index in 0..raw.entries.len() {
            match raw.body(index) {
                Body::Command { arguments: ty, returns, .. } => {
                    arguments[*ty] += 1;
                    elsewhere[*returns] += usize::from(Some(*returns) != self.empty);
                }
                Body::Event { data } => arguments[*data] += 1,
                Body::Object { members, variants } => {
                    members.iter().for_each(|member| elsewhere[member.ty] += 1);
                    let cases = variants.iter().flat_map(|variants| &variants.cases);
                    cases
                        .filter(|(_, ty)| Some(*ty) != self.empty)
                        .for_each(|(_, ty)| elsewhere[*ty] += 1);
                }
                _ => raw.uses(index).into_iter().for_each(|ty| elsewhere[ty] += 1),
            }
        }
        (0..raw.entries.len())
            .filter(|&index| elsewhere[index] == 0)
            .filter(|&index| match Some(index) == self.empty {
                true => true,
                false => {
                    arguments[index] == 1
                        && self.names[index].is_none()
                        && raw.is_plain_object(index)
                        && raw.has_usual_members(index)
                }
            })
            .collect()
    }

    fn give(&mut self, index: Index, name: &str) {
        if self.names[index].is_none() && self.taken.insert(name.to_owned()) {
            self.names[index] = Some(name.to_owned());
        }
    }

    fn give_unique(&mut self, index: Index, name: &str) {
        self.give(index, name);
        while self.names[index].is_none() {
            let number = self.numbers.entry(name.to_owned()).or_insert(1);
            *number += 1;
            let numbered = format!("{name}{number}");
            self.give(index, &numbered);
        }
    }
}

/// An enumeration that is built in, although it looks like any other.
pub(super) const QTYPE: &str = "QType";

fn fits(raw: &Raw, index: Index, name: &str) -> bool {
    let is_qtype = || match raw.body(index) {
        Body::Enum(values) => values.iter().map(|value| &*value.name).eq(shape::QTYPE_VALUES),
        _ => false,
    };
    spelling::is_type_name(name) && (name != QTYPE || is_qtype())
}

/// Which object without members is the one that means "nothing".
///
/// Masked, it looks like a struct that happens to have no members; but only it is what commands
/// return that return nothing.
fn empty_object(raw: &Raw) -> Option<Index> {
    let empty = |index: &Index| raw.is_plain_object(*index) && raw.uses(*index).is_empty();
    if let Some(own) = raw.entries.iter().position(|entry| entry.name == "q_empty") {
        return Some(own).filter(empty);
    }
    let masked = |index: &Index| raw.entries[*index].name.bytes().all(|c| c.is_ascii_digit());
    let bodies = || raw.entries.iter().map(|entry| &entry.body);
    let returned = bodies().filter_map(|body| match body {
        Body::Command { returns, .. } => Some(*returns),
        _ => None,
    });
    let taken = bodies().filter_map(|body| match body {
        Body::Command { arguments: ty, .. } | Body::Event { data: ty } => Some(*ty),
        _ => None,
    });
    let branches = bodies().flat_map(|body| match body {
        Body::Object { variants: Some(variants), .. } => &variants.cases[..],
        _ => &[],
    });
    let mut candidates = returned.chain(taken).chain(branches.map(|(_, ty)| *ty));
    candidates.find(|index| masked(index) && empty(index))
}

/// The types that a command or event leads to.
fn root_steps(raw: &Raw, index: Index) -> Vec<(Index, &'static str)> {
    match raw.body(index) {
        Body::Command { arguments, returns, .. } => {
            vec![(*arguments, names::ARGUMENTS), (*returns, names::RETURNS)]
        }
        Body::Event { data } => vec![(*data, names::ARGUMENTS)],
        _ => Vec::new(),
    }
}

/// A way from a type to another.
struct Step {
    ty: Index,
    /// What a table calls it.
    key: String,
    /// What it adds to a name.
    word: String,
}

fn steps(raw: &Raw, index: Index) -> Vec<Step> {
    match raw.body(index) {
        Body::Object { members, variants } => {
            let members = members.iter().map(|member| Step {
                ty: member.ty,
                key: member.named.name.clone(),
                word: spelling::camel(&member.named.name),
            });
            let cases = variants.iter().flat_map(|variants| &variants.cases);
            let cases = cases.map(|(case, ty)| Step {
                ty: *ty,
                key: names::case(case),
                word: spelling::camel(case),
            });
            members.chain(cases).collect()
        }
        Body::Alternate(types) => types
            .iter()
            .map(|ty| {
                let name = raw.json_type(*ty);
                Step { ty: *ty, key: names::alternative(name), word: spelling::camel(name) }
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Brings a type and a name of the table together that may be of another release: what was a type
/// there can be an alternate with it here, and the other way round.
fn meet<'a>(raw: &Raw, table: &'a Names, index: Index, name: &'a str) -> (Index, &'a str) {
    let json_type = raw.json_type(index);
    let element = raw.element(index);
    match (raw.body(element), table.is_alternate(name)) {
        (Body::Alternate(types), false) => {
            let wanted = if table.has_steps(name) { "object" } else { "string" };
            let found = types.iter().find(|ty| raw.json_type(**ty) == wanted);
            (found.copied().unwrap_or(element), if found.is_some() { name } else { "" })
        }
        (Body::Alternate(_), true) | (_, false) => (element, name),
        (_, true) => (element, table.step(name, &names::alternative(json_type)).unwrap_or("")),
    }
}
