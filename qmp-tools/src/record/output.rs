//! The files that recordings are written to.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::is_standard;
use crate::cli::StandardOutput;

/// Creates a file that only its owner can read; `-` is standard output. The content that the file has
/// is dropped when the first line is written.
///
/// # Errors
/// Returns the system's error.
pub fn create(path: &Path) -> io::Result<(Box<dyn Write + Send>, Earlier)> {
    if is_standard(path) {
        return Ok((Box::new(StandardOutput::new()), Earlier::default()));
    }
    let file = Replacing::open(path)?;
    let earlier = file.earlier.clone();
    Ok((Box::new(file), earlier))
}

/// Whether a file still has the content that it had when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Earlier(Arc<AtomicBool>);

impl Earlier {
    /// Returns whether the file had content, and nothing has replaced it. To finish a recording would do so.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A file whose earlier content is dropped when the first line is written: a connection that fails
/// must not cost an earlier recording.
struct Replacing {
    file: File,
    is_begun: bool,
    earlier: Earlier,
}

impl Replacing {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        let earlier = AtomicBool::new(metadata.is_file() && metadata.len() > 0);
        Ok(Self { file, is_begun: false, earlier: Earlier(Arc::new(earlier)) })
    }
}

impl Write for Replacing {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.earlier.0.store(false, Ordering::Release);
        // A pipe or a terminal has no content to drop.
        if !self.is_begun && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.is_begun = true;
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
