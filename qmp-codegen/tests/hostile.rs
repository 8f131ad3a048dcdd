//! Malformed and hostile schemas, which must not cause panics, long running times, or excessive use
//! of memory.

#![allow(clippy::unwrap_used)] // tests

#[path = "support/markdown.rs"]
mod markdown;
#[path = "support/random.rs"]
mod random;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use markdown::{assert_harmless, comments_of};
use qmp_codegen::diagnostic::render;
use qmp_codegen::{LoadError, LoadOptions, Loaded, Root, load, load_file};
use random::Random;

/// A schema that uses every part of the language.
const RICH: &str = include_str!("data/rich.json");

/// The maximum size of formatted diagnostics in bytes.
const MAX_FORMATTED: usize = 1_000_000;

fn load_text(text: impl Into<String>) -> Result<Loaded, LoadError> {
    load([Root::Text { name: String::from("hostile.json"), text: text.into() }])
}

/// Reads a text with all optional checks. Returns all diagnostics, formatted.
fn check_all(text: impl Into<String>) -> String {
    let root = Root::Text { name: String::from("hostile.json"), text: text.into() };
    match LoadOptions::new().prose(true).load([root]) {
        Ok(loaded) => render(&loaded.sources, &loaded.warnings),
        Err(error) => formatted(error),
    }
}

/// Returns the formatted errors of an invalid text.
fn errors(text: impl Into<String>) -> String {
    formatted(load_text(text).err().unwrap())
}

fn formatted(error: LoadError) -> String {
    let formatted = error.to_string();
    assert!(formatted.len() < MAX_FORMATTED, "{}", formatted.len());
    formatted
}

/// A temporary directory of a test, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// Returns the formatted errors of a file, without the path of the directory.
    fn errors(&self, name: &str) -> String {
        let formatted = file_errors(&self.0.join(name));
        formatted.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn rich_schema_is_accepted() {
    let loaded = load_text(RICH).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn truncated_at_every_byte() {
    for end in 0..RICH.len() {
        check_all(&RICH[..end]);
    }
}

#[test]
fn thousands_of_mutations() {
    let mut random = Random(1);
    let splices = [
        "'", "#", "##\n", "\n", "{", "}", "[", "]", ":", ",", "*", "\\", "true", "\u{e4}", "\t",
        "# @", "\r\n",
    ];
    for _ in 0..3_000 {
        let mut bytes = RICH.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = u8::try_from(random.below(128)).unwrap(),
                1 => _ = bytes.drain(at..(at + random.below(40)).min(bytes.len())),
                2 => {
                    let splice = splices[random.below(splices.len())].bytes();
                    _ = bytes.splice(at..at, splice).count();
                }
                _ => {
                    let end = (at + random.below(200)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    _ = bytes.splice(to..to, copy).count();
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        check_all(text);
    }
}

#[test]
fn values_nested_ten_thousand_levels_deep() {
    for (open, close) in [("[", "]"), ("{ 'a': ", "}"), ("{ 'not': ", "}")] {
        let text = format!(
            "{{ 'command': 'c', 'if': {}'A'{} }}",
            open.repeat(10_000),
            close.repeat(10_000)
        );
        assert!(errors(text).contains("values are nested more than 100 levels deep"));
        let unclosed = open.repeat(10_000);
        assert!(errors(unclosed).contains("values are nested more than 100 levels deep"));
    }
}

#[test]
fn bases_and_branches_nested_ten_thousand_levels_deep() {
    let mut text = String::from("{ 'struct': 'S0', 'data': {} }\n");
    for depth in 1..=10_000 {
        let base = depth - 1;
        writeln!(text, "{{ 'struct': 'S{depth}x', 'base': 'S{base}x', 'data': {{}} }}").unwrap();
    }
    let text = text.replace("'S0'", "'S0x'");
    assert!(errors(text).contains("nested more than 100 levels deep"));
    let mut text =
        String::from("{ 'enum': 'En', 'data': [ 'a' ] }\n{ 'struct': 'U0x', 'data': {} }\n");
    for depth in 1..=10_000 {
        let branch = depth - 1;
        writeln!(
            text,
            "{{ 'union': 'U{depth}x', 'base': {{ 'm{depth}': 'En' }}, 'discriminator': 'm{depth}', 'data': {{ 'a': 'U{branch}x' }} }}"
        )
        .unwrap();
    }
    assert!(errors(text).contains("nested more than 100 levels deep"));
}

#[test]
fn circular_and_missing_includes() {
    let directory = Directory::new("includes");
    directory.write("itself.json", "{ 'include': 'itself.json' }");
    assert!(
        directory
            .errors("itself.json")
            .contains("itself.json:1:14: error: 'itself.json' includes itself")
    );

    directory.write("one.json", "\n{ 'include': 'two.json' }");
    directory.write("two.json", "{ 'include': './one.json' }");
    let errors = directory.errors("one.json");
    assert!(errors.starts_with("in file included from one.json:2:14:\ntwo.json:1:14: error: "));

    directory.write("missing.json", "{ 'include': 'nonexistent.json' }");
    assert!(
        directory
            .errors("missing.json")
            .contains("missing.json:1:14: error: cannot read 'nonexistent.json'")
    );
    assert!(directory.errors("none.json").starts_with("error: cannot read 'none.json'"));

    directory.write("directory.json", "{ 'include': '.' }");
    assert!(
        directory.errors("directory.json").contains("directory.json:1:14: error: cannot read ")
    );
    assert!(file_errors(&directory.0).starts_with("error: cannot read "));
}

/// A schema can name any file of the machine, which is none of its business.
#[test]
fn included_file_that_is_no_schema_is_not_shown() {
    let directory = Directory::new("private");
    directory.write("outer.json", "# Shelves\n{ 'include': 'private' }\n");
    for text in [
        &b"root:hidden:0:0\n"[..],
        b"# A comment\n\n  password = hidden\n",
        b"hidden\xff\n",
        b"'hidden",
        b"[hidden]\n{ 'struct': 'hidden', 'data': {} }\n",
        b"{\"password\": \"hidden\"}\n",
        b"{ # A comment\n  hidden = 1;\n}\n",
        b"{ \n { hidden } }",
    ] {
        directory.write("private", text);
        let errors = directory.errors("outer.json");
        assert!(!errors.contains("hidden"), "{errors}");
        assert!(errors.starts_with("outer.json:2:14: error: 'private' does not begin as a schema"));
    }
    for text in [
        "",
        "# Only a comment",
        "\n  { 'struct': 'Shelf', 'data': {} }",
        "##\n# Text.\n##\n",
        "{ # A comment\n  'struct': 'Shelf', 'data': {} }",
    ] {
        directory.write("private", text);
        load_file(directory.0.join("outer.json")).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_included() {
    let directory = Directory::new("pipe");
    let pipe = directory.0.join("pipe");
    _ = std::fs::remove_file(&pipe);
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    let made = made.is_ok_and(|status| status.success());
    let _socket = std::os::unix::net::UnixListener::bind(directory.0.join("socket")).ok();
    std::os::unix::fs::symlink("/dev/zero", directory.0.join("link")).unwrap();
    for name in ["/dev/zero", "link", "socket", "pipe"] {
        if name == "pipe" && !made {
            continue;
        }
        directory.write("outer.json", format!("{{ 'include': '{name}' }}"));
        let errors = directory.errors("outer.json");
        let expected = format!("cannot read '{name}': only regular files can be included");
        assert!(errors.contains(&expected), "{errors}");
    }
}

/// Reading the kernel's messages waits for the next one. Files of this kind have no size.
#[cfg(target_os = "linux")]
#[test]
fn files_of_the_kernel_are_not_read() {
    let directory = Directory::new("kernel");
    for name in ["/proc/kmsg", "/proc/self/environ"] {
        directory.write("outer.json", format!("{{ 'include': '{name}' }}"));
        let loaded = load_file(directory.0.join("outer.json")).unwrap();
        assert!(loaded.sources.files().iter().skip(1).all(|file| file.text.is_empty()), "{name}");
    }
}

/// Returns the formatted errors of a file.
fn file_errors(path: &Path) -> String {
    formatted(load_file(path).err().unwrap())
}

#[cfg(unix)]
#[test]
fn file_without_read_permission() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new("permission");
    let path = directory.write("secret.json", "{ 'struct': 'Shelf', 'data': {} }");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        return; // Root can read every file.
    }
    directory.write("root.json", "{ 'include': 'secret.json' }");
    assert!(
        directory.errors("root.json").contains("root.json:1:14: error: cannot read 'secret.json'")
    );
}

#[test]
fn includes_nested_a_thousand_levels_deep() {
    let directory = Directory::new("deep");
    for depth in 0..1_000 {
        let text = format!("{{ 'include': '{}.json' }}", depth + 1);
        directory.write(&format!("{depth}.json"), text);
    }
    let expected = "99.json:1:14: error: includes are nested more than 100 levels deep";
    assert!(directory.errors("0.json").contains(expected));
}

#[test]
fn file_that_is_included_often_is_read_once() {
    let directory = Directory::new("often");
    // Each file includes the next one twice, so that a million paths lead to the last one.
    for depth in 0..20 {
        let next = depth + 1;
        let text = format!("{{ 'include': '{next}.json' }}\n{{ 'include': '{next}.json' }}");
        directory.write(&format!("{depth}.json"), text);
    }
    directory.write("20.json", "{ 'struct': 'Shelf', 'data': {} }");
    let loaded = load_file(directory.0.join("0.json")).unwrap();
    assert_eq!(loaded.schema.types.len(), 1);
    assert_eq!(loaded.sources.files().len(), 21);
}

#[test]
fn invalid_utf8() {
    let directory = Directory::new("utf8");
    directory.write("inner.json", b"{ 'struct': 'Shelf',\n  'data': {} } # B\xfccher\n");
    directory.write("outer.json", "# Shelves\n{ 'include': 'inner.json' }\n");
    assert_eq!(
        directory.errors("outer.json"),
        "in file included from outer.json:2:14:
inner.json:2:19: error: invalid UTF-8
 2 |   'data': {} } # B
   |                   ^
"
    );
    assert!(directory.errors("inner.json").starts_with("inner.json:2:19: error: "));
}

#[test]
fn ten_megabytes_of_definitions() {
    let mut text = String::new();
    for number in 0.. {
        let definition =
            RICH.replace("Z", &format!("Z{number}")).replace("zed", &format!("zed{number}"));
        if text.len() + definition.len() > 10 << 20 {
            break;
        }
        text.push_str(&definition);
    }
    let loaded = load_text(text).unwrap_or_else(|error| panic!("{}", formatted(error)));
    assert!(loaded.schema.types.len() > 10_000);
}

#[test]
fn ten_megabytes_of_garbage() {
    let mut random = Random(2);
    for alphabet in ["{}[]:,'# \n@=abtrue\\\"9\u{e4}", "##\n# @a:\n", "\0\u{7f}\u{2028}"] {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let text: String = (0..3 << 20).map(|_| alphabet[random.below(alphabet.len())]).collect();
        errors(text);
    }
    for repeated in ["{\n", "[[[[[[[[[[", "'", "##\n# @a:\n", "{ 'command': 'c', 'data': 'S' }\n"] {
        errors(repeated.repeat((10 << 20) / repeated.len()));
    }
}

#[test]
fn file_that_is_too_large() {
    let directory = Directory::new("large");
    let path = directory.write("large.json", "");
    std::fs::File::options().write(true).open(path).unwrap().set_len(70 << 20).unwrap();
    assert_eq!(directory.errors("large.json"), "error: 'large.json' is larger than 64 MiB\n");
}

#[test]
fn hundred_thousand_definitions() {
    let mut text = String::new();
    for number in 0..50_000 {
        writeln!(
            text,
            "{{ 'struct': 'Shelf{number}', 'data': {{ 'next': 'Shelf{}' }} }}",
            (number + 1) % 50_000
        )
        .unwrap();
        writeln!(text, "{{ 'command': 'dust-{number}', 'data': 'Shelf{number}' }}").unwrap();
    }
    let loaded = load_text(text).unwrap();
    assert_eq!(loaded.schema.types.len() + loaded.schema.commands.len(), 100_000);
}

#[test]
fn ten_thousand_errors() {
    let many = |line: &dyn Fn(usize) -> String| (0..10_000).map(line).collect::<String>();
    for text in [
        many(&|n| format!("{{ 'struct': 'Shelf{n}', 'data': {{ 'a': 'Shelv{n}' }} }}\n")),
        many(&|n| format!("{{ 'struct': 'Shelf{n}', 'data': stray }}\n")),
        many(&|n| format!("{{ 'struct': 'Shelf{n}', 'data': {{ 'A': 'int', 'A': 'int' }} }}\n")),
        many(&|n| format!("##\n# @Shelf{n}:\n# @a: x\n##\n")),
        many(&|n| format!("{{ 'include': 'nonexistent-{n}.json' }}\n")),
        format!("##\n# @Shelf:\n#\n{}##\n{{ 'struct': 'Shelf', 'data': {{ {} 'last': 'int' }} }}\n",
            many(&|n| format!("# @memebr{n}: text\n")), many(&|n| format!("'member{n}': 'int',\n"))),
        format!("{{ 'enum': 'Kind', 'data': [ {} 'last' ] }}\n{{ 'struct': 'Shelf', 'data': {{}} }}
                 {{ 'union': 'Union', 'base': {{ 'kind': 'Kind' }}, 'discriminator': 'kind', 'data': {{ {} 'last': 'Shelf' }} }}",
            many(&|n| format!("'value{n}',")), many(&|n| format!("'valeu{n}': 'Shelf',"))),
        format!("{{ 'alternate': 'Alternate', 'data': {{ {} 'last': 'int' }} }}", many(&|n| format!("'a{n}': 'int',"))),
        format!("{{ 'command': 'c', {} 'data': {{}} }}", many(&|n| format!("'a{n}': 'int',"))),
    ] {
        let errors = errors(text);
        let count = errors.matches(": error: ").count();
        assert!(count <= 200);
        assert!(errors.ends_with(" more errors\n") || count < 200, "{errors}");
    }
}

#[test]
fn too_many_elements() {
    let many = |element: &str| element.repeat(20_001);
    for text in [
        format!("{{ 'enum': 'Kind', 'data': [ {} 'a' ] }}", many("'a',")),
        format!("{{ 'struct': 'Shelf', 'data': {{ {} 'a': 'int' }} }}", many("'a': 'int',")),
    ] {
        assert!(errors(text).contains("an object or array cannot have more than 20000 elements"));
    }
}

/// Thousands of unions contain the same union, which has thousands of branches. Those without members take
/// time, too.
#[test]
fn too_many_combinations_of_bases_and_branches() {
    let mut text = String::from("{ 'enum': 'Outer', 'data': [ 'a' ] }\n");
    let many = |text: &dyn Fn(usize) -> String| (0..2_500).map(text).collect::<Vec<_>>().join(", ");
    writeln!(text, "{{ 'enum': 'Inner', 'data': [ {} ] }}", many(&|n| format!("'v{n}'"))).unwrap();
    let branches = many(&|n| format!("'v{n}': 'Leaf{n}'"));
    writeln!(text, "{{ 'union': 'Wide', 'base': {{ 'inner': 'Inner' }}, 'discriminator': 'inner', 'data': {{ {branches} }} }}").unwrap();
    for number in 0..2_500 {
        writeln!(text, "{{ 'struct': 'Leaf{number}', 'data': {{}} }}").unwrap();
        writeln!(text, "{{ 'union': 'Union{number}', 'base': {{ 'outer': 'Outer' }}, 'discriminator': 'outer', 'data': {{ 'a': 'Wide' }} }}").unwrap();
    }
    assert!(errors(text).contains("too many combinations of bases and branches to check"));
}

#[test]
fn errors_are_reported_after_ten_thousand_warnings() {
    let mut text = String::new();
    for number in 0..10_000 {
        writeln!(
            text,
            "##\n# @dust-{number}:\n#\n# Returns: nothing\n##\n{{ 'command': 'dust-{number}' }}"
        )
        .unwrap();
    }
    let loaded = load_text(text.clone()).unwrap();
    assert_eq!(loaded.warnings.len(), 201);
    assert_eq!(loaded.warnings.last().unwrap().message, "there are 9800 more warnings");
    text.push_str("{ 'struct': 'Shelf', 'data': { 'a': 'Nothing' } }");
    assert!(errors(text).contains("unknown type 'Nothing'"));
}

#[test]
fn huge_strings() {
    let huge = "a".repeat(5 << 20);
    for text in [
        format!("{{ 'struct': '{huge}', 'data': {{}} }}"),
        format!("{{ 'struct': 'Shelf', 'data': {{ '{huge}': '{huge}' }} }}"),
        format!(
            "{{ 'struct': 'Shelf', 'data': {{ 'a': '{huge}' }} }} {{ 'struct': 'B{huge}', 'data': {{}} }}"
        ),
        format!("{{ '{huge}': 'Shelf' }}"),
        format!("{{ 'command': 'c', 'if': '{huge}', 'features': [ '{huge}', '{huge}' ] }}\n{huge}"),
        format!("{{ 'include': '{huge}' }}"),
        format!("{{ 'pragma': {{ '{huge}': '{huge}' }} }}"),
        format!("##\n# @{huge}:\n#\n# @{huge}: {huge}\n##\n{{ 'struct': 'Shelf', 'data': {{}} }}"),
        format!("##\n# {huge}"),
        format!("{{ 'struct': '{}", "\\\\".repeat(5 << 20)),
    ] {
        errors(text);
    }
}

/// Only a part of a long line is shown, which can be the whole file.
#[test]
fn long_lines_are_cut() {
    let before = format!("{{ 'enum': 'Shelf', 'data': [ {}", "'a', ".repeat(15_000));
    let errors = errors(format!("{before}stray{}", " ".repeat(1_000)));
    let expected = "hostile.json:1:75030: error: unexpected 'stray'\n 1 | ...";
    assert!(errors.starts_with(expected), "{errors}");
    assert!(errors.lines().all(|line| line.chars().count() < 200));
    let mark = errors.lines().nth(2).unwrap().find('^').unwrap();
    assert_eq!(&errors.lines().nth(1).unwrap()[mark..mark + 5], "stray");
}

#[test]
fn line_endings_tabs_and_byte_order_marks() {
    let crlf = RICH.replace('\n', "\r\n");
    let loaded = load_text(crlf).unwrap_or_else(|error| panic!("{error}"));
    let expected = load_text(RICH).unwrap();
    assert_eq!(
        loaded.schema.commands[0].definition.doc,
        expected.schema.commands[0].definition.doc
    );

    assert_eq!(
        errors("{ 'struct': 'Shelf',\r\n\t'data': int }\r\n"),
        "hostile.json:2:10: error: unexpected 'int'\n 2 | \t'data': int }\n   | \t        ^^^\nhelp: enclose names in single quotes\n"
    );
    assert!(
        errors("\u{feff}{ 'struct': 'Shelf', 'data': {} }")
            .contains("1:1: error: unexpected byte order mark")
    );
    assert!(load_text("").unwrap().schema.types.is_empty());
    assert!(load_text("\n \t\r\n\u{c}").unwrap().schema.types.is_empty());
}

#[test]
fn control_characters_are_replaced() {
    let errors = errors("{ 'struct': 'Shelf', 'data': \u{1b}[31m\u{202e} }");
    assert!(errors.contains("unexpected '\u{fffd}'"), "{errors}");
    assert!(errors.chars().all(|c| !c.is_control() || c == '\n'));
    assert!(!errors.contains('\u{202e}'));
}

/// Generates code for a text. Returns `None` if the text is not a schema.
fn code_of(text: &str) -> Option<String> {
    let generated = qmp_codegen::Builder::new().schema_text("hostile.json", text).generate_code();
    generated.ok().map(|generated| generated.code)
}

#[test]
fn documentation_is_neither_run_nor_html() {
    let text = include_str!("data/documentation.json");
    load_text(text).unwrap_or_else(|error| panic!("{error}"));
    let code = code_of(text).unwrap();
    let comments = comments_of(&code);
    comments.iter().for_each(|comment| assert_harmless(comment));
    // Nothing was lost on the way.
    let all = comments.concat();
    for text in ["tilde", "below a marker", "a fence in a block", "eleven", "a footnote"] {
        assert!(all.contains(text), "{text}");
    }
}

/// rustdoc itself, on the documentation of hostile schemas: it finds no test to run.
#[test]
fn rustdoc_finds_no_test() {
    let directory = Directory::new("rustdoc");
    let mut items = String::from("//! The documentation of hostile schemas.\n\n");
    let golden = include_str!("golden/hostile.json");
    for text in [include_str!("data/documentation.json"), RICH, golden] {
        for (number, comment) in comments_of(&code_of(text).unwrap()).iter().enumerate() {
            let comment = comment.replace('\n', "\n/// ");
            write!(items, "/// {comment}\npub struct C{}x{number};\n\n", items.len()).unwrap();
        }
    }
    // The same checks find what they are for.
    let control = "/// ```\n/// assert!(true);\n/// ```\npub struct Control;\n";
    for (code, count) in [(items.clone(), 0), (format!("{items}{control}"), 1)] {
        let path = directory.write("comments.rs", code);
        let rustdoc = std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
        let output = std::process::Command::new(rustdoc)
            .args(["--test", "--edition", "2024", "--crate-name", "comments"])
            .args(["--test-args", "--list"])
            .arg(&path)
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{out}{err}");
        assert!(
            out.contains(&format!("{count} tests, ")) || out.contains(&format!("{count} test, ")),
            "{out}{err}"
        );
    }
}

#[test]
fn control_characters_in_documentation_are_replaced() {
    let hidden = "a\rb\u{202e}c\0d\u{1b}[31me\u{2066}f\u{2028}g\u{85}h\u{200f}i\u{feff}";
    let text = format!(
        "##\n# @shelve:\n#\n# {hidden}\n#\n# ::\n#\n#   {hidden}\n#\n# @a: {hidden}\n#\n# Features:\n#\n\
         # @deprecated: {hidden}\n#\n# Since: {hidden}\n##\n\
         {{ 'command': 'shelve', 'data': {{ 'a': 'int' }}, 'features': [ 'deprecated' ] }}\n"
    );
    load_text(text.as_str()).unwrap_or_else(|error| panic!("{error}"));
    let code = code_of(&text).unwrap();
    comments_of(&code).iter().for_each(|comment| assert_harmless(comment));
    let deprecated = code.lines().find(|line| line.contains("#[deprecated")).unwrap();
    assert_harmless(deprecated.trim());
    // Each is replaced by a character that can be seen.
    assert!(code.matches("[31me").count() >= 5);
    assert!(code.matches('\u{fffd}').count() >= 5 * 9);
}

/// Puts together what has a meaning in one markup or the other, in every order.
#[test]
fn random_documentation_is_neither_run_nor_html() {
    const PIECES: &[&str] = &[
        "`",
        "``",
        "```",
        "~~~",
        "<b>",
        "</b>",
        "<!--",
        "\\",
        "\\\\",
        "|",
        "-",
        "- ",
        "* ",
        "+ ",
        "1. ",
        "7) ",
        "    ",
        "      ",
        "\t",
        "::",
        ".. note:: ",
        ".. code:: ",
        "[^1]: ",
        "[a]: ",
        "> ",
        "a",
        "b",
        " ",
        " ",
        "\n# ",
        "\n# ",
        "\n#\n# ",
        "\n#\n#     ",
        "\n#     ",
        "\n#   ",
        "|--|--|",
        "---",
        "===",
        "# ",
        "https://a",
        ":ref:`",
        "`_",
        " <",
        ">",
        "@a",
        "@b: ",
        "&lt;",
        "**",
        "_",
        "!",
        "[",
        "](",
        ")",
        "Since: ",
        "Returns: ",
        "{",
        "}",
        "'",
        "\"",
        "$",
        "x:",
    ];
    let mut random = Random(7);
    let mut generated = 0;
    for _ in 0..2_000 {
        let mut piece = || PIECES[random.below(PIECES.len())];
        let body: String = (0..30).map(|_| piece()).collect();
        let member: String = (0..12).map(|_| piece()).collect();
        let feature: String = (0..12).map(|_| piece()).collect();
        let text = format!(
            "##\n# @shelve:\n#\n# {body}\n#\n# @a: {member}\n#\n# Features:\n#\n# @f: {feature}\n##\n\
             {{ 'command': 'shelve', 'data': {{ 'a': 'int' }}, 'features': [ 'f' ] }}\n"
        );
        let Some(code) = code_of(&text) else { continue };
        generated += 1;
        comments_of(&code).iter().for_each(|comment| assert_harmless(comment));
    }
    assert!(generated > 500, "{generated}");
}
