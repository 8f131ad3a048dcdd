//! Names the types of introspection, which are masked.
//!
//! Names come from a table if it contains them, following the same steps from commands and events
//! in the table and in the introspection. Other types are named after the first of the shortest
//! paths to them.

use std::collections::{HashMap, HashSet, VecDeque};

use super::names::{self, Names};
use super::raw::{Body, Index, Raw};
use super::spelling;
use crate::shape;

/// The treatment of unreachable types, which remain from definitions that the server's build leaves
/// out.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Unreachable {
    /// They have no names.
    Omitted,
    /// They have names.
    Kept,
}

/// The names of types.
pub(super) struct Naming {
    /// The name of each entry, if it is a type with a name.
    pub(super) names: Vec<Option<String>>,
    /// The object without members that represents no arguments, no data, or no branch.
    pub(super) empty: Option<Index>,
    used: HashSet<String>,
    /// The last number appended to a name that several types would have.
    numbers: HashMap<String, usize>,
}

impl Naming {
    /// Names enumerations, objects, and alternates, except objects that are inline in a schema:
    /// those that are only the arguments of one command or the data of one event.
    pub(super) fn new(raw: &Raw, table: &Names, unreachable: Unreachable) -> Self {
        let names = vec![None; raw.entries.len()];
        let mut naming =
            Self { names, empty: empty_object(raw), used: HashSet::new(), numbers: HashMap::new() };
        naming.keep_unmasked(raw, unreachable);
        naming.look_up(raw, table);
        let inline = naming.inline(raw);
        naming.derive_from_paths(raw, &inline, unreachable);
        naming
    }

    /// Keeps the names of unmasked introspection.
    fn keep_unmasked(&mut self, raw: &Raw, unreachable: Unreachable) {
        let reachable = raw.reachable();
        for (index, entry) in raw.entries.iter().enumerate() {
            if (unreachable == Unreachable::Kept || reachable.contains(&index))
                && raw.is_definition(index)
                && fits(raw, index, &entry.name)
            {
                self.assign(index, &entry.name);
            }
        }
    }

    /// Takes names from the table.
    fn look_up<'a>(&mut self, raw: &'a Raw, table: &'a Names) {
        // Types, each with the name under which the table has its steps.
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
            let (index, name) = reconcile(raw, table, index, name);
            if Some(index) == self.empty || !seen.insert(index) {
                continue;
            }
            if raw.is_definition(index) && fits(raw, index, name) {
                self.assign(index, name);
            }
            for step in steps(raw, index) {
                if let Some(next) = table.step(name, &step.key) {
                    queue.push_back((step.ty, next));
                }
            }
        }
    }

    /// Derives the remaining names from paths.
    fn derive_from_paths(&mut self, raw: &Raw, inline: &HashSet<Index>, unreachable: Unreachable) {
        // Types, each with a name and the prefix for the names of its members' types.
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
        self.follow(raw, inline, &mut seen, queue);
        if unreachable == Unreachable::Kept {
            for index in (0..raw.entries.len()).filter(|index| raw.is_definition(*index)) {
                let name = String::from("Unreachable");
                self.follow(raw, inline, &mut seen, VecDeque::from([(index, name.clone(), name)]));
            }
        }
    }

    /// Names types and those that they lead to, except types that have been seen.
    fn follow(
        &mut self,
        raw: &Raw,
        inline: &HashSet<Index>,
        seen: &mut HashSet<Index>,
        mut queue: VecDeque<(Index, String, String)>,
    ) {
        while let Some((index, name, mut stem)) = queue.pop_front() {
            let index = raw.element(index);
            if !seen.insert(index) {
                continue;
            }
            if let Some(known) = &self.names[index] {
                stem.clone_from(known);
            } else if raw.is_definition(index) && !inline.contains(&index) {
                self.assign_unique(index, &spelling::type_name(&name));
            }
            for step in steps(raw, index) {
                let name = spelling::join(&stem, &step.word);
                queue.push_back((step.ty, name.clone(), name));
            }
        }
    }

    /// Returns the objects that are inline in a schema and need no name.
    fn inline(&self, raw: &Raw) -> HashSet<Index> {
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

    fn assign(&mut self, index: Index, name: &str) {
        if self.names[index].is_none() && self.used.insert(name.to_owned()) {
            self.names[index] = Some(name.to_owned());
        }
    }

    fn assign_unique(&mut self, index: Index, name: &str) {
        self.assign(index, name);
        while self.names[index].is_none() {
            let number = self.numbers.entry(name.to_owned()).or_insert(1);
            *number += 1;
            let numbered = format!("{name}{number}");
            self.assign(index, &numbered);
        }
    }
}

/// The built-in enumeration, which looks like any other in introspection.
pub(super) const QTYPE: &str = "QType";

/// Whether a type can have a name.
fn fits(raw: &Raw, index: Index, name: &str) -> bool {
    let is_qtype = || match raw.body(index) {
        Body::Enum(values) => values.iter().map(|value| &*value.name).eq(shape::QTYPE_VALUES),
        _ => false,
    };
    spelling::is_type_name(name) && (name != QTYPE || is_qtype())
}

/// Returns the object that represents no arguments, no data, or no branch.
///
/// In masked introspection, it looks like any struct without members, but only this object is
/// returned by commands that return nothing.
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
    let arguments = bodies().filter_map(|body| match body {
        Body::Command { arguments: ty, .. } | Body::Event { data: ty } => Some(*ty),
        _ => None,
    });
    let branches = bodies().flat_map(|body| match body {
        Body::Object { variants: Some(variants), .. } => &variants.cases[..],
        _ => &[],
    });
    let mut candidates = returned.chain(arguments).chain(branches.map(|(_, ty)| *ty));
    candidates.find(|index| masked(index) && empty(index))
}

/// Returns the types that a command or event refers to, with their steps.
fn root_steps(raw: &Raw, index: Index) -> Vec<(Index, &'static str)> {
    match raw.body(index) {
        Body::Command { arguments, returns, .. } => {
            vec![(*arguments, names::ARGUMENTS), (*returns, names::RETURNS)]
        }
        Body::Event { data } => vec![(*data, names::ARGUMENTS)],
        _ => Vec::new(),
    }
}

/// A reference from one type to another.
struct Step {
    ty: Index,
    /// The step in a table of names.
    key: String,
    /// The word that the step adds to a derived name.
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

/// Reconciles a type with a name from a table of another release, where an alternate may be one of
/// its alternatives, or the other way around.
fn reconcile<'a>(raw: &Raw, table: &'a Names, index: Index, name: &'a str) -> (Index, &'a str) {
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
