//! Runs programs at many points, and counts what was left.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::bench::Bench;
use crate::programs::{PROGRAMS, Program};
use crate::relay::Point;
use crate::run::{When, run};

/// The number of moments at which a program is killed whose messages cannot be counted.
const MOMENTS: u32 = 24;
/// The number of points in an ordinary run of the tests, and the last message that is one.
const SOME: u32 = 3;
const LATEST: u64 = 24;

/// The results of all runs.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    seen: BTreeSet<(&'static str, String)>,
    violations: Vec<String>,
}

struct Row {
    program: &'static str,
    qemu: String,
    points: usize,
    with_something_left: usize,
    violations: usize,
    left: BTreeSet<String>,
}

impl Report {
    /// Kills the program at each point. A panic is a violation, and the other programs go on.
    pub fn every_point(&mut self, program: &'static Program, qemu: &str) {
        let runs = || {
            let all = points(program, qemu);
            self.kill(program, qemu, &all);
        };
        if std::panic::catch_unwind(AssertUnwindSafe(runs)).is_err() {
            self.violations.push(format!("{} on {qemu}: see the panic", program.name));
        }
    }

    /// Kills the program at a few points, some of which may come after its end.
    pub fn some_points(&mut self, program: &'static Program, qemu: &str, random: &mut Random) {
        let some = (0..SOME).map(|_| {
            if program.has_moments {
                return When::Later(Duration::from_millis(random.below(300)));
            }
            let number = 1 + random.below(LATEST) as usize;
            let is_before = random.below(2) == 0;
            When::Point(if is_before { Point::Before(number) } else { Point::After(number) })
        });
        let some: Vec<_> = some.collect();
        self.kill(program, qemu, &some);
    }

    fn kill(&mut self, program: &'static Program, qemu: &str, points: &[When]) {
        let mut row = Row {
            program: program.name,
            qemu: version(qemu),
            points: points.len(),
            with_something_left: 0,
            violations: 0,
            left: BTreeSet::new(),
        };
        let mut bench = None;
        for when in points {
            let used = bench.take().filter(|_| !program.is_alone);
            let (run, kept) = run(program, used.unwrap_or_else(|| (program.start)(qemu)), *when);
            bench = kept;
            let words: BTreeSet<_> =
                run.found.iter().filter_map(|(left, _)| left.words()).collect();
            row.with_something_left += usize::from(!words.is_empty());
            for words in words {
                row.left.insert(words.clone());
                self.seen.insert((program.name, words));
            }
            if !run.unexplained.is_empty() || run.succeeded == Some(false) {
                row.violations += 1;
                let (number, last) = &run.messages;
                self.violations.push(format!(
                    "{} on {} at {when:?} (message {number}: {}): {:?}, {:?}",
                    program.name,
                    row.qemu,
                    last.trim(),
                    run.unexplained,
                    run.succeeded,
                ));
                println!("{}", self.violations[self.violations.len() - 1]);
            }
        }
        println!("{}", row.text());
        self.rows.push(row);
    }

    /// Prints the table, and fails if a program has left something else. If `is_complete`, each thing
    /// that a page names must have been seen.
    pub fn finish(self, is_complete: bool) {
        println!("program | QEMU | points | with something left | violations | left");
        self.rows.iter().for_each(|row| println!("{}", row.text()));
        let total = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum::<usize>();
        println!(
            "{} points, {} with something left, {} violations",
            total(|row| row.points),
            total(|row| row.with_something_left),
            total(|row| row.violations)
        );
        assert!(self.violations.is_empty(), "{}", self.violations.join("\n"));
        let seen = |program: &Program, words: &str| {
            let mut seen = self.seen.iter();
            seen.any(|(name, it)| name.starts_with(program.example()) && it == words)
        };
        for program in PROGRAMS.iter().filter(|_| is_complete) {
            for words in program.left.iter().filter_map(|left| left.words()) {
                assert!(seen(program, &words), "{}: {words} was never left", program.name);
            }
        }
    }
}

impl Row {
    fn text(&self) -> String {
        let left: Vec<_> = self.left.iter().map(String::as_str).collect();
        let left = if left.is_empty() { "nothing".to_owned() } else { left.join("; ") };
        format!(
            "{} | {} | {} | {} | {} | {left}",
            self.program, self.qemu, self.points, self.with_something_left, self.violations
        )
    }
}

/// A generator of numbers, that of Knuth's MMIX.
pub struct Random(u64);

impl Random {
    /// Takes the seed from the environment.
    pub fn new() -> Self {
        let seed = std::env::var("QMP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(seed.unwrap_or(1))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // The upper bits are good.
        (self.0 >> 33) % limit
    }
}

/// Runs the program to its end, and returns the points at which it can be killed.
fn points(program: &Program, qemu: &str) -> Vec<When> {
    let bench: Bench = (program.start)(qemu);
    let (run, _) = run(program, bench, When::Point(Point::End));
    let name = program.name;
    assert_eq!(run.succeeded, Some(true), "{name} on {qemu}: {run:?}");
    assert!(run.unexplained.is_empty(), "{name} on {qemu}: {run:?}");
    if program.has_moments {
        let moment =
            |number: u32| When::Later(Duration::from_millis(1) + run.took * number / MOMENTS);
        return (0..MOMENTS).map(moment).collect();
    }
    assert!(run.messages.0 > 0, "{name} has sent nothing through the relay");
    Point::all(run.messages.0).map(When::Point).collect()
}

fn version(qemu: &str) -> String {
    let output = std::process::Command::new(qemu).arg("-version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split("version ").nth(1).and_then(|rest| rest.split([' ', '\n']).next());
    version.unwrap_or(qemu).to_owned()
}
