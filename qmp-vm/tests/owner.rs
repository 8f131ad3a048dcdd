//! Launched programs and their owner: they end with it, however it ends, and their standard input and
//! output are not the monitor's.
//!
//! The owner is this test, in another process. The tests with QEMU run with every program that
//! `QMP_TEST_QEMUS` lists, or with the QEMU that `live.rs` uses.

#![cfg(target_os = "linux")] // Processes are found in `/proc`.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryStatus, QueryVersion};
use qmp_client::qmp::types::{ObjectOptions, SecretProperties};
use qmp_client::{Error, Options};
use qmp_vm::{Launch, Launched};

const PATIENCE: Duration = Duration::from_secs(30);
/// The time in which everything has to end after its owner.
const SOON: Duration = Duration::from_secs(20);
/// The role of the owner: its front end, and the way in which it ends.
const ROLE: &str = "QMP_VM_OWNER_ROLE";
/// The program that the owner launches, and its arguments, separated by newlines.
const PROGRAM: &str = "QMP_VM_OWNER_PROGRAM";

/// Says that the test is alone in its process.
const LEFT: &str = "QMP_VM_ALONE";

const MACHINE: [&str; 9] =
    ["-M", "none", "-display", "none", "-nodefaults", "-S", "-accel", "tcg", "-no-user-config"];

/// Greets, negotiates, and reads until the connection ends; the monitor is standard input.
const WELL: &str = r#"
    echo '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10}, "package": ""}, "capabilities": []}}' >&0
    read -r line; id=${line##*'"id":'}; echo "{\"return\": {}, \"id\": ${id%%[!0-9 ]*}}" >&0
    while read -r line; do :; done
"#;

fn programs() -> Vec<String> {
    let named = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let named: Vec<_> =
        named.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if !named.is_empty() {
        return named;
    }
    vec![std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned())]
}

fn qemu(program: &str) -> Launch {
    let options = Options::new().greeting_within(PATIENCE).calls_within(PATIENCE);
    Launch::new(program).args(MACHINE).options(options)
}

/// A file that is removed when this is dropped.
struct Script(PathBuf);

impl Script {
    fn new(name: &str, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let name = format!("qmp-vm-owner-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn wait_until(within: Duration, mut is_so: impl FnMut() -> bool, what: &str) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns a process's parent and state; `None` if it has been waited for.
fn parent_and_state(id: u32) -> Option<(u32, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.to_owned();
    Some((fields.next()?.parse().ok()?, state))
}

/// Returns whether a process runs, which one that was not waited for does not.
fn runs(id: u32) -> bool {
    parent_and_state(id).is_some_and(|(_, state)| state != "Z" && state != "X")
}

/// Returns all processes that descend from this one.
fn descendants(of: u32) -> BTreeSet<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, parent_and_state(id)?.0)))
        .collect();
    let mut found = BTreeSet::from([of]);
    loop {
        let before = found.len();
        let children = all.iter().filter(|(_, parent)| found.contains(parent));
        let children: Vec<u32> = children.map(|(id, _)| *id).collect();
        found.extend(children);
        if found.len() == before {
            break;
        }
    }
    found.remove(&of);
    found
}

/// Plays the owner, in a process of its own.
#[test]
fn owner() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let program = std::env::var(PROGRAM).unwrap();
    let mut words = program.lines();
    let mut launch = || {
        let mut launch = Launch::new(words.next().unwrap()).grace(Duration::from_secs(1));
        launch = launch.args(words.by_ref());
        if std::env::var_os("QMP_VM_OWNER_STDIN").is_some() {
            let none: [&str; 0] = [];
            launch = launch.monitor_args(none);
        }
        launch.exit_with_parent(!role.contains("careless"))
    };
    if role.contains("tokio") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let vm = launch().start::<qmp_client::Client>().await.unwrap();
            end(&role, vm.process().id(), vm);
        });
    } else {
        let vm = launch().start::<Client>().unwrap();
        end(&role, vm.process().id(), vm);
    }
}

fn end<T>(role: &str, id: u32, vm: T) {
    // The test harness writes to standard output as well.
    println!("\nlaunched {id}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    match role.rsplit(' ').next().unwrap() {
        "returns" => drop(vm),
        "panics" => panic!("the owner panics"),
        "exits" => std::process::exit(0),
        "aborts" => std::process::abort(),
        "leaks" => std::mem::forget(vm),
        _ => loop {
            std::thread::park();
        },
    }
}

/// An owner that runs.
struct Owner {
    child: Child,
    launched: u32,
    all: BTreeSet<u32>,
}

impl Owner {
    fn start(role: &str, program: &str, through: impl FnOnce(Command) -> Command) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "owner", "--nocapture"]);
        let mut child = through(command)
            .env(ROLE, role)
            .env(PROGRAM, program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let launched = loop {
            let line = lines.next().expect("the owner launches").unwrap();
            if let Some(id) = line.strip_prefix("launched ") {
                break id.parse().unwrap();
            }
        };
        // A full pipe must not keep the owner.
        std::thread::spawn(move || lines.for_each(drop));
        let all = descendants(child.id());
        assert!(all.contains(&launched), "{all:?}");
        Self { child, launched, all }
    }

    /// Ends the owner, waits until all its descendants have ended, and returns how long the program
    /// lived on. The supervisor may stay for longer, if no process waits for the program.
    fn end(mut self, signal: Option<&str>) -> Duration {
        let mut stdin = self.child.stdin.take().unwrap();
        match signal {
            Some(signal) => kill(signal, self.child.id()),
            None => stdin.write_all(b"\n").unwrap(),
        }
        self.child.wait().unwrap();
        let begin = Instant::now();
        wait_until(SOON, || !runs(self.launched), "the end of the program");
        let launched = begin.elapsed();
        let left = || -> Vec<u32> { self.all.iter().copied().filter(|id| runs(*id)).collect() };
        while !left().is_empty() {
            if begin.elapsed() > SOON {
                left().into_iter().for_each(|id| kill("KILL", id));
                panic!("left behind by {:?}: {:?}", self.child.id(), self.all);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        launched
    }
}

fn kill(signal: &str, id: u32) {
    let id = id.to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
}

fn ways() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let by_itself = ["returns", "panics", "exits", "aborts", "leaks"].map(|way| (way, None));
    let by_signal = [("TERM", 15), ("HUP", 1), ("INT", 2), ("QUIT", 3), ("KILL", 9)];
    let by_signal = by_signal.into_iter().filter(|(_, number)| !is_ignored(*number));
    by_itself.into_iter().chain(by_signal.map(|(way, _)| (way, Some(way))))
}

/// Returns whether this process ignores a signal, as jobs in the background of a shell do.
fn is_ignored(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (number - 1) & 1 == 1
}

/// A QEMU whose owner was killed ran on, without a monitor.
#[test]
fn a_program_ends_with_its_owner() {
    for front in ["blocking", "tokio"] {
        for (way, signal) in ways() {
            let role = format!("{front} {way}");
            let lines: Vec<&str> = WELL.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            let program = format!("/bin/sh\n-c\n{}", lines.join("; "));
            let owner = Owner::start(&role, &program, |mut command| {
                command.env("QMP_VM_OWNER_STDIN", "1");
                command
            });
            println!("{role}: {:?}", owner.end(signal));
        }
    }
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn qemu_ends_with_its_owner() {
    for program in programs() {
        let mut longest = Duration::ZERO;
        for front in ["blocking", "tokio"] {
            for (way, signal) in ways() {
                let program = format!("{program}\n{}", MACHINE.join("\n"));
                let owner = Owner::start(&format!("{front} {way}"), &program, |command| command);
                longest = longest.max(owner.end(signal));
            }
        }
        println!("{program}: at most {longest:?} after its owner");
        assert!(longest < SOON / 2, "{program}: {longest:?}");
    }
}

/// A QEMU that is stopped, or hangs, is killed.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn qemu_that_hangs_ends_with_its_owner() {
    for program in programs() {
        let program = format!("{program}\n{}", MACHINE.join("\n"));
        let owner = Owner::start("blocking waits", &program, |command| command);
        kill("STOP", owner.launched);
        owner.end(Some("KILL"));
    }
}

/// A script that starts QEMU and stays was killed, and QEMU was not.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn qemu_in_a_script_ends_with_its_owner() {
    for (number, program) in programs().iter().enumerate() {
        for (name, text) in [("exec", "exec $0"), ("stays", "$0"), ("background", "$0")] {
            let end = match name {
                "stays" => "; exit $?",
                "background" => "& sleep 60",
                _ => "",
            };
            let text = text.replace("$0", program);
            let text = format!("#!/bin/sh\n{text} \"$@\" {end}\n");
            let script = Script::new(&format!("{name}-{number}"), &text);
            let words = format!("{}\n{}", script.path(), MACHINE.join("\n"));
            for (way, signal) in [("returns", None), ("waits", Some("KILL"))] {
                let owner = Owner::start(&format!("blocking {way}"), &words, |command| command);
                owner.end(signal);
            }
        }
    }
}

/// Options that change the process, or open monitors of their own, change nothing.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn other_options_do_not_matter() {
    let directory = std::env::temp_dir();
    let path = |name: &str| {
        directory.join(format!("qmp-vm-owner-{}-{name}", std::process::id())).display().to_string()
    };
    for program in programs() {
        let version = Command::new(&program).arg("-version").output().unwrap().stdout;
        let is_old = String::from_utf8_lossy(&version).contains("version 7.");
        let own = format!("-qmp\nunix:{},server=on,wait=off", path("qmp"));
        let human =
            format!("-chardev\nsocket,id=own,path={},server=on,wait=off\n-mon\nown", path("hmp"));
        let log = format!("-D\n{}\n-d\nguest_errors", path("log"));
        let mut options = vec![
            "-sandbox\non,spawn=deny,elevateprivileges=deny,resourcecontrol=deny",
            &own,
            &human,
            &log,
        ];
        if rustix::process::geteuid().is_root() {
            options.extend(match is_old {
                true => ["-runas\ndaemon", "-chroot\n/tmp"],
                false => ["-run-with\nuser=daemon", "-run-with\nchroot=/tmp"],
            });
        }
        for option in options {
            let words = format!("{program}\n{}\n{option}", MACHINE.join("\n"));
            for (way, signal) in [("returns", None), ("waits", Some("KILL"))] {
                Owner::start(&format!("blocking {way}"), &words, |command| command).end(signal);
            }
        }
        ["qmp", "hmp", "log"].map(path).iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// Those who do not want it have the old behavior.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn qemu_outlives_a_careless_owner() {
    let program = format!("{}\n{}", programs()[0], MACHINE.join("\n"));
    let mut owner = Owner::start("blocking careless waits", &program, |command| command);
    assert_eq!(owner.all, BTreeSet::from([owner.launched]));
    owner.child.kill().unwrap();
    owner.child.wait().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(runs(owner.launched));
    kill("KILL", owner.launched);
    wait_until(SOON, || !runs(owner.launched), "the end of QEMU");
}

/// A descriptor that the owner passes on is not replaced by the monitor's.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn inherited_descriptors_stay() {
    for program in programs() {
        let program = format!("{program}\n{}", MACHINE.join("\n"));
        let owner = Owner::start("blocking returns", &program, |command| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "exec \"$@\" 9</proc/self/status 8</dev/zero", "sh"]);
            shell.arg(command.get_program()).args(command.get_args());
            shell
        });
        let link =
            |fd: u32| std::fs::read_link(format!("/proc/{}/fd/{fd}", owner.launched)).unwrap();
        assert!(link(9).ends_with("status"), "{:?}", link(9));
        assert_eq!(link(8).to_str(), Some("/dev/zero"));
        assert!(link(7).to_str().unwrap().starts_with("socket:"), "{:?}", link(7));
        owner.end(None);
    }
}

/// The human monitor or the guest's console read the bytes of the protocol.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn standard_input_is_not_the_monitor() {
    let uses: [&[&str]; 6] = [
        &["-nographic"],
        &["-serial", "stdio"],
        &["-serial", "mon:stdio"],
        &["-monitor", "stdio"],
        &["-chardev", "stdio,id=console,mux=on", "-mon", "console"],
        &["-qmp", "stdio"],
    ];
    for program in programs() {
        for used in uses {
            let vm = qemu(&program)
                .args(["-M", "isapc", "-nodefaults"])
                .args(used)
                .start::<Client>()
                .unwrap_or_else(|error| panic!("{program} {used:?}: {}", error.report()));
            for _ in 0..30 {
                vm.execute(QueryStatus::new()).unwrap();
            }
            let input = format!("/proc/{}/fd/0", vm.process().id());
            assert_eq!(std::fs::read_link(input).unwrap().to_str(), Some("/dev/null"));
            assert!(vm.quit().unwrap().success(), "{program} {used:?}");
        }
    }
}

/// Standard output is read line by line, or is a console at which a person can type.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn standard_output_and_consoles() {
    for program in programs() {
        let (sender, lines) = mpsc::channel();
        let vm = qemu(&program)
            .args(["-monitor", "stdio"])
            .on_stdout(move |line| drop(sender.send(line.to_owned())))
            .start::<Client>()
            .unwrap();
        let banner = lines.recv_timeout(PATIENCE).unwrap();
        assert!(banner.contains("monitor - type 'help'"), "{banner}");
        vm.quit().unwrap();
        assert!(vm.process().stdout().contains("monitor - type"));

        let (console, theirs) = UnixStream::pair().unwrap();
        let vm =
            qemu(&program).args(["-monitor", "stdio"]).console(theirs).start::<Client>().unwrap();
        console.set_read_timeout(Some(PATIENCE)).unwrap();
        (&console).write_all(b"info status\n").unwrap();
        let mut seen = String::new();
        let mut bytes = [0; 1024];
        while !seen.contains("VM status: paused") {
            let count = (&console).read(&mut bytes).unwrap();
            assert!(count > 0, "{seen}");
            seen += &String::from_utf8_lossy(&bytes[..count]);
        }
        vm.execute(QueryVersion::new()).unwrap();
        vm.quit().unwrap();
    }
}

/// Contradictions are refused before anything is started, with the reason.
#[test]
fn contradictions_are_refused() {
    let none: [&str; 0] = [];
    for (launch, reason) in [
        (Launch::new("/bin/sh").arg("-daemonize"), "`-daemonize`, QEMU leaves"),
        (Launch::new("/bin/sh").arg("--daemonize"), "`--daemonize`, QEMU leaves"),
        (Launch::new("/bin/sh").arg("-nographic").monitor_args(none), "`-nographic` uses"),
        (
            Launch::new("/bin/sh").args(["-serial", "mon:stdio"]).monitor_args(none),
            "`mon:stdio` uses",
        ),
        (Launch::new("/bin/sh").arg("stdio,id=x").monitor_args(none), "`stdio,id=x` uses"),
        (Launch::new("/etc/passwd"), "Permission denied"),
        (Launch::new("no-such-qemu"), "No such file"),
    ] {
        let error = launch.start::<Client>().unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(error.report().contains(reason), "{reason}: {}", error.report());
    }
}

fn script(text: &str) -> Launch {
    let none: [&str; 0] = [];
    let options = Options::new().greeting_within(PATIENCE);
    Launch::new("/bin/sh").args(["-c", text]).monitor_args(none).options(options)
}

/// Both outputs are read: a program that writes a lot is not blocked, and its last words are kept.
#[test]
fn output_never_blocks() {
    let flood = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); \
                 head -c 100000 /dev/zero | tr '\\0' x; head -c 100000 /dev/zero | tr '\\0' y >&2; done; echo";
    for (reads, text) in [(true, format!("{flood}; {WELL}")), (false, format!("{flood}; {WELL}"))] {
        let mut launch = script(&text);
        let (sender, receiver) = mpsc::channel();
        if reads {
            launch = launch.on_stdout(move |line| {
                let _ = sender.send(line.len());
            });
        }
        let vm: Launched<Client> = launch.start::<Client>().unwrap();
        if reads {
            let mut length = 0;
            while length < 4_000_000 {
                length += receiver.recv_timeout(PATIENCE).unwrap();
            }
            assert_eq!(vm.process().stdout().len(), 4096);
        }
        wait_until(PATIENCE, || vm.process().stderr().len() == 4096, "the last words");
    }
    let error = script(&format!("{flood}; echo last words >&2; exit 7")).start::<Client>();
    let error = error.unwrap_err();
    let Error::Launch(launch) = &error else { panic!("{error:?}") };
    assert_eq!(launch.status().unwrap().code(), Some(7));
    assert!(error.report().contains("last words"), "{}", error.report());
}

/// A program that is not QEMU is ended, and said to be none.
#[test]
fn programs_that_are_not_qemu() {
    let error = Launch::new("true").start::<Client>().unwrap_err();
    assert!(error.report().contains("ended before its monitor was open"), "{}", error.report());
    let none: [&str; 0] = [];
    let options = Options::new().greeting_within(Duration::from_millis(100));
    // It ends as soon as its monitor is closed, which is not the reason.
    for _ in 0..5 {
        let cat = Launch::new("cat").monitor_args(none).options(options.clone());
        let error = cat.start::<Client>().unwrap_err();
        assert!(error.is_timeout(), "{}", error.report());
    }
    let error = script("echo hello >&0; exec sleep 60").start::<Client>().unwrap_err();
    assert!(error.report().contains("hello"), "{}", error.report());
    wait_until(SOON, || descendants(std::process::id()).iter().all(|id| !is_sleep(*id)), "sleep");
}

/// The shell that starts a program changes neither its name nor its arguments.
#[test]
fn odd_names_and_arguments_arrive() {
    let directory =
        std::env::temp_dir().join(format!("qmp-vm-odd it's\n\"$x\" {}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = std::env::join_paths([&*directory, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let odd = ["-n", "--", "-c", "a b", "it's", "$(exit 3)", "`x`", "", "*", "{fd}", "é", "x="];
    for name in ["plain", "-a", "--", "-q e'mu\"", "a=b", "$HOME", "exec", "é\n"] {
        let text = "#!/bin/sh\nfor word; do printf '<%s>' \"$word\" >&2; done\n";
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        for program in [name.as_ref(), file.as_os_str()] {
            let path = path.clone();
            let launch = Launch::new(program).args(odd).monitor_args(["{fd}"; 0]);
            let launch = launch.configure(move |command| {
                command.env("PATH", path);
            });
            let report = launch.start::<Client>().unwrap_err().report();
            let words: String = odd.iter().map(|word| format!("<{word}>")).collect();
            assert!(report.contains(&words), "{program:?}: {report}");
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// The shell that starts a program changes none of its variables, and puts no secret into them.
#[test]
fn the_environment_arrives() {
    let directory = std::env::temp_dir().join(format!("qmp-vm-environment-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("program");
    std::fs::write(&file, "#!/bin/sh\nenv | tr '\\n' ' ' >&2\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let secret = SecretProperties::new().data("hunter2");
    let secret = ObjectOptions::new(secret, "s");
    let names =
        ["line", "taken", "number", "program", "fd", "free", "text", "text0", "secret", "secret0"];
    let launch = Launch::new(&file).object(&secret).configure(move |command| {
        command.env_clear().envs(names.map(|name| (name, "kept")));
    });
    let report = launch.start::<Client>().unwrap_err().report();
    assert!(names.iter().all(|name| report.contains(&format!("{name}=kept"))), "{report}");
    assert!(!report.contains("hunter2"), "{report}");
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Many machines at once, again and again, leave neither descriptors nor processes.
#[test]
fn nothing_is_left_after_many_launches() {
    if std::env::var_os(LEFT).is_none() {
        // In a process of its own, in which no other test opens anything.
        let me = std::env::current_exe().unwrap();
        let mut alone = Command::new(me);
        alone.args(["--exact", "nothing_is_left_after_many_launches"]).env(LEFT, "1");
        assert!(alone.stdout(Stdio::null()).status().unwrap().success());
        return;
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let round = || {
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    let vm =
                        script(WELL).grace(Duration::from_millis(50)).start::<Client>().unwrap();
                    match number % 3 {
                        0 => drop(vm),
                        1 => assert!(vm.process().kill().is_ok()),
                        _ => assert!(script("exit 3").start::<Client>().is_err()),
                    }
                });
            }
        });
    };
    round();
    let is_calm = || descendants(std::process::id()).is_empty();
    wait_until(PATIENCE, is_calm, "processes");
    let before = open();
    (0..8).for_each(|_| round());
    wait_until(PATIENCE, is_calm, "processes");
    wait_until(PATIENCE, || open() <= before, "descriptors");
}

fn is_sleep(id: u32) -> bool {
    std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\x0060"))
}
