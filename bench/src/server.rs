//! Measures servers: this project's on threads and on tokio, and one that only reads and writes.
//!
//! The server runs in this process, and its clients in another one, so that the processor time of this
//! one is the server's.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use qmp_client::qmp::INTROSPECTION;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::qmp::events::BlockJobCompleted;
use qmp_client::qmp::types::{JobType, RunState, StatusInfo};
use qmp_server::{Context, Router, Server};

use crate::Anything;
use crate::measure::{Meter, resident};
use crate::serve;

/// The number of clients of the jobs `broadcast` and `monitors`.
const MONITORS: usize = 1_000;

const NEGOTIATE: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";
const NEGOTIATE_OOB: &[u8] =
    b"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}\n";

/// Measures a server at a job. `monitors` also prints the number of its threads.
pub fn run(name: &str, job: &str, count: usize, path: &str) -> Anything<f64> {
    let path = format!("{path}-{}", std::process::id());
    let listener = UnixListener::bind(&path)?;
    let result = serve(name, job, count, &path, &listener);
    std::fs::remove_file(&path)?;
    result
}

fn serve(
    name: &str,
    job: &str,
    count: usize,
    path: &str,
    listener: &UnixListener,
) -> Anything<f64> {
    let server = server()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (memory_before, threads_before) = (resident(), threads());
    let mut raw = Vec::new();
    let mut clients = Clients::start(job, count, path)?;
    let connected = if job.starts_with("command") { 1 } else { MONITORS };
    match name {
        "raw" if connected == 1 => {
            let (stream, _) = listener.accept()?;
            std::thread::spawn(move || serve::answer(&stream, 0));
        }
        "raw" => {
            for _ in 0..connected {
                let (mut stream, _) = listener.accept()?;
                stream.write_all(serve::GREETING)?;
                stream.read(&mut [0; 100])?;
                stream.write_all(b"{\"return\": {}}\r\n")?;
                raw.push(stream);
            }
        }
        "threads" => (0..connected).try_for_each(|_| server.spawn(listener.accept()?.0))?,
        _ => {
            let (server, listener) = (server.clone(), listener.try_clone()?);
            runtime.spawn(async move { qmp_server::tokio::serve_unix(&server, &listener).await });
        }
    }
    clients.wait()?;
    match job {
        "broadcast" => {
            let meter = Meter::start();
            for _ in 0..count {
                match name {
                    "raw" => raw.iter_mut().try_for_each(|raw| raw.write_all(serve::EVENT))?,
                    _ => server.events().emit(&event()),
                }
                // Until all of them have got it: a server may send in the background.
                clients.go_on()?;
                clients.wait()?;
            }
            Ok(meter.each(count * MONITORS))
        }
        "monitors" => {
            // Threads without work end.
            std::thread::sleep(Duration::from_secs(7));
            eprintln!("{name}: {} threads", threads() - threads_before);
            Ok((resident() - memory_before) / MONITORS as f64)
        }
        _ => {
            let meter = Meter::start();
            clients.go_on()?;
            clients.wait()?;
            Ok(meter.each(count))
        }
    }
}

fn server() -> Anything<Server<()>> {
    let router = Router::new().introspection(INTROSPECTION).event::<BlockJobCompleted>().command(
        |(): &mut (), _: QueryStatus, _: &mut Context| Ok(StatusInfo::new(true, RunState::Running)),
    );
    Ok(Server::builder(router).build(())?)
}

fn event() -> BlockJobCompleted {
    BlockJobCompleted::new(JobType::Mirror, "drive0", 10_737_418_240, 10_737_418_240, 0)
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The process of the clients.
struct Clients {
    process: Child,
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Clients {
    fn start(job: &str, count: usize, path: &str) -> Anything<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["clients", job, &count.to_string(), path]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("no input")?;
        let reports = BufReader::new(process.stdout.take().ok_or("no output")?);
        Ok(Self { process, orders, reports })
    }

    fn go_on(&mut self) -> Anything {
        Ok(self.orders.write_all(b"\n")?)
    }

    /// Waits until the clients have done what they were told.
    fn wait(&mut self) -> Anything {
        match self.reports.read_line(&mut String::new())? {
            0 => Err("the clients failed".into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the clients of a job: connects, and reports that on standard output; then waits for each order
/// on standard input, and reports when it is carried out.
pub fn clients(job: &str, count: usize, path: &str) -> Anything {
    let mut orders = std::io::stdin().lines();
    let mut report = || {
        println!();
        orders.next().transpose()
    };
    let negotiate = if job == "command-oob" { NEGOTIATE_OOB } else { NEGOTIATE };
    if job.starts_with("command") {
        let (mut stream, mut buffer) = (connect(path, negotiate)?, [0; 4096]);
        report()?;
        for _ in 0..count {
            stream.write_all(b"{\"execute\":\"query-status\",\"id\":1}\n")?;
            stream.read(&mut buffer)?;
        }
        report()?;
        return Ok(());
    }
    let monitors = (0..MONITORS).map(|_| connect(path, negotiate)).collect::<Result<Vec<_>, _>>()?;
    let mut buffer = vec![0; 64 * 1024];
    while report()?.is_some() {
        for mut monitor in &monitors {
            monitor.read(&mut buffer)?;
        }
    }
    Ok(())
}

fn connect(path: &str, negotiate: &[u8]) -> Anything<UnixStream> {
    let mut buffer = [0; 4096];
    let mut stream = UnixStream::connect(path)?;
    stream.read(&mut buffer)?;
    stream.write_all(negotiate)?;
    stream.read(&mut buffer)?;
    Ok(stream)
}
