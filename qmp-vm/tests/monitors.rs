//! Further monitors of a running QEMU: of its own where it has them, and of a proxy on every release.
//!
//! The tests run with every program that `QMP_TEST_QEMUS` lists, or with the QEMU that `live.rs` uses.

#![cfg(all(
    unix,
    feature = "blocking",
    feature = "futures-io",
    feature = "proxy",
    feature = "tokio"
))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod stopped;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{
    Cont, QomList, QomListTypes, QueryChardev, QueryStatus, Stop as StopMachine,
};
use qmp_client::qmp::events::Stop;
use qmp_client::transport::Unix;
use qmp_client::{Client, Error, Misuse, Options, Raw, blocking};
use qmp_vm::proxy::{self, Access, Policy, Proxy};
use qmp_vm::{Launch, Workflows, futures_io};
use serde_json::{Value, json};

use stopped::stop;

const PATIENCE: Duration = Duration::from_secs(60);

/// The number of monitors that are opened one after the other, and at the same time.
const MONITORS: usize = 100;
const AT_ONCE: usize = 20;

/// The tests count the descriptors of this process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn programs() -> Vec<String> {
    let named = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let named: Vec<_> =
        named.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if !named.is_empty() {
        return named;
    }
    vec![std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned())]
}

fn options() -> Options {
    Options::new().greeting_within(PATIENCE).calls_within(PATIENCE)
}

fn qemu(program: &str) -> Launch {
    Launch::new(program)
        .args(["-M", "none", "-display", "none", "-nodefaults", "-S"])
        .options(options())
}

/// A runtime with a thread of its own, which closes the sockets of clients that were dropped.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn descriptors(process: &str) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// Everything that a monitor could leave behind.
#[derive(Debug, Eq, PartialEq)]
struct Traces {
    objects: BTreeSet<String>,
    chardevs: BTreeSet<String>,
    qemu: usize,
    ours: usize,
}

/// A monitor of the test's own, on a socket of the machine: what it sees depends on no proxy.
struct Observer(blocking::Client, u32);

impl Observer {
    fn traces(&self) -> Traces {
        let vm = &self.0;
        // Older releases have no such place before there is an object.
        let objects = vm.execute(QomList::new("/objects")).unwrap_or_default();
        let chardevs = vm.execute(QueryChardev::new()).unwrap();
        Traces {
            objects: objects.into_iter().map(|object| object.name).collect(),
            chardevs: chardevs.into_iter().map(|chardev| chardev.label).collect(),
            qemu: descriptors(&self.1.to_string()),
            ours: descriptors("self"),
        }
    }

    /// Waits until everything is as it was. This process may have fewer descriptors: an earlier test's
    /// are closed after its end.
    fn settles(&self, before: &Traces) {
        let begin = Instant::now();
        loop {
            let now = self.traces();
            assert!(begin.elapsed() < PATIENCE, "{now:?}, and before: {before:?}");
            if now.ours <= before.ours && (Traces { ours: before.ours, ..now }) == *before {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A machine with a second monitor for the test, and a directory for that.
fn observed(program: &str) -> (Launch, String) {
    let path = std::env::temp_dir().join(format!(
        "qmp-vm-monitors-{}-{}",
        std::process::id(),
        program.replace('/', "_")
    ));
    let path = path.to_str().unwrap().to_owned();
    let monitor = format!("unix:{path},server=on,wait=off");
    (qemu(program).args(["-qmp", &monitor]), path)
}

fn observe(path: &str, process: u32) -> Observer {
    let observer = blocking::Client::connect_with(format!("unix:{path}"), &options()).unwrap();
    std::fs::remove_file(path).unwrap();
    Observer(observer, process)
}

fn has_monitors(vm: &blocking::Client) -> bool {
    !vm.execute(QomListTypes::new().implements("monitor-qmp")).unwrap().is_empty()
}

/// A program that opens monitors, hears events on each, and drops some of them in mid-command.
macro_rules! program {
    ($name:ident, $client:ty, |$vm:ident| $open:expr, $($await:ident)?) => {
        $($await)? fn $name($vm: &$client) -> Result<(), Error> {
            for number in 0..MONITORS {
                let other = wait!($($await)? $open)?;
                let mut stops = other.events_of::<Stop>();
                wait!($($await)? $vm.execute(Cont::new()))?;
                wait!($($await)? $vm.execute(StopMachine::new()))?;
                wait!($($await)? stops.next_within(PATIENCE)).unwrap()?;
                match number % 4 {
                    // In mid-command.
                    0 => {
                        for _ in 0..number % 12 {
                            drop(other.send(QomListTypes::new())?);
                        }
                    }
                    1 => wait!($($await)? other.remove())?,
                    // The client is closed first, in mid-command.
                    2 => {
                        drop(other.send(QomListTypes::new())?);
                        other.close();
                        if number % 8 == 2 {
                            wait!($($await)? other.remove())?;
                        }
                    }
                    _ => {
                        let kept = other.client().clone();
                        drop(other);
                        wait!($($await)? kept.execute(QueryStatus::new())).unwrap_err();
                    }
                }
            }
            let mut several = Vec::new();
            for _ in 0..AT_ONCE {
                several.push(wait!($($await)? $open)?);
            }
            let mut events: Vec<_> = several.iter().map(|it| it.events_of::<Stop>()).collect();
            wait!($($await)? several[0].execute(Cont::new()))?;
            wait!($($await)? several[AT_ONCE - 1].execute(StopMachine::new()))?;
            for events in &mut events {
                wait!($($await)? events.next_within(PATIENCE)).unwrap()?;
            }
            Ok(())
        }
    };
}

macro_rules! wait {
    (async $what:expr) => {
        $what.await
    };
    ($what:expr) => {
        $what
    };
}

program!(with_blocking, blocking::Client, |vm| vm.open_monitor(),);
program!(with_tokio, Client, |vm| vm.open_monitor(), async);
program!(with_futures_io, Client, |vm| futures_io::open_monitor(vm, spawn), async);

fn spawn(driver: futures_io::Driver<async_io::Async<std::os::unix::net::UnixStream>>) {
    tokio::spawn(driver);
}

/// Runs a program with a proxy, on every release, and without one, where QEMU has monitors. Nothing may
/// be left.
fn leaves_nothing<T>(
    front: &str,
    start: impl Fn(Launch) -> (u32, T),
    run: impl Fn(&T) -> Result<(), Error>,
) {
    for program in programs() {
        for shared in [true, false] {
            let (launch, path) = observed(&program);
            let launch = if shared { launch.shared() } else { launch };
            let (process, vm) = start(launch);
            let observer = observe(&path, process);
            if !shared && !has_monitors(&observer.0) {
                let error = run(&vm).unwrap_err();
                assert!(matches!(error, Error::Misuse(Misuse::OneMonitor)), "{error:?}");
                assert!(error.report().contains("`Launch::shared`"), "{}", error.report());
                continue;
            }
            let before = observer.traces();
            let begin = Instant::now();
            run(&vm).unwrap();
            let took = begin.elapsed();
            observer.settles(&before);
            let count = MONITORS + AT_ONCE;
            println!(
                "{program}, {front}, shared={shared}: {count} monitors in {took:?}, {before:?}"
            );
        }
    }
}

macro_rules! live {
    ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
        $(#[$attribute])*
        #[test]
        #[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
        fn $name() $body
    };
}

live! {
    fn blocking_monitors_leave_nothing() {
        let _alone = alone();
        let start = |launch: Launch| {
            let vm = launch.start::<blocking::Client>().unwrap();
            (vm.process().id(), vm)
        };
        leaves_nothing("blocking", start, |vm| with_blocking(vm));
    }
}

live! {
    fn tokio_monitors_leave_nothing() {
        let _alone = alone();
        let runtime = runtime();
        let start = |launch: Launch| {
            let vm = runtime.block_on(launch.start::<Client>()).unwrap();
            (vm.process().id(), vm)
        };
        leaves_nothing("tokio", start, |vm| runtime.block_on(with_tokio(vm)));
    }
}

live! {
    fn futures_io_monitors_leave_nothing() {
        let _alone = alone();
        let runtime = runtime();
        let start = |launch: Launch| {
            let _context = runtime.enter();
            let (launching, driver) = futures_io::launch(launch).unwrap();
            tokio::spawn(driver);
            let vm = runtime.block_on(launching).unwrap();
            (vm.process().id(), vm)
        };
        leaves_nothing("futures-io", start, |vm| runtime.block_on(with_futures_io(vm)));
    }
}

/// The program that is killed: it opens monitors, and has commands in flight on each.
#[test]
#[ignore = "another test runs it, and kills it"]
fn victim() {
    let Ok(path) = std::env::var("QMP_TEST_VICTIM") else { return };
    let address = format!("unix:{path}");
    let vm = match std::env::var("QMP_TEST_VICTIM_SHARED").is_ok() {
        true => proxy::connect_shared::<blocking::Client>(address, &options()).unwrap(),
        false => blocking::Client::connect_with(address, &options()).unwrap(),
    };
    let others: Vec<_> = (0..8).map(|_| vm.open_monitor().unwrap()).collect();
    println!("ready");
    loop {
        let tickets = others.iter().map(|other| other.send(QomListTypes::new()).unwrap());
        for ticket in tickets.collect::<Vec<_>>() {
            ticket.receive().unwrap();
        }
    }
}

/// Monitors that QEMU does not remove by itself when a program is killed are removed by the next one.
fn a_killed_program_leaves_nothing_for_long(program: &str, shared: bool) {
    let (launch, path) = observed(program);
    let vm = launch.shared().start::<blocking::Client>().unwrap();
    let of_qemu = has_monitors(vm.client());
    if !shared && !of_qemu {
        std::fs::remove_file(path).unwrap();
        return;
    }
    let observer = Observer(vm.client().clone(), vm.process().id());
    let before = observer.traces();
    let mut abandoned = 0;
    for round in 0..5 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "victim", "--ignored", "--nocapture"]);
        command.env("QMP_TEST_VICTIM", &path).stdout(Stdio::piped());
        if shared {
            command.env("QMP_TEST_VICTIM_SHARED", "1");
        }
        let mut victim = command.spawn().unwrap();
        let output = BufReader::new(victim.stdout.take().unwrap());
        assert!(output.lines().map_while(Result::ok).any(|line| line.ends_with("ready")));
        std::thread::sleep(Duration::from_millis(7 * round));
        victim.kill().unwrap();
        victim.wait().unwrap();
        if !of_qemu {
            observer.settles(&before);
            continue;
        }
        // QEMU has noticed when it has closed the sockets.
        let begin = Instant::now();
        while observer.traces().qemu > before.qemu {
            assert!(begin.elapsed() < PATIENCE, "{:?}", observer.traces());
            std::thread::sleep(Duration::from_millis(5));
        }
        abandoned += observer.traces().chardevs.len() - before.chardevs.len();
        drop(vm.open_monitor().unwrap());
        observer.settles(&before);
    }
    println!("{program}, shared={shared}: QEMU left {abandoned} of 40 monitors of killed programs");
    std::fs::remove_file(path).unwrap();
}

live! {
    fn killed_programs() {
        let _alone = alone();
        for program in programs() {
            a_killed_program_leaves_nothing_for_long(&program, true);
            a_killed_program_leaves_nothing_for_long(&program, false);
        }
    }
}

/// Connects, again if the connection is closed: QEMU may still be busy with the end of the one before.
fn patiently<T>(connect: impl Fn() -> Result<T, Error>) -> T {
    let begin = Instant::now();
    loop {
        match connect() {
            Ok(client) => return client,
            Err(error) => assert!(error.is_closed() && begin.elapsed() < PATIENCE, "{error:?}"),
        }
    }
}

live! {
    /// A proxy that was put below a client ends with the last client, and the monitor serves the next.
    fn connections_are_shared() {
        let _alone = alone();
        for program in programs() {
            let (launch, path) = observed(&program);
            let qemu = launch.start::<blocking::Client>().unwrap();
            let address = format!("unix:{path}");
            let ours = descriptors("self");
            for _ in 0..3 {
                let vm = patiently(|| {
                    proxy::connect_shared::<blocking::Client>(&*address, &options())
                });
                let other = vm.open_monitor().unwrap();
                // A further one, through the other.
                let third = other.open_monitor().unwrap();
                assert_eq!(third.version(), vm.version());
                drop((vm, other, third));
            }
            let runtime = runtime();
            let vm = patiently(|| {
                runtime.block_on(proxy::connect_shared::<Client>(&*address, &options()))
            });
            runtime.block_on(async {
                let other = vm.open_monitor().await.unwrap();
                other.execute(QueryStatus::new()).await.unwrap();
                // The proxy stays for the other client.
                drop(vm);
                let third = other.open_monitor().await.unwrap();
                third.execute(QueryStatus::new()).await.unwrap();
            });
            drop(runtime);
            let vm = patiently(|| blocking::Client::connect_with(&*address, &options()));
            vm.execute(QueryStatus::new()).unwrap();
            drop(vm);
            let begin = Instant::now();
            while descriptors("self") > ours {
                assert!(begin.elapsed() < PATIENCE, "{} of {ours}", descriptors("self"));
                std::thread::sleep(Duration::from_millis(5));
            }
            std::fs::remove_file(path).unwrap();
            qemu.quit().unwrap();
        }
    }
}

live! {
    /// With a proxy below, a client still learns how its connection ended, and why a launch failed.
    fn the_end_is_that_of_qemu() {
        let _alone = alone();
        for program in programs() {
            let vm = qemu(&program).shared().start::<blocking::Client>().unwrap();
            let other = vm.open_monitor().unwrap();
            stop(vm.process().id());
            let ticket = vm.send(QueryStatus::new()).unwrap();
            let of_other = other.send(QueryStatus::new()).unwrap();
            signal(vm.process().id(), "KILL");
            for ticket in [ticket, of_other] {
                match ticket.receive().unwrap_err() {
                    Error::Closed(closed) => assert!(closed.by_peer() && closed.sent, "{closed:?}"),
                    error => panic!("{program}: {error:?}"),
                }
            }
            let error = qemu(&program).arg("-no-such-option").shared();
            let error = error.start::<blocking::Client>().unwrap_err();
            assert!(error.report().contains("no-such-option"), "{}", error.report());

            let vm = qemu(&program).shared().start::<blocking::Client>().unwrap();
            let exit = vm.quit().unwrap();
            assert!(exit.success(), "{exit:?}");
        }
    }
}

fn signal(process: u32, signal: &str) {
    let kill = Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
    assert!(kill.unwrap().success());
}

live! {
    /// `remove` has the deadlines of its commands, and a guard on the blocking client has one of its own.
    fn a_qemu_that_does_not_answer() {
        let _alone = alone();
        // A QEMU that has just started loads its modules first.
        let within = Duration::from_secs(2);
        for program in programs() {
            let impatient = options().calls_within(within);
            let vm = qemu(&program).options(impatient).start::<blocking::Client>().unwrap();
            if !has_monitors(vm.client()) {
                continue;
            }
            let (removed, dropped) = (vm.open_monitor().unwrap(), vm.open_monitor().unwrap());
            stop(vm.process().id());
            let begin = Instant::now();
            assert!(removed.remove().unwrap_err().is_timeout());
            assert!(begin.elapsed() < 10 * within, "{:?}", begin.elapsed());
            drop(dropped);
            assert!(begin.elapsed() < 20 * within, "{:?}", begin.elapsed());
            signal(vm.process().id(), "CONT");
            vm.process().kill().unwrap();
        }
    }
}

live! {
    /// A client with few rights does not get more by opening a monitor.
    fn rights_are_inherited() {
        let _alone = alone();
        for program in programs() {
            let (launch, path) = observed(&program);
            let qemu = launch.start::<blocking::Client>().unwrap();
            let proxy = Proxy::connect_to(&format!("unix:{path}").parse().unwrap()).unwrap();
            let client = |policy: Policy| {
                let stream = proxy.connect(Access::new().policy(policy)).unwrap();
                blocking::Client::over(Unix::from_stream(stream).unwrap(), &options()).unwrap()
            };
            let objects = || qemu.execute(QomList::new("/objects")).map_or(0, |all| all.len());
            let before = objects();
            for policy in [Policy::read_only(), Policy::everything().deny(["quit"])] {
                let vm = client(policy);
                let other = vm.open_monitor().unwrap();
                other.execute(QueryStatus::new()).unwrap();
                let error = other.execute(Raw::<Value>::new("quit")).unwrap_err();
                assert!(error.is_command_not_found(), "{error:?}");
                assert_eq!(objects(), before);
                // By hand, neither.
                let monitor = json!({"qom-type": "monitor-qmp", "id": "m", "chardev": "c"});
                let add = Raw::<Value>::new("object-add").arguments(&monitor);
                let error = other.execute(add).unwrap_err();
                assert!(error.report().contains("den") || error.is_command_not_found(), "{error:?}");
            }
            let vm = client(Policy::everything().deny([proxy::OPEN_MONITOR]));
            let opened = vm.open_monitor();
            assert!(opened.is_err(), "{opened:?}");
            drop((opened, vm, proxy));
            std::fs::remove_file(path).unwrap();
            qemu.quit().unwrap();
        }
    }
}
