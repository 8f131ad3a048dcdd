//! What a process writes to its standard error, a line at a time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// No line is kept longer than so many bytes.
const LONGEST_LINE: usize = 4096;

/// Who is shown each line.
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

/// Bytes that become lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// Nothing, once it has panicked.
    hook: Option<Hook>,
    /// The line that has begun.
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

    /// Nothing more will come: what has begun is a line, too.
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

    /// Shows so many bytes of the line, and keeps the others.
    fn show(&mut self, length: usize) {
        let rest = self.line.split_off(length);
        let line = std::mem::replace(&mut self.line, rest);
        let Some(Hook(hook)) = &mut self.hook else { return };
        let text = String::from_utf8_lossy(&line);
        // The thread that is here has to listen on: nobody else does.
        if catch_unwind(AssertUnwindSafe(|| hook(&text))).is_err() {
            self.hook = None;
        }
    }
}

/// How much of this is no part of a character whose rest is still to come.
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
    fn however_they_arrive() {
        for pieces in [1, 2, 3, 100] {
            let lines = lines_of("a\n\nb \r\nä\n\u{fffd}".as_bytes(), pieces);
            assert_eq!(lines, ["a", "", "b ", "ä", "\u{fffd}"]);
            assert_eq!(lines_of(b"no \xFF text\n", pieces), ["no \u{fffd} text"]);
            assert_eq!(lines_of(b"", pieces), [""; 0]);
        }
    }

    /// A character is not cut apart, and what ends where the longest line does is one line.
    #[test]
    fn long_ones() {
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
