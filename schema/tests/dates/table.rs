//! The table of what is proved, for the README.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::releases::{Observation, Release};
use super::verdict::{Reason, Verdict, judge};
use super::written::{Item, Kind, Statement};

const KINDS: [(Kind, &str); 7] = [
    (Kind::Command, "commands"),
    (Kind::Argument, "arguments in commands"),
    (Kind::Event, "events"),
    (Kind::Datum, "members in events"),
    (Kind::Member, "members of types"),
    (Kind::Value, "values"),
    (Kind::Branch, "branches"),
];

#[derive(Default)]
struct Row {
    all: usize,
    dated: usize,
    proved: usize,
    older: usize,
    unproved: usize,
}

pub(crate) fn table(
    statements: &BTreeMap<Item, Statement>,
    releases: &[Release],
    observations: &[Observation],
) -> String {
    let mut rows: BTreeMap<Kind, Row> = BTreeMap::new();
    let mut reasons: BTreeMap<Reason, usize> = BTreeMap::new();
    for (item, statement) in statements {
        let row = rows.entry(item.kind).or_default();
        row.all += 1;
        if statement.dates.is_empty() {
            continue;
        }
        row.dated += 1;
        match judge(item, statement, observations) {
            Verdict::Proved => row.proved += 1,
            Verdict::Older => row.older += 1,
            Verdict::Unproved(reason) => {
                row.unproved += 1;
                *reasons.entry(reason).or_default() += 1;
            }
            Verdict::Wrong(_) => {}
        }
    }
    let oldest = releases[0].version;
    let mut text = format!(
        "| | all | with a date | proved | in {oldest} already | not proved |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for (kind, title) in KINDS {
        let Row { all, dated, proved, older, unproved } = rows.remove(&kind).unwrap_or_default();
        let _ = writeln!(text, "| {title} | {all} | {dated} | {proved} | {older} | {unproved} |");
    }
    for (title, complete) in [("Replies of QEMU", false), ("Schemas of QEMU", true)] {
        let some = releases.iter().filter(|release| release.complete == complete);
        let versions: Vec<String> = some.map(|release| release.version.to_string()).collect();
        let _ = writeln!(text, "\n{title}: {}.", versions.join(", "));
    }
    text.push_str("\nNot proved:\n\n");
    for (reason, count) in reasons {
        let _ = writeln!(text, "- {count} {reason}");
    }
    text
}
