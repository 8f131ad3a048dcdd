//! Commands, events, and the messages that carry them.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::types::close;
use super::{Export, Form, Object, annotations, object, reference, selects};
use crate::schema::{Arguments, Command, Event};
use crate::shape;

impl Export<'_> {
    /// Describes all messages, and returns references to the kinds of messages.
    pub(super) fn messages(&mut self) -> Vec<Value> {
        let schema = self.schema;
        schema.commands.iter().for_each(|command| self.command(command));
        schema.events.iter().for_each(|event| self.event(event));
        let messages = [
            ("message:command", self.command_message()),
            ("message:reply", self.reply_message()),
            ("message:event", self.event_message()),
            ("message:greeting", self.greeting_message()),
        ];
        messages.map(|(name, message)| self.define(name, message)).into()
    }

    fn define(&mut self, name: &str, definition: impl Into<Value>) -> Value {
        self.definitions.insert(name.to_owned(), definition.into());
        reference(name).into()
    }

    fn command(&mut self, command: &Command) {
        let name = &command.definition.name;
        let form = if command.generated { Form::Closed } else { Form::Part };
        let mut arguments = self.arguments(&command.arguments, form);
        annotations::definition(&mut arguments, &command.definition, Some(command));
        self.define(&format!("{name}:arguments"), arguments);

        let mut returns = match &command.returns {
            _ if !command.success_response => object([("not", json!({}))]),
            Some(ty) => self.type_ref(ty, self.received),
            None => self.arguments(&Arguments::Inline(Vec::new()), self.received),
        };
        returns.insert("title".into(), format!("Return value of {name}").into());
        self.define(&format!("{name}:returns"), returns);
    }

    fn event(&mut self, event: &Event) {
        let mut data = self.arguments(&event.data, self.received);
        annotations::definition(&mut data, &event.definition, None);
        self.define(&format!("{}:data", event.definition.name), data);
    }

    fn arguments(&mut self, arguments: &Arguments, form: Form) -> Object {
        match arguments {
            Arguments::Named { ty, .. } => self.reference(*ty, form),
            Arguments::Inline(members) => {
                let mut out = self.members(members, form);
                close(&mut out, form);
                out
            }
        }
    }

    fn command_message(&self) -> Value {
        let (mut names, mut oob, mut all) = (Vec::new(), Vec::new(), Vec::new());
        let mut known = HashMap::new();
        for command in &self.schema.commands {
            let name = command.definition.name.as_str();
            let mut selected = vec![selects("execute", name)];
            names.push(name);
            if command.allow_oob {
                selected.push(selects("exec-oob", name));
                oob.push(name);
            }
            let needed = shape::is_needed(self.schema, &command.arguments, &mut known);
            let then = carries("arguments", &format!("{name}:arguments"), needed);
            all.push(json!({"if": {"anyOf": selected}, "then": then}));
        }
        let members = json!({
            "execute": {"enum": names},
            "exec-oob": {"enum": oob},
            "arguments": {"type": "object"},
            "id": {"description": "Any value, which the reply repeats."},
        });
        all.push(message(&[], false, members));
        let one = json!([{"required": ["execute"]}, {"required": ["exec-oob"]}]);
        json!({"allOf": all, "oneOf": one})
    }

    /// Describes a reply, which does not name its command. `NAME:returns` describes its value.
    fn reply_message(&self) -> Value {
        let texts = json!({"class": {"type": "string"}, "desc": {"type": "string"}});
        let error = self.received(&["class", "desc"], texts);
        let id = json!({"description": "The id of the command."});
        json!({"oneOf": [
            self.received(&["return"], json!({"return": true, "id": id})),
            self.received(&["error"], json!({"error": error, "id": id})),
        ]})
    }

    fn event_message(&self) -> Value {
        let (mut names, mut all, mut known) = (Vec::new(), Vec::new(), HashMap::new());
        for event in &self.schema.events {
            let name = event.definition.name.as_str();
            names.push(name);
            let needed = shape::is_needed(self.schema, &event.data, &mut known);
            let then = carries("data", &format!("{name}:data"), needed);
            all.push(json!({"if": selects("event", name), "then": then}));
        }
        let times = json!({"seconds": {"type": "integer"}, "microseconds": {"type": "integer"}});
        let members = json!({
            "event": {"type": "string", "anyOf": [{"enum": names}, self.received == Form::Open]},
            "data": {"type": "object"},
            "timestamp": self.received(&["seconds", "microseconds"], times),
        });
        all.push(self.received(&["event", "timestamp"], members));
        json!({"allOf": all})
    }

    fn greeting_message(&self) -> Value {
        let capabilities = json!({"type": "array", "items": {"type": "string"}});
        let qmp = json!({"version": {"type": "object"}, "capabilities": capabilities});
        let qmp = self.received(&["version", "capabilities"], qmp);
        self.received(&["QMP"], json!({"QMP": qmp}))
    }

    fn received(&self, required: &[&str], properties: Value) -> Value {
        message(required, self.received == Form::Open, properties)
    }
}

/// Returns what a message carries in a member, which can only be absent if it is not `needed`.
fn carries(member: &str, name: &str, needed: bool) -> Value {
    let required = needed.then_some(member);
    json!({"properties": {member: reference(name)}, "required": Vec::from_iter(required)})
}

/// Describes an object of the protocol, which can have other members if it is `open`.
fn message(required: &[&str], open: bool, properties: Value) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": open,
    })
}
