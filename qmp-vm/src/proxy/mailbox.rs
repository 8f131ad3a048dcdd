//! The messages between the handles of a proxy and its thread.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use qmp_server::Socket;

use super::access::Access;
use super::end::ProxyEnd;
use super::listener::Listener;
use super::switchboard::Counts;

/// A request to the thread.
pub(super) enum Letter {
    Client(Socket, Arc<Access>),
    Listen(Listener, Arc<Access>),
    /// End when the last client has left.
    Detach,
    Stop,
}

/// The state that the handles and the thread share.
pub(super) struct Mailbox {
    state: Mutex<State>,
    ended: Condvar,
    is_woken: AtomicBool,
    wake: UnixStream,
}

#[derive(Default)]
struct State {
    letters: Vec<Letter>,
    counts: Counts,
    end: Option<ProxyEnd>,
    /// Whether the proxy goes on without handles.
    is_detached: bool,
}

impl Mailbox {
    /// Creates a mailbox, and the socket that becomes readable when there are letters.
    pub(super) fn new() -> io::Result<(Self, UnixStream)> {
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let is_woken = AtomicBool::new(false);
        Ok((Self { state: Mutex::default(), ended: Condvar::new(), is_woken, wake }, woken))
    }

    /// Adds a letter, unless the thread has ended.
    pub(super) fn post(&self, letter: Letter) -> io::Result<()> {
        let mut state = self.state();
        if let Some(end) = &state.end {
            return Err(io::Error::new(io::ErrorKind::NotConnected, end.clone()));
        }
        state.is_detached |= matches!(letter, Letter::Detach);
        state.letters.push(letter);
        drop(state);
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            // The buffer is empty, so that this does not block.
            let _ = (&self.wake).write(&[0]);
        }
        Ok(())
    }

    /// Notes that no handle is left.
    pub(super) fn leave(&self) {
        let is_detached = self.state().is_detached;
        if !is_detached {
            let _ = self.post(Letter::Stop);
        }
    }

    /// Notes that the thread looks for letters from now on: a later one wakes it again.
    pub(super) fn awake(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    pub(super) fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut self.state().letters)
    }

    pub(super) fn publish(&self, counts: Counts) {
        self.state().counts = counts;
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Notes the end of the thread, unless that is known.
    pub(super) fn end(&self, end: ProxyEnd) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        state.counts.clients = 0;
        let letters = std::mem::take(&mut state.letters);
        drop(state);
        drop(letters);
        self.ended.notify_all();
    }

    pub(super) fn ended(&self) -> Option<ProxyEnd> {
        self.state().end.clone()
    }

    pub(super) fn wait(&self) -> ProxyEnd {
        let mut state = self.state();
        loop {
            if let Some(end) = &state.end {
                return end.clone();
            }
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
