//! The news of a release, as one diff to review.

use std::collections::BTreeMap;
use std::fmt::Write;

use qmp_codegen::diff::{Scope, What, diff_within};

use super::observed::Ours;
use super::releases::{Release, observe};
use super::verdict::{Verdict, judge};
use super::version::Version;
use super::written::{Item, Statement};

/// The oldest release that the schema covers completely. Of older ones, it has what is left.
pub(crate) const OLDEST: &str = "7.2";

/// Compares a release with the one before it and with our schema:
///
/// - `+` is new, `-` is gone, and `~` is changed since the release before;
/// - `!` is missing or wrong in our schema or its documentation.
pub(crate) fn report(
    ours: &Ours,
    statements: &BTreeMap<Item, Statement>,
    releases: &[Release],
    index: usize,
) -> String {
    let release = &releases[index];
    let mut text = String::new();
    // A QEMU does not have all targets and options, so one is best compared with another one.
    let older = || releases[..index].iter().rev().filter(|one| one.version < release.version);
    let alike = older().find(|before| before.complete == release.complete);
    let before = alike.or_else(|| older().next());
    let from = before.map_or_else(|| String::from("(none)"), |before| before.version.to_string());
    let _ = writeln!(text, "--- {from}\n+++ {}", release.version);
    let changes = before.map(|before| changes(before, release)).unwrap_or_default();
    let lacking = lacking(ours, release);
    let wrong = wrong(ours, statements, releases, release.version);
    let parts = [
        ("new, gone and changed", changes),
        ("missing from the schema", lacking),
        ("contradicting the documentation", wrong),
    ];
    for (title, lines) in parts {
        let _ = writeln!(text, "@@ {title}: {} @@", lines.len());
        lines.iter().for_each(|line| text.extend([line, "\n"]));
    }
    text
}

fn changes(before: &Release, release: &Release) -> Vec<String> {
    let difference = diff_within(&before.schema, &release.schema, Scope::Introspection);
    let line = |change: &qmp_codegen::diff::Change| format!("{} {change}", sign(&change.what));
    difference.changes.iter().map(line).collect()
}

fn sign(what: &What) -> char {
    match what {
        What::Added
        | What::MemberAdded { .. }
        | What::ValueAdded(_)
        | What::BranchAdded(_)
        | What::AlternativeAdded(_)
        | What::FeatureAdded(_) => '+',
        what if is_loss(what) => '-',
        _ => '~',
    }
}

fn is_loss(what: &What) -> bool {
    matches!(
        what,
        What::Removed
            | What::MemberRemoved { .. }
            | What::ValueRemoved(_)
            | What::BranchRemoved(_)
            | What::AlternativeRemoved(_)
            | What::FeatureRemoved(_)
    )
}

/// Returns what a release has and our schema does not.
pub(crate) fn lacking(ours: &Ours, release: &Release) -> Vec<String> {
    if Some(release.version) < Version::parse(OLDEST) {
        return Vec::new();
    }
    let difference = diff_within(&release.schema, &ours.shown, Scope::Introspection);
    let lost = difference.changes.iter().filter(|change| is_loss(&change.what));
    lost.map(|change| format!("! {change}")).collect()
}

/// Returns the statements of our schema that the releases contradict, and that this one is part of.
fn wrong(
    ours: &Ours,
    statements: &BTreeMap<Item, Statement>,
    releases: &[Release],
    version: Version,
) -> Vec<String> {
    let observations = observe(ours, releases);
    let of_item = |(item, statement)| match judge(item, statement, &observations) {
        Verdict::Wrong(lines) => lines,
        _ => Vec::new(),
    };
    let all = statements.iter().flat_map(of_item);
    let version = version.to_string();
    let about = |line: &String| line.split_whitespace().any(|word| word == version);
    all.filter(about).map(|line| format!("! {line}")).collect()
}
