//! The one namespace of types, commands and events.

use std::collections::HashMap;

use crate::ast::{Definition, Item};
use crate::diagnostic::Diagnostic;
use crate::parse::Pragmas;
use crate::report::{Report, Scope};
use crate::schema::Builtin;

/// Every definition, and how to find it.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    definitions: Vec<&'a Definition>,
    by_name: HashMap<&'a str, Entry>,
    pragmas: &'a [Pragmas],
    no_pragmas: Pragmas,
    /// Some definitions are not known, not even by name.
    incomplete: bool,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Definition(usize),
    /// It is defined, but the definition is not sound.
    Broken,
}

/// What a name stands for where a type is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup<'a> {
    Builtin(Builtin),
    /// A type, by its place among the definitions.
    Type(usize, &'a Definition),
    /// A command or event.
    NoType(&'a Definition),
    /// Something that could not be read, which was reported.
    Broken,
    Missing,
}

impl<'a> Index<'a> {
    /// Takes all definitions in, and reports those whose name is taken.
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
        let message = format!("the name '{}' is taken", name.text);
        let place = self.definitions.len();
        self.definitions.push(definition);
        if builtin(&name.text).is_some() {
            let error = Diagnostic::error(name.span, message).help("it is a built-in type");
            Scope::of(report, definition).push(error);
            return;
        }
        match self.by_name.get(name.text.as_str()) {
            Some(Entry::Definition(first)) => {
                let mut error = Diagnostic::error(name.span, message);
                if let Some(first) = self.definitions.get(*first) {
                    error = error.related(first.name.span, "defined here first");
                }
                Scope::of(report, definition).push(error);
            }
            Some(Entry::Broken) => {}
            None => _ = self.by_name.insert(&name.text, Entry::Definition(place)),
        }
    }

    /// All definitions, in order.
    pub(crate) fn definitions(&self) -> &[&'a Definition] {
        &self.definitions
    }

    /// What a name stands for.
    pub(crate) fn lookup(&self, name: &str) -> Lookup<'a> {
        if let Some(builtin) = builtin(name) {
            return Lookup::Builtin(builtin);
        }
        match self.by_name.get(name) {
            Some(Entry::Definition(place)) => match self.definitions.get(*place) {
                Some(definition) if definition.kind().is_type() => Lookup::Type(*place, definition),
                Some(definition) => Lookup::NoType(definition),
                None => Lookup::Missing,
            },
            Some(Entry::Broken) => Lookup::Broken,
            None if self.incomplete => Lookup::Broken,
            None => Lookup::Missing,
        }
    }

    /// The definition of a type, by its place among the definitions.
    pub(crate) fn type_of(&self, name: &str) -> Option<(usize, &'a Definition)> {
        match self.lookup(name) {
            Lookup::Type(place, definition) => Some((place, definition)),
            _ => None,
        }
    }

    /// The names of all types, for guesses.
    pub(crate) fn type_names(&self) -> impl Iterator<Item = &'a str> {
        let defined = self.definitions.iter().filter(|definition| definition.kind().is_type());
        defined
            .map(|definition| definition.name.text.as_str())
            .chain(BUILTINS.iter().map(|(name, _)| *name))
    }

    /// The pragmas that hold for a definition.
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
    // Names of built-in types are short: that settles it for most others.
    if name.len() > 6 {
        return None;
    }
    BUILTINS.iter().find(|(builtin, _)| *builtin == name).map(|(_, builtin)| *builtin)
}
