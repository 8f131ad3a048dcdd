//! Executes every command that needs no arguments on machines of other architectures, and compares the
//! outcome with the table in the README.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use conformance::{Outcome, Scratch, TARGETS, Tally, for_each_qmp_query, target, targets};
use support::machines::Inventory;
use support::queries::ExecuteEach;
use support::targets::all;

/// The minimum number of commands that a QEMU has to execute successfully.
const MIN_DECODED: usize = 60;

/// The outcome for one architecture.
#[derive(Default)]
struct Row {
    machines: BTreeSet<&'static str>,
    /// The number of commands that were decoded without loss, by release.
    decoded: BTreeMap<(i64, i64), usize>,
}

needs! { targets,
    fn every_reply_of_other_targets_is_decoded_without_loss() {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let mut tallies = Vec::new();
        for qemu in targets() {
            let architecture = target(&qemu);
            let inventory = Inventory::of(&qemu).unwrap();
            let version = &inventory.version.qemu;
            let server = support::label(&format!("QEMU ({architecture})"), version);
            let mut tally = Tally::default();
            let row = rows.entry(architecture.clone()).or_default();
            run(&qemu, &architecture, &inventory, &server, row, &mut tally);
            let decoded = tally.count(Outcome::Decoded);
            assert!(decoded >= MIN_DECODED, "{}", tally.line(&server));
            row.decoded.insert((version.major, version.minor), decoded);
            tallies.push((server, tally));
        }
        support::conclude(&tallies);
        compare_with_readme(&rows);
    }
}

fn run(
    qemu: &Path,
    architecture: &str,
    inventory: &Inventory,
    server: &str,
    row: &mut Row,
    tally: &mut Tally,
) {
    let scratch = Scratch::new();
    let machines = all(architecture, &scratch);
    for machine in machines.iter().filter(|one| inventory.has(one)) {
        let session = inventory.start(qemu, machine, server, tally);
        let mut session = session.unwrap_or_else(|error| panic!("{server}: {error}"));
        for_each_qmp_query(&mut ExecuteEach { session: &mut session, machine: machine.title });
        row.machines.insert(machine.title);
    }
}

/// Checks that the table in the README has these architectures, machines and releases. `BLESS=1`
/// rewrites it.
fn compare_with_readme(rows: &BTreeMap<String, Row>) {
    const BEGIN: &str = "<!-- The test `targets` prints it: BLESS=1 rewrites it. -->\n\n";
    const END: &str = "\n<!-- end -->";
    let table = table(rows);
    println!("{table}");
    if rows.len() < TARGETS.len() || rows.values().any(|row| row.decoded.len() < 3) {
        println!("not all releases and architectures are available: the README is not compared");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    // Debian's updates and the host have an influence on the numbers.
    let words = |table: &str| -> Vec<String> {
        let words = table.split_whitespace().map(str::to_owned);
        words.filter(|word| word.parse::<usize>().is_err()).collect()
    };
    assert_eq!(words(shown), words(&table), "set BLESS=1 to rewrite the README");
}

fn table(rows: &BTreeMap<String, Row>) -> String {
    let releases: BTreeSet<(i64, i64)> =
        rows.values().flat_map(|row| row.decoded.keys().copied()).collect();
    let mut text = String::from("| architecture | machines |");
    releases.iter().for_each(|(major, minor)| {
        let _ = write!(text, " {major}.{minor} |");
    });
    let _ = write!(text, "\n| --- | --- |{}\n", " ---: |".repeat(releases.len()));
    for (architecture, row) in rows {
        let machines: Vec<String> = row.machines.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(text, "| {architecture} | {} |", machines.join(", "));
        for release in &releases {
            let decoded = row.decoded.get(release).map(ToString::to_string).unwrap_or_default();
            let _ = write!(text, " {decoded} |");
        }
        text.push('\n');
    }
    text
}
