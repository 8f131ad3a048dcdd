//! What the types of imported introspection are called.

use qmp_codegen::introspection::Names;

use super::{Failure, input};

/// The names of the toolkit's own schema, as the build script found them.
const BUILTIN: &str = include_str!(concat!(env!("OUT_DIR"), "/names.json"));

/// The names in a table, or those of a schema; without a file, those of the toolkit's own schema.
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
    let loaded = qmp_codegen::load([root]).map_err(|error| input::wrong(&error))?;
    Ok(Names::from_schema(&loaded.schema))
}
