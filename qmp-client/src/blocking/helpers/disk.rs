//! Descriptors that QEMU opens by name, and disks made of them.

#[cfg(unix)]
use std::os::fd::OwnedFd;

use qmp_types::qmp::commands::RemoveFd;
#[cfg(unix)]
use qmp_types::qmp::commands::{AddFd, BlockdevAdd, BlockdevDel, DeviceAdd};

use super::super::Client;
use crate::error::Result;
use crate::workflow::Fdset;

impl Client {
    /// Gives QEMU a descriptor, in a set of its own, until the guard is dropped. QEMU takes it for
    /// what it was opened for: to read, to write, or both.
    ///
    /// ```no_run
    /// # fn example(mut vm: qmp_client::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::qmp::commands::DumpGuestMemory;
    ///
    /// let mut file = vm.add_descriptor(std::fs::File::create("memory")?)?;
    /// let dump = DumpGuestMemory::new(false, format!("file:{}", file.path()));
    /// file.client().execute(dump)?;
    /// file.remove()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Call::execute`](super::super::Call::execute).
    #[cfg(unix)]
    pub fn add_descriptor(&mut self, descriptor: impl Into<OwnedFd>) -> Result<FdsetGuard<'_>> {
        let added = self.call(AddFd::new()).descriptor(descriptor).execute()?;
        Ok(FdsetGuard { client: self, fdset: Fdset { id: added.fdset_id }, done: false })
    }

    /// Takes a set back that was [kept](FdsetGuard::keep). What uses it goes on; the descriptor is
    /// closed when nothing does (in older releases, such as 7.2, not before the machine runs).
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn remove_fdset(&mut self, fdset: &Fdset) -> Result<()> {
        self.execute(RemoveFd::new(fdset.id)).map(|_| ())
    }

    /// Plugs a disk in whose image is an open file: the set, the block node, the device. `node`
    /// is told the name under which QEMU opens the file; `node_name` is the node's. If one step
    /// fails, those before are undone, the last one first. [`unplug`](Self::unplug) the device,
    /// then delete the node, to be rid of it.
    ///
    /// The set is gone as soon as the node is there, which holds the file open: a node with
    /// `auto-read-only` cannot open it again for writing.
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
        let mut fdset = self.add_descriptor(image)?;
        let add = node(&fdset.path());
        fdset.client().execute(add)?;
        let removed = fdset.remove();
        let plugged = removed.and_then(|()| self.execute(device));
        if plugged.is_err() {
            // What went wrong first is what counts.
            let _ = self.execute(BlockdevDel::new(node_name));
        }
        plugged.map(|_| ())
    }
}

/// A descriptor that QEMU holds for as long as this is there. Dropping it removes the set:
/// what uses it goes on.
#[cfg(unix)]
#[derive(Debug)]
#[must_use = "dropping it removes the set"]
pub struct FdsetGuard<'c> {
    client: &'c mut Client,
    fdset: Fdset,
    done: bool,
}

#[cfg(unix)]
impl FdsetGuard<'_> {
    /// The set.
    #[must_use]
    pub fn fdset(&self) -> &Fdset {
        &self.fdset
    }

    /// The name by which QEMU opens it, such as `/dev/fdset/3`.
    #[must_use]
    pub fn path(&self) -> String {
        self.fdset.path()
    }

    /// The client, to use the set with.
    pub fn client(&mut self) -> &mut Client {
        self.client
    }

    /// Removes the set, and says if that fails.
    ///
    /// # Errors
    /// Those of [`Client::execute`].
    pub fn remove(mut self) -> Result<()> {
        self.done = true;
        self.client.remove_fdset(&self.fdset)
    }

    /// The set stays: [`Client::remove_fdset`] removes it.
    #[must_use = "it is what the set is removed by"]
    pub fn keep(mut self) -> Fdset {
        self.done = true;
        self.fdset.clone()
    }
}

#[cfg(unix)]
impl Drop for FdsetGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            // There is nobody left to tell.
            let _ = self.client.remove_fdset(&self.fdset);
        }
    }
}
