//! Checks the syntax tree against the rules of the language, and builds the model.

mod alternates;
mod arguments;
mod clashes;
mod docs;
mod expansion;
mod features;
mod index;
mod lower;
mod names;
mod nesting;
pub(crate) mod prose;
mod read_only;
mod references;
mod secrets;
mod unions;

#[cfg(feature = "tools")]
pub(crate) use names::{is_foreign_member, is_foreign_value, is_member_name};

use crate::ast::Item;
use crate::diagnostic::Rule;
use crate::parse::Pragmas;
use crate::report::Report;
use crate::schema::Schema;
use crate::source::Sources;

use index::Index;

/// Checks a schema, and returns the model unless there are errors.
///
/// Every pass runs, so that errors of all kinds are reported at once.
pub(crate) fn check(
    items: &[Item],
    pragmas: &[Pragmas],
    sources: &Sources,
    report: &mut Report,
) -> Option<Schema> {
    report.rule = Rule::Name;
    let index = Index::new(items, pragmas, report);
    names::check(&index, report);
    report.rule = Rule::Feature;
    features::check(&index, report);
    report.rule = Rule::UnknownType;
    references::check(&index, report);
    report.rule = Rule::Arguments;
    arguments::check(&index, report);
    report.rule = Rule::Alternate;
    alternates::check(&index, report);
    report.rule = Rule::Nesting;
    let nesting = nesting::check(&index, report);
    report.rule = Rule::Union;
    unions::check(&index, &nesting, report);
    report.rule = Rule::DuplicateMember;
    clashes::check(&index, &nesting, report);
    expansion::check(&index, report);
    report.rule = Rule::DocSyntax;
    docs::check(&index, report);
    report.rule = Rule::SecretMembers;
    let secrets = secrets::check(&index, report);
    report.rule = Rule::ReadOnlyCommands;
    let read_only = read_only::check(&index, report);
    if report.has_errors() {
        return None;
    }
    let extensions = lower::Extensions { secrets, read_only };
    lower::lower(items, &index, &extensions, sources, report)
}
