//! Help: the documentation of commands, events and types as text for a terminal.

mod example;
mod page;

use std::fmt;

use super::complete::did_you_mean;
use super::syntax::statements::own;
use super::types::Types;
use crate::reference::{Kind, Reference};

pub use page::page;

/// A name that nothing is known of.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnknownTopic {
    /// The name.
    pub name: String,
    /// A similar name that is known.
    pub similar: Option<String>,
}

impl fmt::Display for UnknownTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no command, event or type is named `{}`", self.name)?;
        match &self.similar {
            Some(similar) => write!(f, "; did you mean `{similar}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownTopic {}

/// Returns the help on a topic, in lines of at most `width` columns: a command, an event, a type,
/// `commands`, `events` or `types`. Without a topic, returns an overview of the shell.
///
/// # Errors
/// Returns an error if nothing has this name.
pub fn help(topic: Option<&str>, types: &dyn Types, width: usize) -> Result<String, UnknownTopic> {
    let reference = types.reference();
    let Some(topic) = topic else { return Ok(overview(reference)) };
    let schema = types.schema();
    match topic {
        "commands" => return Ok(list(&schema.commands(), types, width)),
        "events" => return Ok(list(&schema.events(), types, width)),
        "types" => {
            let names = reference.names().into_iter();
            let of_types = names.filter(|name| {
                let definition = reference.find(name);
                definition.is_some_and(|found| !matches!(found.kind, Kind::Command | Kind::Event))
            });
            return Ok(list(&of_types.collect::<Vec<_>>(), types, width));
        }
        _ => {}
    }
    if let Some(definition) = reference.find(topic) {
        return Ok(page(&definition, reference, Some(schema), width));
    }
    let is_topic = |name: &str| name.trim_end_matches('(') == topic.trim_end_matches('(');
    if let Some((name, text)) = own(reference).iter().find(|(name, _)| is_topic(name)) {
        return Ok(format!("{name}: {text}.\n\n{}", syntax(reference)));
    }
    if let Some(definition) = page::from_schema(topic, schema) {
        return Ok(page(&definition, reference, Some(schema), width));
    }
    let mut known = reference.names();
    known.extend(schema.commands());
    known.extend(schema.events());
    let similar = did_you_mean(topic, known.into_iter());
    Err(UnknownTopic { name: topic.to_owned(), similar })
}

fn overview(reference: &Reference) -> String {
    let mut text = String::from(syntax(reference));
    text.push_str("\nStatements of the shell itself:\n");
    for (name, description) in own(reference) {
        text.push_str(&format!("  {name:<14}{description}\n"));
    }
    text
}

fn list(names: &[&str], types: &dyn Types, width: usize) -> String {
    let reference = types.reference();
    let lines = names.iter().map(|name| page::entry(name, &reference.summary(name), width));
    lines.collect()
}

/// Returns an overview of the syntax.
fn syntax(reference: &Reference) -> &'static str {
    if reference.is_of_agent() { SYNTAX_OF_AGENT } else { SYNTAX }
}

const SYNTAX: &str = "\
A command is its name, followed by its arguments:
  block_resize node-name=disk0 size=64M
  blockdev-add driver=qcow2 node-name=d1 file.driver=file file.filename='a b'
  blockdev-mirror {\"device\": \"disk0\", \"target\": \"disk1\", \"sync\": \"full\"}

  key=value       text, a number, or something else, as the schema tells
  key.name=value  a member of an object
  key=[...]       a list, and key={...} an object, in JSON or Python's notation
  key:=JSON       a value that is sent as it is
  # comment

  {\"execute\": \"query-status\"}  a command as it is on the wire
  wait SHUTDOWN --timeout 30   waits for an event
  transaction(                 begins a transaction; `)` ends it

  help NAME      explains a command, an event or a type; so does `NAME ?`
  help commands  lists the commands of the machine, and `help events` its events
";

const SYNTAX_OF_AGENT: &str = "\
A statement of the shell is its name, followed by words, which may be quoted:
  exec uname -r
  get '/var/log/my log' log

A command of the agent is its name, followed by its arguments:
  guest-file-open path=/etc/hostname mode=r
  guest-exec path=ls arg=['-l', '/'] capture-output=true
  guest-exec {\"path\": \"ls\", \"arg\": [\"-l\"], \"capture-output\": true}

  key=value      text, a number, or something else, as the schema tells
  key=[...]      a list, and key={...} an object, in JSON or Python's notation
  key:=JSON      a value that is sent as it is
  # comment

  {\"execute\": \"guest-ping\"}  a command as it is on the wire

  help NAME      explains a command or a type; so does `NAME ?`
  help commands  lists the commands of the agent
";

#[cfg(test)]
mod tests;
