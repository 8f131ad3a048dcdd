//! The ports, with the simulated machine and the simulated guest agent: what works, and what a guest or
//! QEMU can refuse.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // tests

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ports::controller::{Controller, State};
use ports::guest::{Guest, wait_for_agent};
use ports::hotplug::{Network, Sandbox};
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    DeviceAdd, QueryBlock, QueryMemdev, QueryNamedBlockNodes, Quit, Stop,
};
use qmp_client::qmp::events;
use qmp_client::qmp::types::{RunState, ShutdownCause};
use qmp_client::transport::Unix;
use qmp_client::{Error, Options, QmpError};
use qmp_server::Simulator;
use qmp_server::agent::{AgentSimulator, Program};
use qmp_vm::blocking::Agent;
use qmp_vm::{EndedBy, Unplugged};

const PATIENCE: Duration = Duration::from_secs(60);

fn client(simulator: &Simulator) -> Client {
    let stream = Unix::from_stream(simulator.connect().unwrap()).unwrap();
    Client::over(stream, &Options::new()).unwrap()
}

fn agent(simulator: &AgentSimulator) -> qmp_client::Result<Agent> {
    Agent::over(Unix::from_stream(simulator.connect().unwrap()).unwrap(), &Options::new())
}

/// Returns an open file of a mebibyte that has no name any more.
fn image(test: &str) -> File {
    let path = std::env::temp_dir().join(format!("ports-{}-{test}", std::process::id()));
    let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    file
}

fn network() -> Network {
    Network::Socket(UnixStream::pair().unwrap().0.into())
}

#[test]
fn a_sandbox_grows_and_shrinks() {
    let machine = Simulator::builder().max_cpus(4).memory_slots(2, 4 << 30).build();
    let sandbox = Sandbox::new(client(&machine), PATIENCE);

    let place = sandbox.plug_disk("disk1", image("grows"), None).unwrap();
    assert!(place.is_some_and(|place| place.len() == 2));
    assert_eq!(sandbox.unplug_disk("disk1").unwrap(), Unplugged::Deleted);

    assert!(sandbox.plug_nic("nic1", "52:54:00:00:00:01", network(), None).unwrap().is_some());
    assert_eq!(sandbox.unplug_nic("nic1").unwrap(), Unplugged::Deleted);

    // Two of four CPUs are there from the start.
    assert_eq!(sandbox.plug_cpus(1).unwrap(), 1);
    assert_eq!(sandbox.plug_cpus(3).unwrap(), 1);
    assert_eq!(sandbox.unplug_cpus(5).unwrap(), 2);
    assert_eq!(sandbox.plug_cpus(2).unwrap(), 2);

    sandbox.plug_memory("memory1", 512 << 20).unwrap();
    assert_eq!(sandbox.plugged_memory().unwrap(), 512 << 20);
    assert_eq!(sandbox.unplug_memory("memory1").unwrap(), Unplugged::Deleted);
    assert_eq!(sandbox.plugged_memory().unwrap(), 0);
}

/// A module that forgets a step when a later one fails leaks an image, a backend or memory with each
/// container that does not start.
#[test]
fn what_is_refused_leaves_nothing() {
    let no = || QmpError::generic("no");
    let machine = Simulator::builder().memory_slots(2, 4 << 30).refuse::<DeviceAdd>(no()).build();
    let vm = client(&machine);
    let before = vm.execute(QueryNamedBlockNodes::new()).unwrap().len();
    let sandbox = Sandbox::new(vm.clone(), PATIENCE);

    assert!(sandbox.plug_disk("disk1", image("refused"), None).is_err());
    assert_eq!(vm.execute(QueryNamedBlockNodes::new()).unwrap().len(), before);
    assert!(sandbox.plug_memory("memory1", 512 << 20).is_err());
    assert!(
        vm.execute(QueryMemdev::new())
            .unwrap()
            .iter()
            .all(|memory| { memory.id.as_deref() != Some("backend-memory1") })
    );
    // The same backend again: the first attempt has left none of this name.
    for _ in 0..2 {
        let error = sandbox.plug_nic("nic1", "52:54:00:00:00:01", network(), None).unwrap_err();
        assert_eq!(error.server().unwrap().desc, "no");
    }
}

/// The request to release a device is accepted at once. Only the guest can say that it has done so.
#[test]
fn a_guest_that_keeps_a_device_is_not_taken_for_one_that_released_it() {
    let machine =
        Simulator::builder().memory_slots(2, 4 << 30).guest_releases_devices(false).build();
    let vm = client(&machine);
    let sandbox = Sandbox::new(vm.clone(), Duration::from_millis(200));
    sandbox.plug_disk("disk1", image("kept"), None).unwrap();
    assert!(!matches!(sandbox.unplug_disk("disk1"), Ok(Unplugged::Deleted)));
    sandbox.plug_memory("memory1", 512 << 20).unwrap();
    assert!(!matches!(sandbox.unplug_memory("memory1"), Ok(Unplugged::Deleted)));

    let blocks = vm.execute(QueryBlock::new()).unwrap();
    assert!(blocks.iter().any(|block| block.qdev.as_deref().is_some_and(|q| q.contains("disk1"))));
    assert_eq!(sandbox.plugged_memory().unwrap(), 512 << 20);
}

#[test]
fn a_test_runs_in_a_guest() {
    let machine = Simulator::new();
    let inside = AgentSimulator::builder()
        .program("/usr/bin/true", Program::exits(0).stdout("fine"))
        .program("/usr/bin/false", Program::exits(1).after_polls(2))
        .file_systems(3)
        .build();
    let guest = Guest::new(client(&machine), agent(&inside).unwrap(), PATIENCE);

    let output = guest.run("/usr/bin/true", &["--version"]).unwrap();
    assert!(output.success());
    assert_eq!(output.stdout, b"fine");
    assert!(!guest.run("/usr/bin/false", &[]).unwrap().success());

    guest.copy_in("/tmp/input", b"to the guest").unwrap();
    assert_eq!(guest.copy_out("/tmp/input").unwrap(), b"to the guest");

    guest.causes::<events::Stop>(Stop::new()).unwrap();
    assert!(guest.has_command("query-status").unwrap());
    assert!(!guest.has_command("not-a-command").unwrap());

    assert!(guest.frozen(|_| Ok(inside.with_guest(|guest| guest.is_frozen()))).unwrap());
    let failed: qmp_client::Result<()> = guest.frozen(|_| Err(Error::Lagged(1)));
    assert!(failed.is_err());
    assert!(!inside.with_guest(|guest| guest.is_frozen()));

    assert_eq!(guest.shut_down().unwrap().by, EndedBy::Guest);
}

#[test]
fn an_agent_that_starts_late_is_waited_for() {
    let inside = AgentSimulator::new();
    let mut attempts = 0;
    let found = wait_for_agent(
        |_| {
            attempts += 1;
            if attempts < 3 { Err(Error::Lagged(0)) } else { agent(&inside) }
        },
        PATIENCE,
    );
    found.unwrap().ping(PATIENCE).unwrap();
    assert_eq!(attempts, 3);
    assert!(wait_for_agent(|_| Err(Error::Lagged(0)), Duration::ZERO).is_err());
}

async fn controller(simulator: &Simulator) -> (Controller, qmp_client::Client) {
    let stream = simulator.connect().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::UnixStream::from_std(stream).unwrap();
    let (connecting, driver) = qmp_client::tokio::over(stream, &Options::new());
    tokio::spawn(driver);
    let vm = connecting.await.unwrap();
    (Controller::adopt(vm.clone()).await.unwrap(), vm)
}

async fn ended(controller: &Controller) -> Option<State> {
    let state = controller.wait_until(|state| matches!(state, State::Ended(_)));
    tokio::time::timeout(PATIENCE, state).await.expect("the end is reported")
}

#[tokio::test]
async fn a_machine_is_started_and_stopped() {
    let machine = Simulator::builder().paused(true).build();
    let (controller, _) = controller(&machine).await;
    assert!(matches!(controller.state(), State::Paused(_)));

    controller.start().await.unwrap();
    assert_eq!(controller.wait_until(|state| *state == State::Running).await, Some(State::Running));
    controller.pause().await.unwrap();
    let paused = State::Paused(RunState::Paused);
    assert_eq!(controller.wait_until(|state| *state == paused).await.as_ref(), Some(&paused));

    // A guest that is paused is resumed, so that it can shut down.
    let end = controller.stop(PATIENCE).await.unwrap();
    assert_eq!(end.by, EndedBy::Guest);
    assert_eq!(ended(&controller).await, Some(State::Ended(Some(ShutdownCause::GuestShutdown))));
}

#[tokio::test]
async fn a_guest_that_does_not_shut_down_is_ended() {
    let machine = Simulator::builder().guest_obeys_powerdown(false).build();
    let (controller, _) = controller(&machine).await;
    let end = controller.stop(Duration::from_millis(100)).await.unwrap();
    assert_eq!(end.by, EndedBy::Quit);
    assert_eq!(ended(&controller).await, Some(State::Ended(Some(ShutdownCause::HostQmpQuit))));
}

/// A controller that cannot tell them apart restarts a machine for a reset of its own.
#[tokio::test]
async fn a_reset_by_the_guest_is_told_apart() {
    let machine = Simulator::new();
    let (controller, _) = controller(&machine).await;
    controller.restart(PATIENCE).await.unwrap();
    assert_eq!(controller.guest_resets(), 0);
    machine.reset_guest();
    // Events are followed in order: when this pause is visible, so is the reset before it.
    controller.pause().await.unwrap();
    controller.wait_until(|state| matches!(state, State::Paused(_))).await.unwrap();
    assert_eq!(controller.guest_resets(), 1);
}

/// The end is known with the reason that QEMU gives, also if another client caused it.
#[tokio::test]
async fn an_end_that_others_cause_is_reported() {
    let machine = Simulator::new();
    let (controller, vm) = controller(&machine).await;
    let _ = vm.execute(Quit::new()).await;
    assert_eq!(ended(&controller).await, Some(State::Ended(Some(ShutdownCause::HostQmpQuit))));

    // A connection that is cut tells nothing.
    let machine = Simulator::new();
    let (controller, vm) = self::controller(&machine).await;
    vm.close();
    assert_eq!(ended(&controller).await, Some(State::Ended(None)));
}
