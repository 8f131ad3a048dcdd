//! Makes a disk independent of its backing images, while the VM runs.
//!
//! A VM that was cloned quickly runs on an overlay of a template. `block-stream` copies everything
//! into the overlay that it does not have yet, and finally detaches the backing images. This job
//! never becomes *ready*: it ends by itself. `run_job` waits until an event tells how it has ended. If
//! the job fails, nothing has changed: the overlay keeps its backing images.
//!
//! If this program is killed, nothing is left in QEMU: the job goes on to its end, and dismisses
//! itself. With `auto-dismiss=false`, it would stay with its outcome, and keep its id from being used
//! again.
//!
//! ```console
//! $ cargo run --example stream --features tokio -- unix:/run/vm.sock disk0
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::qmp::commands::{BlockStream, QueryBlockJobs, QueryNamedBlockNodes};
use qmp_client::{Client, Result};
use qmp_vm::{JobOutcome, Workflows};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, node] = &arguments[..] else {
        return Err("usage: stream ADDRESS NODE".into());
    };
    let outcome = run(address, node, Duration::from_secs(24 * 60 * 60)).await;
    match outcome.map_err(|error| error.report())?.error {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Makes a node independent of all others.
pub async fn run(address: &str, node: &str, patience: Duration) -> Result<JobOutcome> {
    let vm = Client::connect(address).await?;
    println!("{node} has {} backing images", depth(&vm, node).await?);

    let job = format!("stream-{node}");
    let stream = BlockStream::new(node).job_id(job.as_str());
    let running = vm.run_job(stream, &job, patience);
    // Other tasks can use the client meanwhile. This one reports the progress.
    let outcome = tokio::select! {
        outcome = running => outcome?,
        error = watch(&vm, &job) => return Err(error),
    };
    match &outcome.error {
        Some(error) => println!("the stream failed: {error}"),
        None => println!("{node} has {} backing images", depth(&vm, node).await?),
    }
    Ok(outcome)
}

/// Prints the progress of a job, until an error ends the connection.
async fn watch(vm: &Client, job: &str) -> qmp_client::Error {
    loop {
        match vm.execute(QueryBlockJobs::new()).await {
            // The member `device` is the id of the job.
            Ok(jobs) => {
                for it in jobs.iter().filter(|it| it.device == job) {
                    println!("{} of {} bytes", it.offset, it.len);
                }
            }
            Err(error) => return error,
        }
        vm.pause(Duration::from_secs(1)).await;
    }
}

async fn depth(vm: &Client, node: &str) -> Result<i64> {
    let nodes = vm.execute(QueryNamedBlockNodes::new().flat(true)).await?;
    let found = nodes.into_iter().find(|it| it.node_name.as_deref() == Some(node));
    Ok(found.map_or(0, |it| it.backing_file_depth))
}
