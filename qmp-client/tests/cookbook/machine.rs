//! The machine as a whole: how it begins and ends, what it is, what it says.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qmp_client::qmp::events::Wakeup;
use qmp_client::qmp::types::{RunState, ShutdownCause};
use qmp_client::{Client, EndedBy, Error};

use crate::handle_errors::Next;
use crate::vm::{ECHO, OBLIGING, PATIENCE, SLEEPING, Scratch, Vm, block_on, eventually};
use crate::*;

live! { qemu,
    fn overviews(qemu) {
        let vm = Vm::start(qemu, "-M pc -S -m 64 -smp 2 -name cook \
            -blockdev driver=null-co,size=1048576,node-name=null \
            -device virtio-blk-pci,drive=null,id=d");
        let seen = block_on(overview::run(&vm.address())).unwrap();
        assert_eq!(seen.name.as_deref(), Some("cook"));
        assert_eq!((seen.status, seen.cpus, seen.memory), (RunState::Prelaunch, 2, 64 << 20));
        assert_eq!((seen.balloon, seen.migration), (None, None));
        assert_eq!(seen.disks.len(), 1, "{:?}", seen.disks);
        assert!(seen.disks[0].0.contains("/d/"), "{:?}", seen.disks);

        let line = overview_blocking::run(&vm.address()).unwrap();
        let wanted = "cook: prelaunch, 2 CPUs, 64 MiB of memory, no balloon, 1 disks";
        assert_eq!(line, wanted);

        let vm = Vm::start(qemu, "-M pc -S -m 64 -device virtio-balloon-pci");
        assert_eq!(block_on(overview::run(&vm.address())).unwrap().balloon, Some(64 << 20));
    }
}

live! { qemu,
    fn shutting_down(qemu) {
        let by_guest = (EndedBy::Guest, Some(ShutdownCause::GuestShutdown));
        let by_quit = (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit));
        let shut_down = |vm: &Vm, patience| {
            let how = shut_down::run(&vm.address(), patience).unwrap();
            (how.by, how.reason)
        };
        let mut vm = Vm::with_guest(qemu, OBLIGING, "");
        assert_eq!(shut_down(&vm, PATIENCE), by_guest);
        assert!(vm.has_ended());

        // It is off, and QEMU is still there. Before, it was paused.
        let mut vm = Vm::with_guest(qemu, OBLIGING, "-no-shutdown");
        vm.human("stop");
        assert_eq!(shut_down(&vm, PATIENCE), by_guest);
        assert!(vm.has_ended());

        // It was off before.
        let mut vm = Vm::with_guest(qemu, OBLIGING, "-no-shutdown");
        vm.human("system_powerdown");
        eventually("it is off", || vm.status() == RunState::Shutdown);
        assert_eq!(shut_down(&vm, PATIENCE), (EndedBy::Guest, None));
        assert!(vm.has_ended());

        // It sleeps, and is woken. That this one then falls asleep again is its own affair.
        let mut vm = Vm::with_guest(qemu, SLEEPING, "");
        eventually("it sleeps", || vm.status() == RunState::Suspended);
        assert_eq!(shut_down(&vm, Duration::from_secs(1)), by_quit);
        vm.test.wait_for(|_: &Wakeup| true, PATIENCE).unwrap();

        // The guest does not care, or has not begun.
        let short = Duration::from_secs(1);
        for (arguments, patience, least) in
            [("-M none", short, short), ("-M none -S", PATIENCE, Duration::ZERO)]
        {
            let mut vm = Vm::start(qemu, arguments);
            let begin = Instant::now();
            assert_eq!(shut_down(&vm, patience), by_quit);
            assert!((least..PATIENCE).contains(&begin.elapsed()));
            assert!(vm.has_ended());
        }
    }
}

live! { qemu,
    fn watching_the_end(qemu) {
        // Whoever watches subscribes when it is polled for the first time.
        let watched = |vm: &mut Vm, end: &dyn Fn(&mut Vm)| block_on(async {
            let client = Client::connect(&vm.address()).await.unwrap();
            let (ended, ()) = tokio::join!(watch_shutdown::watch(&client), async { end(vm) });
            ended.unwrap().reason
        });
        let mut vm = Vm::start(qemu, "-M none");
        let quit = |vm: &mut Vm| vm.test.quit().unwrap();
        assert_eq!(watched(&mut vm, &quit), Some(ShutdownCause::HostQmpQuit));

        let mut vm = Vm::start(qemu, "-M none");
        assert_eq!(watched(&mut vm, &|vm| vm.child.kill().unwrap()), None);

        let mut vm = Vm::with_guest(qemu, OBLIGING, "");
        let press = |vm: &mut Vm| drop(vm.human("system_powerdown"));
        assert_eq!(watched(&mut vm, &press), Some(ShutdownCause::GuestShutdown));
    }
}

live! { qemu,
    fn starting(qemu) {
        let scratch = Scratch::new();
        let socket = scratch.file("qmp");
        // What an earlier QEMU left behind.
        drop(UnixListener::bind(&socket).unwrap());
        let options = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let none = options("-M none -display none -nodefaults -S");
        let (mut vm, mut child) = wait_for_start::run(Path::new(&socket), qemu, &none).unwrap();
        vm.quit().unwrap();
        assert!(child.wait().unwrap().success());

        let begin = Instant::now();
        let wrong = options("-M nonsense -display none");
        let error = wait_for_start::run(Path::new(&socket), qemu, &wrong).unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        let error = wait_for_start::run(Path::new(&socket), "/no/qemu", &wrong).unwrap_err();
        assert!(error.report().starts_with("cannot start /no/qemu: "), "{error:?}");
        assert!(begin.elapsed() < Duration::from_secs(9), "it was waited for all the same");
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

live! { qemu,
    fn transcripts(qemu) {
        let vm = Vm::start(qemu, "-M none");
        let file = Shared::default();
        transcript::run(&vm.address(), file.clone()).unwrap();
        let text = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!(count("\"QMP\""), 1, "{text}");
        for kept in ["\"stop\"", "\"STOP\"", "\"cont\"", "\"RESUME\""] {
            assert_eq!(count(kept), 1, "{kept}: {text}");
        }
        assert_eq!(count("query-status"), 0, "{text}");
        assert_eq!((count("sesame"), count("blotted")), (0, 1), "{text}");
        // Of five commands beside the negotiation; the query's is left out.
        assert_eq!(count("< {\"id\"") + count(" < {\"return\""), 5, "{text}");
    }
}

live! { qemu,
    fn screens(qemu) {
        let vm = Vm::with_guest(qemu, ECHO, "-device VGA");
        let picture = screen::run(&vm.address(), "Hello, World_1!\n", PATIENCE).unwrap();
        assert!(picture.starts_with(b"P6"));
        assert!(picture.len() > 100_000);
        eventually("it is typed", || vm.console().ends_with("Hello, World_1!\r"));
    }
}

live! { qemu,
    fn raw_commands_and_events(qemu) {
        let mut vm = Vm::start(qemu, "-M none");
        assert_eq!(raw::run(&vm.address()).unwrap(), ["RESUME"]);
        assert_eq!(vm.status(), RunState::Running);
    }
}

live! { qemu,
    fn what_it_can_do(qemu) {
        use crate::capabilities::Reconnect;
        let mut vm = Vm::start(qemu, "-M none");
        let path = vm.scratch.file("switch");
        let listener = UnixListener::bind(&path).unwrap();
        let how = block_on(capabilities::run(&vm.address(), "net1", &path)).unwrap();
        let qemu = &vm.test.version().qemu;
        let expected = match (qemu.major, qemu.minor) {
            (..8, _) => Reconnect::Never,
            (8, _) | (9, ..2) => Reconnect::Seconds,
            _ => Reconnect::Milliseconds,
        };
        assert_eq!(how, expected);
        assert!(vm.human("info network").contains("net1"));
        drop(listener.accept().unwrap());
        if how != Reconnect::Never {
            listener.accept().unwrap();
        }
    }
}

live! { qemu,
    fn errors(qemu) {
        let vm = Vm::start(qemu, "-M none");
        let steps = handle_errors::run(&vm.address()).unwrap();
        assert_eq!(steps, [Next::GoOn, Next::DoWithout, Next::DoWithout, Next::DoWithout]);
    }
}
