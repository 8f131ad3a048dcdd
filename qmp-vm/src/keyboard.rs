//! Typing.

use std::time::Duration;

use qmp_client::{Misuse, Result};
use qmp_types::qmp::commands::SendKey;
use qmp_types::qmp::types::{KeyValue, QKeyCode, QKeyCodeWrapper};

use crate::guest::{Guest, LOOK};
use crate::monitor::Monitor;

/// The time from one change of a key to the next. Guests poll a USB keyboard every 10 ms, and repeat
/// a key that is held for 250 ms.
const HOLD: Duration = Duration::from_millis(20);

pub(crate) async fn type_text<M: Monitor>(vm: &M, text: &str) -> Result<()> {
    let strokes = strokes(text)?;
    let mut guest = Guest::new(vm);
    for stroke in strokes {
        press(&mut guest, stroke, HOLD).await?;
    }
    Ok(())
}

pub(crate) async fn press_keys<M: Monitor>(
    vm: &M,
    keys: Vec<QKeyCode>,
    hold: Duration,
) -> Result<()> {
    // QEMU counts in milliseconds, and takes zero for its default.
    let hold = hold.max(Duration::from_millis(1));
    press(&mut Guest::new(vm), stroke_of(keys), hold).await
}

/// Presses the keys of a stroke and releases them, and returns when QEMU has done all of that.
async fn press<M: Monitor>(
    guest: &mut Guest<'_, M>,
    stroke: SendKey,
    hold: Duration,
) -> Result<()> {
    let changes = 2 * u32::try_from(stroke.keys.len()).unwrap_or(u32::MAX / 2);
    let stroke = stroke.hold_time(i64::try_from(hold.as_millis()).unwrap_or(i64::MAX));
    let limit = guest.limit("the guest to run while a key is pressed");
    let latency = loop {
        guest.wait_until_it_runs().await?;
        let begin = guest.vm.now();
        guest.vm.execute(stroke.clone()).await?;
        let latency = guest.vm.now().saturating_duration_since(begin);
        // The guest may have been stopped before QEMU received the command.
        if !guest.is_stopped().await? {
            break latency;
        }
        limit.pause(guest.vm, LOOK)?;
    };
    // A busy QEMU is late at each change. It needs the time to catch up, because it drops keys that
    // do not fit its queue.
    guest.read_for(hold.saturating_add(latency).saturating_mul(changes)).await
}

/// Returns the commands that type a text, one for each character.
fn strokes(text: &str) -> Result<Vec<SendKey>, Misuse> {
    text.chars().map(|character| stroke(character).ok_or(Misuse::NoSuchKey { character })).collect()
}

fn stroke(character: char) -> Option<SendKey> {
    let (shifted, name) = key(character)?;
    let Ok(code) = name.parse::<QKeyCode>();
    let codes = shifted.then_some(QKeyCode::Shift).into_iter().chain([code]);
    Some(stroke_of(codes))
}

fn stroke_of(codes: impl IntoIterator<Item = QKeyCode>) -> SendKey {
    let key = |code| KeyValue::Qcode(QKeyCodeWrapper::new(code));
    SendKey::new(codes.into_iter().map(key).collect())
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
