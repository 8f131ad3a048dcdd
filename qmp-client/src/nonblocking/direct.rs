//! The sending of commands by their callers, without the driver.

use std::fmt;
use std::sync::Arc;

use qmp_protocol::Connection;

use crate::runtime::Sender;

/// The sending side of a link, as callers use it while they hold the lock.
///
/// A write that would block, fails or is cut short leaves the rest to the driver, which also handles
/// errors. So a caller writes only while the driver has nothing left to send.
#[derive(Default)]
pub(super) struct Direct {
    sender: Option<Arc<dyn Sender>>,
    /// Whether the driver has taken output out, and may not have sent it.
    is_driver_sending: bool,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct")
            .field("is_driver_sending", &self.is_driver_sending)
            .finish_non_exhaustive()
    }
}

impl Direct {
    pub(super) fn new(sender: Option<Arc<dyn Sender>>) -> Self {
        Self { sender, is_driver_sending: false }
    }

    /// Records whether the driver has anything to send.
    pub(super) fn set_driver_sending(&mut self, sending: bool) {
        self.is_driver_sending = sending;
    }

    /// Sends the output of a connection, and returns whether all of it has been sent.
    pub(super) fn send(&self, connection: &mut Connection) -> bool {
        let Some(sender) = &self.sender else { return false };
        let is_usual = connection.is_ready() && !connection.is_ending();
        // Descriptors travel by another system call.
        if self.is_driver_sending || !is_usual || !connection.descriptors().is_empty() {
            return false;
        }
        if let Ok(count) = sender.try_write(connection.output()) {
            connection.sent(count);
        }
        connection.output().is_empty()
    }

    /// Gives the link up: it is closed when the driver, which owns it, is dropped.
    pub(super) fn close(&mut self) {
        self.sender = None;
    }
}
