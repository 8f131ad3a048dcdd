//! Descriptors that QEMU opens by name.

/// A descriptor that QEMU holds, and opens by the name of a file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Fdset {
    /// The number of the set that it is alone in.
    pub id: i64,
}

impl Fdset {
    /// The name by which QEMU opens it, such as `/dev/fdset/3`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/dev/fdset/{}", self.id)
    }
}
