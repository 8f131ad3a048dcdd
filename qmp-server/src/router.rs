//! Which handler answers which command.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use qmp_types::{Command, ErrorClass, Event, QmpError, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::arguments::{self, Fault};
use crate::introspection::{Introspection, Shape};
use crate::json::to_json;
use crate::ordered::Ordered;
use crate::request::{self, Request};

/// How deep arguments may nest: decoding them takes some 20 KiB of stack a level in a build without
/// optimisation, and this has to fit into the stack of any thread.
const DEEPEST: usize = 48;

/// The commands that a server executes: a handler for each.
///
/// A command without a handler is answered as QEMU answers one that it does not have, so a server
/// is as small as what it does. `query-commands` and, given
/// [introspection](Router::introspection), `query-qmp-schema` are answered from the table: they
/// list what is handled and nothing else.
pub struct Router<M> {
    handlers: BTreeMap<&'static str, Entry<M>>,
    events: Vec<&'static str>,
    schema: Option<&'static str>,
    introspection: OnceLock<Introspection>,
    /// The answer to `query-qmp-schema`.
    subset: OnceLock<String>,
}

type Handler<M> = dyn Fn(&mut M, Decode, &mut Context) -> Result<String, QmpError> + Send + Sync;

struct Entry<M> {
    handler: Box<Handler<M>>,
    success_response: bool,
    /// Arguments that the schema does not list are the handler's.
    open: bool,
}

/// Arguments on their way to a handler, as JSON text, and what of them decoding is to explain.
///
/// By way of text, because its reader says where it failed.
struct Decode {
    arguments: String,
    fault: Option<Fault>,
}

impl<M> Default for Router<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> fmt::Debug for Router<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("commands", &self.handlers.keys())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl<M> Router<M> {
    /// No commands but the protocol's own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            handlers: BTreeMap::new(),
            events: Vec::new(),
            schema: None,
            introspection: OnceLock::new(),
            subset: OnceLock::new(),
        }
    }

    /// What the commands look like, as `query-qmp-schema` tells it: a vocabulary's
    /// `INTROSPECTION`. Arguments are checked against it, with QEMU's words for what is wrong,
    /// and it says which commands may be executed out-of-band. It is read when first needed.
    #[must_use]
    pub fn introspection(mut self, schema: &'static str) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Adds a handler: of the machine, the command and its [`Context`], it makes the return value
    /// or an error. A later handler of the same command replaces the earlier.
    #[must_use]
    pub fn command<C, H>(self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.entry(handler, false)
    }

    /// Adds a handler of a command whose arguments the schema does not list in full, such as
    /// `device_add`: others are let through to it.
    #[must_use]
    pub fn open_command<C, H>(self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.entry(handler, true)
    }

    /// Says that the machine may emit this event, so that `query-qmp-schema` lists it.
    #[must_use]
    pub fn event<E: Event>(mut self) -> Self {
        self.events.push(E::NAME);
        self
    }

    /// The names of the commands that have handlers, in alphabetical order.
    pub fn commands(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.handlers.keys().copied()
    }

    fn entry<C, H>(mut self, handler: H, open: bool) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        let handler = move |machine: &mut M, decode: Decode, context: &mut Context| {
            let command = decode.command::<C>()?;
            let value = handler(machine, command, context)?;
            to_json(&value).map_err(|error| {
                QmpError::generic(format!("the return value cannot be written: {error}"))
            })
        };
        let success_response = C::SUCCESS_RESPONSE;
        self.handlers.insert(C::NAME, Entry { handler: Box::new(handler), success_response, open });
        self
    }

    /// Executes a command: its return value as JSON, or none if success is not answered.
    pub(crate) fn execute(
        &self,
        machine: &mut M,
        request: Request,
        context: &mut Context,
    ) -> Result<Option<String>, QmpError> {
        let name = request.name.as_str();
        let entry = self.handlers.get(name);
        if entry.is_none() && !self.is_own(name) {
            let desc = format!("The command {name} has not been found");
            return Err(QmpError::new(ErrorClass::CommandNotFound, desc));
        }
        let shape = self.checks().shape(name);
        if request.out_of_band && !matches!(shape, Some(Shape::Command { allow_oob: true, .. })) {
            return Err(request::no_oob(name));
        }
        let open = entry.is_some_and(|entry| entry.open);
        let checked = arguments::check(self.checks(), name, &request.arguments, open);
        let fault = match checked {
            Ok(()) => None,
            Err(Fault::Known(desc)) => return Err(QmpError::generic(desc)),
            Err(fault) => Some(fault),
        };
        let Some(entry) = entry else { return Ok(Some(self.own(name))) };
        let arguments = self.text(name, request.arguments)?;
        let decode = Decode { arguments, fault };
        let value = (entry.handler)(machine, decode, context)?;
        Ok(entry.success_response.then_some(value))
    }

    /// Arguments as text that is good to decode.
    fn text(&self, command: &str, arguments: Map<String, Value>) -> Result<String, QmpError> {
        if arguments.is_empty() {
            return Ok("{}".to_owned());
        }
        let introspection = self.checks();
        let shape = match introspection.shape(command) {
            Some(Shape::Command { arguments, .. }) => Some(arguments.as_str()),
            _ => None,
        };
        let value = &Value::Object(arguments);
        if arguments::depth(value) > DEEPEST {
            let desc = format!("Arguments are nested more than {DEEPEST} levels deep");
            return Err(QmpError::generic(desc));
        }
        to_json(&Ordered { introspection, shape, value })
            .map_err(|error| QmpError::generic(error.to_string()))
    }

    fn is_own(&self, name: &str) -> bool {
        name == "query-commands" || (name == "query-qmp-schema" && self.schema.is_some())
    }

    fn own(&self, name: &str) -> String {
        if name == "query-qmp-schema" {
            return self.subset.get_or_init(|| self.listed_schema()).clone();
        }
        let commands: Vec<Value> = self.listed().map(|name| json!({ "name": name })).collect();
        to_json(&commands).unwrap_or_default()
    }

    fn listed(&self) -> impl Iterator<Item = &'static str> {
        let own = ["query-commands", "query-qmp-schema"].into_iter();
        let own = own.filter(|name| self.is_own(name) && !self.handlers.contains_key(name));
        ["qmp_capabilities"].into_iter().chain(own).chain(self.commands())
    }

    fn listed_schema(&self) -> String {
        let roots: Vec<&str> = self.listed().chain(self.events.iter().copied()).collect();
        to_json(&self.checks().subset(&roots)).unwrap_or_default()
    }

    fn checks(&self) -> &Introspection {
        self.introspection.get_or_init(|| self.schema.map(Introspection::parse).unwrap_or_default())
    }
}

impl Decode {
    fn command<C: DeserializeOwned>(self) -> Result<C, QmpError> {
        let decoded = qmp_types::decode::<C>(&self.arguments);
        match (decoded, self.fault) {
            (Ok(command), None) => Ok(command),
            (decoded, fault) => Err(arguments::explain(fault, decoded.err().as_ref())),
        }
    }
}

/// What a handler may do besides looking at its machine.
#[derive(Debug, Default)]
pub struct Context {
    pub(crate) out_of_band: bool,
    pub(crate) events: Vec<Emitted>,
    pub(crate) later: Vec<Emitted>,
    pub(crate) ends: bool,
}

/// An event on its way to all clients.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) name: &'static str,
    /// As JSON text; events without data have none.
    pub(crate) data: Option<String>,
    pub(crate) timestamp: Timestamp,
}

impl Context {
    /// Sends an event to all clients, ahead of the command's reply. Events that a guest could
    /// cause many times a second are limited to one a second, as in QEMU.
    pub fn emit<E: Event>(&mut self, event: &E) {
        self.events.push(Emitted::new(event));
    }

    /// Does something whose events come after the command's reply: what a guest takes its time for.
    pub fn later<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        let mut later = Self { out_of_band: self.out_of_band, ..Self::default() };
        let result = action(&mut later);
        self.later.extend(later.events.into_iter().chain(later.later));
        self.ends |= later.ends;
        result
    }

    /// Ends the server: after the reply and the events, all connections are closed.
    pub fn end(&mut self) {
        self.ends = true;
    }

    /// Whether the command is executed out-of-band.
    #[must_use]
    pub fn is_out_of_band(&self) -> bool {
        self.out_of_band
    }
}

impl Emitted {
    fn new<E: Event>(event: &E) -> Self {
        let data = to_json(event).ok().filter(|data| data != "{}" && data != "null");
        Self { name: E::NAME, data, timestamp: Timestamp::now() }
    }
}
