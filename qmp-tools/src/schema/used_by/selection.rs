//! The changes that the commands and events of a list meet, or those that a build script selects.
//!
//! A list has one name per line, such as `query-status`, `command stop` or `event STOP`; the rest of a line
//! after `#` is a comment. A build script is Rust, and its selection is in the calls of the generator's
//! `commands` and `events`: `.commands(["query-status", "stop"])`. Only names that are written there
//! count; those that the script computes have to be in a list.

use std::rc::Rc;

use qmp_codegen::diff::{Change, RootKind, What, diff_within};
use qmp_codegen::schema::Schema;

use super::super::Failure;
use super::super::changes::Place;
use super::Touched;
use crate::terminal::inline;

/// The names that a file selects.
#[derive(Debug, Default)]
pub(super) struct Selection(Vec<Name>);

#[derive(Debug, PartialEq)]
struct Name {
    /// The kind, if the file says so.
    kind: Option<RootKind>,
    name: String,
    line: usize,
}

impl Selection {
    pub(super) fn parse(path: &str, text: &str) -> Result<Self, Failure> {
        let names = if path.ends_with(".rs") { build_script(text) } else { list(text) };
        match names {
            Ok(names) if names.is_empty() => {
                Err(format!("{}: it selects no commands and no events", inline(path)).into())
            }
            Ok(names) => Ok(Self(names)),
            Err((line, reason)) => {
                Err(format!("{}:{line}: {}", inline(path), inline(&reason)).into())
            }
        }
    }
}

/// Adds all changes of the selected commands and events, except additions.
pub(super) fn add(touched: &mut Touched<'_>, selection: &Selection, file: &Rc<str>) {
    let has = |schema: &Schema, kind, name: &str| match kind {
        RootKind::Command => schema.commands.iter().any(|one| one.definition.name == name),
        RootKind::Event => schema.events.iter().any(|one| one.definition.name == name),
    };
    for Name { kind, name, line } in &selection.0 {
        let place = Place { file: Rc::clone(file), line: *line, time: None };
        let kinds = [RootKind::Command, RootKind::Event];
        let kinds = kinds.into_iter().filter(|one| kind.is_none_or(|kind| kind == *one));
        let kinds: Vec<_> = kinds.filter(|kind| has(touched.old, *kind, name)).collect();
        if kinds.is_empty() {
            let name = kind.map_or_else(|| name.clone(), |kind| format!("{kind} {name}"));
            touched.counts.is_unknown(name, &place);
        }
        for kind in kinds {
            touched.counts.uses(kind, name);
            let (old, new) = (only(touched.old, kind, name), only(touched.new, kind, name));
            let difference = diff_within(&old, &new, touched.scope);
            let changes = difference.changes.into_iter().filter(takes_away);
            touched.add(changes.collect(), &place);
        }
    }
}

/// Returns whether a change is none that clients can ignore.
fn takes_away(change: &Change) -> bool {
    match &change.what {
        What::FeatureAdded(name) => name == "deprecated" || name == "unstable",
        What::MemberRemoved { .. }
        | What::MemberNarrowed { .. }
        | What::ValueRemoved(_)
        | What::BranchRemoved(_)
        | What::AlternativeRemoved(_) => true,
        _ => change.breaking,
    }
}

/// Returns a schema with one command or event.
fn only(schema: &Schema, kind: RootKind, name: &str) -> Schema {
    let mut schema = schema.clone();
    schema.commands.retain(|one| kind == RootKind::Command && one.definition.name == name);
    schema.events.retain(|one| kind == RootKind::Event && one.definition.name == name);
    schema
}

type Names = Result<Vec<Name>, (usize, String)>;

fn list(text: &str) -> Names {
    let mut names = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (kind, name) = match words[..] {
            [] => continue,
            ["command", name] => (Some(RootKind::Command), name),
            ["event", name] => (Some(RootKind::Event), name),
            [name] => (None, name),
            _ => {
                let reason = "expected the name of a command or event, or a recording";
                return Err((number + 1, reason.to_owned()));
            }
        };
        names.push(Name { kind, name: name.to_owned(), line: number + 1 });
    }
    Ok(names)
}

/// Returns the names in the calls of `commands` and `events`.
fn build_script(text: &str) -> Names {
    let tokens: Vec<Token<'_>> = Tokens { text, at: 0, line: 1 }.collect();
    let mut names = Vec::new();
    for (at, window) in tokens.windows(3).enumerate() {
        let [dot, method, open] = window else { continue };
        let kind = match (dot.text, method.text, open.text) {
            (".", "commands", "(") => RootKind::Command,
            (".", "events", "(") => RootKind::Event,
            _ => continue,
        };
        let before = names.len();
        let mut depth = 0_usize;
        for token in &tokens[at + 2..] {
            match token.text {
                "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                text => {
                    let literal = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                    let name = literal.map(str::to_owned);
                    names.extend(name.map(|name| Name {
                        kind: Some(kind),
                        name,
                        line: token.line,
                    }));
                }
            }
            if depth == 0 {
                break;
            }
        }
        if names.len() == before {
            let reason = format!(
                "the names that `{}` selects are not written here: put them into a list",
                method.text
            );
            return Err((method.line, reason));
        }
    }
    Ok(names)
}

/// A part of a program: a word, a string with its quotes, or another character.
struct Token<'t> {
    text: &'t str,
    line: usize,
}

/// The tokens of a program, without comments and whitespace.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            let until = |end: Option<usize>| end.unwrap_or(rest.len());
            let is_word = |character: char| character.is_alphanumeric() || character == '_';
            let (length, token) = match first {
                _ if first.is_whitespace() => {
                    (until(rest.find(|c: char| !c.is_whitespace())), None)
                }
                '/' if rest.starts_with("//") => (until(rest.find('\n')), None),
                '/' if rest.starts_with("/*") => (comment(rest), None),
                '"' => (string(rest), Some(&rest[..string(rest)])),
                // Quotes and brackets of characters are not those of strings and calls.
                '\'' if rest.starts_with("'\\") => (escaped_character(rest), None),
                '\'' if rest[1..].chars().nth(1) == Some('\'') => {
                    (rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at), None)
                }
                _ if is_word(first) => {
                    let word = until(rest.find(|c| !is_word(c)));
                    match raw_string(&rest[..word], &rest[word..]) {
                        Some((length, text)) => (word + length, Some(text)),
                        None => (word, Some(&rest[..word])),
                    }
                }
                _ => (first.len_utf8(), Some(&rest[..first.len_utf8()])),
            };
            let line = self.line;
            self.line += rest[..length].matches('\n').count();
            self.at += length;
            if let Some(text) = token {
                return Some(Token { text, line });
            }
        }
    }
}

/// Returns the length of a comment, which can contain others.
fn comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(next) = text[at..].find(['/', '*']) {
        at += next;
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the length of a character that begins with a backslash, with its quotes.
fn escaped_character(text: &str) -> usize {
    let mut rest = text.char_indices().skip(3);
    rest.find(|(_, character)| *character == '\'').map_or(text.len(), |(at, _)| at + 1)
}

/// Returns the length of what follows the prefix of a raw string, and the string with its quotes.
fn raw_string<'t>(prefix: &str, rest: &'t str) -> Option<(usize, &'t str)> {
    if !matches!(prefix, "r" | "br" | "cr") {
        return None;
    }
    let start = rest.find(|c| c != '#').filter(|at| rest[*at..].starts_with('"'))?;
    let end = format!("\"{}", &rest[..start]);
    let text = &rest[start + 1..];
    let length = text.find(&end).map_or(text.len(), |at| at + 1);
    Some(((start + length + end.len()).min(rest.len()), &rest[start..start + 1 + length]))
}

/// Returns the length of a string literal, with its quotes.
fn string(text: &str) -> usize {
    let mut is_escaped = true;
    for (at, character) in text.char_indices() {
        match character {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    fn names(parsed: Names) -> Vec<(Option<RootKind>, String, usize)> {
        parsed.unwrap().into_iter().map(|name| (name.kind, name.name, name.line)).collect()
    }

    #[test]
    fn lists_have_names_kinds_and_comments() {
        let parsed = names(list("# all\nquery-status\n\n  event STOP # why\ncommand stop\n"));
        assert_eq!(
            parsed,
            [
                (None, "query-status".to_owned(), 2),
                (Some(RootKind::Event), "STOP".to_owned(), 4),
                (Some(RootKind::Command), "stop".to_owned(), 5),
            ]
        );
        assert_eq!(list("stop\nnot a name\n").unwrap_err().0, 2);
    }

    #[test]
    fn build_scripts_select_with_literals() {
        let script = "fn main() { // .commands([\"no\"])\n let c = ')'; let s = \".events(\\\"no\";\n\
            Builder::new()\n.commands([\"query-status\", // one\n \"stop\"])\n\
            .events(vec![\"STOP\"]) /* .events([\"no\"]) */ }";
        assert_eq!(
            names(build_script(script)),
            [
                (Some(RootKind::Command), "query-status".to_owned(), 4),
                (Some(RootKind::Command), "stop".to_owned(), 5),
                (Some(RootKind::Event), "STOP".to_owned(), 6),
            ]
        );
        let (line, reason) = build_script("\nb.commands(NAMES)").unwrap_err();
        assert_eq!(line, 2);
        assert!(reason.contains("put them into a list"), "{reason}");
    }

    /// Otherwise, what follows would be read as a string, and selections be missed.
    #[test]
    fn quotes_in_scripts_are_those_of_rust() {
        for before in [
            r#"let a = r"\";"#,
            r##"let a = r#"say "hi"#;"##,
            r##"let a = br#"""#;"##,
            r#"let a = '\"';"#,
            r#"let a = ['\\', '"', '\'', '\u{22}'];"#,
            r#"/* a /* b */ " */"#,
            "let r = 1; let a: &'static str = b;",
        ] {
            let script = format!("{before}\nb.commands([\"stop\", r\"cont\", r#\"quit\"#]);");
            let found = names(build_script(&script));
            let found: Vec<_> = found.iter().map(|(_, name, line)| (&**name, *line)).collect();
            assert_eq!(found, [("stop", 2), ("cont", 2), ("quit", 2)], "{before}");
        }
    }

    #[test]
    fn whatever_a_script_is_the_tokens_end() {
        for text in [
            "\"",
            "'",
            "/*",
            "/*/",
            "//",
            ".commands(",
            ".commands(]))",
            "'é'\"\\",
            "'\\é",
            "r#\"é",
            "r##\"\"#é",
            "r",
            "br\"",
            ".events)))",
        ] {
            let _ = build_script(text);
            let _ = list(text);
        }
    }
}
