//! Checks that no two members of an object have the same name, including those of bases and
//! branches. Names that are the same in C count as the same.

use std::cell::Cell;

use crate::ast::{Body, Definition, Name};
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::order;
use crate::report::{Report, Scope};

use super::index::Index;
use super::names::Mangled;
use super::nesting::Nesting;

pub(crate) fn check(index: &Index<'_>, nesting: &Nesting, report: &mut Report) {
    let mut tables = Vec::with_capacity(index.definitions().len());
    for definition in index.definitions() {
        let mut scope = Scope::of(report, definition);
        tables.push(check_own(definition, &mut scope));
    }
    let objects = Objects { index, tables, lookups: Cell::new(0) };
    let mut visited = vec![None; index.definitions().len()];
    for (position, definition) in index.definitions().iter().enumerate() {
        if nesting.is_sound(position) {
            let mut scope = Scope::of(report, definition);
            objects.check_base(definition, position, &mut scope);
            objects.check_branches(definition, position, &mut visited, &mut scope);
            if objects.lookups.get() > MAX_LOOKUPS {
                let message = "the schema has too many combinations of bases and branches to check";
                scope.error(definition.name.span, message);
                return;
            }
        }
    }
}

/// The maximum number of names to look up. QEMU's schema needs 10,000.
const MAX_LOOKUPS: usize = 5_000_000;

type Table<'a> = Few<Mangled<'a>, &'a Name>;

/// Checks the names within a definition. Returns the table of its members.
fn check_own<'a>(definition: &'a Definition, scope: &mut Scope<'_, '_>) -> Table<'a> {
    match &definition.body {
        Body::Enum { values, .. } => {
            let mut table = Few::with_capacity(values.len());
            values.iter().for_each(|value| add("value", &value.name, &mut table, scope));
        }
        Body::Alternate { alternatives } => {
            let mut table = Few::with_capacity(alternatives.len());
            alternatives.iter().for_each(|one| add("alternative", &one.name, &mut table, scope));
        }
        _ => {}
    }
    let mut table = Few::with_capacity(definition.members().len());
    definition.members().iter().for_each(|one| add("member", &one.name, &mut table, scope));
    table
}

fn add<'a>(what: &str, name: &'a Name, table: &mut Table<'a>, scope: &mut Scope<'_, '_>) {
    if let Some(first) = table.insert(Mangled(&name.text), name) {
        scope.push(clash(what, name, first, None));
    }
}

fn clash(what: &str, name: &Name, other: &Name, of: Option<&Definition>) -> Diagnostic {
    let of = of.map_or_else(String::new, |of| format!(" of '{}'", of.name.text));
    if name.text == other.text {
        let message = match of.is_empty() {
            true => format!("duplicate {what} '{}'", name.text),
            false => format!("{what} '{}' is also a {what}{of}", name.text),
        };
        return Diagnostic::error(name.span, message)
            .related(other.span, format!("the other {what}"));
    }
    let message = format!("{what} '{}' conflicts with {what} '{}'{of}", name.text, other.text);
    Diagnostic::error(name.span, message)
        .related(other.span, format!("the other {what}"))
        .help("'-' and '_' are equivalent in names")
}

/// The objects of a schema, each with a table of its own members.
struct Objects<'i, 'a> {
    index: &'i Index<'a>,
    tables: Vec<Table<'a>>,
    /// The number of names looked up, which can be quadratic in their number.
    lookups: Cell<usize>,
}

impl<'a> Objects<'_, 'a> {
    /// Returns the bases of a definition and their indices, nearest first.
    fn bases(&self, definition: &'a Definition) -> impl Iterator<Item = (usize, &'a Definition)> {
        let base = |definition: &'a Definition| self.index.type_of(&definition.base()?.text);
        std::iter::successors(base(definition), move |(_, definition)| base(definition))
    }

    /// Checks the members of a definition against those of its bases.
    fn check_base(&self, definition: &'a Definition, position: usize, scope: &mut Scope<'_, '_>) {
        for (base_position, base) in self.bases(definition) {
            for (own, other) in self.common(position, base_position) {
                scope.push(clash("member", own, other, Some(base)));
            }
        }
    }

    /// Checks the common members of a union against those that its branches can add. Members of
    /// different branches cannot conflict. `visited` has the union for which each definition has been
    /// visited last.
    fn check_branches(
        &self,
        definition: &'a Definition,
        position: usize,
        visited: &mut [Option<usize>],
        scope: &mut Scope<'_, '_>,
    ) {
        if definition.branches().is_empty() {
            return;
        }
        let mut common = vec![position];
        for (position, _) in self.bases(definition) {
            common.push(position);
        }
        for branch in definition.branches() {
            let mut pending = Vec::new();
            pending.extend(self.index.type_of(&branch.ty.text));
            while let Some((inner_position, inner)) = pending.pop() {
                let was_visited = visited[inner_position].replace(position) == Some(position);
                if was_visited || self.lookups.get() > MAX_LOOKUPS {
                    continue;
                }
                for base_position in &common {
                    for (added, other) in self.common(inner_position, *base_position) {
                        let message = format!(
                            "branch '{}' adds member '{}', which conflicts with member '{}' of the base",
                            branch.name.text, added.text, other.text
                        );
                        let error = Diagnostic::error(branch.name.span, message)
                            .related(added.span, "the member of the branch")
                            .related(other.span, "the member of the base");
                        scope.push(error);
                    }
                }
                for branch in inner.branches() {
                    pending.extend(self.index.type_of(&branch.ty.text));
                }
                if let Some(base) = inner.base() {
                    pending.extend(self.index.type_of(&base.text));
                }
            }
        }
    }

    /// Returns each pair of equivalent member names in two definitions, in the order of the first one's.
    ///
    /// Looks up the names of the smaller table in the larger one, since one struct can be the base
    /// of thousands.
    fn common(&self, one: usize, other: usize) -> Vec<(&'a Name, &'a Name)> {
        let mut found = Vec::new();
        let (Some(one), Some(other)) = (self.tables.get(one), self.tables.get(other)) else {
            return found;
        };
        let (fewer, more) = if one.len() <= other.len() { (one, other) } else { (other, one) };
        for (key, name) in fewer.iter() {
            let Some(same) = more.get(key) else { continue };
            found.push(if one.len() <= other.len() { (*name, *same) } else { (*same, *name) });
        }
        self.lookups.set(self.lookups.get() + fewer.len() + 1);
        order::sort_by_key(&mut found, |(name, _)| name.span.place());
        found
    }
}
