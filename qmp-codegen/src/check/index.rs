//! Looks up definitions by name. Types, commands, and events share a namespace.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::ast::{Body, Definition, Item, Kind, Member, Name, Value};
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::order;
use crate::parse::Pragmas;
use crate::report::{Report, Scope};
use crate::schema::Builtin;

/// The maximum depth of bases and branches. QEMU's schema has three levels.
pub(crate) const MAX_DEPTH: usize = 100;

/// Every definition of a schema, indexed by name.
pub(crate) struct Index<'a> {
    definitions: Vec<&'a Definition>,
    /// The index of each definition by name.
    by_name: HashMap<&'a str, usize>,
    /// The names of definitions with errors that have been reported.
    broken: Few<&'a str, ()>,
    pragmas: &'a [Pragmas],
    no_pragmas: Pragmas,
    /// Whether the names of some definitions are unknown because of errors.
    incomplete: bool,
    /// The names in each definition, once one is asked for.
    tables: Vec<OnceCell<Table<'a>>>,
}

/// The names in a definition. Thousands of unions can refer to one base and one enum.
#[derive(Default)]
struct Table<'a> {
    /// The index of each member by name.
    by_name: HashMap<&'a str, usize>,
    members: &'a [Member],
    values: Few<&'a str, ()>,
    /// Whether a value can be mistaken for a number.
    numeric: bool,
    /// The first member with a condition.
    conditional: Option<&'a Member>,
}

fn is_numeric(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '+' | '.')
}

impl<'a> Table<'a> {
    fn of(definition: &'a Definition) -> Self {
        let members = definition.members();
        let values: &[Value] = match &definition.body {
            Body::Enum { values, .. } => values,
            _ => &[],
        };
        let mut table = Self { members, ..Self::default() };
        for (index, member) in members.iter().enumerate() {
            table.by_name.insert(&member.name.text, index);
            if member.condition.is_some() && table.conditional.is_none() {
                table.conditional = Some(member);
            }
        }
        for value in values {
            table.values.insert(&value.name.text, ());
            table.numeric |= value.name.text.starts_with(is_numeric);
        }
        table
    }

    fn member(&self, name: &str) -> Option<&'a Member> {
        self.by_name.get(name).map(|index| &self.members[*index])
    }
}

/// The meaning of a name where a type is expected.
#[derive(Clone, Copy)]
pub(crate) enum Lookup<'a> {
    Builtin(Builtin),
    /// A type, with its index among the definitions.
    Type(usize, &'a Definition),
    /// A command or event.
    NoType(&'a Definition),
    /// A definition with an error that has been reported, or possibly so.
    Broken,
    Missing,
}

impl<'a> Index<'a> {
    /// Indexes all definitions, and reports names that are defined more than once.
    pub(crate) fn new(items: &'a [Item], pragmas: &'a [Pragmas], report: &mut Report) -> Self {
        let mut index = Self {
            definitions: Vec::with_capacity(items.len()),
            by_name: HashMap::with_capacity(items.len()),
            broken: Few::new(),
            pragmas,
            no_pragmas: Pragmas::default(),
            incomplete: report.incomplete,
            tables: Vec::new(),
        };
        for item in items {
            match item {
                Item::Definition(definition) => index.add(definition, report),
                Item::Broken(Some(name)) => {
                    if !index.by_name.contains_key(name.as_str()) {
                        index.broken.insert(name, ());
                    }
                }
                Item::Broken(None) => index.incomplete = true,
                Item::Introduction { .. } => {}
            }
        }
        index.tables.resize_with(index.definitions.len(), OnceCell::new);
        index
    }

    fn add(&mut self, definition: &'a Definition, report: &mut Report) {
        let name = &definition.name;
        let position = self.definitions.len();
        self.definitions.push(definition);
        if builtin(&name.text).is_some() {
            let message = format!("the name '{}' is reserved for a built-in type", name.text);
            Scope::of(report, definition).error(name.span, message);
            return;
        }
        match self.by_name.get(name.text.as_str()) {
            Some(first) => {
                let message = format!("the name '{}' is already defined", name.text);
                let mut error = Diagnostic::error(name.span, message);
                if let Some(first) = self.definitions.get(*first) {
                    error = error.related(first.name.span, "first defined here");
                }
                Scope::of(report, definition).push(error);
            }
            None if self.broken.contains(&name.text) => {}
            None => _ = self.by_name.insert(&name.text, position),
        }
    }

    /// Returns all definitions, in order.
    pub(crate) fn definitions(&self) -> &[&'a Definition] {
        &self.definitions
    }

    /// Returns the meaning of a name.
    pub(crate) fn lookup(&self, name: &str) -> Lookup<'a> {
        if let Some(builtin) = builtin(name) {
            return Lookup::Builtin(builtin);
        }
        match self.by_name.get(name) {
            Some(position) => match self.definitions.get(*position) {
                Some(definition) if definition.kind().is_type() => {
                    Lookup::Type(*position, definition)
                }
                Some(definition) => Lookup::NoType(definition),
                None => Lookup::Missing,
            },
            None if self.incomplete || self.broken.contains(name) => Lookup::Broken,
            None => Lookup::Missing,
        }
    }

    /// Returns the definition of a type and its index among the definitions.
    pub(crate) fn type_of(&self, name: &str) -> Option<(usize, &'a Definition)> {
        match self.lookup(name) {
            Lookup::Type(position, definition) => Some((position, definition)),
            _ => None,
        }
    }

    /// Returns a member of a struct or of one of its bases, or one in the base of a union, by name.
    pub(crate) fn member(&self, definition: &'a Definition, name: &str) -> Option<&'a Member> {
        let own = || definition.members().iter().find(|member| member.name.text == name);
        self.bases(definition).find_map(|position| self.table(position)?.member(name)).or_else(own)
    }

    /// Returns whether a definition has a member that is not inherited.
    pub(crate) fn has_own_member(&self, definition: &'a Definition, member: &str) -> bool {
        let position = self.by_name.get(definition.name.text.as_str());
        let table = position.and_then(|position| self.table(*position));
        table.is_some_and(|table| table.by_name.contains_key(member))
    }

    /// Returns a member with a condition, of a struct or of one of its bases.
    pub(crate) fn conditional_member(&self, position: usize) -> Option<&'a Member> {
        let own = self.table(position)?.conditional;
        own.or_else(|| {
            let mut bases = self.bases(self.definitions.get(position)?);
            bases.find_map(|base| self.table(base)?.conditional)
        })
    }

    /// Returns the values of an enum.
    pub(crate) fn values(&self, position: usize) -> Option<&Few<&'a str, ()>> {
        Some(&self.table(position)?.values)
    }

    /// Returns whether an enum has a value that can be mistaken for a boolean.
    pub(crate) fn has_switch(&self, position: usize) -> bool {
        let values = self.values(position);
        values.is_some_and(|values| values.contains("on") || values.contains("off"))
    }

    /// Returns whether an enum has a value that can be mistaken for a number.
    pub(crate) fn has_numeric(&self, position: usize) -> bool {
        self.table(position).is_some_and(|table| table.numeric)
    }

    /// Returns the number of members in the bases of a definition.
    pub(crate) fn inherited_members(&self, definition: &'a Definition) -> usize {
        let mut count = 0;
        for base in self.bases(definition) {
            count += self.definitions[base].members().len();
        }
        count
    }

    /// Returns the indices of the bases of a definition, nearest first. A struct can be its own
    /// base, which is reported elsewhere.
    fn bases(&self, definition: &'a Definition) -> impl Iterator<Item = usize> {
        let base = |definition: &'a Definition| self.type_of(&definition.base()?.text);
        std::iter::successors(base(definition), move |(_, definition)| base(definition))
            .take(MAX_DEPTH)
            .map(|(position, _)| position)
    }

    fn table(&self, position: usize) -> Option<&Table<'a>> {
        let (cell, definition) = (self.tables.get(position)?, self.definitions.get(position)?);
        Some(cell.get_or_init(|| Table::of(definition)))
    }

    /// Returns the names of all types, as candidates for suggestions.
    pub(crate) fn type_names(&self) -> Vec<&'a str> {
        let mut names = self.names(Kind::is_type);
        names.extend(BUILTINS.iter().map(|(name, _)| *name));
        names
    }

    /// Returns the names of all definitions of some kinds, as candidates for suggestions.
    pub(crate) fn names(&self, is_candidate: fn(Kind) -> bool) -> Vec<&'a str> {
        let mut names = Vec::new();
        for definition in &self.definitions {
            if is_candidate(definition.kind()) {
                names.push(definition.name.text.as_str());
            }
        }
        names
    }

    /// Returns the members that the pragmas of any root list as secret, in order.
    pub(crate) fn secret_members(&self) -> Vec<&'a Name> {
        self.listed(Pragmas::secret_members)
    }

    /// Returns the commands that the pragmas of any root list as read-only, in order.
    pub(crate) fn read_only_commands(&self) -> Vec<&'a Name> {
        self.listed(Pragmas::read_only_commands)
    }

    fn listed(&self, list: fn(&Pragmas) -> &[Name]) -> Vec<&'a Name> {
        let mut listed = Vec::new();
        for pragmas in self.pragmas {
            listed.extend(list(pragmas));
        }
        // A file that several roots include lists its names for each of them.
        order::sort_by_key(&mut listed, |name| name.span.place());
        listed.dedup_by_key(|name| name.span);
        listed
    }

    /// Returns the pragmas that apply to a definition.
    pub(crate) fn pragmas(&self, definition: &Definition) -> &Pragmas {
        self.pragmas.get(definition.root).unwrap_or(&self.no_pragmas)
    }
}

const BUILTINS: [(&str, Builtin); 16] = [
    ("str", Builtin::Str),
    ("number", Builtin::Number),
    ("int", Builtin::Int),
    ("int8", Builtin::Int8),
    ("int16", Builtin::Int16),
    ("int32", Builtin::Int32),
    ("int64", Builtin::Int64),
    ("uint8", Builtin::Uint8),
    ("uint16", Builtin::Uint16),
    ("uint32", Builtin::Uint32),
    ("uint64", Builtin::Uint64),
    ("size", Builtin::Size),
    ("bool", Builtin::Bool),
    ("null", Builtin::Null),
    ("any", Builtin::Any),
    ("QType", Builtin::QType),
];

fn builtin(name: &str) -> Option<Builtin> {
    // Fast path: most other names are longer than those of built-in types.
    if name.len() > 6 {
        return None;
    }
    BUILTINS.iter().find(|(builtin, _)| *builtin == name).map(|(_, builtin)| *builtin)
}
