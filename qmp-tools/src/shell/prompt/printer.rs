//! The output of the thread that executes commands.

use std::io::{self, Write};
use std::sync::mpsc::SyncSender;

use qmp_client::protocol::Printable;

use super::engine::{Message, Tell};
use super::tty::Waker;

/// Prints above the line that is being edited; each write is printed as a whole.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    messages: SyncSender<Message>,
    waker: Waker,
}

impl Printer {
    pub(super) fn new(messages: SyncSender<Message>, waker: Waker) -> Self {
        Self { messages, waker }
    }
}

impl Tell for Printer {
    fn tell(&self, message: Message) -> io::Result<()> {
        // The waker comes second: the other thread reads the messages after it was woken.
        let sent = self.messages.send(message);
        self.waker.wake();
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Printer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.tell(Message::Print(printable(&String::from_utf8_lossy(text))))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes what controls a terminal, but for line feeds, tabs and colors. Output is escaped where it is
/// made; this is for bytes that are shown as they are, such as those of a guest's file, and keeps the
/// frame in its place.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| !matches!(c, '\n' | '\t') && Printable::escapes(c)) {
        let (clean, tail) = rest.split_at(at);
        out.push_str(clean);
        let color = color(tail);
        let length = if color > 0 { color } else { tail.chars().next().map_or(1, char::len_utf8) };
        let (control, after) = tail.split_at(length);
        match (color, control) {
            (0, "\r") if after.starts_with('\n') => {}
            (0, _) => out.extend(control.escape_default()),
            _ => out.push_str(control),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns the length of the sequence at the beginning of a text that sets a color, or zero.
fn color(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\x1b[") else { return 0 };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(0);
    if end <= 16 && rest.get(end..).is_some_and(|rest| rest.starts_with('m')) { end + 3 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colors_are_sent_as_they_are() {
        for (text, expected) in [
            ("plain\n\ttext\r\n", "plain\n\ttext\n"),
            ("\x1b[1;36mSTOP\x1b[0m a", "\x1b[1;36mSTOP\x1b[0m a"),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\x1b[", "\\u{1b}["),
            ("\u{202e}\u{9b}1m\rx", "\\u{202e}\\u{9b}1m\\rx"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }
}
