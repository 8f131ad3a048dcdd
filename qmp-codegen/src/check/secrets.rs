//! Resolves the members that pragma `secret-members` lists.

use std::collections::HashMap;

use crate::ast::{Body, Command, Data, Definition, Member, Name};
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::report::Report;
use crate::similar::did_you_mean;

use super::index::{Index, Lookup};

/// The secret members of each definition, by name.
///
/// Unlike exceptions, they do not depend on the root that lists them, so that a schema of another
/// project can be completed by a root that contains nothing else.
#[derive(Default)]
pub(crate) struct Secrets<'a> {
    /// The index of each definition among the sets of members.
    definitions: HashMap<&'a str, usize>,
    members: Vec<Few<&'a str, ()>>,
}

impl<'a> Secrets<'a> {
    fn insert(&mut self, definition: &'a str, member: &'a str) {
        let index = self.definitions.get(definition).copied().unwrap_or(self.members.len());
        if index == self.members.len() {
            self.definitions.insert(definition, index);
            self.members.push(Few::new());
        }
        self.members[index].insert(member, ());
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
    let is_it = |own: &Member| own.name.text == member;
    let mut next = inherited(index, definition);
    for _ in 0..MAX_BASES {
        let Some(owner) = next else { break };
        if owner.members().iter().any(is_it) {
            error.help = Some(format!("did you mean '{}.{member}'?", owner.name.text));
            return error;
        }
        next = inherited(index, owner);
    }
    let own = definition.members().iter().map(|own| own.name.text.as_str());
    error.help = did_you_mean(member, own);
    error
}

/// The number of bases that are searched. They may form a circle, which another check reports.
const MAX_BASES: usize = 100;

/// Returns the definition whose members a definition has besides its own.
fn inherited<'a>(index: &Index<'a>, definition: &Definition) -> Option<&'a Definition> {
    let name = match &definition.body {
        Body::Command(Command { data: Data::Named { ty, .. }, .. })
        | Body::Event { data: Data::Named { ty, .. } } => ty,
        _ => definition.base()?,
    };
    index.type_of(&name.text).map(|(_, base)| base)
}
