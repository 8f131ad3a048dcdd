//! The frame that is on the terminal, below everything that was printed.

use std::io::{self, Write};

use super::frame::Frame;

/// A terminal on which one frame is shown. Each method is one write, so that nothing flickers.
#[derive(Debug)]
pub(super) struct Screen<W> {
    output: W,
    /// The number of columns and rows.
    size: (usize, usize),
    /// The frame that is shown.
    shown: Option<Frame>,
    /// Whether what was printed last ended within a line.
    unfinished: bool,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(output: W, size: (usize, usize)) -> Self {
        Self { output, size, shown: None, unfinished: false }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Sets the size; the frame that is shown is found and cleared where it is now.
    pub(super) fn resize(&mut self, size: (usize, usize)) -> io::Result<()> {
        let erase = self.erase(size.0);
        self.size = size;
        self.send(&erase)
    }

    /// Shows a frame in place of the one that is shown.
    pub(super) fn show(&mut self, frame: Frame) -> io::Result<()> {
        if self.shown.as_ref() == Some(&frame) {
            return Ok(());
        }
        let text = self.erase(self.size.0) + &paint(&frame);
        self.shown = Some(frame);
        self.send(&text)
    }

    /// Prints a text above the frame.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        let frame = self.shown.clone();
        let mut all = self.erase(self.size.0);
        all += text;
        self.unfinished = !text.ends_with('\n') && (!text.is_empty() || self.unfinished);
        if let Some(frame) = frame {
            if std::mem::take(&mut self.unfinished) {
                all += "\r\n";
            }
            all += &paint(&frame);
            self.shown = Some(frame);
        }
        self.send(&all)
    }

    /// Removes the frame.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let erase = self.erase(self.size.0);
        self.send(&erase)
    }

    /// Clears the whole terminal.
    pub(super) fn clear_all(&mut self) -> io::Result<()> {
        self.shown = None;
        self.send("\x1b[H\x1b[2J")
    }

    /// Begins a new row if something else has written to the terminal and left the cursor within one:
    /// a row of blanks then wraps, and otherwise fits.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        self.shown = None;
        let blanks = " ".repeat(self.size.0);
        self.send(&format!("{blanks}\r\x1b[K"))
    }

    /// Sends a control sequence.
    pub(super) fn send(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.output.write_all(text.as_bytes())?;
        self.output.flush()
    }

    /// Returns the sequence that removes the frame from a terminal of this many columns. After it was
    /// made narrower, rows that do not fit take several: most terminals wrap them.
    fn erase(&mut self, columns: usize) -> String {
        let Some(Frame { rows, cursor: (row, column) }) = self.shown.take() else {
            return String::new();
        };
        let columns = columns.max(1);
        let above: usize =
            rows.iter().take(row).map(|row| row.width.div_ceil(columns).max(1)).sum();
        // In a row that wraps, the cursor is below the row's beginning.
        let above = above + column.saturating_sub(1) / columns;
        format!("{}\r\x1b[J", up(above))
    }
}

fn paint(frame: &Frame) -> String {
    let rows: Vec<&str> = frame.rows.iter().map(|row| row.text.as_str()).collect();
    let (row, column) = frame.cursor;
    let back = up(frame.rows.len().saturating_sub(row + 1));
    let right = if column > 0 { format!("\x1b[{column}C") } else { String::new() };
    format!("{}{back}\r{right}", rows.join("\r\n"))
}

fn up(rows: usize) -> String {
    if rows > 0 { format!("\x1b[{rows}A") } else { String::new() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::frame::Paper;
    use super::super::ink::{Colors, Ink};
    use super::*;

    fn frame(before: &str, after: &str, columns: usize) -> Frame {
        let mut paper = Paper::new(columns, Colors(true));
        paper.put(before, Ink::Plain);
        paper.mark();
        paper.put(after, Ink::Dim);
        paper.finish(10)
    }

    /// Plays what was written on an emulated terminal.
    fn shown(screen: &Screen<Vec<u8>>, columns: u16) -> String {
        let mut terminal = vt100::Parser::new(10, columns, 0);
        terminal.process(&screen.output);
        let (row, column) = terminal.screen().cursor_position();
        let rows = terminal.screen().rows(0, columns).map(|row| row.trim_end().to_owned());
        let rows: Vec<_> = rows.collect();
        format!("{} @{row},{column}", rows.join("\n").trim_end())
    }

    #[test]
    fn text_is_printed_above_the_frame() {
        let mut screen = Screen::new(Vec::new(), (10, 10));
        screen.show(frame("> 012345678", "9\nmenu", 10)).unwrap();
        assert_eq!(shown(&screen, 10), "> 0123456\n789\nmenu @1,2");
        screen.print("an event\r\n").unwrap();
        assert_eq!(shown(&screen, 10), "an event\n> 0123456\n789\nmenu @2,2");
        screen.show(frame("> 漢字漢字漢", "", 10)).unwrap();
        screen.print("another").unwrap();
        assert_eq!(shown(&screen, 10), "an event\nanother\n> 漢字漢\n字漢 @3,4");
        screen.clear().unwrap();
        assert_eq!(shown(&screen, 10), "an event\nanother @2,0");
    }

    #[test]
    fn a_row_that_something_else_wrote_is_left() {
        for (written, expected) in
            [("", "> a @0,3"), (":", ":\n> a @1,3"), ("^C\r\n", "^C\n> a @1,3")]
        {
            let mut screen = Screen::new(written.as_bytes().to_vec(), (10, 10));
            screen.recover().unwrap();
            screen.show(frame("> a", "", 10)).unwrap();
            assert_eq!(shown(&screen, 10), expected);
        }
    }

    #[test]
    fn a_frame_is_painted_once() {
        let mut screen = Screen::new(Vec::new(), (10, 10));
        screen.show(frame("> a", "", 10)).unwrap();
        let length = screen.output.len();
        screen.show(frame("> a", "", 10)).unwrap();
        assert_eq!(screen.output.len(), length);
    }
}
