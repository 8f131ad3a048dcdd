//! The part of a connection that only guest agents need.

use std::time::Instant;

use qmp_types::QmpError;
use serde_json::value::RawValue;

use super::{Connection, Phase};
use crate::incoming::Incoming;
use crate::settings::Dialect;
use crate::sync::Synced;

impl Connection {
    pub(super) fn is_agent(&self) -> bool {
        self.settings.dialect == Dialect::Agent
    }

    pub(super) fn start_sync(&mut self) {
        self.phase = Phase::Syncing;
        self.exchange.open = false;
        self.exchange.write(|out| self.sync.write(out));
    }

    /// Synchronizes again after a call was abandoned: its reply may still arrive, and would be
    /// taken for the reply to the next command.
    pub(super) fn synchronize(&mut self, now: Instant) {
        if !self.is_agent() {
            return;
        }
        match (&self.phase, self.sync_deadline()) {
            (Phase::Ready, _) if self.exchange.calls.forget_abandoned() => {
                self.sync.repeat_after(now);
                self.start_sync();
            }
            (Phase::Syncing, _) if self.sync.repeat_at().is_none() => self.sync.repeat_after(now),
            (Phase::Syncing, Some(repeat_at)) if repeat_at <= now => {
                self.sync.repeat_after(now);
                // To a peer that takes nothing, another command would only be queued.
                if self.exchange.output.is_empty() {
                    self.start_sync();
                }
            }
            _ => {}
        }
        self.check_transcript();
    }

    /// Returns when the synchronization is repeated, while any caller waits for it. If that is not
    /// scheduled, [`expire`](Self::expire) is to be called at once to do it.
    pub(super) fn sync_deadline(&self) -> Option<Instant> {
        let awaited = !self.has_synced || self.exchange.calls.has_queued();
        let repeated = awaited && matches!(self.phase, Phase::Syncing);
        repeated.then_some(self.sync.repeat_at().or(self.latest)).flatten()
    }

    pub(super) fn take_sync<'i>(&mut self, reply: Result<&RawValue, &QmpError>) -> Incoming<'i> {
        match self.sync.check(reply) {
            Synced::Yes => {
                self.greeting_deadline = None;
                self.has_synced = true;
                return self.become_ready();
            }
            Synced::TryPlain => self.start_sync(),
            Synced::No => self.dropped.late_replies += 1,
        }
        Incoming::Dropped
    }

    pub(super) fn forget_silent(&mut self) {
        // With a guest agent, the synchronization does this.
        if !self.is_agent() {
            self.exchange.forget_silent();
            self.check_transcript();
        }
    }
}
