//! Finds the end of a JSON object in one pass, which can stop at any byte and resume later.
//!
//! This is not a parser. It tracks strings and brackets, which is enough to find the end of an
//! object if the text is JSON. It also detects two kinds of damage that would otherwise leave the
//! scanner waiting for an end that never comes: a string that contains a line break, and an object
//! that begins where no value may.

use qmp_types::plain_end;

/// The result of scanning some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scan {
    /// The object continues after these bytes.
    Unfinished,
    /// The object ends before this index.
    End(usize),
    /// A string contains a control character at this index.
    ControlCharacter(usize),
    /// An opening bracket at this index, where no value may start.
    Misplaced(usize),
}

/// The state of a scan between two calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    depth: usize,
    deepest: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// Returns the deepest nesting of the object so far.
    pub(crate) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Scans `object[from..]`. `object` begins with the first byte of the object, and the bytes
    /// before `from` were scanned by earlier calls.
    pub(crate) fn scan(&mut self, object: &[u8], from: usize) -> Scan {
        let mut at = from;
        while at < object.len() {
            if self.in_string {
                at = match self.scan_string(object, at) {
                    Ok(after) => after,
                    Err(damage) => return damage,
                };
                continue;
            }
            match object[at] {
                b'"' => {
                    // Most strings have arrived whole, and have no escapes.
                    at = plain_end(object, at + 1);
                    self.in_string = object.get(at) != Some(&b'"');
                    at += usize::from(!self.in_string);
                    continue;
                }
                b'{' | b'[' => {
                    if self.depth > 0 && !value_may_start(&object[..at]) {
                        return Scan::Misplaced(at);
                    }
                    self.depth += 1;
                    self.deepest = self.deepest.max(self.depth);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Scan::End(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        Scan::Unfinished
    }

    /// Continues inside a string, and returns the index after it, or the length of the bytes.
    fn scan_string(&mut self, object: &[u8], from: usize) -> Result<usize, Scan> {
        let mut at = from;
        if self.escaped && at < object.len() {
            self.escaped = false;
            at += 1;
        }
        loop {
            at = plain_end(object, at);
            match object.get(at) {
                None => return Ok(at),
                Some(b'"') => {
                    self.in_string = false;
                    return Ok(at + 1);
                }
                Some(b'\\') => {
                    // The byte after a backslash never ends the string. A line break there is left
                    // to the parser: it is rare, and an error in any case.
                    at += 2;
                    if at > object.len() {
                        self.escaped = true;
                        return Ok(object.len());
                    }
                }
                Some(_) => return Err(Scan::ControlCharacter(at)),
            }
        }
    }
}

/// Returns whether a value may follow these bytes, which begin an object.
fn value_may_start(before: &[u8]) -> bool {
    let last = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    matches!(last, Some(b':' | b',' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Scan {
        let whole = Scanner::default().scan(text.as_bytes(), 0);
        let mut scanner = Scanner::default();
        let by_byte = (0..text.len())
            .map(|at| scanner.scan(&text.as_bytes()[..=at], at))
            .find(|found| *found != Scan::Unfinished);
        assert_eq!(whole, by_byte.unwrap_or(Scan::Unfinished), "{text}");
        whole
    }

    #[test]
    fn an_object_ends_with_its_own_bracket() {
        for object in [
            "{}",
            r#"{"a": [{}, [{"b": "}]"}]], "c": "\\"}"#,
            r#"{"long enough for two words \" and }": "\"\\\"", "é}": "\u007d"}"#,
            "{\r\n  \"a\":\r\n  {\r\n  }\r\n}",
        ] {
            assert_eq!(scan(&format!("{object} {{}}")), Scan::End(object.len()), "{object}");
            for end in 0..object.len() {
                if object.is_char_boundary(end) {
                    assert_eq!(scan(&object[..end]), Scan::Unfinished, "{object} to {end}");
                }
            }
        }
    }

    #[test]
    fn damage_is_found_where_the_next_message_starts() {
        assert_eq!(scan("{\"return\": \"abc\n{}"), Scan::ControlCharacter(15));
        assert_eq!(scan("{\"return\": 1\n{}"), Scan::Misplaced(13));
        assert_eq!(scan("{\n{}"), Scan::Misplaced(2));
    }

    #[test]
    fn plain_runs_end_at_every_special_byte_and_nowhere_else() {
        for special in 0..=255_u8 {
            for at in 0..20 {
                let mut bytes = vec![b'x'; 20];
                bytes[at] = special;
                let plain = !matches!(special, b'"' | b'\\' | 0..0x20);
                assert_eq!(plain_end(&bytes, 0), if plain { 20 } else { at }, "{special} at {at}");
            }
        }
    }
}
