//! Typing.

use std::time::Duration;

use qmp_client::{Error, Misuse, Result};
use qmp_types::qmp::commands::{QueryStatus, SendKey};
use qmp_types::qmp::events::{Resume, Stop};
use qmp_types::qmp::types::{KeyValue, QKeyCode, QKeyCodeWrapper};

use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::session::Events;

/// The time from one change of a key to the next. Guests poll a USB keyboard every 10 ms, and repeat
/// a key that is held for 250 ms.
const HOLD: Duration = Duration::from_millis(20);

/// The longest pause between two looks at a guest that does not run.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn type_text<M: Monitor>(vm: &M, text: &str) -> Result<()> {
    let strokes = strokes(text)?;
    let mut guest = Guest::new(vm);
    for stroke in strokes {
        guest.press(stroke).await?;
    }
    Ok(())
}

/// The number of events that are read before the next command.
const MOST_EVENTS: usize = 1000;

/// A guest that is typed to. QEMU drops the keys for one that does not run.
struct Guest<'a, M: Monitor> {
    vm: &'a M,
    changes: M::Events,
    /// Whether the guest runs; `None` if that has to be queried.
    runs: Option<bool>,
}

impl<'a, M: Monitor> Guest<'a, M> {
    fn new(vm: &'a M) -> Self {
        let changes = vm.subscribe(|event| event.is::<Stop>() || event.is::<Resume>());
        Self { vm, changes, runs: None }
    }

    /// Presses the keys of a stroke and releases them, and returns when QEMU has done all of that.
    async fn press(&mut self, stroke: SendKey) -> Result<()> {
        let changes = 2 * u32::try_from(stroke.keys.len()).unwrap_or(u32::MAX / 2);
        let hold = i64::try_from(HOLD.as_millis()).unwrap_or(i64::MAX);
        let stroke = stroke.hold_time(hold);
        let limit = self.limit("the guest to run while a key is pressed");
        let latency = loop {
            self.wait_until_it_runs().await?;
            let begin = self.vm.now();
            self.vm.execute(stroke.clone()).await?;
            let latency = self.vm.now().saturating_duration_since(begin);
            // The guest may have been stopped before QEMU received the command.
            self.hear().await?;
            if self.runs != Some(false) {
                break latency;
            }
            limit.pause(self.vm, LOOK)?;
        };
        let limit = self.limit("the guest to run while a key is released");
        loop {
            // A busy QEMU is late at each change. It needs the time to catch up, because it drops
            // keys that do not fit its queue.
            self.vm.pause((HOLD + latency).saturating_mul(changes)).await;
            // The keys of a guest that was stopped meanwhile stay in the queue until it goes on.
            if !self.hear().await? {
                return Ok(());
            }
            limit.pause(self.vm, LOOK)?;
            self.wait_until_it_runs().await?;
        }
    }

    /// Returns the limit of a wait for the guest, or for an end of its stopping and running.
    fn limit(&self, state: &'static str) -> Limit {
        Limit::new(self.vm, self.vm.options().call_within("send-key"), state)
    }

    async fn wait_until_it_runs(&mut self) -> Result<()> {
        let limit = self.limit("the guest to run, because only then can it read keys");
        loop {
            self.hear().await?;
            if self.runs == Some(true) {
                return Ok(());
            }
            let status = limit.execute(self.vm, QueryStatus::new()).await?;
            self.runs = Some(status.running);
            // An event may be older than the reply, or newer.
            if self.hear().await? {
                self.runs = None;
            } else if !status.running {
                self.vm.pause(limit.pause(self.vm, LOOK)?).await;
            }
        }
    }

    /// Reads the events that have arrived, and returns whether any has.
    async fn hear(&mut self) -> Result<bool> {
        let mut heard = false;
        // A peer may send events without end.
        for _ in 0..MOST_EVENTS {
            let Some(event) = self.changes.next_within(Duration::ZERO).await else { break };
            match event {
                Ok(event) => self.runs = Some(event.is::<Resume>()),
                Err(Error::Lagged(_)) => self.runs = None,
                Err(error) if error.is_timeout() => break,
                Err(error) => return Err(error),
            }
            heard = true;
        }
        Ok(heard)
    }
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
