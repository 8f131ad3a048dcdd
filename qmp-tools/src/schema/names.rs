//! The names of the types in imported introspection data.

use qmp_codegen::introspection::Names;

use super::{Failure, input};

/// The names of the builtin schema's types, as written by the build script.
const BUILTIN: &str = include_str!(concat!(env!("OUT_DIR"), "/names.json"));

/// Reads names from a file, which is a table of names or a schema. Without a file, returns the names
/// of the builtin schema.
pub(super) fn names(file: Option<&str>) -> Result<Names, Failure> {
    let Some(file) = file else { return Ok(Names::from_json(BUILTIN)?) };
    let text = input::read(file)?;
    if input::looks_like_introspection(&text) {
        return Names::from_json(&text).map_err(|error| format!("{file}: {error}").into());
    }
    let root = match file {
        "-" => qmp_codegen::Root::Text { name: String::from("<stdin>"), text },
        file => qmp_codegen::Root::File(file.into()),
    };
    let loaded = qmp_codegen::load([root]).map_err(|error| input::invalid_schema(&error))?;
    Ok(Names::from_schema(&loaded.schema))
}
