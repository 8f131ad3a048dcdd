//! The generator as build scripts use it.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use crate::diagnostic;
use crate::emit::{self, Options, SurfaceItem};
use crate::load::{self, LoadError, Root};
use crate::schema::Schema;
use crate::similar;
use crate::source::Sources;

/// Generates a vocabulary during a build.
///
/// ```no_run
/// // build.rs
/// fn main() -> std::process::ExitCode {
///     qmp_codegen::Builder::new()
///         .schema("schema/my-vmm.json")
///         .commands(["query-status", "stop", "cont"])
///         .events(["SHUTDOWN"])
///         .generate("vm")
/// }
/// ```
///
/// The crate takes the result in with `qmp_types::include_vocabulary!("vm")`.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    roots: Vec<Root>,
    options: Options,
    /// What was given wrongly; said when the builder is asked to do something.
    mistakes: Vec<String>,
}

/// What was generated, and what was read for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Generated {
    /// The Rust, formatted.
    pub code: String,
    /// Every file that was read, roots and includes.
    pub files: Vec<PathBuf>,
    /// What is questionable in the schema, drawn for people to read; empty if nothing is.
    pub warnings: String,
}

/// Why nothing was generated.
#[derive(Debug)]
#[non_exhaustive]
pub enum GenerateError {
    /// The schema is wrong. Its display draws every diagnostic.
    Schema(LoadError),
    /// The builder was asked for what cannot be: an unknown command, a type that does not parse.
    Request(Vec<String>),
    /// The generated code does not parse: a defect of the generator.
    Code(syn::Error),
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(error) => error.fmt(f),
            Self::Request(mistakes) => mistakes.iter().try_for_each(|m| writeln!(f, "error: {m}")),
            Self::Code(_) => f.write_str("error: the generated code does not parse"),
        }
    }
}

impl std::error::Error for GenerateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Code(error) => Some(error),
            // Its display is the whole error already.
            Self::Schema(_) | Self::Request(_) => None,
        }
    }
}

impl Builder {
    /// A builder without a schema.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the root of a schema: a file, with all that it includes.
    ///
    /// Several roots make one schema; a file that two of them include is read once.
    #[must_use]
    pub fn schema(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.push(Root::File(root.into()));
        self
    }

    /// Adds a schema that is in memory. `name` stands for its path in diagnostics, and its
    /// includes are relative to it.
    #[must_use]
    pub fn schema_text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.roots.push(Root::Text { name: name.into(), text: text.into() });
        self
    }

    /// Takes only these commands, and the types that they reach. May be called repeatedly.
    ///
    /// A selection of commands without one of events leaves all events out.
    #[must_use]
    pub fn commands<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let selected = self.options.commands.get_or_insert_default();
        selected.extend(names.into_iter().map(Into::into));
        self
    }

    /// Takes only these events, and the types that they reach. May be called repeatedly.
    ///
    /// A selection of events without one of commands leaves all commands out.
    #[must_use]
    pub fn events<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let selected = self.options.events.get_or_insert_default();
        selected.extend(names.into_iter().map(Into::into));
        self
    }

    /// Gives constructors and setters to every type, not only to those that callers of commands
    /// build: what a server needs.
    #[must_use]
    pub fn constructors_for_all(mut self) -> Self {
        self.options.constructors_for_all = true;
        self
    }

    /// Adds attributes, such as `#[derive(Eq, Hash)]`, to the item of a type, command or event.
    #[must_use]
    pub fn attributes(mut self, name: impl Into<String>, attributes: &str) -> Self {
        match syn::parse::Parser::parse_str(syn::Attribute::parse_outer, attributes) {
            Ok(parsed) => {
                self.options.attributes.entry(name.into()).or_default().extend(parsed);
            }
            Err(error) => self.mistakes.push(format!("`{attributes}`: no attributes: {error}")),
        }
        self
    }

    /// Adds derives to a type, command or event: `derive("RunState", "PartialOrd, Ord")`.
    #[must_use]
    pub fn derive(self, name: impl Into<String>, traits: &str) -> Self {
        self.attributes(name, &format!("#[derive({traits})]"))
    }

    /// Puts a Rust type of yours in the place of a type of the schema, wherever it is used.
    ///
    /// It must read and write what the schema's type does; an object type must implement
    /// `qmp_types::object::Object` where it is a base, a branch or carries all arguments.
    #[must_use]
    pub fn replace_type(mut self, name: impl Into<String>, path: &str) -> Self {
        match syn::parse_str(path) {
            Ok(path) => {
                self.options.replacements.insert(name.into(), path);
            }
            Err(error) => self.mistakes.push(format!("`{path}`: no path of a type: {error}")),
        }
        self
    }

    /// Gives a member a Rust type of yours, such as bytes for what is Base64 on the wire.
    /// For an optional member, `ty` is what stands inside the `Option`.
    #[must_use]
    pub fn member_type(
        mut self,
        definition: impl Into<String>,
        member: impl Into<String>,
        ty: &str,
    ) -> Self {
        match syn::parse_str(ty) {
            Ok(ty) => {
                let members = self.options.member_types.entry(definition.into()).or_default();
                members.insert(member.into(), ty);
            }
            Err(error) => self.mistakes.push(format!("`{ty}`: no type: {error}")),
        }
        self
    }

    /// Says which configuration symbols are set; what depends on others is left out.
    ///
    /// Unless this is called, everything is taken in, and its documentation names the condition:
    /// a client cannot know how its server was built.
    #[must_use]
    pub fn symbols<N: Into<String>>(self, set: impl IntoIterator<Item = N>) -> Self {
        let set: HashSet<String> = set.into_iter().map(Into::into).collect();
        self.symbols_where(move |symbol| set.contains(symbol))
    }

    /// Like [`symbols`](Self::symbols), by a question instead of a list.
    #[must_use]
    pub fn symbols_where(mut self, is_set: impl Fn(&str) -> bool + 'static) -> Self {
        self.options.symbols = Some(Rc::new(is_set));
        self
    }

    /// Adds `INTROSPECTION` to the vocabulary: what `query-qmp-schema` answers for it, as JSON.
    #[must_use]
    pub fn introspection(mut self) -> Self {
        self.options.introspection = true;
        self
    }

    /// Generates `OUT_DIR/<name>.rs`, as a build script.
    ///
    /// Prints the files that were read for Cargo, and everything that is wrong to standard error;
    /// gives the exit code for `main`. The file is written only if its content changes.
    #[must_use]
    pub fn generate(self, name: &str) -> ExitCode {
        let Some(directory) = std::env::var_os("OUT_DIR") else {
            eprintln!("error: OUT_DIR is not set: `generate` is for build scripts");
            return ExitCode::FAILURE;
        };
        let outcome = self.generate_code();
        for file in files_of(&outcome) {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let generated = match outcome {
            Ok(generated) => generated,
            Err(error) => {
                eprint!("{error}");
                return ExitCode::FAILURE;
            }
        };
        for line in generated.warnings.lines().filter(|line| line.contains(": warning: ")) {
            println!("cargo::warning={line}");
        }
        let path = Path::new(&directory).join(format!("{name}.rs"));
        match write_if_changed(&path, &generated.code) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}: {error}", path.display());
                ExitCode::FAILURE
            }
        }
    }

    /// Generates the Rust, without writing it anywhere.
    ///
    /// # Errors
    /// The schema is wrong, or does not have what was asked for.
    pub fn generate_code(&self) -> Result<Generated, GenerateError> {
        let loaded = load::load(self.roots.iter().cloned()).map_err(GenerateError::Schema)?;
        let code = self.generate_from(&loaded.schema)?;
        Ok(Generated {
            code,
            files: paths(&loaded.sources),
            warnings: diagnostic::render(&loaded.sources, &loaded.warnings),
        })
    }

    /// Generates the Rust of a schema that is at hand; the builder's own roots are not read.
    ///
    /// # Errors
    /// The schema does not have what was asked for.
    pub fn generate_from(&self, schema: &Schema) -> Result<String, GenerateError> {
        let mistakes = self.mistakes_for(schema);
        if !mistakes.is_empty() {
            return Err(GenerateError::Request(mistakes));
        }
        let tokens = emit::emit(schema, &self.options);
        let file = syn::parse2(tokens).map_err(GenerateError::Code)?;
        Ok(format!("// Generated by qmp-codegen.\n\n{}", emit::unparse(file)))
    }

    /// Every public item of what [`generate_code`](Self::generate_code) would write, in its order:
    /// for reviewing what a change of the schema does to the Rust, and for code about the code.
    ///
    /// # Errors
    /// Those of [`generate_code`](Self::generate_code).
    pub fn surface(&self) -> Result<Vec<SurfaceItem>, GenerateError> {
        let loaded = load::load(self.roots.iter().cloned()).map_err(GenerateError::Schema)?;
        let mistakes = self.mistakes_for(&loaded.schema);
        if !mistakes.is_empty() {
            return Err(GenerateError::Request(mistakes));
        }
        Ok(emit::surface(&loaded.schema, &self.options))
    }

    /// Generates the Rust of a schema, not formatted: for measuring.
    #[doc(hidden)]
    #[must_use]
    pub fn tokens(&self, schema: &Schema) -> proc_macro2::TokenStream {
        emit::emit(schema, &self.options)
    }

    fn mistakes_for(&self, schema: &Schema) -> Vec<String> {
        let mut mistakes = self.mistakes.clone();
        let commands: HashSet<&str> =
            schema.commands.iter().map(|c| c.definition.name.as_str()).collect();
        let events: HashSet<&str> =
            schema.events.iter().map(|e| e.definition.name.as_str()).collect();
        let types: HashSet<&str> =
            schema.types.iter().map(|t| t.definition.name.as_str()).collect();
        let mut missing = |kind: &str, name: &str, known: &[&HashSet<&str>]| {
            if !known.iter().any(|names| names.contains(name)) {
                let candidates = known.iter().flat_map(|names| names.iter().copied());
                let guess = similar::did_you_mean(name, candidates);
                let guess = guess.map(|guess| format!("; {guess}")).unwrap_or_default();
                mistakes.push(format!("the schema has no {kind} '{name}'{guess}"));
            }
        };
        for name in self.options.commands.iter().flatten() {
            missing("command", name, &[&commands]);
        }
        for name in self.options.events.iter().flatten() {
            missing("event", name, &[&events]);
        }
        for name in self.options.replacements.keys() {
            missing("type", name, &[&types]);
        }
        let owners = self.options.member_types.keys();
        for name in self.options.attributes.keys().chain(owners) {
            missing("definition", name, &[&types, &commands, &events]);
        }
        mistakes.sort_unstable();
        mistakes
    }
}

/// Files to watch, read before or in spite of an error: mending one of them must build again.
fn files_of(outcome: &Result<Generated, GenerateError>) -> Vec<PathBuf> {
    match outcome {
        Ok(generated) => generated.files.clone(),
        Err(GenerateError::Schema(error)) => paths(&error.sources),
        Err(_) => Vec::new(),
    }
}

fn paths(sources: &Sources) -> Vec<PathBuf> {
    sources.files().iter().map(|file| file.path.clone()).collect()
}

fn write_if_changed(path: &Path, code: &str) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == code.as_bytes()) {
        return Ok(());
    }
    std::fs::write(path, code)
}
