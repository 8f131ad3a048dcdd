//! From a stream to a client, step by step.

use std::time::Instant;

use super::client::Client;
use super::events::Events;
use super::shared::Handle;
use crate::error::Result;
use crate::options::Options;
use crate::selector::Selector;
use crate::transport::Transport;
use qmp_protocol::RawEvent;

/// A connection whose negotiation is not complete; [`over`] creates it.
#[derive(Debug)]
#[must_use = "`negotiate` gives the client"]
pub struct Connecting(Handle);

/// Creates a client of an open stream, for programs that subscribe to events before the greeting.
/// [`Client::over`] is enough for all others.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::path::Path;
///
/// use qmp_client::{Options, blocking, transport::Unix};
///
/// let connecting = blocking::over(Unix::connect(Path::new("/run/vm.sock"))?, &Options::new());
/// // Events that QEMU sends before its greeting are not missed.
/// let mut events = connecting.raw_events();
/// let vm = connecting.negotiate()?;
/// # Ok(())
/// # }
/// ```
pub fn over(stream: impl Transport + 'static, options: &Options) -> Connecting {
    Connecting(Handle::new(Box::new(stream), options, Instant::now()))
}

impl Connecting {
    /// Subscribes to all events from now on, undecoded: some arrive before the greeting.
    #[inline]
    pub fn raw_events(&self) -> Events<RawEvent> {
        Events::new(self.0.clone(), Selector::raw())
    }

    /// Waits until the negotiation is complete.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Options, blocking, transport::Tcp};
    ///
    /// let stream = Tcp::connect("127.0.0.1", 4444, Duration::from_secs(5))?;
    /// let connecting = blocking::over(stream, &Options::new());
    /// // Subscribed before QEMU may send anything.
    /// let mut events = connecting.raw_events();
    /// let vm = connecting.negotiate()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The peer is not a QMP server, or the deadline passes.
    pub fn negotiate(self) -> Result<Client> {
        Client::negotiate(self.0)
    }
}
