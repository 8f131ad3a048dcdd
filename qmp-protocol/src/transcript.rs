//! A hook that sees every message.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use qmp_types::Redactor;
pub use qmp_types::recording::Direction;

use crate::masking::Masking;

type Hook = dyn FnMut(Direction, &str) + Send;

/// A function that is called with every message, in both directions.
#[derive(Clone)]
pub struct Transcript {
    hook: Arc<Mutex<Hook>>,
    /// Creates what masks secrets in the messages of one connection.
    masking: fn() -> Box<dyn Masking>,
}

impl Transcript {
    /// Creates a transcript from a function. It is called with the text of each message, without
    /// what separates messages, and with `<secret>` in the place of passwords and other secrets (see
    /// [`qmp_types::Redactor`]). It must not use the client that calls it. If it panics, the
    /// connection ends.
    ///
    /// ```
    /// use qmp_protocol::Transcript;
    ///
    /// let transcript = Transcript::new(|direction, message| eprintln!("{direction:?} {message}"));
    /// ```
    pub fn new(hook: impl FnMut(Direction, &str) + Send + 'static) -> Self {
        Self { hook: Arc::new(Mutex::new(hook)), masking: || Box::new(Redactor::new()) }
    }

    pub(crate) fn new_masking(&self) -> Box<dyn Masking> {
        (self.masking)()
    }

    /// Calls the function, and returns whether it returned normally.
    pub(crate) fn show(&self, direction: Direction, message: &str) -> bool {
        // A panic must not unwind through the connection, nor harm other calls.
        let shown = catch_unwind(AssertUnwindSafe(|| {
            let mut hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
            hook(direction, message);
        }));
        shown.is_ok()
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript")
    }
}
