//! Temporary directories for sockets and images.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory that is removed on drop. Its parent is `QMP_TEST_DIR`, for a QEMU that has
/// access to no other directory, or else the system's directory for temporary files.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates a directory.
    ///
    /// # Panics
    /// Panics if the directory cannot be created.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let parent =
            std::env::var_os("QMP_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        // Keep the name short: the path of a Unix socket is limited to about 100 bytes.
        let path = parent.join(format!("qmp-{}-{count}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Self(path),
            Err(error) => panic!("failed to create {}: {error}", path.display()),
        }
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of a file in the directory.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Creates a file of the given size, filled with zeros, and returns its path.
    ///
    /// # Panics
    /// Panics if the file cannot be created.
    #[must_use]
    pub fn image(&self, name: &str, bytes: u64) -> String {
        let path = self.file(name);
        let created = std::fs::File::create(&path).and_then(|file| file.set_len(bytes));
        match created {
            Ok(()) => path,
            Err(error) => panic!("failed to create {path}: {error}"),
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
        // A failure leaves files in the directory for temporary files, where they do no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
