//! The server's record of a client.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::client::Client;
use crate::session::Session;
use crate::sync::lock;

/// The part of a connection that the server uses to send and to wake.
pub(crate) struct Peer {
    pub(crate) client: Client,
    session: Mutex<Session>,
    on_change: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn new(client: Client, session: Session) -> Self {
        Self { client, session: Mutex::new(session), on_change: Mutex::new(None) }
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    pub(crate) fn set_on_change(&self, on_change: Arc<dyn Fn() + Send + Sync>) {
        *lock(&self.on_change) = Some(on_change);
    }

    /// Tells the owner of the connection if it has something to do. The calling thread must not
    /// hold any lock: the owner may call back.
    pub(crate) fn notify(&self) {
        if !self.session().take_changed() {
            return;
        }
        let on_change = lock(&self.on_change).clone();
        if let Some(on_change) = on_change {
            on_change();
        }
    }
}
