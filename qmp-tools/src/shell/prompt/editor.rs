//! Edits a line by keys: what each key does, and what is shown. Nothing is read or written here.

use super::assist::{Assist, Completion};
use super::buffer::Buffer;
use super::frame::{Frame, Paper, width};
use super::history::History;
use super::ink::{Colors, Ink};
use super::keys::Key;
use super::menu::{Menu, common_prefix};
use crate::shell::complete::Candidate;

const CONTINUATION: &str = "  ...  ";

/// The effect of a key outside of the editor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// Nothing was found to complete or to recall.
    Bell,
    ClearScreen,
    /// Ctrl-D in an empty line.
    End,
    /// Ctrl-C in an empty line.
    Interrupt,
    /// Nothing but the line changed.
    Edited,
    Submit(String),
    Suspend,
    /// The text of a notice.
    Tell(&'static str),
    /// Ctrl-C, and what the line was.
    Discard(String),
}

/// A line that is being edited.
#[derive(Debug, Default)]
pub(super) struct Editor {
    buffer: Buffer,
    menu: Option<Menu>,
    search: Option<Search>,
    recall: Option<Recall>,
    awaiting: Awaiting,
}

/// Candidates that have been asked for, and are still to come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Awaiting {
    #[default]
    Nothing,
    /// For the menu, which is narrowed by typing.
    Menu,
    /// For Tab, which inserts a single one.
    Tab,
}

/// A command of the history that is shown, and the line that was edited before.
#[derive(Debug)]
struct Recall {
    index: usize,
    draft: String,
}

/// A search in the history.
#[derive(Debug, Default)]
struct Search {
    text: String,
    found: Option<usize>,
    failed: bool,
    draft: (String, usize),
}

impl Editor {
    /// Handles a key. A paste may submit several commands.
    pub(super) fn key(&mut self, key: Key, assist: &dyn Assist, history: &History) -> Vec<Act> {
        self.awaiting = Awaiting::Nothing;
        if let Some(act) = self.search_key(&key, history) {
            return vec![act];
        }
        if let Some(act) = self.menu_key(&key, assist) {
            return vec![act];
        }
        let act = match key {
            Key::Paste(text) => return self.paste(&text, assist),
            Key::PasteTooLong => {
                Act::Tell("the pasted text is longer than 1 MiB; nothing was taken")
            }
            Key::Enter => self.enter(assist),
            Key::Tab => self.tab(assist),
            Key::Ctrl('c') if self.buffer.is_empty() => Act::Interrupt,
            Key::Ctrl('c') => Act::Discard(self.take()),
            Key::Ctrl('d') if self.buffer.is_empty() => Act::End,
            Key::Ctrl('l') => Act::ClearScreen,
            Key::Ctrl('z') => Act::Suspend,
            Key::Up | Key::Ctrl('p') => self.up(history),
            Key::Down | Key::Ctrl('n') => self.down(history),
            Key::Ctrl('r') => self.begin_search(history),
            key => self.edit(&key),
        };
        vec![act]
    }

    /// Handles keys that only change the line.
    fn edit(&mut self, key: &Key) -> Act {
        let buffer = &mut self.buffer;
        match key {
            Key::Char(character) => buffer.insert(character.encode_utf8(&mut [0; 4])),
            Key::Alt('\n') => buffer.insert("\n"),
            Key::Backspace => buffer.backspace(),
            Key::Delete | Key::Ctrl('d') => buffer.delete(),
            Key::Left | Key::Ctrl('b') => buffer.left(),
            Key::Right | Key::Ctrl('f') => buffer.right(),
            Key::Home | Key::Ctrl('a') => buffer.home(),
            Key::End | Key::Ctrl('e') => buffer.end(),
            Key::WordLeft | Key::Alt('b') => buffer.word_left(),
            Key::WordRight | Key::Alt('f') => buffer.word_right(),
            Key::Ctrl('k') => buffer.kill_to_end(),
            Key::Ctrl('u') => buffer.kill_to_start(),
            Key::Ctrl('w') => buffer.kill_word(),
            Key::Alt('\x08') => buffer.kill_word_left(),
            Key::Alt('d') => buffer.kill_word_right(),
            Key::Ctrl('y') => buffer.yank(),
            Key::Ctrl('t') => buffer.transpose(),
            Key::Ctrl('_') => buffer.undo(),
            _ => return Act::Bell,
        }
        Act::Edited
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Discards the line, and returns what it was.
    pub(super) fn take(&mut self) -> String {
        self.menu = None;
        self.search = None;
        self.recall = None;
        self.buffer.take()
    }

    fn enter(&mut self, assist: &dyn Assist) -> Act {
        if assist.is_incomplete(self.buffer.text()) {
            self.buffer.insert("\n");
            return Act::Edited;
        }
        Act::Submit(self.take())
    }

    /// Inserts a text. Each line that ends in it is submitted, unless another one may complete it; what
    /// follows the last line feed remains to be edited.
    fn paste(&mut self, text: &str, assist: &dyn Assist) -> Vec<Act> {
        let mut acts = vec![Act::Edited];
        if !text.contains('\n') {
            self.buffer.insert(text);
            return acts;
        }
        let tail = self.buffer.text().get(self.buffer.cursor()..).unwrap_or_default().to_owned();
        let head = self.buffer.text().get(..self.buffer.cursor()).unwrap_or_default();
        let all = format!("{head}{text}");
        let mut command = String::new();
        for line in all.split_inclusive('\n') {
            command += line;
            let Some(complete) = command.strip_suffix('\n') else { break };
            if !assist.is_incomplete(complete) {
                acts.push(Act::Submit(complete.to_owned()));
                command.clear();
            }
        }
        self.take();
        let cursor = command.len();
        self.buffer.restore(&(command + &tail), cursor);
        acts
    }

    // Completion.

    fn tab(&mut self, assist: &dyn Assist) -> Act {
        let (text, cursor) = (self.buffer.text().to_owned(), self.buffer.cursor());
        let completion = assist.complete(&text, cursor);
        self.awaiting = if completion.pending { Awaiting::Tab } else { Awaiting::Nothing };
        match completion.candidates.as_slice() {
            [] if completion.pending => Act::Edited,
            [] => Act::Bell,
            [only] if !completion.pending => {
                let only = only.clone();
                self.insert(completion.span, &only);
                Act::Edited
            }
            several => {
                let common = common_prefix(several);
                let typed = text.get(completion.span.start..cursor).unwrap_or_default();
                if common.len() > typed.len() && common.starts_with(typed) {
                    self.buffer.replace(completion.span.start..cursor, common);
                }
                self.open(assist, completion);
                Act::Edited
            }
        }
    }

    /// Opens the menu for the line as it is.
    fn open(&mut self, assist: &dyn Assist, before: Completion) {
        let (text, cursor) = (self.buffer.text(), self.buffer.cursor());
        let now = assist.complete(text, cursor);
        let completion = if now.candidates.is_empty() { before } else { now };
        self.menu = Some(Menu::new(completion, text, cursor));
    }

    fn insert(&mut self, span: std::ops::Range<usize>, candidate: &Candidate) {
        self.buffer.replace(span, &candidate.insert);
        if let Some(then) = candidate.then {
            let rest = self.buffer.text().get(self.buffer.cursor()..).unwrap_or_default();
            if rest.starts_with(then) {
                self.buffer.right();
            } else {
                self.buffer.insert(then.encode_utf8(&mut [0; 4]));
            }
        }
    }

    /// Handles a key while the menu is open. Returns `None` for keys that mean what they always do.
    fn menu_key(&mut self, key: &Key, assist: &dyn Assist) -> Option<Act> {
        let menu = self.menu.as_mut()?;
        match key {
            Key::Tab | Key::Down | Key::Ctrl('n') => menu.advance(1),
            Key::BackTab | Key::Up | Key::Ctrl('p') => menu.advance(-1),
            Key::PageDown => menu.page(true),
            Key::PageUp => menu.page(false),
            Key::Escape | Key::Ctrl('c' | 'g') => {
                let (text, cursor) = menu.draft();
                self.buffer.restore(text, cursor);
                self.menu = None;
                return Some(Act::Edited);
            }
            Key::Enter | Key::Right if menu.selected().is_some() => {
                self.accept();
                return Some(Act::Edited);
            }
            Key::Char(_) | Key::Backspace => {
                // A character after a candidate that was selected goes on from there.
                self.edit(key);
                self.refilter(assist);
                return Some(Act::Edited);
            }
            _ => {
                self.menu = None;
                return None;
            }
        }
        self.preview();
        Some(Act::Edited)
    }

    /// Shows the selected candidate in the line.
    fn preview(&mut self) {
        let Some(menu) = &self.menu else { return };
        let Some(candidate) = menu.selected() else { return };
        let (text, cursor) = menu.draft();
        self.buffer.restore(text, cursor);
        self.buffer.replace(menu.start()..cursor, &candidate.insert);
    }

    fn accept(&mut self) {
        let Some(menu) = self.menu.take() else { return };
        let Some(candidate) = menu.selected() else { return };
        let (text, cursor) = menu.draft();
        self.buffer.restore(text, cursor);
        self.insert(menu.start()..cursor, candidate);
    }

    fn refilter(&mut self, assist: &dyn Assist) {
        let (text, cursor) = (self.buffer.text(), self.buffer.cursor());
        let completion = assist.complete(text, cursor);
        self.awaiting = if completion.pending { Awaiting::Menu } else { Awaiting::Nothing };
        let done = completion.candidates.is_empty();
        self.menu = (!done).then(|| Menu::new(completion, text, cursor));
    }

    /// Asks again for candidates that were still to come. Returns whether anything changed.
    pub(super) fn refresh(&mut self, assist: &dyn Assist) -> bool {
        match std::mem::take(&mut self.awaiting) {
            Awaiting::Nothing => return false,
            // What a person has selected stays.
            _ if self.menu.as_ref().is_some_and(|menu| menu.selected().is_some()) => {}
            Awaiting::Menu => self.refilter(assist),
            Awaiting::Tab => {
                self.menu = None;
                self.tab(assist);
            }
        }
        true
    }

    // History.

    fn up(&mut self, history: &History) -> Act {
        if self.buffer.up() {
            return Act::Edited;
        }
        let at = self.recall.as_ref().map_or(history.entries().len(), |recall| recall.index);
        let Some(entry) = at.checked_sub(1).and_then(|at| history.entries().get(at)) else {
            return Act::Bell;
        };
        let draft = match self.recall.take() {
            Some(recall) => recall.draft,
            None => self.buffer.text().to_owned(),
        };
        self.recall = Some(Recall { index: at - 1, draft });
        self.buffer.set(entry);
        Act::Edited
    }

    fn down(&mut self, history: &History) -> Act {
        if self.buffer.down() {
            return Act::Edited;
        }
        let Some(recall) = &mut self.recall else { return Act::Bell };
        recall.index += 1;
        match history.entries().get(recall.index) {
            Some(entry) => self.buffer.set(entry),
            None => {
                let draft = std::mem::take(&mut recall.draft);
                self.recall = None;
                self.buffer.set(&draft);
            }
        }
        Act::Edited
    }

    fn begin_search(&mut self, history: &History) -> Act {
        if history.entries().is_empty() {
            return Act::Bell;
        }
        let draft = (self.buffer.text().to_owned(), self.buffer.cursor());
        self.search = Some(Search { draft, ..Search::default() });
        Act::Edited
    }

    /// Handles a key while the history is searched. Returns `None` for keys that end the search and
    /// then mean what they always do.
    fn search_key(&mut self, key: &Key, history: &History) -> Option<Act> {
        let search = self.search.as_mut()?;
        let end = history.entries().len();
        let found = match key {
            Key::Char(character) => {
                search.text.push(*character);
                history.find(&search.text, search.found.map_or(end, |at| at + 1))
            }
            Key::Backspace => {
                search.text.pop();
                if search.text.is_empty() { search.found } else { history.find(&search.text, end) }
            }
            Key::Ctrl('r') => history.find(&search.text, search.found.unwrap_or(end)),
            Key::Ctrl('s') => search.found.and_then(|at| history.find_after(&search.text, at)),
            Key::Escape | Key::Ctrl('c' | 'g') => {
                let (text, cursor) = std::mem::take(&mut search.draft);
                self.search = None;
                self.buffer.restore(&text, cursor);
                return Some(Act::Edited);
            }
            _ => {
                self.search = None;
                return None;
            }
        };
        search.failed = found.is_none() && !search.text.is_empty();
        if let Some(entry) = found.and_then(|at| history.entries().get(at)) {
            search.found = found;
            let cursor = entry.find(&search.text).unwrap_or(0) + search.text.len();
            self.buffer.restore(entry, cursor);
        }
        Some(if search.failed { Act::Bell } else { Act::Edited })
    }

    // What is shown.

    /// Draws the line after a prompt, with a hint and the menu, for a terminal of this size.
    pub(super) fn frame(
        &self,
        prompt: &str,
        ink: Ink,
        assist: &dyn Assist,
        (columns, rows): (usize, usize),
        colors: Colors,
    ) -> Frame {
        let mut paper = Paper::new(columns, colors);
        match &self.search {
            Some(search) => {
                let label = if search.failed { "not found" } else { "search" };
                paper.put(&format!("({label} `{}`) ", search.text), Ink::Prompt);
            }
            None => paper.put(prompt, ink),
        }
        let (text, cursor) = (self.buffer.text(), self.buffer.cursor());
        let (head, tail) = text.split_at_checked(cursor).unwrap_or((text, ""));
        let name = name_length(text);
        put_line(&mut paper, head, name);
        paper.mark();
        put_line(&mut paper, tail, name.saturating_sub(head.len()));
        if tail.is_empty() && self.search.is_none() && !text.contains('\n') {
            if let Some(hint) = assist.hint(text) {
                let gap = if text.is_empty() || text.ends_with(' ') { "" } else { " " };
                if paper.left() > width(gap) + 3 {
                    paper.put_cut(&format!("{gap}{hint}"), Ink::Dim);
                }
            }
        }
        if let Some(menu) = &self.menu {
            menu.write(&mut paper, rows);
        }
        paper.finish(rows)
    }
}

/// Writes a command as it stays on the terminal when it is executed. Rows are not broken, so that it
/// can be copied.
pub(super) fn transcript(prompt: &str, command: &str, ink: Ink, colors: Colors) -> String {
    let mut paper = Paper::new(usize::MAX / 2, colors);
    paper.put(prompt, ink);
    put_line(&mut paper, command, name_length(command));
    let rows = paper.finish(usize::MAX).rows;
    rows.into_iter().map(|row| row.text + "\r\n").collect()
}

/// Returns where the name of the command ends.
fn name_length(text: &str) -> usize {
    let start = text.len() - text.trim_start().len();
    match text.get(start..).unwrap_or_default() {
        json if json.starts_with('{') => 0,
        name => start + name.find(char::is_whitespace).unwrap_or(name.len()),
    }
}

/// Writes a part of the line, of which the first bytes belong to the name of the command.
fn put_line(paper: &mut Paper, text: &str, name: usize) {
    let (name, rest) = text.split_at_checked(name).unwrap_or((text, ""));
    paper.put(name, Ink::Command);
    let mut lines = rest.split('\n');
    paper.put(lines.next().unwrap_or_default(), Ink::Plain);
    for line in lines {
        paper.new_row();
        paper.put(CONTINUATION, Ink::Dim);
        paper.put(line, Ink::Plain);
    }
}

#[cfg(test)]
mod tests;
