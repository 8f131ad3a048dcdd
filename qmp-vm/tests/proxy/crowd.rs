//! Fifty clients, of which some misbehave.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{QomGet, QueryName};
use qmp_client::transport::Unix;
use qmp_client::{Options, blocking};
use qmp_server::{Limits, Simulator, SocketFile};
use qmp_vm::proxy::{Access, Proxy, ProxyOptions};

use super::support::Raw;

/// The number of commands of each client.
const COMMANDS: usize = 200;

/// Asks again and again, and returns how long each answer took.
fn ask_raw(path: &std::path::Path, number: usize) -> Vec<Duration> {
    let mut client = Raw::over(UnixStream::connect(path).unwrap());
    client.ask(r#"{"execute": "qmp_capabilities"}"#);
    let ask = |index| {
        let began = Instant::now();
        // Each answer is its own: the error repeats the path.
        let path = format!("/none-{number}-{index}");
        let reply = client.ask(&format!(
            r#"{{"execute": "qom-get", "id": [{number}, {index}], "arguments": {{"path": "{path}", "property": "x"}}}}"#
        ));
        assert!(
            reply.contains(&path) && reply.contains(&format!("[{number}, {index}]")),
            "{reply}"
        );
        began.elapsed()
    };
    (0..COMMANDS).map(ask).collect()
}

fn ask_client(path: &std::path::Path, number: usize) -> Vec<Duration> {
    let client = blocking::Client::over(Unix::connect(path).unwrap(), &Options::new()).unwrap();
    let ask = |index| {
        let began = Instant::now();
        if index % 2 == 0 {
            client.execute(QueryName::new()).unwrap();
        } else {
            let path = format!("/none-{number}-{index}");
            let error = client.execute(QomGet::new(path.as_str(), "x")).unwrap_err();
            assert!(error.to_string().contains(&path), "{error}");
        }
        began.elapsed()
    };
    (0..COMMANDS).map(ask).collect()
}

/// Returns the median and the 99th percentile of the answers of 45 clients.
fn run(path: &std::path::Path) -> (Duration, Duration) {
    let mut times = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..45)
            .map(|number| {
                let ask = if number % 2 == 0 { ask_raw } else { ask_client };
                scope.spawn(move || ask(path, number))
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Connects and negotiates, without reading.
fn rude(path: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    (&stream).write_all(br#"{"execute": "qmp_capabilities"}"#).unwrap();
    stream
}

/// One hangs with half a message, one never reads, one floods, one sends garbage, and one after the
/// other dies in mid-command: the others get their own answers, about as fast as before.
#[test]
fn clients_that_misbehave_harm_nobody() {
    let path = std::env::temp_dir().join(format!("qmp-proxy-crowd-{}", std::process::id()));
    let mut limits = Limits::default();
    limits.output_bytes = 1 << 20;
    let simulator = Simulator::new();
    let proxy: Proxy =
        ProxyOptions::new().limits(limits).over(simulator.connect().unwrap()).unwrap();
    proxy.listen(SocketFile::bind(&path, 0o600).unwrap(), Access::new()).unwrap();
    let quiet = run(&path);
    let is_done = AtomicBool::new(false);
    let is_running = || !is_done.load(Ordering::Relaxed);
    let harmed = std::thread::scope(|scope| {
        let hangs = rude(&path);
        (&hangs).write_all(br#"{"execute": "query-status", "arguments": {"#).unwrap();
        let floods = rude(&path);
        floods.set_nonblocking(true).unwrap();
        let garbage = rude(&path);
        garbage.set_nonblocking(true).unwrap();
        let flood = r#"{"execute": "query-qmp-schema"}"#.repeat(100);
        scope.spawn({
            let is_running = &is_running;
            move || {
                while is_running() {
                    let _ = (&floods).write(flood.as_bytes());
                    let _ = (&garbage).write(b"]]]{\"a\": nonsense}\n\xff\xfe{'x': [[[[");
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
        });
        scope.spawn({
            let (is_running, path) = (&is_running, &path);
            move || {
                while is_running() {
                    let dies = rude(path);
                    let _ = (&dies).write_all(br#"{"execute": "query-block"}{"execute": "qu"#);
                    drop(dies);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let harmed = run(&path);
        is_done.store(true, Ordering::Relaxed);
        harmed
    });
    println!("45 clients: median {:?}, 99th percentile {:?}", quiet.0, quiet.1);
    println!("with 5 that misbehave: {:?}, {:?}; {:?}", harmed.0, harmed.1, proxy.counts());
    // The machine of the test has other things to do, too.
    let most = quiet.1 * 10 + Duration::from_millis(200);
    assert!(harmed.1 < most, "{harmed:?} instead of {quiet:?}");
}
