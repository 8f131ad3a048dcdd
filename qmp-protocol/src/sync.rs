//! Synchronization with a guest agent.
//!
//! An agent sends no greeting, and its replies do not say which command they answer. An earlier
//! client may have left commands that are answered now, or half a command. So the first command
//! carries a number that only its own reply can contain, and whatever arrives before that reply is
//! not for this client: `guest-sync-delimited`, or `guest-sync` where the agent is too old for it.
//! The same command restores the order after a call was abandoned. It is repeated, since an agent
//! that is not running, or is about to be restarted, may never see it.

use std::time::{Duration, Instant};

use qmp_types::{ErrorClass, QmpError};
use serde_json::value::RawValue;

use crate::id::CallId;

/// The byte that ends whatever the agent, or this side, was reading.
pub(crate) const DELIMITER: u8 = 0xFF;
/// The time after which an unanswered synchronization is repeated.
const REPEAT: Duration = Duration::from_secs(1);

/// The state of the synchronization.
#[derive(Debug)]
pub(crate) struct Sync {
    /// The number that was sent last.
    token: u64,
    /// Whether the agent is too old for `guest-sync-delimited`.
    plain: bool,
    /// When the command is repeated.
    repeat_at: Option<Instant>,
}

/// The meaning of a reply while the right one is awaited.
#[derive(Debug)]
pub(crate) enum Synced {
    /// The right one.
    Yes,
    /// The agent does not have the command: the older one must be tried.
    TryPlain,
    /// An answer to an earlier command.
    No,
}

impl Sync {
    pub(crate) fn new(first: u64) -> Self {
        Self { token: first, plain: false, repeat_at: None }
    }

    /// Schedules the repetition of a command that is sent now.
    pub(crate) fn repeat_after(&mut self, now: Instant) {
        self.repeat_at = now.checked_add(REPEAT);
    }

    /// Repeats nothing before [`repeat_after`](Self::repeat_after).
    pub(crate) fn forget_repeat(&mut self) {
        self.repeat_at = None;
    }

    pub(crate) fn repeat_at(&self) -> Option<Instant> {
        self.repeat_at
    }

    /// Appends the command, with a new number, after a delimiter.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) {
        self.token = self.token.wrapping_add(1);
        let name = if self.plain { "guest-sync" } else { "guest-sync-delimited" };
        let token = self.token;
        out.push(DELIMITER);
        let text = format!("{{\"execute\":\"{name}\",\"arguments\":{{\"id\":{token}}}}}\n");
        out.extend_from_slice(text.as_bytes());
    }

    /// Examines a reply.
    pub(crate) fn check(&mut self, reply: Result<&RawValue, &QmpError>) -> Synced {
        match reply {
            Ok(value)
                if CallId::from_json(value.get()) == Some(CallId::from_number(self.token)) =>
            {
                Synced::Yes
            }
            Err(error) if error.class == ErrorClass::CommandNotFound && !self.plain => {
                self.plain = true;
                Synced::TryPlain
            }
            _ => Synced::No,
        }
    }
}
