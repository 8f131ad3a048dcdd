//! The ways to reach a monitor.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use qmp_client::qmp::commands::QueryStatus;

use crate::front::{PATIENCE, SOON, policy, scenarios};
use crate::host::{Act, Host, path};

scenarios! {
    /// QEMU connects, and does so again after the connection was lost.
    fn a_listener_is_connected_to_again_and_again<F>() {
        let path = path();
        let listener = UnixListener::bind(&path).unwrap();
        let vm = F::accept(listener, policy());
        // Longer than a slice of waiting.
        std::thread::sleep(Duration::from_millis(300));
        let host = Host::dialing(path.clone(), |_, _| Act::Answer);
        for _ in 0..3 {
            F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
            host.cut();
        }
        F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
        assert!(host.connections() >= 4);
        drop(vm);
        drop(host);
        let _ = std::fs::remove_file(path);
    }

    fn a_tcp_port_is_listened_on<F>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let vm = F::accept_tcp(listener, policy());
        let simulator = qmp_server::Simulator::new();
        for _ in 0..2 {
            let stream = TcpStream::connect(address).unwrap();
            let copy = stream.try_clone().unwrap();
            let server = simulator.server().clone();
            let thread = std::thread::spawn(move || server.serve(stream));
            F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
            copy.shutdown(std::net::Shutdown::Both).unwrap();
            let _ = thread.join().unwrap();
        }
    }

    /// A function may fail, and does not have to connect to a socket.
    fn a_function_connects<F>() {
        let simulator = qmp_server::Simulator::new();
        let mut attempts = 0;
        let vm = F::connector(
            move || {
                attempts += 1;
                if attempts < 3 { Err(io::ErrorKind::ConnectionRefused.into()) } else { simulator.connect() }
            },
            policy(),
        );
        assert_eq!(vm.name(), "a function");
        F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
        // Nothing answers.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut once = Some(ours);
        let vm = F::connector(
            move || once.take().ok_or_else(|| io::Error::other("only once")),
            policy().attempts_within(SOON),
        );
        let error = F::get(vm.call(QueryStatus::new()).within(SOON * 20).execute());
        let report = qmp_client::Error::from(error.unwrap_err()).report();
        assert!(report.contains("a function") && report.contains("only once"), "{report}");
        drop(theirs);
    }
}

/// The address is checked at once, not by the keeper.
#[test]
fn an_invalid_address_is_an_error() {
    let error = qmp_vm::blocking::supervise("unix:", policy()).unwrap_err();
    assert!(error.report().contains("the path is missing"), "{}", error.report());
    assert!(qmp_vm::futures_io::supervise("tcp:4444", policy()).is_err());
    assert!(qmp_vm::tokio::supervise("tcp:4444", policy()).is_err());
}
