//! Runs the entries of all jobs, and prints one table.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use crate::Anything;
use crate::entry::{Entry, Side};
use crate::jobs::{JOBS, Job};

const USAGE: &str = "usage: bench [--quick] [--runs COUNT] [JOB...]";

/// The jobs to be measured, and how often.
pub struct Plan {
    quick: bool,
    runs: usize,
    jobs: Vec<String>,
}

impl Plan {
    pub fn parse(arguments: &[String]) -> Anything<Self> {
        let mut plan = Self { quick: false, runs: 5, jobs: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => (plan.quick, plan.runs) = (true, 3),
                "--runs" => plan.runs = arguments.next().ok_or(USAGE)?.parse()?,
                job if JOBS.iter().any(|known| known.name == job) => plan.jobs.push(job.to_owned()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }

    pub fn run(&self) -> Anything {
        println!("| job | client | median | min..max | over floor | over best peer |");
        println!("| --- | --- | --- | --- | --- | --- |");
        for job in JOBS {
            if self.jobs.is_empty() || self.jobs.iter().any(|name| name == job.name) {
                self.measure(job)?;
            }
        }
        Ok(())
    }

    /// Runs all entries of a job in turn, so that what else the machine does disturbs all of them.
    fn measure(&self, job: &Job) -> Anything {
        let count = if self.quick { job.quick } else { job.count };
        let entries: Vec<Entry> = job.entries().collect();
        let mut results: Vec<Figures> = entries.iter().map(|_| Figures::default()).collect();
        let server = Server::start(count)?;
        let runs = if self.quick && job.counted.is_none() { 1 } else { self.runs };
        for _ in 0..runs {
            for (entry, figures) in entries.iter().zip(&mut results) {
                figures.add(run(job, entry, count, &server.1)?);
            }
        }
        print(job, &entries, &results);
        Ok(())
    }
}

/// The server's process, killed on drop, and the path of its socket.
struct Server(Child, String);

impl Server {
    fn start(count: usize) -> Anything<Self> {
        let path = std::env::temp_dir().join(format!("bench-{}", std::process::id()));
        let path = path.display().to_string();
        let child = this_program(["serve", &path, &count.to_string()])?.spawn()?;
        let server = Self(child, path);
        crate::serve::wait_for(&server.1);
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

/// Returns a command that runs this program on one processor, if `taskset` exists: waking another one
/// costs several times what is measured here.
fn this_program<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Anything<Command> {
    let program = std::env::current_exe()?;
    let pinned = Command::new("taskset").args(["-c", "0", "true"]).stderr(Stdio::null()).status();
    let mut command = match pinned.is_ok_and(|status| status.success()) {
        true => {
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.args(arguments);
    Ok(command)
}

/// Runs an entry in a process of its own. Returns what it prints; nothing, if it fails.
fn run(job: &Job, entry: &Entry, count: usize, path: &str) -> Anything<String> {
    let mut command = this_program(["job", entry.client, job.name, &count.to_string(), path])?;
    let output = command.output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let error = errors.lines().last().unwrap_or_default();
        eprintln!("{} of {} fails: {error}", job.name, entry.client);
        return Ok(String::new());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The figures of the runs of one entry, by name: "" is the job's own, and others are notes.
#[derive(Default)]
struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    fn add(&mut self, output: String) {
        for line in output.lines() {
            let (figure, name) = line.split_once('\t').unwrap_or((line, ""));
            if let Ok(figure) = figure.parse() {
                let figures = self.0.entry(name.to_owned()).or_default();
                figures.push(figure);
                figures.sort_by(f64::total_cmp);
            }
        }
    }

    fn median(&self, name: &str) -> Option<f64> {
        let figures = self.0.get(name)?;
        figures.get(figures.len() / 2).copied()
    }
}

/// Prints the rows of a job, and those of its notes.
fn print(job: &Job, entries: &[Entry], results: &[Figures]) {
    let mut names: Vec<&str> = vec![""];
    names.extend(results.iter().flat_map(|figures| figures.0.keys()).map(String::as_str));
    names.sort_unstable();
    names.dedup();
    for name in names {
        let title = match name {
            "" => format!("{}, {}", job.name, job.unit),
            _ => format!("{}: {name}", job.name),
        };
        let rows = Rows { job, name, rows: entries.iter().zip(results).collect() };
        for (entry, figures) in &rows.rows {
            match (figures.0.get(name), figures.median(name)) {
                (Some(all), Some(median)) => println!(
                    "| {title} | {} | {median:.2} | {:.2}..{:.2} | {} | {} |",
                    entry.client,
                    all[0],
                    all[all.len() - 1],
                    rows.over_floor(entry, median),
                    rows.over_peer(entry, median)
                ),
                _ if name.is_empty() => println!("| {title} | {} | fails |  |  |  |", entry.client),
                _ => {}
            }
        }
    }
}

/// The figures of all entries under one name.
struct Rows<'a> {
    job: &'a Job,
    name: &'a str,
    rows: Vec<(&'a Entry, &'a Figures)>,
}

impl Rows<'_> {
    /// Returns how many times the cost of `other` something costs.
    fn cost(&self, median: f64, other: f64) -> f64 {
        if self.job.is_rate() { other / median } else { median / other }
    }

    fn of_client(&self, client: &str) -> Option<f64> {
        let (_, figures) = self.rows.iter().find(|(entry, _)| entry.client == client)?;
        figures.median(self.name)
    }

    /// Returns how often an entry costs what the floors cost with which it is compared.
    fn over_floor(&self, entry: &Entry, median: f64) -> String {
        let first = self.rows.iter().find(|(entry, _)| entry.side == Side::Floor);
        let floors = first.map(|(entry, _)| entry.client).into_iter().chain(entry.over);
        let ratios = floors.filter(|floor| *floor != entry.client).filter_map(|floor| {
            let cost = self.cost(median, self.of_client(floor)?);
            // A floor without threads, for instance, is not a measure.
            cost.is_finite().then(|| format!("{cost:.2} {floor}"))
        });
        ratios.collect::<Vec<_>>().join(", ")
    }

    /// Returns how often an entry of ours costs what the best of the other clients costs.
    fn over_peer(&self, entry: &Entry, median: f64) -> String {
        let peers = self.rows.iter().filter(|(entry, _)| entry.side == Side::Peer);
        let costs = peers
            .filter_map(|(peer, figures)| {
                Some((peer.client, self.cost(median, figures.median(self.name)?)))
            })
            .max_by(|(_, one), (_, other)| one.total_cmp(other));
        match costs {
            Some((peer, cost)) if entry.side == Side::Ours => format!("{cost:.2} {peer}"),
            _ => String::new(),
        }
    }
}
