//! Objects created by `object-add`, and file descriptors, which cannot be passed to the simulator.

use qmp_types::qmp::commands::{Closefd, Getfd, ObjectAdd, ObjectDel, QueryIothreads};
use qmp_types::{Empty, QmpError};
use serde_json::{Value, json};

use super::machine::{Machine, Object};
use super::replies::typed;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, command: ObjectAdd, _: &mut Context| {
            machine.add_object(&command)
        })
        .command(|machine: &mut Machine, command: ObjectDel, _: &mut Context| {
            machine.delete_object(&command.id)
        })
        .command(|machine: &mut Machine, _: QueryIothreads, _: &mut Context| {
            typed(machine.iothreads())
        })
        .command(|_: &mut Machine, _: Getfd, _: &mut Context| {
            Err(QmpError::generic("No file descriptor supplied via SCM_RIGHTS"))
        })
        .command(|_: &mut Machine, command: Closefd, _: &mut Context| {
            let desc = format!("File descriptor named '{}' not found", command.fdname);
            Err(QmpError::generic(desc))
        })
}

impl Machine {
    fn add_object(&mut self, command: &ObjectAdd) -> Result<Empty, QmpError> {
        let mut properties = match serde_json::to_value(command) {
            Ok(Value::Object(properties)) => properties,
            _ => return Err(QmpError::generic("Parameter 'qom-type' is missing")),
        };
        let mut take = |name: &str| match properties.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (kind, id) = (take("qom-type"), take("id"));
        if self.objects.iter().any(|object| object.id == id) {
            let desc =
                format!("attempt to add duplicate property '{id}' to object (type 'container')");
            return Err(QmpError::generic(desc));
        }
        self.objects.push(Object { id, kind, properties });
        Ok(Empty {})
    }

    fn delete_object(&mut self, id: &str) -> Result<Empty, QmpError> {
        let at = self.objects.iter().position(|object| object.id == id);
        let at = at.ok_or_else(|| QmpError::generic(format!("object '{id}' not found")))?;
        self.objects.remove(at);
        Ok(Empty {})
    }

    fn iothreads(&self) -> Value {
        let iothreads = self.objects.iter().filter(|object| object.kind == "iothread");
        let infos = iothreads.enumerate().map(|(at, object)| {
            let number = |name: &str, default: i64| {
                object.properties.get(name).and_then(Value::as_i64).unwrap_or(default)
            };
            json!({
                "id": object.id,
                "thread-id": 2000 + at,
                "poll-max-ns": number("poll-max-ns", 32_768),
                "poll-grow": number("poll-grow", 0),
                "poll-shrink": number("poll-shrink", 0),
                "aio-max-batch": number("aio-max-batch", 0),
            })
        });
        infos.collect()
    }
}
