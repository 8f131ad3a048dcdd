//! Comparing the schema with what a release says of itself.

#![allow(dead_code)] // the tests against running QEMUs use a part of it

use std::path::Path;

use qmp_codegen::Root;
use qmp_codegen::diff::{Change, Direction, Scope, What, diff_within};
use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_codegen::schema::Schema;

/// The releases that there is introspection of, the newest last.
pub(crate) const RELEASES: [&str; 3] = ["7.2", "10.0", "11.1"];

/// The release that what callers send follows.
pub(crate) const NEWEST: &str = "11.1";

/// The same as numbers.
pub(crate) const NEWEST_VERSION: (i64, i64) = (11, 1);

/// What is different on purpose: a release, how the lines begin that tell it, why.
pub(crate) const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "7.2",
        "command query-named-block-nodes: \
         return[].image.format-specific(type=vmdk).data.extents[].",
        "the type was that of images, of which 7.2 fills in what extents have today, and no more",
    ),
    (
        "7.2",
        "command query-block-jobs: return[].type: type is now enum, was str",
        "enumerations are open, and what depends on this one's value is optional",
    ),
];

/// Whether a difference is listed, of whatever release.
pub(crate) fn is_exception(difference: &str) -> bool {
    EXCEPTIONS.iter().any(|(_, begins, _)| difference.starts_with(begins))
}

/// The schema of QMP, as introspection shows it: with bases flattened, nothing left out.
pub(crate) fn schema() -> Schema {
    let roots = [qmp_schema::SPEC, qmp_schema::EVENTS].map(|root| Root::File(root.into()));
    let schema = qmp_codegen::load(roots).unwrap_or_else(|error| panic!("{error}")).schema;
    let shown = export(&schema, Naming::Unmasked, &|_| true).to_string();
    import(&shown, &Names::from_schema(&schema)).unwrap()
}

/// What a release answers to `query-qmp-schema`.
pub(crate) fn release(version: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/releases/{version}.json"));
    std::fs::read_to_string(path).unwrap()
}

/// What is wrong with the schema for a server that answers this, a line each.
pub(crate) fn differences(answer: &str, schema: &Schema, version: &str) -> Vec<String> {
    let release = import(answer, &Names::from_schema(schema)).unwrap();
    let difference = diff_within(&release, schema, Scope::Introspection);
    let wrong = difference.changes.iter().filter(|change| is_wrong(change, version == NEWEST));
    wrong.map(ToString::to_string).collect()
}

/// What the schema calls optional although every release sends it, a line each.
pub(crate) fn needlessly_optional(schema: &Schema) -> Vec<String> {
    let lines = RELEASES.map(|version| {
        let release = import(&release(version), &Names::from_schema(schema)).unwrap();
        let difference = diff_within(&release, schema, Scope::Introspection);
        let relaxed = difference.changes.into_iter().filter(|change| {
            change.what == What::MadeOptional && change.directions == [Direction::Received]
        });
        relaxed.map(|change| change.to_string()).collect::<Vec<_>>()
    });
    let [first, rest @ ..] = &lines;
    let everywhere = |line: &&String| rest.iter().all(|lines| lines.contains(line));
    first.iter().filter(everywhere).cloned().collect()
}

/// Whether the step from a release to the schema is one that must not be: the schema is a superset
/// of all releases, in which members are as optional as their receivers need them to be.
fn is_wrong(change: &Change, newest: bool) -> bool {
    let received = change.directions.contains(&Direction::Received);
    let sent = newest && change.directions.contains(&Direction::Sent);
    match &change.what {
        What::Added
        | What::ValueAdded(_)
        | What::BranchAdded(_)
        | What::AlternativeAdded(_)
        | What::FeatureAdded(_) => false,
        What::MemberAdded { optional } | What::MemberWidened { optional, .. } => {
            !optional && (received || sent)
        }
        What::MadeMandatory => received || sent,
        // A type that is received as well has to stand what older releases leave out.
        What::MadeOptional => sent && !received,
        // An older release may do less out-of-band.
        What::Flag { now, .. } => newest || !now,
        What::Type { old, new } => newest || !is_superset(old, new),
        _ => true,
    }
}

/// Whether what was `old` is read as `new`, too: an alternate that has it.
fn is_superset(old: &str, new: &str) -> bool {
    new.split(" or ").any(|alternative| alternative == old)
}
