//! Where a JSON object ends, found in one pass that can stop at any byte and go on later.
//!
//! This is no parser: it knows strings and brackets, which is all that it takes to find the end
//! of an object that is JSON. It notices two kinds of damage that would otherwise make it wait
//! for ever: a string that runs into the end of a line, and an object that starts where none may.

use qmp_types::plain_end;

/// What a look at some bytes brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scan {
    /// The object goes on behind these bytes.
    Unfinished,
    /// The object ends before this index.
    End(usize),
    /// A control character, at this index, where a string must not have one.
    ControlCharacter(usize),
    /// An opening bracket, at this index, where no value may start.
    Misplaced(usize),
}

/// The state between two looks at one object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanner {
    depth: usize,
    deepest: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// The deepest nesting of the object so far.
    pub(super) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Looks at `object[from..]`; `object` starts with the object's first byte, and what lies
    /// before `from` has been looked at.
    pub(super) fn scan(&mut self, object: &[u8], from: usize) -> Scan {
        let mut at = from;
        while at < object.len() {
            if self.in_string {
                at = match self.scan_string(object, at) {
                    Ok(behind) => behind,
                    Err(damage) => return damage,
                };
                continue;
            }
            match object[at] {
                b'"' => self.in_string = true,
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

    /// Goes on inside a string; gives the index behind it, or the end of the bytes.
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
                    // The byte behind a backslash never ends the string. A line's end there is
                    // left to the parser: it is rare, and it is an error in any case.
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

/// Whether a value may start behind these bytes, which are the beginning of an object.
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
