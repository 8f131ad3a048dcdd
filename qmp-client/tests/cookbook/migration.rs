//! VMs that move.

use std::fs::File;

use qmp_client::qmp::types::RunState;

use crate::vm::{OBLIGING, PATIENCE, Scratch, Vm, block_on};
use crate::{live_migration, save_to_file, shut_down};

/// The options of the guest's machine, for the other side.
const MACHINE: &str = "-M pc -m 32 -chardev null,id=console \
    -device isa-debugcon,iobase=0xe9,chardev=console \
    -blockdev driver=file,filename=DIR/guest,node-name=guest \
    -device ide-hd,drive=guest,bootindex=0 -incoming defer";

/// A QEMU that takes a guest, with a disk of the same content.
fn destination(qemu: &str, source: &Vm, arguments: &str) -> Vm {
    let scratch = Scratch::new();
    std::fs::copy(source.scratch.file("guest"), scratch.file("guest")).unwrap();
    Vm::start_in(scratch, qemu, &format!("{MACHINE} {arguments}"))
}

live! { qemu,
    /// The guest does there what it did here.
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
    /// Nobody listens there, and the other side is another machine: the guest stays.
    fn to_nowhere(qemu) {
        let mut source = Vm::with_guest(qemu, OBLIGING, "");
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
        let mut target = destination(qemu, &source, "");
        assert_eq!(save_to_file::restore(&target.address(), &state).unwrap(), None);
        assert_eq!(target.status(), RunState::Running);
        assert!(shut_down::run(&target.address(), PATIENCE).unwrap().by_guest());

        // It cannot be written: the guest goes on.
        let mut source = Vm::with_guest(qemu, OBLIGING, "");
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert!(!matches!(save_to_file::save_into(&source.address(), full), Ok(None)));
        assert_eq!(source.status(), RunState::Running);
        // Not over what is there; and it is told what that is.
        let guest = source.scratch.file("guest");
        let error = save_to_file::save(&source.address(), &guest).unwrap_err();
        let report = error.report();
        assert!(report.starts_with(&format!("cannot create {guest}: ")), "{report}");
        // What is no state is not restored.
        let target = destination(qemu, &source, "");
        assert!(!matches!(save_to_file::restore(&target.address(), &guest), Ok(None)));
    }
}
