//! Proves the dates in the documentation, and what is deprecated or unstable, by the introspection
//! of releases.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod observed;
mod releases;
mod report;
mod table;
mod verdict;
mod version;
mod written;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use observed::Ours;
use qmp_codegen::Root;
use releases::{Observation, Release};
use verdict::{Verdict, judge};
use version::{Dates, Version};
use written::{Item, Kind, Statement};

/// The dates that QEMU 7.2, 9.2 and 10.2 state themselves, one per line: a definition or
/// `DEFINITION.MEMBER`, and its date.
const STATED: &str = include_str!("../releases/since-10.2.txt");

/// Dates that QEMU states and that its releases contradict, or that are about something else.
const NOT_AS_STATED: [(&str, &str); 5] = [
    ("CpuModelExpansionInfo.deprecated-props", "for s390x, 9.1 has it"),
    ("DisplayGTK.show-menubar", "7.2 has it"),
    ("MigrationThreadInfo", "7.2 does not have it"),
    ("calc-dirty-rate.mode", "6.1 does not have it"),
    ("query-migrationthreads", "7.2 does not have it"),
];

/// The statements of the schema, and the observations of releases.
struct Evidence {
    schema: Ours,
    statements: BTreeMap<Item, Statement>,
    releases: Vec<Release>,
    observations: Vec<Observation>,
}

static EVIDENCE: LazyLock<Evidence> = LazyLock::new(Evidence::new);

impl Evidence {
    fn new() -> Self {
        let roots = [qmp_schema::SPEC, qmp_schema::EVENTS].map(|root| Root::File(root.into()));
        let schema = qmp_codegen::load(roots).unwrap_or_else(|error| panic!("{error}")).schema;
        let statements = written::statements(&schema);
        let schema = Ours::new(schema);
        let releases = releases::all();
        let observations = releases::observe(&schema, &releases);
        Self { schema, statements, releases, observations }
    }

    fn judge(&self, item: &Item, statement: &Statement) -> Verdict {
        judge(item, statement, &self.observations)
    }

    /// Judges an item as if its statement were another.
    fn judge_as(&self, kind: Kind, owner: &str, name: &str, change: fn(&mut Statement)) -> Verdict {
        let item = Item { kind, owner: owner.to_owned(), name: name.to_owned() };
        let mut statement = self.statements[&item].clone();
        change(&mut statement);
        self.judge(&item, &statement)
    }
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

#[test]
fn no_release_contradicts_the_documentation() {
    let evidence = &*EVIDENCE;
    let verdicts = evidence.statements.iter().map(|(item, stated)| evidence.judge(item, stated));
    let wrong = verdicts.filter_map(|verdict| match verdict {
        Verdict::Wrong(lines) => Some(lines),
        _ => None,
    });
    let wrong: Vec<String> = wrong.flatten().collect();
    assert!(wrong.is_empty(), "{} contradictions:\n{}", wrong.len(), wrong.join("\n"));
}

/// The test `complete` is stricter, for three QEMUs.
#[test]
fn no_release_has_what_the_schema_lacks() {
    /// In 7.2 the type was that of images, of which it fills in what extents have today.
    const KNOWN: &str = "! command query-named-block-nodes: return[].image.format-specific(type=vmdk).data.extents[].";
    let evidence = &*EVIDENCE;
    let lacking = evidence.releases.iter().flat_map(|release| {
        let lines = report::lacking(&evidence.schema, release);
        lines.into_iter().map(|line| format!("{}: {line}", release.version))
    });
    let lacking = lacking.filter(|line| !line.starts_with(&format!("7.2: {KNOWN}")));
    let lacking: Vec<String> = lacking.collect();
    assert!(lacking.is_empty(), "{} differences:\n{}", lacking.len(), lacking.join("\n"));
}

/// The second source, for dates that are older than the oldest release here.
#[test]
fn dates_are_those_that_qemu_states() {
    let evidence = &*EVIDENCE;
    let mut dates: BTreeMap<String, Dates> = BTreeMap::new();
    let schema = &evidence.schema.written;
    let types = schema.types.iter().map(|ty| &ty.definition);
    let commands = schema.commands.iter().map(|command| &command.definition);
    let events = schema.events.iter().map(|event| &event.definition);
    for definition in types.chain(commands).chain(events) {
        dates.insert(definition.name.clone(), Dates::of_definition(&definition.doc));
    }
    let members = evidence.statements.iter().filter(|(item, _)| !item.name.is_empty());
    let members = members.filter(|(item, _)| item.kind != Kind::Branch);
    dates.extend(members.map(|(item, one)| (format!("{}.{}", item.owner, item.name), one.dates)));
    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in STATED.lines() {
        let (name, stated) = line.split_once(' ').unwrap();
        // Some members are written in another definition here.
        let Some(ours) = dates.get(name).and_then(|dates| dates.since) else {
            if dates.contains_key(name) {
                wrong.push(format!("{name}: QEMU states {stated}"));
            }
            continue;
        };
        compared += 1;
        let known = NOT_AS_STATED.iter().any(|(known, _)| *known == name);
        if (ours != version(stated)) != known {
            wrong.push(format!("{name}: since {ours}, but QEMU states {stated}"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 1000, "only {compared} dates were compared");
}

/// `preallocate` did not have a date, and 5.2 does not have it; QEMU dated `show-menubar` 8.0, and
/// 7.2 has it; and `query-migrationthreads` 7.2, which does not have it.
#[test]
fn a_wrong_date_is_found() {
    let evidence = &*EVIDENCE;
    let is_wrong = |verdict: Verdict, text: &str| match verdict {
        Verdict::Wrong(lines) => assert!(lines.iter().any(|line| line == text), "{lines:?}"),
        other => panic!("{other:?}, expected {text}"),
    };
    let preallocate =
        |change| evidence.judge_as(Kind::Value, "BlockdevDriver", "preallocate", change);
    assert_eq!(preallocate(|_| {}), Verdict::Proved);
    is_wrong(
        preallocate(|stated| stated.dates = Dates::default()),
        "BlockdevDriver value preallocate: since 2.9, but 5.2 does not have it",
    );
    let menubar = |change| evidence.judge_as(Kind::Member, "DisplayGTK", "show-menubar", change);
    assert_eq!(menubar(|_| {}), Verdict::Proved);
    is_wrong(
        menubar(|stated| stated.dates.since = Version::parse("8.0")),
        "DisplayGTK.show-menubar: since 8.0, but 7.2 has it",
    );
    let threads = |change| evidence.judge_as(Kind::Command, "query-migrationthreads", "", change);
    is_wrong(
        threads(|stated| stated.dates.since = Version::parse("7.2")),
        "command query-migrationthreads: since 7.2, until 10.2, but 7.2 does not have it",
    );
    is_wrong(
        threads(|stated| stated.dates.until = None),
        "command query-migrationthreads: since 8.0, but 11.1 does not have it",
    );
    is_wrong(
        threads(|stated| stated.deprecated = false),
        "command query-migrationthreads: is deprecated in 10.2",
    );
}

#[test]
fn dates_are_read_from_text() {
    let dates = |text| Dates::of_member(text).to_string();
    assert_eq!(dates("Text. (since 2.10)"), "since 2.10");
    assert_eq!(dates("Text (default: 1). (since\n9.2)"), "since 9.2");
    assert_eq!(dates("Text. (since 2.2, until 10.1)"), "since 2.2, until 10.1");
    assert_eq!(dates("Waits (until @migrate-continue). (until 9.0)"), "until 9.0");
    assert_eq!(dates("Since 9.1, a union."), "without a date");
}

/// The report on 10.0, as it was before that release was added.
#[test]
fn a_report_shows_what_a_release_tells() {
    let Evidence { schema, statements, releases, .. } = &*EVIDENCE;
    let mut statements = statements.clone();
    let item = Item {
        kind: Kind::Value,
        owner: String::from("MigMode"),
        name: String::from("cpr-transfer"),
    };
    statements.get_mut(&item).unwrap().dates.since = Version::parse("10.1");
    let is = |release: &Release| release.version == version("10.0") && release.complete;
    let index = releases.iter().position(is).unwrap();
    let report = report::report(schema, &statements, releases, index);
    for line in [
        "--- 9.2",
        "+++ 10.0",
        "@@ missing from the schema: 0 @@",
        "@@ contradicting the documentation: 1 @@",
        "! MigMode value cpr-transfer: since 10.1, but 10.0 has it",
    ] {
        assert!(report.lines().any(|one| one == line), "{line:?} is missing:\n{report}");
    }
    let added = |line: &str| line.starts_with('+') && line.contains("value 'cpr-transfer' added");
    assert!(report.lines().any(added), "{report}");
}

/// Set `BLESS=1` to rewrite the table.
#[test]
fn the_readme_shows_what_is_proved() {
    const BEGIN: &str = "<!-- What the test `dates` prints: BLESS=1 rewrites it. -->\n\n";
    const END: &str = "\n<!-- end -->\n";
    let Evidence { statements, releases, observations, .. } = &*EVIDENCE;
    let table = table::table(statements, releases, observations);
    println!("{table}");
    let path = std::path::Path::new(qmp_schema::SPEC).with_file_name("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if shown != table && std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(shown, table, "set BLESS=1 to rewrite the README");
}
