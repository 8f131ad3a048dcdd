//! Network cards made of open descriptors.

use std::os::fd::OwnedFd;

use qmp_client::{Error, Request, Result};
use qmp_types::qmp::commands::{Closefd, Getfd, NetdevDel};

use crate::monitor::Monitor;
use crate::monitor::rollback::Rollback;
use crate::monitor::session::{Call, Undo};

/// The names of descriptors that were passed to QEMU, as `netdev_add` takes them: separated by
/// colons.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NicNames {
    /// The names of the queues, for the member `fds`, or `fd` if there is one queue.
    pub queues: String,
    /// The names of the descriptors of `/dev/vhost-net`, for the member `vhostfds`. QEMU ignores them
    /// without `vhost`.
    pub vhost: String,
}

pub(crate) async fn plug_nic<M, N, D>(
    vm: &M,
    netdev_id: &str,
    queues: Vec<OwnedFd>,
    vhost: Vec<OwnedFd>,
    netdev: impl FnOnce(&NicNames) -> N + Send,
    device: D,
) -> Result<()>
where
    M: Monitor,
    N: Request<Return: Send> + Send,
    D: Request<Return: Send> + Send,
{
    let rollback = Rollback::default();
    let queues = Passed::new(vm, &rollback, &format!("queue-{netdev_id}"), queues).await?;
    let vhost = Passed::new(vm, &rollback, &format!("vhost-{netdev_id}"), vhost).await?;
    let names = NicNames { queues: queues.names(), vhost: vhost.names() };
    let add = vm.call(netdev(&names));
    let id = netdev_id.to_owned();
    // A backend that `netdev_add` did not create is not ours to delete.
    let undo =
        move |added: Result<&N::Return, &Error>| added.is_ok().then(|| NetdevDel::new(id.clone()));
    let (_, deletion) = add.execute_undoable(vm, &rollback, undo).await?;
    queues.disarm();
    vhost.disarm();
    rollback.note(vm.execute(device).await)?;
    deletion.disarm();
    Ok(())
}

/// Descriptors that QEMU has by their names. Dropping this closes those that QEMU has not taken.
struct Passed<M: Monitor> {
    names: Vec<String>,
    /// The last one comes first, because guards are dropped in order.
    guards: Vec<M::Undo<Closefd>>,
}

impl<M: Monitor> Passed<M> {
    /// Passes descriptors to QEMU. If that fails, those that were passed are closed again.
    async fn new(
        vm: &M,
        rollback: &Rollback,
        prefix: &str,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Self> {
        let mut passed = Self { names: Vec::new(), guards: Vec::new() };
        for (number, descriptor) in descriptors.into_iter().enumerate() {
            let name = format!("{prefix}-{number}");
            let close = Closefd::new(name.as_str());
            // A descriptor travels with its own command, so that no other command can receive it.
            let call = vm.call(Getfd::new(name.as_str())).with_fd(descriptor);
            // Closing a name that QEMU does not have is refused, and does no harm.
            let (_, guard) =
                call.execute_undoable(vm, rollback, move |_| Some(close.clone())).await?;
            passed.names.push(name);
            passed.guards.insert(0, guard);
        }
        Ok(passed)
    }

    fn names(&self) -> String {
        self.names.join(":")
    }

    /// Leaves the descriptors to QEMU, which has taken all of them.
    fn disarm(self) {
        self.guards.into_iter().for_each(Undo::disarm);
    }
}
