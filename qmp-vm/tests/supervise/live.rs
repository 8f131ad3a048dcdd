//! Real QEMUs: restarted, stopped, killed, and ones that connect to the client.
//!
//! `QMP_TEST_QEMUS` lists them, as for the cookbook.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use qmp_client::qmp::commands::{QueryStatus, Stop};
use qmp_vm::supervise::{Change, Ended, Fate, SameQemu};
use rustix::process::{Pid, Signal, kill_process};

use crate::front::{PATIENCE, SOON, live_scenarios, policy};
use crate::host::path;

fn qemus() -> Vec<String> {
    let named = |variable| std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
    let names = named("QMP_TEST_QEMUS").or_else(|| named("QMP_TEST_QEMU"));
    let names = names.unwrap_or_else(|| String::from("qemu-system-x86_64"));
    let names = names.split(['\n', ':']).map(str::trim).filter(|name| !name.is_empty());
    names.map(String::from).collect()
}

/// A QEMU that is killed when this is dropped.
struct Qemu(Child);

impl Qemu {
    /// Starts one that listens.
    fn listening(program: &str, path: &Path) -> Self {
        // A path has no comma here.
        let monitor = format!("unix:{},server=on,wait=off", path.display());
        Self::start(program, &["-qmp", &monitor])
    }

    fn start(program: &str, arguments: &[&str]) -> Self {
        let spawned = Command::new(program)
            .args(["-M", "none", "-nodefaults", "-display", "none"])
            .args(["-uuid", "550e8400-e29b-41d4-a716-446655440000"])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn();
        Self(spawned.unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn qemu_is_installed_if_it_is_required() {
    let required = std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0");
    assert!(!required || cfg!(qemu), "QMP_REQUIRE_QEMU is set, and QEMU is not installed");
}

live_scenarios! {
    /// The UUID is the same, and the process is not.
    fn a_qemu_that_is_restarted_is_another_one<F>() {
        for program in qemus() {
            let path = path();
            let _removed = Removed(path.clone());
            let mut qemu = Qemu::listening(&program, &path);
            let vm = F::dial(&path, policy());
            let mut changes = vm.changes();
            let Some(Change::Connected(first)) = F::get(changes.next()) else { panic!() };
            assert_eq!(first.identity.pid(), Some(qemu.0.id()));
            assert_eq!(first.identity.uuid(), Some("550e8400-e29b-41d4-a716-446655440000"));
            vm.reconnect();
            // The loss is left out if the connection has been made again by now.
            let second = loop {
                match F::get(changes.next()) {
                    Some(Change::Connected(connection)) => break connection,
                    change => assert!(matches!(change, Some(Change::Lost(_)))),
                }
            };
            assert_eq!(second.same_qemu, SameQemu::Same, "{program}");
            qemu.kill();
            assert!(matches!(F::get(changes.next()), Some(Change::Lost(_))));
            qemu = Qemu::listening(&program, &path);
            let Some(Change::Connected(third)) = F::get(changes.next()) else { panic!() };
            assert!(third.same_qemu.is_another(), "{program}: {}", third.same_qemu);
            F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
            drop(qemu);
        }
    }

    /// No one starts it again.
    fn the_end_of_the_process_may_be_the_end<F>() {
        for program in qemus() {
            let path = path();
            let _removed = Removed(path.clone());
            let mut qemu = Qemu::listening(&program, &path);
            let vm = F::dial(&path, policy().end_with_process());
            F::get(vm.client_within(PATIENCE)).unwrap();
            vm.reconnect();
            F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
            let pid = qemu.0.id();
            qemu.kill();
            let ended = F::get(vm.ended());
            assert!(matches!(ended, Ended::Process { pid: ended, .. } if ended == pid), "{ended:?}");
        }
    }

    /// The call fails in time, and nothing is lost but its outcome.
    fn a_qemu_that_is_stopped_by_a_signal<F>() {
        for program in qemus() {
            let path = path();
            let _removed = Removed(path.clone());
            let qemu = Qemu::listening(&program, &path);
            let vm = F::dial(&path, policy());
            F::get(vm.client_within(PATIENCE)).unwrap();
            qemu.signal(Signal::STOP);
            let error = F::get(vm.call(Stop::new()).within(SOON).execute()).unwrap_err();
            assert_eq!(error.fate, Fate::MaybeExecuted);
            // The connection is closed, and the next one is not greeted.
            vm.reconnect();
            let error = F::get(vm.call(Stop::new()).within(SOON).execute()).unwrap_err();
            assert_eq!(error.fate, Fate::NotExecuted, "{error:?}");
            qemu.signal(Signal::CONT);
            F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
        }
    }

    /// `reconnect` is the option of every release here; `reconnect-ms` replaces it since 9.2.
    fn a_qemu_that_connects<F>() {
        for program in qemus() {
            let path = path();
            let _removed = Removed(path.clone());
            let vm = F::accept(UnixListener::bind(&path).unwrap(), policy());
            let mut changes = vm.changes();
            let socket = |reconnect: &str| {
                let chardev = format!("socket,id=qmp,path={},{reconnect}", path.display());
                Qemu::start(&program, &["-chardev", &chardev, "-mon", "chardev=qmp,mode=control"])
            };
            let mut qemu = socket("reconnect=1");
            let first = loop {
                match F::get(changes.next_within(Duration::from_millis(50))) {
                    Some(Ok(Change::Connected(first))) => break first,
                    Some(Err(_)) if qemu.0.try_wait().unwrap().is_some() => {
                        qemu = socket("reconnect-ms=100");
                    }
                    Some(Err(error)) if error.is_timeout() => {}
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(first.identity.pid(), Some(qemu.0.id()));
            for _ in 0..2 {
                vm.reconnect();
                // The loss is left out if the connection has been made again by now.
                let again = loop {
                    match F::get(changes.next()) {
                        Some(Change::Connected(connection)) => break connection,
                        change => assert!(matches!(change, Some(Change::Lost(_)))),
                    }
                };
                assert!(again.same_qemu.is_same(), "{program}: {}", again.same_qemu);
            }
            F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
        }
    }
}
