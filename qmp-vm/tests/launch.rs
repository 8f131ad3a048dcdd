//! Programs that are launched: how they fail, and that none is left running.
//!
//! A shell script stands in for QEMU where that is enough. The other tests run with every program
//! that `QMP_TEST_QEMUS` lists, separated by colons or newlines, or with the QEMU that `live.rs`
//! uses.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests
// The tests with a real QEMU use the vocabulary.

mod stopped;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use qmp_client::{Error, Options};
use qmp_vm::{Launch, Launched, Workflows};

const PATIENCE: Duration = Duration::from_secs(30);
/// A deadline that is expected to pass.
const SOON: Duration = Duration::from_millis(60);

/// Greets, negotiates, answers the next command, and reads until the connection ends.
const WELL: &str = r#"
    echo '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10}, "package": ""}, "capabilities": []}}' >&0
    answer() { read -r line; id=${line##*'"id":'}; echo "{\"return\": {}, \"id\": ${id%%[!0-9 ]*}}" >&0; }
    answer; answer
    while read -r line; do :; done
"#;

/// Exits after it has answered the first command.
fn quitting() -> String {
    WELL.replace("while read", "exit 0; while read")
}

/// Reports an error, and exits.
const ILL: &str = "echo 'no such machine' >&2; exit 3";

/// Closes its monitor, and goes on running.
const DEAF: &str = "exec </dev/null; exec sleep 60";

/// Reports what it waits for, and never greets.
const MUTE: &str = "echo 'waiting for a lock' >&2; exec sleep 60";

/// Secrets may be among the arguments, as in `-object secret,data=...`.
#[test]
fn debug_shows_no_arguments() {
    let launch =
        Launch::new("qemu").args(["-object", "secret,id=s,data=hunter2"]).configure(|command| {
            command.env("TOKEN", "hunter2");
        });
    let shown = format!("{launch:?}");
    assert!(shown.contains("\"qemu\"") && shown.contains("arguments: 2"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn shell(script: &str) -> Launch {
    let none: [&str; 0] = [];
    Launch::new("/bin/sh").args(["-c", script]).monitor_args(none).grace(SOON)
}

/// A file to which a script writes its process ID, and that is removed when this is dropped.
struct Number(PathBuf);

impl Number {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("qmp-client-launch-{}-{count}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Returns the script, preceded by a command that writes its process ID.
    fn of(&self, script: &str) -> String {
        format!("echo $$ >{0}.new; mv {0}.new {0}; {script}", self.0.display())
    }

    /// Returns the process ID, if it has been written.
    fn read(&self) -> Option<String> {
        std::fs::read_to_string(&self.0).ok().map(|text| text.trim().to_owned())
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_there(id: &str) -> bool {
    let pid = id.parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

/// Runs a test once more in a process that ignores `SIGCHLD`, and so cannot learn the exit status of
/// its children. Returns true in that process.
#[cfg(target_os = "linux")]
fn ignores_sigchld(test: &str) -> bool {
    const IGNORES_SIGCHLD: &str = "QMP_VM_LAUNCH_IGNORES_SIGCHLD";
    if std::env::var_os(IGNORES_SIGCHLD).is_some() {
        return true;
    }
    let output = Command::new("env")
        .arg("--ignore-signal=CHLD")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(IGNORES_SIGCHLD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{why}");
    false
}

/// Returns the error of launching a program that never greets, with longer and longer deadlines until
/// the program has reported what it waits for.
fn late_greeting(launch: impl Fn(Launch) -> Error) -> Error {
    let mut within = SOON;
    loop {
        let number = Number::new();
        let options = Options::new().greeting_within(within);
        let error = launch(shell(&number.of(MUTE)).options(options));
        if let Some(id) = number.read() {
            wait_until(|| !is_there(&id), "the end of a program that does not greet");
        }
        if within > PATIENCE || error.to_string().contains("waiting") {
            return error;
        }
        within *= 2;
    }
}

/// Checks that the error reports the standard error of the program, and does not suggest that another
/// client is connected, which is impossible on a socket pair.
#[track_caller]
fn assert_is_late(error: &Error) {
    let Error::Launch(launch) = error else { panic!("{error:?}") };
    assert_eq!((launch.status(), launch.stderr()), (None, "waiting for a lock\n"));
    assert!(error.is_timeout(), "{error:?}");
    println!("{}", error.report());
}

#[track_caller]
fn assert_says_why(error: &Error, why: &str) {
    let Error::Launch(launch) = error else { panic!("{error:?}") };
    assert!(launch.status().is_some_and(|status| !status.success()), "{error:?}");
    assert!(launch.stderr().contains(why), "{error:?}");
    assert!(error.to_string().contains(why), "{error}");
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

fn qemu(program: &str) -> Launch {
    let arguments = ["-M", "none", "-display", "none", "-nodefaults", "-S", "-accel", "tcg"];
    let options = Options::new().greeting_within(PATIENCE).calls_within(PATIENCE);
    Launch::new(program).args(arguments).options(options)
}

mod blocking {
    use std::process::Stdio;
    use std::sync::mpsc;

    use super::*;
    use qmp_client::Raw;
    use serde_json::Value;

    #[test]
    fn one_that_works() {
        let number = Number::new();
        let client = shell(&number.of(WELL)).start::<qmp_client::blocking::Client>().unwrap();
        assert_eq!(client.version().qemu.major, 10);
        let id = client.process().id().to_string();
        assert_eq!(number.read(), Some(id.clone()));
        drop(client);
        assert!(!is_there(&id));
    }

    /// A program may set the environment, the user and the output of the process.
    #[test]
    fn one_of_a_command() {
        let script = format!("echo \"$SAID\" >&2; pwd; {WELL}");
        let client = shell(&script)
            .configure(|command| {
                command.env("SAID", "by the environment").current_dir("/");
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            })
            .start::<qmp_client::blocking::Client>()
            .unwrap();
        let process = client.process();
        wait_until(|| process.stderr() == "by the environment\n", "what it said");
        wait_until(|| process.stdout() == "/\n", "where it is");
    }

    #[test]
    fn one_that_ends_at_once() {
        assert_says_why(
            &shell(ILL).start::<qmp_client::blocking::Client>().unwrap_err(),
            "no such machine",
        );
    }

    /// With `-daemonize`, the process exits successfully, and the error says why that is a failure.
    #[test]
    fn one_that_goes_into_the_background() {
        let error = shell("exit 0").start::<qmp_client::blocking::Client>().unwrap_err();
        assert!(error.report().contains("stay in the foreground"), "{}", error.report());
    }

    #[test]
    fn one_that_closes_its_monitor() {
        let number = Number::new();
        let error = shell(&number.of(DEAF)).start::<qmp_client::blocking::Client>().unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        assert!(!is_there(&number.read().unwrap()));
    }

    #[test]
    fn one_that_does_not_greet() {
        assert_is_late(&late_greeting(|launch| {
            launch.start::<qmp_client::blocking::Client>().unwrap_err()
        }));
    }

    /// Every line is passed on, also if the process exits at once, and more than the error keeps.
    #[test]
    fn one_whose_standard_error_is_logged() {
        let (sender, receiver) = mpsc::channel();
        let script = "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo \"line $i\" >&2; done; \
                      printf 'no \\377 end' >&2; exit 3";
        let launch = shell(script).on_stderr(move |line| drop(sender.send(line.to_owned())));
        let error = launch.grace(PATIENCE).start::<qmp_client::blocking::Client>().unwrap_err();
        assert_says_why(&error, "line 1000");
        // The listening thread owns the sender, and drops it after the last line.
        let mut lines = Vec::new();
        while let Ok(line) = receiver.recv_timeout(PATIENCE) {
            lines.push(line);
        }
        let mut expected: Vec<_> = (1..=1000).map(|number| format!("line {number}")).collect();
        expected.push("no \u{fffd} end".to_owned());
        assert_eq!(lines, expected);
    }

    #[test]
    fn one_whose_log_panics() {
        let (sender, receiver) = mpsc::channel();
        let script = format!("echo one >&2; echo two >&2; {WELL}");
        let launch = shell(&script).on_stderr(move |line| {
            sender.send(line.to_owned()).unwrap();
            panic!("the disk is full");
        });
        let client = launch.start::<qmp_client::blocking::Client>().unwrap();
        let process = client.process();
        wait_until(|| process.stderr() == "one\ntwo\n", "what it said");
        client.execute(Raw::<Value>::new("stop")).unwrap();
        // The function and its sender have been dropped after one call.
        assert_eq!(receiver.recv_timeout(PATIENCE).as_deref(), Ok("one"));
        assert_eq!(receiver.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn one_that_does_not_exist() {
        let error =
            Launch::new("/no/such/program").start::<qmp_client::blocking::Client>().unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(error.report().contains("No such file"), "{}", error.report());
        let at = |directory: &'static str| {
            shell(WELL).configure(move |command| {
                command.current_dir(directory);
            })
        };
        for (launch, why) in [
            (at("/no/such"), "cannot change to its working directory /no/such: No such file"),
            (at("/dev/null"), "cannot change to its working directory /dev/null: Not a directory"),
            (Launch::new(""), "the program's name is empty"),
        ] {
            let error = launch.start::<qmp_client::blocking::Client>().unwrap_err();
            assert!(error.report().contains(why), "{}", error.report());
        }
    }

    /// The first process of a container waits for any child that exits. QEMU's exit was then reported
    /// as an error of the operating system.
    #[test]
    fn one_whose_exit_status_is_taken() {
        use rustix::process::{Pid, WaitOptions, waitpid};
        let launch = || {
            let client = shell(&quitting()).start::<qmp_client::blocking::Client>().unwrap();
            client.execute(Raw::<Value>::new("stop")).unwrap();
            let pid = i32::try_from(client.process().id()).ok().and_then(Pid::from_raw);
            waitpid(pid, WaitOptions::empty()).unwrap();
            client
        };
        launch().quit().unwrap();
        drop(launch());
        let client = launch();
        let process = client.process();
        process.start_kill().unwrap();
        let exit = process.kill().unwrap();
        assert_eq!((exit.status(), exit.success(), exit.code()), (None, false, None));
        assert!(exit.to_string().contains("unknown"), "{exit}");
        assert_eq!(process.try_wait().unwrap(), Some(exit));
        assert_eq!(process.wait_within(Duration::ZERO).unwrap(), exit);
        launch().shut_down(PATIENCE).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn one_whose_exit_status_is_unknown() {
        if !ignores_sigchld("blocking::one_whose_exit_status_is_unknown") {
            return;
        }
        let client = shell(&quitting()).start::<qmp_client::blocking::Client>().unwrap();
        client.quit().unwrap();
        assert_eq!(client.process().try_wait().unwrap().unwrap().status(), None);

        // A running process is killed, and this waits until it has ended.
        let client = shell(WELL).start::<qmp_client::blocking::Client>().unwrap();
        let process = client.process();
        assert_eq!(process.try_wait().unwrap(), None);
        assert_eq!(process.kill().unwrap().status(), None);
        assert!(!is_there(&process.id().to_string()));

        let error = shell(ILL).start::<qmp_client::blocking::Client>().unwrap_err();
        let Error::Launch(launch) = &error else { panic!("{error:?}") };
        assert_eq!(launch.status(), None);
        assert!(error.to_string().contains("ended before"), "{error}");
        assert!(error.to_string().contains("no such machine"), "{error}");
    }

    #[test]
    #[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
    fn real_ones() {
        use qmp_client::qmp::commands::QueryStatus;
        for program in programs() {
            let client = qemu(&program).start::<qmp_client::blocking::Client>().unwrap();
            client.execute(QueryStatus::new()).unwrap();
            client.quit().unwrap();
            assert!(client.process().try_wait().unwrap().unwrap().success());
            let error = qemu(&program)
                .arg("-no-such-option")
                .start::<qmp_client::blocking::Client>()
                .unwrap_err();
            assert_says_why(&error, "no-such-option");
        }
    }
}

/// Tests for both asynchronous runtimes.
mod nonblocking {
    use std::pin::pin;
    use std::process::Child;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use qmp_client::{Address, Raw, Result};
    use serde_json::Value;

    /// A runtime on which a client is launched.
    pub(super) trait Front {
        fn launch(program: Launch) -> impl Future<Output = Result<Launched>> + 'static;
        fn open_to_child(
            address: &Address,
            options: &Options,
            child: &mut Child,
        ) -> impl Future<Output = Result<()>>;
        fn block_on<T>(future: impl Future<Output = T>) -> T;
    }

    pub(super) fn one_that_works<F: Front>() {
        let number = Number::new();
        F::block_on(async {
            let (client, process) = F::launch(shell(&number.of(WELL))).await.unwrap().into_parts();
            assert_eq!(client.version().qemu.major, 10);
            client.execute(Raw::<Value>::new("stop")).await.unwrap();
            assert_eq!(number.read(), Some(process.id().to_string()));
            assert_eq!(process.try_wait().unwrap(), None);
            // The last handle closes the connection, and then the script exits.
            drop(client);
            assert!(process.wait().await.unwrap().success());
            assert!(process.wait().await.unwrap().success());
            assert!(!is_there(&process.id().to_string()));
        });
    }

    pub(super) fn one_that_ends_at_once<F: Front>() {
        let error = F::block_on(F::launch(shell(ILL))).unwrap_err();
        assert_says_why(&error, "no such machine");
    }

    pub(super) fn one_that_closes_its_monitor<F: Front>() {
        let number = Number::new();
        let error = F::block_on(F::launch(shell(&number.of(DEAF)))).unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        let id = number.read().unwrap();
        wait_until(|| !is_there(&id), "the end of a program that closed its monitor");
    }

    pub(super) fn one_that_does_not_greet<F: Front>() {
        assert_is_late(&late_greeting(|launch| F::block_on(F::launch(launch)).unwrap_err()));
    }

    pub(super) fn one_that_does_not_exist<F: Front>() {
        let error = F::block_on(F::launch(Launch::new("/no/such/program"))).unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(error.report().contains("No such file"), "{}", error.report());
    }

    /// The process is killed in every phase: before its greeting, and while the cause of a missing
    /// greeting is determined.
    pub(super) fn a_launch_that_is_dropped<F: Front>() {
        for script in ["exec sleep 60", DEAF] {
            let number = Number::new();
            let grace = PATIENCE * 2;
            F::block_on(async {
                let mut launch = pin!(F::launch(shell(&number.of(script)).grace(grace)));
                std::future::poll_fn(|cx| {
                    assert!(launch.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                wait_until(|| number.read().is_some(), "a process");
                for _ in 0..3 {
                    let mut cx = Context::from_waker(Waker::noop());
                    assert!(launch.as_mut().poll(&mut cx).is_pending());
                    std::thread::yield_now();
                }
            });
            let id = number.read().unwrap();
            wait_until(|| !is_there(&id), script);
        }
    }

    /// Tasks that wait for the process are dropped, and then the process.
    pub(super) fn a_process_that_is_dropped<F: Front>() {
        F::block_on(async {
            let (client, process) = F::launch(shell(WELL)).await.unwrap().into_parts();
            for _ in 0..3 {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(pin!(process.wait()).poll(&mut cx).is_pending());
            }
            let id = process.id().to_string();
            assert!(is_there(&id));
            drop(process);
            client.closed().await;
            wait_until(|| !is_there(&id), "the end of a process that was dropped");
        });
    }

    /// The end of the process is noticed, and not reported as a failure.
    #[cfg(target_os = "linux")]
    pub(super) fn one_whose_exit_status_is_unknown<F: Front>(test: &str) {
        if !ignores_sigchld(test) {
            return;
        }
        F::block_on(async {
            let (client, process) = F::launch(shell(&quitting())).await.unwrap().into_parts();
            client.execute(Raw::<Value>::new("quit")).await.unwrap();
            let exit = process.wait().await.unwrap();
            assert_eq!((exit.status(), exit.success()), (None, false));
            process.start_kill().unwrap();
            assert_eq!(process.try_wait().unwrap(), Some(exit));

            let (client, process) = F::launch(shell(WELL)).await.unwrap().into_parts();
            process.start_kill().unwrap();
            assert_eq!(process.wait().await.unwrap(), exit);
            assert!(!is_there(&process.id().to_string()));
            client.closed().await;
        });
    }

    /// Connecting fails at once if the child exits, although its socket is never created.
    pub(super) fn a_child_that_dies<F: Front>() {
        let address = std::env::temp_dir().join("qmp-vm-launch-never").into();
        let options = Options::new().wait_for_socket(PATIENCE * 2);
        let mut child = Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().unwrap();
        let begin = Instant::now();
        let error = F::block_on(F::open_to_child(&address, &options, &mut child)).unwrap_err();
        assert_says_why(&error, "");
        assert!(begin.elapsed() < PATIENCE);
    }

    pub(super) fn real_ones<F: Front>() {
        for program in programs() {
            F::block_on(async {
                let launched = F::launch(qemu(&program)).await.unwrap();
                let (client, process) = launched.into_parts();
                client.execute(Raw::<Value>::new("query-status")).await.unwrap();
                client.quit().await.unwrap();
                assert!(process.wait().await.unwrap().success());

                let error = F::launch(qemu(&program).arg("-no-such-option")).await.unwrap_err();
                assert_says_why(&error, "no-such-option");
            });
        }
    }

    /// QEMU is stopped by a signal, so that calls are not answered, and then killed.
    pub(super) fn a_real_one_is_killed<F: Front>() {
        for program in programs() {
            F::block_on(async {
                let launched = F::launch(qemu(&program)).await.unwrap();
                let (client, process) = launched.into_parts();
                stopped::stop(process.id());
                let mut events = client.raw_events();
                let mut calls: Vec<_> = (0..20)
                    .map(|_| Box::pin(client.execute(Raw::<Value>::new("query-status"))))
                    .collect();
                for call in &mut calls {
                    let mut cx = Context::from_waker(Waker::noop());
                    assert!(call.as_mut().poll(&mut cx).is_pending());
                }
                let begin = Instant::now();
                process.start_kill().unwrap();
                for call in calls {
                    let error = call.await.unwrap_err();
                    assert!(error.is_closed(), "{error:?}");
                    assert_eq!(error.command(), Some("query-status"));
                }
                assert!(events.next().await.unwrap().unwrap_err().is_closed());
                assert!(events.next().await.is_none());
                assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
                assert_eq!(process.wait().await.unwrap().code(), None);
            });
        }
    }
}

macro_rules! on {
    ($front:ty) => {
        on! { $front;
            one_that_works,
            one_that_ends_at_once,
            one_that_closes_its_monitor,
            one_that_does_not_exist,
            one_that_does_not_greet,
            a_launch_that_is_dropped,
            a_child_that_dies,
            a_process_that_is_dropped,
        }

        #[test]
        #[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
        fn real_ones() {
            super::nonblocking::real_ones::<$front>();
        }

        #[test]
        #[cfg(target_os = "linux")]
        fn one_whose_exit_status_is_unknown() {
            let (_, module) = module_path!().split_once("::").unwrap();
            let test = format!("{module}::one_whose_exit_status_is_unknown");
            super::nonblocking::one_whose_exit_status_is_unknown::<$front>(&test);
        }

        #[test]
        #[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
        fn a_real_one_is_killed() {
            super::nonblocking::a_real_one_is_killed::<$front>();
        }
    };
    ($front:ty; $($name:ident,)*) => {$(
        #[test]
        fn $name() {
            super::nonblocking::$name::<$front>();
        }
    )*};
}

mod tokio {
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    use qmp_client::{Address, Client, Options, Raw, Result};
    use qmp_vm::{Launch, Launched, Workflows};
    use serde_json::Value;

    struct Tokio;

    impl super::nonblocking::Front for Tokio {
        fn launch(program: Launch) -> impl Future<Output = Result<Launched>> + 'static {
            program.start::<Client>()
        }

        async fn open_to_child(
            address: &Address,
            options: &Options,
            child: &mut Child,
        ) -> Result<()> {
            Client::connect_to_child(address, options, || child.try_wait()).await.map(drop)
        }

        fn block_on<T>(future: impl Future<Output = T>) -> T {
            let runtime = ::tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(future)
        }
    }

    on!(Tokio);

    /// The child opens a socket of its own.
    #[test]
    #[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
    fn a_child_that_lives() {
        use super::nonblocking::Front as _;
        let directory =
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from);
        let socket = directory.join(format!("qmp-client-launch-child-{}", std::process::id()));
        for program in super::programs() {
            let mut child = Command::new(program)
                .args(["-M", "none", "-display", "none", "-nodefaults"])
                .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let options = Options::new().wait_for_socket(super::PATIENCE);
            Tokio::block_on(async {
                let address: Address = socket.clone().into();
                let alive = || child.try_wait();
                let connecting = Client::connect_to_child(&address, &options, alive);
                connecting.await.unwrap().quit().await.unwrap();
            });
            assert!(child.wait().unwrap().success());
        }
        let _ = std::fs::remove_file(&socket);
    }

    /// A separate task can own the process.
    #[test]
    fn a_task_that_waits() {
        use super::nonblocking::Front as _;
        Tokio::block_on(async {
            let (client, process) =
                super::shell(super::WELL).start::<Client>().await.unwrap().into_parts();
            let waiting = ::tokio::spawn(async move { process.wait().await });
            client.execute(Raw::<Value>::new("stop")).await.unwrap();
            assert!(!waiting.is_finished());
            drop(client);
            assert!(waiting.await.unwrap().unwrap().success());
        });
    }
}

mod futures_io {
    use std::process::Child;

    use qmp_client::{Address, Options, Result};
    use qmp_vm::{Launch, Launched};

    struct Smol;

    impl super::nonblocking::Front for Smol {
        async fn launch(program: Launch) -> Result<Launched> {
            let (launching, driver) = qmp_vm::futures_io::launch(program)?;
            std::thread::spawn(|| async_io::block_on(driver));
            launching.await
        }

        async fn open_to_child(
            address: &Address,
            options: &Options,
            child: &mut Child,
        ) -> Result<()> {
            let open = qmp_client::futures_io::open_to_child;
            open(address, options, || child.try_wait()).await.map(drop)
        }

        fn block_on<T>(future: impl Future<Output = T>) -> T {
            async_io::block_on(future)
        }
    }

    on!(Smol);
}
