//! Unix sockets that the server creates.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use qmp_server::{Limits, SocketFile};

use crate::vmm::{Client, server, server_with};

/// A temporary directory, removed on drop.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("qmp-server-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_socket_file_has_permissions_and_is_removed() {
    let directory = Directory::new("mode");
    let path = directory.0.join("qmp.sock");
    let socket = SocketFile::bind(&path, 0o640).unwrap();
    assert_eq!(socket.path(), path);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_file_is_replaced_and_nothing_else() {
    let directory = Directory::new("stale");
    let path = directory.0.join("qmp.sock");
    drop(UnixListener::bind(&path).unwrap());
    let socket = SocketFile::bind(&path, 0o600).unwrap();
    let error = SocketFile::bind(&path, 0o600).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("another process listens there"), "{error}");
    // A file that another process has put there is not removed.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    drop(socket);
    let error = SocketFile::bind(&path, 0o600).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

/// A server that accepts no client made this wait until it did.
#[test]
fn a_socket_whose_queue_is_full_is_in_use() {
    let directory = Directory::new("full");
    let path = directory.0.join("qmp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let (sender, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(SocketFile::bind(&path, 0o600).map(drop)));
    let error = bound.recv_timeout(Duration::from_secs(10)).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn clients_beyond_the_limit_wait_to_be_accepted() {
    let directory = Directory::new("limit");
    let mut limits = Limits::default();
    limits.connections = 2;
    for is_tokio in [false, true] {
        let server = server_with(limits.clone());
        let socket = SocketFile::bind(directory.0.join("qmp.sock"), 0o600).unwrap();
        let path = socket.path().to_owned();
        let serving = server.clone();
        let thread = std::thread::spawn(move || match is_tokio {
            false => serving.serve_unix(socket.listener()),
            true => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(qmp_server::tokio::serve_unix(&serving, socket.listener())),
        });
        let connect = || UnixStream::connect(&path).unwrap();
        let first = Client::new(connect()).negotiated();
        let mut second = Client::new(connect()).negotiated();
        let third = connect();
        second.time("ping");
        drop(first);
        let mut third = Client::new(third).negotiated();
        assert_eq!(server.usage().rejected, 0);
        let start = Instant::now();
        third.send("{'execute': 'quit'}");
        assert_eq!(third.read(), serde_json::json!({"return": {}}));
        thread.join().unwrap().unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(!path.exists());
    }
}

/// The futures can be spawned on a runtime with several threads.
#[test]
fn a_server_runs_beside_other_tasks() {
    let directory = Directory::new("tasks");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = server();
        let socket = SocketFile::bind(directory.0.join("qmp.sock"), 0o600).unwrap();
        let path = socket.path().to_owned();
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let serving = server.clone();
        let unix = tokio::spawn(async move {
            qmp_server::tokio::serve_unix(&serving, socket.listener()).await
        });
        let serving = server.clone();
        let tcp = tokio::spawn(async move { qmp_server::tokio::serve_tcp(&serving, &tcp).await });
        let clients = tokio::task::spawn_blocking(move || {
            let mut client = Client::new(UnixStream::connect(path).unwrap()).negotiated();
            client.time("ping");
            let mut tcp = std::net::TcpStream::connect(address).unwrap();
            let mut greeting = [0; 8];
            std::io::Read::read_exact(&mut tcp, &mut greeting).unwrap();
            assert_eq!(&greeting, b"{\"QMP\": ");
        });
        clients.await.unwrap();
        assert!(qmp_server::tokio::stop(&server, Duration::from_secs(5)).await);
        unix.await.unwrap().unwrap();
        tcp.await.unwrap().unwrap();
    });
}

#[test]
fn a_server_without_clients_stops_at_once() {
    let directory = Directory::new("stop");
    let socket = SocketFile::bind(directory.0.join("qmp.sock"), 0o600).unwrap();
    let server = server();
    let serving = server.clone();
    let thread = std::thread::spawn(move || serving.serve_unix(socket.listener()));
    let start = Instant::now();
    assert!(server.stop(Duration::from_secs(5)));
    thread.join().unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}
