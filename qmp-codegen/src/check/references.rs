//! Checks that every referenced type exists.

use crate::ast::{Base, Body, Command, Data, Definition, Name};
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};
use crate::similar::did_you_mean;

use super::index::{Index, Lookup};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for definition in index.definitions() {
        for_each_reference(definition, |name| {
            let mut error = match index.lookup(&name.text) {
                Lookup::Builtin(_) | Lookup::Type(..) | Lookup::Broken => return,
                Lookup::NoType(other) => {
                    let message =
                        format!("'{}' is {}, not a type", name.text, other.with_article());
                    Diagnostic::error(name.span, message).related(other.name.span, "defined here")
                }
                Lookup::Missing => {
                    Diagnostic::error(name.span, format!("unknown type '{}'", name.text))
                }
            };
            if !report.is_full() {
                error.help = did_you_mean(&name.text, index.type_names());
            }
            Scope::of(report, definition).push(error);
        });
    }
}

fn for_each_reference(definition: &Definition, mut f: impl FnMut(&Name)) {
    for member in definition.members() {
        f(&member.ty.name);
    }
    match &definition.body {
        Body::Enum { .. } => {}
        Body::Struct { base, .. } => base.iter().for_each(f),
        Body::Union { base, branches, .. } => {
            if let Base::Named(base) = base {
                f(base);
            }
            branches.iter().for_each(|branch| f(&branch.ty));
        }
        Body::Alternate { alternatives } => {
            alternatives.iter().for_each(|alternative| f(&alternative.ty.name))
        }
        Body::Command(Command { data, returns, .. }) => {
            if let Data::Named { ty, .. } = data {
                f(ty);
            }
            returns.iter().for_each(|returns| f(&returns.name));
        }
        Body::Event { data: Data::Named { ty, .. } } => f(ty),
        Body::Event { data: Data::Inline(_) } => {}
    }
}
