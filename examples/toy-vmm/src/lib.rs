//! A virtual machine monitor in miniature, with a QMP server and a vocabulary of its own: the commands
//! and events in `schema/vmm.json`.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use qmp_server::{BuildError, Call, Context, MachineHandle, RateLimit, Reply, Router, Server};
use qmp_types::{Empty, QmpError};

use vmm::commands::{AbortSnapshot, AddDisk, QueryVm, Quit, Snapshot};
use vmm::events::{DiskAdded, SnapshotProgress};
use vmm::types::VmStatus;

/// The vocabulary that `build.rs` generates.
pub mod vmm {
    qmp_types::include_vocabulary!("vmm");
}

/// The virtual machine.
#[derive(Debug, Default)]
pub struct Vm {
    disks: Vec<File>,
    snapshots: i64,
}

/// Creates the VMM's server.
///
/// # Errors
/// Returns an error if the router does not fit the schema.
pub fn server() -> Result<Server<Vm>, BuildError> {
    let aborted = Arc::new(AtomicBool::new(false));
    let abort = Arc::clone(&aborted);
    let router = Router::new()
        .introspection(vmm::INTROSPECTION)
        .handles_all()
        .event::<DiskAdded>()
        .limited_event::<SnapshotProgress>(RateLimit::every(Duration::from_millis(50)))
        .command(|vm: &mut Vm, _: QueryVm, _: &mut Context| {
            Ok(VmStatus::new(i64::try_from(vm.disks.len()).unwrap_or(i64::MAX), vm.snapshots))
        })
        .command(add_disk)
        // On a thread of its own, because it takes its time.
        .blocking(move |vm: &MachineHandle<Vm>, command: Snapshot, call: &Call| {
            aborted.store(false, SeqCst);
            for step in 1..=command.steps {
                thread::sleep(Duration::from_millis(10));
                if aborted.load(SeqCst) {
                    return Err(QmpError::generic(format!("aborted in step {step}")));
                }
                call.emit(&SnapshotProgress::new(step));
            }
            vm.with(|vm, _| vm.snapshots += 1);
            Ok(Empty {})
        })
        // Does not wait for the machine, so that it can overtake any other command.
        .deferred(move |_: &MachineHandle<Vm>, _: AbortSnapshot, reply: Reply<AbortSnapshot>| {
            abort.store(true, SeqCst);
            reply.send(Ok(Empty {}));
        })
        .command(|_: &mut Vm, _: Quit, context: &mut Context| {
            context.end();
            Ok(Empty {})
        });
    Server::builder(router).build(Vm::default())
}

fn add_disk(vm: &mut Vm, command: AddDisk, context: &mut Context) -> Result<Empty, QmpError> {
    let Some(descriptor) = context.take_descriptor() else {
        return Err(QmpError::generic("no file descriptor was sent with the command"));
    };
    let file = File::from(descriptor);
    let metadata = file.metadata().map_err(|error| QmpError::generic(error.to_string()))?;
    vm.disks.push(file);
    context.emit(&DiskAdded::new(command.id, metadata.len()));
    Ok(Empty {})
}
