//! Drives a machine with the crate `qapi`.

use std::io::BufReader;
use std::os::unix::net::UnixStream;

use qapi::{qmp, Qmp};

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("blocking"), Some(address)) => blocking(&address),
        (Some("tokio"), Some(address)) => on_tokio(&address),
        _ => panic!("usage: qapi-client blocking|tokio ADDRESS"),
    }
}

fn blocking(address: &str) {
    let stream = UnixStream::connect(address).unwrap();
    let output = stream.try_clone().unwrap();
    let mut client = Qmp::new(qapi::Stream::new(BufReader::new(stream), output));
    client.handshake().unwrap();
    assert!(client.execute(&qmp::query_status {}).unwrap().running);
    client.execute(&qmp::stop {}).unwrap();
    assert!(!client.execute(&qmp::query_status {}).unwrap().running);
    let stopped = client.events().any(|event| matches!(event, qmp::Event::STOP { .. }));
    assert!(stopped);
    assert!(!client.execute(&qmp::query_block {}).unwrap().is_empty());
    client.execute(&qmp::quit {}).unwrap();
}

#[tokio::main(flavor = "current_thread")]
async fn on_tokio(address: &str) {
    let stream = qapi::futures::QmpStreamTokio::open_uds(address).await.unwrap();
    let stream = stream.negotiate().await.unwrap();
    let (client, driver) = stream.spawn_tokio();
    client.execute(qmp::stop {}).await.unwrap();
    assert!(!client.execute(qmp::query_status {}).await.unwrap().running);
    assert!(!client.execute(qmp::query_block {}).await.unwrap().is_empty());
    client.execute(qmp::quit {}).await.unwrap();
    drop(client);
    driver.await.unwrap();
}
