//! This project's clients, through a proxy.

use qmp_client::qmp::commands::{Cont, MigratePause, QueryStatus, Stop};
use qmp_client::qmp::events;
use qmp_client::transport::Unix;
use qmp_client::{Client, Options, blocking};
use qmp_server::Simulator;
use qmp_vm::proxy::{Access, Policy, Proxy, ProxyOptions};

fn proxy() -> Proxy {
    ProxyOptions::new().over(Simulator::new().connect().unwrap()).unwrap()
}

fn blocking(proxy: &Proxy, access: Access) -> blocking::Client {
    let stream = proxy.connect(access).unwrap();
    blocking::Client::over(Unix::from_stream(stream).unwrap(), &Options::new()).unwrap()
}

async fn tokio(proxy: &Proxy, access: Access) -> Client {
    let stream = proxy.connect(access).unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = ::tokio::net::UnixStream::from_std(stream).unwrap();
    Client::over(stream, &Options::new()).await.unwrap()
}

/// A monitor of an old QEMU is handed out as often as asked for, to both clients.
#[::tokio::test(flavor = "multi_thread")]
async fn both_clients_work_beside_each_other() {
    let proxy = proxy();
    for _ in 0..100 {
        let first = tokio(&proxy, Access::new()).await;
        let second = {
            let proxy = proxy.clone();
            let connect = move || blocking(&proxy, Access::new());
            ::tokio::task::spawn_blocking(connect).await.unwrap()
        };
        let mut stops = first.events_of::<events::Stop>();
        let stopped = ::tokio::task::spawn_blocking(move || {
            second.execute(Stop::new()).unwrap();
            second.execute(QueryStatus::new()).unwrap().running
        });
        assert!(!stopped.await.unwrap());
        stops.next().await.unwrap().unwrap();
        assert!(!first.execute(QueryStatus::new()).await.unwrap().running);
        first.execute(Cont::new()).await.unwrap();
        // Out-of-band commands arrive as such.
        let error = first.execute_oob(MigratePause::new()).await.unwrap_err();
        assert!(error.server().is_some(), "{error}");
    }
    super::support::eventually("clients are left", || proxy.counts().clients == 0);
}

#[test]
fn a_read_only_client_learns_why() {
    let proxy = proxy();
    let client = blocking(&proxy, Access::new().policy(Policy::read_only()));
    assert!(client.execute(QueryStatus::new()).unwrap().running);
    let error = client.execute(Stop::new()).unwrap_err();
    assert!(error.is_command_not_found());
    assert!(error.to_string().contains("the proxy is read-only"), "{error}");
}
