//! The thread that runs.

use std::thread_local;

thread_local! {
    /// Each thread has one at another address.
    static PLACE: u8 = const { 0 };
}

/// A thread, as long as it runs: others may be equal to it later.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Here(usize);

impl Here {
    /// Returns this thread. A thread that is about to end has none.
    #[inline]
    pub(super) fn now() -> Self {
        Self(PLACE.try_with(|place| std::ptr::from_ref(place).addr()).unwrap_or_default())
    }
}
