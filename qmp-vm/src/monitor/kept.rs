//! Guards whose commands only succeed after those of later guards.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A guard that several owners keep, and which is dropped with the last of them.
///
/// If the future of a step is dropped while its command is in flight, that command is undone when it is
/// answered, but the guards of earlier steps are dropped at once. Where their commands would be refused
/// by then, the function that undoes the step keeps them.
pub(crate) struct Kept<G>(Arc<Mutex<Option<G>>>);

impl<G> Kept<G> {
    pub(crate) fn new(guard: G) -> Self {
        Self(Arc::new(Mutex::new(Some(guard))))
    }

    /// Takes the guard from all owners.
    pub(crate) fn take(&self) -> Option<G> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<G> Clone for Kept<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<G> fmt::Debug for Kept<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
