//! A guest agent: finding out which answer is to what.
//!
//! Nobody greets, and no reply says which command it is to. An earlier client may have left
//! commands that are answered now, or half a command. So the first command has a number in it
//! that only its own reply can have, and whatever comes before that is not for us:
//! `guest-sync-delimited`, or `guest-sync` where the agent is too old for it. The same brings us
//! back in step after a call was given up. It is repeated, since an agent that is not running, or
//! is about to be restarted, may never hear of it.

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

    /// It is sent now, and so again if it is not answered for a while.
    pub(super) fn repeat_after(&mut self, now: Instant) {
        self.again = now.checked_add(AGAIN);
    }
}

impl Machine {
    pub(super) fn start_sync(&mut self) {
        self.state = State::Syncing;
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
    pub(super) fn get_in_step(&mut self, now: Instant) {
        if !self.is_agents() {
            return;
        }
        match (&self.state, self.sync_deadline()) {
            (State::Ready, _) if self.calls.forget_abandoned() => {
                self.sync.repeat_after(now);
                self.start_sync();
            }
            (State::Syncing, Some(again)) if again <= now => {
                self.sync.repeat_after(now);
                // Of a peer that takes nothing, more would only wait for it.
                if self.output.is_empty() {
                    self.start_sync();
                }
            }
            _ => {}
        }
    }

    /// When it is to be sent again, for as long as somebody waits for what follows it.
    pub(super) fn sync_deadline(&self) -> Option<Instant> {
        let awaited = self.greeting_deadline.is_some() || self.calls.any_waiting();
        let repeated = awaited && matches!(self.state, State::Syncing);
        repeated.then_some(self.sync.again).flatten()
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
