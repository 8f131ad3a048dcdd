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

use crate::entry::Task;
use crate::measure::{Meter, resident};
use crate::{Anything, floors, serve};

/// The number of clients of the jobs `broadcast` and `monitors`.
const MONITORS: usize = 1_000;

const NEGOTIATE: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";
const NEGOTIATE_OOB: &[u8] =
    b"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}\n";

/// Measures a server at a job. `monitors` also notes the number of its threads.
pub fn run(name: &str, job: &str, task: &Task<'_>) -> Anything<f64> {
    let path = format!("{}-{}", task.path, std::process::id());
    let listener = UnixListener::bind(&path)?;
    let result = serve(name, job, task, &path, &listener);
    std::fs::remove_file(&path)?;
    result
}

fn serve(
    name: &str,
    job: &str,
    task: &Task<'_>,
    path: &str,
    listener: &UnixListener,
) -> Anything<f64> {
    let count = task.count;
    let server = server()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (memory_before, threads_before) = (resident(), threads());
    let (mut raw, mut in_runtime) = (Vec::new(), Vec::new());
    let mut clients = Clients::start(job, count, path)?;
    let connected = if job.starts_with("command") { 1 } else { MONITORS };
    match name {
        "raw" if connected == 1 => {
            let (stream, _) = listener.accept()?;
            std::thread::spawn(move || serve::answer(&stream, 0));
        }
        "raw" => {
            for _ in 0..connected {
                raw.push(accept(listener)?);
            }
        }
        "tokio-loop" => {
            let _context = runtime.enter();
            for _ in 0..connected {
                let stream = accept(listener)?;
                stream.set_nonblocking(true)?;
                in_runtime.push(tokio::net::UnixStream::from_std(stream)?);
            }
            if connected == 1 {
                in_runtime.drain(..).for_each(|stream| drop(runtime.spawn(floors::answer(stream))));
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
                    "tokio-loop" => runtime.block_on(async {
                        for stream in &in_runtime {
                            stream.writable().await?;
                            stream.try_write(serve::EVENT)?;
                        }
                        Anything::Ok(())
                    })?,
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
            task.note("threads", (threads() - threads_before) as f64);
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

/// Accepts a client without a server, up to the end of the negotiation.
fn accept(listener: &UnixListener) -> Anything<UnixStream> {
    let (mut stream, _) = listener.accept()?;
    stream.write_all(serve::GREETING)?;
    stream.read(&mut [0; 100])?;
    stream.write_all(b"{\"return\": {}}\r\n")?;
    Ok(stream)
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
    let monitors =
        (0..MONITORS).map(|_| connect(path, negotiate)).collect::<Result<Vec<_>, _>>()?;
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
