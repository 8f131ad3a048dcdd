//! A command that is being executed without the machine.

use std::sync::Arc;

use qmp_types::Event;

use crate::client::Client;
use crate::descriptors::{Descriptor, Descriptors};
use crate::events::Events;
use crate::hub::Hub;
use crate::peer::Peer;

/// A command that is being executed: who has sent it, and what has arrived with it.
#[derive(Clone, Debug)]
pub struct Call {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
    out_of_band: bool,
    descriptors: Descriptors,
}

impl Call {
    pub(crate) fn new(
        hub: &Arc<Hub>,
        peer: &Arc<Peer>,
        out_of_band: bool,
        descriptors: Descriptors,
    ) -> Self {
        Self { hub: Arc::clone(hub), peer: Arc::clone(peer), out_of_band, descriptors }
    }

    /// Returns the client that has sent the command.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.peer.client
    }

    /// Returns whether the client is still connected. A slow command whose client has gone may end
    /// early.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.peer.session().closed().is_none()
    }

    /// Returns whether the command is executed out-of-band.
    #[must_use]
    pub fn is_out_of_band(&self) -> bool {
        self.out_of_band
    }

    /// Takes the first file descriptor that was received with the command, and closes the others, as
    /// QEMU's `getfd` and `add-fd` do.
    ///
    /// As in QEMU, a command may take those received before it if no other command has taken them.
    #[must_use]
    pub fn take_descriptor(&self) -> Option<Descriptor> {
        self.descriptors.take_first()
    }

    /// Takes all file descriptors that were received with the command, in the order in which they
    /// were sent.
    #[must_use]
    pub fn take_descriptors(&self) -> Vec<Descriptor> {
        self.descriptors.take_all()
    }

    /// Returns an emitter of events.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.hub)
    }

    /// Sends an event to all clients.
    pub fn emit<E: Event>(&self, event: &E) {
        self.events().emit(event);
    }

    /// Ends the server: all connections are closed after their unsent output.
    pub fn end(&self) {
        self.hub.end();
        self.hub.notify_all();
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(crate) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }
}
