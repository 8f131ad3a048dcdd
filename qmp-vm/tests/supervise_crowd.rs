//! Many supervised connections, some of which stall or die: the others do not notice.
//!
//! `QMP_SUPERVISE_CROWD` sets the number of connections, 100 by default, and
//! `QMP_SUPERVISE_SECONDS` the length of each part. The figures are printed. A busy host delays all
//! calls alike; `chrt -f 1` before the program makes the figures those of an idle one.

#![cfg(all(target_os = "linux", feature = "tokio"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::QueryStatus;
use qmp_client::{Client, Options};
use qmp_vm::supervise::{Supervised, Supervision};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";
const PATIENCE: Duration = Duration::from_secs(120);

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

/// A machine, which can stall and die.
#[derive(Default)]
struct Machine {
    stalls: AtomicBool,
    resumes: Notify,
    dies: Notify,
}

impl Machine {
    fn resume(&self) {
        self.stalls.store(false, Ordering::Relaxed);
        self.resumes.notify_one();
    }

    /// Answers commands, as cheaply as possible, until it dies.
    async fn serve(self: Arc<Self>, mut stream: DuplexStream) {
        tokio::select! {
            () = self.dies.notified() => {}
            _ = self.answer(&mut stream) => {}
        }
    }

    async fn answer(&self, stream: &mut DuplexStream) -> Option<()> {
        stream.write_all(GREETING.as_bytes()).await.ok()?;
        let (mut text, mut piece) = (Vec::new(), [0; 256]);
        loop {
            let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
            while self.stalls.load(Ordering::Relaxed) {
                self.resumes.notified().await;
            }
            text.extend_from_slice(&piece[..count]);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&text[..end]).into_owned();
                text.drain(..=end);
                let id = line.rsplit("\"id\":").next()?;
                let id: String = id.chars().take_while(char::is_ascii_digit).collect();
                let value = if line.contains("query-status") {
                    "{\"status\": \"running\", \"running\": true}"
                } else if line.contains("query-uuid") {
                    "{\"UUID\": \"00000000-0000-0000-0000-000000000000\"}"
                } else {
                    "{}"
                };
                let reply = format!("{{\"return\": {value}, \"id\": {id}}}\r\n");
                stream.write_all(reply.as_bytes()).await.ok()?;
            }
            if text.is_empty() {
                text = Vec::new();
            }
        }
    }
}

struct Crowd {
    machines: Vec<Arc<Machine>>,
    vms: Vec<Supervised<Client>>,
}

impl Crowd {
    async fn new(count: u64) -> Self {
        let machines: Vec<_> = (0..count).map(|_| Arc::new(Machine::default())).collect();
        let vms: Vec<_> = machines.iter().map(supervise).collect();
        for vm in &vms {
            vm.client_within(PATIENCE).await.unwrap();
        }
        Self { machines, vms }
    }

    /// Lets one in a hundred stall for a second, and another one die, each second, until `stop`.
    /// Returns the number of both.
    async fn disturb(&self, stop: Instant) -> (u64, u64) {
        let count = self.machines.len();
        let pause = Duration::from_secs(1) / (count as u32 / 100).max(1);
        let (mut stalled, mut at, mut disturbed) = (VecDeque::new(), 1, 0);
        // Among the odd ones; the even ones are measured.
        let mut next = || {
            at = (at + 2) % count;
            &self.machines[at | 1]
        };
        while Instant::now() < stop {
            let machine = next();
            machine.stalls.store(true, Ordering::Relaxed);
            stalled.push_back((Instant::now() + Duration::from_secs(1), machine));
            next().dies.notify_one();
            disturbed += 1;
            tokio::time::sleep(pause).await;
            while stalled.front().is_some_and(|(until, _)| *until <= Instant::now()) {
                stalled.pop_front().into_iter().for_each(|(_, machine)| machine.resume());
            }
        }
        stalled.into_iter().for_each(|(_, machine)| machine.resume());
        (disturbed, disturbed)
    }

    /// Executes commands on the even ones until `stop`, and returns how long each took, sorted.
    async fn measure(&self, stop: Instant, each: Duration) -> Vec<Duration> {
        let tasks: Vec<_> = self
            .vms
            .iter()
            .step_by(2)
            .cloned()
            .enumerate()
            .map(|(index, vm)| {
                tokio::spawn(async move {
                    let mut took = Vec::new();
                    // Not all of them at once.
                    tokio::time::sleep(each.mul_f64((index % 1000) as f64 / 1000.0)).await;
                    while Instant::now() < stop {
                        let begin = Instant::now();
                        vm.call(QueryStatus::new()).within(PATIENCE).execute().await.unwrap();
                        took.push(begin.elapsed());
                        tokio::time::sleep(each).await;
                    }
                    took
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all.sort_unstable();
        all
    }

    /// Executes commands on the odd ones, whatever comes of them, until `stop`; returns how many were
    /// answered and how many failed.
    async fn use_the_others(&self, stop: Instant, each: Duration) -> (u64, u64) {
        let (answered, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let tasks: Vec<_> = self
            .vms
            .iter()
            .skip(1)
            .step_by(2)
            .cloned()
            .enumerate()
            .map(|(index, vm)| {
                let (answered, failed) = (Arc::clone(&answered), Arc::clone(&failed));
                tokio::spawn(async move {
                    tokio::time::sleep(each.mul_f64((index % 1000) as f64 / 1000.0)).await;
                    while Instant::now() < stop {
                        let call =
                            vm.call(QueryStatus::new()).within(Duration::from_secs(10)).execute();
                        let counter = if call.await.is_ok() { &answered } else { &failed };
                        counter.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(each).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        (answered.load(Ordering::Relaxed), failed.load(Ordering::Relaxed))
    }
}

fn supervise(machine: &Arc<Machine>) -> Supervised<Client> {
    let machine = Arc::clone(machine);
    let source = qmp_vm::tokio::connector("a machine", move || {
        let (ours, theirs) = tokio::io::duplex(512);
        tokio::spawn(Arc::clone(&machine).serve(theirs));
        async { Ok(ours) }
    });
    let policy = Supervision::new()
        .options(Options::new())
        .pauses(Duration::from_millis(50), Duration::from_secs(1));
    qmp_vm::tokio::supervise_source(source, policy)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The processor time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn at(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

#[tokio::test]
async fn the_others_do_not_notice() {
    let count = number("QMP_SUPERVISE_CROWD", 100);
    let length = Duration::from_millis(number("QMP_SUPERVISE_SECONDS", 2) * 1000);
    // The host's share of a processor stays the same: a thousand commands a second in all.
    let each = Duration::from_micros(1000 * count);
    let memory = resident_kib();
    let (begin, used) = (Instant::now(), cpu());
    let crowd = Crowd::new(count).await;
    let connect = (begin.elapsed(), (cpu() - used) / count as u32);
    let kib = (resident_kib() - memory) as f64 / count as f64;
    println!("{count} connections: made in {:?}, {:?} of a processor each", connect.0, connect.1);
    println!("{kib:.2} KiB each for the client, its keeper, the pipe and the server");
    let used = cpu();
    tokio::time::sleep(length).await;
    println!("idle: {:?} of a processor in {length:?}", cpu() - used);

    let mut figures = Vec::new();
    for disturbed in [false, true] {
        let (used, stop) = (cpu(), Instant::now() + length);
        let (took, others, disturbances) =
            tokio::join!(crowd.measure(stop, each), crowd.use_the_others(stop, each), async {
                if disturbed { crowd.disturb(stop).await } else { (0, 0) }
            },);
        let (calls, (answered, failed)) = (took.len() as u64, others);
        let per_call = (cpu() - used) / (calls + answered + failed).max(1) as u32;
        println!(
            "{} stalls, {} deaths: {calls} calls of the others, median {:?}, p99 {:?}, longest {:?}; \
             {answered} of the rest answered, {failed} failed; {per_call:?} of a processor a call",
            disturbances.0,
            disturbances.1,
            at(&took, 0.5),
            at(&took, 0.99),
            at(&took, 1.0),
        );
        assert_eq!(failed, 0, "stalled and dead ones answer in the end");
        figures.push(took);
    }
    // A stall lasts for a second, and so would a call that waited for another one's.
    let waited = figures[1].iter().filter(|took| **took > Duration::from_millis(700)).count();
    assert!(waited * 100 <= figures[1].len(), "{waited} of {} calls waited", figures[1].len());
    println!("resident after all: {} KiB", resident_kib() - memory);
}
