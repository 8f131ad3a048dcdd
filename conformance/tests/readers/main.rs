//! Reads texts of every type of the vocabulary with `qmp_types::decode` and with `serde_json`, which
//! must agree: on the value, or that the text is invalid.
//!
//! The texts are made from the schema: members in any order, repeated, and unknown ones among them,
//! escapes, white space. Half of them have a fault. `QMP_READER_TEXTS` is the number of texts for
//! each type.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod text;
mod values;

use qmp_client::Command;
use qmp_codegen::Root;
use serde::de::DeserializeOwned;
use serde_json::json;

use text::Writer;
use values::{Dice, Values};

/// The part of a message that has a type.
#[derive(Clone, Copy, Debug)]
enum Role {
    Arguments,
    Reply,
    Data,
}

include!(concat!(env!("OUT_DIR"), "/readers.rs"));

/// Reads a text in both ways. Returns whether it is valid, or how they differ.
fn compare<T: DeserializeOwned + PartialEq>(text: &str) -> Result<bool, String> {
    match (qmp_types::decode::<T>(text), serde_json::from_str::<T>(text)) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Ok(true),
        (Ok(_), Ok(_)) => Err("the values differ".to_owned()),
        (Ok(_), Err(theirs)) => Err(format!("only serde_json fails: {theirs}")),
        (Err(ours), Ok(_)) => Err(format!("only serde_json succeeds: {ours}")),
        (Err(_), Err(_)) => Ok(false),
    }
}

#[test]
fn every_type_is_read_as_by_serde_json() {
    let count = std::env::var("QMP_READER_TEXTS").map_or(20, |count| count.parse().unwrap());
    let roots = [qmp_schema::SPEC, qmp_schema::EVENTS].map(|root| Root::File(root.into()));
    let schema = qmp_codegen::load(roots).unwrap().schema;
    let values = Values::new(&schema);
    let mut dice = Dice::new(1);
    let (mut valid, mut invalid) = (0, 0);
    let mut check = |role, name: &str, dice: &mut Dice, value: &mut dyn FnMut(&mut Dice) -> _| {
        for _ in 0..count {
            let value = value(dice);
            let text = Writer::write(&value, dice);
            match read(role, name, &text) {
                Ok(true) => valid += 1,
                Ok(false) => invalid += 1,
                Err(difference) => panic!("{role:?} of `{name}`: {difference}\n{text}"),
            }
        }
    };
    for command in &schema.commands {
        let name = &command.definition.name;
        check(Role::Arguments, name, &mut dice, &mut |dice| {
            values.arguments(&command.arguments, dice)
        });
        check(Role::Reply, name, &mut dice, &mut |dice| match &command.returns {
            Some(ty) => values.of(ty, dice),
            None => json!({}),
        });
    }
    for event in &schema.events {
        let name = &event.definition.name;
        check(Role::Data, name, &mut dice, &mut |dice| values.arguments(&event.data, dice));
    }
    println!("{valid} valid texts, {invalid} invalid ones");
    assert!(valid > invalid && invalid > valid / 10, "{valid} {invalid}");
}
