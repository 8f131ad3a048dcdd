//! One client of a server.

use std::fmt;
use std::sync::{Arc, MutexGuard};

use crate::peer::Peer;
use crate::session::{Closed, Session};
use crate::shared::Shared;
use crate::sync::{lock, wait};

/// One client's connection, without I/O: give it the bytes that arrive, send what it has to say.
///
/// Dropping it is the client's leaving.
pub struct Connection<M> {
    pub(crate) shared: Arc<Shared<M>>,
    pub(crate) number: u64,
    pub(crate) peer: Arc<Peer>,
}

impl<M> fmt::Debug for Connection<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Connection<M> {
    /// Takes bytes that arrived, and executes the commands that they complete.
    pub fn receive(&self, bytes: &[u8]) {
        self.session().receive(bytes);
        self.execute();
    }

    /// Takes all bytes to send; what was waiting for them to go is executed.
    #[must_use]
    pub fn take_output(&self) -> Vec<u8> {
        let output = self.session().take_output();
        self.execute();
        output
    }

    /// Whether more bytes should be read from the client: not while it leaves replies unread.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.session().wants_input()
    }

    /// Whether there is something to send.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.session().output().is_empty()
    }

    /// Why the connection has ended, if it has. Output that there is should still be sent.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.session().closed().cloned()
    }

    /// Ends the connection, as when the client is gone.
    pub fn close(&self, reason: Closed) {
        self.session().close(reason);
        self.peer.wake();
    }

    /// Has something done whenever there may be output, room for input, or an end that was not
    /// there before. It runs on whatever thread caused that, and must not call back into the
    /// server: it is for waking an event loop.
    pub fn on_change(&self, wake: impl Fn() + Send + 'static) {
        *lock(&self.peer.on_change) = Some(Box::new(wake));
    }

    /// Waits until there is something to send, and takes it. None once the connection has ended
    /// and everything is sent.
    pub(crate) fn wait_output(&self) -> Option<Vec<u8>> {
        let mut session = self.session();
        loop {
            let output = session.take_output();
            if !output.is_empty() {
                drop(session);
                // There is room for replies again.
                self.peer.wake();
                return Some(output);
            }
            if session.closed().is_some() {
                return None;
            }
            session = wait(&self.peer.changed, session);
        }
    }

    /// Waits until bytes should be read from the client, and executes what waited for room in the
    /// output. False once the connection has ended.
    pub(crate) fn wait_input(&self) -> bool {
        loop {
            self.execute();
            let session = self.session();
            if session.closed().is_some() {
                return false;
            }
            if session.wants_input() {
                return true;
            }
            if session.is_congested() {
                drop(wait(&self.peer.changed, session));
            }
        }
    }

    /// Has something done once the client has left too much unread: whoever sends to it is
    /// blocked.
    pub(crate) fn on_overflow(&self, hang_up: impl Fn() + Send + 'static) {
        let peer = Arc::downgrade(&self.peer);
        self.on_change(move || {
            let session = peer.upgrade().map(|peer| lock(&peer.session).closed().cloned());
            if let Some(Some(Closed::NotRead(_))) = session {
                hang_up();
            }
        });
    }

    fn execute(&self) {
        let _turn = lock(&self.peer.turn);
        loop {
            let request = self.session().next_request();
            let Some(request) = request else { break };
            self.shared.execute(request, &self.peer);
            self.peer.wake();
        }
        // The protocol's own replies need no request.
        self.peer.wake();
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.peer.session)
    }
}

impl<M> Drop for Connection<M> {
    fn drop(&mut self) {
        self.shared.forget(self.number);
    }
}
