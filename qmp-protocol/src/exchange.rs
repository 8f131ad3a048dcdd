//! The outgoing half of a connection: commands to the output, and the table of their calls.

use std::sync::Arc;
use std::time::Instant;

use crate::call::{Call, QueuedCall};
use crate::calls::Calls;
use crate::encode::{Kind, LINE_END, LastPlain, Name, WriteArguments, encode};
use crate::error::{Error, Misuse, ProtocolError};
use crate::garbage::Garbage;
use crate::id::CallId;
use crate::output::Output;
use crate::recorder::Recorder;
use crate::submission::Submission;

/// The number of file descriptors that QEMU accepts with one command. It drops any others.
const MOST_DESCRIPTORS: usize = 16;

/// Commands, their calls, and the output that they are written to.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) calls: Calls,
    pub(crate) output: Output,
    pub(crate) recorder: Recorder,
    last_plain: LastPlain,
    /// The number of in-band commands that may be in flight at once.
    window: usize,
    /// The settings from before commands were executed one at a time: the window, and `oob`.
    restored: Option<(usize, bool)>,
    /// Whether commands have an id.
    has_ids: bool,
    /// Whether the server returns it.
    returns_ids: bool,
    /// Whether commands may be sent; until then, they are queued.
    pub(crate) open: bool,
    /// Whether out-of-band execution has been negotiated.
    pub(crate) oob: bool,
}

impl Exchange {
    pub(crate) fn new(window: usize, has_ids: bool) -> Self {
        Self {
            calls: Calls::new(),
            output: Output::default(),
            recorder: Recorder::default(),
            last_plain: LastPlain::default(),
            window,
            restored: None,
            has_ids,
            returns_ids: has_ids,
            open: false,
            oob: false,
        }
    }

    /// Executes one command at a time from now on, so that replies without an id can be told apart.
    pub(crate) fn execute_one_by_one(&mut self) {
        self.restored = Some((self.window, self.oob));
        (self.returns_ids, self.window, self.oob) = (false, 1, false);
    }

    /// Executes several commands at a time again: the server returns ids after all.
    pub(crate) fn expect_ids(&mut self) {
        if let Some((window, oob)) = self.restored.take() {
            (self.returns_ids, self.window, self.oob) = (true, window, oob);
        }
    }

    pub(crate) fn returns_ids(&self) -> bool {
        self.returns_ids
    }

    pub(crate) fn submit(&mut self, submission: Submission<'_>) -> Result<CallId, Error> {
        let Submission { name, kind, success_response, arguments, deadline, descriptors } =
            submission;
        // Before the negotiation it is unknown whether the command may be sent: it is queued.
        if kind == Kind::OutOfBand && self.open && !self.oob {
            return Err(Misuse::OobNotEnabled { command: name }.into());
        }
        if descriptors.len() > MOST_DESCRIPTORS {
            return Err(Misuse::TooManyDescriptors { command: name }.into());
        }
        let id = self.calls.next_id();
        let output = self.output.end();
        let (start, text) = (output.len(), self.last_plain.name(&name));
        if let Err(error) = encode(output, text, kind, self.has_ids.then_some(id), arguments) {
            output.truncate(start);
            return Err(Misuse::Arguments { command: name, error }.into());
        }
        let call = Call {
            id,
            name,
            kind,
            success_response,
            has_descriptors: !descriptors.is_empty(),
            deadline,
            end: 0,
            abandoned: false,
            possible_reply: None,
        };
        if self.open && self.calls.may_send(&call, self.window) {
            self.recorder.record_output(&mut self.output, start);
            self.output.attach(start, descriptors);
            self.add_in_flight(call);
        } else {
            let text = self.output.end().split_off(start).into();
            self.calls.enqueue(QueuedCall { call, text, descriptors });
        }
        Ok(id)
    }

    /// Writes `qmp_capabilities`.
    pub(crate) fn negotiate(&mut self, id: CallId, oob: bool) {
        let arguments = |out: &mut Vec<u8>| {
            out.extend_from_slice(br#"{"enable":["oob"]}"#);
            Ok(())
        };
        let arguments = oob.then_some(WriteArguments(&arguments));
        self.write(|out| {
            // Writing these bytes cannot fail.
            let _ = encode(out, Name::new("qmp_capabilities"), Kind::InBand, Some(id), arguments);
        });
    }

    /// Writes a command that no server has.
    pub(crate) fn probe(&mut self, id: CallId, name: &str) {
        self.write(|out| {
            // Writing these bytes cannot fail.
            let _ = encode(out, Name::new(name), Kind::InBand, Some(id), None);
        });
    }

    /// Writes a message that is not the command of a call.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.output.end().len();
        write(self.output.end());
        self.recorder.record_output(&mut self.output, start);
    }

    /// Sends queued commands, as far as the window allows.
    pub(crate) fn send_queued(&mut self) {
        if !self.open {
            return;
        }
        while let Some(queued) = self.calls.dequeue(self.window) {
            if queued.call.kind == Kind::OutOfBand && !self.oob {
                let command = queued.call.name.clone();
                self.calls.fail(&queued.call, Misuse::OobNotEnabled { command }.into());
                continue;
            }
            self.send(queued);
        }
    }

    pub(crate) fn send(&mut self, queued: QueuedCall) {
        let QueuedCall { call, text, descriptors } = queued;
        let start = self.output.end().len();
        self.output.end().extend_from_slice(&text);
        self.recorder.record_output(&mut self.output, start);
        self.output.attach(start, descriptors);
        self.add_in_flight(call);
    }

    /// Adds a call whose command has just been appended to the output.
    fn add_in_flight(&mut self, mut call: Call) {
        // Without what ends the line, the server may execute it all the same.
        call.end = self.output.end_position() - LINE_END;
        self.calls.add_in_flight(call);
    }

    /// Removes the call that is answered by a reply with this id, and sends what follows it.
    /// `garbage_seen` says whether garbage has ever arrived on this connection.
    #[inline]
    pub(crate) fn complete(&mut self, id: Option<CallId>, garbage_seen: bool) -> Option<Call> {
        let call = id.and_then(|id| self.calls.complete(id))?;
        self.after_reply(call.id, call.kind, garbage_seen);
        Some(call)
    }

    /// Does the same for a call of which nothing but its id is needed. Returns false if its caller does
    /// not wait for the reply.
    #[inline]
    pub(crate) fn complete_awaited(&mut self, id: CallId, garbage_seen: bool) -> bool {
        let Some(kind) = self.calls.complete_awaited(id) else { return false };
        self.after_reply(id, kind, garbage_seen);
        true
    }

    #[inline]
    fn after_reply(&mut self, id: CallId, kind: Kind, garbage_seen: bool) {
        // In-band commands are answered in order: garbage that arrived while an earlier one was in
        // flight was its reply.
        if kind == Kind::InBand && garbage_seen {
            self.calls.fail_overtaken(id);
        }
        if self.calls.has_queued() {
            self.send_queued();
        }
    }

    /// Fails the call whose reply was damaged, or notes that any of them may have been. Returns
    /// whether the damaged reply was one to an abandoned call.
    pub(crate) fn damage(&mut self, garbage: Garbage, id: Option<CallId>) -> bool {
        let garbage = Arc::new(garbage);
        let mut late = false;
        match id.and_then(|id| self.calls.complete(id)) {
            Some(call) if call.abandoned => late = true,
            Some(call) => {
                let command = call.name.clone();
                self.calls.fail(&call, ProtocolError::BadReply { command, garbage }.into());
            }
            None => self.calls.note_garbage(&garbage),
        }
        self.send_queued();
        late
    }

    /// Makes room for queued commands: a call that succeeds silently and has been abandoned is
    /// never answered.
    pub(crate) fn forget_silent(&mut self) {
        if self.calls.forget_silent() {
            self.send_queued();
        }
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.calls.deadline()
    }
}
