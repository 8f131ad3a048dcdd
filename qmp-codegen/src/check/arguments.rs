//! Commands and events: what their data and results may be, and which flags go together.

use crate::ast::{Body, Command, Data, Definition, Member, TypeName};
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};

use super::index::{Index, Lookup};
use super::references::with_article;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for definition in index.definitions() {
        let mut scope = Scope::of(report, definition);
        match &definition.body {
            Body::Command(command) => {
                check_data(index, &command.data, &mut scope);
                if let Some(returns) = &command.returns {
                    check_returns(index, definition, returns, &mut scope);
                }
                check_flags(definition, command, &mut scope);
            }
            Body::Event { data } => check_data(index, data, &mut scope),
            _ => {}
        }
    }
}

fn check_data(index: &Index<'_>, data: &Data, scope: &mut Scope<'_, '_>) {
    let (ty, boxed) = match data {
        Data::Inline(members) => {
            warn_of_conditional(members, scope);
            return;
        }
        Data::Named { ty, boxed } => (ty, *boxed),
    };
    match index.lookup(&ty.text) {
        Lookup::Type(_, definition) => match &definition.body {
            Body::Struct { .. } | Body::Union { .. } if boxed => {}
            Body::Struct { .. } => {
                if let Some(member) = conditional_member(index, definition) {
                    let message = format!(
                        "'{}' has members with conditions: it needs 'boxed': true",
                        ty.text
                    );
                    scope.push(
                        Diagnostic::warning(ty.span, message)
                            .related(member.name.span, "this one")
                            .help("QEMU 8.1 and later refuse it"),
                    );
                }
            }
            Body::Union { .. } => {
                scope.error(ty.span, format!("'{}' is a union: it needs 'boxed': true", ty.text));
            }
            _ => {
                let message = format!(
                    "'data' is a struct or union, and '{}' is {}",
                    ty.text,
                    with_article(definition)
                );
                scope.error(ty.span, message);
            }
        },
        Lookup::Builtin(_) => {
            scope.error(
                ty.span,
                format!("'data' is a struct or union, and '{}' is a built-in type", ty.text),
            );
        }
        Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => {}
    }
}

/// QEMU passes arguments one by one to C functions, whose parameters cannot have conditions; old
/// releases have them all the same.
fn warn_of_conditional(members: &[Member], scope: &mut Scope<'_, '_>) {
    for member in members.iter().filter(|member| member.condition.is_some()) {
        let message = format!("'{}' cannot have a condition here", member.name.text);
        let help = "QEMU 8.1 and later refuse it; they want a struct, with 'boxed': true";
        scope.push(Diagnostic::warning(member.name.span, message).help(help));
    }
}

/// A member with a condition, of a struct or of the structs below it.
fn conditional_member<'a>(index: &Index<'a>, definition: &'a Definition) -> Option<&'a Member> {
    let mut next = Some(definition);
    // Bases that go round in a circle are reported elsewhere; here it only must end.
    for _ in 0..super::nesting::MAX_DEPTH {
        let definition = next?;
        if let Some(member) = definition.members().iter().find(|member| member.condition.is_some())
        {
            return Some(member);
        }
        next = definition.base().and_then(|base| index.type_of(&base.text)).map(|(_, base)| base);
    }
    None
}

fn check_returns(
    index: &Index<'_>,
    definition: &Definition,
    returns: &TypeName,
    scope: &mut Scope<'_, '_>,
) {
    if index.pragmas(definition).permits_returns(&definition.name.text) {
        return;
    }
    let name = &returns.name;
    let what = match index.lookup(&name.text) {
        Lookup::Type(_, ty) => match &ty.body {
            Body::Struct { .. } | Body::Union { .. } => return,
            _ => with_article(ty),
        },
        Lookup::Builtin(_) => String::from("a built-in type"),
        Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => return,
    };
    let message = format!(
        "a command returns a struct, a union or an array of either, and '{}' is {what}",
        name.text
    );
    let help =
        "return a struct, which can grow; pragma 'command-returns-exceptions' permits others";
    scope.push(Diagnostic::error(name.span, message).help(help));
}

fn check_flags(definition: &Definition, command: &Command, scope: &mut Scope<'_, '_>) {
    if command.allow_oob && command.coroutine {
        scope.error(definition.name.span, "'allow-oob' and 'coroutine' exclude each other");
    }
}
