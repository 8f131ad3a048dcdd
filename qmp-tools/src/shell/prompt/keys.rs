//! Decodes the bytes that a terminal sends into keys.

use std::collections::VecDeque;

/// The longest paste that is taken.
const PASTE_LIMIT: usize = 1 << 20;
/// The longest escape sequence that is looked at.
const SEQUENCE_LIMIT: usize = 32;
const PASTE_END: &[u8] = b"\x1b[201~";

/// A key, or a text that was pasted as a whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Key {
    Alt(char),
    BackTab,
    Backspace,
    Char(char),
    /// A control character, by its lowercase letter.
    Ctrl(char),
    Delete,
    Down,
    End,
    Enter,
    Escape,
    Home,
    Left,
    PageDown,
    PageUp,
    Paste(String),
    /// A paste that is longer than the limit. None of it is taken: half of a command is another one.
    PasteTooLong,
    Right,
    Tab,
    /// A key without a meaning here.
    Unknown,
    Up,
    WordLeft,
    WordRight,
}

/// Bytes that have arrived and are not decoded yet.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: VecDeque<u8>,
    /// The text of a paste whose end has not arrived.
    paste: Option<Vec<u8>>,
}

impl Keys {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Returns whether bytes are left that may be the beginning of a key.
    pub(super) fn is_pending(&self) -> bool {
        !self.bytes.is_empty() && self.paste.is_none()
    }

    /// Takes all that has arrived as it is: an escape character that nothing follows is a key.
    pub(super) fn flush(&mut self) -> Option<Key> {
        let first = self.bytes.pop_front()?;
        Some(if first == 0x1b { Key::Escape } else { Key::Unknown })
    }

    /// Returns the next key, or `None` if it has not arrived as a whole.
    pub(super) fn next(&mut self) -> Option<Key> {
        if self.paste.is_some() {
            return self.pasted();
        }
        let first = *self.bytes.front()?;
        match first {
            0x1b => self.escape(),
            0..=0x1f | 0x7f => {
                self.bytes.pop_front();
                Some(control(first))
            }
            _ => self.character(),
        }
    }

    fn pasted(&mut self) -> Option<Key> {
        let paste = self.paste.as_mut()?;
        while let Some(byte) = self.bytes.pop_front() {
            paste.push(byte);
            if byte == b'~' && paste.ends_with(PASTE_END) {
                paste.truncate(paste.len() - PASTE_END.len());
                let paste = self.paste.take().unwrap_or_default();
                if paste.len() > PASTE_LIMIT {
                    return Some(Key::PasteTooLong);
                }
                let text = String::from_utf8_lossy(&paste);
                return Some(Key::Paste(text.replace("\r\n", "\n").replace('\r', "\n")));
            }
            // Beyond the limit, only the end is of interest.
            if paste.len() > PASTE_LIMIT + 4096 {
                paste.drain(PASTE_LIMIT + 1..paste.len() - PASTE_END.len());
            }
        }
        None
    }

    fn character(&mut self) -> Option<Key> {
        let bytes: Vec<u8> = self.bytes.iter().take(4).copied().collect();
        let (valid, invalid) = match std::str::from_utf8(&bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                (std::str::from_utf8(valid).unwrap_or_default(), error.error_len())
            }
        };
        match (valid.chars().next(), invalid) {
            (Some(character), _) => {
                self.bytes.drain(..character.len_utf8());
                Some(Key::Char(character))
            }
            (None, Some(length)) => {
                self.bytes.drain(..length);
                Some(Key::Unknown)
            }
            // The rest of the character has not arrived.
            (None, None) => None,
        }
    }

    fn escape(&mut self) -> Option<Key> {
        match *self.bytes.get(1)? {
            b'[' => self.sequence(),
            b'O' => {
                let last = *self.bytes.get(2)?;
                self.bytes.drain(..3);
                Some(named(&[], last))
            }
            0x1b => {
                self.bytes.pop_front();
                Some(Key::Escape)
            }
            byte @ (0..=0x1f | 0x7f) => {
                self.bytes.drain(..2);
                Some(match byte {
                    b'\r' | b'\n' => Key::Alt('\n'),
                    0x7f | 0x08 => Key::Alt('\x08'),
                    _ => Key::Unknown,
                })
            }
            byte => {
                self.bytes.drain(..2);
                Some(if byte.is_ascii() { Key::Alt(char::from(byte)) } else { Key::Unknown })
            }
        }
    }

    /// Decodes a control sequence: numbers, and the character that ends it.
    fn sequence(&mut self) -> Option<Key> {
        let end = self.bytes.iter().skip(2).position(|byte| matches!(byte, 0x40..=0x7e));
        let Some(end) = end else {
            if self.bytes.len() > SEQUENCE_LIMIT {
                self.bytes.clear();
                return Some(Key::Unknown);
            }
            return None;
        };
        let bytes: Vec<u8> = self.bytes.drain(..end + 3).collect();
        let numbers: Vec<u32> = String::from_utf8_lossy(&bytes[2..bytes.len() - 1])
            .split(';')
            .map(|number| number.parse().unwrap_or(0))
            .collect();
        let last = *bytes.last()?;
        if last == b'~' && numbers == [200] {
            self.paste = Some(Vec::new());
            return self.pasted();
        }
        Some(named(&numbers, last))
    }
}

fn control(byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x7f | 0x08 => Key::Backspace,
        0x1b => Key::Escape,
        1..=26 => Key::Ctrl(char::from(byte - 1 + b'a')),
        0x1f => Key::Ctrl('_'),
        _ => Key::Unknown,
    }
}

/// Returns the key of a control sequence, as xterm and those that follow it send them.
fn named(numbers: &[u32], last: u8) -> Key {
    // The second number says which of Ctrl and Alt are held.
    let modified = numbers.get(1).is_some_and(|modifiers| *modifiers > 2);
    match (last, numbers.first()) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if modified => Key::WordRight,
        (b'D', _) if modified => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'F', _) | (b'~', Some(4 | 8)) => Key::End,
        (b'H', _) | (b'~', Some(1 | 7)) => Key::Home,
        (b'M', None) => Key::Enter,
        (b'Z', _) => Key::BackTab,
        (b'~', Some(3)) => Key::Delete,
        (b'~', Some(5)) => Key::PageUp,
        (b'~', Some(6)) => Key::PageDown,
        _ => Key::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        keys.feed(bytes);
        std::iter::from_fn(|| keys.next()).collect()
    }

    #[test]
    fn keys_are_decoded() {
        for (bytes, expected) in [
            (&b"a\xc3\xa9"[..], vec![Key::Char('a'), Key::Char('é')]),
            ("漢🦀".as_bytes(), vec![Key::Char('漢'), Key::Char('🦀')]),
            (b"\x03\x04\r\n\t\x7f", {
                let ends = [Key::Ctrl('c'), Key::Ctrl('d'), Key::Enter, Key::Enter];
                [&ends[..], &[Key::Tab, Key::Backspace]].concat()
            }),
            (b"\x1b[A\x1b[B\x1bOC\x1bOD", vec![Key::Up, Key::Down, Key::Right, Key::Left]),
            (b"\x1b[1;5C\x1b[1;3D", vec![Key::WordRight, Key::WordLeft]),
            (b"\x1b[Z\x1b[3~\x1b[H\x1b[4~", {
                vec![Key::BackTab, Key::Delete, Key::Home, Key::End]
            }),
            (b"\x1bb\x1b\r", vec![Key::Alt('b'), Key::Alt('\n')]),
            (b"\x1b[200~a\r\nb\rc\x1b[201~d", vec![Key::Paste("a\nb\nc".into()), Key::Char('d')]),
            (b"\xff\x80a", vec![Key::Unknown, Key::Unknown, Key::Char('a')]),
            (b"\x1b[99;99Xa", vec![Key::Unknown, Key::Char('a')]),
        ] {
            assert_eq!(decode(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    /// The bytes of a terminal may be split anywhere.
    #[test]
    fn keys_are_decoded_byte_by_byte() {
        let bytes = "a漢\x1b[1;5C\x1b[200~x\ny\x1b[201~\x1bOAz".as_bytes();
        let mut keys = Keys::default();
        let mut seen = Vec::new();
        for byte in bytes {
            keys.feed(&[*byte]);
            seen.extend(std::iter::from_fn(|| keys.next()));
        }
        assert_eq!(seen, decode(bytes));
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn a_lone_escape_is_a_key_when_nothing_follows() {
        let mut keys = Keys::default();
        keys.feed(b"\x1b");
        assert_eq!(keys.next(), None);
        assert!(keys.is_pending());
        assert_eq!(keys.flush(), Some(Key::Escape));
        assert!(!keys.is_pending());
    }

    #[test]
    fn an_endless_paste_or_sequence_takes_no_memory() {
        let mut keys = Keys::default();
        keys.feed(b"\x1b[200~");
        for _ in 0..40 {
            keys.feed(&[b'x'; 100_000]);
            assert_eq!(keys.next(), None);
        }
        assert!(keys.paste.as_ref().is_some_and(|paste| paste.len() < 2 * PASTE_LIMIT));
        keys.feed(PASTE_END);
        assert_eq!(keys.next(), Some(Key::PasteTooLong));
        keys.feed(b"\x1b[");
        keys.feed(&[b'1'; 100]);
        assert_eq!(keys.next(), Some(Key::Unknown));
    }
}
