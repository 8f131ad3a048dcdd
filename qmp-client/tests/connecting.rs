//! Every way to connect, with every client: TCP and Unix sockets, long paths and abstract names,
//! sockets that do not exist yet, and servers that connect to the client.

#![cfg(all(unix, any(feature = "blocking", feature = "tokio", feature = "futures-io")))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use qmp_client::{Address, Error, Options, Raw, Result};
use qmp_server::Simulator;
use serde_json::Value;

/// Longer than anything that succeeds takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A short wait for something that does not happen.
const SOON: Duration = Duration::from_millis(60);

/// A function that is called after each failed attempt.
type TryWait<'a> = dyn FnMut() -> std::io::Result<Option<ExitStatus>> + 'a;

/// A client. Each function connects, and returns the reply to `query-status`.
trait Front {
    fn connect(address: &str, options: &Options) -> Result<Value>;
    /// Connects with repeated attempts, and calls a function between them.
    fn connect_while(address: &Address, options: &Options, go_on: &mut TryWait) -> Result<Value>;
    fn accept_tcp(listener: TcpListener) -> Result<Value>;
    fn accept_unix(listener: UnixListener) -> Result<Value>;
}

fn status() -> Raw<Value> {
    Raw::new("query-status")
}

#[track_caller]
fn assert_running(status: Result<Value>) {
    assert_eq!(status.unwrap()["status"], "running");
}

/// A path that is removed when this is dropped, with everything in it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        // The name of the test's thread is the full name of the test.
        let test = std::thread::current().name().unwrap_or_default().replace("::", "-");
        Self(std::env::temp_dir().join(format!("qmp-client-{test}-{name}-{}", std::process::id())))
    }

    fn address(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Serves a simulated machine to the first client that connects.
fn serve_unix(listener: UnixListener) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        Simulator::new().server().serve(stream).unwrap();
    })
}

fn serve_tcp(listener: TcpListener) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        Simulator::new().server().serve(stream).unwrap();
    })
}

/// Returns an address at which nothing listens. On Linux, it has a loopback address of its own, where no
/// connection of another test is given the same port.
fn unused_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = if cfg!(target_os = "linux") { [127, number, high, low] } else { [127, 0, 0, 1] };
    TcpListener::bind((Ipv4Addr::from(host), 0)).unwrap().local_addr().unwrap()
}

fn tcp<F: Front>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = serve_tcp(listener);
    assert_running(F::connect(&format!("tcp:localhost:{port}"), &Options::new()));
    server.join().unwrap();
}

/// The listener is created after the first attempt has failed.
fn connecting_waits_for_a_tcp_listener<F: Front>() {
    let free = unused_address();
    let address = format!("tcp:{free}");
    let error = F::connect(&address, &Options::new()).unwrap_err();
    assert!(matches!(error, Error::Transport(_)), "{error:?}");
    let error = F::connect(&address, &Options::new().wait_for_socket(SOON * 5)).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(error.report().contains("refused"), "{}", error.report());

    let mut server = None;
    let status = F::connect_while(
        &address.parse().unwrap(),
        &Options::new().wait_for_socket(PATIENCE),
        &mut || {
            server.get_or_insert_with(|| serve_tcp(TcpListener::bind(free).unwrap()));
            Ok(None)
        },
    );
    assert_running(status);
    server.unwrap().join().unwrap();
}

fn connecting_waits_for_a_unix_socket<F: Front>() {
    let place = Place::new("late");
    let error = F::connect(&place.address(), &Options::new()).unwrap_err();
    assert!(matches!(error, Error::Transport(_)), "{error:?}");
    let options = Options::new().wait_for_socket(SOON * 5);
    let error = F::connect(&place.address(), &options).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(error.report().contains("No such file"), "{}", error.report());

    let mut server = None;
    let status = F::connect_while(
        &place.0.clone().into(),
        &Options::new().wait_for_socket(PATIENCE),
        &mut || {
            server.get_or_insert_with(|| serve_unix(UnixListener::bind(&place.0).unwrap()));
            Ok(None)
        },
    );
    assert_running(status);
    server.unwrap().join().unwrap();
}

/// The address of a socket holds 108 bytes, but a path may be longer.
#[cfg(target_os = "linux")]
fn long_paths_are_reached_through_their_directory<F: Front>() {
    use std::os::fd::AsRawFd;
    let top = Place::new("long");
    let long = top.0.join("x".repeat(100)).join("y".repeat(100));
    std::fs::create_dir_all(&long).unwrap();
    let directory = std::fs::File::open(&long).unwrap();
    let short = format!("/proc/self/fd/{}/qmp.sock", directory.as_raw_fd());
    let server = serve_unix(UnixListener::bind(short).unwrap());
    let at = |name: &str| format!("unix:{}", long.join(name).display());
    assert_running(F::connect(&at("qmp.sock"), &Options::new()));
    server.join().unwrap();
    let error = F::connect(&at("other.sock"), &Options::new()).unwrap_err();
    assert!(error.report().contains("No such file"), "{}", error.report());
}

/// The address of a socket holds 108 bytes. Linux needs no zero at its end, which the standard library
/// insists on: a socket that was left over at the longest path was not replaced.
#[cfg(target_os = "linux")]
fn paths_at_the_limit_are_reached_or_refused<F: Front>() {
    use std::os::fd::AsRawFd;
    // The name of a file fills up what is left: that of the directory must be short, wherever it is.
    let mut top = Place::new("edge");
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&top.0);
    top.0 = PathBuf::from(format!("/tmp/{hash:x}"));
    std::fs::create_dir_all(&top.0).unwrap();
    let directory = std::fs::File::open(&top.0).unwrap();
    let number = directory.as_raw_fd();
    for length in [107, 108, 109] {
        // A client reaches the socket through its directory.
        let name = "x".repeat(length - top.0.as_os_str().len() - 1);
        let path = top.0.join(&name);
        assert_eq!(path.as_os_str().len(), length);
        let short = format!("/proc/self/fd/{number}/{name}");
        let server = serve_unix(UnixListener::bind(short).unwrap());
        assert_running(F::connect(&format!("unix:{}", path.display()), &Options::new()));
        server.join().unwrap();
        std::fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let bound = qmp_server::SocketFile::bind(&path, 0o600);
            assert_eq!(bound.as_ref().err().map(std::io::Error::kind), too_long(length > 108));
            match bound {
                // Dropping it would remove the file, which is to be left over.
                Ok(socket) => {
                    let aside = top.0.join("aside");
                    std::fs::rename(&path, &aside).unwrap();
                    drop(socket);
                    std::fs::rename(&aside, &path).unwrap();
                }
                Err(error) => {
                    assert!(error.to_string().contains(&format!("{length} bytes")), "{error}");
                }
            }
        }
        // A name that is too long by itself.
        let path = top.0.join("y".repeat(length));
        let error = F::connect(&format!("unix:{}", path.display()), &Options::new()).unwrap_err();
        assert_eq!(kind_of(&error), too_long(true));
        assert!(error.report().contains(&*path.to_string_lossy()), "{}", error.report());
    }
}

/// Returns the kind of the system's error for names that are too long.
#[cfg(target_os = "linux")]
fn too_long(is_expected: bool) -> Option<std::io::ErrorKind> {
    const ENAMETOOLONG: i32 = 36;
    is_expected.then(|| std::io::Error::from_raw_os_error(ENAMETOOLONG).kind())
}

/// Returns the kind of the error of the system among the causes of an error.
#[cfg(target_os = "linux")]
fn kind_of(error: &Error) -> Option<std::io::ErrorKind> {
    let first = std::error::Error::source(error);
    let mut causes = std::iter::successors(first, |error| error.source());
    causes.find_map(|cause| Some(cause.downcast_ref::<std::io::Error>()?.kind()))
}

#[cfg(target_os = "linux")]
fn abstract_names_are_reached<F: Front>() {
    use std::os::linux::net::SocketAddrExt;
    let name = Place::new("abstract").0.file_name().unwrap().to_str().unwrap().to_owned();
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let server = serve_unix(UnixListener::bind_addr(&address).unwrap());
    let address = format!("unix:{name},server=on,wait=off,abstract=on");
    assert_running(F::connect(&address, &Options::new()));
    server.join().unwrap();
    let error = F::connect(&address, &Options::new()).unwrap_err();
    assert!(error.report().contains("refused"), "{}", error.report());
}

/// QEMU can connect to the client.
fn a_server_connects_over_tcp<F: Front>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Simulator::new().server().spawn(stream).unwrap();
    assert_running(F::accept_tcp(listener));
}

fn a_server_connects_over_unix<F: Front>() {
    let place = Place::new("dial");
    let listener = UnixListener::bind(&place.0).unwrap();
    Simulator::new().server().spawn(UnixStream::connect(&place.0).unwrap()).unwrap();
    assert_running(F::accept_unix(listener));
}

macro_rules! ways {
    ($front:ty) => {
        ways! { $front;
            tcp,
            connecting_waits_for_a_tcp_listener,
            connecting_waits_for_a_unix_socket,
            a_server_connects_over_tcp,
            a_server_connects_over_unix,
        }
        #[cfg(target_os = "linux")]
        ways! { $front;
            long_paths_are_reached_through_their_directory,
            paths_at_the_limit_are_reached_or_refused,
            abstract_names_are_reached,
        }
    };
    ($front:ty; $($name:ident,)*) => {$(
        #[test]
        fn $name() {
            super::$name::<$front>();
        }
    )*};
}

#[cfg(feature = "blocking")]
mod blocking {
    use std::io::ErrorKind::TimedOut;

    use super::*;
    use qmp_client::blocking::Client;
    use qmp_client::transport::{Tcp, Transport, Unix};

    struct Blocking;

    fn ask(transport: impl Transport + 'static) -> Result<Value> {
        Client::over(transport, &Options::new())?.execute(status())
    }

    impl Front for Blocking {
        fn connect(address: &str, options: &Options) -> Result<Value> {
            Client::connect_with(address, options)?.execute(status())
        }

        /// Calls the function in this thread, while another one connects.
        fn connect_while(
            address: &Address,
            options: &Options,
            go_on: &mut TryWait,
        ) -> Result<Value> {
            std::thread::scope(|scope| {
                let client =
                    scope.spawn(|| Client::connect_with(address, options)?.execute(status()));
                go_on().unwrap();
                client.join().unwrap()
            })
        }

        fn accept_tcp(listener: TcpListener) -> Result<Value> {
            let first = ask(Tcp::accept(&listener, PATIENCE).unwrap());
            assert_eq!(Tcp::accept(&listener, SOON).unwrap_err().kind(), TimedOut);
            first
        }

        fn accept_unix(listener: UnixListener) -> Result<Value> {
            let first = ask(Unix::accept(&listener, PATIENCE).unwrap());
            assert_eq!(Unix::accept(&listener, SOON).unwrap_err().kind(), TimedOut);
            first
        }
    }

    ways!(Blocking);
}

#[cfg(feature = "tokio")]
mod tokio {
    use super::*;
    use ::tokio::net;
    use qmp_client::Client;

    struct Tokio;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future)
    }

    impl Front for Tokio {
        fn connect(address: &str, options: &Options) -> Result<Value> {
            block_on(async {
                Client::connect_with(address, options).await?.execute(status()).await
            })
        }

        fn connect_while(
            address: &Address,
            options: &Options,
            go_on: &mut TryWait,
        ) -> Result<Value> {
            block_on(async {
                let client = Client::connect_to_child(address, options, go_on).await?;
                client.execute(status()).await
            })
        }

        fn accept_tcp(listener: TcpListener) -> Result<Value> {
            listener.set_nonblocking(true).unwrap();
            block_on(async {
                let listener = net::TcpListener::from_std(listener).unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                Client::over(stream, &Options::new()).await?.execute(status()).await
            })
        }

        fn accept_unix(listener: UnixListener) -> Result<Value> {
            listener.set_nonblocking(true).unwrap();
            block_on(async {
                let listener = net::UnixListener::from_std(listener).unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                Client::over(stream, &Options::new()).await?.execute(status()).await
            })
        }
    }

    ways!(Tokio);
}

#[cfg(feature = "futures-io")]
mod futures_io {
    use super::*;
    use ::futures_io::{AsyncRead, AsyncWrite};
    use async_io::{Async, block_on};
    use qmp_client::futures_io::{Socket, open_to_child, over};

    struct Smol;

    async fn ask<S>(stream: S, options: &Options) -> Result<Value>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (connecting, driver) = over(stream, options);
        std::thread::spawn(|| block_on(driver));
        connecting.await?.execute(status()).await
    }

    impl Front for Smol {
        fn connect(address: &str, options: &Options) -> Result<Value> {
            Self::connect_while(&address.parse().unwrap(), options, &mut || Ok(None))
        }

        fn connect_while(
            address: &Address,
            options: &Options,
            go_on: &mut TryWait,
        ) -> Result<Value> {
            block_on(async {
                match open_to_child(address, options, go_on).await? {
                    Socket::Unix(stream) => ask(stream, options).await,
                    Socket::Tcp(stream) => ask(stream, options).await,
                    other => panic!("{other:?}"),
                }
            })
        }

        fn accept_tcp(listener: TcpListener) -> Result<Value> {
            block_on(async {
                let (stream, _) = Async::new(listener).unwrap().accept().await.unwrap();
                ask(stream, &Options::new()).await
            })
        }

        fn accept_unix(listener: UnixListener) -> Result<Value> {
            block_on(async {
                let (stream, _) = Async::new(listener).unwrap().accept().await.unwrap();
                ask(stream, &Options::new()).await
            })
        }
    }

    ways!(Smol);
}

/// A server that does not accept, and whose queue is full. `connect` on a Unix socket waited forever,
/// whatever the deadline was, and tokio reported that a resource was unavailable.
mod busy {
    use std::time::{Duration, Instant};

    use qmp_client::{Options, WaitedFor};

    use super::*;

    /// Fills the queue of a listener, and calls `check` with its address.
    fn with_full_queue(name: &str, check: impl FnOnce(&std::path::Path, &Options)) {
        let path = std::env::temp_dir().join(format!("qmp-busy-{name}-{}", std::process::id()));
        let listener = listen(&path);
        let mut waiting = Vec::new();
        while let Ok(stream) = qmp_client::socket::connect(&path) {
            waiting.push(stream);
            assert!(waiting.len() < 10_000);
        }
        check(&path, &Options::new().greeting_within(Duration::from_millis(200)));
        drop((listener, waiting));
        std::fs::remove_file(path).unwrap();
    }

    fn listen(path: &std::path::Path) -> std::os::unix::net::UnixListener {
        std::os::unix::net::UnixListener::bind(path).unwrap()
    }

    fn expect_timeout(error: &Error, begin: Instant) {
        let elapsed = begin.elapsed();
        assert!((Duration::from_millis(180)..PATIENCE / 2).contains(&elapsed), "{elapsed:?}");
        let Error::Timeout(timeout) = error else { panic!("{error:?}") };
        assert!(matches!(timeout.waited_for, WaitedFor::Connection(_)), "{error:?}");
        assert!(error.report().contains("another client may be connected"), "{}", error.report());
    }

    #[test]
    #[cfg(feature = "blocking")]
    fn blocking() {
        with_full_queue("blocking", |path, options| {
            let begin = Instant::now();
            let error = qmp_client::blocking::Client::connect_with(path, options).unwrap_err();
            expect_timeout(&error, begin);
        });
    }

    #[test]
    #[cfg(feature = "tokio")]
    fn tokio() {
        with_full_queue("tokio", |path, options| {
            let runtime =
                ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let begin = Instant::now();
            let error =
                runtime.block_on(qmp_client::Client::connect_with(path, options)).unwrap_err();
            expect_timeout(&error, begin);
        });
    }

    #[test]
    #[cfg(feature = "futures-io")]
    fn futures_io() {
        with_full_queue("futures-io", |path, options| {
            let begin = Instant::now();
            let error = async_io::block_on(qmp_client::futures_io::open(&path.into(), options))
                .unwrap_err();
            expect_timeout(&error, begin);
        });
    }
}
