//! From a request to the handler of its command.

use std::borrow::Cow;
use std::sync::OnceLock;

use qmp_types::{ErrorClass, QmpError, Version};
use serde_json::{Map, Value, json};

use crate::arguments::{self, Fault};
use crate::handler::{Arguments, Handler};
use crate::introspection::Shape;
use crate::json::to_json;
use crate::ordered::Ordered;
use crate::request;
use crate::router::Router;
use crate::schema::Schema;

/// The commands that the server answers itself if they have no handlers.
const BUILT_IN: [&str; 3] = ["query-commands", "query-qmp-schema", "query-version"];

/// A router with its schema.
pub(crate) struct Dispatch<M> {
    router: Router<M>,
    schema: Schema,
    version: Version,
    /// The reply to `query-qmp-schema`.
    listed_schema: OnceLock<String>,
}

/// The answer to a valid request, or the handler that gives it.
pub(crate) enum Action<'d, M> {
    Reply(String),
    Handle { handler: &'d Handler<M>, arguments: Arguments, success_response: bool },
}

impl<M> Dispatch<M> {
    pub(crate) fn new(router: Router<M>, schema: Schema, version: Version) -> Self {
        Self { router, schema, version, listed_schema: OnceLock::new() }
    }

    pub(crate) fn router(&self) -> &Router<M> {
        &self.router
    }

    pub(crate) fn unhandled(&self) -> Vec<String> {
        self.router.unhandled(&self.schema)
    }

    /// Returns whether the command's handler borrows the machine.
    #[cfg(unix)]
    pub(crate) fn is_borrowing(&self, name: &str) -> bool {
        self.router.handled(name).is_some_and(|(_, handler)| handler.is_borrowing())
    }

    /// Checks a request, and finds out what to do.
    pub(crate) fn find(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        out_of_band: bool,
    ) -> Result<Action<'_, M>, QmpError> {
        let handled = self.router.handled(name);
        if handled.is_none() && !BUILT_IN.contains(&name) {
            let desc = format!("The command {name} has not been found");
            return Err(QmpError::new(ErrorClass::CommandNotFound, desc));
        }
        let introspection = self.schema.introspection();
        let shape = introspection.shape(name);
        if out_of_band && !matches!(shape, Some(Shape::Command { allow_oob: true, .. })) {
            return Err(request::oob_unsupported(name));
        }
        let open = handled.is_some_and(|(entry, _)| entry.open);
        let fault = match arguments::check(introspection, name, &arguments, open) {
            Ok(()) => None,
            Err(Fault::Known(desc)) => return Err(QmpError::generic(desc)),
            Err(fault) => Some(fault),
        };
        let Some((entry, handler)) = handled else {
            return Ok(Action::Reply(self.built_in(name)));
        };
        let text = self.arguments_text(name, arguments)?;
        let arguments = Arguments { text, fault };
        Ok(Action::Handle { handler, arguments, success_response: entry.success_response })
    }

    /// Converts arguments to text, with the discriminators of unions first.
    fn arguments_text(
        &self,
        command: &str,
        arguments: Map<String, Value>,
    ) -> Result<Cow<'static, str>, QmpError> {
        if arguments.is_empty() {
            return Ok(Cow::Borrowed("{}"));
        }
        let introspection = self.schema.introspection();
        let shape = match introspection.shape(command) {
            Some(Shape::Command { arguments, .. }) => Some(arguments.as_str()),
            _ => None,
        };
        let value = &Value::Object(arguments);
        to_json(&Ordered { introspection, shape, value })
            .map(Cow::Owned)
            .map_err(|error| QmpError::generic(error.to_string()))
    }

    fn built_in(&self, name: &str) -> String {
        match name {
            "query-commands" => {
                let commands: Vec<Value> =
                    self.listed().map(|name| json!({ "name": name })).collect();
                to_json(&commands)
            }
            "query-version" => to_json(&self.version),
            _ => return self.listed_schema().to_owned(),
        }
        .unwrap_or_default()
    }

    /// Returns the names of all commands that `query-commands` lists.
    fn listed(&self) -> impl Iterator<Item = &'static str> {
        let is_handled = |name: &&str| self.router.handled(name).is_some();
        let built_in = BUILT_IN.into_iter().filter(move |name| !is_handled(name));
        ["qmp_capabilities"].into_iter().chain(built_in).chain(self.router.commands())
    }

    fn listed_schema(&self) -> &str {
        self.listed_schema.get_or_init(|| {
            let events = self.router.events.keys().copied();
            let roots: Vec<&str> = self.listed().chain(events).collect();
            to_json(&self.schema.introspection().subset(&roots)).unwrap_or_default()
        })
    }
}
