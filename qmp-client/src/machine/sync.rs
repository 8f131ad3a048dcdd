//! A guest agent: finding out which answer is to what.
//!
//! Nobody greets, and no reply says which command it is to. An earlier client may have left
//! commands that are answered now, or half a command. So the first command has a number in it
//! that only its own reply can have, and whatever comes before that is not for us:
//! `guest-sync-delimited`, or `guest-sync` where the agent is too old for it. The same brings us
//! back in step after a call was given up. It is repeated, since an agent that is not running yet
//! may never hear of it.

use std::time::{Duration, Instant};

use qmp_types::{ErrorClass, QmpError};
use serde_json::value::RawValue;

use super::receive::Sink;
use super::{Incoming, Machine, State};

/// What ends whatever an agent, or this side, was about to read.
const DELIMITER: u8 = 0xFF;
const AGAIN: Duration = Duration::from_secs(1);

/// The synchronisation with a guest agent.
#[derive(Debug)]
pub(super) struct Sync {
    /// The number that was sent last.
    token: u64,
    /// Whether the agent is too old for `guest-sync-delimited`.
    plain: bool,
    /// When it is to be sent again.
    again: Option<Instant>,
}

impl Sync {
    pub(super) fn new(first: u64) -> Self {
        Self { token: first, plain: false, again: None }
    }
}

impl Machine {
    pub(super) fn start_sync(&mut self, now: Option<Instant>) {
        self.state = State::Syncing;
        self.sync.again = now.and_then(|now| now.checked_add(AGAIN));
        self.send_sync();
    }

    fn send_sync(&mut self) {
        self.sync.token += 1;
        let name = if self.sync.plain { "guest-sync" } else { "guest-sync-delimited" };
        let token = self.sync.token;
        let output = self.output.end();
        let start = output.len();
        output.push(DELIMITER);
        let text = format!("{{\"execute\":\"{name}\",\"arguments\":{{\"id\":{token}}}}}\n");
        output.extend_from_slice(text.as_bytes());
        self.record_output(start);
    }

    /// After a call was given up, its reply may still come, and would be taken for the next one's.
    pub(super) fn get_in_step(&mut self, now: Option<Instant>) {
        if !self.is_agents() {
            return;
        }
        match (&self.state, now, self.sync.again) {
            (State::Ready, ..) if self.calls.forget_abandoned() => self.start_sync(now),
            (State::Syncing, Some(now), Some(again)) if again <= now => self.start_sync(Some(now)),
            _ => {}
        }
    }

    pub(super) fn sync_deadline(&self) -> Option<Instant> {
        matches!(self.state, State::Syncing).then_some(self.sync.again).flatten()
    }

    /// While the right answer is looked for, everything before a delimiter is something else.
    pub(super) fn skip_to_delimiter(&mut self) {
        if matches!(self.state, State::Syncing) {
            self.framer.skip_to(DELIMITER);
        }
    }

    /// A reply that came while the right one is looked for.
    pub(super) fn take_sync(&mut self, reply: Result<&RawValue, &QmpError>, sink: Sink<'_>) {
        match reply {
            Ok(value) if value.get().parse() == Ok(self.sync.token) => {
                self.state = State::Ready;
                self.greeting_deadline = None;
                sink(Incoming::Ready);
                self.launch_waiting();
            }
            Err(error) if error.class == ErrorClass::CommandNotFound && !self.sync.plain => {
                self.sync.plain = true;
                self.send_sync();
            }
            _ => self.dropped.late_replies += 1,
        }
    }
}
