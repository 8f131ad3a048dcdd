//! The server's record of a client.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::client::Client;
use crate::session::Session;
use crate::sync::lock;

/// The part of a connection that the server uses to send and to wake.
pub(crate) struct Peer {
    pub(crate) client: Client,
    session: Mutex<Session>,
    owner: Mutex<Owner>,
}

/// Sends bytes without waiting, and returns the number of those sent.
pub(crate) type Write = dyn Fn(&[u8]) -> io::Result<usize> + Send + Sync;

/// How the owner of the connection, which does its I/O, is told of changes.
#[derive(Default)]
struct Owner {
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Sends output in the owner's place. The owner is woken only for what is left, and for whatever
    /// else there is to do.
    write: Option<Arc<Write>>,
}

thread_local! {
    /// The peer that this thread looks at as soon as it has executed a command.
    static ATTENDED: Cell<Attended> = const { Cell::new(Attended { peer: 0, executes: None }) };
}

#[derive(Clone, Copy)]
struct Attended {
    /// The address of the peer.
    peer: usize,
    /// Whether the command is out-of-band, if other threads can look while it is executed.
    executes: Option<bool>,
}

/// The attention of a thread to a peer, until it is dropped.
#[cfg(any(unix, feature = "tokio"))]
pub(crate) struct Attention(Attended);

#[cfg(any(unix, feature = "tokio"))]
impl Drop for Attention {
    fn drop(&mut self) {
        ATTENDED.set(self.0);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn new(client: Client, session: Session) -> Self {
        Self { client, session: Mutex::new(session), owner: Mutex::default() }
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    /// Sets how the owner is told of changes: by being woken, or at first by the output being sent.
    pub(crate) fn set_owner(&self, wake: Arc<dyn Fn() + Send + Sync>, write: Option<Arc<Write>>) {
        let owner = Owner { wake: Some(wake), write };
        let earlier = std::mem::replace(&mut *lock(&self.owner), owner);
        drop(earlier);
    }

    /// Forgets the owner, which has ended the connection.
    pub(crate) fn remove_owner(&self) {
        let earlier = std::mem::take(&mut *lock(&self.owner));
        drop(earlier);
    }

    /// Tells that this thread, which is the owner, looks at the peer again as soon as it has executed
    /// a command. Until then, it needs not be woken by itself.
    #[cfg(feature = "tokio")]
    pub(crate) fn attend(&self) -> Attention {
        self.attend_with(None)
    }

    /// Tells that this thread looks at the peer again as soon as it has executed a command of this kind.
    /// Once the command is answered, it needs not be woken by itself: a handler that answers by itself
    /// returns at once, or else it delays its own client. Before, this may take long, and another thread
    /// looks.
    #[cfg(unix)]
    pub(crate) fn attend_after(&self, out_of_band: bool) -> Attention {
        self.attend_with(Some(out_of_band))
    }

    #[cfg(any(unix, feature = "tokio"))]
    fn attend_with(&self, executes: Option<bool>) -> Attention {
        let peer = std::ptr::from_ref(self).addr();
        Attention(ATTENDED.replace(Attended { peer, executes }))
    }

    /// Tells the owner of the connection if it has something to do. The calling thread must not
    /// hold any lock: the owner may call back.
    ///
    /// Returns true if this thread is the owner, which is not woken, and has more to do than to send
    /// output: it may have taken the news of another thread.
    pub(crate) fn notify(&self) -> bool {
        let mut session = self.session();
        if !session.take_changed() {
            return false;
        }
        let owner = lock(&self.owner);
        if let Some(write) = &owner.write {
            // The owner gets the same error, and ends the connection.
            let was_congested = session.is_congested();
            let is_sent = session.write_with(&**write).unwrap_or(false);
            let Attended { peer, executes } = ATTENDED.get();
            let is_attended = peer == std::ptr::from_ref(self).addr()
                && !executes.is_some_and(|out_of_band| session.is_executing(out_of_band));
            // The owner may have left messages unprocessed for lack of room. Another client's output, which
            // has gone meanwhile, may have taken it.
            let has_new_room = session.take_room() || (was_congested && !session.is_congested());
            let needs_owner = session.take_needs_owner() || has_new_room;
            if is_attended || (is_sent && !needs_owner) {
                return is_attended && needs_owner;
            }
        }
        let wake = owner.wake.clone();
        session.note_told();
        drop((owner, session));
        if let Some(wake) = wake {
            wake();
        }
        false
    }
}

#[cfg(all(test, any(unix, feature = "tokio")))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use qmp_types::{Greeting, Timestamp};

    use super::*;
    use crate::client::Identity;
    use crate::limits::Limits;
    use crate::session::Budgets;

    /// A thread that sends an event sends the replies before it, too. The owner has stopped processing
    /// messages until there is room, and used not to learn that there was.
    #[test]
    fn the_owner_learns_that_another_thread_has_made_room() {
        let limits = Limits { output_bytes: 1 << 10, ..Limits::default() };
        let mut session = Session::new(&Greeting::default(), limits);
        session.receive(b"{'execute': 'qmp_capabilities'}");
        session.receive("1 ".repeat(20).as_bytes());
        assert!(session.next_request().is_none() && session.is_congested());
        let peer = Peer::new(Client::new(0, Identity::default()), session);
        let wakes = Arc::new(AtomicUsize::new(0));
        let woken = Arc::clone(&wakes);
        let wake = move || {
            woken.fetch_add(1, Ordering::SeqCst);
        };
        peer.set_owner(Arc::new(wake), Some(Arc::new(|bytes: &[u8]| Ok(bytes.len()))));
        let send_event = || {
            peer.session().event("TICK", None, Timestamp::now());
            peer.notify();
            assert!(peer.session().output().is_empty());
            wakes.load(Ordering::SeqCst)
        };
        assert_eq!(send_event(), 1);
        // Output alone needs no owner.
        assert_eq!(send_event(), 1);
        // The owner itself looks in any case.
        assert!(peer.session().next_request().is_none() && peer.session().is_congested());
        let attention = peer.attend_with(None);
        assert_eq!(send_event(), 1);
        // It learns of what another thread has done, unless that is output alone.
        peer.session().event("TICK", None, Timestamp::now());
        assert!(!peer.notify());
        peer.session().stop();
        assert!(peer.notify() && !peer.notify());
        drop(attention);
    }

    /// The owner has left a message unprocessed because of another client's output, which has gone since.
    #[test]
    fn the_owner_learns_that_another_client_has_made_room() {
        const ECHOED: usize = 70 << 10;
        let limits = Limits { total_output_bytes: 2 * ECHOED, ..Limits::default() };
        let budgets = Budgets::new(&limits);
        let echo = format!("{{'execute': 'qmp_capabilities', 'id': '{}'}}", "x".repeat(ECHOED));
        let [other, session] = [(); 2].map(|()| {
            let mut session = Session::sharing(&budgets, &Greeting::default(), limits.clone());
            session.receive(echo.as_bytes());
            session.receive(b" 1 ");
            assert!(session.next_request().is_none());
            session
        });
        assert!(session.is_congested() && !session.wants_input());
        drop(other);
        let peer = Peer::new(Client::new(0, Identity::default()), session);
        let wakes = Arc::new(AtomicUsize::new(0));
        let woken = Arc::clone(&wakes);
        let wake = move || {
            woken.fetch_add(1, Ordering::SeqCst);
        };
        peer.set_owner(Arc::new(wake), Some(Arc::new(|bytes: &[u8]| Ok(bytes.len()))));
        peer.notify();
        assert!(peer.session().output().is_empty());
        assert_eq!(wakes.load(Ordering::SeqCst), 1);
    }
}
