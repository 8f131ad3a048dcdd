//! The pages that `qmp-schema site` writes: every link resolves, every id is unique, examples are
//! valid, and nothing of a hostile schema becomes markup.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::collections::{BTreeMap, BTreeSet};

use qmp_server::Schema;
use qmp_tools::shell::types::Builtin;
use qmp_tools::shell::{Statement, parse};
use serde_json::{Map, Value};
use support::{Directory, SCHEMA, run};

/// The pages of a site by their names.
struct Site(BTreeMap<String, String>);

impl Site {
    fn new(arguments: &[&str]) -> Self {
        let directory = Directory::new();
        let path = directory.path("site");
        let err = run(SCHEMA, &[&["site", &path], arguments].concat());
        assert_eq!(err.status, 0, "{err:?}");
        let files = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        let read = |path: std::path::PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        };
        Self(files.map(read).collect())
    }

    fn pages(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter().filter(|(name, _)| name.ends_with(".html"))
    }

    /// Returns the entries of the search index.
    fn index(&self) -> Vec<[String; 4]> {
        let script = &self.0["index.js"];
        let script = script.strip_prefix("var INDEX = ").unwrap().replace(",\n];\n", "\n]");
        serde_json::from_str(script.trim_end_matches(";\n")).unwrap()
    }
}

/// Returns the values of an attribute in a page.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let begin = format!(" {name}=\"");
    page.split(&*begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&#39;", "'").replace("&amp;", "&")
}

#[track_caller]
fn is_consistent(site: &Site) {
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, page) in site.pages() {
        for id in attributes(page, "id") {
            assert!(ids.entry(name).or_default().insert(id), "{name}: the id {id} is not unique");
        }
    }
    let resolves = |from: &str, target: &str| {
        let (file, id) = target.split_once('#').map_or((target, None), |(f, id)| (f, Some(id)));
        let file = if file.is_empty() { from } else { file };
        site.0.contains_key(file)
            && id.is_none_or(|id| ids.get(file).is_some_and(|ids| ids.contains(id)))
    };
    for (name, page) in site.pages() {
        for target in attributes(page, "href").into_iter().chain(attributes(page, "src")) {
            assert!(resolves(name, target), "{name}: {target} does not exist");
        }
        for label in attributes(page, "aria-labelledby") {
            assert!(ids[&**name].contains(label), "{name}: {label} does not exist");
        }
        for element in ["section", "dl", "dt", "dd", "ul", "li", "pre", "p", "code", "a", "div"] {
            let count = |pattern: String| page.matches(&*pattern).count();
            let begins = count(format!("<{element}>")) + count(format!("<{element} "));
            assert_eq!(begins, count(format!("</{element}>")), "{name}: <{element}>");
        }
    }
    for [entry, kind, target, _] in site.index() {
        assert!(resolves("index.html", &target), "{kind} {entry}: {target} does not exist");
    }
}

#[test]
fn the_builtin_reference_is_complete() {
    let site = Site::new(&[]);
    is_consistent(&site);
    let index = site.index();
    let found: BTreeSet<(&str, &str)> =
        index.iter().map(|[name, kind, ..]| (&**name, &**kind)).collect();
    assert_eq!(found.len(), index.len(), "an entry is in the index twice");
    let roots =
        [qmp_schema::SPEC, qmp_schema::EVENTS].map(|root| qmp_codegen::Root::File(root.into()));
    let schema = qmp_codegen::load(roots).unwrap().schema;
    let commands = schema.commands.iter().map(|one| (&*one.definition.name, "command"));
    let events = schema.events.iter().map(|one| (&*one.definition.name, "event"));
    let types = schema.types.iter().map(|one| (&*one.definition.name, "type"));
    let all: Vec<_> = commands.chain(events).chain(types).collect();
    assert!(all.len() > 1000);
    for entry in all {
        assert!(found.contains(&entry), "{entry:?} is not in the index");
    }
    assert!(found.contains(&("guest-ping", "command")));
    for (page, text) in [
        ("run-state.html", "id=\"command-query-status\""),
        ("events-run-state.html", "id=\"event-STOP\""),
        ("releases.html", "id=\"v7.1\""),
        ("releases.html", "The last release with: "),
        ("migration.html", "badge warn\">deprecated"),
    ] {
        let found = site.0.get(page).is_some_and(|page| page.contains(text));
        assert!(found, "{page} does not have {text}; pages: {:?}", site.0.keys());
    }
}

/// A running QEMU tells what it has without documentation and without the names of types.
#[test]
fn what_a_qemu_has_is_documented() {
    let directory = Directory::new();
    let file = directory.write("introspection.json", qmp_client::qmp::INTROSPECTION);
    let site = Site::new(&[&file]);
    is_consistent(&site);
    for (page, text) in [
        ("reference-commands.html", "Returns whether the machine is running and, if not, why."),
        ("reference-commands.html", "<span class=\"badge\">since 0.14</span>"),
        ("reference-commands.html", ">no effect on the machine</span>"),
        ("reference-types.html", "<h2 id=\"type-StatusInfo\">"),
        ("reference-types.html", "<dd><p>The guest runs."),
        ("releases.html", "id=\"v9.1\""),
    ] {
        assert!(site.0[page].contains(text), "{page} does not have {text}");
    }
    let shown = run(SCHEMA, &["show", "query-status", "--schema", &file]).ok();
    for text in ["since QEMU 0.14", "whether the machine is running", "StatusInfo"] {
        assert!(shown.contains(text), "{shown}");
    }
}

/// The example of each command is accepted by a server with the schema, and the shell's syntax means
/// the same.
#[test]
fn examples_are_valid() {
    let site = Site::new(&[]);
    let schema = Schema::parse(qmp_client::qmp::INTROSPECTION).unwrap();
    let (mut valid, mut lacking) = (0, Vec::new());
    for (page, text) in site.pages() {
        for section in text.split("<h2 id=\"command-").skip(1) {
            let section = section.split("</section>").next().unwrap();
            let name = section.split('"').next().unwrap();
            if name.starts_with("guest-") {
                continue;
            }
            let Some(json) = section.split("<pre class=\"json\">").nth(1) else {
                lacking.push(name);
                continue;
            };
            let json = unescape(json.split("</pre>").next().unwrap());
            let mut messages = serde_json::Deserializer::from_str(&json).into_iter::<Value>();
            let command = messages.next().unwrap().unwrap();
            let none = Map::new();
            let arguments = command.get("arguments").map_or(&none, |all| all.as_object().unwrap());
            let checked = schema.check_command(name, arguments, false);
            checked.unwrap_or_else(|error| panic!("{page}: {command}: {}", error.desc));
            let shell = section.split("<pre class=\"shell\">").nth(1).unwrap();
            let shell = unescape(shell.split("</pre>").next().unwrap());
            let parsed = parse(&shell, &Builtin).unwrap().unwrap();
            let Statement::Command(parsed) = parsed else { panic!("{shell}: {parsed:?}") };
            assert_eq!(parsed.name, name);
            assert_eq!(
                &parsed.arguments.unwrap_or_else(|| Map::new().into()),
                &Value::from(arguments.clone()),
                "{shell}"
            );
            valid += 1;
        }
    }
    println!("{valid} examples are valid");
    assert!(valid > 230, "{valid}");
    assert_eq!(lacking, Vec::<&str>::new());
}

/// Documentation is a stranger's text: it must not become markup or a script.
#[test]
fn a_hostile_schema_becomes_text() {
    let hostile = "<script>alert(1)</script>' onclick=\"alert(2)\" \u{202e}\u{1b}[2J&amp; ``<img src=x>`` \
        `<b <javascript:alert(3)>` :ref:`<i> <javascript:x>` *<u>* **</main>**";
    let schema = format!(
        "##\n# = <h1>{hostile}\n#\n# {hostile}\n##\n\
         ##\n# @Evil:\n#\n# {hostile}\n#\n# @x: {hostile}\n#\n# .. {hostile}::\n#\n#     {hostile}\n#\n# Since: {hostile}\n##\n\
         {{ 'struct': 'Evil', 'data': {{ '*x': 'str' }} }}\n\
         ##\n# @evil:\n#\n# {hostile}\n#\n# @e: {hostile}::\n#\n#     {hostile}\n#\n# Features:\n#\n# @deprecated: {hostile}\n#\n# Returns: {hostile}\n#\n# Since: 1.0\n##\n\
         {{ 'command': 'evil', 'data': {{ 'e': 'Evil' }}, 'returns': 'Evil', 'features': [ 'deprecated' ] }}\n"
    );
    let directory = Directory::new();
    let file = directory.write("<b>.json", &schema);
    let site = Site::new(&[&file, "--title", "<script>alert(4)</script>"]);
    is_consistent(&site);
    for (name, page) in site.pages() {
        assert_eq!(page.matches("<script").count(), 2, "{name}");
        for part in ["<img", "<i>", "<u>", "<h1><h1>", "<b>", "<b ", "alert(4)<", "&amp;lt;"] {
            assert!(!page.contains(part), "{name} has {part}");
        }
        assert_eq!(page.matches("</main>").count(), 1, "{name}");
        assert!(!page.contains(['\u{202e}', '\u{1b}']), "{name}");
        // An attribute of a stranger's would follow a quote.
        assert!(!page.contains("onclick=\""), "{name}");
        assert!(attributes(page, "href").iter().all(|target| !target.contains(':')), "{name}");
    }
    let script = &site.0["index.js"];
    assert!(!script.contains(['<', '>', '&', '\'', '\u{202e}', '\u{1b}']), "{script}");
}

/// Types of a hostile schema can be without end, and deep.
#[test]
fn endless_types_have_no_example() {
    let mut schema = String::from(
        "{ 'struct': 'Loop', 'data': { 'next': 'Loop' } }\n\
         { 'command': 'loop', 'data': 'Loop' }\n",
    );
    for level in 0..60 {
        let next = level + 1;
        schema += &format!(
            "{{ 'struct': 'Level{level}', 'data': {{ 'a': 'Level{next}', 'b': 'Level{next}' }} }}\n"
        );
    }
    schema += "{ 'struct': 'Level60', 'data': {} }\n{ 'command': 'deep', 'data': 'Level0' }\n";
    let directory = Directory::new();
    let file = directory.write("loop.json", &schema);
    let site = Site::new(&[&file]);
    is_consistent(&site);
    assert!(site.0.values().all(|page| page.len() < 1 << 20));
}
