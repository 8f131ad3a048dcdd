//! Examples as lines of the shell.

use serde_json::{Map, Value};

use crate::reference::{Definition, Kind, Member, Reference};
use crate::shell::syntax::literal::{self, Kind as LiteralKind};
use crate::shell::syntax::write;

/// Returns an example of a command: the one of its documentation, or one with its mandatory arguments.
pub(super) fn of(command: &Definition, reference: &Reference) -> String {
    documented(command).unwrap_or_else(|| {
        let arguments = arguments(command, reference, 0);
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

/// Returns values for the mandatory arguments.
fn arguments(definition: &Definition, reference: &Reference, depth: usize) -> Map<String, Value> {
    let mut arguments = Map::new();
    for member in definition.members.iter().filter(|member| !member.optional) {
        arguments.insert(member.name.clone(), value(member, reference, depth));
    }
    // The first branch whose members are known.
    if let (Some(tag), Some(branch)) = (&definition.discriminator, definition.branches.first()) {
        arguments.insert(tag.clone(), Value::String(branch.name.clone()));
        if let Some(branch) = reference.find(&branch.ty) {
            arguments.extend(self::arguments(&branch, reference, depth + 1));
        }
    }
    arguments
}

fn value(member: &Member, reference: &Reference, depth: usize) -> Value {
    /// The greatest number of objects in objects.
    const MAX_DEPTH: usize = 6;
    if let Some(element) = member.ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')) {
        let element = Member { ty: element.to_owned(), ..member.clone() };
        return Value::Array(vec![value(&element, reference, depth + 1)]);
    }
    match member.ty.as_str() {
        "str" => Value::String(format!("{}0", member.name.trim_end_matches("-name"))),
        "bool" => true.into(),
        "number" | "int" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32"
        | "uint64" | "size" => 1.into(),
        "null" => Value::Null,
        ty => match reference.find(ty).filter(|_| depth < MAX_DEPTH) {
            Some(definition) => match definition.kind {
                Kind::Enumeration => {
                    let first = definition.values.first();
                    Value::String(first.map(|value| value.name.clone()).unwrap_or_default())
                }
                Kind::Alternate => match definition.branches.first() {
                    Some(branch) => {
                        let member = Member { ty: branch.ty.clone(), ..member.clone() };
                        value(&member, reference, depth + 1)
                    }
                    None => Value::Null,
                },
                _ => Value::Object(arguments(&definition, reference, depth + 1)),
            },
            None => Value::String(String::from("value")),
        },
    }
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
