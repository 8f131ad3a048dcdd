//! Resolves the commands that pragma `read-only-commands` lists.

use crate::ast::Kind;
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::report::Report;
use crate::similar::did_you_mean;

use super::index::{Index, Lookup};

/// Returns the names of the commands that are read-only, and reports those that do not exist.
///
/// Like secret members, they do not depend on the root that lists them.
pub(crate) fn check<'a>(index: &Index<'a>, report: &mut Report) -> Few<&'a str, ()> {
    let mut commands = Few::new();
    for name in index.read_only_commands() {
        match index.lookup(&name.text) {
            Lookup::NoType(found) if found.kind() == Kind::Command => {
                commands.insert(name.text.as_str(), ());
            }
            // Another check reports it.
            Lookup::Broken => {}
            Lookup::NoType(found) | Lookup::Type(_, found) => {
                let message = format!("'{}' is not a command", name.text);
                let error = Diagnostic::error(name.span, message);
                report.push(error.related(found.name.span, "defined here"));
            }
            Lookup::Builtin(_) | Lookup::Missing => {
                let message = format!("unknown command '{}'", name.text);
                let mut error = Diagnostic::error(name.span, message);
                if !report.is_full() {
                    error.help =
                        did_you_mean(&name.text, index.names(|kind| kind == Kind::Command));
                }
                report.push(error);
            }
        }
    }
    commands
}
