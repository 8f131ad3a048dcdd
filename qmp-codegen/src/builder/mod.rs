//! The generator, as build scripts use it.

mod configuration;
mod names;
mod syntax;
mod warnings;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use crate::configuration::Configuration;
#[cfg(feature = "format")]
use crate::diagnostic;
#[cfg(feature = "tools")]
use crate::emit::SurfaceItem;
use crate::emit::{self, Options};
#[cfg(feature = "format")]
use crate::load::Loaded;
use crate::load::{LoadError, LoadOptions, Root};
use crate::named::NameSet;
use crate::schema::Schema;
use crate::source::Sources;
use warnings::headlines;

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
/// The crate includes the result with `qmp_types::include_vocabulary!("vm")`.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    roots: Vec<Root>,
    options: Options,
    /// The configuration symbols that have been listed.
    symbols: NameSet,
    /// Arguments that do not parse, reported when the builder is asked to do something.
    mistakes: Vec<String>,
    lint_docs: bool,
    load: LoadOptions,
    configuration: configuration::Source,
}

/// Generated code, and the files that were read for it.
#[cfg(feature = "format")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Generated {
    /// The Rust code, formatted.
    pub code: String,
    /// Every file that was read, roots and includes.
    pub files: Vec<PathBuf>,
    /// The warnings about the schema, rendered for people to read; empty if the schema has none.
    pub warnings: String,
}

/// The error of a builder: why nothing was generated.
#[derive(Debug)]
#[non_exhaustive]
pub enum GenerateError {
    /// The schema has errors. `Display` renders every diagnostic.
    Schema(LoadError),
    /// Arguments of the builder are wrong: a command that the schema does not have, a type that does
    /// not parse. Or the schema would become far more code than it has text. One message each.
    Request(Vec<String>),
    /// The generated code does not parse, which is a bug of the generator.
    #[cfg(feature = "format")]
    Code(syn::Error),
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(error) => error.fmt(f),
            Self::Request(mistakes) => mistakes.iter().try_for_each(|m| writeln!(f, "error: {m}")),
            #[cfg(feature = "format")]
            Self::Code(_) => f.write_str("error: the generated code does not parse"),
        }
    }
}

impl std::error::Error for GenerateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            #[cfg(feature = "format")]
            Self::Code(error) => Some(error),
            // `Display` shows the whole error already.
            Self::Schema(_) | Self::Request(_) => None,
        }
    }
}

impl Builder {
    /// Creates a builder without a schema.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// let generated = Builder::new().schema_text("garage.json", schema).generate_code()?;
    /// assert!(generated.code.contains("pub struct Park "));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the root of a schema: a file, with all files that it includes.
    ///
    /// Several roots make one schema. A file that two of them include is read once.
    ///
    /// ```no_run
    /// use qmp_codegen::Builder;
    ///
    /// fn main() -> std::process::ExitCode {
    ///     Builder::new().schema("schema/garage.json").generate("garage")
    /// }
    /// ```
    #[must_use]
    pub fn schema(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.push(Root::File(root.into()));
        self
    }

    /// Adds a schema that is in memory. Diagnostics use `name` as its path, and its includes are
    /// relative to it.
    ///
    /// ```
    /// use qmp_codegen::Builder;
    ///
    /// // This schema takes what it needs of QEMU's.
    /// let builder = Builder::new()
    ///     .schema_text("own.json", "{ 'include': 'qapi/run-state.json' } { 'command': 'park' }");
    /// ```
    #[must_use]
    pub fn schema_text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.roots.push(Root::Text { name: name.into(), text: text.into() });
        self
    }

    /// Selects these commands, and the types that they refer to. Calls add up.
    ///
    /// Selecting commands but not events leaves all events out.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// let builder = Builder::new().schema_text("garage.json", schema).commands(["park"]);
    /// let code = builder.generate_code()?.code;
    /// assert!(code.contains("pub struct Park ") && !code.contains("pub struct Leave "));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn commands<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let selected = self.options.commands.get_or_insert_default();
        selected.add(names.into_iter().map(Into::into));
        self
    }

    /// Selects these events, and the types that they refer to. Calls add up.
    ///
    /// Selecting events but not commands leaves all commands out.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// let builder = Builder::new().schema_text("garage.json", schema).events(["PARKED"]);
    /// let code = builder.generate_code()?.code;
    /// assert!(code.contains("pub struct Parked ") && !code.contains("pub struct Park "));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn events<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let selected = self.options.events.get_or_insert_default();
        selected.add(names.into_iter().map(Into::into));
        self
    }

    /// Generates constructors and setters for every type, as a server needs them, and not only for
    /// the arguments of commands.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// // A server emits events.
    /// let builder = Builder::new().schema_text("garage.json", schema);
    /// let client = builder.clone().events(["PARKED"]).generate_code()?.code;
    /// let server = builder.events(["PARKED"]).constructors_for_all().generate_code()?.code;
    /// assert!(server.len() > client.len());
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn constructors_for_all(mut self) -> Self {
        self.options.constructors_for_all = true;
        self
    }

    /// Adds attributes, such as `#[derive(Eq, Hash)]`, to the item of a type, command or event.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// let builder = Builder::new()
    ///     .schema_text("garage.json", schema)
    ///     .attributes("PARKED", "#[derive(Hash)] #[must_use]");
    /// assert!(builder.generate_code()?.code.contains("#[must_use]"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn attributes(mut self, name: impl Into<String>, attributes: &str) -> Self {
        match syntax::attributes(attributes) {
            Ok(parsed) => {
                self.options.attributes.entry(name.into()).extend(parsed);
            }
            Err(error) => {
                self.mistakes.push(format!("`{attributes}` is not a list of attributes: {error}"))
            }
        }
        self
    }

    /// Adds derives to a type, command or event: `derive("RunState", "PartialOrd, Ord")`.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// let builder = Builder::new().schema_text("garage.json", schema).derive("PARKED", "Eq, Hash");
    /// assert!(builder.generate_code()?.code.contains("#[derive(Eq, Hash)]"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn derive(self, name: impl Into<String>, traits: &str) -> Self {
        self.attributes(name, &format!("#[derive({traits})]"))
    }

    /// Replaces a type of the schema with a Rust type of your own, wherever it is used.
    ///
    /// The Rust type must read and write the same JSON. In place of an object that is the branch of a
    /// union or the object of an alternate, it must implement `qmp_types::object::Object`, as a type of
    /// another vocabulary does if its own schema uses it in one of these ways.
    ///
    /// ```
    /// use qmp_codegen::Builder;
    ///
    /// let schema = "
    ///     { 'struct': 'Color', 'data': { 'name': 'str' } }
    ///     { 'command': 'paint', 'data': { 'color': 'Color' } }";
    /// let builder = Builder::new().schema_text("garage.json", schema).replace_type("Color", "crate::Color");
    /// assert!(builder.generate_code()?.code.contains("pub color: crate::Color,"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn replace_type(mut self, name: impl Into<String>, path: &str) -> Self {
        match syntax::path(path) {
            Ok(path) => {
                self.options.replacements.insert(name.into(), path);
            }
            Err(error) => {
                self.mistakes.push(format!("`{path}` is not the path of a type: {error}"))
            }
        }
        self
    }

    /// Sets the Rust type of a member, such as a type for bytes that are Base64 on the wire.
    /// For an optional member, `ty` is the type inside the `Option`.
    ///
    /// `definition` is the struct, union, command or event whose Rust type has the field; members
    /// of a base are fields of each of these.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// let builder =
    ///     Builder::new().schema_text("garage.json", schema).member_type("park", "plate", "crate::Plate");
    /// assert!(builder.generate_code()?.code.contains("pub plate: crate::Plate,"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn member_type(
        mut self,
        definition: impl Into<String>,
        member: impl Into<String>,
        ty: &str,
    ) -> Self {
        match syntax::ty(ty) {
            Ok(ty) => {
                let members = self.options.member_types.entry(definition.into());
                members.insert(member.into(), ty);
            }
            Err(error) => self.mistakes.push(format!("`{ty}` is not a type: {error}")),
        }
        self
    }

    /// Lists the configuration symbols that are set, and leaves out all that depends on others.
    ///
    /// Unless this is called, everything is generated, and its documentation names the condition,
    /// since a client cannot know how its server was built. A symbol that no condition of the schema
    /// has is an error; for a list that has other symbols, too, such as a whole configuration, use
    /// [`symbols_where`](Self::symbols_where).
    ///
    /// ```
    /// use qmp_codegen::Builder;
    ///
    /// let schema = "
    ///     { 'command': 'park' }
    ///     { 'command': 'charge', 'if': 'CONFIG_ELECTRIC' }";
    /// let builder = Builder::new().schema_text("garage.json", schema);
    /// let with = builder.clone().symbols(["CONFIG_ELECTRIC"]).generate_code()?.code;
    /// let without = builder.symbols::<&str>([]).generate_code()?.code;
    /// assert!(with.contains("pub struct Charge") && !without.contains("pub struct Charge"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn symbols<N: Into<String>>(mut self, set: impl IntoIterator<Item = N>) -> Self {
        self.symbols = NameSet::default();
        self.symbols.add(set.into_iter().map(Into::into));
        self.configuration = configuration::Source::None;
        let set = self.symbols.clone();
        self.options.symbols = Some(Rc::new(move |symbol| Some(set.contains(symbol))));
        self
    }

    /// Like [`symbols`](Self::symbols), with a predicate instead of a list.
    ///
    /// ```
    /// use qmp_codegen::Builder;
    ///
    /// let schema = "
    ///     { 'command': 'park' }
    ///     { 'command': 'charge', 'if': 'CONFIG_ELECTRIC' }";
    /// let builder = Builder::new()
    ///     .schema_text("garage.json", schema)
    ///     .symbols_where(|symbol| symbol != "CONFIG_ELECTRIC");
    /// assert!(!builder.generate_code()?.code.contains("pub struct Charge"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn symbols_where(mut self, is_set: impl Fn(&str) -> bool + 'static) -> Self {
        self.symbols = NameSet::default();
        self.configuration = configuration::Source::None;
        self.options.symbols = Some(Rc::new(move |symbol| Some(is_set(symbol))));
        self
    }

    /// Resolves conditions by a configuration: what is known not to exist is left out. What depends
    /// on unknown symbols is generated, with its condition in the documentation.
    ///
    /// Of this method, [`configuration_files`](Self::configuration_files),
    /// [`configuration_of_reply`](Self::configuration_of_reply), [`symbols`](Self::symbols) and
    /// [`symbols_where`](Self::symbols_where), the last call applies.
    ///
    /// ```
    /// use qmp_codegen::{Builder, Configuration};
    ///
    /// let schema = "
    ///     { 'command': 'park' }
    ///     { 'command': 'charge', 'if': 'CONFIG_ELECTRIC' }";
    /// let mut configuration = Configuration::new();
    /// configuration.set("CONFIG_ELECTRIC", false);
    /// let builder =
    ///     Builder::new().schema_text("garage.json", schema).configuration(configuration);
    /// assert!(!builder.generate_code()?.code.contains("pub struct Charge"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[must_use]
    pub fn configuration(mut self, configuration: Configuration) -> Self {
        self.configuration = configuration::Source::Value(configuration);
        self
    }

    /// Resolves conditions as in a build of QEMU, whose headers are read as
    /// [`Configuration::of_build`] describes. Cargo builds again if one of them changes.
    ///
    /// ```no_run
    /// use qmp_codegen::Builder;
    ///
    /// fn main() -> std::process::ExitCode {
    ///     Builder::new()
    ///         .schema("qemu/qapi/qapi-schema.json")
    ///         .configuration_files(["qemu/build/config-host.h"])
    ///         .generate("qemu")
    /// }
    /// ```
    #[must_use]
    pub fn configuration_files<P: Into<PathBuf>>(
        mut self,
        files: impl IntoIterator<Item = P>,
    ) -> Self {
        let files = files.into_iter().map(Into::into).collect();
        self.configuration = configuration::Source::Build(files);
        self
    }

    /// Resolves conditions as in the binary whose reply to `query-qmp-schema` is in a file, as
    /// [`Configuration::of_reply`] describes. Cargo builds again if the file changes.
    ///
    /// Needs the feature `introspection`.
    ///
    /// ```no_run
    /// use qmp_codegen::Builder;
    ///
    /// fn main() -> std::process::ExitCode {
    ///     Builder::new()
    ///         .schema("qemu/qapi/qapi-schema.json")
    ///         .configuration_of_reply("query-qmp-schema.json")
    ///         .generate("qemu")
    /// }
    /// ```
    #[cfg(feature = "introspection")]
    #[must_use]
    pub fn configuration_of_reply(mut self, file: impl Into<PathBuf>) -> Self {
        self.configuration = configuration::Source::Reply(file.into());
        self
    }

    /// Sets whether what a fork has added to the language only causes a warning, and is skipped, as
    /// [`LoadOptions::allow_unknown`] describes (default: no).
    ///
    /// ```
    /// use qmp_codegen::Builder;
    ///
    /// let schema = "{ 'command': 'park', 'license': 'GPL' }";
    /// let builder = Builder::new().schema_text("fork.json", schema);
    /// assert!(builder.generate_code().is_err());
    /// assert!(builder.allow_unknown(true).generate_code().is_ok());
    /// ```
    #[must_use]
    pub fn allow_unknown(mut self, allow: bool) -> Self {
        self.load = self.load.allow_unknown(allow);
        self
    }

    /// Adds the constant `INTROSPECTION` to the vocabulary: its reply to `query-qmp-schema`, as JSON.
    ///
    /// Needs the feature `introspection`.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// use qmp_codegen::Builder;
    ///
    /// let builder = Builder::new().schema_text("garage.json", schema).introspection();
    /// assert!(builder.generate_code()?.code.contains("pub const INTROSPECTION: &str"));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    #[cfg(feature = "introspection")]
    #[must_use]
    pub fn introspection(mut self) -> Self {
        self.options.introspection = true;
        self
    }

    /// Sets whether [`generate`](Self::generate) shows each warning about documentation (default:
    /// no, it shows their number).
    ///
    /// The schema of an old release has hundreds, on which its users have no influence.
    ///
    /// ```no_run
    /// fn main() -> std::process::ExitCode {
    ///     qmp_codegen::Builder::new().schema("schema/garage.json").lint_docs(true).generate("garage")
    /// }
    /// ```
    #[must_use]
    pub fn lint_docs(mut self, lint: bool) -> Self {
        self.lint_docs = lint;
        self
    }

    /// Generates `OUT_DIR/<name>.rs`, as a build script, and returns the exit code for `main`.
    ///
    /// Prints `cargo::rerun-if-changed` for every file that was read, `cargo::warning` for warnings
    /// and `cargo::error` for errors, which are rendered in full on standard error. One warning
    /// stands for all those about documentation, unless [`lint_docs`](Self::lint_docs) is set. The
    /// file is written only if its content changes. Its code is laid out to be read, but not formatted
    /// as rustfmt does: no build has to compile a formatter.
    ///
    /// ```no_run
    /// // build.rs; the crate has `qmp_types::include_vocabulary!("garage")`.
    /// fn main() -> std::process::ExitCode {
    ///     qmp_codegen::Builder::new().schema("schema/garage.json").generate("garage")
    /// }
    /// ```
    #[must_use]
    pub fn generate(self, name: &str) -> ExitCode {
        let Some(directory) = std::env::var_os("OUT_DIR") else {
            eprintln!("error: OUT_DIR is not set: `generate` is for build scripts");
            return ExitCode::FAILURE;
        };
        // Cargo is told of the files first, so that correcting one of them builds again. Build scripts do
        // not check the style of documentation, which `load` would compile.
        let (_, loaded) = self.load.read(self.roots.clone());
        let sources = loaded.as_ref().map_or_else(|error| &error.sources, |ok| &ok.sources);
        for file in self.watched(sources) {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let generated = loaded.map_err(GenerateError::Schema).and_then(|loaded| {
            let code = self.write_from(&loaded.schema)?;
            Ok((code, self.warning_lines(&loaded)))
        });
        let (code, warnings) = match generated {
            Ok(generated) => generated,
            Err(error) => {
                let rendered = error.to_string();
                for line in headlines(&rendered, "error") {
                    println!("cargo::error={line}");
                }
                eprint!("{rendered}");
                return ExitCode::FAILURE;
            }
        };
        for line in warnings {
            println!("cargo::warning={line}");
        }
        let path = Path::new(&directory).join(format!("{name}.rs"));
        match write_if_changed(&path, &code) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: cannot write {}: {error}", path.display());
                ExitCode::FAILURE
            }
        }
    }

    /// Returns the files that the result depends on: those that were read, and roots that could not
    /// be read.
    fn watched(&self, sources: &Sources) -> Vec<PathBuf> {
        let mut files = paths(sources);
        for root in &self.roots {
            match root {
                Root::File(path) if !files.contains(path) => files.push(path.clone()),
                _ => {}
            }
        }
        files.extend(self.configuration.files().iter().cloned());
        files
    }

    /// Generates the Rust code of a schema, laid out but not formatted.
    fn write_from(&self, schema: &Schema) -> Result<String, GenerateError> {
        self.check(schema)?;
        Ok(format!("{HEADER}{}", emit::write(self.tokens(schema)?)))
    }

    /// Generates the Rust code, formatted, without writing it anywhere.
    ///
    /// Needs the feature `format`.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// let builder = qmp_codegen::Builder::new().schema_text("garage.json", schema);
    /// let generated = builder.generate_code()?;
    /// assert!(generated.code.starts_with("// Generated by qmp-codegen.\n"));
    /// assert_eq!(generated.files.len(), 1);
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the schema has errors, or if it lacks something that the builder names.
    #[cfg(feature = "format")]
    pub fn generate_code(&self) -> Result<Generated, GenerateError> {
        self.generate_loaded(&self.load()?)
    }

    #[cfg(any(feature = "format", feature = "tools"))]
    fn load(&self) -> Result<crate::Loaded, GenerateError> {
        self.load.load(self.roots.iter().cloned()).map_err(GenerateError::Schema)
    }

    #[cfg(feature = "format")]
    fn generate_loaded(&self, loaded: &Loaded) -> Result<Generated, GenerateError> {
        Ok(Generated {
            code: self.generate_from(&loaded.schema)?,
            files: paths(&loaded.sources),
            warnings: diagnostic::render(&loaded.sources, &loaded.warnings),
        })
    }

    /// Generates the Rust code of a schema that has been loaded, formatted. The builder's roots are
    /// not read.
    ///
    /// Needs the feature `format`.
    ///
    /// ```
    /// use qmp_codegen::{Builder, Root, load};
    ///
    /// let text = "{ 'command': 'park', 'data': { 'plate': 'str' } }";
    /// let loaded = load([Root::Text { name: "garage.json".into(), text: text.into() }])?;
    /// let code = Builder::new().generate_from(&loaded.schema)?;
    /// assert!(code.contains("pub struct Park "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the schema lacks something that the builder names.
    #[cfg(feature = "format")]
    pub fn generate_from(&self, schema: &Schema) -> Result<String, GenerateError> {
        self.check(schema)?;
        let tokens = self.tokens(schema)?;
        let file = syn::parse2(tokens).map_err(GenerateError::Code)?;
        Ok(format!("{HEADER}{}", emit::unparse(file)))
    }

    /// Lists every public item of the code that [`generate`](Self::generate) would write, in order:
    /// for reviewing how a change of the schema changes the Rust API, and for tools.
    ///
    /// Needs the feature `tools`.
    ///
    /// ```
    /// # let schema = "
    /// #     { 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }
    /// #     { 'command': 'leave', 'data': { 'plate': 'str' } }
    /// #     { 'event': 'PARKED', 'data': { 'plate': 'str' } }";
    /// let builder = qmp_codegen::Builder::new().schema_text("garage.json", schema);
    /// let items: Vec<String> = builder.surface()?.iter().map(ToString::to_string).collect();
    /// assert!(items.iter().any(|item| item.starts_with("command park commands::Park")));
    /// # Ok::<(), qmp_codegen::GenerateError>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the schema has errors, or if it lacks something that the builder names.
    #[cfg(feature = "tools")]
    pub fn surface(&self) -> Result<Vec<SurfaceItem>, GenerateError> {
        let loaded = self.load()?;
        self.check(&loaded.schema)?;
        emit::surface(&loaded.schema, &self.configured(&loaded.schema)?).map_err(expands)
    }

    /// Generates the tokens of a schema, not formatted, for measurements.
    #[doc(hidden)]
    pub fn tokens(&self, schema: &Schema) -> Result<proc_macro2::TokenStream, GenerateError> {
        emit::emit(schema, &self.configured(schema)?).map_err(expands)
    }

    /// Returns the options, with the configuration that the builder names.
    fn configured(&self, schema: &Schema) -> Result<Options, GenerateError> {
        let mut options = self.options.clone();
        if let Some(configuration) = self.configuration.read(schema).map_err(expands)? {
            options.symbols = Some(Rc::new(move |symbol| configuration.state(symbol)));
        }
        Ok(options)
    }

    /// Checks that the schema has everything that the builder names.
    fn check(&self, schema: &Schema) -> Result<(), GenerateError> {
        let mut mistakes = self.mistakes.clone();
        mistakes.extend(names::unknown(schema, &self.options, &self.symbols));
        if mistakes.is_empty() { Ok(()) } else { Err(GenerateError::Request(sorted(&mistakes))) }
    }
}

/// The first lines of each generated file.
const HEADER: &str = "// Generated by qmp-codegen.\n\n";

fn expands(message: String) -> GenerateError {
    GenerateError::Request(vec![message])
}

/// Sorts messages as other texts are sorted: a sort of `String` would be compiled as well.
fn sorted(messages: &[String]) -> Vec<String> {
    let mut texts = Vec::with_capacity(messages.len());
    for message in messages {
        texts.push(message.as_str());
    }
    texts.sort_unstable();
    let mut sorted = Vec::with_capacity(messages.len());
    for text in texts {
        sorted.push(text.to_owned());
    }
    sorted
}

fn paths(sources: &Sources) -> Vec<PathBuf> {
    let mut paths = Vec::with_capacity(sources.files().len());
    for file in sources.files() {
        paths.push(file.path.clone());
    }
    paths
}

fn write_if_changed(path: &Path, code: &str) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == code.as_bytes()) {
        return Ok(());
    }
    std::fs::write(path, code)
}
