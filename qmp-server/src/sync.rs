//! Locks and waits that outlive a handler's panic.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

// A handler that panicked has harmed its machine, if anything; the connections are whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn wait<'m, T>(condition: &Condvar, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
