//! Prints the public items of a library, one per line: `surface JSON`, where JSON is rustdoc's description
//! of it. `.ci/surface` compares them with those of the last change.
//!
//! The implementation of a trait is one line: its methods are the trait's.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use public_api::{Builder, PublicApi};
use serde_json::Value;

fn main() -> ExitCode {
    let Some(json) = env::args_os().nth(1) else {
        eprintln!("usage: surface JSON");
        return ExitCode::from(2);
    };
    match items(json) {
        Ok(items) => {
            for line in lines(&items) {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot read rustdoc's description: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads a description.
fn items(json: OsString) -> Result<PublicApi, Box<dyn Error>> {
    let mut description = serde_json::from_str(&fs::read_to_string(&json)?)?;
    drop_captures(&mut description);
    let mut readable = json;
    readable.push(".readable");
    fs::write(&readable, description.to_string())?;
    let items = Builder::from_rustdoc_json(readable)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()?;
    Ok(items)
}

/// Drops bounds such as `use<'a, T>`, which `public_api` panics at.
fn drop_captures(value: &mut Value) {
    match value {
        Value::Array(elements) => {
            elements.retain(|element| !is_capture(element));
            elements.iter_mut().for_each(drop_captures);
        }
        Value::Object(members) => members.values_mut().for_each(drop_captures),
        _ => {}
    }
}

/// Returns whether a value is a bound of this kind: an import, which is called `use`, too, is an object.
fn is_capture(value: &Value) -> bool {
    value.get("use").is_some_and(Value::is_array)
}

/// Returns the lines of all items, without what the implementations of traits consist of.
fn lines(items: &PublicApi) -> Vec<String> {
    let mut lines = Vec::new();
    // The type whose implementation of a trait is being listed.
    let mut within = None;
    for line in items.items().map(ToString::to_string) {
        if line.starts_with("impl") {
            within = implementor(&line).map(str::to_owned);
        } else if within.as_ref().is_some_and(|ty| is_within(&line, ty)) {
            continue;
        } else {
            within = None;
        }
        lines.push(line);
    }
    lines
}

/// Returns the path of the type that implements a trait, without its parameters.
fn implementor(line: &str) -> Option<&str> {
    let (_, implementor) = line.split_once(" for ")?;
    let path = implementor.trim_start_matches(['&', '(']);
    Some(path.split(['<', ' ']).next().unwrap_or(path))
}

/// Returns whether an item belongs to the type with this path, which may have parameters.
fn is_within(line: &str, path: &str) -> bool {
    let item = line.split(' ').find(|word| word.contains("::")).unwrap_or(line);
    item.strip_prefix(path).is_some_and(|rest| rest.starts_with("::") || rest.starts_with('<'))
}
