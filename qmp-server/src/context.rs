//! The effects of command handlers beyond their machine: events, and the end of the server.

use std::sync::Arc;

use qmp_types::Event;

use crate::client::Client;
use crate::descriptors::{Descriptor, Descriptors};
use crate::effects::Effects;
use crate::events::Events;
use crate::hub::Hub;

/// A handle that command handlers use to emit events, to end the server, and to learn who has sent
/// the command.
#[derive(Debug)]
pub struct Context {
    hub: Arc<Hub>,
    client: Option<Client>,
    out_of_band: bool,
    descriptors: Descriptors,
    effects: Effects,
}

impl Context {
    /// Creates the context of an action that no client has asked for.
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self {
            hub: Arc::clone(hub),
            client: None,
            out_of_band: false,
            descriptors: Descriptors::default(),
            effects: Effects::default(),
        }
    }

    /// Creates the context of a command.
    pub(crate) fn of_command(
        hub: &Arc<Hub>,
        client: Client,
        out_of_band: bool,
        descriptors: Descriptors,
    ) -> Self {
        let effects = Effects::default();
        Self { hub: Arc::clone(hub), client: Some(client), out_of_band, descriptors, effects }
    }

    /// Sends an event to all clients, before the command's reply. Events with a
    /// [rate limit](crate::RateLimit), such as those of QEMU's that a guest could emit in floods, may
    /// be delayed.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     context.emit(&events::Stop::new());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    pub fn emit<E: Event>(&mut self, event: &E) {
        self.effects.events.push(self.hub.stamp(event));
    }

    /// Calls `action` immediately, but sends the events that it emits after the command's reply.
    /// Use this for events that the guest causes in response to the command.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     context.after_reply(|context| context.emit(&events::Stop::new()));
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    pub fn after_reply<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::take(&mut self.effects);
        let result = action(self);
        let inner = std::mem::replace(&mut self.effects, outer);
        self.effects.after_reply.extend(inner.events.into_iter().chain(inner.after_reply));
        self.effects.ends |= inner.ends;
        result
    }

    /// Ends the server: all connections are closed after the reply and the events.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     // As `quit` does.
    ///     context.end();
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    pub fn end(&mut self) {
        self.effects.ends = true;
    }

    /// Returns whether the command is executed out-of-band.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     println!("out-of-band: {}", context.is_out_of_band());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn is_out_of_band(&self) -> bool {
        self.out_of_band
    }

    /// Returns the client that has sent the command, or `None` if the action is not a command.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     if let Some(client) = context.client() {
    ///         println!("stopped by client {}", client.number());
    ///     }
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Returns an emitter that may be kept, and used from anywhere.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     let events = context.events();
    ///     std::thread::spawn(move || events.emit(&events::Stop::new()));
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.hub)
    }

    /// Takes the first file descriptor that was received with the command, and closes the others, as
    /// QEMU's `getfd` and `add-fd` do.
    ///
    /// As in QEMU, a command may take those received before it if no other command has taken them.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     println!("{:?}", context.take_descriptor());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn take_descriptor(&mut self) -> Option<Descriptor> {
        self.descriptors.take_first()
    }

    /// Takes all file descriptors that were received with the command, in the order in which they
    /// were sent.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::{commands::Stop, events};
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, context: &mut Context| {
    ///     println!("{} descriptors", context.take_descriptors().len());
    ///     Ok(Empty {})
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn take_descriptors(&mut self) -> Vec<Descriptor> {
        self.descriptors.take_all()
    }

    pub(crate) fn into_effects(self) -> Effects {
        self.effects
    }
}
