//! Schemas in the revisions of a git repository.
//!
//! A revision and a repository may come from elsewhere: `git` is told to read objects only, which runs
//! no program that the repository's configuration names, and never gets a revision as an option.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use qmp_codegen::{LoadOptions, Root};

use super::Failure;
use super::input::{self, Detected, MAX_INPUT};

/// A commit, and the directory in it that paths are relative to.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    /// As the user has written it, for messages.
    name: String,
    /// The directory in the working tree.
    directory: PathBuf,
    commit: String,
    /// The path of the directory in the repository: empty, or ending with a slash.
    prefix: String,
}

/// Parses the argument of `--against`, and returns the revision.
fn parse(against: &str) -> Result<&str, String> {
    let expected = |reason| format!("'{against}' {reason}");
    match against.strip_prefix("git:") {
        Some("") => Err(expected("lacks a revision, as in git:main")),
        Some(name) if name.starts_with('-') => {
            Err(expected("is not a revision: those of git do not begin with a hyphen"))
        }
        Some(name) => Ok(name),
        None => Err(expected("is not a revision, such as git:main or git:v1.2")),
    }
}

/// Reads the schema that files have in a revision, such as `git:main`.
pub(super) fn detect(
    against: &str,
    files: &[String],
    options: &LoadOptions,
) -> Result<Detected, Failure> {
    let name = parse(against)?;
    let mut revision: Option<Revision> = None;
    let mut paths = Vec::new();
    for file in files {
        let (directory, base) = split(file)?;
        let of_file = Revision::resolve(name, directory)?;
        paths.push(format!("{}{base}", of_file.prefix));
        let first = revision.get_or_insert(of_file.clone());
        if first.commit != of_file.commit {
            return Err(format!("'{file}' is not in the repository of the other files").into());
        }
    }
    let revision = revision.ok_or("no file was given")?;
    if let [path] = &paths[..] {
        let text = revision.read(path).map_err(|error| format!("{path} of {name}: {error}"))?;
        let text = String::from_utf8(text).map_err(|_| format!("{path} of {name}: not UTF-8"))?;
        if input::looks_like_introspection(&text) {
            let names = qmp_codegen::introspection::Names::none();
            let schema = input::imported(&format!("{path} of {name}"), &text, &names)?;
            return Ok(Detected { schema, is_introspection: true });
        }
    }
    let reader = revision.clone();
    let left = AtomicU64::new(MAX_INPUT);
    let options = options.clone().files(move |path| {
        let text = reader.read(&repository_path(path)?)?;
        take(&left, text.len())?;
        Ok(text)
    });
    let roots: Vec<Root> = paths.into_iter().map(|path| Root::File(path.into())).collect();
    let loaded = options.load(roots).map_err(|error| {
        let text = input::invalid_schema(&error);
        match text {
            Failure::Schema(text) => Failure::Schema(format!("in the revision {name}:\n{text}")),
            other => other,
        }
    })?;
    Ok(Detected { schema: loaded.schema, is_introspection: false })
}

/// Takes the size of a file from what is left for all: a repository stores many large files as one.
fn take(left: &AtomicU64, size: usize) -> io::Result<()> {
    let update = |left: u64| left.checked_sub(size as u64);
    let too_large = |_| {
        let limit = MAX_INPUT >> 20;
        io::Error::other(format!("the files of the schema are larger than {limit} MiB together"))
    };
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).map(drop).map_err(too_large)
}

/// Splits a file's path into its directory and its name.
fn split(file: &str) -> Result<(&Path, &str), Failure> {
    let path = Path::new(file);
    let name = path.file_name().and_then(|name| name.to_str());
    match (name, path.parent()) {
        (Some(name), Some(parent)) if file != "-" => {
            let here = parent.as_os_str().is_empty();
            Ok((if here { Path::new(".") } else { parent }, name))
        }
        _ => Err(format!("'{file}' has no revisions: expected a file of a repository").into()),
    }
}

/// Returns a path as git writes it.
fn repository_path(path: &Path) -> io::Result<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()),
            _ => parts.push(None),
        }
    }
    let parts: Option<Vec<&str>> = parts.into_iter().collect();
    let outside = || io::Error::other("it is not a path within the repository");
    parts.map(|parts| parts.join("/")).ok_or_else(outside)
}

impl Revision {
    fn resolve(name: &str, directory: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::from(format!("cannot resolve the git revision '{name}': {error}"))
        };
        let ask = |arguments: &[&str]| {
            let answer = git(directory, arguments, 1 << 16).map_err(failed)?;
            Ok::<_, Failure>(String::from_utf8_lossy(&answer).trim_end_matches('\n').to_owned())
        };
        let prefix = ask(&["rev-parse", "--show-prefix"])?;
        let commit = ask(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])?;
        if commit.len() < 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(failed(io::Error::other("it is not a commit")));
        }
        Ok(Self { name: name.to_owned(), directory: directory.to_owned(), commit, prefix })
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let object = format!("{}:{path}", self.commit);
        git(&self.directory, &["cat-file", "blob", &object], MAX_INPUT)
            .map_err(|error| io::Error::other(format!("{error} (revision {})", self.name)))
    }
}

/// Runs git in a directory, and returns its output, which is limited.
fn git(directory: &Path, arguments: &[&str], limit: u64) -> io::Result<Vec<u8>> {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).args(["--no-pager", "--no-replace-objects"]).args(arguments);
    git.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0");
    // Objects that a partial clone lacks are not fetched. Releases before 2.45 only heed the second,
    // and could run a program of the repository otherwise.
    git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none").env("LC_ALL", "C");
    // In hooks of linked working trees, git sets the repository without the working tree, and would take
    // the directory for its top.
    if std::env::var_os("GIT_WORK_TREE").is_none() {
        git.env_remove("GIT_DIR");
    }
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = git.spawn().map_err(|error| io::Error::other(format!("git: {error}")))?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(limit + 1).read_to_end(&mut output)?;
    }
    if output.len() as u64 > limit {
        // It would wait for its output to be read.
        let _ = child.kill();
        let _ = child.wait();
        return Err(io::Error::other(format!("larger than {} MiB", limit >> 20)));
    }
    let ended = child.wait_with_output()?;
    if ended.status.success() {
        return Ok(output);
    }
    let message = String::from_utf8_lossy(&ended.stderr);
    let first = message.lines().next().unwrap_or("no commit has this name");
    Err(io::Error::other(first.trim_start_matches("fatal: ").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_never_an_option() {
        assert_eq!(parse("git:main~2"), Ok("main~2"));
        for bad in ["main", "git:", "git:--output=x", "git:-p"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_files_share_a_limit() {
        let left = AtomicU64::new(10);
        assert!(take(&left, 6).is_ok());
        assert!(take(&left, 5).is_err());
        assert!(take(&left, 4).is_ok() && take(&left, 1).is_err());
    }

    #[test]
    fn paths_stay_within_the_repository() {
        assert_eq!(repository_path(Path::new("a/b.json")).ok().as_deref(), Some("a/b.json"));
        for bad in ["../b.json", "/etc/passwd", "a/../../b"] {
            assert!(repository_path(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
