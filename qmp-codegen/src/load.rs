//! Reads the files of a schema: its roots and the files that they include.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::ast::Item;
use crate::check;
use crate::diagnostic::{Diagnostic, Rule, Severity, render};
use crate::parse::{self, Pragmas, Sink};
use crate::report::{Report, ReportOptions};
use crate::schema::Schema;
use crate::source::{File, FileId, Sources, Span};

/// The largest size of a file in bytes. QEMU's largest is 250 KiB. Spans have 32 bits.
const MAX_FILE: u64 = 64 << 20;

/// The maximum depth of includes. QEMU's schema has two levels.
const MAX_INCLUDES: usize = 100;

/// A file or text at which reading a schema starts.
#[derive(Clone, Debug)]
pub enum Root {
    /// The path of a file.
    File(PathBuf),
    /// A text in memory.
    Text {
        /// The path that diagnostics show and that included paths are relative to. No file of this
        /// name needs to exist.
        name: String,
        /// The schema.
        text: String,
    },
}

/// A schema that has been read and checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The checked schema.
    pub schema: Schema,
    /// The files that the schema was read from.
    pub sources: Sources,
    /// Warnings about the schema.
    pub warnings: Vec<Diagnostic>,
}

/// The errors of a schema that cannot be used. `Display` formats every diagnostic.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadError {
    /// The files that were read.
    pub sources: Sources,
    /// At least one error, and any warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(&self.sources, &self.diagnostics))
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks a schema.
///
/// Several roots make one schema with a single namespace. A pragma applies to the root that
/// contains it and to everything that root includes. A file that is included more than once is
/// read once.
///
/// ```
/// use qmp_codegen::{Root, load};
///
/// let text = "{ 'command': 'park', 'data': { 'plate': 'str' } }";
/// let loaded = load([Root::Text { name: "garage.json".into(), text: text.into() }])?;
/// assert_eq!(loaded.schema.commands[0].definition.name, "park");
///
/// let wrong = "{ 'command': 'park', 'data': { 'plate': 'string' } }";
/// let error = load([Root::Text { name: "garage.json".into(), text: wrong.into() }]).unwrap_err();
/// assert!(error.to_string().starts_with("garage.json:1:"));
/// # Ok::<(), qmp_codegen::LoadError>(())
/// ```
///
/// # Errors
/// Returns every error found if a file cannot be read or the schema breaks a rule of the language.
pub fn load(roots: impl IntoIterator<Item = Root>) -> Result<Loaded, LoadError> {
    LoadOptions::new().load(roots)
}

/// Reads and checks a schema whose only root is a file.
///
/// ```no_run
/// let loaded = qmp_codegen::load_file("schema/garage.json")?;
/// println!("{} commands", loaded.schema.commands.len());
/// # Ok::<(), qmp_codegen::LoadError>(())
/// ```
///
/// # Errors
/// Returns the same errors as [`load`].
pub fn load_file(path: impl Into<PathBuf>) -> Result<Loaded, LoadError> {
    load([Root::File(path.into())])
}

/// Options for reading a schema, for callers that need more than [`load`].
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    prose: bool,
    report: ReportOptions,
    files: Option<Files>,
}

/// A function that reads files.
#[derive(Clone)]
struct Files(Arc<ReadFile>);

type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

impl LoadOptions {
    /// Creates options with all optional checks off, as [`load`] has them.
    ///
    /// ```
    /// use qmp_codegen::{LoadOptions, Root};
    ///
    /// let root = Root::Text { name: "garage.json".into(), text: "{ 'command': 'park' }".into() };
    /// assert!(LoadOptions::new().load([root]).is_ok());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether to warn about the style of documentation (default: no).
    ///
    /// The rules apply to descriptions of members, arguments, values, alternatives, and features,
    /// and to the text of `Returns:` and `Errors:`:
    ///
    /// - The text begins with a capital letter, a digit, a quote, or markup such as `@name` or
    ///   ``` ``true`` ```.
    /// - The text ends with a period, which only `(since X)` or `(until X)` may follow. A literal
    ///   block or a directive may end it, too.
    /// - The default of a member is written `(default: X)`, and a release `(since X)`, both in
    ///   lower case.
    ///
    /// ```text
    /// # @speed: Maximum speed in bytes per second (default: 0). (since 6.0)
    /// ```
    ///
    /// The number of these warnings is not limited.
    #[must_use]
    pub fn prose(mut self, prose: bool) -> Self {
        self.prose = prose;
        self
    }

    /// Sets whether what a fork has added to the language only causes a warning, and is skipped:
    /// unknown keys, unknown pragmas, and definitions of unknown kinds (default: no, it is an
    /// error).
    ///
    /// A key may change the meaning of a definition, so that the result may differ from what the
    /// fork's own generator makes of the schema.
    ///
    /// ```
    /// use qmp_codegen::{LoadOptions, Root};
    ///
    /// let text = "{ 'command': 'park', 'license': 'GPL' }";
    /// let root = Root::Text { name: "fork.json".into(), text: text.into() };
    /// assert!(LoadOptions::new().load([root.clone()]).is_err());
    /// let loaded = LoadOptions::new().allow_unknown(true).load([root])?;
    /// assert_eq!(loaded.warnings.len(), 1);
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    pub fn allow_unknown(mut self, allow: bool) -> Self {
        self.report.allow_unknown = allow;
        self
    }

    /// Sets how many errors and how many warnings are kept (default: 200 of each). The others are
    /// counted.
    ///
    /// ```
    /// use qmp_codegen::{LoadOptions, Root};
    ///
    /// let text = "{ 'comand': 'park' }\n".repeat(100);
    /// let root = Root::Text { name: "garage.json".into(), text };
    /// let error = LoadOptions::new().max_diagnostics(3).load([root]).unwrap_err();
    /// // The last one says how many more there are.
    /// assert_eq!(error.diagnostics.len(), 4);
    /// ```
    #[must_use]
    pub fn max_diagnostics(mut self, limit: usize) -> Self {
        self.report.limit = limit;
        self
    }

    /// Sets a function that reads files, instead of the file system: those of an archive, or of a
    /// revision of a repository. It is called with the paths of roots, and with those of included
    /// files relative to the files that include them. Paths are compared as text.
    ///
    /// ```
    /// use std::io;
    /// use std::path::Path;
    ///
    /// use qmp_codegen::{LoadOptions, Root};
    ///
    /// let options = LoadOptions::new().files(|path| match path.to_str() {
    ///     Some("garage.json") => Ok(b"{ 'include': 'cars.json' }".to_vec()),
    ///     Some("cars.json") => Ok(b"{ 'command': 'park' }".to_vec()),
    ///     _ => Err(io::ErrorKind::NotFound.into()),
    /// });
    /// let loaded = options.load([Root::File("garage.json".into())])?;
    /// assert_eq!(loaded.sources.files()[1].path, Path::new("cars.json"));
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    pub fn files(
        mut self,
        read: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.files = Some(Files(Arc::new(read)));
        self
    }

    /// Reads and checks a schema, as [`load`] does.
    ///
    /// ```
    /// use qmp_codegen::{LoadOptions, Root};
    ///
    /// let root = Root::Text { name: "garage.json".into(), text: "{ 'command': 'park' }".into() };
    /// let loaded = LoadOptions::new().load([root])?;
    /// assert!(loaded.warnings.is_empty());
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// Returns the same errors as [`load`]. The style of documentation only causes warnings.
    pub fn load(&self, roots: impl IntoIterator<Item = Root>) -> Result<Loaded, LoadError> {
        let (items, mut result) = self.read(roots.into_iter().collect());
        if self.prose {
            let (sources, diagnostics) = match &mut result {
                Ok(loaded) => (&loaded.sources, &mut loaded.warnings),
                Err(error) => (&error.sources, &mut error.diagnostics),
            };
            diagnostics.extend(check::prose::check(&items, sources));
        }
        result
    }

    /// Reads and checks a schema, except for the style of its documentation. Also returns the parsed items.
    pub(crate) fn read(&self, roots: Vec<Root>) -> (Vec<Item>, Result<Loaded, LoadError>) {
        let report = Report::new(self.report);
        let disk = self.files.clone();
        let mut loader = Loader { report, disk, ..Loader::default() };
        for root in roots {
            loader.root(root);
        }
        let pragmas = loader.effective_pragmas();
        let Loader { items, sources, mut report, .. } = loader;
        let schema = check::check(&items, &pragmas, &sources, &mut report);
        let has_errors = report.has_errors();
        let diagnostics = report.finish();
        let result = match schema {
            Some(schema) if !has_errors => Ok(Loaded { schema, sources, warnings: diagnostics }),
            _ => Err(LoadError { sources, diagnostics }),
        };
        (items, result)
    }
}

#[derive(Default)]
struct Loader {
    items: Vec<Item>,
    sources: Sources,
    report: Report,
    /// The function that reads files, if it is not the file system.
    disk: Option<Files>,
    /// The files read, by canonical path.
    known: HashMap<PathBuf, FileId>,
    /// The directives of each file, indexed by its id.
    files: Vec<Directives>,
    roots: Vec<FileId>,
    /// The number of `pragma` directives read.
    pragmas: usize,
}

/// The directives of a file.
#[derive(Default)]
struct Directives {
    pragmas: Pragmas,
    includes: Vec<FileId>,
}

impl Loader {
    fn root(&mut self, root: Root) {
        let number = self.roots.len();
        let (path, identity, text) = match root {
            Root::Text { name, text } => {
                let path = PathBuf::from(name);
                (path.clone(), path, Ok(text))
            }
            Root::File(path) => {
                let identity = self.identity(&path);
                if let Some(id) = self.known.get(&identity) {
                    self.roots.push(*id);
                    return;
                }
                let text = self.read(&path);
                (path, identity, text)
            }
        };
        match text {
            Ok(text) => {
                let file = File { path, text: Arc::from(text), included_from: None };
                let id = self.add(file, identity);
                self.roots.push(id);
                self.file(id, number, &mut Vec::new());
            }
            Err(failure) => self.unreadable(&path, failure, None),
        }
    }

    fn identity(&self, path: &Path) -> PathBuf {
        let canonical = match self.disk {
            Some(_) => None,
            None => path.canonicalize().ok(),
        };
        canonical.unwrap_or_else(|| path.to_owned())
    }

    fn read(&self, path: &Path) -> Result<String, Failure> {
        match &self.disk {
            Some(Files(read)) => text(read(path).map_err(Failure::Io)?),
            None => read(path),
        }
    }

    /// Reads a file that a schema names, rather than the caller.
    ///
    /// A schema from elsewhere can name any file. One that is not a schema is not kept, since
    /// diagnostics would show its lines.
    fn read_included(&self, path: &Path) -> Result<String, Failure> {
        if self.disk.is_none() && !has_content(path)? {
            return Ok(String::new());
        }
        let result = self.read(path);
        let (Ok(text) | Err(Failure::InvalidUtf8 { valid: text })) = &result else { return result };
        match no_schema(text) {
            Some(line) => Err(Failure::NotASchema { line }),
            None => result,
        }
    }

    fn add(&mut self, file: File, identity: PathBuf) -> FileId {
        let id = self.sources.add(file);
        self.known.insert(identity, id);
        self.files.push(Directives::default());
        id
    }

    /// Parses a file that has been added. `chain` contains the files that include it.
    fn file(&mut self, id: FileId, root: usize, chain: &mut Vec<FileId>) {
        let Some(file) = self.sources.file(id) else { return };
        let text = Arc::clone(&file.text);
        let mut report = std::mem::take(&mut self.report);
        chain.push(id);
        let mut reading = Reading { loader: self, id, root, chain };
        parse::parse(&text, id, root, &mut report, &mut reading);
        chain.pop();
        self.report = report;
    }

    /// Reports a file that cannot be read, at the `include` that names it if there is one.
    fn unreadable(&mut self, path: &Path, failure: Failure, include: Option<Span>) {
        self.report.incomplete = true;
        let path_text = path.display();
        let (message, text, start) = match failure {
            Failure::Io(error) => (format!("cannot read '{path_text}': {error}"), None, 0),
            Failure::TooLarge => {
                (format!("'{path_text}' is larger than {} MiB", MAX_FILE >> 20), None, 0)
            }
            Failure::NotRegular => {
                (format!("cannot read '{path_text}': only regular files can be included"), None, 0)
            }
            Failure::NotASchema { line } => {
                let what = "has neither a definition nor documentation";
                (format!("'{path_text}' does not begin as a schema: line {line} {what}"), None, 0)
            }
            Failure::InvalidUtf8 { valid } => {
                let start = u32::try_from(valid.len()).unwrap_or(u32::MAX);
                (String::from("invalid UTF-8"), Some(valid), start)
            }
        };
        let span = match (text, include) {
            (None, Some(include)) => Some(include),
            (None, None) => None,
            (Some(valid), _) => {
                let path = path.to_owned();
                let file = File { path, text: Arc::from(valid), included_from: include };
                let id = self.add(file, PathBuf::new());
                Some(Span { file: id, start, end: start })
            }
        };
        let error = Diagnostic { span, ..Diagnostic::nowhere(Severity::Error, message) };
        self.report.push(error.by(Rule::Include));
    }

    /// Returns the pragmas of each root, including those of every file that it includes.
    fn effective_pragmas(&self) -> Vec<Pragmas> {
        let mut effective = Vec::with_capacity(self.roots.len());
        for root in &self.roots {
            let mut pragmas = Pragmas::default();
            let mut seen = vec![false; self.files.len()];
            let mut todo = vec![root.0 as usize];
            while let Some(id) = todo.pop() {
                if !std::mem::replace(&mut seen[id], true) {
                    pragmas.merge(&self.files[id].pragmas);
                    todo.extend(self.files[id].includes.iter().map(|id| id.0 as usize));
                }
            }
            effective.push(pragmas);
        }
        effective
    }
}

/// The parser's view of the loader while a file is read.
struct Reading<'l, 'c> {
    loader: &'l mut Loader,
    id: FileId,
    root: usize,
    chain: &'c mut Vec<FileId>,
}

impl Sink for Reading<'_, '_> {
    fn item(&mut self, item: Item, _: &mut Report) {
        self.loader.items.push(item);
    }

    fn pragma(&mut self, pragmas: Pragmas) {
        if let Some(info) = self.loader.files.get_mut(self.id.0 as usize) {
            info.pragmas.merge(&pragmas);
        }
    }

    fn next_pragma(&mut self) -> usize {
        self.loader.pragmas += 1;
        self.loader.pragmas
    }

    fn include(&mut self, path: &str, span: Span, report: &mut Report) {
        let Some(file) = self.loader.sources.file(self.id) else { return };
        let path = resolve(&file.path, path);
        let identity = self.loader.identity(&path);
        let known = self.loader.known.get(&identity).copied();
        if let Some(id) = known {
            if self.chain.contains(&id) {
                let message = format!("'{}' includes itself", path.display());
                report.push(Diagnostic::error(span, message).by(Rule::Include));
            } else if let Some(info) = self.loader.files.get_mut(self.id.0 as usize) {
                info.includes.push(id);
            }
            return;
        }
        if self.chain.len() >= MAX_INCLUDES {
            let message = format!("includes are nested more than {MAX_INCLUDES} levels deep");
            report.push(Diagnostic::error(span, message).by(Rule::Include));
            return;
        }
        // While the parser holds the report, the loader's is empty. Swap them, so that the included
        // file's errors are reported in order.
        std::mem::swap(&mut self.loader.report, report);
        match self.loader.read_included(&path) {
            Ok(text) => {
                let file = File { path, text: Arc::from(text), included_from: Some(span) };
                let id = self.loader.add(file, identity);
                if let Some(info) = self.loader.files.get_mut(self.id.0 as usize) {
                    info.includes.push(id);
                }
                self.loader.file(id, self.root, self.chain);
            }
            Err(failure) => self.loader.unreadable(&path, failure, Some(span)),
        }
        std::mem::swap(&mut self.loader.report, report);
    }
}

enum Failure {
    Io(std::io::Error),
    TooLarge,
    NotRegular,
    NotASchema {
        /// The first line that a schema would not have there.
        line: usize,
    },
    InvalidUtf8 {
        /// The text before the first invalid byte.
        valid: String,
    },
}

/// Returns whether a file is one that can be read and is not empty.
fn has_content(path: &Path) -> Result<bool, Failure> {
    // Opening a pipe waits for its other end, and a device may act on being opened. A directory
    // fails to be read, for a reason that the system knows better.
    let metadata = std::fs::metadata(path).map_err(Failure::Io)?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Failure::NotRegular);
    }
    // Files of the kernel have no size, and reading some of them waits, such as /proc/kmsg.
    Ok(!metadata.is_file() || metadata.len() > 0)
}

/// Returns the line at which a text turns out not to be a schema: what comes first, apart from
/// comments, is not a brace and a string in single quotes. JSON, which can be anything, has others.
fn no_schema(text: &str) -> Option<usize> {
    let start = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rest = skip_comments(start);
    let inner = rest.strip_prefix('{').map_or(rest, skip_comments);
    if rest.is_empty() || (inner.len() < rest.len() && inner.starts_with('\'')) {
        return None;
    }
    Some(text[..text.len() - inner.len()].matches('\n').count() + 1)
}

fn skip_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with('#') {
        rest = rest.find('\n').map_or("", |end| &rest[end..]).trim_start();
    }
    rest
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(Failure::Io)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len().min(MAX_FILE));
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    // Limit what is read, since a file may grow and a device has no size.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(Failure::Io)?;
    text(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let valid = String::from_utf8_lossy(error.as_bytes().get(..end).unwrap_or_default());
        Failure::InvalidUtf8 { valid: valid.into_owned() }
    })
}

/// Resolves an included path against the directory of the file that includes it.
///
/// Removes `a/..`, so that diagnostics show a short path.
fn resolve(file: &Path, path: &str) -> PathBuf {
    let mut joined = file.parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir
                if matches!(joined.components().next_back(), Some(Component::Normal(_))) =>
            {
                joined.pop();
            }
            Component::CurDir => {}
            other => joined.push(other),
        }
    }
    joined
}
