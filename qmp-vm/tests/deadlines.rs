//! Every function that waits keeps its deadline when the peer is stopped: one row a function, and a
//! further row for each step at which the peer may stop.
//!
//! Scripted peers stop at a given command: from then on, they neither read nor write. The first row
//! of each function is also tried with a real QEMU that is stopped by a signal; `live.rs` says how
//! that is found.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod stopped;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{
    AddFd, BlockdevAdd, DeviceAdd, HumanMonitorCommand, InputSendEvent, Migrate, MigratePause,
    NetdevAdd, QueryStatus, RemoveFd,
};
use qmp_client::qmp::events::Stop;
use qmp_client::qmp::types::{
    BlockdevOptions, InputBtnEvent, InputBtnEventWrapper, InputButton, InputEvent, Netdev,
    NetdevType, NetdevUserOptions, QKeyCode,
};
use qmp_client::transport::Unix;
use qmp_client::{Client, Dialect, Error, Options, Timeout, blocking};
use qmp_vm::agent::Agent;
use qmp_vm::mirror::Mirror;
use qmp_vm::{Exec, Launch, ShutdownMode, SuspendMode, Workflows};
use serde_json::{Value, json};

use stopped::stop;

const PATIENCE: Duration = Duration::from_secs(30);
/// The deadline of every row.
const WITHIN: Duration = Duration::from_secs(4);
/// The time that a busy machine may need on top of it.
const BUSY: Duration = Duration::from_secs(3);

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;

/// A monitor that greets, and then stops itself with a signal.
const STOPS: &str = r#"
printf '%s\r\n' "$GREETING" >&0
read -r line
id=${line##*'"id":'}
printf '{"return": {}, "id": %s}\r\n' "${id%%[!0-9]*}" >&0
kill -STOP $$
"#;

type Outcome = Result<(), Error>;
type Waiting = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A function that waits.
struct Row {
    name: &'static str,
    /// The command at which the peer stops. A dash if it does not stop, and sends no event.
    stop: &'static str,
    /// The origin of the deadline.
    by: By,
    /// The number of deadlines that pass: undoing what was done has one of its own.
    deadlines: Deadlines,
    /// A part of the error's report, or `ok` for a function that succeeds.
    says: &'static str,
    blocking: Box<dyn FnOnce(blocking::Client) -> Outcome + Send>,
    nonblocking: Box<dyn FnOnce(Client) -> Waiting + Send>,
}

/// The origin of a deadline.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// A parameter.
    Within,
    /// [`Options::calls_within`].
    Calls,
}

/// The number of deadlines that pass on the blocking client, and on the asynchronous one, where
/// guards that are dropped do not wait.
#[derive(Clone, Copy)]
struct Deadlines(u32, u32);

const ONE: Deadlines = Deadlines(1, 1);
const TWO: Deadlines = Deadlines(2, 2);
const DROPPED: Deadlines = Deadlines(1, 0);

/// The results of functions that wait.
trait Ended {
    fn ended(self) -> Outcome;
}

impl<T> Ended for Result<T, Error> {
    fn ended(self) -> Outcome {
        self.map(drop)
    }
}

impl Ended for () {
    fn ended(self) -> Outcome {
        Ok(())
    }
}

impl<T> Ended for Option<Result<T, Error>> {
    fn ended(self) -> Outcome {
        self.map_or(Ok(()), Ended::ended)
    }
}

macro_rules! rows {
    ($of:expr; $($name:literal, $stop:literal, $by:ident, $deadlines:expr, $says:literal, |$vm:ident| $call:expr;)*) => {
        vec![$(Row {
            name: $name,
            stop: $stop,
            by: By::$by,
            deadlines: $deadlines,
            says: $says,
            blocking: Box::new(|client| {
                let $vm = &$of(client);
                $call.ended()
            }),
            nonblocking: Box::new(|client| {
                Box::pin(async move {
                    let $vm = &$of(client);
                    $call.await.ended()
                })
            }),
        }),*]
    };
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn blockdev_add() -> BlockdevAdd {
    let options = json!({"driver": "null-co", "node-name": "node"});
    BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(options).unwrap())
}

fn netdev_add() -> NetdevAdd {
    NetdevAdd::new(Netdev::new("net", NetdevType::User(NetdevUserOptions::new())))
}

fn object_add() -> qmp_client::Raw<Value> {
    qmp_client::Raw::new("object-add")
}

fn press() -> InputSendEvent {
    let button = InputBtnEvent::new(InputButton::Left, true);
    InputSendEvent::new(vec![InputEvent::Btn(InputBtnEventWrapper::new(button))])
}

fn card() -> DeviceAdd {
    DeviceAdd::new("virtio-net-pci")
}

fn program() -> Exec {
    Exec::new("program").within(WITHIN)
}

/// The functions of both clients, and those of `Workflows`.
#[rustfmt::skip]
fn monitor() -> Vec<Row> {
    fn itself<T>(client: T) -> T {
        client
    }
    rows![itself;
        "Client::execute", "query-status", Calls, ONE, "`query-status`", |vm| vm.execute(QueryStatus::new());
        // More than a socket holds.
        "Client::execute", "human-monitor-command", Calls, ONE, "`human-monitor-command`", |vm| vm.execute(HumanMonitorCommand::new("x".repeat(1 << 20)));
        "Client::execute_oob", "migrate-pause", Calls, ONE, "`migrate-pause`", |vm| vm.execute_oob(MigratePause::new());
        "Client::closed_within", "-", Within, ONE, "the connection to end", |vm| vm.closed_within(WITHIN);
        "Client::pause", "-", Within, ONE, "ok", |vm| vm.pause(WITHIN);
        "Call::execute", "query-status", Within, ONE, "`query-status`", |vm| vm.call(QueryStatus::new()).within(WITHIN).execute();
        "Call::until", "query-status", Within, ONE, "`query-status`", |vm| vm.call(QueryStatus::new()).within(WITHIN).until(|_: &Stop| true);
        "Call::until", "-", Within, ONE, "STOP after `query-status`", |vm| vm.call(QueryStatus::new()).within(WITHIN).until(|_: &Stop| true);
        "Call::until_some", "query-status", Within, ONE, "`query-status`", |vm| vm.call(QueryStatus::new()).within(WITHIN).until_some(|_| Some(()));
        "Call::until_some", "-", Within, ONE, "event after `query-status`", |vm| vm.call(QueryStatus::new()).within(WITHIN).until_some(|_| Some(()));
        "Call::execute_undoable", "add-fd", Calls, ONE, "`add-fd`", |vm| vm.call(AddFd::new()).execute_undoable(|_| None::<RemoveFd>);
        "Call::execute_undoable", "add-fd", Calls, TWO, "`add-fd`", |vm| vm.call(AddFd::new()).execute_undoable(|_| Some(RemoveFd::new(1)));
        "Undo::run", "remove-fd", Calls, ONE, "`remove-fd`", |vm| vm.call(RemoveFd::new(1)).guard().run();
        "Ticket::receive", "query-status", Calls, ONE, "`query-status`", |vm| vm.send(QueryStatus::new()).unwrap().receive();
        "Events::next_within", "-", Within, ONE, "STOP", |vm| vm.events_of::<Stop>().next_within(WITHIN);

        "Workflows::capabilities", "query-qmp-schema", Calls, ONE, "`query-qmp-schema`", |vm| vm.capabilities();
        "Workflows::device_capabilities", "device-list-properties", Calls, ONE, "`device-list-properties`", |vm| vm.device_capabilities("e1000");
        "Workflows::open_monitor", "qom-list-types", Calls, ONE, "`qom-list-types`", |vm| vm.open_monitor();
        "Workflows::open_monitor", "query-chardev", Calls, ONE, "`query-chardev`", |vm| vm.open_monitor();
        "Workflows::open_monitor", "getfd", Calls, ONE, "`getfd`", |vm| vm.open_monitor();
        "Workflows::open_monitor", "chardev-add", Calls, ONE, "`chardev-add`", |vm| vm.open_monitor();
        "Workflows::open_monitor", "object-add", Calls, ONE, "`object-add`", |vm| vm.open_monitor();
        "Workflows::human_monitor", "human-monitor-command", Calls, ONE, "`human-monitor-command`", |vm| vm.human_monitor("info version");
        "Workflows::unplug", "device_del", Within, ONE, "`device_del`", |vm| vm.unplug("d0", WITHIN);
        "Workflows::unplug", "-", Within, ONE, "DEVICE_DELETED", |vm| vm.unplug("d0", WITHIN);
        "Workflows::unplug_disk", "device_del", Within, ONE, "`device_del`", |vm| vm.unplug_disk("d0", "n0", WITHIN);
        "Workflows::unplug_disk", "-", Within, ONE, "DEVICE_DELETED", |vm| vm.unplug_disk("d0", "n0", WITHIN);
        "Workflows::add_descriptor", "add-fd", Calls, ONE, "`add-fd`", |vm| vm.add_descriptor(null());
        "Workflows::plug_disk", "add-fd", Calls, ONE, "`add-fd`", |vm| vm.plug_disk(null(), "node", |_| blockdev_add(), card());
        "Workflows::plug_disk", "blockdev-add", Calls, ONE, "`blockdev-add`", |vm| vm.plug_disk(null(), "node", |_| blockdev_add(), card());
        "Workflows::plug_disk", "remove-fd", Calls, ONE, "`remove-fd`", |vm| vm.plug_disk(null(), "node", |_| blockdev_add(), card());
        "Workflows::plug_disk", "device_add", Calls, ONE, "`device_add`", |vm| vm.plug_disk(null(), "node", |_| blockdev_add(), card());
        "Workflows::plug_nic", "getfd", Calls, ONE, "`getfd`", |vm| vm.plug_nic("net", [null()], [], |_| netdev_add(), card());
        "Workflows::plug_nic", "netdev_add", Calls, ONE, "`netdev_add`", |vm| vm.plug_nic("net", [null()], [null()], |_| netdev_add(), card());
        "Workflows::plug_nic", "device_add", Calls, ONE, "`device_add`", |vm| vm.plug_nic("net", [null()], [null()], |_| netdev_add(), card());
        "Workflows::plug_cpu", "query-hotpluggable-cpus", Calls, ONE, "`query-hotpluggable-cpus`", |vm| vm.plug_cpu("cpu1");
        "Workflows::plug_cpu", "device_add", Calls, ONE, "`device_add`", |vm| vm.plug_cpu("cpu1");
        "Workflows::plug_memory", "object-add", Calls, ONE, "`object-add`", |vm| vm.plug_memory("memory", object_add(), card());
        "Workflows::plug_memory", "device_add", Calls, ONE, "`device_add`", |vm| vm.plug_memory("memory", object_add(), card());
        "Workflows::run_job", "start", Within, ONE, "to conclude", |vm| vm.run_job(start(), "running", WITHIN);
        "Workflows::run_job", "query-jobs", Within, ONE, "to conclude", |vm| vm.run_job(start(), "running", WITHIN);
        "Workflows::run_job", "-", Within, ONE, "to conclude", |vm| vm.run_job(start(), "running", WITHIN);
        "Workflows::run_job", "job-complete", Within, ONE, "to conclude", |vm| vm.run_job(start(), "ready", WITHIN);
        "Workflows::run_job", "job-finalize", Within, ONE, "to conclude", |vm| vm.run_job(start(), "pending", WITHIN);
        "Workflows::run_job", "query-block-jobs", Within, ONE, "to conclude", |vm| vm.run_job(start(), "paused", WITHIN);
        "Workflows::run_job", "job-dismiss", Within, ONE, "to conclude", |vm| vm.run_job(start(), "concluded", WITHIN);
        "Workflows::cancel_job", "job-cancel", Within, ONE, "to conclude", |vm| vm.cancel_job("running", WITHIN);
        "Workflows::cancel_job", "query-jobs", Within, ONE, "to conclude", |vm| vm.cancel_job("running", WITHIN);
        "Workflows::cancel_job", "-", Within, ONE, "to conclude", |vm| vm.cancel_job("running", WITHIN);
        "Jobs::finish", "query-jobs", Within, ONE, "to conclude", |vm| vm.watch_jobs(["running"]).finish(WITHIN);
        "Workflows::cancel_job", "job-dismiss", Within, ONE, "to conclude", |vm| vm.cancel_job("concluded", WITHIN);
        "Jobs::finish", "job-dismiss", Within, ONE, "to conclude", |vm| vm.watch_jobs(["concluded"]).finish(WITHIN);
        "Jobs::finish", "-", Within, ONE, "to conclude", |vm| vm.watch_jobs(["running"]).finish(WITHIN);
        "Workflows::migrate", "migrate-set-capabilities", Within, ONE, "the migration to end", |vm| vm.migrate(Migrate::new(), WITHIN, |_| {});
        "Workflows::migrate", "migrate", Within, ONE, "the migration to end", |vm| vm.migrate(Migrate::new(), WITHIN, |_| {});
        "Workflows::migrate", "query-migrate", Within, ONE, "the migration to end", |vm| vm.migrate(Migrate::new(), WITHIN, |_| {});
        "Workflows::migrate", "-", Within, ONE, "its state is `active`", |vm| vm.migrate(Migrate::new(), WITHIN, |_| {});
        // The migration has ended, and its outcome counts.
        "Workflows::migrate", "query-status", Within, ONE, "ok", |vm| vm.migrate(Migrate::new(), WITHIN, |_| {});
        "Workflows::follow_migration", "query-migrate", Within, ONE, "the migration to end", |vm| vm.follow_migration(WITHIN, |_| {});
        "Workflows::follow_migration", "query-status", Within, ONE, "ok", |vm| vm.follow_migration(WITHIN, |_| {});
        "Workflows::settle", "query-status", Within, ONE, "the run state to settle", |vm| vm.settle(WITHIN);
        "Workflows::quit", "quit", Calls, ONE, "`quit`", |vm| vm.quit();
        "Workflows::quit_within", "quit", Within, ONE, "`quit`", |vm| vm.quit_within(WITHIN);
        "Workflows::quit_within", "-", Within, ONE, "QEMU to exit", |vm| vm.quit_within(WITHIN);
        "Workflows::shut_down", "query-status", Within, TWO, "`quit`", |vm| vm.shut_down(WITHIN);
        "Workflows::shut_down", "system_powerdown", Within, TWO, "`quit`", |vm| vm.shut_down(WITHIN);
        "Workflows::shut_down", "quit", Within, TWO, "`quit`", |vm| vm.shut_down(WITHIN);
        "Workflows::shut_down", "-", Within, TWO, "QEMU to exit", |vm| vm.shut_down(WITHIN);
        "Workflows::type_text", "query-status", Calls, ONE, "`query-status`", |vm| vm.type_text("text");
        "Workflows::type_text", "send-key", Calls, ONE, "`send-key`", |vm| vm.type_text("text");
        "Workflows::send_input", "query-status", Calls, ONE, "`query-status`", |vm| vm.send_input([press()], WITHIN);
        "Workflows::send_input", "input-send-event", Calls, ONE, "`input-send-event`", |vm| vm.send_input([press()], WITHIN);
        "Workflows::press_keys", "query-status", Calls, ONE, "`query-status`", |vm| vm.press_keys([QKeyCode::Ret], WITHIN);
        "Workflows::press_keys", "send-key", Calls, ONE, "`send-key`", |vm| vm.press_keys([QKeyCode::Ret], WITHIN);
    ]
}

/// The functions that need memory for a picture.
#[cfg(target_os = "linux")]
#[rustfmt::skip]
fn screen() -> Vec<Row> {
    use qmp_client::qmp::commands::Screendump;
    fn itself<T>(client: T) -> T {
        client
    }
    rows![itself;
        "Workflows::screenshot", "add-fd", Calls, ONE, "`add-fd`", |vm| vm.screenshot();
        "Workflows::screenshot", "screendump", Calls, ONE, "`screendump`", |vm| vm.screenshot();
        "Workflows::screenshot", "remove-fd", Calls, ONE, "`remove-fd`", |vm| vm.screenshot();
        "Workflows::screenshot_with", "add-fd", Calls, ONE, "`add-fd`", |vm| vm.screenshot_with(|path| Screendump::new(path));
    ]
}

#[cfg(not(target_os = "linux"))]
fn screen() -> Vec<Row> {
    Vec::new()
}

/// The functions of an agent.
#[rustfmt::skip]
fn agent() -> Vec<Row> {
    use qmp_client::qga::commands::GuestInfo;
    rows![Agent::from_client;
        "Agent::execute", "guest-info", Calls, ONE, "`guest-info`", |agent| agent.execute(GuestInfo::new());
        "Agent::execute_within", "guest-info", Within, ONE, "`guest-info`", |agent| agent.execute_within(GuestInfo::new(), WITHIN);
        "Agent::ping", "guest-ping", Within, ONE, "`guest-ping`", |agent| agent.ping(WITHIN);
        "Agent::exec", "guest-exec", Within, ONE, "`program` to start", |agent| agent.exec(&program());
        "Agent::exec", "guest-exec-status", Within, ONE, "`program` (process 7) to exit", |agent| agent.exec(&program());
        "Agent::exec", "-", Within, ONE, "`program` (process 7) to exit", |agent| agent.exec(&program());
        "Agent::spawn", "guest-exec", Within, ONE, "`program` to start", |agent| agent.spawn(&program());
        "Running::wait", "guest-exec-status", Within, ONE, "to exit", |agent| agent.running(7).wait(WITHIN);
        "Running::wait", "-", Within, ONE, "to exit", |agent| agent.running(7).wait(WITHIN);
        "Running::try_wait", "guest-exec-status", Calls, ONE, "`guest-exec-status`", |agent| agent.running(7).try_wait();
        "Agent::read_file", "guest-file-open", Within, ONE, "`guest-file-open`", |agent| agent.read_file("file", 1000, WITHIN);
        "Agent::read_file", "guest-file-read", Within, ONE, "`file` to be read", |agent| agent.read_file("file", 1000, WITHIN);
        "Agent::read_file", "guest-file-close", Within, ONE, "`guest-file-close`", |agent| agent.read_file("file", 1, WITHIN);
        "Agent::write_file", "guest-file-open", Within, ONE, "`guest-file-open`", |agent| agent.write_file("file", b"x", WITHIN);
        "Agent::write_file", "guest-file-write", Within, ONE, "`file` to be written", |agent| agent.write_file("file", b"x", WITHIN);
        "Agent::write_file", "guest-file-close", Within, ONE, "`guest-file-close`", |agent| agent.write_file("file", b"x", WITHIN);
        "Agent::freeze", "guest-fsfreeze-freeze", Calls, ONE, "`guest-fsfreeze-freeze`", |agent| agent.freeze();
        "Agent::thaw", "guest-fsfreeze-thaw", Calls, ONE, "`guest-fsfreeze-thaw`", |agent| agent.thaw();
        // The agent does not answer success.
        "Agent::shutdown", "guest-shutdown", Calls, ONE, "ok", |agent| agent.shutdown(ShutdownMode::Powerdown);
        "Agent::suspend", "guest-suspend-ram", Calls, ONE, "ok", |agent| agent.suspend(SuspendMode::Ram);
    ]
}

fn start() -> qmp_client::Raw<Value> {
    qmp_client::Raw::new("start")
}

/// The functions of what other functions return.
#[rustfmt::skip]
fn returned() -> Vec<Row> {
    macro_rules! row {
        ($name:literal, $stop:literal, $deadlines:expr, $says:literal, |$vm:ident| $blocking:expr, $nonblocking:expr) => {
            Row {
                name: $name,
                stop: $stop,
                by: By::Calls,
                deadlines: $deadlines,
                says: $says,
                blocking: Box::new(|$vm| $blocking),
                nonblocking: Box::new(|$vm| Box::pin(async move { $nonblocking })),
            }
        };
    }
    vec![
        row!("Workflows::remove_fdset", "remove-fd", ONE, "`remove-fd`", |vm|
            { let fdset = vm.add_descriptor(null())?.keep(); vm.remove_fdset(&fdset) },
            { let fdset = vm.add_descriptor(null()).await?.keep(); vm.remove_fdset(&fdset).await }),
        row!("FdsetGuard::remove", "remove-fd", ONE, "`remove-fd`", |vm|
            vm.add_descriptor(null())?.remove(),
            vm.add_descriptor(null()).await?.remove().await),
        row!("FdsetGuard::drop", "remove-fd", DROPPED, "ok", |vm|
            { drop(vm.add_descriptor(null())?); Ok(()) },
            { drop(vm.add_descriptor(null()).await?); Ok(()) }),
        row!("Undo::drop", "remove-fd", DROPPED, "ok", |vm|
            { drop(vm.call(RemoveFd::new(1)).guard()); Ok(()) },
            { drop(vm.call(RemoveFd::new(1)).guard()); Ok(()) }),
    ]
}

/// The functions of a mirror. Its keeper runs beside the function.
#[rustfmt::skip]
fn mirrors() -> Vec<Row> {
    macro_rules! row {
        ($name:literal, $says:literal, |$mirror:ident| $call:expr) => {
            Row {
                name: $name,
                stop: "query-status",
                by: By::Within,
                deadlines: ONE,
                says: $says,
                blocking: Box::new(|vm| {
                    let ($mirror, keeper) = Mirror::of(&vm);
                    std::thread::spawn(move || keeper.run());
                    $call.ended()
                }),
                nonblocking: Box::new(|vm| Box::pin(async move {
                    let ($mirror, keeper) = Mirror::of(&vm);
                    tokio::spawn(keeper.run());
                    $call.await.ended()
                })),
            }
        };
    }
    vec![
        row!("Mirror::current", "to be current", |mirror| mirror.current(WITHIN)),
        row!("Mirror::refresh", "to be current", |mirror| mirror.refresh(WITHIN)),
        row!("Mirror::wait_until", "to satisfy a condition", |mirror| mirror.wait_until(|_| true, WITHIN)),
        row!("Changes::next_within", "a change of the mirror", |mirror| mirror.changes().next_within(WITHIN)),
    ]
}

#[rustfmt::skip]
fn returned_by_an_agent() -> Vec<Row> {
    macro_rules! row {
        ($name:literal, $deadlines:expr, $says:literal, |$frozen:ident| $blocking:expr, $nonblocking:expr) => {
            Row {
                name: $name,
                stop: "guest-fsfreeze-thaw",
                by: By::Calls,
                deadlines: $deadlines,
                says: $says,
                blocking: Box::new(|client| {
                    let $frozen = Agent::from_client(client).freeze()?;
                    $blocking
                }),
                nonblocking: Box::new(|client| Box::pin(async move {
                    let $frozen = Agent::from_client(client).freeze().await?;
                    $nonblocking
                })),
            }
        };
    }
    vec![
        row!("Frozen::thaw", ONE, "`guest-fsfreeze-thaw`", |frozen|
            frozen.thaw().ended(),
            frozen.thaw().await.ended()),
        row!("Frozen::drop", DROPPED, "ok", |frozen|
            { drop(frozen); Ok(()) },
            { drop(frozen); Ok(()) }),
    ]
}

/// Serves a client until the command at which the peer stops. Returns the connection, which is open
/// for as long as the test needs it.
fn serve(stream: UnixStream, is_agent: bool, stop: &str) -> BufReader<UnixStream> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(stream);
    let send = |stream: &mut BufReader<UnixStream>, bytes: String| {
        // The client may have closed the connection.
        let _ = stream.get_mut().write_all(bytes.as_bytes());
    };
    if !is_agent {
        send(&mut stream, format!("{GREETING}\r\n"));
    }
    loop {
        // A command that is too large for the socket is not read to its end.
        let mut start = Vec::new();
        while !start.ends_with(b"\n") && start.len() < 1 << 16 {
            let buffer = stream.fill_buf().unwrap_or_default();
            if buffer.is_empty() {
                return stream;
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(buffer.len(), |end| end + 1);
            start.extend_from_slice(&buffer[..count]);
            stream.consume(count);
        }
        let text = start.strip_prefix(&[0xFF]).unwrap_or(&start);
        let Ok(command) = serde_json::from_slice::<Value>(text) else { return stream };
        let name = command["execute"].as_str().or(command["exec-oob"].as_str()).unwrap();
        if name == stop {
            return stream;
        }
        let mut reply = json!({"return": reply(name, &command["arguments"], stop)});
        if !is_agent {
            reply["id"] = command["id"].clone();
        } else if name == "guest-sync-delimited" {
            let _ = stream.get_mut().write_all(&[0xFF]);
        }
        send(&mut stream, format!("{reply}\r\n"));
    }
}

/// Returns the reply to a command, before the one at which the peer stops. A job's name is its state.
fn reply(name: &str, arguments: &Value, stop: &str) -> Value {
    let job = |state| {
        let mut job = json!({"id": state, "type": "mirror", "status": state});
        job["current-progress"] = json!(0);
        job["total-progress"] = json!(1);
        job
    };
    match name {
        "add-fd" => json!({"fdset-id": 1, "fd": 7}),
        "qom-list-types" => json!([{"name": "monitor-qmp"}]),
        "query-chardev" => json!([]),
        "query-hotpluggable-cpus" => json!([{"type": "cpu", "vcpus-count": 1, "props": {}}]),
        "query-status" => json!({"status": "running", "running": true}),
        "query-jobs" => {
            json!(["running", "ready", "pending", "paused", "concluded"].map(job))
        }
        // Only after the end of a migration, the run state is queried.
        "query-migrate" if stop == "query-status" => json!({"status": "completed"}),
        "query-migrate" => json!({"status": "active"}),
        "guest-sync-delimited" => arguments["id"].clone(),
        "guest-exec" => json!({"pid": 7}),
        "guest-exec-status" => json!({"exited": false}),
        "guest-file-open" => json!(7),
        "guest-file-read" => json!({"count": 1, "buf-b64": "eA==", "eof": false}),
        "guest-file-write" => json!({"count": 1, "eof": false}),
        "guest-fsfreeze-freeze" => json!(2),
        _ => json!({}),
    }
}

/// Checks that a function returned when its deadlines had passed, and not later, and what it said.
/// Returns what is wrong.
fn judge(
    what: &str,
    begin: Instant,
    deadlines: u32,
    says: &str,
    outcome: Outcome,
) -> Option<String> {
    let (took, due) = (begin.elapsed(), WITHIN * deadlines);
    let in_time = took >= due * 9 / 10 && took <= due * 11 / 10 + BUSY;
    let said = match outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) if forgets_command(&error) => format!("another fate: {}", error.report()),
        Err(error) if error.is_timeout() => error.report(),
        Err(error) => format!("another error: {}", error.report()),
    };
    let is_right = in_time && said.contains(says) && !said.starts_with("another");
    (!is_right).then(|| format!("{what}: {took:?} of {due:?}: {said}; not `{says}`"))
}

/// Returns whether an error says that nothing was sent, and its cause that a command was.
fn forgets_command(error: &Error) -> bool {
    let Error::Timeout(timeout) = error else { return false };
    let cause = timeout.cause.as_ref().and_then(|cause| cause.downcast_ref::<Timeout>());
    !timeout.sent && cause.is_some_and(|cause| cause.sent)
}

fn options(row: &Row, is_agent: bool) -> Options {
    let dialect = if is_agent { Dialect::Agent } else { Dialect::Monitor };
    let options = Options::new().greeting_within(PATIENCE).dialect(dialect);
    // A parameter is what counts, so that the options are left alone.
    if row.by == By::Calls { options.calls_within(WITHIN) } else { options }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a row with each client, on threads that return what is wrong.
fn try_row(row: Row, is_agent: bool) -> Vec<JoinHandle<Option<String>>> {
    let options = options(&row, is_agent);
    let Row { name, stop, deadlines, says, blocking, nonblocking, .. } = row;
    let pair = move || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, std::thread::spawn(move || serve(theirs, is_agent, stop)))
    };
    let on = options.clone();
    vec![
        std::thread::spawn(move || {
            let (ours, served) = pair();
            let client = blocking::Client::over(Unix::from_stream(ours).unwrap(), &on).unwrap();
            let begin = Instant::now();
            let outcome = blocking(client);
            let what = format!("blocking {name}, stopped at {stop}");
            let fault = judge(&what, begin, deadlines.0, says, outcome);
            drop(served.join().unwrap());
            fault
        }),
        std::thread::spawn(move || {
            let (ours, served) = pair();
            ours.set_nonblocking(true).unwrap();
            let fault = runtime().block_on(async {
                let stream = tokio::net::UnixStream::from_std(ours).unwrap();
                let client = Client::over(stream, &options).await.unwrap();
                let begin = Instant::now();
                let outcome = nonblocking(client).await;
                let what = format!("asynchronous {name}, stopped at {stop}");
                judge(&what, begin, deadlines.1, says, outcome)
            });
            drop(served.join().unwrap());
            fault
        }),
    ]
}

#[track_caller]
fn check(tried: Vec<JoinHandle<Option<String>>>) {
    let faults = tried.into_iter().filter_map(|row| row.join().unwrap()).collect::<Vec<_>>();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn monitors() {
    let rows = monitor().into_iter().chain(screen()).chain(returned()).chain(mirrors());
    check(rows.flat_map(|row| try_row(row, false)).collect());
}

#[test]
fn agents() {
    let rows = agent().into_iter().chain(returned_by_an_agent());
    check(rows.flat_map(|row| try_row(row, true)).collect());
}

/// Runs a function on a thread.
fn spawn(
    what: &'static str,
    deadlines: u32,
    says: &'static str,
    function: impl FnOnce() -> Outcome + Send + 'static,
) -> JoinHandle<Option<String>> {
    std::thread::spawn(move || {
        let begin = Instant::now();
        judge(what, begin, deadlines, says, function())
    })
}

/// A socket at which a server listens that is stopped.
struct Socket(PathBuf, #[expect(dead_code, reason = "it is kept open")] UnixListener);

impl Socket {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("qmp-vm-deadlines-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        Self(path, listener)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[rustfmt::skip]
#[test]
fn servers_that_do_not_greet() {
    let socket = Socket::new();
    let path = socket.0.clone();
    let greeting = Options::new().greeting_within(WITHIN);
    let absent = path.with_extension("absent");
    let waits = greeting.clone().wait_for_socket(WITHIN);
    let mut tried = Vec::new();
    macro_rules! rows {
        ($($name:literal, $says:literal, |$path:ident, $options:ident| $blocking:expr, $nonblocking:expr;)*) => {$(
            let ($path, $options) = (path.clone(), greeting.clone());
            tried.push(spawn(concat!("blocking ", $name), 1, $says, move || $blocking.ended()));
            let ($path, $options) = (path.clone(), greeting.clone());
            tried.push(spawn(concat!("asynchronous ", $name), 1, $says, move || {
                runtime().block_on(async { $nonblocking.await.ended() })
            }));
        )*};
    }
    rows! {
        "Client::connect_with", "the greeting", |path, options|
            blocking::Client::connect_with(path, &options), Client::connect_with(path, &options);
        "Client::connect_to_child", "the greeting", |path, options|
            blocking::Client::connect_to_child(path, &options, || Ok(None)), Client::connect_to_child(path, &options, || Ok(None));
        "Client::over", "the greeting", |path, options|
            blocking::Client::over(Unix::connect(&path).unwrap(), &options), Client::over(tokio::net::UnixStream::connect(path).await.unwrap(), &options);
        "Agent::connect_with", "the guest agent", |path, options|
            qmp_vm::blocking::Agent::connect_with(path, &options), qmp_vm::Agent::connect_with(path, &options);
        "Agent::connect_to_child", "the guest agent", |path, options|
            qmp_vm::blocking::Agent::connect_to_child(path, &options, || Ok(None)), qmp_vm::Agent::connect_to_child(path, &options, || Ok(None));
        "Agent::over", "the guest agent", |path, options|
            qmp_vm::blocking::Agent::over(Unix::connect(&path).unwrap(), &options), qmp_vm::Agent::over(tokio::net::UnixStream::connect(path).await.unwrap(), &options);
        "Launch::start", "did not open its monitor", |_path, options|
            sleeps(options).start::<blocking::Client>(), sleeps(options).start::<Client>();
        "Launch::start_with", "did not open its monitor", |_path, options|
            sleeps(options).start::<blocking::Client>(), async { let (launching, driver) = qmp_vm::tokio::launch(sleeps(options))?; tokio::spawn(driver); launching.await };
    }
    // The socket does not exist.
    let (path, options) = (absent.clone(), waits.clone());
    tried.push(spawn("blocking wait_for_socket", 1, "the connection to", move || blocking::Client::connect_with(path, &options).ended()));
    tried.push(spawn("asynchronous wait_for_socket", 1, "the connection to", move || {
        runtime().block_on(Client::connect_with(absent, &waits)).ended()
    }));
    check(tried);
}

/// A program that never opens its monitor.
fn sleeps(options: Options) -> Launch {
    let none: [&str; 0] = [];
    Launch::new("sleep").arg("60").monitor_args(none).options(options)
}

/// A program that opens its monitor, and is stopped by a signal.
fn stops(calls: Duration) -> Launch {
    let none: [&str; 0] = [];
    let options = Options::new().calls_within(calls);
    Launch::new("/bin/sh")
        .args(["-c", STOPS])
        .configure(|command| {
            command.env("GREETING", GREETING);
        })
        .monitor_args(none)
        .options(options)
        .grace(WITHIN)
}

#[rustfmt::skip]
#[test]
fn processes_that_are_stopped() {
    let mut tried = Vec::new();
    macro_rules! rows {
        ($($name:literal, $deadlines:expr, $calls:expr, $says:literal, |$vm:ident| $blocking:expr, $nonblocking:expr;)*) => {$(
            tried.push(std::thread::spawn(|| {
                let $vm = stops($calls).start::<blocking::Client>().unwrap();
                let begin = Instant::now();
                let outcome = $blocking.ended();
                judge(concat!("blocking ", $name), begin, $deadlines.0, $says, outcome)
            }));
            tried.push(std::thread::spawn(|| runtime().block_on(async {
                let $vm = stops($calls).start::<Client>().await.unwrap();
                let begin = Instant::now();
                let outcome = $nonblocking.ended();
                judge(concat!("asynchronous ", $name), begin, $deadlines.1, $says, outcome)
            })));
        )*};
    }
    rows! {
        "Launched::quit", ONE, WITHIN, "`quit`", |vm| vm.quit(), vm.quit().await;
        "Launched::quit_within", ONE, PATIENCE, "`quit`", |vm| vm.quit_within(WITHIN), vm.quit_within(WITHIN).await;
        // The guest has its time, QEMU has it again, and then it is killed.
        "Launched::shut_down", TWO, PATIENCE, "ok", |vm| vm.shut_down(WITHIN), vm.shut_down(WITHIN).await;
        "Launched::drop", DROPPED, PATIENCE, "ok", |vm| { drop(vm); Ok::<_, Error>(()) }, { drop(vm); Ok::<_, Error>(()) };
        "Process::wait_within", ONE, PATIENCE, "/bin/sh to exit", |vm| vm.process().wait_within(WITHIN), vm.process().wait_within(WITHIN);
        "Process::kill", Deadlines(0, 0), PATIENCE, "ok", |vm| vm.process().kill(), vm.process().kill();
    }
    check(tried);
}

macro_rules! live {
    ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
        $(#[$attribute])*
        #[test]
        #[cfg_attr(
            not(qemu),
            ignore = "needs QEMU: install qemu-system-x86, or name a program in QMP_TEST_QEMU"
        )]
        fn $name() $body
    };
}

#[test]
fn qemu_is_installed_if_it_is_required() {
    let required = std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0");
    assert!(!required || cfg!(qemu), "QMP_REQUIRE_QEMU is set, and QEMU is not installed");
}

fn qemu(options: Options) -> Launch {
    let program =
        std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    let arguments = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
    // Dropping the process need not wait.
    Launch::new(program).args(arguments).options(options).grace(Duration::ZERO)
}

/// Returns the first row of each function, in which the peer stops before the first command.
fn first_rows(by: By) -> Vec<Row> {
    let mut names = Vec::new();
    let is_first = |row: &Row| {
        let is_new = !names.contains(&row.name);
        names.push(row.name);
        is_new
    };
    monitor().into_iter().chain(screen()).filter(is_first).filter(|row| row.by == by).collect()
}

live! {
    /// All functions wait at the same time, on the same connection.
    fn a_real_one_is_stopped() {
        for by in [By::Within, By::Calls] {
            let options = || match by {
                By::Within => Options::new(),
                By::Calls => Options::new().calls_within(WITHIN),
            };
            let vm = qemu(options()).start::<blocking::Client>().unwrap();
            stop(vm.process().id());
            let (client, process) = vm.into_parts();
            let mut tried = Vec::new();
            for Row { name, deadlines, says, blocking, .. } in first_rows(by) {
                let client = client.clone();
                tried.push(spawn(name, deadlines.0, says, move || blocking(client)));
            }
            check(tried);
            drop(process);

            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let vm = qemu(options()).start::<Client>().await.unwrap();
                stop(vm.process().id());
                let mut tried = Vec::new();
                for Row { name, deadlines, says, nonblocking, .. } in first_rows(by) {
                    let client = vm.client().clone();
                    tried.push(tokio::spawn(async move {
                        let begin = Instant::now();
                        let outcome = nonblocking(client).await;
                        judge(name, begin, deadlines.1, says, outcome)
                    }));
                }
                let mut faults = Vec::new();
                for row in tried {
                    faults.extend(row.await.unwrap());
                }
                assert!(faults.is_empty(), "{}", faults.join("\n"));
            });
        }
    }
}

/// Methods that are in no row, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("AnotherMonitor::remove", "`monitors.rs` stops a QEMU that has opened one"),
    ("Agent::connect", "it is `connect_with` with the default options"),
    ("Client::closed", "it has no deadline"),
    ("Events::next", "it has no deadline"),
    ("Keeper::follow", "it has no deadline"),
    ("Keeper::run", "it has no deadline"),
    ("Mirror::execute", "it is `Call::execute` of the client that the mirror follows"),
];

/// The sources whose methods are compared with the rows.
const SOURCES: &[&str] = &[
    "../../qmp-client/src/nonblocking/call.rs",
    "../../qmp-client/src/nonblocking/client.rs",
    "../../qmp-client/src/nonblocking/events.rs",
    "../../qmp-client/src/nonblocking/ticket.rs",
    "../../qmp-client/src/nonblocking/undo.rs",
    "agent/client.rs",
    "agent/exec.rs",
    "agent/file.rs",
    "agent/freeze.rs",
    "agent/mode.rs",
    "another/mod.rs",
    "disk.rs",
    "job/mod.rs",
    "launch/launched.rs",
    "launch/program.rs",
    "mirror/changes.rs",
    "mirror/handle.rs",
    "mirror/keeper.rs",
    "workflows.rs",
];

/// Returns the methods in a source whose result is the outcome of a workflow, or a future.
fn workflows(text: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
    };
    let (mut of, mut methods, mut at) = (String::new(), Vec::new(), 0);
    for line in text.lines() {
        let rest = &text[at..];
        at += line.len() + 1;
        let implemented =
            line.strip_prefix("impl<").and_then(|line| Some(line.split_once("> ")?.1));
        let implemented = implemented.or_else(|| line.strip_prefix("impl "));
        if let Some(name) = implemented.or_else(|| line.strip_prefix("pub trait ")) {
            of = word(name);
        }
        let line = line.strip_prefix("    ").unwrap_or_default();
        let method = line.trim_start_matches("pub ").trim_start_matches("async ");
        let Some(method) = method.strip_prefix("fn ") else { continue };
        let signature = rest.split('{').next().unwrap_or_default();
        let is_public = line.starts_with("pub ");
        let waits = ["pub async fn ", "-> Reply<", "-> Until<", "-> Next<"];
        if signature.contains("::Outcome<")
            || (is_public && waits.iter().any(|part| signature.contains(part)))
        {
            methods.push(format!("{of}::{}", word(method)));
        }
    }
    methods
}

/// Every method that a program waits for is named in this file.
#[test]
fn every_method_has_a_row() {
    let named: Vec<_> = include_str!("deadlines.rs").split('"').collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |file: &&str| std::fs::read_to_string(source.join(file)).unwrap();
    let methods: Vec<_> = SOURCES.iter().flat_map(|file| workflows(&read(file))).collect();
    let missing: Vec<_> = methods.iter().filter(|name| !named.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    assert!(ELSEWHERE.iter().all(|(name, _)| methods.iter().any(|method| method == name)));
    // The sources were found and read.
    for name in ["Workflows::unplug", "Agent::exec", "Jobs::finish", "Launch::start", "Undo::run"] {
        assert!(methods.iter().any(|method| method == name), "{name} is not in {methods:?}");
    }
}
