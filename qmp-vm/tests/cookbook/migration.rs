//! Moves VMs to another QEMU, and to a file.

use std::fs::File;

use qmp_client::qmp::types::RunState;

use crate::vm::{OBLIGING, PATIENCE, Scratch, Vm, block_on};
use crate::{live_migration, save_to_file, shut_down};

/// The options of the destination.
const MACHINE: &str = "-M pc -m 32 -chardev null,id=console \
    -device isa-debugcon,iobase=0xe9,chardev=console \
    -blockdev driver=file,filename=DIR/guest,node-name=guest \
    -device ide-hd,drive=guest,bootindex=0 -incoming defer";

/// Starts a QEMU that waits for a guest, with a copy of its disk.
fn destination(qemu: &str, source: &Vm, arguments: &str) -> Vm {
    let scratch = Scratch::new();
    std::fs::copy(source.scratch.file("guest"), scratch.file("guest")).unwrap();
    Vm::start_in(scratch, qemu, &format!("{MACHINE} {arguments}"))
}

live! { qemu,
    /// The guest goes on at its destination, and reacts to its power button.
    fn to_another_qemu(qemu) {
        for arguments in ["", "-S"] {
            let mut source = Vm::with_guest(qemu, OBLIGING, "");
            let mut target = destination(qemu, &source, arguments);
            let uri = format!("unix:{}", target.scratch.file("migration"));
            let (from, to) = (source.address(), target.address());
            assert!(block_on(live_migration::run(&from, &to, &uri, &uri, PATIENCE)).unwrap());
            assert!(source.has_ended());
            assert_eq!(target.status(), RunState::Running);
            assert!(shut_down::run(&to, PATIENCE).unwrap().by_guest());
            assert!(target.has_ended());
        }
    }
}

live! { qemu,
    /// No process listens, or the destination is a different machine: the guest goes on at the
    /// source.
    fn to_nowhere(qemu) {
        let source = Vm::with_guest(qemu, OBLIGING, "");
        let from = source.address();
        for (other, listens) in [(MACHINE, false), ("-M pc -m 64 -incoming defer", true)] {
            let scratch = Scratch::new();
            std::fs::copy(source.scratch.file("guest"), scratch.file("guest")).unwrap();
            let mut target = Vm::start_in(scratch, qemu, other);
            let listen = format!("unix:{}", target.scratch.file("migration"));
            let connect = if listens { listen.clone() } else { format!("{listen}-not") };
            let to = target.address();
            let moved = live_migration::run(&from, &to, &listen, &connect, PATIENCE);
            assert!(!block_on(moved).unwrap());
            target.has_ended();
            assert_eq!(source.status(), RunState::Running);
        }
        assert!(shut_down::run(&from, PATIENCE).unwrap().by_guest());
    }
}

live! { qemu,
    fn to_a_file_and_back(qemu) {
        let mut source = Vm::with_guest(qemu, OBLIGING, "");
        let state = source.scratch.file("state");
        assert_eq!(save_to_file::save(&source.address(), &state).unwrap(), None);
        assert!(source.has_ended());
        let target = destination(qemu, &source, "");
        assert_eq!(save_to_file::restore(&target.address(), &state).unwrap(), None);
        assert_eq!(target.status(), RunState::Running);
        assert!(shut_down::run(&target.address(), PATIENCE).unwrap().by_guest());

        // The file cannot be written, so the guest goes on.
        let source = Vm::with_guest(qemu, OBLIGING, "");
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert!(!matches!(save_to_file::save_into(&source.address(), full), Ok(None)));
        assert_eq!(source.status(), RunState::Running);
        // An existing file is not overwritten, and the error names it.
        let guest = source.scratch.file("guest");
        let error = save_to_file::save(&source.address(), &guest).unwrap_err();
        let report = error.report();
        assert!(report.starts_with(&format!("cannot create {guest}: ")), "{report}");
        // A file that is not a saved state is not restored.
        let target = destination(qemu, &source, "");
        assert!(!matches!(save_to_file::restore(&target.address(), &guest), Ok(None)));
    }
}
