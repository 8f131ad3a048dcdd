//! The text that is being edited. A cursor never stands within what is one character to a person.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// The longest text that can be edited.
const LIMIT: usize = 1 << 20;
const UNDO_LIMIT: usize = 200;

/// A text with a cursor.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer {
    text: String,
    /// A position in bytes.
    cursor: usize,
    killed: String,
    undo: Vec<(String, usize)>,
}

impl Buffer {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Replaces the whole text, and moves the cursor to its end.
    pub(super) fn set(&mut self, text: &str) {
        self.save();
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
    }

    /// Replaces the whole text and the position of the cursor.
    pub(super) fn restore(&mut self, text: &str, cursor: usize) {
        text.clone_into(&mut self.text);
        self.cursor = floor(&self.text, cursor);
    }

    /// Takes the text; what remains is empty.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        self.undo.clear();
        std::mem::take(&mut self.text)
    }

    pub(super) fn insert(&mut self, text: &str) {
        if self.text.len() + text.len() > LIMIT {
            return;
        }
        self.save();
        self.text.insert_str(self.cursor, text);
        self.cursor = ceiling(&self.text, self.cursor + text.len());
    }

    /// Replaces a range, and moves the cursor to the end of the replacement.
    pub(super) fn replace(&mut self, range: std::ops::Range<usize>, text: &str) {
        let (start, end) = (floor(&self.text, range.start), floor(&self.text, range.end));
        if start > end {
            return;
        }
        self.save();
        self.text.replace_range(start..end, text);
        self.cursor = ceiling(&self.text, start + text.len());
    }

    pub(super) fn backspace(&mut self) {
        self.remove(self.before()..self.cursor);
    }

    pub(super) fn delete(&mut self) {
        self.remove(self.cursor..self.after());
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(super) fn home(&mut self) {
        self.cursor = self.line_start();
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.line_end();
    }

    pub(super) fn word_left(&mut self) {
        self.cursor = self.word_start(char::is_alphanumeric);
    }

    pub(super) fn word_right(&mut self) {
        self.cursor = self.word_end();
    }

    /// Moves to the line above; returns whether there is one.
    pub(super) fn up(&mut self) -> bool {
        let start = self.line_start();
        if start == 0 {
            return false;
        }
        let column = self.column();
        self.cursor = start - 1;
        self.to_column(column);
        true
    }

    /// Moves to the line below; returns whether there is one.
    pub(super) fn down(&mut self) -> bool {
        let end = self.line_end();
        if end == self.text.len() {
            return false;
        }
        let column = self.column();
        self.cursor = end + 1;
        self.to_column(column);
        true
    }

    pub(super) fn kill_to_end(&mut self) {
        let end = self.line_end();
        // At the end of a line, the line feed goes.
        let end = if end == self.cursor { self.after() } else { end };
        self.kill(self.cursor..end);
    }

    pub(super) fn kill_to_start(&mut self) {
        self.kill(self.line_start()..self.cursor);
    }

    /// Removes the word before the cursor, up to white space.
    pub(super) fn kill_word(&mut self) {
        self.kill(self.word_start(|c| !c.is_whitespace())..self.cursor);
    }

    /// Removes letters and digits before the cursor.
    pub(super) fn kill_word_left(&mut self) {
        self.kill(self.word_start(char::is_alphanumeric)..self.cursor);
    }

    pub(super) fn kill_word_right(&mut self) {
        self.kill(self.cursor..self.word_end());
    }

    /// Inserts what was removed last.
    pub(super) fn yank(&mut self) {
        let killed = self.killed.clone();
        self.insert(&killed);
    }

    /// Exchanges the two characters before the cursor.
    pub(super) fn transpose(&mut self) {
        if self.cursor == self.text.len() {
            self.left();
        }
        let (start, end) = (self.before(), self.after());
        if start < self.cursor {
            let turned = format!(
                "{}{}",
                self.text.get(self.cursor..end).unwrap_or_default(),
                self.text.get(start..self.cursor).unwrap_or_default()
            );
            self.replace(start..end, &turned);
        }
    }

    pub(super) fn undo(&mut self) {
        if let Some((text, cursor)) = self.undo.pop() {
            self.text = text;
            self.cursor = cursor;
        }
    }

    fn save(&mut self) {
        // Characters that are typed one after the other are undone together.
        let typed = self.undo.last().is_some_and(|(text, cursor)| {
            self.cursor > *cursor
                && self.text.starts_with(text.as_str())
                && *cursor == text.len()
                && !self.text.ends_with(' ')
        });
        if typed || self.text.len() > LIMIT / 16 {
            return;
        }
        if self.undo.len() == UNDO_LIMIT {
            self.undo.remove(0);
        }
        self.undo.push((self.text.clone(), self.cursor));
    }

    fn remove(&mut self, range: std::ops::Range<usize>) {
        if !range.is_empty() {
            self.replace(range, "");
        }
    }

    fn kill(&mut self, range: std::ops::Range<usize>) {
        if let Some(text) = self.text.get(range.clone()).filter(|text| !text.is_empty()) {
            text.clone_into(&mut self.killed);
            self.remove(range);
        }
    }

    fn before(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn after(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    fn head(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or(&self.text)
    }

    fn tail(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    fn line_start(&self) -> usize {
        self.head().rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.tail().find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    fn column(&self) -> usize {
        self.head()[self.line_start()..].graphemes(true).count()
    }

    fn to_column(&mut self, column: usize) {
        let (start, end) = (self.line_start(), self.line_end());
        let line = &self.text[start..end];
        self.cursor = line.grapheme_indices(true).nth(column).map_or(end, |(at, _)| start + at);
    }

    /// Returns where the word begins that is before the cursor.
    fn word_start(&self, in_word: impl Fn(char) -> bool) -> usize {
        let head = self.head().trim_end_matches(|c| !in_word(c));
        head.char_indices().rev().find(|(_, c)| !in_word(*c)).map_or(0, |(at, c)| at + c.len_utf8())
    }

    fn word_end(&self) -> usize {
        let tail = self.tail();
        let word = tail.trim_start_matches(|c: char| !c.is_alphanumeric());
        let rest = word.trim_start_matches(char::is_alphanumeric);
        self.text.len() - rest.len()
    }
}

/// Returns the last boundary between characters that is not after a position.
fn floor(text: &str, position: usize) -> usize {
    let mut position = position.min(text.len());
    while !text.is_char_boundary(position) {
        position -= 1;
    }
    position
}

/// Returns the first boundary between what people call characters that is not before a position.
fn ceiling(text: &str, position: usize) -> usize {
    let position = floor(text, position);
    let mut cursor = GraphemeCursor::new(position, text.len(), true);
    match cursor.is_boundary(text, 0) {
        Ok(false) => cursor.next_boundary(text, 0).ok().flatten().unwrap_or(text.len()),
        _ => position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a buffer from a text in which `|` is the cursor.
    fn buffer(text: &str) -> Buffer {
        let cursor = text.find('|').unwrap_or(text.len());
        let text = text.replacen('|', "", 1);
        Buffer { text, cursor, ..Buffer::default() }
    }

    fn shown(buffer: &Buffer) -> String {
        let (head, tail) = buffer.text().split_at(buffer.cursor());
        format!("{head}|{tail}")
    }

    #[test]
    fn keys_edit_the_text() {
        type Edit = fn(&mut Buffer);
        let table: [(&str, Edit, &str); 24] = [
            ("ab|", Buffer::backspace, "a|"),
            ("|", Buffer::backspace, "|"),
            ("e\u{301}|x", Buffer::backspace, "|x"),
            ("|👩‍👩‍👧x", Buffer::delete, "|x"),
            ("漢字|", Buffer::left, "漢|字"),
            ("|漢字", Buffer::right, "漢|字"),
            ("ab|\ncd", Buffer::right, "ab\n|cd"),
            ("stop a=b|", Buffer::word_left, "stop a=|b"),
            ("|stop a", Buffer::word_right, "stop| a"),
            ("a b=c |d", Buffer::kill_word, "a |d"),
            ("a b=c |d", Buffer::kill_word_left, "a b=|d"),
            ("a| b=c d", Buffer::kill_word_right, "a|=c d"),
            ("ab\nc|d", Buffer::kill_to_start, "ab\n|d"),
            ("a|b\ncd", Buffer::kill_to_end, "a|\ncd"),
            ("a|\ncd", Buffer::kill_to_end, "a|cd"),
            ("ab\ncd|", Buffer::home, "ab\n|cd"),
            ("a|b\ncd", Buffer::end, "ab|\ncd"),
            ("ab|", Buffer::transpose, "ba|"),
            ("a|b", Buffer::transpose, "ba|"),
            ("a|", Buffer::transpose, "|a"),
            ("ab\nc|d", |buffer| assert!(buffer.up()), "a|b\ncd"),
            ("abc|\nd", |buffer| assert!(buffer.down()), "abc\nd|"),
            ("|ab\ncd", |buffer| assert!(!buffer.up()), "|ab\ncd"),
            ("a|c", |buffer| buffer.insert("b"), "ab|c"),
        ];
        for (before, edit, after) in table {
            let mut buffer = buffer(before);
            edit(&mut buffer);
            assert_eq!(shown(&buffer), after, "{before}");
        }
    }

    #[test]
    fn what_was_removed_comes_back() {
        let mut buffer = buffer("device_del id=d0|");
        buffer.kill_word();
        assert_eq!(shown(&buffer), "device_del |");
        buffer.yank();
        assert_eq!(shown(&buffer), "device_del id=d0|");
        buffer.undo();
        buffer.undo();
        assert_eq!(shown(&buffer), "device_del id=d0|");
    }

    #[test]
    fn a_replacement_stays_within_the_text() {
        let mut buffer = buffer("ab漢|");
        buffer.replace(3..100, "x");
        assert_eq!(shown(&buffer), "abx|");
        buffer.restore("漢", 1);
        assert_eq!(shown(&buffer), "|漢");
    }
}
