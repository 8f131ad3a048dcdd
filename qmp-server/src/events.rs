//! Emitting events from anywhere.

use std::sync::Arc;

use qmp_types::Event;

use crate::hub::Hub;

/// An emitter of events. It is cheap to clone, and can be used from any thread.
///
/// Emitting does not wait for the machine or for a client. An emitter does not keep the machine
/// alive, so that the machine may own one.
#[derive(Clone, Debug)]
pub struct Events(Arc<Hub>);

impl Events {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self(Arc::clone(hub))
    }

    /// Sends an event to all clients. Events with a [rate limit](crate::RateLimit) may be delayed.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router, Server};
    /// use qmp_types::{Version, qmp::events::Powerdown};
    ///
    /// let server = Server::new(Version::default(), Router::new().event::<Powerdown>(), ())?;
    /// let events = server.events();
    /// // From any thread, without waiting for a client.
    /// std::thread::spawn(move || events.emit(&Powerdown::new()));
    /// # }
    /// # Ok::<(), qmp_server::BuildError>(())
    /// ```
    pub fn emit<E: Event>(&self, event: &E) {
        let event = self.0.stamp(event);
        self.0.deliver([event]);
        self.0.notify_all();
    }
}
