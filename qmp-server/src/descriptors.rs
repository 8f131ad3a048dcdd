//! File descriptors that arrive with commands.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// A file descriptor that a client has sent.
#[cfg(unix)]
pub type Descriptor = std::os::fd::OwnedFd;
/// A file descriptor; this system has none that a client can send.
#[cfg(not(unix))]
pub type Descriptor = std::convert::Infallible;

/// The descriptors that a command can take: those received last before the command was complete, or
/// with it, unless an earlier command has taken them.
///
/// This is QEMU's rule. Descriptors that no command takes are closed when others arrive. In contrast
/// to QEMU, those of a command that waits for its execution are not replaced.
#[derive(Clone, Default)]
pub(crate) struct Descriptors(Arc<Mutex<Vec<Descriptor>>>);

impl fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Descriptors").field(&lock(&self.0).len()).finish()
    }
}

impl Descriptors {
    #[cfg(unix)]
    pub(crate) fn new(descriptors: Vec<Descriptor>) -> Self {
        Self(Arc::new(Mutex::new(descriptors)))
    }

    /// Takes all descriptors, in the order in which they were sent.
    pub(crate) fn take_all(&self) -> Vec<Descriptor> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// Takes the first descriptor, and closes the others, as QEMU does.
    pub(crate) fn take_first(&self) -> Option<Descriptor> {
        let mut all = self.take_all().into_iter();
        all.next()
    }
}
