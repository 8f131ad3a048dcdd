//! Interrupts of a wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A handle that interrupts what a session waits for, from another thread.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends the current wait within 50 ms. If the session waits for nothing, nothing happens.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Forgets an interrupt that came when nothing was waited for.
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Returns whether the wait is to end, once.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}
