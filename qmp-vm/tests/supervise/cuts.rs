//! Connections that are cut at random bytes, between the client and the simulated machine.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{QueryNamedBlockNodes, QueryStatus, QueryVersion};
use qmp_client::{ErrorClass, Options};
use qmp_server::Simulator;
use qmp_vm::supervise::{Fate, Gap, Item};

use crate::front::{PATIENCE, policy, scenarios};
use crate::host::path;

/// Random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Passes bytes between clients and the simulated machine, and cuts each connection somewhere.
struct Cutter {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    cuts: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Cutter {
    fn new(simulator: Simulator, seed: u64) -> Self {
        let path = path();
        let listener = UnixListener::bind(&path).unwrap();
        let (stop, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut random = Random(seed);
        let thread = std::thread::spawn({
            let (stop, cuts) = (Arc::clone(&stop), Arc::clone(&cuts));
            move || {
                while let Ok((client, _)) = listener.accept() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let server = simulator.connect().unwrap();
                    // Some end during the handshake, and some last for many commands.
                    let mut limit = || match random.below(4) {
                        0 => random.below(300),
                        1 => random.below(3000),
                        _ => random.below(30_000),
                    };
                    let limits = [limit(), limit()];
                    relay(&client, &server, limits, random.below(1 << 40) + 1);
                    cuts.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { path, stop, cuts, thread: Some(thread) }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.path);
        self.thread.take().unwrap().join().unwrap();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Passes this many bytes each way, in pieces, and then closes both.
fn relay(client: &UnixStream, server: &UnixStream, limits: [u64; 2], seed: u64) {
    let pass = |mut from: &UnixStream, mut to: &UnixStream, limit: u64, seed: u64| {
        let (mut random, mut left) = (Random(seed), limit);
        while left > 0 {
            let piece = (random.below(200) + 1).min(left) as usize;
            let mut buffer = [0; 200];
            match from.read(&mut buffer[..piece]) {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    left -= count as u64;
                    if random.below(50) == 0 {
                        std::thread::sleep(Duration::from_millis(random.below(5)));
                    }
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| pass(client, server, limits[0], seed));
        pass(server, client, limits[1], seed + 1);
    });
}

/// The number of commands; a nightly run sets more.
fn size() -> usize {
    let size = std::env::var("QMP_SUPERVISE_CALLS").ok();
    size.map_or(300, |size| size.parse().unwrap())
}

scenarios! {
    /// Commands that ask are answered, whatever is cut. Each `object-add` has an outcome that agrees
    /// with the machine's objects.
    fn outcomes_are_true<F>() {
        let simulator = Simulator::builder().build();
        let seed = 0x5eed_0123_4567_89ab;
        let cutter = Cutter::new(simulator.clone(), seed);
        let pauses = policy().pauses(Duration::from_millis(1), Duration::from_millis(2));
        let vm = F::dial(&cutter.path, pauses.options(Options::new().calls_within(PATIENCE)));
        let fates = Mutex::new(Vec::new());
        let mut events = vm.raw_events();
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (vm, fates) = (&vm, &fates);
                scope.spawn(move || {
                    for index in 0..size() / 2 {
                        let id = format!("o{thread}x{index}");
                        let add: qmp_client::Raw = qmp_client::Raw::new("object-add")
                            .arguments(&serde_json::json!({"qom-type": "iothread", "id": id}));
                        let fate = F::get(vm.execute(add)).err();
                        fates.lock().unwrap().push((id, fate));
                        F::get(vm.execute(QueryStatus::new())).unwrap();
                        F::get(vm.execute(QueryNamedBlockNodes::new())).unwrap();
                        F::get(vm.execute(QueryVersion::new())).unwrap();
                    }
                });
            }
        });
        // The truth, by a connection that is not cut.
        let direct = qmp_client::blocking::Client::over(
            qmp_client::transport::Unix::from_stream(simulator.connect().unwrap()).unwrap(),
            &Options::new(),
        ).unwrap();
        let mut unknown = 0;
        for (id, fate) in fates.into_inner().unwrap() {
            let get: qmp_client::Raw = qmp_client::Raw::new("qom-list")
                .arguments(&serde_json::json!({"path": format!("/objects/{id}")}));
            let exists = match direct.execute(get) {
                Ok(_) => true,
                Err(error) => {
                    assert!(matches!(error.class(), Some(ErrorClass::DeviceNotFound | ErrorClass::GenericError)), "{error:?}");
                    false
                }
            };
            match fate.as_ref().map(|error| error.fate) {
                None => assert!(exists, "{id} was answered"),
                Some(Fate::NotExecuted) => assert!(!exists, "{id} was not sent"),
                Some(Fate::MaybeExecuted) => unknown += 1,
                Some(_) => panic!("{id}: {fate:?}"),
            }
        }
        let cuts = cutter.cuts.load(Ordering::SeqCst);
        // Each connection that was made shows as one gap, or is merged with the next.
        let mut gaps = 0;
        while let Some(Ok(item)) = F::get(events.next_within(Duration::from_millis(100))) {
            gaps += u64::from(matches!(item, Item::Gap(Gap::Reconnected(_))));
        }
        println!("{} calls, {cuts} cuts, {unknown} unknown fates, {gaps} gaps, {:?}", 4 * size(), begin.elapsed());
        assert!(cuts >= 5 && gaps >= 1 && gaps <= cuts + 1, "{cuts} cuts, {gaps} gaps");
    }
}
