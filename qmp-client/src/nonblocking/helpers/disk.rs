//! Descriptors that QEMU opens by name, and disks made of them.

#[cfg(unix)]
use std::os::fd::OwnedFd;

use qmp_types::qmp::commands::RemoveFd;
#[cfg(unix)]
use qmp_types::qmp::commands::{AddFd, BlockdevAdd, BlockdevDel, DeviceAdd};

use super::super::Client;
#[cfg(unix)]
use super::super::call::Call;
use crate::error::Result;
use crate::workflow::Fdset;

impl Client {
    /// Gives QEMU a descriptor, in a set of its own, until the guard is dropped. QEMU takes it for
    /// what it was opened for: to read, to write, or both.
    ///
    /// ```no_run
    /// # async fn example(vm: qmp_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::qmp::commands::DumpGuestMemory;
    ///
    /// let file = vm.add_descriptor(std::fs::File::create("memory")?).await?;
    /// vm.execute(DumpGuestMemory::new(false, format!("file:{}", file.path()))).await?;
    /// file.remove().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and that the connection is no Unix socket.
    ///
    /// # Cancel safety
    ///
    /// A set that QEMU makes is removed again, by a command that nobody waits for.
    #[cfg(unix)]
    pub async fn add_descriptor(&self, descriptor: impl Into<OwnedFd>) -> Result<FdsetGuard> {
        let call = self.execute(AddFd::new()).descriptor(descriptor);
        let (added, removal) = call.guarded(|added| RemoveFd::new(added.fdset_id)).await?;
        Ok(FdsetGuard { removal, fdset: Fdset { id: added.fdset_id } })
    }

    /// Takes a set back that was [kept](FdsetGuard::keep). What uses it goes on; the descriptor is
    /// closed when nothing does (in older releases, such as 7.2, not before the machine runs).
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub async fn remove_fdset(&self, fdset: &Fdset) -> Result<()> {
        self.execute(RemoveFd::new(fdset.id)).await.map(|_| ())
    }

    /// Plugs a disk in whose image is an open file: the set, the block node, the device. `node`
    /// is told the name under which QEMU opens the file; `node_name` is the node's. If one step
    /// fails, those before are undone, the last one first, before any later command.
    /// [`unplug`](Self::unplug) the device, then delete the node, to be rid of it.
    ///
    /// The set is gone as soon as the node is there, which holds the file open: a node with
    /// `auto-read-only` cannot open it again for writing.
    ///
    /// # Errors
    /// The error of the step that failed.
    ///
    /// # Cancel safety
    ///
    /// What was done is undone, by commands that nobody waits for. A `device_add` that was sent is
    /// executed: then either the disk is plugged in, since QEMU does not delete a node that is in
    /// use, or nothing is left.
    #[cfg(unix)]
    pub async fn plug_disk(
        &self,
        image: impl Into<OwnedFd>,
        node_name: &str,
        node: impl FnOnce(&str) -> BlockdevAdd,
        device: DeviceAdd,
    ) -> Result<()> {
        let fdset = self.add_descriptor(image).await?;
        let add = self.execute(node(&fdset.path()));
        let name = node_name.to_owned();
        let (_, deletion) = add.guarded(move |_| BlockdevDel::new(name.clone())).await?;
        fdset.remove().await?;
        self.execute(device).await?;
        deletion.spare();
        Ok(())
    }
}

/// A descriptor that QEMU holds for as long as this is there. Dropping it removes the set, by a
/// command that nobody waits for: what uses it goes on. It keeps the connection open.
#[cfg(unix)]
#[derive(Debug)]
#[must_use = "dropping it removes the set"]
pub struct FdsetGuard {
    /// It is made when this is dropped, if not before.
    removal: Call<RemoveFd>,
    fdset: Fdset,
}

#[cfg(unix)]
impl FdsetGuard {
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

    /// Removes the set, and says if that fails.
    ///
    /// # Errors
    /// Those of [`Client::execute`].
    ///
    /// # Cancel safety
    ///
    /// The set is removed all the same.
    pub async fn remove(self) -> Result<()> {
        self.removal.await.map(|_| ())
    }

    /// The set stays: [`Client::remove_fdset`] removes it.
    #[must_use = "it is what the set is removed by"]
    pub fn keep(self) -> Fdset {
        self.removal.spare();
        self.fdset
    }
}
