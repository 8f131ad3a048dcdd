//! Checks unions: the discriminator's type, and that each branch is one of its values.

use crate::ast::{Base, Body, Branch, Definition, Member, Name};
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::report::{Report, Scope};
use crate::similar::did_you_mean;

use super::index::{Index, Lookup, MAX_DEPTH};
use super::nesting::Nesting;

pub(crate) fn check(index: &Index<'_>, nesting: &Nesting, report: &mut Report) {
    for (position, definition) in index.definitions().iter().enumerate() {
        let Body::Union { base, discriminator, branches } = &definition.body else {
            continue;
        };
        // Skip a union whose base has errors, since the discriminator may be in it.
        if matches!(base, Base::Named(_)) && !nesting.is_sound(position) {
            continue;
        }
        let mut scope = Scope::of(report, definition);
        if let Some(member) = find_discriminator(index, definition, discriminator, &mut scope) {
            check_discriminator(index, discriminator, member, branches, definition, &mut scope);
        }
    }
}

/// Returns the member of the base that the discriminator names.
fn find_discriminator<'a>(
    index: &Index<'a>,
    definition: &'a Definition,
    discriminator: &Name,
    scope: &mut Scope<'_, '_>,
) -> Option<&'a Member> {
    let found = index.member(definition, &discriminator.text);
    if found.is_none() {
        let message = format!("the base has no member '{}'", discriminator.text);
        let mut error = Diagnostic::error(discriminator.span, message);
        if !scope.is_full() {
            error.help = did_you_mean(&discriminator.text, base_members(index, definition));
        }
        scope.push(error);
    }
    found
}

/// Returns the names of all members of a union's base, including those of its bases.
fn base_members<'a>(index: &Index<'a>, mut definition: &'a Definition) -> Vec<&'a str> {
    let mut names = Vec::new();
    for _ in 0..MAX_DEPTH {
        for member in definition.members() {
            names.push(member.name.text.as_str());
        }
        let Some(base) = definition.base() else { break };
        let Some((_, base)) = index.type_of(&base.text) else { break };
        definition = base;
    }
    names
}

fn check_discriminator(
    index: &Index<'_>,
    discriminator: &Name,
    member: &Member,
    branches: &[Branch],
    definition: &Definition,
    scope: &mut Scope<'_, '_>,
) {
    let mut reject = |message: String| {
        scope.push(
            Diagnostic::error(discriminator.span, message)
                .related(member.name.span, "the discriminator is defined here"),
        );
    };
    let name = &discriminator.text;
    if member.optional {
        reject(format!("the discriminator '{name}' cannot be optional"));
    }
    if member.condition.is_some() {
        reject(format!("the discriminator '{name}' cannot have a condition"));
    }
    let what = match index.lookup(&member.ty.name.text) {
        Lookup::Broken | Lookup::Missing | Lookup::NoType(_) => return,
        _ if member.ty.array => String::from("an array"),
        Lookup::Builtin(crate::schema::Builtin::QType) => {
            String::from("the built-in type 'QType', which is not supported here")
        }
        Lookup::Builtin(_) => format!("'{}'", member.ty.name.text),
        Lookup::Type(position, ty) => match &ty.body {
            Body::Enum { values, .. } => {
                if values.is_empty() && branches.is_empty() {
                    let message =
                        "the union cannot have branches, because its discriminator has no values";
                    scope.error(definition.name.span, message);
                }
                if let Some(values) = index.values(position) {
                    check_branches(branches, ty, values, scope);
                }
                return;
            }
            _ => ty.with_article(),
        },
    };
    reject(format!("the type of the discriminator '{name}' must be an enum, not {what}"));
}

fn check_branches(
    branches: &[Branch],
    ty: &Definition,
    values: &Few<&str, ()>,
    scope: &mut Scope<'_, '_>,
) {
    for Branch { name, .. } in branches {
        if !values.contains(&name.text) {
            let message = format!("'{}' is not a value of enum '{}'", name.text, ty.name.text);
            let mut error = Diagnostic::error(name.span, message)
                .related(ty.name.span, "the discriminator's type");
            if !scope.is_full() {
                error.help = did_you_mean(&name.text, values.iter().map(|(value, ())| value));
            }
            scope.push(error);
        }
    }
}
