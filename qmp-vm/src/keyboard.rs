//! Typing.

use qmp_client::{Misuse, Result};
use qmp_types::qmp::commands::SendKey;
use qmp_types::qmp::types::{KeyValue, QKeyCode, QKeyCodeWrapper};

use crate::monitor::Monitor;

pub(crate) async fn type_text<M: Monitor>(vm: &M, text: &str) -> Result<()> {
    for stroke in strokes(text)? {
        vm.execute(stroke).await?;
    }
    Ok(())
}

/// Returns the commands that type a text, one for each character.
fn strokes(text: &str) -> Result<Vec<SendKey>, Misuse> {
    text.chars().map(|character| stroke(character).ok_or(Misuse::NoSuchKey { character })).collect()
}

fn stroke(character: char) -> Option<SendKey> {
    let (shifted, name) = key(character)?;
    let Ok(code) = name.parse::<QKeyCode>();
    let codes = shifted.then_some(QKeyCode::Shift).into_iter().chain([code]);
    Some(SendKey::new(codes.map(|code| KeyValue::Qcode(QKeyCodeWrapper::new(code))).collect()))
}

/// Returns whether shift is held, and the name of the key.
fn key(character: char) -> Option<(bool, &'static str)> {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    // A key, its character, and its character with shift.
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
    fn all_of_ascii_can_be_typed() {
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
