//! Runs a program up to a point, kills it, and finds out what it has left.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::left::{Left, Removal, remove};
use crate::programs::Program;
use crate::relay::{Gate, Point, Relay};
use crate::state::Change;
use crate::vm::{PATIENCE, eventually};

/// The name of the program that is to be run.
pub const PROGRAM: &str = "QMP_KILL_PROGRAM";
/// Its arguments, a line each.
pub const ARGUMENTS: &str = "QMP_KILL_ARGUMENTS";
/// Marks all processes that descend from it.
const MARK: &str = "QMP_KILL_MARK";
/// The time in which the processes of a killed program have to end.
const SOON: Duration = Duration::from_secs(10);

/// When a program is killed.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Point(Point),
    /// At a time after its start.
    Later(Duration),
}

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    /// The number of messages that were passed on, and the last message.
    pub messages: (usize, String),
    pub took: Duration,
    /// Whether the program came to its end, and not whether that was reached by killing it.
    pub succeeded: Option<bool>,
    /// The changes that the program may leave, and those that nothing explains.
    pub found: Vec<(Left, Change)>,
    pub unexplained: Vec<Change>,
}

/// Runs a program, kills it, and removes what it has left. Returns the bench for the next run, unless
/// that needs a new one.
pub fn run(program: &Program, mut bench: Bench, when: When) -> (Run, Option<Bench>) {
    let log = bench.files.path("log");
    File::create(&log).unwrap();
    let before = bench.state();
    let mark = mark();
    let (messages, took, succeeded) = execute(program, &bench, when, &mark);
    let expects_processes = program.left.iter().any(|left| left.keeps_processes());
    let mut after = bench.state();
    for (id, name) in left_processes(&mark, expects_processes) {
        after.add_process(&format!("{id} {name}"));
    }
    let (found, unexplained) = explain(program, before.changes(&after));
    let mut run = Run { messages, took, succeeded, found, unexplained };
    if !run.unexplained.is_empty() || succeeded == Some(false) {
        println!("{}", std::fs::read_to_string(&log).unwrap_or_default());
        return (run, None);
    }
    if remove(&mut bench, &run.found) == Removal::Restart {
        return (run, None);
    }
    // The guest may react now, or QEMU may, to what has been removed.
    let (late, rest) = explain(program, before.changes(&bench.state()));
    let is_effect = |(left, _): &(Left, Change)| left.words().is_none() || program.is_alone;
    let (effects, remaining): (Vec<_>, Vec<_>) = late.into_iter().partition(is_effect);
    run.unexplained = remaining.into_iter().map(|(_, change)| change).collect();
    if effects.is_empty() {
        run.unexplained.extend(rest);
    }
    let is_as_before = effects.is_empty() && run.unexplained.is_empty();
    (run, is_as_before.then_some(bench))
}

/// Tells what the program is expected to leave from what it is not. A file or a socket that QEMU has
/// open belongs to something else, and is unexplained alone.
fn explain(program: &Program, changes: Vec<Change>) -> (Vec<(Left, Change)>, Vec<Change>) {
    let mut found = Vec::new();
    let (mut open, mut unexplained) = (Vec::new(), Vec::new());
    for change in changes {
        let known = program.left.iter().chain(program.effects);
        let known = known.copied().find(|left| left.explains(&change));
        match known {
            Some(left) => found.push((left, change)),
            None if change.what.contains("open ") => open.push(change),
            None => unexplained.push(change),
        }
    }
    if found.is_empty() {
        unexplained.extend(open);
    }
    (found, unexplained)
}

/// Runs the program until it is killed, or ends.
fn execute(
    program: &Program,
    bench: &Bench,
    when: When,
    mark: &str,
) -> ((usize, String), Duration, Option<bool>) {
    let (point, latest) = match when {
        When::Point(point) => (point, PATIENCE * 2),
        When::Later(latest) => (Point::End, latest),
    };
    let gate = Gate::new(point);
    let relays: Vec<_> = bench
        .servers
        .iter()
        .map(|it| Relay::listen(&bench.relay(it.name), &it.path, it.outlives, &gate))
        .collect();
    let log = || File::options().append(true).open(bench.files.path("log")).unwrap();
    let begin = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "program", "--nocapture"])
        .env(PROGRAM, program.name)
        .env(ARGUMENTS, (program.arguments)(bench).join("\n"))
        .env(MARK, mark)
        .env("QMP_KILL_QEMU", &bench.qemu)
        .stdin(Stdio::null())
        .stdout(log())
        .stderr(log())
        .spawn()
        .unwrap();
    let succeeded = loop {
        if gate.is_closed_soon() || begin.elapsed() >= latest {
            // It may have ended just now.
            let _ = child.kill();
            child.wait().unwrap();
            let is_hung = matches!(when, When::Point(_)) && begin.elapsed() >= latest;
            break is_hung.then_some(false);
        }
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status.success());
        }
        (program.stimulus)(bench, gate.passed().0);
    };
    let took = begin.elapsed();
    drop(relays);
    (gate.passed(), took, succeeded)
}

fn mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until no process of a program is left, unless some are expected, and returns those that are.
fn left_processes(mark: &str, are_expected: bool) -> Vec<(u32, String)> {
    let begin = Instant::now();
    let entry = format!("{MARK}={mark}\0");
    loop {
        let found: Vec<_> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter_map(|id| Some((id, std::fs::read(format!("/proc/{id}/environ")).ok()?)))
            .filter(|(_, all)| all.windows(entry.len()).any(|part| part == entry.as_bytes()))
            .map(|(id, _)| (id, std::fs::read_to_string(format!("/proc/{id}/comm"))))
            .map(|(id, name)| (id, name.unwrap_or_default().trim().to_owned()))
            .collect();
        if found.is_empty() || are_expected || begin.elapsed() > SOON {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills a process that was left.
pub fn end(change: &Change) {
    let id = change.what.split(' ').nth(1).unwrap_or_default();
    let killed = Command::new("kill").args(["-s", "KILL", id]).status().unwrap();
    assert!(killed.success(), "{change:?}");
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    eventually("the process to end", || !runs());
}
