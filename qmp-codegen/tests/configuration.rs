//! Which symbols hold in a build or in a binary, and what becomes of conditions.

#![allow(clippy::unwrap_used)] // tests

use std::path::{Path, PathBuf};

use qmp_codegen::introspection::{Naming, export};
use qmp_codegen::schema::Schema;
use qmp_codegen::{Builder, Configuration, LoadOptions, Root};

const SCHEMA: &str = "\
{ 'enum': 'Color', 'data': [ 'red', { 'name': 'blue', 'if': 'BLUE' } ] }
{ 'struct': 'Paint', 'data': { 'color': 'Color', '*gloss': { 'type': 'int', 'if': { 'not': 'MATT' } } } }
{ 'struct': 'Brush', 'data': { '*size': { 'type': 'int', 'if': { 'all': [ 'A', 'B' ] } } } }
{ 'struct': 'Roller', 'data': { 'coats': { 'type': [ 'Brush' ], 'if': { 'any': [ 'A', 'C' ] } } } }
{ 'union': 'Tool', 'base': { 'kind': 'Kind' }, 'discriminator': 'kind',
  'data': { 'brush': 'Brush', 'roller': { 'type': 'Roller', 'if': 'ROLLER' } } }
{ 'enum': 'Kind', 'data': [ 'brush', 'roller' ] }
{ 'command': 'paint', 'data': 'Paint', 'returns': 'Tool', 'features': [ { 'name': 'fast', 'if': 'FAST' } ] }
{ 'command': 'spray', 'if': 'SPRAY' }
{ 'command': 'roll', 'data': 'Roller', 'boxed': true }
{ 'event': 'DRY', 'if': { 'not': { 'any': [ 'WET', 'DAMP' ] } } }
";

const SYMBOLS: [&str; 11] =
    ["BLUE", "MATT", "A", "B", "C", "ROLLER", "FAST", "SPRAY", "WET", "DAMP", "UNUSED"];

fn schema() -> Schema {
    let root = Root::Text { name: String::from("test.json"), text: SCHEMA.to_owned() };
    qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema
}

/// Returns what a binary replies in which these symbols hold.
fn reply(schema: &Schema, held: &[&str]) -> String {
    export(schema, Naming::Masked, &|symbol| held.contains(&symbol)).to_string()
}

/// Whatever a build has, what is deduced from its reply is true, and generates what it has.
#[test]
fn a_reply_tells_which_symbols_hold() {
    let schema = schema();
    for bits in 0..1_usize << (SYMBOLS.len() - 1) {
        let is_held = |index: &usize| bits >> index & 1 == 1;
        let held: Vec<&str> =
            (0..SYMBOLS.len()).filter(is_held).map(|index| SYMBOLS[index]).collect();
        let reply = reply(&schema, &held);
        let configuration = Configuration::of_reply(&schema, &reply).unwrap();
        for (symbol, holds) in configuration.symbols() {
            assert_eq!(holds, held.contains(&symbol), "{symbol} of {held:?}");
        }
        assert_eq!(configuration.contradictory().count(), 0);
        for symbol in ["BLUE", "MATT", "FAST", "SPRAY"] {
            assert!(configuration.state(symbol).is_some(), "{symbol} of {held:?}");
        }
        assert_eq!(configuration.state("UNUSED"), None);
        // Either both facts about A and B and C decide, or they stay open.
        let again = export(&schema, Naming::Masked, &|symbol| {
            configuration.state(symbol).unwrap_or(held.contains(&symbol))
        });
        assert_eq!(again.to_string(), reply, "{held:?}");
    }
}

#[test]
fn known_symbols_decide_about_unknown_ones() {
    let schema = schema();
    let of = |held: &[&str]| Configuration::of_reply(&schema, &reply(&schema, held)).unwrap();
    let states = |held: &[&str]| ["A", "B", "C"].map(|symbol| of(held).state(symbol));
    // Neither A nor C; and then nothing is seen of brushes but that A and B do not both hold.
    assert_eq!(states(&["B"]), [Some(false), None, Some(false)]);
    assert_eq!(states(&["A", "B"]), [Some(true), Some(true), None]);
    // Not both A and B, yet A or C.
    assert_eq!(states(&["C"]), [None, None, None]);
    assert_eq!(of(&[]).state("WET"), Some(false));
    assert_eq!(of(&["WET"]).state("WET"), None);
}

#[test]
fn a_reply_of_another_schema_contradicts() {
    let schema = schema();
    let text = SCHEMA.replace("'if': 'SPRAY'", "'if': 'BLUE'");
    let root = Root::Text { name: String::from("other.json"), text };
    let other = qmp_codegen::load([root]).unwrap().schema;
    let reply = reply(&schema, &["SPRAY"]);
    let configuration = Configuration::of_reply(&other, &reply).unwrap();
    assert_eq!(configuration.contradictory().collect::<Vec<_>>(), ["BLUE"]);
    assert_eq!(configuration.state("BLUE"), None);
    assert!(Configuration::of_reply(&schema, "[{}]").is_err());
}

fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration").join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn headers_of_a_build_resolve_conditions() {
    let directory = directory("headers");
    let (host, devices) = (directory.join("config-host.h"), directory.join("config-devices.mak"));
    std::fs::write(&host, "#define BLUE 1\n#undef SPRAY\n#define MATT 0\n").unwrap();
    std::fs::write(&devices, "ROLLER=y\n").unwrap();
    let builder = || Builder::new().schema_text("test.json", SCHEMA);
    let code = builder().configuration_files([&host, &devices]).generate_code().unwrap().code;
    for (item, exists) in [
        ("Blue,", true),
        ("pub gloss:", false),
        ("Roller(super::types::Roller)", true),
        ("pub struct Spray", false),
        ("pub struct Dry", true),
        ("Available if", true),
    ] {
        assert_eq!(code.contains(item), exists, "{item}\n{code}");
    }
    // One of the headers is enough, and not mentioned in any means that a symbol does not hold.
    let configuration = Configuration::of_build([&host, &devices]).unwrap();
    assert_eq!(configuration.state("ROLLER"), Some(true));
    assert_eq!(configuration.state("FAST"), Some(false));

    let wrong = directory.join("wrong.h");
    std::fs::write(&wrong, "int main(void);\n").unwrap();
    for (path, message) in [(&wrong, "does not define any symbol"), (&directory, "cannot read")] {
        let error = builder().configuration_files([path]).generate_code().unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

/// Whatever depends on unknown symbols is generated: a client can ignore it, but not do without.
#[test]
fn what_is_unknown_is_generated() {
    let mut configuration = Configuration::new();
    configuration.set("SPRAY", false);
    let builder = Builder::new().schema_text("test.json", SCHEMA).configuration(configuration);
    let code = builder.generate_code().unwrap().code;
    for (item, exists) in [
        ("pub struct Spray", false),
        ("Blue,", true),
        ("pub gloss:", true),
        ("pub struct Dry", true),
    ] {
        assert_eq!(code.contains(item), exists, "{item}");
    }
}

/// A type that only a branch refers to was generated without the branch.
#[test]
fn types_that_only_refer_to_each_other_are_left_out() {
    for (holds, exists) in [(true, true), (false, false)] {
        let mut configuration = Configuration::new();
        configuration.set("ROLLER", holds);
        let builder = Builder::new().schema_text("test.json", SCHEMA).commands(["paint"]);
        let code = builder.configuration(configuration).generate_code().unwrap().code;
        assert!(code.contains("pub struct Brush"));
        assert_eq!(code.contains("pub struct Roller"), exists, "{code}");
    }
}

#[test]
fn the_reply_of_a_binary_resolves_conditions() {
    let file = directory("reply").join("reply.json");
    std::fs::write(&file, reply(&schema(), &["MATT"])).unwrap();
    let builder = Builder::new().schema_text("test.json", SCHEMA).configuration_of_reply(&file);
    let code = builder.generate_code().unwrap().code;
    for (item, exists) in [("pub struct Spray", false), ("Blue,", false), ("pub gloss:", false)] {
        assert_eq!(code.contains(item), exists, "{item}");
    }
}

/// Additions of a fork to the language are skipped on request, with a warning each.
#[test]
fn additions_of_a_fork_are_tolerated_on_request() {
    let text = "\
{ 'pragma': { 'vendor-exceptions': [ 'paint' ] } }
{ 'include': 'none.json', 'x-optional': true }
{ 'vendor': 'Paint', 'data': {} }
{ 'command': 'paint', 'x-audit': true,
  'data': { 'color': { 'type': 'str', 'x-range': 'a' }, 'coats': { 'type': 'int' } },
  'features': [ { 'name': 'fast', 'x-since': '9' } ] }
{ 'enum': 'Color', 'data': [ { 'name': 'red', 'x-rgb': 'f00' } ] }
";
    let text = text.replace("{ 'include': 'none.json', 'x-optional': true }\n", "");
    let root = || Root::Text { name: String::from("fork.json"), text: text.clone() };
    let error = qmp_codegen::load([root()]).unwrap_err();
    assert_eq!(error.diagnostics.len(), 6, "{error}");
    let loaded = LoadOptions::new().allow_unknown(true).load([root()]).unwrap();
    let found: Vec<_> = loaded.warnings.iter().map(|one| one.rule().name()).collect();
    let expected =
        ["pragma", "unknown-key", "unknown-key", "unknown-key", "unknown-key", "unknown-key"];
    assert_eq!(found, expected);
    let builder = Builder::new().schema_text("fork.json", &text).allow_unknown(true);
    let code = builder.generate_code().unwrap().code;
    assert!(code.contains("pub struct Paint") && code.contains("pub coats: i64"), "{code}");
    // A mistake is still one.
    let wrong = text.replace("'type': 'str'", "'type': 'stri'");
    let builder = Builder::new().schema_text("fork.json", &wrong).allow_unknown(true);
    assert!(builder.generate_code().is_err());
}
