//! The table of command handlers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use qmp_types::{Command, ErrorClass, Event, QmpError};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::arguments::{self, Fault};
use crate::context::Context;
use crate::introspection::{Introspection, Shape};
use crate::json::{encode_return, to_json};
use crate::ordered::Ordered;
use crate::request::{self, Request};

/// The maximum nesting depth of arguments. Decoding takes about 20 KiB of stack per level in a build
/// without optimization, which has to fit into the stack of any thread.
const MAX_DEPTH: usize = 48;

/// A table of commands and their handlers.
///
/// A command without a handler gets the error that QEMU sends for a command it does not have. The
/// router itself answers `query-commands` and, if it has an
/// [introspection](Router::introspection), `query-qmp-schema`. They list exactly the commands that
/// have handlers.
pub struct Router<M> {
    handlers: BTreeMap<&'static str, Entry<M>>,
    events: Vec<&'static str>,
    schema: Option<&'static str>,
    introspection: OnceLock<Introspection>,
    /// The reply to `query-qmp-schema`.
    listed_schema: OnceLock<String>,
}

type Handler<M> = dyn Fn(&mut M, Arguments, &mut Context) -> Result<String, QmpError> + Send + Sync;

struct Entry<M> {
    handler: Box<Handler<M>>,
    success_response: bool,
    /// Whether arguments that the schema does not list are passed to the handler.
    open: bool,
}

/// Checked arguments that a handler has to decode.
struct Arguments {
    /// JSON text rather than a value, because decoding text reports the position of an error.
    text: String,
    /// A fault whose message depends on the error of decoding.
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
    /// Creates a router that handles only the protocol's own commands.
    #[must_use]
    pub fn new() -> Self {
        Self {
            handlers: BTreeMap::new(),
            events: Vec::new(),
            schema: None,
            introspection: OnceLock::new(),
            listed_schema: OnceLock::new(),
        }
    }

    /// Sets the description of the commands, in the format of `query-qmp-schema`: the
    /// `INTROSPECTION` constant of a vocabulary. The router checks arguments against it, with QEMU's
    /// error messages, and it determines which commands can be executed out-of-band. It is parsed
    /// when first needed.
    #[must_use]
    pub fn introspection(mut self, schema: &'static str) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Adds a handler, which receives the machine, the command and a [`Context`], and returns the
    /// command's return value or an error. It replaces an earlier handler of the same command.
    #[must_use]
    pub fn command<C, H>(self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.entry(handler, false)
    }

    /// Adds a handler for a command that accepts arguments beyond those in the schema, as
    /// `device_add` does. These are passed to the handler unchecked.
    #[must_use]
    pub fn open_command<C, H>(self, handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        self.entry(handler, true)
    }

    /// Declares that the machine may emit this event, so that `query-qmp-schema` lists it.
    #[must_use]
    pub fn event<E: Event>(mut self) -> Self {
        self.events.push(E::NAME);
        self
    }

    /// Removes the handler of a command.
    #[cfg(feature = "simulator")]
    pub(crate) fn without(mut self, command: &str) -> Self {
        self.handlers.remove(command);
        self
    }

    /// Calls an action before the handler of a command.
    #[cfg(feature = "simulator")]
    pub(crate) fn before(
        mut self,
        command: &'static str,
        action: std::sync::Arc<dyn Fn() + Send + Sync>,
    ) -> Self
    where
        M: 'static,
    {
        if let Some(Entry { handler, success_response, open }) = self.handlers.remove(command) {
            let handler = move |machine: &mut M, arguments: Arguments, context: &mut Context| {
                action();
                handler(machine, arguments, context)
            };
            self.handlers
                .insert(command, Entry { handler: Box::new(handler), success_response, open });
        }
        self
    }

    /// Returns the names of the commands that have handlers, in alphabetical order.
    pub fn commands(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.handlers.keys().copied()
    }

    fn entry<C, H>(mut self, handler: H, open: bool) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        let handler = move |machine: &mut M, arguments: Arguments, context: &mut Context| {
            let command = arguments.decode::<C>()?;
            encode_return(&handler(machine, command, context)?)
        };
        let success_response = C::SUCCESS_RESPONSE;
        self.handlers.insert(C::NAME, Entry { handler: Box::new(handler), success_response, open });
        self
    }

    /// Executes a command. Returns its return value as JSON, or `None` for a command without a
    /// success response.
    pub(crate) fn execute(
        &self,
        machine: &mut M,
        request: Request,
        context: &mut Context,
    ) -> Result<Option<String>, QmpError> {
        let name = request.name.as_str();
        let entry = self.handlers.get(name);
        if entry.is_none() && !self.is_built_in(name) {
            let desc = format!("The command {name} has not been found");
            return Err(QmpError::new(ErrorClass::CommandNotFound, desc));
        }
        let introspection = self.parsed_introspection();
        let shape = introspection.shape(name);
        if request.out_of_band && !matches!(shape, Some(Shape::Command { allow_oob: true, .. })) {
            return Err(request::oob_unsupported(name));
        }
        let open = entry.is_some_and(|entry| entry.open);
        let fault = match arguments::check(introspection, name, &request.arguments, open) {
            Ok(()) => None,
            Err(Fault::Known(desc)) => return Err(QmpError::generic(desc)),
            Err(fault) => Some(fault),
        };
        let Some(entry) = entry else { return Ok(Some(self.built_in(name))) };
        let text = self.arguments_text(name, request.arguments)?;
        let value = (entry.handler)(machine, Arguments { text, fault }, context)?;
        Ok(entry.success_response.then_some(value))
    }

    /// Converts arguments to text, with the discriminators of unions first.
    fn arguments_text(
        &self,
        command: &str,
        arguments: Map<String, Value>,
    ) -> Result<String, QmpError> {
        if arguments.is_empty() {
            return Ok("{}".to_owned());
        }
        let introspection = self.parsed_introspection();
        let shape = match introspection.shape(command) {
            Some(Shape::Command { arguments, .. }) => Some(arguments.as_str()),
            _ => None,
        };
        let value = &Value::Object(arguments);
        if arguments::depth(value) > MAX_DEPTH {
            let desc = format!("arguments are nested more than {MAX_DEPTH} levels deep");
            return Err(QmpError::generic(desc));
        }
        to_json(&Ordered { introspection, shape, value })
            .map_err(|error| QmpError::generic(error.to_string()))
    }

    /// Returns whether the router answers the command if it has no handler.
    fn is_built_in(&self, name: &str) -> bool {
        name == "query-commands" || (name == "query-qmp-schema" && self.schema.is_some())
    }

    fn built_in(&self, name: &str) -> String {
        if name == "query-qmp-schema" {
            return self.listed_schema().to_owned();
        }
        let commands: Vec<Value> = self.listed().map(|name| json!({ "name": name })).collect();
        to_json(&commands).unwrap_or_default()
    }

    /// Returns the names of all commands that `query-commands` lists.
    fn listed(&self) -> impl Iterator<Item = &'static str> {
        let built_in = ["query-commands", "query-qmp-schema"].into_iter();
        let built_in =
            built_in.filter(|name| self.is_built_in(name) && !self.handlers.contains_key(name));
        ["qmp_capabilities"].into_iter().chain(built_in).chain(self.commands())
    }

    fn listed_schema(&self) -> &str {
        self.listed_schema.get_or_init(|| {
            let roots: Vec<&str> = self.listed().chain(self.events.iter().copied()).collect();
            to_json(&self.parsed_introspection().subset(&roots)).unwrap_or_default()
        })
    }

    fn parsed_introspection(&self) -> &Introspection {
        self.introspection.get_or_init(|| self.schema.map(Introspection::parse).unwrap_or_default())
    }
}

impl Arguments {
    fn decode<C: DeserializeOwned>(self) -> Result<C, QmpError> {
        let mut decoded = qmp_types::decode::<C>(&self.text);
        let mut text = self.text;
        // QEMU takes negative numbers as the unsigned ones with the same bits.
        while let Some(next) =
            decoded.as_ref().err().and_then(|error| arguments::without_sign(&text, error))
        {
            decoded = qmp_types::decode::<C>(&next);
            text = next;
        }
        match (decoded, self.fault) {
            (Ok(command), None) => Ok(command),
            (decoded, fault) => Err(arguments::explain(fault, decoded.err().as_ref())),
        }
    }
}
