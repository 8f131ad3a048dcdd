//! Tests of how documentation comments are parsed. Diagnostics are tested with whole schemas in
//! `tests/errors.rs`.

use super::{Block, parse};
use crate::ast::Doc;
use crate::lexer::Lexer;
use crate::report::Report;
use crate::schema::SectionKind;
use crate::source::FileId;

/// Parses a comment, given its lines without `# `, and formats its parts.
fn parsed(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("# {line}\n")).collect();
    let (block, report) = read(&format!("##\n{}##\n", lines.replace("# \n", "#\n")));
    assert_eq!(report, "");
    match block {
        Block::Definition(doc) => format(&doc),
        Block::FreeForm(text) => format!("free-form {text:?}"),
        Block::Broken => String::from("broken"),
    }
}

/// Parses a comment. Returns it and the messages of all diagnostics.
fn read(text: &str) -> (Block, String) {
    let mut lexer = Lexer::new(text, FileId(0));
    let mut report = Report::default();
    let block = match lexer.comment() {
        Some(start) => parse(&mut lexer, start, &mut report),
        None => Block::Broken,
    };
    let messages: Vec<String> = report.finish().into_iter().map(|one| one.message).collect();
    (block, messages.join(", "))
}

fn format(doc: &Doc) -> String {
    let mut parts = vec![format!("{} {:?}", doc.symbol.text, doc.body)];
    parts.extend(doc.members.iter().map(|one| format!("@{} {:?}", one.name.text, one.text)));
    parts
        .extend(doc.features.iter().map(|one| format!("feature {} {:?}", one.name.text, one.text)));
    parts.extend(doc.sections.iter().map(|one| format!("{:?} {:?}", one.kind, one.text)));
    parts.extend(doc.since.iter().map(|since| format!("since {since:?}")));
    parts.join("; ")
}

#[test]
fn parts() {
    for (lines, expected) in [
        ("@A:", r#"A """#),
        ("@A:\n\nOne\ntwo.\n\n\nThree.", r#"A "One\ntwo.\n\nThree.""#),
        ("@A:\nOne", r#"A "One""#),
        (
            "@A:\n\n@b: text\n@c:  more\n\n@d:\n    below",
            r#"A ""; @b "text"; @c "more"; @d "below""#,
        ),
        ("@A:\n\nFeatures:\n\n@b: text\n@c: text", r#"A ""; feature b "text"; feature c "text""#),
        (
            "@A:\n\nReturns: this\nErrors: that\nSince: 1.0",
            r#"A ""; Returns "this"; Errors "that"; since "1.0""#,
        ),
        (
            "@A:\n\nTODO: all\n\nNote: this\nNotes: that",
            r#"A ""; Todo "all"; Note "this"; Note "that""#,
        ),
        (
            "@A:\n\nSince: 1.0\n\nMore.\n\nAnd more.",
            r#"A ""; Plain "More.\n\nAnd more."; since "1.0""#,
        ),
        ("@A:\n\n@b: text\n\nPlain.", r#"A ""; @b "text"; Plain "Plain.""#),
        // A tag must be at the beginning of a paragraph and have a single colon.
        ("@A:\n\nOne since: 1.0", r#"A "One since: 1.0""#),
        (
            "@A:\n\nNote:: x\n\n Returns: y\n\nreturns: z",
            r#"A "Note:: x\n\n Returns: y\n\nreturns: z""#,
        ),
        ("@A:\n\nFeatures: x", r#"A "Features: x""#),
    ] {
        assert_eq!(parsed(lines), expected, "{lines}");
    }
}

#[test]
fn indentation_of_text_is_removed() {
    for (lines, expected) in [
        (
            "@A:\n\n@b: one\n    two\n      three\n\n    four",
            r#"A ""; @b "one\ntwo\n  three\n\nfour""#,
        ),
        ("@A:\n\n@b:\n\n  one\n\n\n  two\n", r#"A ""; @b "one\n\n\ntwo""#),
        ("@A:\n\n@b: one\n\n    two", r#"A ""; @b "one\n\ntwo""#),
        (
            "@A:\n\nReturns: one\n         two\n\nThree.",
            r#"A ""; Returns "one\ntwo"; Plain "Three.""#,
        ),
        ("@A:\n\n@b: one\n  two\n@c: three", r#"A ""; @b "one\ntwo"; @c "three""#),
        // Text that is not indented does not belong to the description.
        ("@A:\n\n@b: one\ntwo", r#"A ""; @b "one"; Plain "two""#),
    ] {
        assert_eq!(parsed(lines), expected, "{lines}");
    }
}

#[test]
fn examples_of_old_releases_extend_to_the_next_tag() {
    let lines = "@A:\n\nExample:\n\n-> { 'a': 1 }\n\n<- { }\n  x\n\nSince: 1.0";
    assert_eq!(parsed(lines), r#"A ""; Example "-> { 'a': 1 }\n\n<- { }\n  x"; since "1.0""#);
    let lines = "@A:\n\nExamples:\n   one\n\n   two\n\nText.";
    assert_eq!(parsed(lines), r#"A ""; Example "one\n\ntwo"; Plain "Text.""#);
}

#[test]
fn text_of_old_releases_is_not_indented() {
    for (lines, expected) in [
        (
            "@A:\n\nNote:\n\none\n\n  two\n\nthree\nSince:\n\n1.0\n\nfour",
            r#"A ""; Note "one\n\n  two\n\nthree"; Plain "four"; since "1.0""#,
        ),
        (
            "@A:\n\n@b:\none\n\n  two\n@c:\nthree\n\nfour",
            r#"A ""; @b "one\n\n  two"; @c "three"; Plain "four""#,
        ),
        ("@A:\n\n@b:\n    one\n  two\n @c", r#"A ""; @b "one\ntwo\n@c""#),
        ("@A:\n\n@b: one\ntwo\n\n@c: three", r#"A ""; @b "one\ntwo"; @c "three""#),
    ] {
        let comment: String = lines.lines().map(|line| format!("# {line}\n")).collect();
        let (block, _) = read(&format!("##\n{}##\n", comment.replace("# \n", "#\n")));
        let Block::Definition(doc) = block else { panic!("{lines}") };
        assert_eq!(format(&doc), expected, "{lines}");
    }
}

#[test]
fn free_form() {
    for (lines, expected) in [
        ("", r#"free-form """#),
        ("\n= Title\n\nText: it is.\n", r#"free-form "= Title\n\nText: it is.""#),
        ("=====\nTitle\n=====", r#"free-form "=====\nTitle\n=====""#),
        (" @A:", r#"free-form " @A:""#),
    ] {
        assert_eq!(parsed(lines), expected, "{lines}");
    }
}

#[test]
fn errors_do_not_end_the_comment() {
    let (block, report) = read("##\n# @A:\n#x\n# @b:\n#\n# = Title\n##\n");
    assert!(matches!(block, Block::Broken));
    assert_eq!(
        report,
        "missing space after '#', missing text after '@b:', \
         the documentation of a definition cannot contain a heading"
    );
    let (block, report) = read("## x\n# y\n");
    assert!(matches!(block, Block::Broken));
    assert_eq!(report, "the first line of a documentation comment must be only '##'");
}

#[test]
fn location_of_a_section_is_its_tag() {
    let (block, _) = read("##\n# @A:\n#\n# Errors: x\n##\n");
    let Block::Definition(doc) = block else { panic!() };
    let locations: Vec<_> =
        doc.sections.iter().map(|s| (s.kind, s.span.start, s.span.end)).collect();
    assert_eq!(locations, [(SectionKind::Errors, 13, 20)]);
}
