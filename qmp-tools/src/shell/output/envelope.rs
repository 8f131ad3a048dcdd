//! The lines of the output `jsonl`, a contract that programs may rely on.
//!
//! Standard output has nothing else: one JSON object per line, and every line is complete when it is
//! written. The member `type` tells the kind of the line:
//!
//! ```json
//! {"type": "reply", "command": "query-name", "line": 3, "id": 7, "time": 1732.5, "return": {}}
//! {"type": "error", "command": "stop", "line": 4, "time": 1732.6, "error": {"kind": "server", "class": "GenericError", "desc": "not now"}}
//! {"type": "event", "event": "STOP", "time": 1732.7, "timestamp": {"seconds": 1732, "microseconds": 690000}, "data": {}}
//! ```
//!
//! | member | in | value |
//! | --- | --- | --- |
//! | `command` | replies, errors | the command's name; absent if the statement has none, as where it is invalid |
//! | `file` | replies, errors | the script, as it was named; absent if the statement is not from a file |
//! | `line` | replies, errors | the statement's first line in its script, from 1, or its number among those of `-c`; absent at a prompt |
//! | `id` | replies, errors | the `id` that a statement in JSON gave; absent if it gave none |
//! | `late` | replies, errors | `true` if the reply came after the wait for it had ended; otherwise absent |
//! | `time` | all | when this program received it, in seconds since 1970, with a fraction |
//! | `return` | replies | the value that the command returned, as the server wrote it |
//! | `error` | errors | `kind` and `desc`, and of the kind `server` also `class` |
//! | `event` | events | its name |
//! | `timestamp` | events | when it happened, by the server's clock; `-1` is unknown |
//! | `data` | events | its data; an empty object if it has none |
//!
//! Each statement that is a command or a `wait` gives one `reply` or one `error`, in the order of the
//! statements, except those that are late. The reply to a `wait` is the event, as on the wire. The
//! kinds of errors are `syntax`, `server`, `human`, `timeout`, `connection` and `other`. New versions
//! may add members and kinds; what is described here stays.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use qmp_client::{QmpError, RawEvent};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::event::Time;
use super::{Failure, Origin, layout};

/// A line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Envelope<'e> {
    Reply {
        #[serde(flatten)]
        origin: Cause<'e>,
        time: f64,
        #[serde(rename = "return")]
        value: &'e RawValue,
    },
    Error {
        #[serde(flatten)]
        origin: Cause<'e>,
        time: f64,
        error: Fault<'e>,
    },
    Event {
        event: &'e str,
        time: f64,
        timestamp: Time,
        data: &'e RawValue,
    },
}

/// The members that say where a reply is from.
#[derive(Serialize)]
pub(super) struct Cause<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'e Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
}

#[derive(Serialize)]
pub(super) struct Fault<'e> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'e str>,
    desc: &'e str,
}

impl<'e> Cause<'e> {
    fn new(origin: &'e Origin) -> Self {
        Self {
            command: origin.command.as_deref(),
            file: origin.file.as_deref(),
            line: origin.line,
            id: origin.id.as_ref(),
            late: origin.is_late,
        }
    }
}

impl<'e> Envelope<'e> {
    pub(super) fn reply(origin: &'e Origin, value: &'e RawValue) -> Self {
        Self::Reply { origin: Cause::new(origin), time: 0.0, value }
    }

    pub(super) fn error(origin: &'e Origin, failure: &'e Failure<'_>) -> Self {
        let error = Fault {
            kind: failure.kind.as_str(),
            class: failure.error.map(|error| error.class.as_str()),
            desc: failure.error.map_or(&failure.message, |error| &error.desc),
        };
        Self::Error { origin: Cause::new(origin), time: 0.0, error }
    }

    pub(super) fn event(event: &'e RawEvent) -> Self {
        Self::Event {
            event: &event.name,
            time: 0.0,
            timestamp: Time::new(event.timestamp),
            data: event.data.as_deref().unwrap_or_else(|| empty()),
        }
    }

    /// Returns the line, without a line feed, for something that was received now.
    pub(super) fn line(mut self, now: SystemTime) -> io::Result<String> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        match &mut self {
            Self::Reply { time, .. } | Self::Error { time, .. } | Self::Event { time, .. } => {
                #[allow(clippy::cast_precision_loss)] // microseconds of today fit
                let seconds = now as f64 / 1e6;
                *time = seconds;
            }
        }
        Ok(layout::compact(&to_raw_value(&self)?))
    }
}

fn empty() -> &'static RawValue {
    // A literal.
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}

/// Returns a reply as on the wire, on one line.
pub(super) fn wire_reply(origin: &Origin, value: &RawValue) -> io::Result<String> {
    #[derive(Serialize)]
    struct Reply<'e> {
        #[serde(rename = "return")]
        value: &'e RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'e Value>,
    }
    Ok(layout::compact(&to_raw_value(&Reply { value, id: origin.id.as_ref() })?))
}

/// Returns an error as on the wire, on one line.
pub(super) fn wire_error(origin: &Origin, error: &QmpError) -> io::Result<String> {
    #[derive(Serialize)]
    struct Reply<'e> {
        error: &'e QmpError,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'e Value>,
    }
    Ok(layout::compact(&to_raw_value(&Reply { error, id: origin.id.as_ref() })?))
}
