//! Validates what running QEMUs send with the JSON Schema of the vocabulary.
//!
//! With `BLESS=1`, also records the replies for the tests of `qmp-codegen`.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use conformance::{Scratch, Session, Tally, Visit, for_each_qmp_query, qemus};
use jsonschema::Validator;
use qmp_client::blocking::Events;
use qmp_client::{Command, Raw, RawEvent};
use qmp_codegen::Root;
use qmp_codegen::json_schema::{Role, export};
use serde_json::{Value, json};
use support::machines::{self, Inventory};

/// Commands that are not executed: they end QEMU or the connection, or abort without a machine.
const SKIPPED: [&str; 4] =
    ["quit", "qmp_capabilities", "x-colo-lost-heartbeat", "rtc-reset-reinjection"];

/// The least number of commands that a QEMU answers.
const MIN_ANSWERED: usize = 70;

/// The number of elements of an array that are recorded.
const RECORDED_ELEMENTS: usize = 3;

/// The JSON Schema of the vocabulary, for one role: validates an object that has a value for the name
/// of a definition.
struct Document(Role, Validator);

impl Document {
    fn new(role: Role) -> Self {
        let roots = [qmp_schema::SPEC, qmp_schema::EVENTS].map(|root| Root::File(root.into()));
        let mut document = export(&qmp_codegen::load(roots).unwrap().schema, role);
        let names = document["$defs"].as_object().unwrap().keys();
        let references =
            names.map(|name| (name.clone(), json!({"$ref": format!("#/$defs/{name}")})));
        document["properties"] = Value::Object(references.collect());
        document["additionalProperties"] = false.into();
        document.as_object_mut().unwrap().remove("anyOf");
        Self(role, jsonschema::draft202012::new(&document).unwrap())
    }

    /// Returns the errors of a value, each with its place.
    fn errors(&self, definition: &str, value: &Value) -> Vec<String> {
        let value = json!({definition: value});
        let errors = self.1.iter_errors(&value);
        errors.map(|error| format!("{:?} {}: {error}", self.0, error.instance_path())).collect()
    }
}

needs! { qemu,
    /// A server is held to the schema without exceptions, which a client does not rely on.
    fn replies_and_events_are_valid() {
        let documents = [Role::Client, Role::Server].map(Document::new);
        let mut failures = Vec::new();
        for qemu in qemus() {
            let inventory = Inventory::of(&qemu).unwrap();
            let label = support::label("QEMU", &inventory.version.qemu);
            let scratch = Scratch::new();
            let mut replies = BTreeMap::new();
            let mut events = Vec::new();
            for machine in machines::all(&scratch).iter().filter(|one| inventory.has(one)) {
                let mut tally = Tally::default();
                let mut session = inventory.start(&qemu, machine, &label, &mut tally).unwrap();
                let mut received = session.client().raw_events();
                for_each_qmp_query(&mut Record { session: &mut session, replies: &mut replies });
                events.extend(run(&session, &mut received));
            }
            let count: usize = replies.values().map(Vec::len).sum();
            for document in &documents {
                for (command, values) in &replies {
                    let definition = format!("{command}:returns");
                    for value in values {
                        let reply = json!({"return": value, "id": 1});
                        let mut errors = document.errors(&definition, value);
                        errors.extend(document.errors("message:reply", &reply));
                        failures.extend(errors.iter().map(|e| format!("{label}: {command}: {e}")));
                    }
                }
                for event in &events {
                    let errors = document.errors("message:event", event);
                    failures.extend(errors.iter().map(|e| format!("{label}: {event}: {e}")));
                }
            }
            println!(
                "{label}: {count} replies to {} commands, {} events", replies.len(), events.len()
            );
            assert!(replies.len() >= MIN_ANSWERED && !events.is_empty(), "{label}");
            if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
                let version = &inventory.version.qemu;
                bless(&format!("{}.{}", version.major, version.minor), &replies, &events, &scratch);
            }
        }
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
}

/// Records the replies to all commands that need no arguments.
struct Record<'r, 's, 't> {
    session: &'r mut Session<'t>,
    replies: &'s mut BTreeMap<String, Vec<Value>>,
}

impl Visit for Record<'_, '_, '_> {
    fn command<C: Command>(&mut self, _: C) {
        if SKIPPED.contains(&C::NAME) {
            return;
        }
        // A command that this QEMU lacks or refuses has no reply.
        if let Ok(value) = self.session.client().execute(Raw::<Value>::new(C::NAME)) {
            self.replies.entry(C::NAME.to_owned()).or_default().push(value);
        }
    }
}

/// Runs and stops the machine, and returns the events that have arrived.
fn run(session: &Session<'_>, events: &mut Events<RawEvent>) -> Vec<Value> {
    for command in ["cont", "stop", "system_reset"] {
        let _ = session.client().execute(Raw::<Value>::new(command));
    }
    let mut received = Vec::new();
    while let Some(Ok(event)) = events.next_within(Duration::from_millis(200)) {
        let mut message = json!({
            "event": &*event.name,
            "timestamp": {
                "seconds": event.timestamp.seconds,
                "microseconds": event.timestamp.microseconds,
            },
        });
        if let Some(data) = &event.data {
            message["data"] = serde_json::from_str(data.get()).unwrap();
        }
        received.push(message);
    }
    received
}

/// Writes one reply to each command, the longest, and one event of each kind.
fn bless(
    release: &str,
    replies: &BTreeMap<String, Vec<Value>>,
    events: &[Value],
    scratch: &Scratch,
) {
    let longest = |values: &Vec<Value>| {
        let longest = values.iter().max_by_key(|value| value.to_string().len());
        shortened(longest.unwrap())
    };
    let replies: BTreeMap<_, _> =
        replies.iter().map(|(name, values)| (name, longest(values))).collect();
    let events: BTreeMap<_, _> =
        events.iter().map(|event| (event["event"].to_string(), event)).collect();
    let line = |value: Value| value.to_string();
    let replies: Vec<String> =
        replies.into_iter().map(|(name, value)| format!("{:?}: {}", name, line(value))).collect();
    let events: Vec<String> = events.into_values().map(Value::to_string).collect();
    let text = format!(
        "{{\"replies\": {{\n{}\n}}, \"events\": [\n{}\n]}}\n",
        replies.join(",\n"),
        events.join(",\n")
    );
    // The files of the test are not in the same place again.
    let place = scratch.file("");
    let text = text.replace(place.trim_end_matches('/'), "/run/vm");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qmp-codegen/tests/data/replies");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(format!("{release}.json")), text).unwrap();
}

/// Returns a value with only the first elements of each array.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Array(elements) => elements.iter().take(RECORDED_ELEMENTS).map(shortened).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), shortened(value))).collect()
        }
        _ => value.clone(),
    }
}
