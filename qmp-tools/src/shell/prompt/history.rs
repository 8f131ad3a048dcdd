//! The commands that were given before, one file per machine.
//!
//! A file has one command per line; a line feed in a command is written as `\n`, and a backslash twice.
//! Only the owner can read it. Shells that run at the same time append to the same file. A command
//! is masked before it is kept, in memory as well: a secret does not come back with the arrow keys.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The number of commands that are kept.
const ENTRIES: usize = 5000;
/// The longest command that is kept.
const LONGEST: usize = 64 << 10;
/// How much of a file is read, from its end.
const READ: u64 = 4 << 20;

/// The commands of a machine, the latest last.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<String>,
    /// The file to which commands are appended, once it is known.
    file: Option<File>,
}

impl History {
    pub(super) fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Adds a command that has been masked.
    pub(super) fn add(&mut self, command: &str) {
        let command = command.trim();
        let repeated = self.entries.last().is_some_and(|last| last == command);
        if command.is_empty() || command.len() > LONGEST || repeated {
            return;
        }
        if self.entries.len() == ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(command.to_owned());
        if let Some(file) = &mut self.file {
            // A disk that is full ends neither the command nor the shell.
            let _ = file.write_all(encode(command).as_bytes());
        }
    }

    /// Reads the file of a machine. What has been added already is appended to it.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // A link to `/dev/null` keeps no history, and must not close that to other users.
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        let mut earlier = read(&mut file)?;
        if earlier.len() > 2 * ENTRIES {
            earlier.drain(..earlier.len() - ENTRIES);
            file = rewrite(path, &earlier)?;
        }
        let surplus = earlier.len().saturating_sub(ENTRIES);
        earlier.drain(..surplus);
        let now = std::mem::replace(&mut self.entries, earlier);
        self.file = Some(file);
        for command in now {
            self.add(&command);
        }
        Ok(())
    }

    /// Returns the latest command before an index that contains a text.
    pub(super) fn find(&self, text: &str, before: usize) -> Option<usize> {
        self.entries.get(..before)?.iter().rposition(|entry| entry.contains(text))
    }

    /// Returns the first command after an index that contains a text.
    pub(super) fn find_after(&self, text: &str, after: usize) -> Option<usize> {
        let rest = self.entries.get(after + 1..)?;
        Some(after + 1 + rest.iter().position(|entry| entry.contains(text))?)
    }
}

/// Returns the file of the machine with a key, such as its UUID.
pub(super) fn file_of(key: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty());
    let state = match state {
        Some(state) => PathBuf::from(state),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".local/state"),
    };
    // The specification has relative paths ignored.
    state.is_absolute().then(|| state.join("qmp/history").join(file_name(key)))
}

/// Returns a name for a file that no other key has.
fn file_name(key: &str) -> String {
    let mut name = String::new();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name += &format!("%{byte:02x}"),
        }
    }
    if name.len() > 200 {
        // File names are limited to 255 bytes.
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        name.truncate(180);
        name += &format!("-{hash:016x}");
    }
    name
}

fn read(file: &mut File) -> io::Result<Vec<String>> {
    use std::io::{Seek, SeekFrom};
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(READ);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be half a command.
    let lines = text.lines().skip(usize::from(skipped > 0));
    Ok(lines.filter(|line| !line.trim().is_empty()).map(decode).collect())
}

fn rewrite(path: &Path, entries: &[String]) -> io::Result<File> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
    let text: String = entries.iter().map(|entry| encode(entry)).collect();
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map(|()| file)
}

fn encode(command: &str) -> String {
    command.replace('\\', "\\\\").replace('\n', "\\n") + "\n"
}

fn decode(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("qmp-history-{}-{name}", std::process::id()))
    }

    #[test]
    fn commands_survive_and_only_the_owner_reads_them() {
        let directory = directory("survive");
        let path = directory.join("history/machine");
        let mut first = History::default();
        // Given before the machine has said who it is.
        first.add("query-status");
        first.open(&path).unwrap();
        first.add("{\n  \"execute\": \"a\\\\nb\"}");
        first.add("stop");
        first.add("stop");
        let mut second = History::default();
        second.open(&path).unwrap();
        second.add("cont");
        let mut third = History::default();
        third.open(&path).unwrap();
        let expected = ["query-status", "{\n  \"execute\": \"a\\\\nb\"}", "stop", "cont"];
        assert_eq!(third.entries(), expected);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::remove_dir_all(directory).unwrap();
    }

    /// Root closed `/dev/null` to all others.
    #[test]
    fn a_device_is_left_as_it_is() {
        let directory = directory("device");
        fs::create_dir_all(&directory).unwrap();
        let (path, link) = (directory.join("pipe"), directory.join("machine"));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(History::default().open(&link).is_err());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_others_could_read_is_closed_to_them() {
        let directory = directory("mode");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("machine");
        fs::write(&path, "stop\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        History::default().open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_long_history_is_cut_to_its_end() {
        let directory = directory("long");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("machine");
        let text: String = (0..3 * ENTRIES).map(|n| format!("command-{n}\n")).collect();
        fs::write(&path, text).unwrap();
        let mut history = History::default();
        history.open(&path).unwrap();
        history.add("stop");
        assert_eq!(history.entries().len(), ENTRIES);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), ENTRIES + 1);
        assert!(text.ends_with("\nstop\n"));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn commands_are_found_backward_and_forward() {
        let mut history = History::default();
        for command in ["stop", "query-name", "cont", "query-status"] {
            history.add(command);
        }
        assert_eq!(history.find("query", 4), Some(3));
        assert_eq!(history.find("query", 3), Some(1));
        assert_eq!(history.find("query", 1), None);
        assert_eq!(history.find_after("query", 1), Some(3));
        assert_eq!(history.find_after("query", 3), None);
    }

    #[test]
    fn keys_make_names_of_their_own() {
        assert_eq!(file_name("name:my vm"), "name%3amy%20vm");
        assert_eq!(file_name("../x"), "%2e.%2fx");
        let long = |end: char| file_name(&format!("{}{end}", "/very/long".repeat(40)));
        assert!(long('a').len() < 255);
        assert_ne!(long('a'), long('b'));
    }
}
