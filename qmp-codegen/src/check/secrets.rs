//! Resolves the members that pragma `secret-members` lists.

use std::collections::{HashMap, HashSet};

use crate::ast::{Body, Command, Data, Definition, Name};
use crate::diagnostic::Diagnostic;
use crate::report::Report;
use crate::similar::did_you_mean;

use super::index::{Index, Lookup};

/// The secret members of each definition, by name.
///
/// Unlike exceptions, they do not depend on the root that lists them, so that a schema of another
/// project can be completed by a root that contains nothing else.
#[derive(Debug, Default)]
pub(crate) struct Secrets<'a> {
    /// The index of each definition among the sets of members.
    definitions: HashMap<&'a str, usize>,
    members: Vec<HashSet<&'a str>>,
}

impl<'a> Secrets<'a> {
    fn insert(&mut self, definition: &'a str, member: &'a str) {
        let index = *self.definitions.entry(definition).or_insert(self.members.len());
        if index == self.members.len() {
            self.members.push(HashSet::new());
        }
        self.members[index].insert(member);
    }

    /// Returns whether the member, which is written in the definition, is secret.
    pub(crate) fn contains(&self, definition: &str, member: &str) -> bool {
        self.definitions.get(definition).is_some_and(|index| self.members[*index].contains(member))
    }
}

/// Resolves the members, and reports those that do not exist.
pub(crate) fn check<'a>(index: &Index<'a>, report: &mut Report) -> Secrets<'a> {
    let mut secrets = Secrets::default();
    for name in index.secret_members() {
        match resolve(index, name, report.is_full()) {
            Ok(Some((definition, member))) => {
                secrets.insert(definition, member);
            }
            Ok(None) => {}
            Err(error) => report.push(error),
        }
    }
    secrets
}

/// The number of dots in a name after which a member can follow.
const MAX_DOTS: usize = 20;

/// Returns the definition and the member of a name; `None` if that cannot be known because of an
/// error that has been reported.
fn resolve<'a>(
    index: &Index<'a>,
    name: &'a Name,
    brief: bool,
) -> Result<Option<(&'a str, &'a str)>, Diagnostic> {
    // Names of vendors contain dots themselves, such as `__com.example_x`.
    let dots = name.text.match_indices('.').take(MAX_DOTS);
    let mut splits = dots.map(|(dot, _)| (&name.text[..dot], &name.text[dot + 1..]));
    let Some(first) = splits.next() else {
        let message = format!("'{}' is not of the form 'DEFINITION.MEMBER'", name.text);
        return Err(Diagnostic::error(name.span, message));
    };
    let found = |(definition, member)| match index.lookup(definition) {
        Lookup::Type(_, found) | Lookup::NoType(found) => Some(Some((found, member))),
        Lookup::Broken => Some(None),
        Lookup::Builtin(_) | Lookup::Missing => None,
    };
    match found(first).or_else(|| splits.find_map(found)) {
        None => {
            let message = format!("unknown definition '{}'", first.0);
            let mut error = Diagnostic::error(name.span, message);
            if !brief {
                error.help = did_you_mean(first.0, index.names(|_| true));
            }
            Err(error)
        }
        Some(None) => Ok(None),
        Some(Some((definition, member))) => {
            if index.has_own_member(definition, member) {
                return Ok(Some((&definition.name.text, member)));
            }
            Err(no_such_member(index, definition, name, member))
        }
    }
}

fn no_such_member(
    index: &Index<'_>,
    definition: &Definition,
    name: &Name,
    member: &str,
) -> Diagnostic {
    let message = format!("'{}' has no member '{member}' of its own", definition.name.text);
    let mut error =
        Diagnostic::error(name.span, message).related(definition.name.span, "defined here");
    let owner = inherited(index, definition)
        .find(|base| base.members().iter().any(|own| own.name.text == member));
    error.help = match owner {
        Some(owner) => Some(format!("did you mean '{}.{member}'?", owner.name.text)),
        None => {
            let own = definition.members().iter().map(|own| own.name.text.as_str());
            did_you_mean(member, own)
        }
    };
    error
}

/// Returns the definitions whose members a definition has besides its own.
fn inherited<'i, 'a>(
    index: &'i Index<'a>,
    definition: &'i Definition,
) -> impl Iterator<Item = &'i Definition> + use<'i, 'a> {
    /// Bases may form a circle, which another check reports.
    const MOST: usize = 100;
    let next = move |definition: &&'i Definition| {
        let name = match &definition.body {
            Body::Command(Command { data: Data::Named { ty, .. }, .. })
            | Body::Event { data: Data::Named { ty, .. } } => ty,
            _ => definition.base()?,
        };
        index.type_of(&name.text).map(|(_, base)| -> &'i Definition { base })
    };
    std::iter::successors(Some(definition), next).skip(1).take(MOST)
}
