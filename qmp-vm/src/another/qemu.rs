//! QEMU's own monitors: an object, on a character device, on a descriptor.
//!
//! When the client disconnects, `close-action=delete` removes the object and the character device, but
//! not always: if QEMU is executing a command of the monitor ("Cannot delete the current QMP monitor",
//! on its standard error), or if the object has just been created, it leaves both. So both are removed
//! through the monitor that added them, which QEMU never refuses; `close-action` is for a program that
//! is killed.

use std::hash::{BuildHasher, RandomState};
use std::os::unix::net::UnixStream;

use qmp_client::{Error, Result};
use qmp_types::qmp::commands::{
    ChardevAdd, ChardevRemove, Closefd, Getfd, ObjectAdd, ObjectDel, QomListTypes, QueryChardev,
};
use qmp_types::qmp::types::{
    ChardevBackend, ChardevInfo, ChardevSocket, ChardevSocketWrapper, FdSocketAddress,
    FdSocketAddressWrapper, MonitorQMPCloseAction, MonitorQMPProperties, ObjectOptions,
    SocketAddressLegacy,
};

use crate::launch::started::no_socket;
use crate::monitor::Monitor;
use crate::monitor::kept::Kept;
use crate::monitor::rollback::Rollback;
use crate::monitor::session::{Call, Undo};

/// The type of the objects that are monitors.
const TYPE: &str = "monitor-qmp";

/// The beginning of the names of objects, character devices and descriptors.
const PREFIX: &str = "qmp-monitor-";

/// The number of abandoned monitors that are removed before one is opened.
const MOST_REMOVED: usize = 16;

/// The parts of QEMU that make a monitor. Dropping this removes them, in order.
#[derive(Debug)]
pub(super) struct Removal<M: Monitor> {
    object: M::Undo<ObjectDel>,
    chardev: Kept<M::Undo<ChardevRemove>>,
    vm: M,
    id: String,
}

/// Returns whether QEMU can create monitors.
pub(super) async fn is_able<M: Monitor>(vm: &M) -> Result<bool> {
    match vm.execute(QomListTypes::new().implements(TYPE)).await {
        Ok(types) => Ok(types.iter().any(|it| it.name == TYPE)),
        Err(error) if error.server().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes monitors whose programs were killed, and which QEMU has not removed. They cannot be in use: a
/// connection on a descriptor is never made again.
async fn remove_abandoned<M: Monitor>(vm: &M) -> Result<()> {
    let chardevs = vm.execute(QueryChardev::new()).await?;
    let abandoned = |it: &&ChardevInfo| {
        it.label.starts_with(PREFIX) && it.filename.starts_with("disconnected:")
    };
    for chardev in chardevs.iter().filter(abandoned).take(MOST_REMOVED) {
        // Another client may do the same.
        unless_refused(vm.execute(ObjectDel::new(&*chardev.label)).await)?;
        unless_refused(vm.execute(ChardevRemove::new(&*chardev.label)).await)?;
    }
    Ok(())
}

fn unless_refused<T>(result: Result<T>) -> Result<()> {
    match result {
        Err(error) if error.server().is_none() => Err(error),
        _ => Ok(()),
    }
}

/// Opens a monitor, and returns this side of it.
pub(super) async fn open<M: Monitor>(vm: &M) -> Result<(UnixStream, Removal<M>)> {
    remove_abandoned(vm).await?;
    let (ours, theirs) = UnixStream::pair().map_err(no_socket)?;
    let rollback = Rollback::default();
    // No other client chooses this name, so that whatever has it can be removed.
    let id = format!("{PREFIX}{:016x}", RandomState::new().hash_one(0_u8));

    let close = Closefd::new(&*id);
    let pass = vm.call(Getfd::new(&*id)).with_fd(theirs.into());
    let (_, passed) = pass.execute_undoable(vm, &rollback, undo_with(close)).await?;

    let socket = FdSocketAddressWrapper::new(FdSocketAddress::new(&*id));
    let socket = ChardevSocket::new(SocketAddressLegacy::Fd(socket)).server(false);
    let socket = ChardevSocketWrapper::new(socket);
    let add = vm.call(ChardevAdd::new(&*id, ChardevBackend::Socket(socket)));
    let remove = undo_with(ChardevRemove::new(&*id));
    let (_, chardev) = add.execute_undoable(vm, &rollback, remove).await?;
    passed.disarm();

    // QEMU does not remove a character device before the object that uses it.
    let chardev = Kept::new(chardev);
    let (undo, later) = (undo_with(ObjectDel::new(&*id)), chardev.clone());
    let delete = move |added: Result<&_, &Error>| {
        let _keeps = &later;
        undo(added)
    };
    let monitor = MonitorQMPProperties::new(&*id).close_action(MonitorQMPCloseAction::Delete);
    let add = vm.call(ObjectAdd::new(ObjectOptions::new(monitor, &*id)));
    let (_, object) = add.execute_undoable(vm, &rollback, delete).await?;
    Ok((ours, Removal { object, chardev, vm: vm.clone(), id }))
}

/// Returns what undoes a command, unless QEMU has refused it. A command that has timed out may be
/// executed later.
fn undo_with<T, U: Clone + Send + Sync + 'static>(
    undo: U,
) -> impl Fn(Result<&T, &Error>) -> Option<U> + Clone + Send + Sync + 'static {
    move |result| match result {
        Err(error) if error.server().is_some() => None,
        _ => Some(undo.clone()),
    }
}

impl<M: Monitor> Removal<M> {
    /// Removes the parts now.
    pub(super) async fn run(self) -> Result<()> {
        let Self { object, chardev, vm, id } = self;
        let removed = object.run().await.map(drop);
        let removed = match chardev.take() {
            Some(chardev) => removed.and(chardev.run().await.map(drop)),
            None => removed,
        };
        match removed {
            Err(error) if error.server().is_some() => {
                // If the client had disconnected, QEMU may have done it by itself.
                let chardevs = vm.execute(QueryChardev::new()).await?;
                if chardevs.iter().any(|it| it.label == id) { Err(error) } else { Ok(()) }
            }
            removed => removed,
        }
    }
}
