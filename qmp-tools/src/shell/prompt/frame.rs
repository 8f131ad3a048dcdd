//! Lays text out in the cells of a terminal. Rows are broken here and not by the terminal, so that it
//! is known where everything is.

use qmp_client::protocol::Printable;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::ink::{Colors, Ink, RESET};

/// A text in rows, and the place of the cursor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) rows: Vec<Row>,
    /// The row and the column of the cursor.
    pub(super) cursor: (usize, usize),
}

/// A row that fits the terminal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Row {
    /// The text with the sequences that color it.
    pub(super) text: String,
    /// The number of cells.
    pub(super) width: usize,
}

/// A frame that is being written.
#[derive(Debug)]
pub(super) struct Paper {
    frame: Frame,
    /// The number of cells in a row. The last one of the terminal stays empty: what happens after a
    /// character is written there differs between terminals.
    columns: usize,
    colors: Colors,
}

impl Paper {
    pub(super) fn new(columns: usize, colors: Colors) -> Self {
        let frame = Frame { rows: vec![Row::default()], cursor: (0, 0) };
        Self { frame, columns: columns.saturating_sub(1).max(4), colors }
    }

    /// Writes a text. It wraps at the end of a row; a line feed begins a new one.
    pub(super) fn put(&mut self, text: &str, ink: Ink) {
        self.write(text, ink, true);
    }

    /// Writes a text up to the end of the row; what does not fit is cut off.
    pub(super) fn put_cut(&mut self, text: &str, ink: Ink) {
        self.write(text, ink, false);
    }

    fn write(&mut self, text: &str, ink: Ink, wrap: bool) {
        let mut current = Ink::Plain;
        for grapheme in text.graphemes(true) {
            if grapheme == "\n" && wrap {
                self.ink(&mut current, Ink::Plain);
                self.new_row();
                continue;
            }
            if grapheme.chars().any(Printable::escapes) {
                for character in grapheme.chars().flat_map(char::escape_default) {
                    let mut bytes = [0; 4];
                    if !self.cell(
                        character.encode_utf8(&mut bytes),
                        1,
                        &mut current,
                        Ink::Escaped,
                        wrap,
                    ) {
                        break;
                    }
                }
            } else if !self.cell(grapheme, grapheme.width(), &mut current, ink, wrap) {
                break;
            }
        }
        self.ink(&mut current, Ink::Plain);
    }

    /// Writes what takes a cell or two; returns whether it fits.
    fn cell(&mut self, text: &str, width: usize, current: &mut Ink, ink: Ink, wrap: bool) -> bool {
        if self.row().width + width > self.columns {
            if !wrap {
                return false;
            }
            self.ink(current, Ink::Plain);
            self.new_row();
        }
        self.ink(current, ink);
        let row = self.row();
        row.text.push_str(text);
        row.width += width;
        true
    }

    fn ink(&mut self, current: &mut Ink, ink: Ink) {
        if *current != ink {
            let reset = if *current == Ink::Plain { "" } else { RESET };
            let begin = self.colors.begin(ink);
            let row = self.row();
            row.text.push_str(reset);
            row.text.push_str(begin);
            *current = ink;
        }
    }

    /// Begins a new row.
    pub(super) fn new_row(&mut self) {
        self.frame.rows.push(Row::default());
    }

    /// Fills the row with blanks up to a column.
    pub(super) fn pad(&mut self, column: usize, ink: Ink) {
        let missing = column.min(self.columns).saturating_sub(self.row().width);
        self.put_cut(&" ".repeat(missing), ink);
    }

    /// Puts the cursor at the end of what was written.
    pub(super) fn mark(&mut self) {
        let row = self.frame.rows.len().saturating_sub(1);
        self.frame.cursor = (row, self.row().width);
    }

    /// Returns the number of cells that are left in the row.
    pub(super) fn left(&mut self) -> usize {
        self.columns.saturating_sub(self.row().width)
    }

    fn row(&mut self) -> &mut Row {
        if self.frame.rows.is_empty() {
            self.new_row();
        }
        let last = self.frame.rows.len() - 1;
        &mut self.frame.rows[last]
    }

    /// Returns the frame. Of one that is higher than the terminal, the rows around the cursor remain.
    pub(super) fn finish(self, height: usize) -> Frame {
        let Frame { mut rows, cursor: (row, column) } = self.frame;
        let height = height.max(1);
        let first = if row < height { 0 } else { row + 1 - height };
        rows.drain(..first);
        rows.truncate(height);
        Frame { rows, cursor: (row - first, column) }
    }
}

/// Returns the number of cells that a text takes on one row.
pub(super) fn width(text: &str) -> usize {
    text.graphemes(true)
        .map(|grapheme| {
            if grapheme.chars().any(Printable::escapes) {
                grapheme.escape_default().count()
            } else {
                grapheme.width()
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(frame: &Frame) -> Vec<&str> {
        frame.rows.iter().map(|row| row.text.as_str()).collect()
    }

    #[test]
    fn text_wraps_by_cells() {
        for (text, expected, cursor) in [
            ("", vec![""], (0, 0)),
            ("abc", vec!["abc"], (0, 3)),
            ("abcdefghi", vec!["abcdefghi"], (0, 9)),
            ("abcdefghij", vec!["abcdefghi", "j"], (1, 1)),
            // A wide character that does not fit goes to the next row as a whole.
            ("漢字漢字漢", vec!["漢字漢字", "漢"], (1, 2)),
            ("e\u{301}e\u{301}", vec!["e\u{301}e\u{301}"], (0, 2)),
            ("a\nb", vec!["a", "b"], (1, 1)),
        ] {
            let mut paper = Paper::new(10, Colors(false));
            paper.put(text, Ink::Plain);
            paper.mark();
            let frame = paper.finish(5);
            assert_eq!((rows(&frame), frame.cursor), (expected, cursor), "{text}");
        }
    }

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        let mut paper = Paper::new(40, Colors(true));
        paper.put("a\x1b]0;\u{202e}", Ink::Plain);
        let frame = paper.finish(5);
        assert_eq!(rows(&frame), ["a\x1b[7m\\u{1b}\x1b[0m]0;\x1b[7m\\u{202e}\x1b[0m"]);
        assert_eq!(width("a\x1b"), frame.rows[0].width - 11);
    }

    #[test]
    fn a_frame_fits_the_terminal() {
        let mut paper = Paper::new(10, Colors(false));
        paper.put("1\n2\n3\n4", Ink::Plain);
        paper.mark();
        paper.put("\n5\n6", Ink::Plain);
        let frame = paper.finish(3);
        assert_eq!((rows(&frame), frame.cursor), (vec!["2", "3", "4"], (2, 1)));
    }

    #[test]
    fn a_row_that_is_cut_keeps_its_ink() {
        let mut paper = Paper::new(6, Colors(false));
        paper.put_cut("abcdefgh", Ink::Dim);
        assert_eq!(rows(&paper.finish(3)), ["\x1b[2mabcde\x1b[0m"]);
    }
}
