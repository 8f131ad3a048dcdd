//! Forwards the events of a host's machines to NATS, each under a subject of its own:
//!
//! ```console
//! $ forward_events nats://localhost:4222 vm1=unix:/run/vm1.sock /run/machines
//! $ nats subscribe 'qmp.*.*.SHUTDOWN'
//! ```
//!
//! Each `NAME.sock` in the directory is a machine, also one that appears later. The environment has the
//! broker's credentials: `NATS_USER` and `NATS_PASSWORD`, or `NATS_TOKEN`. The broker must allow to
//! publish below `qmp.`, and to subscribe to and publish below `_INBOX.`.
//!
//! - A message is sent until the broker confirms it, across restarts of the broker. Each has a number, so
//!   that a subscriber notices what it has missed, and what it has twice.
//! - Where events may be missing, because a connection was lost or the broker was away for too long, the
//!   machine's subject `connection` says so, and how many.
//!
//! SIGTERM or SIGINT ends it, after the broker has confirmed the last messages, or five seconds later. The
//! exit status is 1 if messages were not published, or the broker has sent errors. A program that is
//! killed leaves nothing in QEMU. The messages that the broker has not confirmed are lost, which
//! subscribers notice by another `run`.

use std::process::ExitCode;

use async_nats::ConnectOptions;
use fleet::forward::{self, Broker};
use fleet::machines::{Fleet, host_name};
use fleet::{say, stopped};
use qmp_client::Options;
use qmp_vm::supervise::Supervision;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((broker, machines)) = arguments.split_first() else {
        eprintln!("usage: forward_events nats://HOST:PORT NAME=ADDRESS|DIRECTORY...");
        return ExitCode::from(2);
    };
    match run(broker, machines).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("forward_events: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything was published.
async fn run(broker: &str, machines: &[String]) -> Result<bool, String> {
    // An event is small. What is longer ends the connection, instead of taking memory.
    let policy = || Supervision::new().options(Options::new().message_size(4 << 20));
    let fleet = Fleet::new(host_name(), machines)?.policy(policy);
    let stop = stopped()?;
    let broker = Broker::connect(broker, credentials()).await?;
    say(&format!("forwarding the events of the machines of {}", fleet.host));
    let counts = forward::run(&fleet, broker, stop).await?;
    say(&counts.to_string());
    Ok(counts.unpublished + counts.unconfirmed + counts.refused == 0)
}

fn credentials() -> ConnectOptions {
    let variable = |name| std::env::var(name).ok();
    match (variable("NATS_USER"), variable("NATS_PASSWORD"), variable("NATS_TOKEN")) {
        (Some(user), Some(password), _) => ConnectOptions::with_user_and_password(user, password),
        (_, _, Some(token)) => ConnectOptions::with_token(token),
        _ => ConnectOptions::new(),
    }
}
