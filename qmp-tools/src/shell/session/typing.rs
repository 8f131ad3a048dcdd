//! The types of arguments in scripts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{DeviceListProperties, QomListProperties, QueryQmpSchema};
use qmp_client::qmp::types::ObjectPropertyInfo;

use crate::shell::help::{UnknownTopic, help};
use crate::shell::syntax::{self, Statement, SyntaxError};
use crate::shell::types::{Builtin, Owner, Schema, Types};

/// The deadline of a question about types. Without an answer, the builtin types are used.
const WITHIN: Duration = Duration::from_secs(5);

/// The types of a machine, which is asked only if the builtin types do not suffice: a script does not
/// wait for a schema that it does not need.
#[derive(Debug)]
pub(super) struct Lazy {
    client: Client,
    live: OnceLock<Option<Schema>>,
    properties: Mutex<HashMap<(bool, String), Properties>>,
}

type Properties = Option<Arc<[ObjectPropertyInfo]>>;

impl Lazy {
    pub(super) fn new(client: Client) -> Self {
        Self { client, live: OnceLock::new(), properties: Mutex::default() }
    }

    /// Parses a text with the builtin types, and where they lack a command or find an error, with
    /// those of the machine.
    pub(super) fn parse(&self, text: &str) -> Result<Option<Statement>, SyntaxError> {
        let parsed = syntax::parse(text, &Properly { types: &Builtin, lazy: self });
        let suffices = match &parsed {
            Ok(Some(Statement::Command(command))) => {
                let schema = Builtin.schema();
                command.arguments.is_none() || schema.arguments_of(&command.name).is_some()
            }
            Ok(_) => true,
            Err(error) => error.is_incomplete(),
        };
        if suffices {
            return parsed;
        }
        match self.live() {
            Some(live) => syntax::parse(text, &Properly { types: live, lazy: self }),
            None => parsed,
        }
    }

    /// Returns the help on a topic, of which the builtin types may know nothing.
    pub(super) fn help(&self, topic: Option<&str>, width: usize) -> Result<String, UnknownTopic> {
        help(topic, &Builtin, width).or_else(|unknown| match self.live() {
            Some(live) => help(topic, live, width),
            None => Err(unknown),
        })
    }

    fn live(&self) -> Option<&Schema> {
        let ask = || self.client.call(QueryQmpSchema::new()).within(WITHIN).execute().ok();
        self.live.get_or_init(|| ask().map(Schema::live)).as_ref()
    }

    fn properties(&self, is_device: bool, name: &str) -> Properties {
        let ask = || match is_device {
            true => self.client.call(DeviceListProperties::new(name)).within(WITHIN).execute(),
            false => self.client.call(QomListProperties::new(name)).within(WITHIN).execute(),
        };
        let mut known = self.properties.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry((is_device, name.to_owned()));
        known.or_insert_with(|| ask().ok().map(Arc::from)).clone()
    }
}

/// A schema, and the properties of the machine's devices and objects.
struct Properly<'a> {
    types: &'a dyn Types,
    lazy: &'a Lazy,
}

impl Types for Properly<'_> {
    fn schema(&self) -> &Schema {
        self.types.schema()
    }

    fn properties(&self, of: Owner<'_>) -> Properties {
        match of {
            Owner::Device(driver) => self.lazy.properties(true, driver),
            Owner::Type(name) => self.lazy.properties(false, name),
            Owner::Path(_) => None,
        }
    }
}
