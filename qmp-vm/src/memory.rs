//! Memory that is plugged in.

use qmp_client::{Error, Request, Result};
use qmp_types::qmp::commands::ObjectDel;

use crate::monitor::Monitor;
use crate::monitor::rollback::Rollback;
use crate::monitor::session::{Call, Undo};

pub(crate) async fn plug_memory<M, B, D>(
    vm: &M,
    backend_id: &str,
    backend: B,
    device: D,
) -> Result<()>
where
    M: Monitor,
    B: Request<Return: Send> + Send,
    D: Request<Return: Send> + Send,
{
    let rollback = Rollback::default();
    let id = backend_id.to_owned();
    // An object that `object-add` did not create is not ours to delete.
    let undo = move |created: Result<&B::Return, &Error>| {
        created.is_ok().then(|| ObjectDel::new(id.clone()))
    };
    let (_, deletion) = vm.call(backend).execute_undoable(vm, &rollback, undo).await?;
    rollback.note(vm.execute(device).await)?;
    deletion.disarm();
    Ok(())
}
