//! Measures the costs of clients side by side, in one run. See README.md.
//!
//! Each job of each client runs in a separate process, which measures itself. This process starts the
//! server and the jobs, and prints the table.

mod clients;
mod decode;
mod measure;
mod ours;
mod serve;
mod server;

use std::error::Error;
use std::process::{Child, Command, Stdio};

pub type Anything<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A client and the jobs that it can do.
struct Row {
    name: &'static str,
    jobs: &'static [&'static str],
}

/// The number of events in the flood.
const EVENTS: usize = 200_000;

/// The jobs, and how often each is done.
const JOBS: [(&str, usize); 4] =
    [("status", 20_000), ("flood", EVENTS), ("idle", 2_000), ("decode", 100)];

const ROWS: [Row; 9] = [
    Row { name: "raw", jobs: &["status", "flood", "idle", "decode"] },
    Row { name: "tokio-loop", jobs: &["status"] },
    Row { name: "blocking", jobs: &["status", "flood", "idle", "decode"] },
    Row { name: "tokio", jobs: &["status", "flood", "idle"] },
    Row { name: "tokio-spawned", jobs: &["status"] },
    Row { name: "qapi", jobs: &["status", "flood", "decode"] },
    Row { name: "qapi-tokio", jobs: &["status", "idle"] },
    Row { name: "qmp-rs", jobs: &["status", "flood", "idle"] },
    Row { name: "value", jobs: &["decode"] },
];

fn main() -> Anything {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", path, events] => serve::serve(path, events.parse()?),
        ["clients", job, count, path] => server::clients(job, count.parse()?, path),
        ["server", name, job, count] => {
            let path = std::env::temp_dir().join("bench-server").display().to_string();
            println!("{:.3}", server::run(name, job, count.parse()?, &path)?);
            Ok(())
        }
        ["job", name, job, count, path] => run(name, job, count.parse()?, path),
        _ => table(),
    }
}

fn run(name: &str, job: &str, count: usize, path: &str) -> Anything {
    let cost = match (name, job) {
        (_, "decode") => decode::run(name, count)?,
        ("blocking", _) => ours::blocking(job, count, path)?,
        ("tokio", _) => ours::tokio(job, count, path)?,
        ("tokio-spawned", _) => ours::tokio_spawned(count, path)?,
        ("raw", _) => clients::raw(job, count, path)?,
        ("tokio-loop", _) => clients::tokio_loop(count, path)?,
        ("qapi", _) => clients::qapi(job, count, path)?,
        ("qapi-tokio", _) => clients::qapi_tokio(job, count, path)?,
        _ => clients::qmp_rs(job, count, path)?,
    };
    println!("{cost}");
    Ok(())
}

/// The server's process, killed on drop, and the path of its socket.
struct Server(Child, String);

impl Server {
    fn start() -> Anything<Self> {
        let path = std::env::temp_dir().join(format!("bench-{}", std::process::id()));
        let path = path.display().to_string();
        let arguments = ["serve", &path, &EVENTS.to_string()];
        let child = Command::new(std::env::current_exe()?).args(arguments).spawn()?;
        while !std::path::Path::new(&path).exists() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(Self(child, path))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

fn table() -> Anything {
    let server = Server::start()?;
    println!("| | status, us CPU | flood, us CPU per event | idle, KiB | decode, MB/s |");
    println!("| --- | --- | --- | --- | --- |");
    for row in ROWS {
        let cells = JOBS.map(|(job, count)| match row.jobs.contains(&job) {
            true => best(row.name, job, count, &server.1),
            false => String::new(),
        });
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
    Ok(())
}

/// Returns the best of three runs, since other processes disturb them: the lowest cost, or the
/// highest rate.
fn best(name: &str, job: &str, count: usize, path: &str) -> String {
    let figures = (0..3).filter_map(|_| {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(["job", name, job, &count.to_string(), path]).stderr(Stdio::null());
        String::from_utf8(command.output().ok()?.stdout).ok()?.trim().parse::<f64>().ok()
    });
    let figures: Vec<f64> = figures.collect();
    let best = match job {
        "decode" => figures.into_iter().reduce(f64::max),
        _ => figures.into_iter().reduce(f64::min),
    };
    best.map_or("fails".to_owned(), |figure| format!("{figure:.2}"))
}
