//! Looks up definitions by name. Types, commands, and events share a namespace.

use std::collections::HashMap;

use crate::ast::{Definition, Item, Name};
use crate::diagnostic::Diagnostic;
use crate::parse::Pragmas;
use crate::report::{Report, Scope};
use crate::schema::Builtin;

/// Every definition of a schema, indexed by name.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    definitions: Vec<&'a Definition>,
    by_name: HashMap<&'a str, Entry>,
    pragmas: &'a [Pragmas],
    no_pragmas: Pragmas,
    /// Whether the names of some definitions are unknown because of errors.
    incomplete: bool,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Definition(usize),
    /// A definition with an error that has been reported.
    Broken,
}

/// The meaning of a name where a type is expected.
#[derive(Clone, Copy, Debug)]
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
            pragmas,
            no_pragmas: Pragmas::default(),
            incomplete: report.incomplete,
        };
        for item in items {
            match item {
                Item::Definition(definition) => index.add(definition, report),
                Item::Broken(Some(name)) => _ = index.by_name.entry(name).or_insert(Entry::Broken),
                Item::Broken(None) => index.incomplete = true,
                Item::Introduction { .. } => {}
            }
        }
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
            Some(Entry::Definition(first)) => {
                let message = format!("the name '{}' is already defined", name.text);
                let mut error = Diagnostic::error(name.span, message);
                if let Some(first) = self.definitions.get(*first) {
                    error = error.related(first.name.span, "first defined here");
                }
                Scope::of(report, definition).push(error);
            }
            Some(Entry::Broken) => {}
            None => _ = self.by_name.insert(&name.text, Entry::Definition(position)),
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
            Some(Entry::Definition(position)) => match self.definitions.get(*position) {
                Some(definition) if definition.kind().is_type() => {
                    Lookup::Type(*position, definition)
                }
                Some(definition) => Lookup::NoType(definition),
                None => Lookup::Missing,
            },
            Some(Entry::Broken) => Lookup::Broken,
            None if self.incomplete => Lookup::Broken,
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

    /// Returns the names of all types, as candidates for suggestions.
    pub(crate) fn type_names(&self) -> impl Iterator<Item = &'a str> {
        let defined = self.definitions.iter().filter(|definition| definition.kind().is_type());
        defined
            .map(|definition| definition.name.text.as_str())
            .chain(BUILTINS.iter().map(|(name, _)| *name))
    }

    /// Returns the names of all definitions, as candidates for suggestions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.definitions.iter().map(|definition| definition.name.text.as_str())
    }

    /// Returns the names of all commands, as candidates for suggestions.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &'a str> {
        let commands =
            self.definitions.iter().filter(|one| one.kind() == crate::ast::Kind::Command);
        commands.map(|definition| definition.name.text.as_str())
    }

    /// Returns the members that the pragmas of any root list as secret.
    pub(crate) fn secret_members(&self) -> impl Iterator<Item = &'a Name> {
        self.pragmas.iter().flat_map(Pragmas::secret_members)
    }

    /// Returns the commands that the pragmas of any root list as read-only.
    pub(crate) fn read_only_commands(&self) -> impl Iterator<Item = &'a Name> {
        self.pragmas.iter().flat_map(Pragmas::read_only_commands)
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
