//! Making a disk independent of the images below it, while the VM runs.
//!
//! A VM that was cloned quickly runs on an overlay of a template. `block-stream` copies up what the
//! overlay has not got, and takes the images below away in the end. This job is never *ready*: it
//! is over when it is done. `run_job` waits for that, by the name that the job was given, asks
//! what became of it, and dismisses it.
//!
//! A job that fails changes nothing: the overlay stands on what it stood on.
//!
//! ```console
//! $ cargo run --example stream --features tokio -- unix:/run/vm.sock disk0
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::qmp::commands::{BlockStream, QueryBlockJobs, QueryNamedBlockNodes};
use qmp_client::{Client, JobOutcome, Result};

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

/// Makes this node stand on no other.
pub async fn run(address: &str, node: &str, patience: Duration) -> Result<JobOutcome> {
    let vm = Client::connect(address).await?;
    println!("{node} stands on {} images", depth(&vm, node).await?);

    let job = format!("stream-{node}");
    let stream = BlockStream::new(node).job_id(job.as_str()).auto_dismiss(false);
    let running = vm.run_job(stream, &job, patience);
    // The client is there for others meanwhile: here, for somebody who watches.
    let outcome = tokio::select! {
        outcome = running => outcome?,
        error = watch(&vm, &job) => return Err(error),
    };
    match &outcome.error {
        Some(error) => println!("the stream failed: {error}"),
        None => println!("{node} stands on {} images", depth(&vm, node).await?),
    }
    Ok(outcome)
}

/// Says how far it is; ends only with the connection.
async fn watch(vm: &Client, job: &str) -> qmp_client::Error {
    loop {
        match vm.execute(QueryBlockJobs::new()).await {
            // `device` is the name of the job.
            Ok(jobs) => {
                for it in jobs.iter().filter(|it| it.device == job) {
                    println!("{} of {} bytes", it.offset, it.len);
                }
            }
            Err(error) => return error,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn depth(vm: &Client, node: &str) -> Result<i64> {
    let nodes = vm.execute(QueryNamedBlockNodes::new().flat(true)).await?;
    let found = nodes.into_iter().find(|it| it.node_name.as_deref() == Some(node));
    Ok(found.map_or(0, |it| it.backing_file_depth))
}
