//! The server's side of one client.

use std::sync::{Condvar, Mutex};

use crate::session::Session;
use crate::sync::lock;

/// What the server knows of a client.
pub(crate) struct Peer {
    /// Held while commands are taken out and executed: their order is the client's.
    pub(crate) turn: Mutex<()>,
    pub(crate) session: Mutex<Session>,
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

    /// Tells whoever waits for output, for room or for the end. No session may be locked.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
        if let Some(on_change) = &*lock(&self.on_change) {
            on_change();
        }
    }
}
