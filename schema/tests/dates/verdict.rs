//! Judges the dates of an item by what the releases show.

use std::fmt;

use super::releases::Observation;
use super::version::Version;
use super::written::{Item, Statement};

/// The result of comparing the dates of an item with the releases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The last release before it and the first release after it do not have it, and all between
    /// have it.
    Proved,
    /// All releases have it, and its date is older than the oldest.
    Older,
    /// The releases cannot tell.
    Unproved(Reason),
    /// A release contradicts. Each line is a contradiction.
    Wrong(Vec<String>),
}

/// Why the releases cannot tell whether a date is right.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reason {
    NotBuilt,
    NotShown,
    Between,
    Last,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBuilt => "for targets or options that the QEMUs were built without",
            Self::NotShown => "in types that introspection does not reach",
            Self::Between => "added and removed between two of the releases",
            Self::Last => "removed after the last of the releases",
        })
    }
}

/// Judges an item.
pub(crate) fn judge(item: &Item, statement: &Statement, observations: &[Observation]) -> Verdict {
    let wrong = contradictions(item, statement, observations);
    if !wrong.is_empty() {
        return Verdict::Wrong(wrong);
    }
    let has =
        |observation: &&Observation| observation.seen.get(item).is_some_and(|sight| sight.present);
    let present: Vec<Version> = observations.iter().filter(has).map(|one| one.version).collect();
    let (Some(first), Some(last)) = (present.first(), present.last()) else {
        let shown = observations.iter().any(|one| one.seen.contains_key(item));
        return Verdict::Unproved(match (shown, statement.conditional) {
            (false, _) => Reason::NotShown,
            (true, true) => Reason::NotBuilt,
            (true, false) => Reason::Between,
        });
    };
    let dates = statement.dates;
    let any = |is: &dyn Fn(Version) -> bool| observations.iter().any(|one| is(one.version));
    if dates.until.is_some() && !any(&|version| version > *last) {
        return Verdict::Unproved(Reason::Last);
    }
    // Every release before the first that has it is older than the stated date.
    let older = dates.since.is_some() && !any(&|version| version < *first);
    if older { Verdict::Older } else { Verdict::Proved }
}

fn contradictions(item: &Item, statement: &Statement, all: &[Observation]) -> Vec<String> {
    let mut wrong = Vec::new();
    for Observation { version, complete, seen } in all {
        let Some(sight) = seen.get(item) else { continue };
        let expected = statement.dates.contain(*version);
        if sight.present && !expected {
            wrong.push(format!("{item}: {}, but {version} has it", statement.dates));
        }
        // The date of a definition counts for what is written in it and has no date.
        let dates = if statement.dates.is_empty() { statement.of_owner } else { statement.dates };
        let required = expected && dates.contain(*version);
        // A QEMU may have been built without it.
        if required && !sight.present && (*complete || !statement.conditional) {
            wrong.push(format!("{item}: {dates}, but {version} does not have it"));
        }
    }
    wrong.extend(wrong_features(item, statement, all));
    // A release may be here twice.
    wrong.dedup();
    wrong
}

/// Compares what is deprecated or unstable with the last release that has the item.
fn wrong_features(item: &Item, statement: &Statement, all: &[Observation]) -> Vec<String> {
    let last = all.iter().rev().find_map(|one| {
        let sight = one.seen.get(item).filter(|sight| sight.present)?;
        Some((one.version, &sight.features))
    });
    // Later releases, which are not available, may have changed it.
    let Some((version, features)) =
        last.filter(|(version, _)| statement.dates.until.is_none_or(|until| until == *version))
    else {
        return Vec::new();
    };
    let stated = [("deprecated", statement.deprecated), ("unstable", statement.unstable)];
    let wrong = stated.iter().filter(|(name, stated)| features.contains(*name) != *stated);
    let line = |(name, stated): &(&str, bool)| {
        let shown = if *stated { "is not" } else { "is" };
        format!("{item}: {shown} {name} in {version}")
    };
    wrong.map(line).collect()
}
