//! Compares the schema with the introspection data of a release.

#![allow(dead_code)] // the tests against running QEMUs use only part of it

use std::path::Path;

use qmp_codegen::Root;
use qmp_codegen::diff::{Change, Direction, Scope, What, diff_within};
use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_codegen::schema::Schema;

/// The releases whose introspection data is available, the newest last.
pub(crate) const RELEASES: [&str; 3] = ["7.2", "10.0", "11.1"];

/// The release that the arguments of commands follow.
pub(crate) const NEWEST: &str = "11.1";

/// The newest release as major and minor version numbers.
pub(crate) const NEWEST_VERSION: (i64, i64) = (11, 1);

/// Intentional differences: a release, the beginning of the lines that report the difference, and
/// the reason.
pub(crate) const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "7.2",
        "command query-named-block-nodes: \
         return[].image.format-specific(type=vmdk).data.extents[].",
        "the type was that of images, of which 7.2 fills in only the members that extents have today",
    ),
    (
        "7.2",
        "command query-block-jobs: return[].type: type is now enum, was str",
        "enumerations are open, and members that depend on the value of this one are optional",
    ),
];

/// Returns whether a difference is listed as an exception, for any release.
pub(crate) fn is_exception(difference: &str) -> bool {
    EXCEPTIONS.iter().any(|(_, begins, _)| difference.starts_with(begins))
}

/// Returns the schema of QMP as introspection presents it: with flattened bases, but complete.
pub(crate) fn schema() -> Schema {
    let roots = [qmp_schema::SPEC, qmp_schema::EVENTS].map(|root| Root::File(root.into()));
    let schema = qmp_codegen::load(roots).unwrap_or_else(|error| panic!("{error}")).schema;
    let shown = export(&schema, Naming::Unmasked, &|_| true).to_string();
    import(&shown, &Names::from_schema(&schema)).unwrap()
}

/// Returns the reply of a release to `query-qmp-schema`.
pub(crate) fn release(version: &str) -> String {
    // Tests of another crate include this file, too.
    let path = Path::new(qmp_schema::SPEC).with_file_name("tests");
    let path = path.join(format!("releases/{version}.json"));
    std::fs::read_to_string(path).unwrap()
}

/// Returns the errors in the schema, one per line, given a server's reply to `query-qmp-schema`.
pub(crate) fn differences(answer: &str, schema: &Schema, version: &str) -> Vec<String> {
    let release = import(answer, &Names::from_schema(schema)).unwrap();
    let difference = diff_within(&release, schema, Scope::Introspection);
    let added = if version == NEWEST { added_arguments(schema) } else { Vec::new() };
    let wrong = difference.changes.iter().filter(|change| {
        let is_new = || added.iter().any(|added| is_same_argument(added, change));
        is_wrong(change, version == NEWEST) && !(change.what == What::MadeOptional && is_new())
    });
    wrong.map(ToString::to_string).collect()
}

/// Returns the members, one per line, that are optional in the schema although every release sends
/// them.
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

/// Returns the arguments that an earlier release does not have, although it has their command.
fn added_arguments(schema: &Schema) -> Vec<Change> {
    let earlier = RELEASES.into_iter().filter(|version| *version != NEWEST);
    let changes = earlier.flat_map(|version| {
        let release = import(&release(version), &Names::from_schema(schema)).unwrap();
        diff_within(&release, schema, Scope::Introspection).changes
    });
    changes
        .filter(|change| {
            matches!(change.what, What::MemberAdded { .. })
                && change.directions.contains(&Direction::Sent)
        })
        .collect()
}

fn is_same_argument(one: &Change, other: &Change) -> bool {
    let mut roots = one.also.iter().chain([&one.root]);
    one.path == other.path && roots.any(|root| *root == other.root || other.also.contains(root))
}

/// Returns whether a change from a release to the schema is an error: the schema must be a superset
/// of all releases, in which members are optional if their receivers require it.
fn is_wrong(change: &Change, newest: bool) -> bool {
    let received = change.directions.contains(&Direction::Received);
    let sent = newest && change.directions.contains(&Direction::Sent);
    match &change.what {
        What::Added
        | What::ValueAdded(_)
        | What::BranchAdded(_)
        | What::AlternativeAdded(_)
        | What::FeatureAdded(_) => false,
        // A release that does not know an argument refuses it, so it must be possible to omit it.
        What::MemberAdded { optional } => !optional,
        What::MemberWidened { optional, .. } => !optional && (received || sent),
        What::MadeMandatory => received || sent,
        // A type that is also received must accept replies in which older releases omit the member.
        What::MadeOptional => sent && !received,
        // An older release may support fewer commands out-of-band.
        What::Flag { now, .. } => newest || !now,
        What::Type { old, new } => newest || !is_superset(old, new),
        _ => true,
    }
}

/// Returns whether `new` accepts all values of `old`, as an alternate that includes it does.
fn is_superset(old: &str, new: &str) -> bool {
    new.split(" or ").any(|alternative| alternative == old)
}
