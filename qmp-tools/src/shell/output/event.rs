//! Events, as on the wire and on one line.

use std::io;

use qmp_client::{RawEvent, Timestamp};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::table::{bare, members};
use crate::terminal;

/// Returns an event as JSON, in the form that it has on the wire.
///
/// # Errors
/// The event cannot be written as JSON.
pub(crate) fn wire(event: &RawEvent) -> io::Result<Box<RawValue>> {
    #[derive(Serialize)]
    struct OnTheWire<'e> {
        timestamp: Time,
        event: &'e str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'e RawValue>,
    }

    let event = OnTheWire {
        timestamp: Time::new(event.timestamp),
        event: &event.name,
        data: event.data.as_deref(),
    };
    Ok(to_raw_value(&event)?)
}

/// A time stamp on the wire.
#[derive(Serialize)]
pub(super) struct Time {
    seconds: i64,
    microseconds: i64,
}

impl Time {
    pub(super) fn new(timestamp: Timestamp) -> Self {
        let Timestamp { seconds, microseconds, .. } = timestamp;
        Self { seconds, microseconds }
    }
}

/// Formats an event on one line: the time in UTC, the name, and the data.
pub(super) fn line(event: &RawEvent, color: bool) -> String {
    let (start, end) = if color { ("\x1b[1;36m", "\x1b[0m") } else { ("", "") };
    let mut line =
        format!("{}{start}{}{end}", time(event.timestamp), terminal::inline(&event.name));
    for (name, value) in event.data.as_deref().and_then(members).unwrap_or_default() {
        line += &format!(" {}={}", terminal::inline(&name), quoted(&value));
    }
    line
}

/// Formats a value as the shell's syntax has it: a string is quoted where it is not one word.
fn quoted(value: &RawValue) -> String {
    let text = bare(value);
    let is_word = !text.is_empty() && !text.contains([' ', '"', '\'', '\\']);
    let shown = if is_word { text } else { super::layout::compact(value) };
    terminal::json(&shown).into_owned()
}

fn time(timestamp: Timestamp) -> String {
    if timestamp.seconds < 0 {
        return String::new();
    }
    let day = timestamp.seconds % 86_400;
    let (hours, minutes, seconds) = (day / 3600, day / 60 % 60, day % 60);
    let milliseconds = timestamp.microseconds.clamp(0, 999_999) / 1000;
    format!("[{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}Z] ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let data = r#"{"device": "d\u001b0", "path": "/a b", "size": 10, "deep": {"x": [1]}}"#;
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let mut event = RawEvent::new("STOP".into(), Some(&data), Timestamp::UNKNOWN);
        let shown = r#"STOP device="d\u001b0" path="/a b" size=10 deep={"x": [1]}"#;
        assert_eq!(line(&event, false), shown);
        event.timestamp =
            serde_json::from_str(r#"{"seconds": 86461, "microseconds": 5000}"#).unwrap();
        event.data = None;
        assert_eq!(line(&event, true), "[00:01:01.005Z] \u{1b}[1;36mSTOP\u{1b}[0m");
    }
}
