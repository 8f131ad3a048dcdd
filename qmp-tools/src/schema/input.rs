//! Reads the schemas that the command line names: files, standard input, a running QEMU, or the
//! schema that the toolkit was built with.

use std::io::Read;
use std::path::Path;

use qmp_client::protocol::Printable;
use qmp_client::{Raw, qmp};
use qmp_codegen::diff::Scope;
use qmp_codegen::introspection::{Names, import};
use qmp_codegen::schema::Schema;
use qmp_codegen::{LoadError, LoadOptions, Loaded, Root, diagnostic, load};
use serde_json::value::RawValue;

use super::Failure;
use crate::cli::TimeoutArgs;
#[cfg(unix)]
use crate::host::is_machine;
use crate::terminal::{self, notice};

/// The argument that names the toolkit's own schema.
pub(super) const BUILTIN: &str = "builtin";

/// The largest input that is read, in bytes. A `query-qmp-schema` reply has about 250 KB.
pub(super) const MAX_INPUT: u64 = 64 << 20;

/// A schema of either kind.
#[derive(Debug)]
pub(super) struct Detected {
    pub(super) schema: Schema,
    pub(super) is_introspection: bool,
}

/// Returns what two schemas can be compared by.
pub(super) fn scope(old: &Detected, new: &Detected) -> Scope {
    if old.is_introspection || new.is_introspection { Scope::Introspection } else { Scope::Schema }
}

/// Loads a schema from QAPI files, and prints its warnings: those about documentation, of which an
/// old release has hundreds, as one line.
pub(super) fn load_files(files: &[String], options: &LoadOptions) -> Result<Loaded, Failure> {
    let roots = files.iter().map(|file| root(file)).collect::<Result<Vec<_>, _>>()?;
    let loaded = options.load(roots).map_err(|error| invalid_schema(&error))?;
    let (hidden, shown): (Vec<_>, Vec<_>) =
        loaded.warnings.iter().cloned().partition(|warning| warning.is_documentation);
    terminal::print_diagnostics(&diagnostic::render(&loaded.sources, &shown));
    match hidden.len() {
        0 => {}
        1 => notice("warning: 1 warning about documentation, which `qmp-schema check` shows"),
        count => notice(&format!(
            "warning: {count} warnings about documentation, which `qmp-schema check` shows"
        )),
    }
    Ok(loaded)
}

/// Returns the root that an argument names: a file, or standard input for `-`.
pub(super) fn root(file: &str) -> Result<Root, Failure> {
    Ok(match file {
        "-" => Root::Text { name: String::from("<stdin>"), text: read("-")? },
        file => Root::File(file.into()),
    })
}

/// Converts a load error, with a hint if the input is introspection data rather than a schema.
pub(super) fn invalid_schema(error: &LoadError) -> Failure {
    Failure::Schema(format!("{error}{}", introspection_hint(error)))
}

/// Returns a hint for each file that is introspection data rather than a schema.
pub(super) fn introspection_hint(error: &LoadError) -> String {
    let files = error.sources.files().iter();
    let hints = files.filter(|file| looks_like_introspection(&file.text)).map(|file| {
        let path = file.path.display().to_string();
        let path = Printable(&path);
        format!(
            "help: '{path}' looks like introspection data: convert it with `qmp-schema import`\n"
        )
    });
    hints.collect()
}

/// Reads text from a file, standard input, a running QEMU or the builtin schema.
pub(super) fn read_source(source: &str, timeout: TimeoutArgs) -> Result<String, Failure> {
    if source == BUILTIN {
        Ok(qmp::INTROSPECTION.to_owned())
    } else if is_address(source) {
        fetch(source, timeout)
    } else {
        read(source)
    }
}

/// Reads a source and detects from its content whether it is a schema or introspection data.
pub(super) fn detect(source: &str, timeout: TimeoutArgs) -> Result<Detected, Failure> {
    detect_with(source, &Names::none(), timeout)
}

/// Does the same as [`detect`], and gives types of introspection data the names of a table.
pub(super) fn detect_with(
    source: &str,
    names: &Names,
    timeout: TimeoutArgs,
) -> Result<Detected, Failure> {
    let text = read_source(source, timeout)?;
    if looks_like_introspection(&text) {
        let schema = imported(source, &text, names)?;
        return Ok(Detected { schema, is_introspection: true });
    }
    let root = match source {
        "-" => Root::Text { name: String::from("<stdin>"), text },
        file => Root::File(file.into()),
    };
    let loaded = load([root]).map_err(|error| invalid_schema(&error))?;
    Ok(Detected { schema: loaded.schema, is_introspection: false })
}

/// Converts introspection data to a schema; an error names the source.
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
        return Err(format!("'{file}' is larger than {} MiB", MAX_INPUT >> 20).into());
    }
    Ok(text)
}

/// Fetches the reply to `query-qmp-schema` from a running QEMU, verbatim.
fn fetch(address: &str, timeout: TimeoutArgs) -> Result<String, Failure> {
    let client = timeout.connect(address)?;
    let answer: Box<RawValue> = client.execute(Raw::new("query-qmp-schema"))?;
    Ok(answer.get().to_owned())
}

/// Returns whether a source is an address, or the name of a machine. A bare path is an address if it
/// names a socket.
pub(super) fn is_address(source: &str) -> bool {
    ["unix:", "tcp:", "telnet:"].iter().any(|prefix| source.starts_with(prefix))
        || is_socket(Path::new(source))
        || is_machine(source)
}

#[cfg(not(unix))]
fn is_machine(_: &str) -> bool {
    false
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

/// Returns whether a text is JSON rather than QAPI. A QAPI schema begins with a comment or with an
/// object, and its strings are in single quotes.
pub(super) fn looks_like_introspection(text: &str) -> bool {
    let text = text.trim_start();
    let inner = text.strip_prefix('{').map(str::trim_start);
    text.starts_with('[') || inner.is_some_and(|inner| inner.starts_with(['"', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn introspection_is_distinguished_from_a_schema() {
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
