//! VMs as a whole: how they start and end, what they report.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{Cont, InputSendEvent, QueryStatus};
use qmp_client::qmp::events::Wakeup;
use qmp_client::qmp::types::{
    InputEvent, InputKeyEvent, InputKeyEventWrapper, KeyValue, QKeyCode, QKeyCodeWrapper, RunState,
    ShutdownCause,
};
use qmp_client::{Client, Error, Raw};
use qmp_vm::supervise::Supervision;
use qmp_vm::{EndedBy, Workflows};
use serde_json::Value;

use crate::handle_errors::Next;
use crate::vm::{ECHO, OBLIGING, PATIENCE, SLEEPING, Scratch, TYPEWRITER, Vm, block_on, eventually};
use crate::*;

live! { qemu,
    fn overviews(qemu) {
        let vm = Vm::start(qemu, "-M pc -S -m 64 -smp 2 -name cook \
            -blockdev driver=null-co,size=1048576,node-name=null \
            -device virtio-blk-pci,drive=null,id=d");
        let seen = block_on(overview::run(&vm.address())).unwrap();
        assert_eq!(seen.name.as_deref(), Some("cook"));
        assert_eq!(seen.status, RunState::Prelaunch);
        assert_eq!((seen.cpus, seen.memory), (2, 64 << 20));
        assert_eq!((seen.balloon, &seen.migration), (None, &None));
        assert_eq!(seen.disks.len(), 1, "{:?}", seen.disks);
        assert!(seen.disks[0].0.contains("/d/"), "{:?}", seen.disks);

        let line = "cook: prelaunch, 2 CPUs, 64 MiB of memory, no balloon, 1 disks";
        assert_eq!(seen.to_string(), line);
        let seen_blocking = overview_blocking::run(&vm.address()).unwrap();
        assert_eq!(seen_blocking.to_string(), line);
        assert_eq!(format!("{seen_blocking:?}"), format!("{seen:?}"));

        let vm = Vm::start(qemu, "-M pc -S -m 64 -device virtio-balloon-pci");
        assert_eq!(block_on(overview::run(&vm.address())).unwrap().balloon, Some(64 << 20));
    }
}

live! { qemu,
    fn mirroring(qemu) {
        let vm = Vm::start(qemu, "-M none -S");
        block_on(async {
            let mirror = mirror_machine::mirror(&vm.address()).unwrap();
            let running = mirror.wait_until(|vm| vm.is_running(), PATIENCE);
            let (view, ()) = tokio::join!(running, async {
                mirror.current(PATIENCE).await.unwrap();
                mirror.execute(Cont::new()).await.unwrap();
            });
            assert_eq!(view.unwrap().run_state(), Some(&RunState::Running));
        });
    }
}

live! { qemu,
    fn shutting_down(qemu) {
        let by_guest = (EndedBy::Guest, Some(ShutdownCause::GuestShutdown));
        let by_quit = (EndedBy::Quit, Some(ShutdownCause::HostQmpQuit));
        let shut_down = |vm: &Vm, patience| {
            let ended = shut_down::run(&vm.address(), patience).unwrap();
            (ended.by, ended.reason)
        };
        let mut vm = Vm::with_guest(qemu, OBLIGING, "");
        assert_eq!(shut_down(&vm, PATIENCE), by_guest);
        assert!(vm.has_ended());

        // The guest is off, and QEMU still runs. Before, the guest was paused.
        let mut vm = Vm::with_guest(qemu, OBLIGING, "-no-shutdown");
        vm.human("stop");
        assert_eq!(shut_down(&vm, PATIENCE), by_guest);
        assert!(vm.has_ended());

        // The guest was off before.
        let mut vm = Vm::with_guest(qemu, OBLIGING, "-no-shutdown");
        vm.human("system_powerdown");
        eventually("the guest to shut down", || vm.status() == RunState::Shutdown);
        assert_eq!(shut_down(&vm, PATIENCE), (EndedBy::Guest, None));
        assert!(vm.has_ended());

        // The guest is suspended, and is woken. This one then suspends itself again.
        let vm = Vm::with_guest(qemu, SLEEPING, "");
        eventually("the guest to suspend itself", || vm.status() == RunState::Suspended);
        let mut wakeups = vm.test.events_of::<Wakeup>();
        assert_eq!(shut_down(&vm, Duration::from_secs(1)), by_quit);
        wakeups.next_within(PATIENCE).unwrap().unwrap();

        // The guest does not react, or has not started.
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
        // `watch` subscribes when it is polled for the first time.
        let watched = |vm: &mut Vm, end: &dyn Fn(&mut Vm)| block_on(async {
            let client = Client::connect(vm.address()).await.unwrap();
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
    /// The connection is cut, and QEMU is killed.
    fn supervising(qemu) {
        let mut vm = Vm::start(qemu, "-M none");
        let address = vm.address().to_string();
        let (sender, lines) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let policy = Supervision::new().end_with_process();
            block_on(supervised::run(&address, policy, |line| sender.send(line).unwrap()))
        });
        let next = || lines.recv_timeout(PATIENCE).unwrap();
        let first = next();
        assert!(first.starts_with("connected to the first QEMU, version "), "{first}");
        assert!(first.ends_with(": running") || first.ends_with(": prelaunch"), "{first}");
        vm.test.execute(qmp_client::qmp::commands::Stop::new()).unwrap();
        assert_eq!(next(), "STOP");
        vm.child.kill().unwrap();
        vm.child.wait().unwrap();
        let ended = format!("ended: the process {} of QEMU has ended", vm.child.id());
        // That the connection was lost is only told if the end does not follow at once.
        let last = std::iter::repeat_with(next).find(|line| !line.starts_with("lost: "));
        assert_eq!(last, Some(ended));
        thread.join().unwrap().unwrap();
    }
}

live! { qemu,
    fn starting(qemu) {
        let scratch = Scratch::new();
        let socket = scratch.file("qmp");
        // The stale socket of an earlier QEMU.
        drop(UnixListener::bind(&socket).unwrap());
        let options = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let none = options("-M none -display none -nodefaults -S");
        let (vm, mut child) = wait_for_start::run(Path::new(&socket), qemu, &none).unwrap();
        vm.quit().unwrap();
        assert!(child.wait().unwrap().success());

        let begin = Instant::now();
        let wrong = options("-M nonsense -display none");
        let error = wait_for_start::run(Path::new(&socket), qemu, &wrong).unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        let error = wait_for_start::run(Path::new(&socket), "/no/qemu", &wrong).unwrap_err();
        assert!(error.report().starts_with("cannot start /no/qemu: "), "{error:?}");
        assert!(begin.elapsed() < Duration::from_secs(9), "waited for a socket that is never created");
    }
}

live! { qemu,
    fn launching(qemu) {
        let options = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let none = options("-M none -display none -nodefaults -S");
        let mut client = None;
        let ended = launch::run(qemu, &none, PATIENCE, |vm| {
            client = Some(vm.clone());
            vm.execute(QueryStatus::new()).map(|info| assert_eq!(info.status, RunState::Prelaunch))
        });
        assert_eq!(ended.unwrap().by, EndedBy::Quit);
        // QEMU is ended if the program fails.
        let failing = launch::run(qemu, &none, PATIENCE, |vm| {
            client = Some(vm.clone());
            vm.execute(Raw::<Value>::new("no-such-command")).map(|_| ())
        });
        assert!(failing.unwrap_err().is_command_not_found());
        assert!(client.unwrap().execute(QueryStatus::new()).unwrap_err().is_closed());

        let wrong = options("-M nonsense -display none");
        let error = launch::run(qemu, &wrong, PATIENCE, |_| Ok(())).unwrap_err();
        assert!(error.report().contains("unsupported machine type"), "{error:?}");
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
        let count = |text_part: &str| text.lines().filter(|line| line.contains(text_part)).count();
        assert_eq!(count("\"QMP\""), 1, "{text}");
        for kept in ["\"stop\"", "\"STOP\"", "\"cont\"", "\"RESUME\""] {
            assert_eq!(count(kept), 1, "{kept}: {text}");
        }
        assert_eq!(count("query-status"), 0, "{text}");
        assert_eq!((count("sesame"), count("<secret>")), (0, 1), "{text}");
        // Those of the negotiation and of four commands: that of the query is left out.
        let received = |member: &str| {
            count(&format!("\"received\", \"monitor\": \"vm\", \"message\": {{\"{member}\""))
        };
        assert_eq!(received("id") + received("return"), 5, "{text}");
    }
}

live! { qemu,
    fn screens(qemu) {
        let vm = Vm::with_guest(qemu, ECHO, "-device VGA");
        let picture = screen::run(&vm.address(), "Hello, World_1!\n", PATIENCE).unwrap();
        assert!(picture.starts_with(b"P6"));
        assert!(picture.len() > 100_000);
        eventually("the guest to echo the text", || vm.console().ends_with("Hello, World_1!\r"));
    }
}

live! { qemu,
    /// QEMU's queue of keys is short, and it drops what does not fit: only a text that is typed at
    /// the pace of the queue arrives as a whole, with all its capitals.
    fn a_long_text(qemu) {
        let vm = Vm::with_guest(qemu, TYPEWRITER, "-serial file:DIR/serial");
        let text: String = ('!'..='~').cycle().take(300).collect();
        let begin = Instant::now();
        vm.test.type_text(&text).unwrap();
        let took = begin.elapsed();
        let seen = || std::fs::read_to_string(vm.scratch.file("serial")).unwrap_or_default();
        // The guest has had the time to read the last key, too, and writes it a moment later.
        let end = Instant::now() + Duration::from_secs(1);
        while seen().len() < text.len() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("{} of {} characters in {took:?}", seen().len(), text.len());
        assert_eq!(seen(), text);
    }
}

live! { qemu,
    /// More events than the queues of QEMU's keyboards hold.
    fn input_events(qemu) {
        let vm = Vm::with_guest(qemu, TYPEWRITER, "-serial file:DIR/serial");
        let text: String = ('a'..='z').cycle().take(60).collect();
        let key = |letter: char, down| {
            let Ok(code) = letter.to_string().parse::<QKeyCode>();
            let key = InputKeyEvent::new(KeyValue::Qcode(QKeyCodeWrapper::new(code)), down);
            InputSendEvent::new(vec![InputEvent::Key(InputKeyEventWrapper::new(key))])
        };
        let steps = text.chars().flat_map(|letter| [key(letter, true), key(letter, false)]);
        vm.test.send_input(steps, Duration::from_millis(20)).unwrap();
        let seen = || std::fs::read_to_string(vm.scratch.file("serial")).unwrap_or_default();
        eventually("the last letter", || seen().len() >= text.len());
        assert_eq!(seen(), text);
    }
}

live! { qemu,
    fn raw_commands_and_events(qemu) {
        let vm = Vm::start(qemu, "-M none");
        assert_eq!(raw::run(&vm.address()).unwrap(), ["RESUME"]);
        assert_eq!(vm.status(), RunState::Running);
    }
}

live! { qemu,
    fn network_backends(qemu) {
        use crate::capabilities::Reconnect;
        let vm = Vm::start(qemu, "-M none");
        let path = vm.scratch.file("switch");
        let listener = UnixListener::bind(&path).unwrap();
        let reconnect = block_on(capabilities::run(&vm.address(), "net1", &path)).unwrap();
        let qemu = &vm.test.version().qemu;
        let expected = match (qemu.major, qemu.minor) {
            (..8, _) => Reconnect::Never,
            (8, _) | (9, ..2) => Reconnect::Seconds,
            _ => Reconnect::Milliseconds,
        };
        assert_eq!(reconnect, expected);
        assert!(vm.human("info network").contains("net1"));
        drop(listener.accept().unwrap());
        if reconnect != Reconnect::Never {
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
