//! The functions that talk to a peer and return something: each is called with a peer that misbehaves
//! at one of its commands.

use std::any::Any;
use std::error::Error as StdError;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::Duration;

use qmp_client::qga::commands::{GuestGetFsinfo, GuestInfo, GuestNetworkGetInterfaces};
use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{
    AddFd, BlockdevAdd, DeviceAdd, InputSendEvent, Migrate, MigratePause, NetdevAdd, QueryBlock,
    QueryNamedBlockNodes, QueryStatus, RemoveFd, Screendump,
};
use qmp_client::qmp::events::Stop;
use qmp_client::qmp::types::{
    BlockdevOptions, InputBtnEvent, InputBtnEventWrapper, InputButton, InputEvent, Netdev,
    NetdevType, NetdevUserOptions, QKeyCode,
};
use qmp_client::{Client, Error, Raw, blocking};
use qmp_vm::agent::Agent;
use qmp_vm::mirror::Mirror;
use qmp_vm::{
    Capabilities, DeviceCapabilities, Exec, JobOutcome, MigrationOutcome, ShutdownMode,
    SuspendMode, Workflows, futures_io,
};
use serde_json::{Value, json};

/// The deadline of every call.
pub(crate) const WITHIN: Duration = Duration::from_millis(30);

/// The failure of a function, or of what it returned.
pub(crate) type Outcome = Result<(), Box<dyn StdError + Send + Sync>>;
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Outcome>>>;

/// A function, and a command at which the peer misbehaves.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// A dash for a function without a command: the peer misbehaves from the beginning.
    pub(crate) at: &'static str,
    pub(crate) blocking: fn(blocking::Client) -> Outcome,
    pub(crate) nonblocking: fn(Client) -> Waiting,
}

/// Returns what a program prints of a result: the error, or that of an outcome.
pub(crate) trait Ended {
    fn ended(self) -> Outcome;
}

impl<T: Any> Ended for Result<T, Error> {
    fn ended(self) -> Outcome {
        let value = self?;
        let value = &value as &dyn Any;
        if let Some(outcome) = value.downcast_ref::<JobOutcome>() {
            outcome.clone().into_result()?;
        } else if let Some(outcomes) = value.downcast_ref::<Vec<JobOutcome>>() {
            outcomes.iter().try_for_each(|outcome| outcome.clone().into_result())?;
        } else if let Some(outcome) = value.downcast_ref::<MigrationOutcome>() {
            outcome.clone().into_result()?;
        } else if let Some(capabilities) = value.downcast_ref::<Capabilities>() {
            let _ = capabilities.has("stop/arg-type/x/$y");
        } else if let Some(Some(device)) = value.downcast_ref::<Option<DeviceCapabilities>>() {
            let _ = device.has("drive");
        }
        Ok(())
    }
}

impl<T: Any> Ended for Option<Result<T, Error>> {
    fn ended(self) -> Outcome {
        self.map_or(Ok(()), Ended::ended)
    }
}

macro_rules! rows {
    ($of:expr; $($name:literal, $at:literal, |$vm:ident| $call:expr;)*) => {
        &[$(Row {
            name: $name,
            at: $at,
            blocking: |client| {
                let $vm = &$of(client);
                $call.ended()
            },
            nonblocking: |client| Box::pin(async move {
                let $vm = &$of(client);
                $call.await.ended()
            }),
        }),*]
    };
}

/// Rows whose two forms differ by more than `.await`.
macro_rules! pairs {
    ($($name:literal, $at:literal, |$vm:ident| $blocking:expr, $nonblocking:expr;)*) => {
        &[$(Row {
            name: $name,
            at: $at,
            blocking: |$vm| $blocking.ended(),
            nonblocking: |$vm| Box::pin(async move { $nonblocking.ended() }),
        }),*]
    };
}

/// Returns a mirror whose keeper runs on a thread.
fn mirrored(vm: &blocking::Client) -> Mirror<blocking::Client> {
    let (mirror, keeper) = Mirror::of(vm);
    std::thread::spawn(move || keeper.run());
    mirror
}

/// Waits for a future while a keeper runs beside it.
async fn beside<T>(keeper: impl Future, future: impl Future<Output = T>) -> T {
    let (mut keeper, mut future) = (Box::pin(keeper), Box::pin(future));
    let mut is_over = false;
    std::future::poll_fn(|cx| {
        is_over = is_over || keeper.as_mut().poll(cx).is_ready();
        future.as_mut().poll(cx)
    })
    .await
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn node() -> BlockdevAdd {
    let options = json!({"driver": "null-co", "node-name": "node"});
    BlockdevAdd::new(serde_json::from_value::<BlockdevOptions>(options).unwrap())
}

fn netdev() -> NetdevAdd {
    NetdevAdd::new(Netdev::new("net", NetdevType::User(NetdevUserOptions::new())))
}

fn object_add() -> Raw<Value> {
    Raw::new("object-add")
}

fn press() -> InputSendEvent {
    let button = InputBtnEvent::new(InputButton::Left, true);
    InputSendEvent::new(vec![InputEvent::Btn(InputBtnEventWrapper::new(button))])
}

fn card() -> DeviceAdd {
    DeviceAdd::new("virtio-net-pci")
}

fn start() -> Raw<Value> {
    Raw::new("start")
}

fn program() -> Exec {
    Exec::new("program").within(WITHIN)
}

/// Drives a connection, whose peer has left.
fn drive(driver: futures_io::Driver<async_io::Async<std::os::unix::net::UnixStream>>) {
    std::thread::spawn(|| async_io::block_on(driver));
}

fn itself<T>(client: T) -> T {
    client
}

/// The functions of both clients, and those of `Workflows`.
#[rustfmt::skip]
pub(crate) const MONITOR: &[Row] = rows![itself;
    "Client::execute", "raw", |vm| vm.execute(Raw::<Value>::new("raw"));
    "Client::execute", "query-block", |vm| vm.execute(QueryBlock::new());
    "Client::execute", "query-named-block-nodes", |vm| vm.execute(QueryNamedBlockNodes::new());
    "Client::execute_oob", "migrate-pause", |vm| vm.execute_oob(MigratePause::new());
    "Client::closed_within", "-", |vm| vm.closed_within(WITHIN);
    "Call::execute", "query-status", |vm| vm.call(QueryStatus::new()).execute();
    "Call::until", "query-status", |vm| vm.call(QueryStatus::new()).until(|_: &Stop| false);
    "Call::until_some", "query-status", |vm| vm.call(QueryStatus::new()).until_some(|_| None::<()>);
    "Call::execute_undoable", "add-fd", |vm| vm.call(AddFd::new()).execute_undoable(|_| None::<RemoveFd>);
    "Undo::run", "remove-fd", |vm| vm.call(RemoveFd::new(1)).guard().run();
    "Ticket::receive", "query-status", |vm| vm.send(QueryStatus::new()).unwrap().receive();

    "Workflows::capabilities", "query-qmp-schema", |vm| vm.capabilities();
    "Workflows::device_capabilities", "device-list-properties", |vm| vm.device_capabilities("e1000");
    "Workflows::human_monitor", "human-monitor-command", |vm| vm.human_monitor("info version");
    "Workflows::unplug", "device_del", |vm| vm.unplug("d0", WITHIN);
    "Workflows::add_descriptor", "add-fd", |vm| vm.add_descriptor(null());
    "Workflows::unplug_disk", "blockdev-del", |vm| vm.unplug_disk("d0", "node", WITHIN);
    "Workflows::unplug_disk", "query-named-block-nodes", |vm| vm.unplug_disk("d0", "node", WITHIN);
    "Workflows::plug_disk", "blockdev-add", |vm| vm.plug_disk(null(), "node", |_| node(), card());
    "Workflows::plug_disk", "device_add", |vm| vm.plug_disk(null(), "node", |_| node(), card());
    "Workflows::plug_nic", "getfd", |vm| vm.plug_nic("net", [null()], [null()], |_| netdev(), card());
    "Workflows::plug_nic", "netdev_add", |vm| vm.plug_nic("net", [null()], [null()], |_| netdev(), card());
    "Workflows::plug_cpu", "query-hotpluggable-cpus", |vm| vm.plug_cpu("cpu1");
    "Workflows::plug_cpu", "device_add", |vm| vm.plug_cpu("cpu1");
    "Workflows::plug_memory", "object-add", |vm| vm.plug_memory("memory", object_add(), card());
    "Workflows::plug_memory", "device_add", |vm| vm.plug_memory("memory", object_add(), card());
    "Workflows::run_job", "start", |vm| vm.run_job(start(), "running", WITHIN);
    "Workflows::run_job", "query-jobs", |vm| vm.run_job(start(), "concluded", WITHIN);
    "Workflows::run_job", "query-block-jobs", |vm| vm.run_job(start(), "paused", WITHIN);
    "Workflows::run_job", "job-dismiss", |vm| vm.run_job(start(), "concluded", WITHIN);
    "Workflows::cancel_job", "job-cancel", |vm| vm.cancel_job("concluded", WITHIN);
    "Jobs::finish", "query-jobs", |vm| vm.watch_jobs(["concluded"]).finish(WITHIN);
    "Workflows::migrate", "migrate-set-capabilities", |vm| vm.migrate(Migrate::new(), WITHIN, |_| {});
    "Workflows::migrate", "query-migrate", |vm| vm.migrate(Migrate::new(), WITHIN, |_| {});
    "Workflows::follow_migration", "query-migrate", |vm| vm.follow_migration(WITHIN, |_| {});
    "Workflows::settle", "query-status", |vm| vm.settle(WITHIN);
    "Workflows::quit", "quit", |vm| vm.quit();
    "Workflows::quit_within", "quit", |vm| vm.quit_within(WITHIN);
    "Workflows::shut_down", "system_powerdown", |vm| vm.shut_down(WITHIN);
    "Workflows::screenshot", "screendump", |vm| vm.screenshot();
    "Workflows::screenshot_with", "screendump", |vm| vm.screenshot_with(|path| Screendump::new(path));
    "Workflows::type_text", "query-status", |vm| vm.type_text("x");
    "Workflows::type_text", "send-key", |vm| vm.type_text("x");
    "Workflows::press_keys", "query-status", |vm| vm.press_keys([QKeyCode::Ret], WITHIN);
    "Workflows::press_keys", "send-key", |vm| vm.press_keys([QKeyCode::Ret], WITHIN);
    "Workflows::send_input", "query-status", |vm| vm.send_input([press()], WITHIN);
    "Workflows::send_input", "input-send-event", |vm| vm.send_input([press()], WITHIN);
];

/// The functions whose two forms differ.
#[rustfmt::skip]
pub(crate) const PAIRS: &[Row] = pairs![
    "Mirror::current", "query-named-block-nodes", |vm|
        mirrored(&vm).current(WITHIN), { let (mirror, keeper) = Mirror::of(&vm); beside(keeper.run(), mirror.current(WITHIN)).await };
    "Mirror::refresh", "query-jobs", |vm|
        mirrored(&vm).refresh(WITHIN), { let (mirror, keeper) = Mirror::of(&vm); beside(keeper.run(), mirror.refresh(WITHIN)).await };
    "Mirror::wait_until", "qom-list", |vm|
        mirrored(&vm).wait_until(|_| true, WITHIN), { let (mirror, keeper) = Mirror::of(&vm); beside(keeper.run(), mirror.wait_until(|_| true, WITHIN)).await };
    "Changes::next_within", "query-status", |vm|
        mirrored(&vm).changes().next_within(WITHIN), { let (mirror, keeper) = Mirror::of(&vm); beside(keeper.run(), mirror.changes().next_within(WITHIN)).await };
    "Client::send", "raw", |vm|
        { let tickets = [0; 4].map(|_| vm.send(Raw::<Box<serde_json::value::RawValue>>::new("raw"))); tickets.into_iter().try_for_each(|ticket| ticket?.receive().map(drop)) },
        { let tickets = [0; 4].map(|_| vm.send(Raw::<Box<serde_json::value::RawValue>>::new("raw"))); let mut all = Ok(()); for ticket in tickets { all = match ticket { Ok(ticket) => ticket.receive().await.map(drop), Err(error) => Err(error) }; } all };
    "Client::pause", "-", |vm|
        { vm.pause(WITHIN); Ok::<_, Error>(()) }, { vm.pause(WITHIN).await; Ok::<_, Error>(()) };
    "Events::next_within", "-", |vm|
        vm.events_of::<Stop>().next_within(WITHIN), vm.events_of::<Stop>().next_within(WITHIN).await;
    "Events::next", "query-status", |vm|
        { let mut events = vm.raw_events(); let _ = vm.execute(QueryStatus::new()); vm.close(); while let Some(event) = events.next() { if event.is_err() { break; } } Ok::<_, Error>(()) },
        { let mut events = vm.raw_events(); let _ = vm.execute(QueryStatus::new()).await; vm.close(); while let Some(event) = events.next().await { if event.is_err() { break; } } Ok::<_, Error>(()) };
    // Nothing is taken while the events arrive: all queues are full.
    "Client::events", "query-status", |vm|
        { let mut all = vm.events::<AnyEvent>(); let kept = [vm.raw_events(), vm.raw_events(), vm.raw_events()]; let _ = vm.execute(QueryStatus::new()); let event = all.next_within(Duration::ZERO); drop(kept); event },
        { let mut all = vm.events::<AnyEvent>(); let kept = [vm.raw_events(), vm.raw_events(), vm.raw_events()]; let _ = vm.execute(QueryStatus::new()).await; let event = all.next_within(Duration::ZERO).await; drop(kept); event };
    "Client::closed", "-", |vm|
        { let _ = vm.closed_within(WITHIN); vm.close(); let _ = (vm.closed(), vm.ended(), vm.dropped(), vm.pending(), vm.greeting().clone()); Ok::<_, Error>(()) },
        { let _ = vm.closed_within(WITHIN).await; vm.close(); let _ = (vm.closed().await, vm.ended(), vm.dropped(), vm.pending(), vm.greeting().clone()); Ok::<_, Error>(()) };
    "Workflows::remove_fdset", "remove-fd", |vm|
        { let fdset = vm.add_descriptor(null()).unwrap().keep(); vm.remove_fdset(&fdset) },
        { let fdset = vm.add_descriptor(null()).await.unwrap().keep(); vm.remove_fdset(&fdset).await };
    "Workflows::open_monitor", "qom-list-types", |vm|
        vm.open_monitor(), futures_io::open_monitor(&vm, drive).await;
    "Workflows::open_monitor", "query-chardev", |vm|
        vm.open_monitor(), futures_io::open_monitor(&vm, drive).await;
    "Workflows::open_monitor", "chardev-add", |vm|
        vm.open_monitor(), futures_io::open_monitor(&vm, drive).await;
    "Workflows::open_monitor", "object-add", |vm|
        vm.open_monitor(), futures_io::open_monitor(&vm, drive).await;
    "FdsetGuard::remove", "remove-fd", |vm|
        vm.add_descriptor(null()).unwrap().remove(), vm.add_descriptor(null()).await.unwrap().remove().await;
    "FdsetGuard::drop", "remove-fd", |vm|
        { drop(vm.add_descriptor(null())); Ok::<_, Error>(()) }, { drop(vm.add_descriptor(null()).await); Ok::<_, Error>(()) };
];

/// The functions of a guest agent.
#[rustfmt::skip]
pub(crate) const AGENT: &[Row] = rows![Agent::from_client;
    "Agent::execute", "guest-info", |agent| agent.execute(GuestInfo::new());
    "Agent::execute", "raw", |agent| agent.execute(Raw::<Value>::new("raw"));
    "Agent::execute", "guest-get-fsinfo", |agent| agent.execute(GuestGetFsinfo::new());
    "Agent::execute_within", "guest-network-get-interfaces", |agent| agent.execute_within(GuestNetworkGetInterfaces::new(), WITHIN);
    "Agent::ping", "guest-ping", |agent| agent.ping(WITHIN);
    "Agent::exec", "guest-exec", |agent| agent.exec(&program());
    "Agent::exec", "guest-exec-status", |agent| agent.exec(&program());
    "Agent::spawn", "guest-exec", |agent| agent.spawn(&program());
    "Running::wait", "guest-exec-status", |agent| agent.running(7).wait(WITHIN);
    "Running::try_wait", "guest-exec-status", |agent| agent.running(7).try_wait();
    "Agent::read_file", "guest-file-open", |agent| agent.read_file("file", 1 << 20, WITHIN);
    "Agent::read_file", "guest-file-read", |agent| agent.read_file("file", 1 << 20, WITHIN);
    "Agent::read_file", "guest-file-close", |agent| agent.read_file("file", 1, WITHIN);
    "Agent::write_file", "guest-file-open", |agent| agent.write_file("file", b"xy", WITHIN);
    "Agent::write_file", "guest-file-write", |agent| agent.write_file("file", b"xy", WITHIN);
    "Agent::write_file", "guest-file-close", |agent| agent.write_file("file", b"x", WITHIN);
    "Agent::freeze", "guest-fsfreeze-freeze", |agent| agent.freeze();
    "Agent::thaw", "guest-fsfreeze-thaw", |agent| agent.thaw();
    "Agent::shutdown", "guest-shutdown", |agent| agent.shutdown(ShutdownMode::Powerdown);
    "Agent::suspend", "guest-suspend-ram", |agent| agent.suspend(SuspendMode::Ram);
];

#[rustfmt::skip]
pub(crate) const AGENT_PAIRS: &[Row] = pairs![
    "Frozen::thaw", "guest-fsfreeze-thaw", |client|
        Agent::from_client(client).freeze().unwrap().thaw(), Agent::from_client(client).freeze().await.unwrap().thaw().await;
    "Frozen::drop", "guest-fsfreeze-thaw", |client|
        { drop(Agent::from_client(client).freeze()); Ok::<_, Error>(()) }, { drop(Agent::from_client(client).freeze().await); Ok::<_, Error>(()) };
];
