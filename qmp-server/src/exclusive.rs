//! The machine and its lock.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, ThreadId};

use crate::sync::lock;

/// A value that one thread uses at a time. In contrast to a mutex, using it twice on one thread is an
/// error rather than a deadlock.
#[derive(Debug)]
pub(crate) struct Exclusive<T> {
    value: Mutex<T>,
    user: Mutex<Option<ThreadId>>,
}

/// The error of a thread that already uses the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlreadyUsed;

impl fmt::Display for AlreadyUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the machine is used by a handler that is still running on this thread; use the \
             reference that the handler received",
        )
    }
}

pub(crate) struct ExclusiveGuard<'e, T> {
    value: MutexGuard<'e, T>,
    user: &'e Mutex<Option<ThreadId>>,
}

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), user: Mutex::new(None) }
    }

    pub(crate) fn lock(&self) -> Result<ExclusiveGuard<'_, T>, AlreadyUsed> {
        let this = thread::current().id();
        if *lock(&self.user) == Some(this) {
            return Err(AlreadyUsed);
        }
        let value = lock(&self.value);
        *lock(&self.user) = Some(this);
        Ok(ExclusiveGuard { value, user: &self.user })
    }
}

impl<T> Drop for ExclusiveGuard<'_, T> {
    fn drop(&mut self) {
        *lock(self.user) = None;
    }
}

impl<T> Deref for ExclusiveGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for ExclusiveGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
