//! A limit on the commands that are executed on threads and in tasks of their own.
//!
//! A client has at most one in-band command and one out-of-band command at a time. But it can leave one
//! that hangs, come back, and leave another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use qmp_types::QmpError;

/// The number of commands that may be executed at a time.
#[derive(Debug)]
pub(crate) struct Places {
    limit: usize,
    taken: AtomicUsize,
}

/// The place of one command, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Places {
    /// Creates places for all commands of as many clients as there may be.
    pub(crate) fn of_connections(connections: usize) -> Arc<Self> {
        Arc::new(Self { limit: connections.saturating_mul(2), taken: AtomicUsize::new(0) })
    }

    /// Takes a place for a command.
    ///
    /// # Errors
    /// Returns the error for the client if all places are taken.
    pub(crate) fn take(self: &Arc<Self>, command: &str) -> Result<Place, QmpError> {
        let add_one = |taken| if taken < self.limit { Some(taken + 1) } else { None };
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, add_one) {
            Ok(_) => Ok(Place(Arc::clone(self))),
            Err(limit) => Err(QmpError::generic(format!(
                "cannot start the command {command}: {limit} commands are being executed, which is \
                 the limit; try again later"
            ))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
