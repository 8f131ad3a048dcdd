//! The costs of hostile schemas: the work grows linearly with the text, and the result is limited.
//!
//! Each schema took minutes, gigabytes, or the stack when the work grew with the square of something.

#![allow(clippy::unwrap_used)] // tests

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use qmp_codegen::diagnostic::{Format, render_as};
use qmp_codegen::{Builder, LoadOptions, Root};

/// Far more than the work takes, and far less than it would take if it grew with the square of the
/// text.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs something, and fails if that takes too long.
fn in_time<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let (result, time) = timed(run);
    println!("{what}: {time:.1?}");
    assert!(time < PATIENCE, "{what}: {time:?}");
    result
}

/// Runs something, and returns how long that took: the time of the processor, if the system tells
/// it, so that other programs do not count.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let (begun, clock) = (processor_time(), Instant::now());
    let result = run();
    let time = processor_time().zip(begun).map(|(end, begun)| end.saturating_sub(begun));
    (result, time.unwrap_or_else(|| clock.elapsed()))
}

/// Returns the time for which a processor has run this thread, on Linux.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Runs something for 1 and for 4 times `count`, and fails if the time grows far more than that.
fn in_linear_time(what: &str, count: usize, run: impl Fn(usize)) {
    let (_, one) = timed(|| run(count));
    let (_, four) = timed(|| run(4 * count));
    println!("{what}: {one:.1?}, {four:.1?}");
    // With the square of it, 16 times as much.
    assert!(four < 9 * one.max(Duration::from_millis(50)), "{what}: {one:?}, {four:?}");
}

fn builder(text: impl Into<String>) -> Builder {
    Builder::new().schema_text("hostile.json", text)
}

/// Generates tokens, which includes all work but formatting. Returns their number of bytes.
fn tokens_of(text: &str) -> usize {
    let loaded = qmp_codegen::load([Root::Text { name: String::new(), text: text.to_owned() }]);
    let loaded = loaded.unwrap_or_else(|error| panic!("{error:.2000}"));
    let tokens = Builder::new().tokens(&loaded.schema);
    tokens.unwrap_or_else(|error| panic!("{error:.2000}")).into_iter().count()
}

/// Returns the error of a text, from whatever step.
fn error_of(text: &str) -> String {
    builder(text).generate_code().unwrap_err().to_string()
}

fn many(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

fn list(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect::<Vec<_>>().join(", ")
}

/// A comment that documents `Shelf`, and its definition.
fn documented(lines: &str) -> String {
    format!("##\n# @Shelf:\n#\n{lines}##\n{{ 'struct': 'Shelf', 'data': {{}} }}\n")
}

#[test]
fn documentation_of_one_long_line() {
    for (piece, count) in [
        (".. note:: ", 100_000),
        ("`", 100_000),
        ("``` ", 100_000),
        (":a", 100_000),
        (":", 100_000),
        ("@", 100_000),
        ("``a", 50_000),
        ("- ", 50_000),
        ("\\\\", 50_000),
        ("https://", 25_000),
    ] {
        let line = piece.repeat(count);
        let text = documented(&format!("# x {line}\n#\n# {line}\n"));
        let code = in_time(piece, || builder(text.as_str()).generate_code().unwrap().code);
        assert!(code.len() < 8 * text.len());
    }
}

/// Notes in notes, each further to the right, so that the text grows with their number squared.
#[test]
fn notes_nested_a_thousand_levels_deep() {
    let lines: String =
        (0..1_000).map(|depth| format!("# {}.. note::\n", "   ".repeat(depth))).collect();
    in_time("nested notes", || builder(documented(&lines)).generate_code().unwrap());
}

#[test]
fn repeated_members_are_limited() {
    let few = |text: &dyn Fn(usize) -> String| many(200, text);
    let many = |text: &dyn Fn(usize) -> String| many(1_000, text);
    let members = many(&|n| format!("'m{n}': 'int',"));
    let shelf = format!("{{ 'struct': 'Shelf', 'data': {{ {members} 'z': 'Kind' }} }}\n");
    let kind = format!("{{ 'enum': 'Kind', 'data': [ {} 'z' ] }}\n", many(&|n| format!("'v{n}',")));
    for (what, definitions) in [
        ("command 'c", many(&|n| format!("{{ 'command': 'c{n}', 'data': 'Shelf' }}\n"))),
        ("event 'E", many(&|n| format!("{{ 'event': 'E{n}', 'data': 'Shelf' }}\n"))),
        ("type 'T", few(&|n| format!("{{ 'struct': 'T{n}x', 'base': 'Shelf', 'data': {{}} }}\n"))),
        (
            "type 'U",
            few(&|n| {
                format!(
                    "{{ 'union': 'U{n}x', 'base': {{ 'k': 'Kind' }}, 'discriminator': 'k', 'data': {{ 'z': 'Shelf' }} }}\n"
                )
            }),
        ),
    ] {
        let text = format!("{kind}{shelf}{definitions}");
        assert!(builder(text.as_str()).surface().is_err(), "the list of items is limited, too");
        let error = error_of(&text);
        assert!(error.starts_with(&format!("error: {what}")), "{error:.300}");
        assert!(error.contains("the schema repeats more than 16 MiB in all"), "{error:.300}");
    }
}

/// Introspection lists the members of bases, and the values of discriminators, in each type: 600 KB
/// of text were more than 6 GB.
#[test]
fn inherited_members_and_values_are_limited() {
    let members = list(20_000, |n| format!("'*m{n}': 'int'"));
    let values = list(20_000, |n| format!("'v{n}'"));
    let definitions = format!(
        "{{ 'struct': 'Shelf', 'data': {{ {members} }} }}\n{{ 'enum': 'Kind', 'data': [ {values} ] }}\n"
    );
    let derived = |n: usize| format!("{{ 'struct': 'T{n}x', 'base': 'Shelf', 'data': {{}} }}\n");
    let union = |n: usize| {
        format!(
            "{{ 'union': 'U{n}x', 'base': {{ 'k': 'Kind' }}, 'discriminator': 'k', 'data': {{ 'v1': 'Shelf' }} }}\n"
        )
    };
    let error = |text: &str| {
        let root = Root::Text { name: String::from("hostile.json"), text: text.to_owned() };
        in_time("load", || qmp_codegen::load([root])).err().map(|error| error.to_string())
    };
    assert_eq!(error(&(definitions.clone() + &many(6, derived) + &many(6, union))), None);
    for (text, name) in [(many(20_000, derived), "T12x"), (many(20_000, union), "U12x")] {
        let error = error(&(definitions.clone() + &text)).unwrap();
        assert!(error.contains(&format!("'{name}': the type repeats the members of its bases")));
    }
    // The same in a reply, whose objects need not have a case for each value.
    let members = list(20_000, |n| format!(r#"{{"name": "v{n}"}}"#));
    let objects = list(20_000, |n| {
        format!(
            r#"{{"name": "{}", "meta-type": "object", "tag": "k", "variants": [],
            "members": [{{"name": "k", "type": "0"}}]}}"#,
            n + 1
        )
    });
    let reply =
        format!(r#"[{{"name": "0", "meta-type": "enum", "members": [{members}]}}, {objects}]"#);
    let names = qmp_codegen::introspection::Names::none();
    let result = in_time("import", || qmp_codegen::introspection::import_exact(&reply, &names));
    assert!(result.unwrap_err().to_string().contains("too many without one"));
}

#[test]
fn documentation_of_many_lines() {
    let depth = |n: usize| " ".repeat(n % 3_000);
    for (what, lines) in [
        ("nested lists", many(3_000, |n| format!("# {}- a\n", depth(n)))),
        ("tables", many(20_000, |_| String::from("# | a | b |\n# |---|---|\n"))),
        ("link references", many(50_000, |n| format!("# [a{n}]: <b> `c`_\n"))),
        ("unbalanced emphasis", many(20_000, |_| String::from("# ** a _ b * c __\n"))),
        ("directives", many(20_000, |n| format!("# {}.. note:: a\n", " ".repeat(n % 9)))),
        ("literal blocks", many(20_000, |n| format!("# {}a::\n", " ".repeat(n % 200)))),
        ("examples", many(20_000, |_| String::from("# Example:\n#\n# a\n#\n"))),
        ("tags in a paragraph", many(20_000, |_| String::from("# Since: 1\n# @a b: c\n"))),
    ] {
        let text = documented(&lines);
        in_time(what, || _ = builder(text).generate_code());
    }
}

#[test]
fn documentation_of_one_long_line_in_each_place() {
    let line = "`a` <b> @c ".repeat(20_000);
    let text = format!(
        "##\n# = {line}\n##\n\n##\n# @shelve:\n#\n# {line}\n#\n# @a: {line}\n#\n# Features:\n#\n\
         # @deprecated: {line}\n# @f: {line}\n#\n# Returns: {line}\n#\n# Errors: {line}\n#\n\
         # Note: {line}\n#\n# Example: {line}\n#\n# Since: {line}\n##\n\
         {{ 'command': 'shelve', 'data': {{ 'a': 'int' }}, 'returns': 'Shelf',\n\
           'features': [ 'deprecated', 'f' ] }}\n{{ 'struct': 'Shelf', 'data': {{}} }}\n"
    );
    let code = in_time("long lines", || builder(text.as_str()).generate_code().unwrap().code);
    assert!(code.len() < 4 * text.len());
}

/// A chain has no cycle, and a ring has one, however long they are.
#[test]
fn chains_and_rings_of_twenty_thousand_types() {
    let link = |n: usize, next: usize| {
        format!("{{ 'struct': 'S{n}x', 'data': {{ '*next': 'S{next}x' }} }}\n")
    };
    in_linear_time("chain", 5_000, |count| {
        _ = tokens_of(&(many(count, |n| link(n + 1, n)) + "{ 'struct': 'S0x', 'data': {} }\n"));
    });
    in_linear_time("ring", 5_000, |count| {
        _ = tokens_of(&many(count, |n| link(n, (n + 1) % count)));
    });
}

/// Every type is in a cycle with every other, through members, branches, and alternatives.
#[test]
fn types_that_all_contain_each_other() {
    const COUNT: usize = 4_000;
    let mut text = String::from("{ 'enum': 'Kind', 'data': [ 'a', 'b' ] }\n");
    for n in 0..COUNT {
        let (next, back, far) = ((n + 1) % COUNT, (n + COUNT - 1) % COUNT, (n * 7) % COUNT);
        writeln!(text, "{{ 'struct': 'S{n}x', 'data': {{ '*u': 'U{next}x', '*s': 'S{back}x', '*a': 'A{far}x' }} }}").unwrap();
        writeln!(text, "{{ 'union': 'U{n}x', 'base': {{ 'k': 'Kind' }}, 'discriminator': 'k', 'data': {{ 'a': 'S{far}x', 'b': 'U{next}x' }} }}").unwrap();
        writeln!(text, "{{ 'alternate': 'A{n}x', 'data': {{ 'o': 'U{back}x', 's': 'str' }} }}")
            .unwrap();
    }
    in_time("knot", || _ = builder(text).surface());
}

#[test]
fn unions_with_one_base_and_one_enum() {
    let values = list(20_000, |n| format!("'v{n}'"));
    let members = list(19_999, |n| format!("'m{n}': 'int'"));
    let unions = many(20_000, |n| {
        format!(
            "{{ 'union': 'U{n}x', 'base': 'Base', 'discriminator': 'k', 'data': {{ 'v19999': 'Shelf' }} }}\n"
        )
    });
    let text = format!(
        "{{ 'enum': 'Kind', 'data': [ {values} ] }}\n{{ 'struct': 'Shelf', 'data': {{}} }}\n\
         {{ 'struct': 'Base', 'data': {{ {members}, 'k': 'Kind' }} }}\n{unions}"
    );
    let error = in_time("unions", || error_of(&text));
    assert!(error.contains("repeats the members of its bases"), "{error:.300}");
}

#[test]
fn commands_with_the_same_arguments() {
    let members = list(20_000, |n| format!("'m{n}': 'int'"));
    let commands = many(50_000, |n| format!("{{ 'command': 'c{n}', 'data': 'Shelf' }}\n"));
    let text = format!("{{ 'struct': 'Shelf', 'data': {{ {members} }} }}\n{commands}");
    let error = in_time("commands", || error_of(&text));
    assert!(error.contains("the schema repeats more than 16 MiB in all"), "{error:.300}");
}

/// Whether a command's arguments are needed was looked up in all members for each command.
#[test]
fn json_schema_of_commands_with_the_same_arguments() {
    let members = list(20_000, |n| format!("'*m{n}': 'int'"));
    let commands = many(20_000, |n| format!("{{ 'command': 'c{n}', 'data': 'Shelf' }}\n"));
    let text = format!("{{ 'struct': 'Shelf', 'data': {{ {members} }} }}\n{commands}");
    let root = Root::Text { name: String::from("hostile.json"), text };
    let schema = qmp_codegen::load([root]).unwrap().schema;
    let role = qmp_codegen::json_schema::Role::Client;
    let (_, time) = timed(|| qmp_codegen::json_schema::export(&schema, role));
    assert!(time < Duration::from_secs(4), "{time:?}");
}

#[test]
fn a_union_with_twenty_thousand_branches() {
    let values = list(20_000, |n| format!("'v{n}'"));
    let branches = list(20_000, |n| format!("'v{n}': 'Shelf'"));
    let text = format!(
        "{{ 'enum': 'Kind', 'data': [ {values} ] }}\n{{ 'struct': 'Shelf', 'data': {{}} }}\n\
         {{ 'union': 'Wide', 'base': {{ 'k': 'Kind' }}, 'discriminator': 'k', 'data': {{ {branches} }} }}\n"
    );
    in_time("branches", || tokens_of(&text));
}

#[test]
fn alternates_with_one_enum() {
    let values = list(20_000, |n| format!("'v{n}'"));
    let alternates = many(60_000, |n| {
        format!("{{ 'alternate': 'A{n}x', 'data': {{ 'k': 'Kind', 'n': 'null' }} }}\n")
    });
    let text = format!("{{ 'enum': 'Kind', 'data': [ {values} ] }}\n{alternates}");
    let root = Root::Text { name: String::from("hostile.json"), text };
    in_time("alternates", || qmp_codegen::load([root]).unwrap());
}

/// The last of many names that are the same in Rust was tried with all suffixes of the others.
#[test]
fn names_that_are_the_same_in_rust() {
    let value = |n: usize| {
        let dash = |bit: usize| if n >> bit & 1 == 1 { "-" } else { "" };
        list_of(14, |bit| format!("a{}1", dash(bit)))
    };
    let values = list(1 << 14, |n| format!("'{}'", value(n)));
    let text = format!("{{ 'enum': 'Kind', 'data': [ {values} ] }}\n");
    let code = in_time("same names", || builder(text.as_str()).generate_code().unwrap().code);
    assert!(code.len() < 20 * text.len(), "{}", code.len());
}

fn list_of(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

#[test]
fn conditions_of_inherited_members_are_limited() {
    let condition = list(10_000, |n| format!("'CONFIG_{n}'"));
    let derived =
        many(1_000, |n| format!("{{ 'struct': 'T{n}x', 'base': 'Shelf', 'data': {{}} }}\n"));
    let text = format!(
        "{{ 'struct': 'Shelf', 'data': {{ 'a': {{ 'type': 'int', 'if': {{ 'all': [ {condition} ] }} }} }} }}\n{derived}"
    );
    let error = in_time("conditions", || error_of(&text));
    assert!(error.contains("the schema repeats more than 16 MiB in all"), "{error:.300}");
    let deep = format!("{}'A'{}", "{ 'not': ".repeat(90), " }".repeat(90));
    let text = many(2_000, |n| format!("{{ 'command': 'c{n}', 'if': {deep} }}\n"));
    in_time("deep conditions", || tokens_of(&text));
}

/// Every member has the description of its feature.
#[test]
fn descriptions_of_features_are_limited() {
    let members =
        list(20_000, |n| format!("'m{n}': {{ 'type': 'int', 'features': [ 'deprecated' ] }}"));
    let text = format!(
        "##\n# @Shelf:\n#\n# Features:\n# @deprecated: {}\n##\n{{ 'struct': 'Shelf', 'data': {{ {members} }} }}\n",
        "a".repeat(1 << 20)
    );
    let error = in_time("descriptions", || error_of(&text));
    assert!(error.contains("repeated in each member that has it"), "{error:.300}");
    let features = list(20_000, |n| format!("'f{n}'"));
    let text = format!("{{ 'command': 'c', 'features': [ {features} ] }}\n");
    in_time("features", || tokens_of(&text));
}

/// The secrets of a command are listed with it, at whatever depth.
#[test]
fn secrets_of_commands_are_limited() {
    let chain = many(5_000, |n| {
        let next = n + 1;
        format!("{{ 'struct': 'S{n}x', 'data': {{ '*next': 'S{next}x' }} }}\n")
    });
    let commands =
        many(5_000, |n| format!("{{ 'command': 'c{n}', 'data': {{ 's': 'S{n}x' }} }}\n"));
    let leaf = "{ 'struct': 'S5000x', 'data': { 'password': 'str' } }\n";
    let text = format!(
        "{{ 'pragma': {{ 'secret-members': [ 'S5000x.password' ] }} }}\n{chain}{commands}{leaf}"
    );
    let error = in_time("secrets", || error_of(&text));
    assert!(error.contains("of which the schema repeats more"), "{error:.300}");
    let members = list(10_000, |n| format!("'m{n}': 'str'"));
    let secrets = list(10_000, |n| format!("'Shelf.m{n}'"));
    let text = format!(
        "{{ 'pragma': {{ 'secret-members': [ {secrets} ] }} }}\n{{ 'struct': 'Shelf', 'data': {{ {members} }} }}\n"
    );
    in_time("secret members", || tokens_of(&text));
    let dots = "a.".repeat(2_000_000);
    in_time("dots", || {
        error_of(&format!("{{ 'pragma': {{ 'secret-members': [ '{dots}' ] }} }}\n"))
    });
}

/// A program may ask for thousands of diagnostics, in one line.
#[test]
fn thousands_of_errors_in_one_line() {
    let text = many(100_000, |n| {
        format!("{{ 'struct': 'Shelf{n}', 'data': {{ 'a': 'Shelv{n}', 'b': 'Shelf{}' }} }} ", n + 1)
    });
    let root = || Root::Text { name: String::from("hostile.json"), text: text.clone() };
    let options = LoadOptions::new().prose(true).max_diagnostics(10_000);
    let error = in_time("errors", || options.load([root()]).unwrap_err());
    assert_eq!(error.diagnostics.len(), 10_001);
    for format in [Format::Human, Format::Short, Format::Json, Format::Sarif] {
        let text = in_time("formatted", || render_as(format, &error.sources, &error.diagnostics));
        assert!(text.len() < 20 << 20, "{}", text.len());
    }
}

#[test]
fn includes_of_all_kinds() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("costs");
    _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let load = |name: &str| qmp_codegen::load_file(directory.join(name));
    write("leaf.json", "{ 'struct': 'Shelf', 'data': {} }\n");
    write("same.json", &"{ 'include': 'leaf.json' }\n".repeat(20_000));
    in_time("one file", || load("same.json").unwrap());
    for n in 0..2_000 {
        write(&format!("{n}.json"), &format!("{{ 'struct': 'S{n}x', 'data': {{}} }}\n"));
    }
    write("all.json", &many(2_000, |n| format!("{{ 'include': '{n}.json' }}\n")));
    in_time("many files", || load("all.json").unwrap());
    #[cfg(unix)]
    {
        // The same file has a new path in each turn of the cycle.
        std::os::unix::fs::symlink(".", directory.join("again")).unwrap();
        write("cycle.json", "{ 'include': 'again/cycle.json' }\n");
        let error = in_time("cycle", || load("cycle.json").unwrap_err().to_string());
        assert!(error.contains("includes itself"), "{error}");
        std::os::unix::fs::symlink("loop.json", directory.join("loop.json")).unwrap();
        write("broken.json", "{ 'include': 'loop.json' }\n");
        let error = in_time("loop", || load("broken.json").unwrap_err().to_string());
        assert!(error.contains("cannot read"), "{error}");
    }
}

/// Suggestions are not worth comparing each unknown name with each known one.
#[test]
fn similar_names() {
    let text = many(50_000, |n| format!("{{ 'struct': 'Shelf{n:050}', 'data': {{}} }}\n"))
        + &many(2_000, |n| format!("{{ 'command': 'c{n}', 'data': 'Shelve{n:049}' }}\n"));
    in_time("similar names", || error_of(&text));
}
