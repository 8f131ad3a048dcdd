//! Checks commands and events: the types of data and results, and combinations of flags.

use crate::ast::{Body, Command, Data, Definition, Member, TypeName};
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};

use super::index::{Index, Lookup};

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
        Lookup::Type(position, definition) => match &definition.body {
            Body::Struct { .. } | Body::Union { .. } if boxed => {}
            Body::Struct { .. } => {
                if let Some(member) = index.conditional_member(position) {
                    let message = format!(
                        "'{}' has a conditional member, which requires 'boxed': true",
                        ty.text
                    );
                    scope.push(
                        Diagnostic::warning(ty.span, message)
                            .related(member.name.span, "the conditional member")
                            .help("QEMU 8.1 and later reject it without 'boxed'"),
                    );
                }
            }
            Body::Union { .. } => {
                let message = format!("'{}' is a union, which requires 'boxed': true", ty.text);
                scope.error(ty.span, message);
            }
            _ => {
                let message = format!(
                    "'data' must be a struct or union, but '{}' is {}",
                    ty.text,
                    definition.with_article()
                );
                scope.error(ty.span, message);
            }
        },
        Lookup::Builtin(_) => {
            scope.error(
                ty.span,
                format!("'data' must be a struct or union, but '{}' is a built-in type", ty.text),
            );
        }
        Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => {}
    }
}

/// Warns of inline members with conditions.
///
/// QEMU passes each of them to a C function as a parameter, which cannot have a condition. Releases
/// before 8.1 accept them nevertheless.
fn warn_of_conditional(members: &[Member], scope: &mut Scope<'_, '_>) {
    for member in members.iter().filter(|member| member.condition.is_some()) {
        let message = format!("inline member '{}' cannot have a condition", member.name.text);
        let help = "QEMU 8.1 and later reject it; move the members to a struct, and add \
                    'boxed': true";
        scope.push(Diagnostic::warning(member.name.span, message).help(help));
    }
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
            _ => ty.with_article(),
        },
        Lookup::Builtin(_) => String::from("a built-in type"),
        Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => return,
    };
    let message = format!(
        "a command must return a struct, a union, or an array of either, but '{}' is {what}",
        name.text
    );
    let help = "return a struct, which can be extended later, or add the command to pragma \
                'command-returns-exceptions'";
    scope.push(Diagnostic::error(name.span, message).help(help));
}

fn check_flags(definition: &Definition, command: &Command, scope: &mut Scope<'_, '_>) {
    if command.allow_oob && command.coroutine {
        scope.error(definition.name.span, "'allow-oob' and 'coroutine' are mutually exclusive");
    }
}
