//! Many monitors in one process, each of which sends an event a second.
//!
//! The server is another process of this program. It puts the time into each event when it sends it,
//! from which the client has the delay until a task has received it decoded.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use qmp_client::Client;
use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{SystemPowerdown, SystemWakeup};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::entry::Task;
use crate::measure::Meter;
use crate::{Anything, serve};

/// A monitor besides the others, which sends ten thousand events a second.
#[derive(Clone, Copy)]
enum Noise {
    None,
    /// They are received.
    Received,
    /// No task receives them: the queue of the subscription is full.
    Dropped,
}

const BURST: usize = 1_000;
const BETWEEN_BURSTS: Duration = Duration::from_millis(100);

pub fn thousand(task: &Task<'_>) -> Anything<f64> {
    measure(task, 1_000, Noise::None)
}

pub fn ten_thousand(task: &Task<'_>) -> Anything<f64> {
    measure(task, 10_000, Noise::None)
}

pub fn one_floods(task: &Task<'_>) -> Anything<f64> {
    measure(task, 10_000, Noise::Received)
}

pub fn one_is_not_read(task: &Task<'_>) -> Anything<f64> {
    measure(task, 10_000, Noise::Dropped)
}

/// Returns the processor time of each event, and notes how long events took to arrive.
#[tokio::main(flavor = "current_thread")]
async fn measure(task: &Task<'_>, monitors: usize, noise: Noise) -> Anything<f64> {
    allow_files();
    let server = Server::start(&format!("{}-pace-{}", task.path, std::process::id()))?;
    let delays = Arc::new(Mutex::new(Vec::new()));
    let mut clients = Vec::new();
    for _ in 0..monitors {
        let client = Client::connect(&server.1).await?;
        tokio::spawn(record(client.clone(), delays.clone()));
        clients.push(client);
    }
    let noisy = Client::connect(&server.1).await?;
    let mut flood = noisy.events::<AnyEvent>();
    noisy.execute(SystemWakeup::new()).await?;
    noisy.execute(SystemPowerdown::new()).await?;
    let unread = match noise {
        Noise::Received => {
            tokio::spawn(async move { while let Some(Ok(_)) = flood.next().await {} });
            None
        }
        Noise::Dropped => Some(flood),
        Noise::None => {
            noisy.close();
            None
        }
    };
    // The second in which everything starts is not counted.
    tokio::time::sleep(Duration::from_secs(1)).await;
    delays.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let meter = Meter::start();
    tokio::time::sleep(Duration::from_secs(task.count as u64)).await;
    let mut delays = std::mem::take(&mut *delays.lock().unwrap_or_else(PoisonError::into_inner));
    let cost = meter.each(delays.len());
    drop(unread);
    if delays.len() < monitors * task.count / 2 {
        return Err(format!("only {} events arrived", delays.len()).into());
    }
    delays.sort_unstable();
    task.note("p50, us", f64::from(delays[delays.len() / 2]));
    task.note("p99, us", f64::from(delays[delays.len() * 99 / 100]));
    Ok(cost)
}

/// Records the delay of each event of a monitor, in microseconds.
async fn record(client: Client, delays: Arc<Mutex<Vec<u32>>>) {
    let mut events = client.events::<AnyEvent>();
    while let Some(Ok(event)) = events.next().await {
        let Some(sent) = event.timestamp.system_time() else { return };
        let delay = sent.elapsed().unwrap_or_default().as_micros();
        let delay = u32::try_from(delay).unwrap_or(u32::MAX);
        delays.lock().unwrap_or_else(PoisonError::into_inner).push(delay);
    }
}

/// Allows as many open files as this process may have.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The server's process, killed on drop, and the path of its socket.
struct Server(Child, String);

impl Server {
    fn start(path: &str) -> Anything<Self> {
        let child = Command::new(std::env::current_exe()?).args(["pace", path]).spawn()?;
        let server = Self(child, path.to_owned());
        serve::wait_for(path);
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

type Streams = Arc<Mutex<Vec<Arc<UnixStream>>>>;

/// Serves the socket `path`. `system_wakeup` makes its monitor the one that floods, and
/// `system_powerdown` starts the events of all.
pub fn serve(path: &str) -> Anything {
    allow_files();
    let listener = UnixListener::bind(path)?;
    let streams = Streams::default();
    for stream in listener.incoming() {
        let (stream, streams) = (Arc::new(stream?), streams.clone());
        let thread = std::thread::Builder::new().stack_size(64 * 1024);
        thread.spawn(move || answer(&stream, &streams))?;
    }
    Ok(())
}

/// Serves a client until it disconnects.
fn answer(stream: &Arc<UnixStream>, streams: &Streams) -> Option<()> {
    let mut output = &**stream;
    output.write_all(serve::GREETING).ok()?;
    let mut lines = BufReader::with_capacity(512, &**stream);
    let mut line = String::new();
    while lines.read_line(&mut line).ok()? > 0 {
        if line.contains("qmp_capabilities") {
            streams.lock().ok()?.push(stream.clone());
        } else if line.contains("system_wakeup") {
            let stream = stream.clone();
            streams.lock().ok()?.retain(|other| !Arc::ptr_eq(other, &stream));
            std::thread::spawn(move || flood(&stream));
        } else if line.contains("system_powerdown") {
            let streams = streams.lock().ok()?.clone();
            std::thread::spawn(move || pace(&streams));
        }
        output.write_all(serve::reply(&line, "{}").as_bytes()).ok()?;
        line.clear();
    }
    None
}

/// Returns an event that happens now.
fn event() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, microseconds) = (now.as_secs(), now.subsec_micros());
    format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
         \"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {{\"type\": \"mirror\", \"device\": \
         \"drive0\", \"len\": 10737418240, \"offset\": 10737418240, \"speed\": 0}}}}\r\n"
    )
}

/// Sends an event a second to each, evenly spread over the second.
fn pace(streams: &[Arc<UnixStream>]) -> Option<()> {
    let between = Duration::from_secs(1) / u32::try_from(streams.len()).ok()?;
    let mut due = Instant::now();
    loop {
        for stream in streams {
            due += between;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            (&**stream).write_all(event().as_bytes()).ok()?;
        }
    }
}

/// Sends ten thousand events a second to one.
fn flood(mut stream: &UnixStream) -> Option<()> {
    loop {
        stream.write_all(event().repeat(BURST).as_bytes()).ok()?;
        std::thread::sleep(BETWEEN_BURSTS);
    }
}
