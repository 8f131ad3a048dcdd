//! Compares the list of public items with the generated code.

#![allow(clippy::panic, clippy::unwrap_used)] // tests

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::{Fields, Item};

#[test]
fn surface_lists_exactly_the_public_items() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let schemas: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    assert!(!schemas.is_empty());
    for schema in schemas {
        let builder = qmp_codegen::Builder::new().schema(&schema);
        let surface = builder.surface().unwrap_or_else(|error| panic!("{error}"));
        let mut listed: BTreeSet<String> = surface.into_iter().map(|item| item.path).collect();
        let code = builder.generate_code().unwrap_or_else(|error| panic!("{error}")).code;
        let has = paths(&code);
        // If a union has a base, the enum of its branches is listed as a part of the union.
        listed.extend(
            listed.clone().iter().filter_map(|path| Some(path.rsplit_once("::")?.0.into())),
        );
        listed.retain(|path| path.contains("::"));
        // Items for unknown values and properties have no names in the schema.
        let is_open = |path: &str| path.ends_with("::Unknown") || path.ends_with("::properties");
        let differences = listed.symmetric_difference(&has);
        let differences: Vec<_> =
            differences.filter(|path| listed.contains(*path) || !is_open(path)).collect();
        assert!(differences.is_empty(), "{}: {differences:#?}", schema.display());
    }
}

/// Returns the paths of public items in the modules of generated code.
fn paths(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for item in syn::parse_file(code).unwrap().items {
        let Item::Mod(module) = item else { continue };
        for item in module.content.unwrap().1 {
            let (name, parts): (_, Vec<String>) = match item {
                Item::Struct(data) => {
                    let Fields::Named(fields) = data.fields else { panic!("{}", data.ident) };
                    let fields = fields.named.iter().filter_map(|field| field.ident.as_ref());
                    let fields = fields.map(ToString::to_string);
                    (data.ident, fields.collect())
                }
                Item::Enum(data) => {
                    let variants = data.variants.iter().map(|variant| variant.ident.to_string());
                    (data.ident, variants.collect())
                }
                _ => continue,
            };
            let path = format!("{}::{name}", module.ident);
            paths.extend(parts.into_iter().map(|part| format!("{path}::{part}")));
            paths.insert(path);
        }
    }
    paths
}
