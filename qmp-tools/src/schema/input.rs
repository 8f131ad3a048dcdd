//! What stands for a schema on the command line: files, standard input, a live QEMU, or the
//! schema that the toolkit was built with.

use std::io::Read;
use std::path::Path;

use qmp_client::{Raw, qmp};
use qmp_codegen::introspection::{Names, import};
use qmp_codegen::schema::Schema;
use qmp_codegen::{LoadError, Loaded, Root, diagnostic, load};
use serde_json::value::RawValue;

use super::Failure;
use crate::cli::Patience;

/// What stands for the toolkit's own schema.
const BUILTIN: &str = "builtin";

/// A `query-qmp-schema` reply has a quarter of a megabyte.
const MAX_INPUT: u64 = 64 << 20;

/// A schema, and what it was made from.
pub(super) struct Given {
    pub(super) schema: Schema,
    pub(super) is_introspection: bool,
}

/// Reads a schema from QAPI files, and prints what is questionable.
pub(super) fn written(files: &[String]) -> Result<Loaded, Failure> {
    let roots = files.iter().map(|file| root(file)).collect::<Result<Vec<_>, _>>()?;
    let loaded = load(roots).map_err(|error| wrong(&error))?;
    eprint!("{}", diagnostic::render(&loaded.sources, &loaded.warnings));
    Ok(loaded)
}

/// A file, or `-` for standard input.
pub(super) fn root(file: &str) -> Result<Root, Failure> {
    Ok(match file {
        "-" => Root::Text { name: String::from("<stdin>"), text: read("-")? },
        file => Root::File(file.into()),
    })
}

/// A schema that is wrong; with a word to whoever gave introspection instead.
pub(super) fn wrong(error: &LoadError) -> Failure {
    let mut drawn = error.to_string();
    let files = error.sources.files();
    for file in files.iter().filter(|file| looks_like_introspection(&file.text)) {
        let path = file.path.display();
        drawn += &format!("help: '{path}' seems to be introspection, which `import` reads\n");
    }
    Failure::Schema(drawn)
}

/// Reads introspection from a file, standard input or a live QEMU.
pub(super) fn introspection(source: &str, patience: Patience) -> Result<String, Failure> {
    if source == BUILTIN {
        Ok(qmp::INTROSPECTION.to_owned())
    } else if is_address(source) {
        fetch(source, patience)
    } else {
        read(source)
    }
}

/// Reads a schema from whatever it is.
pub(super) fn any(source: &str, patience: Patience) -> Result<Given, Failure> {
    let text = introspection(source, patience)?;
    if looks_like_introspection(&text) {
        let schema = imported(source, &text, &Names::none())?;
        return Ok(Given { schema, is_introspection: true });
    }
    let root = match source {
        "-" => Root::Text { name: String::from("<stdin>"), text },
        file => Root::File(file.into()),
    };
    let loaded = load([root]).map_err(|error| wrong(&error))?;
    Ok(Given { schema: loaded.schema, is_introspection: false })
}

/// Reads introspection as a schema; an error names where it came from.
pub(super) fn imported(source: &str, text: &str, names: &Names) -> Result<Schema, Failure> {
    import(text, names).map_err(|error| format!("{source}: {error}").into())
}

pub(super) fn read(file: &str) -> Result<String, Failure> {
    let read = |input: &mut dyn Read| {
        let mut text = String::new();
        input.take(MAX_INPUT + 1).read_to_string(&mut text).map(|_| text)
    };
    let text = match file {
        "-" => read(&mut std::io::stdin().lock()),
        file => std::fs::File::open(file).and_then(|mut file| read(&mut file)),
    };
    let text = text.map_err(|error| format!("cannot read '{file}': {error}"))?;
    if text.len() as u64 > MAX_INPUT {
        return Err(format!("'{file}' has more than {} MiB", MAX_INPUT >> 20).into());
    }
    Ok(text)
}

/// What a live QEMU answers, as it came.
fn fetch(address: &str, patience: Patience) -> Result<String, Failure> {
    let mut client = patience.connect(address)?;
    let answer: Box<RawValue> = client.execute(Raw::new("query-qmp-schema"))?;
    Ok(answer.get().to_owned())
}

/// A bare path is an address if there is a socket.
fn is_address(source: &str) -> bool {
    source.starts_with("unix:") || source.starts_with("tcp:") || is_socket(Path::new(source))
}

#[cfg(unix)]
fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(not(unix))]
fn is_socket(_: &Path) -> bool {
    false
}

/// Whether a text is JSON. A schema begins with a comment or with an object, and its strings are
/// in single quotes.
pub(super) fn looks_like_introspection(text: &str) -> bool {
    let text = text.trim_start();
    let inner = text.strip_prefix('{').map(str::trim_start);
    text.starts_with('[') || inner.is_some_and(|inner| inner.starts_with(['"', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn introspection_is_told_from_a_schema() {
        for (text, expected) in [
            ("[]", true),
            ("\n  [{\"name\": \"x\"}]", true),
            ("{ \"return\": [] }", true),
            ("{}", true),
            ("{ 'enum': 'E', 'data': [ 'a' ] }", false),
            ("# a comment\n[]", false),
            ("", false),
        ] {
            assert_eq!(looks_like_introspection(text), expected, "{text}");
        }
    }
}
