//! The table of command handlers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
#[cfg(feature = "simulator")]
use std::time::Duration;

use qmp_types::{Command, Event, QmpError};
use serde::de::DeserializeOwned;

use crate::build_error::BuildError;
use crate::call::Call;
use crate::context::Context;
use crate::handle::MachineHandle;
use crate::handler::Handler;
use crate::introspection::Shape;
use crate::reply::Reply;
use crate::schema::{PROTOCOL_COMMANDS, Schema};
use crate::throttle::RateLimit;

/// A table of commands and their handlers.
///
/// There are several kinds of handlers:
///
/// | method | the handler | for commands that |
/// | --- | --- | --- |
/// | [`command`](Self::command) | borrows the machine, and returns the result | are quick |
/// | [`deferred`](Self::deferred) | gets a [`Reply`] to send at once or later | complete elsewhere, or must not wait for the machine, such as out-of-band ones |
/// | [`blocking`](Self::blocking) | runs on a thread of its own | take their time |
/// | [`asynchronous`](Self::asynchronous) | is an `async fn` (feature `tokio`) | await something |
///
/// A command without a handler gets the error that QEMU sends for a command it does not have. The
/// server itself answers `query-commands`, `query-version` and `query-qmp-schema`. They list exactly
/// the commands that have handlers.
///
/// The [schema](Self::introspection) is stated once. It determines the checks of arguments, with
/// QEMU's messages, and which commands can be executed out-of-band.
pub struct Router<M> {
    pub(crate) entries: BTreeMap<&'static str, Entry<M>>,
    pub(crate) events: BTreeMap<&'static str, Option<RateLimit>>,
    source: Source,
    handles_all: bool,
}

/// The origin of the schema.
#[derive(Debug)]
enum Source {
    Missing,
    Unchecked,
    Text(Cow<'static, str>),
    Schema(Schema),
}

pub(crate) struct Entry<M> {
    pub(crate) handler: Option<Handler<M>>,
    pub(crate) success_response: bool,
    /// Whether arguments that the schema does not list are passed to the handler.
    pub(crate) open: bool,
    /// Whether the command need not be in the schema.
    unchecked: bool,
}

impl<M> Default for Entry<M> {
    fn default() -> Self {
        Self { handler: None, success_response: true, open: false, unchecked: false }
    }
}

impl<M> Default for Router<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> fmt::Debug for Router<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("commands", &self.commands().collect::<Vec<_>>())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl<M> Router<M> {
    /// Creates a router that handles only the protocol's own commands.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router};
    ///
    /// let router = Router::<()>::new();
    /// assert_eq!(router.commands().count(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            events: BTreeMap::new(),
            source: Source::Missing,
            handles_all: false,
        }
    }

    /// Sets the description of the commands, in the format of `query-qmp-schema`: the
    /// `INTROSPECTION` constant of a vocabulary. It is read when the server is built.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router};
    /// use qmp_types::qmp;
    ///
    /// let router = Router::<()>::new().introspection(qmp::INTROSPECTION);
    /// # }
    /// ```
    #[must_use]
    pub fn introspection(mut self, schema: impl Into<Cow<'static, str>>) -> Self {
        self.source = Source::Text(schema.into());
        self
    }

    /// Sets the description of the commands, which other servers may share.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router, Schema};
    /// use qmp_types::qmp;
    ///
    /// let schema = Schema::parse(qmp::INTROSPECTION)?;
    /// let router = Router::<()>::new().schema(schema);
    /// # }
    /// # Ok::<(), qmp_server::SchemaError>(())
    /// ```
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Self {
        self.source = Source::Schema(schema);
        self
    }

    /// Does without a schema: arguments are only decoded, no command can be executed out-of-band, and
    /// `query-qmp-schema` lists only the protocol's own commands.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router};
    /// use qmp_types::qmp;
    ///
    /// let router = Router::<()>::new().introspection(qmp::INTROSPECTION).unchecked();
    /// # }
    /// ```
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.source = Source::Unchecked;
        self
    }

    /// Makes it an error to build a server while a command of the schema has no handler. Otherwise,
    /// [`Server::unhandled_commands`](crate::Server::unhandled_commands) lists such commands.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router, Server};
    /// use qmp_types::{Version, qmp};
    ///
    /// let router = Router::<()>::new().introspection(qmp::INTROSPECTION).handles_all();
    /// assert!(Server::new(Version::default(), router, ()).is_err(), "no command has a handler");
    /// # }
    /// ```
    #[must_use]
    pub fn handles_all(mut self) -> Self {
        self.handles_all = true;
        self
    }

    /// Adds a handler that borrows the machine. It receives the machine, the command and a
    /// [`Context`], and returns the command's return value or an error. It replaces an earlier
    /// handler of the same command.
    ///
    /// Handlers of this kind are executed one at a time, for all clients together, and should be
    /// quick.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::commands::Stop;
    ///
    /// struct Machine {
    ///     running: bool,
    /// }
    ///
    /// let router = Router::new().command(|machine: &mut Machine, _: Stop, _: &mut Context| {
    ///     machine.running = false;
    ///     Ok(Empty {})
    /// });
    /// assert_eq!(router.commands().collect::<Vec<_>>(), ["stop"]);
    /// # }
    /// ```
    #[must_use]
    pub fn command<C, H>(self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.insert::<C>(Handler::borrowing(handler))
    }

    /// Adds a handler like [`command`](Self::command), for a command that accepts arguments beyond
    /// those in the schema, as `device_add` does. These are passed to the handler unchecked.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::commands::DeviceAdd;
    ///
    /// let router = Router::new().open_command(|(): &mut (), _: DeviceAdd, _: &mut Context| Ok(Empty {}));
    /// assert_eq!(router.commands().count(), 1);
    /// # }
    /// ```
    #[must_use]
    pub fn open_command<C, H>(self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.command(handler).open::<C>()
    }

    /// Adds a handler that replies at once or later, from any thread or task. It does not borrow the
    /// machine, but can use it for a moment through the handle.
    ///
    /// The handler itself must not block. Handlers of out-of-band commands should be of this kind,
    /// because they do not wait for the machine.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use std::thread;
    ///
    /// use qmp_server::{MachineHandle, Reply, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::commands::Screendump;
    ///
    /// struct Machine;
    ///
    /// let router = Router::<Machine>::new().deferred(
    ///     |machine: &MachineHandle<Machine>, command: Screendump, reply: Reply<Screendump>| {
    ///         let machine = machine.clone();
    ///         thread::spawn(move || {
    ///             let picture = machine.with(|_machine, _context| vec![0; 640 * 480]);
    ///             let written = std::fs::write(command.filename, picture);
    ///             let failed = |error| qmp_types::QmpError::generic(format!("{error}"));
    ///             reply.send(written.map(|()| Empty {}).map_err(failed));
    ///         });
    ///     },
    /// );
    /// # }
    /// ```
    #[must_use]
    pub fn deferred<C, H>(self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&MachineHandle<M>, C, Reply<C>) + Send + Sync + 'static,
    {
        self.insert::<C>(Handler::replying(handler))
    }

    /// Adds a handler that may block. Each command is executed on a thread of its own.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Call, MachineHandle, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::commands::Stop;
    ///
    /// // Runs on a thread of its own, without the machine's lock.
    /// let router = Router::new().blocking(|machine: &MachineHandle<u32>, _: Stop, _: &Call| {
    ///     machine.with(|count, _| *count += 1);
    ///     Ok(Empty {})
    /// });
    /// assert_eq!(router.commands().count(), 1);
    /// # }
    /// ```
    #[must_use]
    pub fn blocking<C, H>(self, handler: H) -> Self
    where
        M: Send + 'static,
        C: Command + DeserializeOwned + Send + 'static,
        H: Fn(&MachineHandle<M>, C, &Call) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.insert::<C>(Handler::blocking(handler))
    }

    /// Adds an asynchronous handler. Each command is executed as a task of the tokio runtime in which
    /// the server was built or is served.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn asynchronous<C, H, F>(self, handler: H) -> Self
    where
        M: Send + 'static,
        C: Command + DeserializeOwned + Send + 'static,
        H: Fn(MachineHandle<M>, C, Call) -> F + Send + Sync + 'static,
        F: Future<Output = Result<C::Return, QmpError>> + Send + 'static,
    {
        self.insert::<C>(Handler::asynchronous(handler))
    }

    /// Accepts arguments of a command beyond those in the schema, as `device_add` does.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router};
    /// use qmp_types::qmp;
    /// use qmp_types::qmp::commands::DeviceAdd;
    ///
    /// let router = Router::<()>::new().introspection(qmp::INTROSPECTION).open::<DeviceAdd>();
    /// # }
    /// ```
    #[must_use]
    pub fn open<C: Command>(mut self) -> Self {
        self.entries.entry(C::NAME).or_default().open = true;
        self
    }

    /// Accepts a command that the schema does not contain. Its arguments are only decoded, and
    /// `query-qmp-schema` does not list it.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router};
    /// use qmp_types::qmp;
    /// use qmp_types::qmp::commands::Stop;
    ///
    /// let router = Router::<()>::new().introspection(qmp::INTROSPECTION).unchecked_command::<Stop>();
    /// # }
    /// ```
    #[must_use]
    pub fn unchecked_command<C: Command>(mut self) -> Self {
        self.entries.entry(C::NAME).or_default().unchecked = true;
        self
    }

    /// Removes the handler of a command, if it has one.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::commands::Stop;
    ///
    /// let router = Router::new()
    ///     .command(|(): &mut (), _: Stop, _: &mut Context| Ok(Empty {}))
    ///     .without("stop");
    /// assert_eq!(router.commands().count(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn without(mut self, command: &str) -> Self {
        self.entries.remove(command);
        self
    }

    /// Replaces the handler of a command by one that fails. Does nothing if the command has no handler.
    #[cfg(feature = "simulator")]
    pub(crate) fn refusing(mut self, command: &str, error: QmpError) -> Self {
        if let Some(entry) = self.entries.get_mut(command) {
            let refuse = move |_: &mut M, _, _: &mut Context| Err(error.clone());
            entry.handler = Some(Handler::Borrowing(Box::new(refuse)));
        }
        self
    }

    /// Calls an action before the handler of a command, for example to delay it. Does nothing if the
    /// command has no handler.
    #[must_use]
    pub fn before(mut self, command: &str, action: Arc<dyn Fn() + Send + Sync>) -> Self
    where
        M: 'static,
    {
        if let Some(entry) = self.entries.get_mut(command) {
            entry.handler = entry.handler.take().map(|handler| handler.after(action));
        }
        self
    }

    /// Delays a command. Only commands of the same client wait for it.
    #[cfg(feature = "simulator")]
    #[must_use]
    pub(crate) fn delay(mut self, command: &str, time: Duration) -> Self
    where
        M: Send + 'static,
    {
        if let Some(entry) = self.entries.get_mut(command) {
            entry.handler = entry.handler.take().map(|handler| handler.delayed(time));
        }
        self
    }

    /// Declares that the machine may emit this event, so that `query-qmp-schema` lists it.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Router};
    /// use qmp_types::qmp::events::Shutdown;
    ///
    /// let router = Router::<()>::new().event::<Shutdown>();
    /// # }
    /// ```
    #[must_use]
    pub fn event<E: Event>(mut self) -> Self {
        self.events.entry(E::NAME).or_default();
        self
    }

    /// Declares that the machine may emit this event, and limits its rate. The limit replaces the one
    /// that an event of QEMU's has.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{RateLimit, Router};
    /// use qmp_types::qmp::events::MemoryDeviceSizeChange;
    /// use std::time::Duration;
    ///
    /// // At most one in a second for each device.
    /// let limit = RateLimit::every(Duration::from_secs(1)).by("device");
    /// let router = Router::<()>::new().limited_event::<MemoryDeviceSizeChange>(limit);
    /// # }
    /// ```
    #[must_use]
    pub fn limited_event<E: Event>(mut self, limit: RateLimit) -> Self {
        self.events.insert(E::NAME, Some(limit));
        self
    }

    /// Returns the names of the commands that have handlers, in alphabetical order.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::{Context, Router};
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::commands::Stop;
    ///
    /// let router = Router::new().command(|(): &mut (), _: Stop, _: &mut Context| Ok(Empty {}));
    /// assert_eq!(router.commands().collect::<Vec<_>>(), ["stop"]);
    /// # }
    /// ```
    pub fn commands(&self) -> impl Iterator<Item = &'static str> + '_ {
        let handled = self.entries.iter().filter(|(_, entry)| entry.handler.is_some());
        handled.map(|(name, _)| *name)
    }

    /// Returns the handler of a command and its settings.
    pub(crate) fn handled(&self, name: &str) -> Option<(&Entry<M>, &Handler<M>)> {
        let entry = self.entries.get(name)?;
        Some((entry, entry.handler.as_ref()?))
    }

    /// Reads the schema, and checks that it contains what the router handles.
    pub(crate) fn checked_schema(&self) -> Result<Schema, BuildError> {
        let schema = match &self.source {
            Source::Missing if self.commands().next().is_some() => {
                return Err(BuildError::NoSchema);
            }
            Source::Missing | Source::Unchecked => {
                return Schema::parse("[]").map_err(BuildError::Schema);
            }
            Source::Text(text) => Schema::parse(text).map_err(BuildError::Schema)?,
            Source::Schema(schema) => schema.clone(),
        };
        let introspection = schema.introspection();
        let shape = |name: &str| introspection.shape(name);
        let checked = self.commands().filter(|name| !self.entries[name].unchecked);
        let commands = checked.filter(|name| !matches!(shape(name), Some(Shape::Command { .. })));
        let commands: Vec<String> = commands.map(str::to_owned).collect();
        if !commands.is_empty() {
            return Err(BuildError::CommandsNotInSchema(commands));
        }
        let events =
            self.events.keys().filter(|name| !matches!(shape(name), Some(Shape::Event(_))));
        let events: Vec<String> = events.map(|name| (*name).to_owned()).collect();
        if !events.is_empty() {
            return Err(BuildError::EventsNotInSchema(events));
        }
        match self.unhandled(&schema) {
            unhandled if self.handles_all && !unhandled.is_empty() => {
                Err(BuildError::Unhandled(unhandled))
            }
            _ => Ok(schema),
        }
    }

    /// Returns the names of the commands in the schema that have no handlers.
    pub(crate) fn unhandled(&self, schema: &Schema) -> Vec<String> {
        let is_unhandled =
            |name: &&str| self.handled(name).is_none() && !PROTOCOL_COMMANDS.contains(name);
        schema.introspection().commands().filter(is_unhandled).map(str::to_owned).collect()
    }

    fn insert<C: Command>(mut self, handler: Handler<M>) -> Self {
        let entry = self.entries.entry(C::NAME).or_default();
        entry.handler = Some(handler);
        entry.success_response = C::SUCCESS_RESPONSE;
        self
    }
}
