//! The pages of the programs, and the table of all programs, say what the test checks.

use crate::programs::{PROGRAMS, Program};

/// How the section of a page begins.
const KILLED: &str = "If this program is killed, ";
/// How the sentence goes on if nothing is left.
const NOTHING: &str = "nothing is left";
/// The section with the table.
const SECTION: &str = "## Programs that are killed";

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// Each page lists what the test accepts, and nothing else.
#[test]
fn pages_name_what_is_left() {
    for program in PROGRAMS {
        let name = program.example();
        let path = format!("{EXAMPLES}/{name}.rs");
        let page = std::fs::read_to_string(&path).unwrap();
        let (sentence, items) = section(&page);
        let Some(sentence) = sentence else { panic!("{path} does not say: {KILLED}") };
        let words: Vec<_> = program.left.iter().filter_map(|left| left.words()).collect();
        assert_eq!(sentence.starts_with(NOTHING), words.is_empty(), "{path}: {sentence}");
        let same = |(item, words): (&String, &String)| {
            let rest = item.strip_prefix(words.as_str());
            rest.is_some_and(|rest| rest.starts_with([';', '.', ',', ' ', ':']))
        };
        let agree = items.len() == words.len() && items.iter().zip(&words).all(same);
        assert!(agree, "{path} lists {items:#?}, and the test accepts {words:#?}");
    }
}

/// Returns the rest of the sentence that begins the section, and the items of the list after it.
fn section(page: &str) -> (Option<String>, Vec<String>) {
    let lines = page.lines().map_while(|line| line.strip_prefix("//!"));
    let mut lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let sentence = lines.find_map(|line| line.strip_prefix(KILLED)).map(String::from);
    let mut items = Vec::<String>::new();
    for line in lines.skip_while(|line| !line.is_empty()).skip(1) {
        if let Some(item) = line.strip_prefix("- ") {
            items.push(item.to_owned());
        } else if let (Some(more), Some(last)) = (line.strip_prefix("  "), items.last_mut()) {
            last.push(' ');
            last.push_str(more);
        } else {
            break;
        }
    }
    // A list after "nothing" is about something else.
    if sentence.as_ref().is_some_and(|sentence| sentence.starts_with(NOTHING)) {
        items.clear();
    }
    (sentence, items)
}

/// The table is written from the programs, if `BLESS` is 1.
#[test]
fn the_table_lists_all_programs() {
    let path = format!("{EXAMPLES}/README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, section) = readme.split_once(SECTION).expect("the section of the table");
    let lines: Vec<&str> = section.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with("| ")).expect("the table");
    let length = lines[begin..].iter().take_while(|line| line.starts_with('|')).count();
    let expected = table();
    if lines[begin..begin + length] == expected[..] {
        return;
    }
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let lines = [&lines[..begin], &expected[..], &lines[begin + length..]].concat();
    let blessed = format!("{before}{SECTION}{}\n", lines.join("\n"));
    assert!(std::env::var("BLESS").is_ok_and(|it| it == "1"), "{path} is out of date: BLESS=1");
    std::fs::write(path, blessed).unwrap();
}

fn table() -> Vec<String> {
    let mut rows = vec!["| program | may leave |".to_owned(), "| --- | --- |".to_owned()];
    let mut names: Vec<&str> = PROGRAMS.iter().map(Program::example).collect();
    names.dedup();
    for name in names {
        let mut programs = PROGRAMS.iter().filter(|program| program.example() == name);
        let words = programs.next().into_iter().flat_map(|program| program.left);
        let words: Vec<_> = words.filter_map(|left| left.words()).collect();
        let words = if words.is_empty() { "nothing".to_owned() } else { words.join("; ") };
        rows.push(format!("| [`{name}`]({name}.rs) | {words} |"));
    }
    rows
}

/// Programs that another test kills.
const ELSEWHERE: &[(&str, &str)] =
    &[("another_monitor", "`killed_programs` of the test `monitors`: each monitor has a new name")];

/// A program that is not in the table would be forgotten.
#[test]
fn every_program_is_killed() {
    for entry in std::fs::read_dir(EXAMPLES).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".rs") else { continue };
        if ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == name) {
            continue;
        }
        assert!(PROGRAMS.iter().any(|program| program.example() == name), "{name}");
    }
}
