//! The changes that recordings and selections meet, exceptions, and comparisons with revisions.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use serde_json::{Value, json};
use support::{Directory, Ran, SCHEMA, run};

const OLD: &str = "\
{ 'pragma': { 'doc-required': false } }
{ 'enum': 'Mode', 'data': [ 'slow', 'fast' ] }
{ 'struct': 'State', 'data': { 'level': 'int', '*note': 'str', '*text': 'str' } }
{ 'union': 'Job', 'base': { 'mode': 'Mode' }, 'discriminator': 'mode',
  'data': { 'fast': 'Fast' } }
{ 'struct': 'Fast', 'data': { '*threads': 'int', '*pin': 'bool' } }
{ 'command': 'start', 'data': 'Job', 'boxed': true }
{ 'command': 'query-state', 'returns': [ 'State' ] }
{ 'command': 'paint', 'data': { 'color': 'str' } }
{ 'command': 'scrape' }
{ 'command': 'unused' }
{ 'event': 'DRY', 'data': { 'color': 'str' } }
{ 'event': 'UNSEEN' }
";

/// Lacks `pin`, `note`, `scrape`, `unused` and both events; `level` may be missing, and `paint` needs
/// coats.
const NEW: &str = "\
{ 'pragma': { 'doc-required': false } }
{ 'enum': 'Mode', 'data': [ 'slow', 'fast' ] }
{ 'struct': 'State', 'data': { '*level': 'int', '*text': 'str' } }
{ 'union': 'Job', 'base': { 'mode': 'Mode' }, 'discriminator': 'mode',
  'data': { 'fast': 'Fast' } }
{ 'struct': 'Fast', 'data': { '*threads': 'int' } }
{ 'command': 'start', 'data': 'Job', 'boxed': true }
{ 'command': 'query-state', 'returns': [ 'State' ] }
{ 'command': 'paint', 'data': { 'color': 'str', 'coats': 'int' }, 'features': [ 'deprecated' ] }
";

/// Returns the lines of a recording: messages that are sent, or received if they have no `execute`.
fn recording(messages: &[Value]) -> String {
    let mut text = String::from("{\"qmp-recording\": 1}\n");
    for (number, message) in messages.iter().enumerate() {
        let is_sent = message.get("execute").is_some();
        let direction = if is_sent { "sent" } else { "received" };
        let time = number * 1_000_001;
        let line =
            json!({"time": time, "direction": direction, "monitor": "vm", "message": message});
        text += &format!("{line}\n");
    }
    text
}

struct Files {
    directory: Directory,
    old: String,
    new: String,
}

impl Files {
    fn new() -> Self {
        let directory = Directory::new();
        let (old, new) = (directory.write("old.json", OLD), directory.write("new.json", NEW));
        Self { directory, old, new }
    }

    fn diff(&self, arguments: &[&str]) -> Ran {
        run(SCHEMA, &[&["diff", &self.old, &self.new], arguments].concat())
    }

    /// Compares for what a recording uses, and returns the status and the lines without their file.
    fn used_by(&self, messages: &[Value]) -> (i32, Vec<String>) {
        let file = self.directory.write("session.qmp", &recording(messages));
        let ran = self.diff(&["--used-by", &file, "--format", "short"]);
        assert_eq!(ran.err, "", "{ran:?}");
        let lines = ran.out.lines().map(|line| line.replacen(&file, "", 1));
        (ran.status, lines.collect())
    }
}

#[test]
fn only_what_a_recording_uses_is_listed() {
    let files = Files::new();
    // None of the many changes touches this.
    let harmless = [
        json!({"execute": "start", "arguments": {"mode": "fast", "threads": 2}, "id": 1}),
        json!({"return": {}, "id": 1}),
        json!({"execute": "query-state", "id": 2}),
        json!({"return": [], "id": 2}),
    ];
    assert_eq!(files.used_by(&harmless), (0, vec![]));
    for (messages, expected) in [
        (
            vec![
                json!({"execute": "start", "arguments": {"mode": "fast", "pin": true}, "id": 1}),
                json!({"return": {}, "id": 1}),
            ],
            ":2: breaking: command start: argument (mode=fast).pin: removed, was optional",
        ),
        (
            vec![json!({"execute": "scrape"}), json!({"return": {}})],
            ":2: breaking: command scrape: removed",
        ),
        (
            vec![json!({"event": "DRY", "data": {"color": "red"}})],
            ":2: breaking: event DRY: removed",
        ),
        (
            vec![
                json!({"execute": "query-state", "id": "x"}),
                json!({"return": [{"level": 1}, {"level": 2}], "id": "x"}),
            ],
            ":3: breaking: command query-state: return[].level: is now optional",
        ),
        // Without a reply, as at the end of a session, a command counts.
        (vec![json!({"execute": "scrape"})], ":2: breaking: command scrape: removed"),
    ] {
        assert_eq!(files.used_by(&messages), (1, vec![expected.to_owned()]));
    }
    let (status, lines) = files.used_by(&[
        json!({"execute": "paint", "arguments": {"color": "red"}, "id": 1}),
        json!({"return": {}, "id": 1}),
    ]);
    assert_eq!(status, 1);
    assert_eq!(
        lines,
        [
            ":2: other: command paint: feature 'deprecated' added",
            ":2: breaking: command paint: argument coats: added, mandatory",
        ]
    );
}

/// A reply without a mandatory member breaks its readers. An optional one, they had to expect.
#[test]
fn optional_members_of_replies_break_no_client() {
    let files = Files::new();
    let (status, lines) = files.used_by(&[
        json!({"execute": "query-state", "id": 1}),
        json!({"return": [{"note": "n", "text": "t"}], "id": 1}),
    ]);
    assert_eq!(status, 0);
    assert_eq!(lines, [":3: other: command query-state: return[].note: removed, was optional"]);
}

/// A client that tried something, and was refused, does not need it.
#[test]
fn a_command_that_failed_uses_nothing() {
    let files = Files::new();
    let messages = [
        json!({"execute": "scrape", "id": 1}),
        json!({"execute": "nonsense", "id": 2}),
        json!({"error": {"class": "GenericError", "desc": "no"}, "id": 1}),
        json!({"return": {}, "id": 2}),
    ];
    let file = files.directory.write("session.qmp", &recording(&messages));
    for format in ["short", "json"] {
        let ran = files.diff(&["--used-by", &file, "--format", format]);
        let warning =
            format!("warning: {file}:3: command nonsense is not in OLD, and was not compared\n");
        assert_eq!((ran.status, &*ran.out, ran.err), (0, "", warning));
    }
    let out = files.diff(&["--used-by", &file]).ok();
    assert!(
        out.starts_with("No change touches the 1 command and 0 events that are used."),
        "{out}"
    );
    assert!(out.contains("Commands that failed and were not compared: 1."), "{out}");
    let unknown = out.contains("not in OLD, and were not compared:\n  command nonsense\n");
    assert!(unknown && out.contains("session.qmp:3"), "{out}");
}

#[test]
fn each_change_has_its_first_place_and_a_count() {
    let files = Files::new();
    let state = json!({"return": [{"level": 1}], "id": 1});
    let query = json!({"execute": "query-state", "id": 1});
    let first = files.directory.write("first.qmp", &recording(&[json!({"event": "OTHER"})]));
    let messages = [query.clone(), state.clone(), query, state];
    let second = files.directory.write("second.qmp", &recording(&messages));
    let ran = files.diff(&["--used-by", &first, &second]);
    assert_eq!(ran.status, 1);
    let place = format!("      first at {second}:3 (1.000001 s), and 1 more\n");
    assert!(ran.out.contains(&place), "{ran:?}");
    assert!(
        ran.out.contains("1 change touches the 1 command and 1 event that are used, 1 breaking")
    );

    let json = files.diff(&["--json", "--used-by", &first, &second]).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["breaking"], true);
    let change = &json["changes"][0];
    assert_eq!(change["path"], "return[].level");
    assert_eq!(change["first"], json!({"file": second, "line": 3, "time": 1_000_001}));
    assert_eq!(change["count"], 2);
    assert_eq!(json["used"]["commands"], json!(["query-state"]));
    assert_eq!(json["used"]["unknown"][0]["name"], "event OTHER");
    let lines = files.diff(&["--format", "json", "--used-by", &second]).out;
    assert_eq!(serde_json::from_str::<Value>(&lines).unwrap(), *change);
}

#[test]
fn selections_use_all_that_their_commands_have() {
    let files = Files::new();
    let list = files.directory.write("names.txt", "query-state # the reply\nevent UNSEEN\n");
    let script = "fn main() { Builder::new().commands([\"query-state\"]).events([\"UNSEEN\"]); }\n";
    let script = files.directory.write("build.rs", script);
    for (file, lines) in [(&list, [1, 1, 2]), (&script, [1, 1, 1])] {
        let ran = files.diff(&["--format", "short", "--used-by", file]);
        let [one, two, three] = lines;
        let expected = format!(
            "{file}:{one}: breaking: command query-state: return[].level: is now optional\n\
             {file}:{two}: other: command query-state: return[].note: removed, was optional\n\
             {file}:{three}: breaking: event UNSEEN: removed\n"
        );
        assert_eq!((ran.status, ran.out), (1, expected));
    }
    let computed = files.directory.write("other.rs", "fn main() {\n    b.commands(NAMES);\n}\n");
    let err = files.diff(&["--used-by", &computed]).failed(2);
    assert!(err.contains("other.rs:2: the names that `commands` selects"), "{err}");
    let empty = files.directory.write("empty.txt", "# nothing\n");
    assert!(files.diff(&["--used-by", &empty]).failed(2).contains("selects no commands"));
    assert!(files.diff(&["--used-by", "nowhere"]).failed(2).contains("cannot read 'nowhere'"));
    let broken = files.directory.write("broken.qmp", "{\"qmp-recording\": 1}\n{\"x\": 1}\n");
    assert!(files.diff(&["--used-by", &broken]).failed(2).contains("line 2"));
}

#[test]
fn exceptions_accept_breaking_changes_with_a_reason() {
    let files = Files::new();
    let names = files.directory.write("names.txt", "scrape\nquery-state\nDRY\n");
    let exceptions = files.directory.write(
        "accepted.txt",
        "# Until the next release\n\ncommand scrape # it has been announced\n\
         command query-state: return[]* # readers cope\nevent UNSEEN # not used\n",
    );
    let arguments = ["--used-by", &names, "--exceptions", &exceptions];
    let ran = files.diff(&arguments);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.out.contains("Breaking changes (1):\n  event DRY: removed"), "{ran:?}");
    assert!(ran.out.contains("Accepted breaking changes (2):\n"), "{ran:?}");
    assert!(ran.out.contains("      accepted: it has been announced\n"), "{ran:?}");
    let unused = format!("{exceptions}:5: warning: no change needs the exception 'event UNSEEN'\n");
    assert_eq!(ran.err, unused);
    let all = files.directory.write("all.txt", "command * # a\nevent * # b\n");
    let ran = files.diff(&["--used-by", &names, "--exceptions", &all]);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    // A plain comparison has exceptions, too.
    files.diff(&["--deny-breaking", "--exceptions", &exceptions]).failed(1);
    files.diff(&["--deny-breaking", "--exceptions", &all]).ok();
    for bad in ["command scrape\n", "command scrape #\n", "scrape # why\n"] {
        let bad = files.directory.write("bad.txt", bad);
        let err = files.diff(&["--exceptions", &bad]).failed(2);
        assert!(err.contains("bad.txt:1: "), "{err}");
    }
}

fn git(directory: &Directory, arguments: &[&str]) {
    let identity =
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"];
    let at = directory.path("");
    let ran = run("git", &[&["-C", &at], &identity as &[&str], arguments].concat());
    assert_eq!(ran.status, 0, "{arguments:?}: {ran:?}");
}

/// A repository with a schema of two files, whose first revision has the tag `v1`.
fn repository() -> (Directory, String) {
    let directory = Directory::new();
    std::fs::create_dir(directory.path("qapi")).unwrap();
    directory.write("common.json", "{ 'struct': 'State', 'data': { 'level': 'int' } }\n");
    let root = directory.write(
        "qapi/root.json",
        "{ 'include': '../common.json' }\n{ 'command': 'query-state', 'returns': 'State' }\n\
         { 'command': 'scrape' }\n",
    );
    git(&directory, &["init", "-q"]);
    git(&directory, &["add", "-A"]);
    git(&directory, &["commit", "-q", "-m", "one"]);
    git(&directory, &["tag", "v1"]);
    (directory, root)
}

/// The included file is that of the revision, although the working tree has another one.
#[test]
fn a_working_tree_is_compared_with_a_revision() {
    let (directory, root) = repository();
    let same = run(SCHEMA, &["check", &root, "--against", "git:v1"]);
    assert_eq!(same.ok(), "No change since v1 breaks clients.\n");
    directory.write("common.json", "{ 'struct': 'State', 'data': { '*level': 'int' } }\n");
    let ran = run(SCHEMA, &["check", &root, "--against", "git:v1"]);
    let line = "command query-state: return.level: is now optional\n";
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(
        ran.out,
        format!("Breaking changes (1):\n  {line}\n1 change since v1 breaks clients.\n")
    );
    let short = run(SCHEMA, &["check", &root, "--against", "git:v1", "--format", "short"]);
    assert_eq!((short.status, short.out), (1, format!("breaking: {line}")));
    let diff = run(SCHEMA, &["diff", &root, "--against", "git:HEAD~0", "--format", "short"]);
    assert_eq!((diff.status, diff.out), (0, format!("breaking: {line}")));
    let accepted = directory.write("accepted.txt", "command query-state: return.level # yes\n");
    let arguments = ["check", &root, "--against", "git:v1", "--exceptions", &accepted];
    assert!(run(SCHEMA, &arguments).ok().contains("No change since v1 breaks clients."));
    // The file may be gone from the working tree, and the schema of the revision may be invalid.
    git(&directory, &["commit", "-q", "-am", "two"]);
    std::fs::remove_file(directory.path("common.json")).unwrap();
    git(&directory, &["commit", "-q", "-am", "three"]);
    directory.write("common.json", "{ 'struct': 'State', 'data': { 'level': 'int' } }\n");
    let err = run(SCHEMA, &["diff", &root, "--against", "git:HEAD"]).failed(2);
    assert!(err.contains("in the revision HEAD:") && err.contains("common.json"), "{err}");
}

/// In a hook, `GIT_DIR` may be set, and the directory of the file is not the top of the working tree.
#[test]
fn a_hook_compares_the_same_file() {
    let (directory, root) = repository();
    directory.write("root.json", "{ 'command': 'other' }\n");
    git(&directory, &["add", "-A"]);
    git(&directory, &["commit", "-q", "-m", "two"]);
    let repository = format!("GIT_DIR={}", directory.path(".git"));
    let ran = run("env", &[&repository, SCHEMA, "check", &root, "--against", "git:HEAD"]);
    assert_eq!(ran.ok(), "No change since HEAD breaks clients.\n");
}

#[test]
fn a_revision_is_not_an_option_and_errors_say_what_failed() {
    let (directory, root) = repository();
    let written = directory.path("written");
    for (revision, expected) in [
        (format!("git:--output={written}"), "those of git do not begin with a hyphen"),
        ("git:".to_owned(), "lacks a revision, as in git:main"),
        ("main".to_owned(), "is not a revision, such as git:main"),
        ("git:no-such".to_owned(), "cannot resolve the git revision 'no-such'"),
        ("git:v1:common.json".to_owned(), "cannot resolve the git revision"),
        ("git:v1\u{1b}[2J".to_owned(), "cannot resolve the git revision"),
        ("git:-\u{1b}[2J".to_owned(), "hyphen"),
    ] {
        let err = run(SCHEMA, &["diff", &root, "--against", &revision]).failed(2);
        assert!(err.contains(expected) && !err.contains('\u{1b}'), "{revision}: {err}");
        assert!(!std::path::Path::new(&written).exists());
    }
    let outside = Directory::new();
    let file = outside.write("schema.json", "{ 'command': 'scrape' }\n");
    let err = run(SCHEMA, &["check", &file, "--against", "git:v1"]).failed(1);
    assert!(err.contains("not a git repository"), "{err}");
    let err = run(SCHEMA, &["check", "-", "--against", "git:v1"]).failed(1);
    assert!(err.contains("expected a file of a repository"), "{err}");
    let new = directory.write("new.json", "{ 'command': 'scrape' }\n");
    let err = run(SCHEMA, &["diff", &new, "--against", "git:v1"]).failed(2);
    assert!(err.contains("new.json") && err.contains("v1"), "{err}");
    // A schema cannot read files outside of its repository.
    let escaping = directory.write("up.json", "{ 'include': '../../../../etc/passwd' }\n");
    git(&directory, &["add", "-A"]);
    git(&directory, &["commit", "-q", "-m", "up"]);
    directory.write("up.json", "{ 'command': 'scrape' }\n");
    let err = run(SCHEMA, &["diff", &escaping, "--against", "git:HEAD"]).failed(2);
    assert!(err.contains("not a path within the repository"), "{err}");
}

/// The programs of the cookbook were recorded with QEMU 11.1.
#[test]
fn the_cookbook_uses_what_7_2_lacks() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let release = |version: &str| format!("{root}/schema/tests/releases/{version}.json");
    let recordings = format!("{root}/qmp-vm/tests/data/cookbook");
    let mut files: Vec<String> = std::fs::read_dir(&recordings)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    files.sort();
    let used_by = |old: &str, new: &str| {
        let (old, new) = (release(old), release(new));
        let mut arguments = vec!["diff", &old, &new, "--format", "short", "--used-by"];
        arguments.extend(files.iter().map(String::as_str));
        let ran = run(SCHEMA, &arguments);
        assert_eq!(ran.err, "");
        // Without the directory and the line.
        let line = |line: &str| {
            let line = line.strip_prefix(&format!("{recordings}/")).unwrap();
            let (file, rest) = line.split_once(".jsonl:").unwrap();
            format!("{file}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        };
        (ran.status, ran.out.lines().map(line).collect::<Vec<_>>())
    };
    let (status, lines) = used_by("11.1", "7.2");
    assert_eq!(status, 1);
    let expected = "\
backup: breaking: command query-named-block-nodes: return[].node-name: is now optional
backup: breaking: command query-named-block-nodes: return[].children: removed, was mandatory
backup: breaking: command query-named-block-nodes: return[].active: removed, was mandatory
backup: other: command query-named-block-nodes: return[].image.limits: removed, was optional
backup: other: command query-named-block-nodes: return[].image.format-specific.type: value 'file' removed
capabilities: breaking: command netdev_add: argument (type=stream).reconnect-ms: removed, was optional
hotplug_cpu: breaking: command query-cpus-fast: return[].qom-type: removed, was mandatory
live_migration: other: command query-migrate: return.remaining: removed, was optional
mirror: breaking: command query-block: return[].inserted.node-name: is now optional
mirror: breaking: command query-block: return[].inserted.children: removed, was mandatory
mirror: breaking: command query-block: return[].inserted.active: removed, was mandatory
mirror: other: command query-block: return[].inserted.image.limits: removed, was optional";
    assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "{lines:#?}");
    // No release takes anything away from what is used, from 7.2 on.
    assert_eq!(used_by("7.2", "11.1"), (0, vec![]));
}
