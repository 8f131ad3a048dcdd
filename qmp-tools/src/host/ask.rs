//! Asks machines for their state, all at the same time, and none whose monitor is held.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::{Address, Options};

use super::command_line::Program;
use super::endpoint::Role;
use super::machine::Machine;
use super::survey::Use;

/// The number of machines that are asked at the same time.
const AT_ONCE: usize = 32;

/// The answer of a machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Answer {
    /// The state, in QMP's terms, such as `running`.
    pub(super) state: Option<String>,
    /// The version of QEMU.
    pub(super) version: Option<String>,
    /// Whether the machine was asked and did not answer in time.
    pub(super) is_silent: bool,
}

/// Asks the machines that have a free monitor, and waits for each at most `within`.
pub(super) fn all(machines: &[Machine], uses: &[Vec<Use>], within: Duration) -> Vec<Answer> {
    let answers: Vec<_> = machines.iter().map(|_| Mutex::new(Answer::default())).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(machine), Some(uses), Some(answer)) =
                (machines.get(index), uses.get(index), answers.get(index))
            else {
                return;
            };
            if let Some(address) = free_monitor(machine, uses) {
                if let Ok(mut answer) = answer.lock() {
                    *answer = ask(address, machine.program, within);
                }
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE.min(machines.len()) {
            // Without a further thread, fewer machines are asked at the same time.
            if std::thread::Builder::new().spawn_scoped(threads, work).is_err() {
                break;
            }
        }
    });
    // If no thread could be started.
    work();
    answers.into_iter().map(|answer| answer.into_inner().unwrap_or_default()).collect()
}

/// Returns the monitor that a machine can be asked over without being disturbed.
fn free_monitor<'a>(machine: &'a Machine, uses: &[Use]) -> Option<&'a Address> {
    // A stopped process answers nothing, and would find the connection later.
    if machine.status.is_some_and(|status| status.is_stopped()) {
        return None;
    }
    let monitors = machine.monitors().zip(uses);
    let mut free = monitors
        .filter(|(monitor, used)| monitor.role == Role::Qmp && **used == Use::Free)
        .filter_map(|(monitor, _)| monitor.reachable());
    free.next()
}

fn ask(address: &Address, program: Program, within: Duration) -> Answer {
    let options = Options::new().greeting_within(within).calls_within(within);
    let client = match Client::connect_with(address, &options) {
        Ok(client) => client,
        Err(error) => return Answer { is_silent: error.is_timeout(), ..Answer::default() },
    };
    let version = Some(client.version().to_string());
    if program == Program::StorageDaemon {
        return Answer { state: Some("running".to_owned()), version, is_silent: false };
    }
    match client.execute(QueryStatus::new()) {
        Ok(info) => Answer { state: Some(info.status.to_string()), version, is_silent: false },
        Err(error) => Answer { state: None, version, is_silent: error.is_timeout() },
    }
}
