//! Examples as lines of the shell.

use serde_json::{Map, Value};

use crate::reference::{Definition, Reference, example};
use crate::shell::syntax::literal::{self, Kind as LiteralKind};
use crate::shell::syntax::write;

/// Returns an example of a command: the one of its documentation, or one with its mandatory arguments.
pub(super) fn of(command: &Definition, reference: &Reference) -> String {
    documented(command).unwrap_or_else(|| {
        let arguments = example::members(reference, command).unwrap_or_default();
        write::command(&command.name, &Value::Object(arguments))
    })
}

/// Returns the first command in the documentation's examples that is this one.
fn documented(command: &Definition) -> Option<String> {
    commands(command).into_iter().find_map(|(name, arguments)| {
        (name == command.name).then(|| write::command(&name, &arguments))
    })
}

/// Returns the commands that examples send.
pub(super) fn commands(definition: &Definition) -> Vec<(String, Value)> {
    let mut commands = Vec::new();
    for example in &definition.examples {
        let mut rest = example.as_str();
        while let Some(at) = rest.find("-> ") {
            rest = rest.get(at + 3..).unwrap_or_default();
            let Ok((value, end)) = literal::read(rest, 0) else { continue };
            rest = rest.get(end..).unwrap_or_default();
            let LiteralKind::Object(_) = value.kind else { continue };
            let Ok(Value::Object(mut message)) = value.to_json() else { continue };
            let name = message.remove("execute").or_else(|| message.remove("exec-oob"));
            let Some(Value::String(name)) = name else { continue };
            let arguments = message.remove("arguments");
            commands.push((name, arguments.unwrap_or_else(|| Value::Object(Map::new()))));
        }
    }
    commands
}

/// Returns whether a line means these arguments.
#[cfg(test)]
pub(super) fn means(line: &str, name: &str, arguments: &Value) -> bool {
    use crate::shell::syntax::{Statement, parse};
    use crate::shell::types::Builtin;
    let empty = Value::Object(Map::new());
    matches!(
        parse(line, &Builtin),
        Ok(Some(Statement::Command(command)))
            if command.name == name && command.arguments.as_ref().unwrap_or(&empty) == arguments
    )
}
