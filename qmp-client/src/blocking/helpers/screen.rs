//! What is on the screen, and what is typed.

use qmp_types::qmp::commands::SendKey;
use qmp_types::qmp::types::{KeyValue, QKeyCode, QKeyCodeWrapper};

use super::super::Client;
use crate::error::{Misuse, Result};

impl Client {
    /// What the guest's first screen shows, as the bytes of a PPM image. No file is written: QEMU
    /// gets a piece of memory to write to. The connection must be a Unix socket.
    ///
    /// # Errors
    /// QEMU has no screen, or is not given the memory.
    #[cfg(target_os = "linux")]
    pub fn screenshot(&mut self) -> Result<Vec<u8>> {
        use std::io::Read;
        use std::os::fd::AsRawFd;

        use qmp_types::qmp::commands::Screendump;
        use rustix::fs::{MemfdFlags, memfd_create};

        use crate::error::TransportError;

        let failed = |error| TransportError::new("cannot make room for a screenshot", error);
        let memory = memfd_create("screenshot", MemfdFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        let mut memory = std::fs::File::from(memory);
        // QEMU opens the set for writing alone, and takes no descriptor that can do more.
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let writer = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        self.with_descriptor(writer, |client, fdset| {
            client.execute(Screendump::new(fdset.path())).map(|_| ())
        })?;
        let mut image = Vec::new();
        memory.read_to_end(&mut image).map_err(failed)?;
        Ok(image)
    }

    /// Types a text, on a keyboard as it is in the United States: letters, digits, punctuation,
    /// space, tab and newline of ASCII.
    ///
    /// # Errors
    /// A character that this keyboard does not have: then nothing is typed. And those of
    /// [`execute`](Self::execute).
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        let keys =
            text.chars().map(|character| key(character).ok_or(Misuse::NoSuchKey { character }));
        for (shifted, name) in keys.collect::<std::result::Result<Vec<_>, _>>()? {
            let Ok(code) = name.parse::<QKeyCode>();
            let codes = shifted.then_some(QKeyCode::Shift).into_iter().chain([code]);
            let keys = codes.map(|code| KeyValue::Qcode(QKeyCodeWrapper::new(code))).collect();
            self.execute(SendKey::new(keys))?;
        }
        Ok(())
    }
}

/// Whether shift is held, and the name of the key.
fn key(character: char) -> Option<(bool, &'static str)> {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    // A key, what it types, and what it types with shift.
    const KEYS: [(&str, char, char); 13] = [
        ("minus", '-', '_'),
        ("equal", '=', '+'),
        ("bracket_left", '[', '{'),
        ("bracket_right", ']', '}'),
        ("semicolon", ';', ':'),
        ("apostrophe", '\'', '"'),
        ("grave_accent", '`', '~'),
        ("backslash", '\\', '|'),
        ("comma", ',', '<'),
        ("dot", '.', '>'),
        ("slash", '/', '?'),
        ("ret", '\n', '\n'),
        ("tab", '\t', '\t'),
    ];
    const SHIFTED_DIGITS: &str = ")!@#$%^&*(";
    if character == ' ' {
        return Some((false, "spc"));
    }
    if let Some(digit) = SHIFTED_DIGITS.find(character) {
        return Some((true, &LETTERS[26 + digit..27 + digit]));
    }
    let lower = character.to_ascii_lowercase();
    if let Some(at) = LETTERS.find(lower) {
        return Some((lower != character, &LETTERS[at..=at]));
    }
    KEYS.iter()
        .find(|(_, plain, shifted)| [*plain, *shifted].contains(&character))
        .map(|(name, plain, _)| (*plain != character, *name))
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn ascii_is_on_the_keyboard() {
        for character in (' '..='~').chain(['\n', '\t']) {
            assert!(key(character).is_some(), "{character:?}");
        }
        assert_eq!(key('a'), Some((false, "a")));
        assert_eq!(key('A'), Some((true, "a")));
        assert_eq!(key('%'), Some((true, "5")));
        assert_eq!(key('_'), Some((true, "minus")));
        assert_eq!(key('é'), None);
    }
}
