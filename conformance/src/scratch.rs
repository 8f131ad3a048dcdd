//! Room for sockets and images.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is removed in the end: in that of `QMP_TEST_DIR`, for a QEMU that sees no
/// other, or else in the system's for temporary files.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new directory.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let parent =
            std::env::var_os("QMP_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        // Short: the path of a socket has room for about a hundred bytes.
        let path = parent.join(format!("qmp-{}-{count}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Self(path),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A file in it, of this size, all zeros.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn image(&self, name: &str, bytes: u64) -> String {
        let path = self.file(name);
        let made = std::fs::File::create(&path).and_then(|file| file.set_len(bytes));
        match made {
            Ok(()) => path,
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
