//! The server's record of a client.

use std::sync::{Condvar, Mutex};

use crate::session::Session;
use crate::sync::lock;

/// The part of a connection that the server uses to send and to wake.
pub(crate) struct Peer {
    /// Held while commands are taken from the session and executed, which keeps them in order.
    pub(crate) turn: Mutex<()>,
    pub(crate) session: Mutex<Session>,
    /// Notified when there may be output, room for input, or an end.
    pub(crate) changed: Condvar,
    pub(crate) on_change: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Peer {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            turn: Mutex::new(()),
            session: Mutex::new(session),
            changed: Condvar::new(),
            on_change: Mutex::new(None),
        }
    }

    /// Wakes the threads and the event loop that wait for output, for room or for the end. The
    /// calling thread must not hold the lock of a session.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
        if let Some(on_change) = &*lock(&self.on_change) {
            on_change();
        }
    }
}
