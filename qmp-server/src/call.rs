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
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     println!("stopped by client {}", call.client().number());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.peer.client
    }

    /// Returns whether the client is still connected. A slow command whose client has gone may end
    /// early.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     println!("is anyone waiting: {}", call.is_connected());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.peer.session().closed().is_none()
    }

    /// Returns whether the command is executed out-of-band.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     println!("out-of-band: {}", call.is_out_of_band());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn is_out_of_band(&self) -> bool {
        self.out_of_band
    }

    /// Takes the first file descriptor that was received with the command, and closes the others, as
    /// QEMU's `getfd` and `add-fd` do.
    ///
    /// As in QEMU, a command may take those received before it if no other command has taken them.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     println!("{:?}", call.take_descriptor());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn take_descriptor(&self) -> Option<Descriptor> {
        self.descriptors.take_first()
    }

    /// Takes all file descriptors that were received with the command, in the order in which they
    /// were sent.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     println!("{} descriptors", call.take_descriptors().len());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn take_descriptors(&self) -> Vec<Descriptor> {
        self.descriptors.take_all()
    }

    /// Returns an emitter of events.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     let events = call.events();
    ///     std::thread::spawn(move || events.emit(&events::Stop::new()));
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.hub)
    }

    /// Sends an event to all clients.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     call.emit(&events::Stop::new());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    pub fn emit<E: Event>(&self, event: &E) {
        self.events().emit(event);
    }

    /// Ends the server: all connections are closed after their unsent output.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().blocking(|_: &MachineHandle<()>, _: Stop, call: &Call| {
    ///     // As `quit` does.
    ///     call.end();
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
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
