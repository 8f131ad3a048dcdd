//! Descriptors that QEMU opens by name, and disks made of them.

#[cfg(unix)]
use std::os::fd::OwnedFd;

use qmp_types::qmp::commands::{AddFd, BlockdevAdd, BlockdevDel, DeviceAdd, RemoveFd};

use super::super::Client;
use crate::error::Result;

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

impl Client {
    /// Gives QEMU a descriptor, in a set of its own. QEMU takes it for what it was opened for:
    /// to read, to write, or both.
    ///
    /// # Errors
    /// Those of [`Call::execute`](super::super::Call::execute).
    #[cfg(unix)]
    pub fn add_descriptor(&mut self, descriptor: impl Into<OwnedFd>) -> Result<Fdset> {
        let added = self.call(AddFd::new()).descriptor(descriptor).execute()?;
        Ok(Fdset { id: added.fdset_id })
    }

    /// Takes the set back. What uses it goes on; the descriptor is closed when nothing does (in
    /// older releases, such as 7.2, not before the machine runs).
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn remove_fdset(&mut self, fdset: &Fdset) -> Result<()> {
        self.execute(RemoveFd::new(fdset.id)).map(|_| ())
    }

    /// Gives QEMU a descriptor for as long as `use_it` takes. It is taken back whatever comes of
    /// that.
    ///
    /// # Errors
    /// Those of `use_it`, of [`add_descriptor`](Self::add_descriptor), and of
    /// [`remove_fdset`](Self::remove_fdset).
    #[cfg(unix)]
    pub fn with_descriptor<T>(
        &mut self,
        descriptor: impl Into<OwnedFd>,
        use_it: impl FnOnce(&mut Self, &Fdset) -> Result<T>,
    ) -> Result<T> {
        let fdset = self.add_descriptor(descriptor)?;
        let used = use_it(self, &fdset);
        let removed = self.remove_fdset(&fdset);
        let used = used?;
        removed.map(|()| used)
    }

    /// Plugs a disk in whose image is an open file: the set, the block node, the device. `node`
    /// and `device` are told the name under which QEMU opens the file, and what they give is
    /// added; `node_name` is the node's. If one step fails, those before are undone, the last one
    /// first. [`unplug`](Self::unplug) the device, then delete the node, to be rid of it.
    ///
    /// # Errors
    /// The error of the step that failed.
    #[cfg(unix)]
    pub fn plug_disk(
        &mut self,
        image: impl Into<OwnedFd>,
        node_name: &str,
        node: impl FnOnce(&str) -> BlockdevAdd,
        device: DeviceAdd,
    ) -> Result<()> {
        // The node holds the file open: the set is not needed any longer than for that.
        self.with_descriptor(image, |client, fdset| {
            client.execute(node(&fdset.path())).map(|_| ())
        })?;
        let Err(error) = self.execute(device) else { return Ok(()) };
        // What went wrong first is what counts.
        let _ = self.execute(BlockdevDel::new(node_name));
        Err(error)
    }
}
