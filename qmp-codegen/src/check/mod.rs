//! Checks the syntax tree against the rules of the language, and builds the model.

mod alternates;
mod arguments;
mod clashes;
mod docs;
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

use crate::ast::Item;
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
    let index = Index::new(items, pragmas, report);
    names::check(&index, report);
    features::check(&index, report);
    references::check(&index, report);
    arguments::check(&index, report);
    alternates::check(&index, report);
    let nesting = nesting::check(&index, report);
    unions::check(&index, &nesting, report);
    clashes::check(&index, &nesting, report);
    report.in_documentation = true;
    docs::check(&index, report);
    report.in_documentation = false;
    let secrets = secrets::check(&index, report);
    let read_only = read_only::check(&index, report);
    if report.has_errors() {
        return None;
    }
    let extensions = lower::Extensions { secrets, read_only };
    lower::lower(items, &index, &extensions, sources, report)
}
