//! Transactions in the notation of qmp-shell: `transaction(`, an action on each line, `)`.

use serde_json::{Map, Value, json};

use super::words::Word;
use super::{Command, Parser, Statement, SyntaxError, literal, shown};
use crate::shell::complete::did_you_mean;
use crate::shell::types::{Schema, Shape};

impl<'a> Parser<'a> {
    /// Parses the transaction that begins at `start`; its actions begin at `inner`.
    pub(super) fn transaction(&self, start: usize, inner: usize) -> Result<Statement, SyntaxError> {
        let mut actions = Vec::new();
        let mut own = Vec::new();
        let mut at = inner;
        loop {
            if at >= self.text.len() {
                let message = "unclosed transaction: `)` on a line of its own ends it";
                return Err(SyntaxError::incomplete(start..inner, message));
            }
            let line = self.line(at)?;
            at = line.end;
            let mut words = without_prompt(&line.words);
            let ends = words.last().is_some_and(|word| word.text == ")");
            if ends {
                words = words.get(..words.len() - 1).unwrap_or_default();
            }
            match words.first() {
                None => {}
                Some(word) if word.text.starts_with('{') => {
                    for word in words {
                        actions.push(literal::whole(self.text, word.span())?.to_json()?);
                    }
                }
                Some(word) if word.text.contains('=') => own.extend_from_slice(words),
                Some(name) => actions.push(self.action(*name, words.get(1..).unwrap_or_default())?),
            }
            if ends {
                break;
            }
        }
        self.nothing_after(at)?;
        let ty = self.types.schema().arguments_of("transaction");
        let mut arguments = Map::new();
        arguments.insert(String::from("actions"), Value::Array(actions));
        if !own.is_empty() {
            if let Value::Object(own) = self.arguments("transaction", &own, ty)? {
                arguments.extend(own);
            }
        }
        let arguments = Some(Value::Object(arguments));
        Ok(Statement::Command(Command::new("transaction", arguments)))
    }

    fn action(&self, name: Word<'a>, words: &[Word<'a>]) -> Result<Value, SyntaxError> {
        let schema = self.types.schema();
        let ty = action_type(schema, name.text);
        let known = actions(schema);
        if ty.is_none() && schema.is_live() && !known.contains(&name.text) && !known.is_empty() {
            let help = did_you_mean(name.text, known.into_iter());
            let help = help.map(|name| format!("did you mean `{name}`?"));
            let message = format!("`{}` is not an action of a transaction", shown(name.text));
            return Err(SyntaxError::invalid(name.span(), message).help(help));
        }
        let data = self.arguments(name.text, words, ty)?;
        Ok(json!({"type": name.text, "data": data}))
    }
}

/// Returns the words without the prompt that documentation shows.
fn without_prompt<'w, 't>(words: &'w [Word<'t>]) -> &'w [Word<'t>] {
    match words.split_first() {
        Some((first, rest)) if first.text == "TRANS>" => rest,
        _ => words,
    }
}

/// Returns the type of the data of an action in a transaction.
pub(crate) fn action_type<'s>(schema: &'s Schema, name: &str) -> Option<&'s str> {
    let Some((_, Shape::Object(action))) = action_union(schema) else { return None };
    let branch = action.variants.iter().flatten().find(|branch| branch.case == name)?;
    let Shape::Object(wrapper) = schema.shape(&branch.type_) else { return None };
    let data = wrapper.members.iter().find(|member| member.name == "data")?;
    Some(&data.type_)
}

/// Returns the names of the actions that a transaction can have.
pub(crate) fn actions(schema: &Schema) -> Vec<&str> {
    let Some((_, Shape::Object(action))) = action_union(schema) else { return Vec::new() };
    action.variants.iter().flatten().map(|branch| branch.case.as_str()).collect()
}

fn action_union(schema: &Schema) -> Option<(&str, Shape<'_>)> {
    let Shape::Object(arguments) = schema.shape(schema.arguments_of("transaction")?) else {
        return None;
    };
    let actions = arguments.members.iter().find(|member| member.name == "actions")?;
    let Shape::Array(action) = schema.shape(&actions.type_) else { return None };
    Some((action, schema.shape(action)))
}
