//! Serves the counters of a host's monitors to Prometheus:
//!
//! ```console
//! $ metrics 127.0.0.1:9178 vm1=unix:/run/vm1.sock /run/machines
//! $ curl http://127.0.0.1:9178/metrics
//! qmp_connected{host="node1",machine="vm1"} 1
//! qmp_run_state{host="node1",machine="vm1",state="running"} 1
//! ```
//!
//! Each `NAME.sock` in the directory is a machine, also one that appears later. The monitors serve this
//! program alone: `qmp proxy` lets several programs share one.
//!
//! - The counters of a machine go on when its connection is made again, and begin at zero when this program
//!   is started, which Prometheus expects.
//! - Anyone who can connect to the port can read the names of the machines and their states. Nothing that is
//!   served is secret, and nothing can be changed.
//!
//! SIGTERM or SIGINT ends it. A program that is killed leaves nothing in QEMU.

use std::process::ExitCode;

use fleet::machines::{Fleet, host_name};
use fleet::metrics::{Board, render, serve, watch};
use fleet::{say, stopped};
use qmp_client::Options;
use qmp_vm::supervise::Supervision;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((address, machines)) = arguments.split_first() else {
        eprintln!("usage: metrics HOST:PORT NAME=ADDRESS|DIRECTORY...");
        return ExitCode::from(2);
    };
    match run(address, machines).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("metrics: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(address: &str, machines: &[String]) -> Result<(), String> {
    // A call in an outage fails at once: the state is not known then.
    let policy = || Supervision::new().fail_fast().options(Options::new().message_size(4 << 20));
    let fleet = Fleet::new(host_name(), machines)?.policy(policy);
    let stop = stopped()?;
    let cannot = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let local = listener.local_addr().map_err(cannot)?;
    say(&format!("serving the machines of {} on http://{local}/metrics", fleet.host));
    let board = Board::new();
    let (host, shown) = (fleet.host.clone(), board.clone());
    tokio::select! {
        () = fleet.attend(|machine| watch(machine, &board)) => Ok(()),
        () = serve(listener, move || render(&host, &shown)) => Ok(()),
        () = stop => Ok(()),
    }
}
