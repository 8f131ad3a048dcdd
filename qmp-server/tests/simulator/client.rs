//! A client for tests.

use qmp_server::{Connection, Machine, Simulator};
use serde_json::{Value, json};

use crate::support::{NEGOTIATE, lines};

/// A client that has completed capabilities negotiation.
pub(crate) struct Client(pub(crate) Connection<Machine>);

impl Client {
    pub(crate) fn new(simulator: &Simulator) -> Self {
        let connection = simulator.connection();
        connection.receive(NEGOTIATE);
        drop(connection.take_output());
        Self(connection)
    }

    /// Reads all pending messages.
    pub(crate) fn read(&self) -> Vec<Value> {
        let lines = lines(&self.0.take_output());
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Executes a command, and returns the messages that it causes, without timestamps.
    pub(crate) fn execute(&self, command: &str, arguments: Value) -> Vec<Value> {
        let message = json!({"execute": command, "arguments": arguments});
        self.0.receive(message.to_string().as_bytes());
        self.read().into_iter().map(without_time).collect()
    }

    /// Executes a command without arguments, and returns its return value.
    pub(crate) fn query(&self, command: &str) -> Value {
        let replies = self.execute(command, json!({}));
        assert_eq!(replies.len(), 1, "{command}: {replies:?}");
        replies[0].get("return").unwrap_or_else(|| panic!("{command}: {}", replies[0])).clone()
    }

    /// Executes a command that must fail, and returns the description of the error.
    pub(crate) fn error(&self, command: &str, arguments: Value) -> String {
        let replies = self.execute(command, arguments);
        replies[0]["error"]["desc"].as_str().unwrap_or_else(|| panic!("{replies:?}")).to_owned()
    }
}

pub(crate) fn without_time(mut message: Value) -> Value {
    if let Some(time) = message.as_object_mut().unwrap().remove("timestamp") {
        assert!(time["seconds"].as_i64().unwrap() > 1_700_000_000, "{time}");
    }
    message
}

pub(crate) fn done() -> Value {
    json!({"return": {}})
}

pub(crate) fn event(name: &str) -> Value {
    json!({"event": name})
}

pub(crate) fn event_with(name: &str, data: Value) -> Value {
    json!({"event": name, "data": data})
}
