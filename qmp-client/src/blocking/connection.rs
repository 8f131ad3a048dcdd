//! The loop: a machine, a transport, and what arrived for later.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::error::{Closed, End, Error};
use crate::events::{EventCapacity, EventQueue};
use crate::machine::{CallId, Incoming, Machine};
use crate::transport::Transport;

/// So much memory stays between two calls.
const KEPT: usize = 64 * 1024;

/// After the peer has refused a write, it is read so often to hear why.
const LAST_READS: usize = 64;

/// What became of an attempt to write.
enum Written {
    /// Some bytes went out.
    Some,
    /// There was no room, and something was received instead.
    Received,
    /// There was no room, and nothing to be received.
    Nothing,
    /// The connection is ending.
    Failed,
}

/// A watch that waits for no message.
pub(super) fn keep_all(incoming: Incoming<'_>) -> Option<Incoming<'_>> {
    Some(incoming)
}

/// Looks at a message before it is kept for later, and keeps it from that by not returning it.
pub(super) type Watch<'w> = &'w mut dyn for<'m> FnMut(Incoming<'m>) -> Option<Incoming<'m>>;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) machine: Machine,
    transport: Box<dyn Transport>,
    pub(super) events: EventQueue,
    /// Replies to calls with a ticket.
    replies: Vec<(CallId, Result<Box<RawValue>, Error>)>,
    pub(super) unwanted: Arc<Unwanted>,
}

/// Calls whose ticket was dropped. The client learns of them at its next turn.
#[derive(Debug, Default)]
pub(super) struct Unwanted {
    any: AtomicBool,
    ids: Mutex<Vec<CallId>>,
}

impl Unwanted {
    pub(super) fn push(&self, id: CallId) {
        self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(id);
        self.any.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<CallId> {
        if !self.any.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Connection {
    pub(super) fn new(
        machine: Machine,
        transport: Box<dyn Transport>,
        events: EventCapacity,
    ) -> Self {
        Self {
            machine,
            transport,
            events: EventQueue::new(events),
            replies: Vec::new(),
            unwanted: Arc::default(),
        }
    }

    /// Whether descriptors can travel with a command.
    pub(super) fn passes_descriptors(&self) -> bool {
        self.transport.passes_descriptors()
    }

    /// Why nothing more will come, as an error.
    pub(super) fn closed(&self) -> Option<Error> {
        self.machine.ended().map(|end| Closed::new(None, end).into())
    }

    /// Waits for the reply to a call and shows it to `taker`.
    pub(super) fn await_reply(
        &mut self,
        id: CallId,
        now: Instant,
        taker: &mut dyn FnMut(Result<&RawValue, Error>),
    ) {
        if let Some(index) = self.replies.iter().position(|(kept, _)| *kept == id) {
            let (_, result) = self.replies.swap_remove(index);
            return match result {
                Ok(value) => taker(Ok(&value)),
                Err(error) => taker(Err(error)),
            };
        }
        let done = Cell::new(false);
        self.run(now, None, &done, &mut |incoming| match incoming {
            Incoming::Reply { id: answered, result } if answered == id => {
                done.set(true);
                taker(result);
                None
            }
            other => Some(other),
        });
    }

    /// Sends what is to be sent. What the peer does not take in time stays for later.
    pub(super) fn flush(&mut self, mut now: Instant, until: Option<Instant>) {
        while !self.machine.output().is_empty() && !is_past(until, now) {
            if !matches!(self.write(timeout(now, until)), Written::Some) {
                self.keep(&Cell::new(false), &mut keep_all);
            }
            if !self.machine.output().is_empty() {
                now = Instant::now();
            }
        }
    }

    /// Takes what has already arrived. If more keeps coming, it stops at `until`.
    pub(super) fn take_arrived(&mut self, until: Option<Instant>) {
        while self.read(Some(Duration::ZERO)) {
            self.keep(&Cell::new(false), &mut keep_all);
            if is_past(until, Instant::now()) {
                break;
            }
        }
    }

    /// Sends and receives until `watch` has set `done`, the connection has ended, or `until`.
    pub(super) fn run(
        &mut self,
        mut now: Instant,
        until: Option<Instant>,
        done: &Cell<bool>,
        watch: Watch<'_>,
    ) {
        for id in self.unwanted.take() {
            self.machine.abandon(id, now);
            self.replies.retain(|(kept, _)| *kept != id);
        }
        self.keep(done, watch);
        while !done.get() && self.machine.ended().is_none() {
            let before = self.machine.deadline().into_iter().chain(until).min();
            self.turn(timeout(now, before));
            self.keep(done, watch);
            if done.get() {
                break;
            }
            now = Instant::now();
            self.machine.expire(now);
            self.keep(done, watch);
            if is_past(until, now) {
                break;
            }
        }
        self.machine.release(KEPT);
    }

    /// Gives messages to `watch`, and keeps those that it gives back.
    fn keep(&mut self, done: &Cell<bool>, watch: Watch<'_>) {
        let Self { machine, events, replies, .. } = self;
        machine.drain(&mut |incoming| {
            // What comes behind the awaited message in the same read is not for the watch.
            let incoming = if done.get() { Some(incoming) } else { watch(incoming) };
            match incoming {
                Some(Incoming::Event { name, data, timestamp }) => {
                    events.push(&name, data, timestamp);
                }
                Some(Incoming::Reply { id, result }) => {
                    replies.push((id, result.map(RawValue::to_owned)));
                }
                _ => {}
            }
        });
    }

    /// Writes if there is something to write, and reads once when that is through.
    fn turn(&mut self, timeout: Option<Duration>) {
        while !self.machine.output().is_empty() {
            match self.write(Some(Duration::ZERO)) {
                Written::Some => {}
                Written::Nothing => {
                    self.write(timeout);
                    return;
                }
                Written::Received | Written::Failed => return,
            }
        }
        self.read(timeout);
    }

    fn write(&mut self, timeout: Option<Duration>) -> Written {
        let bytes = self.machine.output();
        let written = match self.machine.descriptors() {
            [] => self.transport.write(bytes, timeout),
            descriptors => self.transport.write_with_descriptors(bytes, descriptors, timeout),
        };
        match written {
            Ok(count) => {
                self.machine.sent(count);
                Written::Some
            }
            // A peer that takes nothing may want to be rid of something first.
            Err(error) if is_wait(&error) => {
                if self.read(Some(Duration::ZERO)) {
                    Written::Received
                } else {
                    Written::Nothing
                }
            }
            Err(error) => {
                // The peer may have said why before it closed: as much as a socket holds.
                for _ in 0..LAST_READS {
                    if !self.read(Some(Duration::ZERO)) {
                        break;
                    }
                }
                self.machine.end(match error.kind() {
                    io::ErrorKind::BrokenPipe => End::Eof,
                    _ => End::Transport(error),
                });
                Written::Failed
            }
        }
    }

    /// Whether something was received.
    fn read(&mut self, timeout: Option<Duration>) -> bool {
        match self.transport.read(self.machine.spare(), timeout) {
            Ok(0) => self.machine.end(End::Eof),
            Ok(count) => {
                self.machine.filled(count);
                return true;
            }
            Err(error) if is_wait(&error) => {}
            Err(error) => self.machine.end(End::Transport(error)),
        }
        false
    }
}

fn is_wait(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

fn timeout(now: Instant, until: Option<Instant>) -> Option<Duration> {
    until.map(|at| at.saturating_duration_since(now))
}

fn is_past(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|at| at <= now)
}
