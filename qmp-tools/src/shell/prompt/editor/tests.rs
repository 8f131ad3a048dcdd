use super::super::keys::Keys;
use super::*;

/// Knows three commands and one argument.
struct Known;

const NAMES: [&str; 3] = ["query-name", "query-status", "stop"];

impl Assist for Known {
    fn complete(&self, text: &str, cursor: usize) -> Completion {
        let head = &text[..cursor];
        let start = head.rfind(' ').map_or(0, |at| at + 1);
        let (known, then): (&[&str], _) =
            if start == 0 { (&NAMES, ' ') } else { (&["node-name", "id"], '=') };
        let candidates = known
            .iter()
            .filter(|name| name.starts_with(&head[start..]))
            .map(|name| Candidate {
                insert: (*name).to_owned(),
                description: format!("about {name}"),
                then: Some(then),
            })
            .collect();
        Completion { span: start..cursor, candidates, pending: false }
    }

    fn hint(&self, text: &str) -> Option<String> {
        (text == "stop ").then(|| String::from("now="))
    }

    fn is_incomplete(&self, text: &str) -> bool {
        text.matches('{').count() > text.matches('}').count()
    }
}

/// A person at a terminal of 40 columns and 12 rows.
#[derive(Default)]
struct Desk {
    editor: Editor,
    history: History,
    acts: Vec<Act>,
}

impl Desk {
    fn keys(&mut self, keys: &str) -> &mut Self {
        let mut decoder = Keys::default();
        decoder.feed(keys.as_bytes());
        while let Some(key) = decoder.next().or_else(|| decoder.flush()) {
            self.acts.extend(self.editor.key(key, &Known, &self.history));
        }
        self
    }

    /// Returns the rows that are shown, and the column of the cursor.
    fn shown(&self) -> String {
        let frame = self.editor.frame("> ", Ink::Prompt, &Known, (40, 12), Colors(true));
        let mut terminal = vt100::Parser::new(12, 40, 0);
        let rows: Vec<_> = frame.rows.iter().map(|row| row.text.as_str()).collect();
        terminal.process(rows.join("\r\n").as_bytes());
        let (row, column) = frame.cursor;
        let rows: Vec<_> = terminal.screen().rows(0, 40).collect();
        format!("{} @{row},{column}", rows.join("\n").trim_end())
    }

    fn submitted(&self) -> Vec<&str> {
        let lines = self.acts.iter().filter_map(|act| match act {
            Act::Submit(line) => Some(line.as_str()),
            _ => None,
        });
        lines.collect()
    }
}

#[test]
fn a_menu_shows_candidates_with_descriptions() {
    let mut desk = Desk::default();
    desk.keys("q\t");
    let menu = "  query-name    about query-name\n  query-status  about query-status";
    assert_eq!(desk.shown(), format!("> query-\n{menu} @0,8"));
    desk.keys("\t");
    assert_eq!(desk.shown(), format!("> query-name\n{menu} @0,12"));
    desk.keys("\x1b[B");
    assert_eq!(desk.shown(), format!("> query-status\n{menu} @0,14"));
    // Enter accepts the candidate, and does not execute it.
    desk.keys("\r");
    assert_eq!(desk.shown(), "> query-status @0,15");
    assert!(desk.submitted().is_empty());
}

#[test]
fn typing_narrows_the_menu_and_escape_closes_it() {
    let mut desk = Desk::default();
    desk.keys("q\ts");
    assert_eq!(desk.shown(), "> query-s\n  query-status  about query-status @0,9");
    desk.keys("\x7f\t\x1b");
    assert_eq!(desk.shown(), "> query- @0,8");
    desk.keys("\t\t\x03");
    assert_eq!(desk.shown(), "> query- @0,8");
}

#[test]
fn a_single_candidate_is_inserted_with_what_follows_it() {
    let mut desk = Desk::default();
    desk.keys("st\t");
    assert_eq!(desk.shown(), "> stop now= @0,7");
    desk.keys("n\t");
    assert_eq!(desk.shown(), "> stop node-name= @0,17");
    desk.keys("x\x01st\t");
    assert_eq!(desk.acts.last(), Some(&Act::Edited));
}

#[test]
fn lines_continue_until_they_are_complete() {
    let mut desk = Desk::default();
    desk.keys("{ a\r b }\r");
    assert_eq!(desk.submitted(), ["{ a\n b }"]);
    desk.keys("{ a\r");
    assert_eq!(desk.shown(), "> { a\n  ... @1,7");
}

#[test]
fn a_paste_submits_each_command() {
    let mut desk = Desk::default();
    desk.keys("st\x1b[200~op\n{\n}\n# note\ncont\x1b[201~");
    assert_eq!(desk.submitted(), ["stop", "{\n}", "# note"]);
    assert_eq!(desk.shown(), "> cont @0,6");
}

#[test]
fn control_c_clears_the_line_first() {
    let mut desk = Desk::default();
    desk.keys("stop\x03\x03");
    assert_eq!(desk.acts[4..], [Act::Discard("stop".into()), Act::Interrupt]);
    desk.keys("\x04");
    assert_eq!(desk.acts.last(), Some(&Act::End));
}

#[test]
fn the_history_is_recalled_and_searched() {
    let mut desk = Desk::default();
    for line in ["query-name", "stop", "query-status"] {
        desk.history.add(line);
    }
    desk.keys("dra\x1b[A\x1b[A");
    assert_eq!(desk.shown(), "> stop @0,6");
    desk.keys("\x1b[B\x1b[B");
    assert_eq!(desk.shown(), "> dra @0,5");
    desk.keys("\x12query");
    assert_eq!(desk.shown(), "(search `query`) query-status @0,22");
    desk.keys("\x12");
    assert_eq!(desk.shown(), "(search `query`) query-name @0,22");
    desk.keys("x");
    assert_eq!(desk.shown(), "(not found `queryx`) query-name @0,26");
    desk.keys("\x07");
    assert_eq!(desk.shown(), "> dra @0,5");
    desk.keys("\x12sto\r");
    assert_eq!(desk.submitted(), ["stop"]);
}

#[test]
fn wide_characters_keep_the_cursor_in_place() {
    let mut desk = Desk::default();
    desk.keys("漢字 e\u{301}x\x1b[D\x1b[D");
    assert_eq!(desk.shown(), "> 漢字 e\u{301}x @0,7");
    desk.keys("\x7f\x7f");
    assert_eq!(desk.shown(), "> 漢e\u{301}x @0,4");
}
