//! Descriptors that QEMU opens by name, and disks made of them.

#[cfg(unix)]
use std::os::fd::OwnedFd;

use qmp_client::Result;
#[cfg(unix)]
use qmp_client::{Error, Request};
use qmp_types::qmp::commands::RemoveFd;
#[cfg(unix)]
use qmp_types::qmp::{commands::AddFd, commands::BlockdevDel, types::AddfdInfo};

use crate::monitor::Monitor;
#[cfg(unix)]
use crate::monitor::rollback::Rollback;
#[cfg(unix)]
use crate::monitor::session::{Call, Undo};

/// A set with one descriptor, which QEMU holds and opens by the name of a file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Fdset {
    /// The number of the set.
    pub id: i64,
}

impl Fdset {
    /// Returns the name by which QEMU opens the descriptor, such as `/dev/fdset/3`.
    ///
    /// ```
    /// # fn example(set: &qmp_vm::Fdset) {
    /// // A file name, for QEMU.
    /// assert!(set.path().starts_with("/dev/fdset/"));
    /// # }
    /// ```
    #[must_use]
    pub fn path(&self) -> String {
        format!("/dev/fdset/{}", self.id)
    }
}

/// A descriptor that QEMU holds for as long as this guard exists.
///
/// Dropping the guard removes the set; whatever uses the descriptor by then can go on using it. On
/// the blocking client, dropping waits for QEMU's reply; on the asynchronous one, the command is
/// executed in the background and keeps the connection open until it is answered.
#[cfg(unix)]
#[derive(Debug)]
#[must_use = "dropping it removes the set"]
pub struct FdsetGuard<M: Monitor> {
    removal: M::Undo<RemoveFd>,
    fdset: Fdset,
}

#[cfg(unix)]
impl<M: Monitor> FdsetGuard<M> {
    /// Returns the set.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(file: &qmp_vm::FdsetGuard<qmp_client::blocking::Client>) {
    /// println!("{:?}", file.fdset());
    /// # }
    /// ```
    #[must_use]
    pub fn fdset(&self) -> &Fdset {
        &self.fdset
    }

    /// Returns the name by which QEMU opens the descriptor, such as `/dev/fdset/3`.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(file: &qmp_vm::FdsetGuard<qmp_client::blocking::Client>) {
    /// // A file name, for QEMU.
    /// assert!(file.path().starts_with("/dev/fdset/"));
    /// # }
    /// ```
    #[must_use]
    pub fn path(&self) -> String {
        self.fdset.path()
    }

    /// Removes the set, and reports a failure.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(file: qmp_vm::FdsetGuard<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// file.remove()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`.
    ///
    /// # Cancel safety
    /// If the future is dropped, the set is removed all the same.
    pub fn remove(self) -> M::Outcome<'static, Result<()>> {
        M::run(self.remove_now())
    }

    pub(crate) async fn remove_now(self) -> Result<()> {
        self.removal.run().await.map(|_| ())
    }

    /// Keeps the set, until [`Workflows::remove_fdset`](crate::Workflows::remove_fdset) removes it.
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "blocking"))]
    /// # fn example(vm: qmp_client::blocking::Client, file: std::fs::File) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// // The set remains until it is removed, or QEMU ends.
    /// let set = vm.add_descriptor(file)?.keep();
    /// println!("{}", set.path());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "it is needed to remove the set"]
    pub fn keep(self) -> Fdset {
        self.removal.disarm();
        self.fdset
    }
}

#[cfg(unix)]
pub(crate) async fn add_descriptor<M: Monitor>(
    vm: &M,
    descriptor: OwnedFd,
    rollback: &Rollback,
) -> Result<FdsetGuard<M>> {
    let call = vm.call(AddFd::new()).with_fd(descriptor);
    let undo = |added: Result<&AddfdInfo, &Error>| Some(RemoveFd::new(added.ok()?.fdset_id));
    let (added, removal) = call.execute_undoable(vm, rollback, undo).await?;
    if added.fdset_id < 0 {
        // The guard removes whatever was added.
        return Err(impossible(added.fdset_id));
    }
    Ok(FdsetGuard { removal, fdset: Fdset { id: added.fdset_id } })
}

/// Returns the error of a set whose number cannot be in the name of a file.
#[cfg(unix)]
fn impossible(id: i64) -> Error {
    let what = format!("the number of the set of descriptors that QEMU reports is {id}");
    let error = std::io::Error::new(std::io::ErrorKind::InvalidData, "it cannot be negative");
    qmp_client::TransportError::new(what, error).into()
}

#[cfg(unix)]
pub(crate) async fn add_descriptor_alone<M: Monitor>(
    vm: &M,
    descriptor: OwnedFd,
) -> Result<FdsetGuard<M>> {
    add_descriptor(vm, descriptor, &Rollback::default()).await
}

pub(crate) async fn remove_fdset<M: Monitor>(vm: &M, fdset: &Fdset) -> Result<()> {
    vm.execute(RemoveFd::new(fdset.id)).await.map(|_| ())
}

#[cfg(unix)]
pub(crate) async fn plug_disk<M, N, D>(
    vm: &M,
    image: OwnedFd,
    node_name: &str,
    node: impl FnOnce(&str) -> N + Send,
    device: D,
) -> Result<()>
where
    M: Monitor,
    N: Request<Return: Send> + Send,
    D: Request<Return: Send> + Send,
{
    let rollback = Rollback::default();
    let fdset = add_descriptor(vm, image, &rollback).await?;
    let add = vm.call(node(&fdset.path()));
    let name = node_name.to_owned();
    // A node that `blockdev-add` did not create is not ours to delete.
    let undo = move |added: Result<&N::Return, &Error>| {
        added.is_ok().then(|| BlockdevDel::new(name.clone()))
    };
    let (_, deletion) = add.execute_undoable(vm, &rollback, undo).await?;
    fdset.remove_now().await?;
    rollback.note(vm.execute(device).await)?;
    deletion.disarm();
    Ok(())
}
