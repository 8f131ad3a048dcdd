//! A client of a server.

use std::fmt;
use std::sync::{Arc, MutexGuard};

use crate::peer::Peer;
use crate::session::{CloseReason, Session};
use crate::shared::Shared;
use crate::sync::{lock, wait};

/// One client's connection, without I/O: pass it the bytes that arrive, and send its output.
///
/// Dropping the connection removes the client from the server.
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
    /// Processes bytes from the client, and executes the commands that they complete.
    pub fn receive(&self, bytes: &[u8]) {
        self.session().receive(bytes);
        self.execute_pending();
    }

    /// Takes all bytes to send, then executes the commands that were waiting for room in the output.
    #[must_use]
    pub fn take_output(&self) -> Vec<u8> {
        let output = self.session().take_output();
        self.execute_pending();
        output
    }

    /// Returns whether more bytes should be read from the client. This is false while the client
    /// leaves replies unread.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.session().wants_input()
    }

    /// Returns whether there are bytes to send.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.session().output().is_empty()
    }

    /// Returns the reason why the connection has ended, if it has. Remaining output should still be
    /// sent.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.session().closed().cloned()
    }

    /// Ends the connection, for example because the client has disconnected.
    pub fn close(&self, reason: CloseReason) {
        self.session().close(reason);
        self.peer.wake();
    }

    /// Sets a callback for waking an event loop. The connection calls it whenever there may be new
    /// output or room for input, and when the connection ends.
    ///
    /// The callback runs on the thread that caused the change, and must not call back into the
    /// server. A later callback replaces the earlier one.
    pub fn on_change(&self, wake: impl Fn() + Send + 'static) {
        *lock(&self.peer.on_change) = Some(Box::new(wake));
    }

    /// Waits until there are bytes to send, and takes them. Returns `None` once the connection has
    /// ended and all its output has been taken.
    pub(crate) fn wait_output(&self) -> Option<Vec<u8>> {
        let mut session = self.session();
        loop {
            let output = session.take_output();
            if !output.is_empty() {
                drop(session);
                // The output has room for replies again.
                self.peer.wake();
                return Some(output);
            }
            if session.closed().is_some() {
                return None;
            }
            session = wait(&self.peer.changed, session);
        }
    }

    /// Waits until bytes should be read from the client, and executes the commands that were
    /// waiting for room in the output. Returns false once the connection has ended.
    pub(crate) fn wait_input(&self) -> bool {
        loop {
            self.execute_pending();
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

    /// Sets a callback for when the client has left too much output unread. It has to unblock the
    /// thread that is sending to the client.
    pub(crate) fn on_overflow(&self, hang_up: impl Fn() + Send + 'static) {
        let peer = Arc::downgrade(&self.peer);
        self.on_change(move || {
            let reason = peer.upgrade().and_then(|peer| lock(&peer.session).closed().cloned());
            if let Some(CloseReason::OutputOverflow(_)) = reason {
                hang_up();
            }
        });
    }

    fn execute_pending(&self) {
        let _turn = lock(&self.peer.turn);
        loop {
            let request = self.session().next_request();
            let Some(request) = request else { break };
            self.shared.execute(request, &self.peer);
            self.peer.wake();
        }
        // The session may have replied to messages that did not become requests.
        self.peer.wake();
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.peer.session)
    }
}

impl<M> Drop for Connection<M> {
    fn drop(&mut self) {
        self.shared.remove_peer(self.number);
    }
}
