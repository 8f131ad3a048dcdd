//! The output of a process, line by line.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The longest line, in bytes. A longer one is split.
const LONGEST_LINE: usize = 4096;

/// A function that is called with each line.
pub(crate) struct Hook(Box<dyn FnMut(&str) + Send>);

impl Hook {
    pub(crate) fn new(hook: impl FnMut(&str) + Send + 'static) -> Self {
        Self(Box::new(hook))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// The functions that are called with the lines of each output.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) stdout: Option<Hook>,
    pub(crate) stderr: Option<Hook>,
}

/// Splits bytes into lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// `None` after it has panicked.
    hook: Option<Hook>,
    /// The beginning of a line that is not complete.
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn new(hook: Option<Hook>) -> Self {
        Self { hook, line: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.hook.is_none() {
            return;
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            for &byte in text {
                if self.line.len() == LONGEST_LINE {
                    self.show(whole_characters(&self.line));
                }
                self.line.push(byte);
            }
            if ends {
                self.show_line();
            }
        }
    }

    /// Ends the last line, if it is not empty.
    pub(super) fn finish(mut self) {
        if !self.line.is_empty() {
            self.show_line();
        }
    }

    fn show_line(&mut self) {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        self.show(self.line.len());
    }

    /// Passes on the first bytes of the line, and keeps the rest.
    fn show(&mut self, length: usize) {
        let rest = self.line.split_off(length);
        let line = std::mem::replace(&mut self.line, rest);
        let Some(Hook(hook)) = &mut self.hook else { return };
        let text = String::from_utf8_lossy(&line);
        // The thread must read on: the process would block otherwise.
        if catch_unwind(AssertUnwindSafe(|| hook(&text))).is_err() {
            self.hook = None;
        }
    }
}

/// Returns the length without an incomplete character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn lines_of(text: &[u8], pieces: usize) -> Vec<String> {
        let (sender, receiver) = mpsc::channel();
        let hook = Hook::new(move |line| drop(sender.send(line.to_owned())));
        let mut lines = Lines::new(Some(hook));
        text.chunks(pieces).for_each(|piece| lines.push(piece));
        lines.finish();
        receiver.into_iter().collect()
    }

    #[test]
    fn lines_may_arrive_in_pieces() {
        for pieces in [1, 2, 3, 100] {
            let lines = lines_of("a\n\nb \r\nä\n\u{fffd}".as_bytes(), pieces);
            assert_eq!(lines, ["a", "", "b ", "ä", "\u{fffd}"]);
            assert_eq!(lines_of(b"no \xFF text\n", pieces), ["no \u{fffd} text"]);
            assert_eq!(lines_of(b"", pieces), [""; 0]);
        }
    }

    /// A character is not split, and a line of exactly the longest length is one line.
    #[test]
    fn long_lines_are_split() {
        let text = "x".to_owned() + &"ä".repeat(LONGEST_LINE);
        let lines = lines_of(text.as_bytes(), 1000);
        assert_eq!(lines.concat(), text);
        assert!(lines.iter().all(|line| line.len() <= LONGEST_LINE));
        assert_eq!(lines.len(), 3);
        let line = "x".repeat(LONGEST_LINE);
        assert_eq!(lines_of(format!("{line}\n{line}").as_bytes(), 1000), [&*line, &line]);
        assert_eq!(lines_of(&[0xC3; LONGEST_LINE + 1], 1000).len(), 2);
    }
}
