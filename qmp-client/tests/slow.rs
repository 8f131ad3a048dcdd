//! Slow things around a connection, which must not make its calls late: transcripts, pipes, peers that
//! accept a little at a time, busy servers, and this process while it is stopped.

#![cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
#![allow(clippy::unwrap_used, clippy::panic, dead_code, missing_docs, unreachable_pub)] // tests

#[path = "scenarios/peer.rs"]
mod peer;

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use qmp_client::{Error, Options, Raw, Result};
use serde_json::{Value, json};

use peer::Peer;

/// Longer than anything that succeeds takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A short wait for something that does not happen.
const SOON: Duration = Duration::from_millis(60);

type Client = fn(UnixStream, &Options, Raw<Value>) -> Result<Value>;

/// Each client: connects over a stream, and executes a command.
fn clients() -> Vec<(&'static str, Client)> {
    vec![
        #[cfg(feature = "blocking")]
        ("blocking", |stream, options, command| {
            let stream = qmp_client::transport::Unix::from_stream(stream).unwrap();
            qmp_client::blocking::Client::over(stream, options)?.execute(command)
        }),
        #[cfg(feature = "tokio")]
        ("tokio", |stream, options, command| {
            stream.set_nonblocking(true).unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let stream = tokio::net::UnixStream::from_std(stream).unwrap();
                qmp_client::Client::over(stream, options).await?.execute(command).await
            })
        }),
        #[cfg(feature = "futures-io")]
        ("futures-io", |stream, options, command| {
            let stream = async_io::Async::new(stream).unwrap();
            let (connecting, driver) = qmp_client::futures_io::over(stream, options);
            let driver = thread::spawn(|| async_io::block_on(driver));
            let result = async_io::block_on(async { connecting.await?.execute(command).await });
            driver.join().unwrap();
            result
        }),
    ]
}

fn status() -> Raw<Value> {
    Raw::new("query-status")
}

/// Starts a server that follows a script after the negotiation.
fn serve(script: impl FnOnce(&mut Peer) + Send + 'static) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        Peer::play(theirs, |peer| {
            peer.greet();
            script(peer);
        });
    });
    ours
}

/// A transcript was written to a pipe that no program read. No deadline was kept then.
#[test]
fn a_transcript_that_blocks_delays_no_call() {
    for (name, client) in clients() {
        let (hold, held) = mpsc::channel::<()>();
        let options = Options::new().transcript(move |_, _| {
            let _ = held.recv_timeout(PATIENCE);
        });
        let begin = Instant::now();
        client(serve(Peer::status), &options, status()).unwrap();
        assert!(begin.elapsed() < PATIENCE / 2, "{name}: {:?}", begin.elapsed());

        let options = options.calls_within(SOON * 5);
        let begin = Instant::now();
        let error = client(serve(|_| {}), &options, status()).unwrap_err();
        assert!(error.is_timeout(), "{name}: {error:?}");
        assert!(begin.elapsed() < PATIENCE / 2, "{name}: {:?}", begin.elapsed());
        drop(hold);
    }
}

/// Messages that a slow transcript has no room for are counted.
#[test]
#[cfg(feature = "blocking")]
fn messages_that_a_transcript_lacks_are_counted() {
    let (hold, held) = mpsc::channel::<()>();
    let options = Options::new().transcript(move |_, _| {
        let _ = held.recv();
    });
    let stream = serve(|peer| {
        for _ in 0..4 {
            let id = peer.expect("query-status");
            peer.succeed(&id, json!({"filler": "x".repeat(700_000)}));
        }
    });
    let stream = qmp_client::transport::Unix::from_stream(stream).unwrap();
    let client = qmp_client::blocking::Client::over(stream, &options).unwrap();
    assert_eq!(client.dropped().transcript, 0);
    for _ in 0..4 {
        client.execute(status()).unwrap();
    }
    assert_eq!(client.dropped().transcript, 3);
    drop(hold);
}

/// The program at the other end of a pipe does not read. A write to it waited without a limit.
#[test]
#[cfg(feature = "blocking")]
fn a_pipe_that_is_full_delays_no_call() {
    use qmp_client::transport::Adapter;
    let (done, hold) = mpsc::channel::<()>();
    let stream = serve(move |_| {
        let _ = hold.recv_timeout(PATIENCE);
    });
    let transport = Adapter::new(stream.try_clone().unwrap(), stream);
    let client = qmp_client::blocking::Client::over(transport, &Options::new()).unwrap();
    let large = status().arguments(&json!({"filler": "x".repeat(4 << 20)}));
    let begin = Instant::now();
    let error = client.call(large).within(SOON * 5).execute().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!((SOON * 5..PATIENCE / 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    let begin = Instant::now();
    drop(client);
    assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
    drop(done);
}

/// A large command over a pipe arrives whole, although each write is short.
#[test]
#[cfg(feature = "blocking")]
fn a_large_command_passes_through_a_pipe() {
    use qmp_client::transport::Adapter;
    let filler = "x".repeat(4 << 20);
    let stream = serve({
        let filler = filler.clone();
        move |peer| {
            // The pipe is full for a while.
            thread::sleep(SOON);
            let command = peer.command();
            let is_whole = command["arguments"]["filler"] == filler;
            peer.succeed(&command["id"], json!(is_whole));
        }
    });
    let transport = Adapter::new(stream.try_clone().unwrap(), stream);
    let client = qmp_client::blocking::Client::over(transport, &Options::new()).unwrap();
    let large = status().arguments(&json!({"filler": filler}));
    assert_eq!(client.execute(large).unwrap(), true);
}

/// A transport that accepts one byte at a time, as slowly as its caller waits.
#[cfg(feature = "blocking")]
#[derive(Debug)]
struct Dripping(qmp_client::transport::Unix, std::sync::atomic::AtomicBool);

#[cfg(feature = "blocking")]
impl qmp_client::transport::Transport for Dripping {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> std::io::Result<usize> {
        self.0.read(buffer, timeout)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[qmp_client::protocol::Descriptor],
        timeout: Option<Duration>,
    ) -> std::io::Result<usize> {
        if !self.1.load(std::sync::atomic::Ordering::SeqCst) {
            return self.0.write(bytes, descriptors, timeout);
        }
        thread::sleep(timeout.unwrap_or(SOON).clamp(Duration::from_millis(1), SOON) / 2);
        self.0.write(&bytes[..1], descriptors, timeout)
    }

    fn close(&self) {
        self.0.close();
    }
}

/// A deadline covers all writes together. A peer that made a little room for each kept the client
/// writing for minutes.
#[test]
#[cfg(feature = "blocking")]
fn a_peer_that_accepts_a_little_at_a_time_delays_no_call() {
    let transport = qmp_client::transport::Unix::from_stream(serve(|_| {})).unwrap();
    let drips = std::sync::atomic::AtomicBool::new(false);
    let transport = std::sync::Arc::new(Dripping(transport, drips));

    #[derive(Debug)]
    struct Shared(std::sync::Arc<Dripping>);
    impl qmp_client::transport::Transport for Shared {
        fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> std::io::Result<usize> {
            self.0.read(buffer, timeout)
        }
        fn write(
            &self,
            bytes: &[u8],
            descriptors: &[qmp_client::protocol::Descriptor],
            timeout: Option<Duration>,
        ) -> std::io::Result<usize> {
            self.0.write(bytes, descriptors, timeout)
        }
        fn close(&self) {
            self.0.close();
        }
    }
    let client =
        qmp_client::blocking::Client::over(Shared(transport.clone()), &Options::new()).unwrap();
    transport.1.store(true, std::sync::atomic::Ordering::SeqCst);
    let large = status().arguments(&json!({"filler": "x".repeat(100_000)}));
    let begin = Instant::now();
    let error = client.call(large).within(SOON * 5).execute().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!((SOON * 5..PATIENCE / 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

/// A command whose success is not answered, to a peer that does not read it.
#[derive(Debug)]
struct Silent(Raw<Value>);

impl qmp_client::Request for Silent {
    type Return = Value;

    fn name(&self) -> std::borrow::Cow<'static, str> {
        self.0.name()
    }

    fn success_response(&self) -> bool {
        false
    }

    fn has_arguments(&self) -> bool {
        self.0.has_arguments()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        self.0.write_arguments(out)
    }
}

/// `guest-shutdown` to an agent that reads nothing was reported as a success at its deadline.
#[test]
fn a_silent_command_that_the_peer_has_not_read_did_not_succeed() {
    let silent = || Silent(status().arguments(&json!({"filler": "x".repeat(4 << 20)})));
    let options = Options::new().calls_within(SOON * 3);
    let start = || {
        let (done, hold) = mpsc::channel::<()>();
        let stream = serve(move |_| {
            let _ = hold.recv_timeout(PATIENCE);
        });
        (stream, done)
    };
    #[cfg(feature = "blocking")]
    {
        let (stream, _done) = start();
        let stream = qmp_client::transport::Unix::from_stream(stream).unwrap();
        let client = qmp_client::blocking::Client::over(stream, &options).unwrap();
        let result = client.execute(silent());
        assert!(result.as_ref().is_err_and(Error::is_timeout), "{result:?}");
    }
    #[cfg(feature = "tokio")]
    {
        let (stream, _done) = start();
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            qmp_client::Client::over(stream, &options).await.unwrap().execute(silent()).await
        });
        assert!(result.as_ref().is_err_and(Error::is_timeout), "{result:?}");
    }
    let _ = (silent, options, start);
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("qmp-slow-{name}-{}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Connects to an address with each client.
fn connect_with_each(
    address: &std::path::Path,
    options: &Options,
    check: impl Fn(&str, Error, Duration),
) {
    #[cfg(feature = "blocking")]
    {
        let begin = Instant::now();
        let error = qmp_client::blocking::Client::connect_with(address, options).unwrap_err();
        check("blocking", error, begin.elapsed());
    }
    #[cfg(feature = "tokio")]
    {
        let begin = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error =
            runtime.block_on(qmp_client::Client::connect_with(address, options)).unwrap_err();
        check("tokio", error, begin.elapsed());
    }
    #[cfg(feature = "futures-io")]
    {
        let begin = Instant::now();
        let address = qmp_client::Address::from(address);
        let error =
            async_io::block_on(qmp_client::futures_io::open(&address, options)).unwrap_err();
        check("futures-io", error, begin.elapsed());
    }
}

/// Opening a FIFO waits for another program, and opening a device may do anything.
#[test]
fn an_address_that_is_no_socket_is_not_opened() {
    let fifo = Place::new("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo.0).status().unwrap();
    assert!(made.success());
    let long = Place::new(&"x".repeat(150));
    let made = std::process::Command::new("mkfifo").arg(&long.0).status().unwrap();
    assert!(made.success());
    for path in [&fifo.0, &long.0, &PathBuf::from("/dev/tty"), &PathBuf::from("/dev/zero")] {
        connect_with_each(path, &Options::new(), |name, error, elapsed| {
            assert!(matches!(error, Error::Transport(_)), "{name}: {error:?}");
            assert!(elapsed < PATIENCE / 2, "{name}: {elapsed:?}");
        });
    }
}

/// A server accepts a connection late and then says nothing. The client waited for both, each with
/// the whole deadline.
#[test]
#[cfg(any(feature = "blocking", feature = "tokio"))]
fn the_deadline_for_the_greeting_covers_the_wait_for_a_busy_server() {
    let place = Place::new("busy");
    let within = SOON * 30;
    let listener = UnixListener::bind(&place.0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = qmp_client::socket::connect(&place.0) {
        waiting.push(stream);
    }
    for name in ["blocking", "tokio"] {
        // Makes room in the middle of the wait.
        let acceptor = listener.try_clone().unwrap();
        let accepted = thread::spawn(move || {
            thread::sleep(within * 2 / 3);
            let now = Instant::now();
            (acceptor.accept().unwrap(), now)
        });
        let options = Options::new().greeting_within(within);
        let begin = Instant::now();
        let error = match name {
            #[cfg(feature = "blocking")]
            "blocking" => {
                qmp_client::blocking::Client::connect_with(&place.0, &options).unwrap_err()
            }
            #[cfg(feature = "tokio")]
            "tokio" => {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(qmp_client::Client::connect_with(&place.0, &options)).unwrap_err()
            }
            _ => continue,
        };
        let elapsed = begin.elapsed();
        let (_, accepted) = accepted.join().unwrap();
        assert!(error.is_timeout(), "{name}: {error:?}");
        // Less than if the deadline began again when the server accepted.
        let begins_again = accepted.saturating_duration_since(begin) + within;
        assert!((within..begins_again).contains(&elapsed), "{name}: {elapsed:?}");
    }
}

/// The variable by which this test starts itself, as the program that is stopped.
const STOPPED: &str = "QMP_TEST_STOPPED";

/// A reply that arrived in time counts, although our own process was stopped past the deadline.
#[test]
fn a_reply_is_in_time_although_this_process_was_stopped() {
    if let Ok(name) = std::env::var(STOPPED) {
        return be_stopped(&name);
    }
    for (name, _) in clients() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_reply_is_in_time_although_this_process_was_stopped"])
            .env(STOPPED, name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{name}: {text}");
    }
}

/// Executes a command, and is stopped from before the reply until after the deadline. The server is
/// another process, which goes on.
fn be_stopped(name: &str) {
    let (_, client) = clients().into_iter().find(|(known, _)| *known == name).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let script = r#"
        echo '{"QMP": {"version": {}, "capabilities": []}}'
        read line
        id=${line##*:}
        echo "{\"return\": {}, \"id\": ${id}"
        read line
        id=${line##*:}
        kill -STOP $PPID
        echo "{\"return\": 7, \"id\": ${id}"
        sleep 2
        kill -CONT $PPID
        cat > /dev/null
    "#;
    let mut server = std::process::Command::new("sh")
        .args(["-c", script])
        .stdin(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()))
        .stdout(std::os::fd::OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let options = Options::new().calls_within(SOON * 30);
    assert_eq!(client(ours, &options, status()).unwrap(), 7);
    server.wait().unwrap();
}
