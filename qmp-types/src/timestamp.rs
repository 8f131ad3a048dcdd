//! The time of an event.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::Deserializer;
use serde::ser::{Serialize, Serializer};

use crate::json;
use crate::lenient::{AnyText, Decimal, numbers_in};
use crate::object;

/// The time of an event, by the server's clock.
///
/// Servers send an object. Decoding accepts any other value as well, so that no event is lost with
/// its time: a number, or text with one, is taken as seconds, and everything else as
/// [`UNKNOWN`](Self::UNKNOWN).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp {
    /// Seconds since the Unix epoch; -1 if the server could not determine the time.
    pub seconds: i64,
    /// Microseconds within the second; -1 if the server could not determine the time.
    pub microseconds: i64,
}

impl Timestamp {
    /// The timestamp of a server that could not determine the time.
    pub const UNKNOWN: Self = Self { seconds: -1, microseconds: -1 };

    /// Returns the current time.
    #[must_use]
    pub fn now() -> Self {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(-1),
                microseconds: since.subsec_micros().into(),
            },
            Err(_) => Self::UNKNOWN,
        }
    }

    /// Converts to the standard library's type. Returns `None` if the server could not determine the
    /// time.
    #[must_use]
    pub fn system_time(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let microseconds = u64::try_from(self.microseconds).ok()?;
        let since =
            Duration::from_secs(seconds).checked_add(Duration::from_micros(microseconds))?;
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    /// Reads a value of any type from its text.
    pub(crate) fn from_text(text: &str) -> Self {
        if let Some([seconds, microseconds]) = numbers_in(text, MEMBERS) {
            let microseconds = microseconds.unwrap_or(0);
            return seconds.map_or(Self::UNKNOWN, |seconds| Self { seconds, microseconds });
        }
        let text = json::string(text).unwrap_or(text.into());
        match Decimal::read(text.trim()) {
            // One that does not fit says nothing.
            Some(number) if !number.is_negative() && number.whole() < i64::MAX => {
                Self { seconds: number.whole(), microseconds: number.millionths() }
            }
            _ => Self::UNKNOWN,
        }
    }
}

/// The names of the members.
const MEMBERS: [&str; 2] = ["seconds", "microseconds"];

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::write(serializer, &MEMBERS, (&self.seconds, &self.microseconds), (), ())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyText::deserialize(deserializer).map(|AnyText(text)| Self::from_text(&text))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::{ServerMessage, decode};

    #[test]
    fn an_unknown_time_is_none() {
        assert_eq!(Timestamp::UNKNOWN.system_time(), None);
        assert!(Timestamp::now().system_time().is_some());
    }

    /// A server of another make wrote the time as a number, and all its events were lost.
    #[test]
    fn an_event_is_never_lost_with_its_time() {
        let at = |seconds, microseconds| Timestamp { seconds, microseconds };
        for (time, expected) in [
            (r#"{"seconds": 5, "microseconds": 7}"#, at(5, 7)),
            (r#"{"microseconds": 7.9, "seconds": "5"}"#, at(5, 7)),
            (r#"{"seconds": 5}"#, at(5, 0)),
            (r#"{"seconds": 4, "microseconds": 7, "seconds" : 5}"#, at(5, 7)),
            (r#"{"\u0073econds": 5, "microsecond\u0073": 7}"#, at(5, 7)),
            (r#"{"\\u0073econds": 6, "x": "seconds", "seconds": 5}"#, at(5, 0)),
            (r#"{"seconds": -1, "microseconds": -1}"#, Timestamp::UNKNOWN),
            (r#"{"seconds": null, "microseconds": [7]}"#, Timestamp::UNKNOWN),
            ("{}", Timestamp::UNKNOWN),
            ("1700000000", at(1_700_000_000, 0)),
            ("1700000000.25", at(1_700_000_000, 250_000)),
            (r#""1700000000.25""#, at(1_700_000_000, 250_000)),
            ("0.9999999", at(0, 999_999)),
            ("-3", Timestamp::UNKNOWN),
            ("-0.0", at(0, 0)),
            ("18446744073709551615", Timestamp::UNKNOWN),
            ("1e300", Timestamp::UNKNOWN),
            ("1e999", Timestamp::UNKNOWN),
            (r#"{"seconds": 1e999, "microseconds": 1}"#, at(i64::MAX, 1)),
            (r#""NaN""#, Timestamp::UNKNOWN),
            (r#""2026-01-01T00:00:00Z""#, Timestamp::UNKNOWN),
            ("null", Timestamp::UNKNOWN),
            ("true", Timestamp::UNKNOWN),
            (r#"[1, {"a": 2}]"#, Timestamp::UNKNOWN),
        ] {
            let text = format!(r#"{{"timestamp": {time}, "event": "STOP"}}"#);
            let ServerMessage::Event { timestamp, .. } = decode(&text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(timestamp, expected, "{text}");
            let Ok(value) = serde_json::from_str::<serde_json::Value>(time) else { continue };
            assert_eq!(serde_json::from_value::<Timestamp>(value).unwrap(), expected, "{time}");
        }
        let ServerMessage::Event { timestamp, .. } = decode(r#"{"event": "STOP"}"#).unwrap() else {
            panic!("an event without a time");
        };
        assert_eq!(timestamp, Timestamp::UNKNOWN);
    }
}
