//! Measures the costs of clients side by side, in one run. See README.md.
//!
//! `jobs` is the table of what is measured. Each entry runs in a process of its own, which measures
//! itself; `table` starts these processes and their servers, and prints the figures.

mod capabilities;
mod decode;
mod entry;
mod floors;
mod generate;
mod jobs;
mod measure;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod proxy;
mod scale;
mod serve;
mod server;
mod table;

use std::error::Error;

use crate::entry::{Side, Task};
use crate::jobs::JOBS;

pub type Anything<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Anything {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", path, count] => serve::serve(path, count.parse()?),
        ["clients", job, count, path] => server::clients(job, count.parse()?, path),
        ["pace", path] => scale::serve(path),
        ["job", client, job, count, path] => run(client, job, count.parse()?, path),
        ["counted"] => counted(),
        _ => table::Plan::parse(&arguments)?.run(),
    }
}

fn run(client: &str, job: &str, count: usize, path: &str) -> Anything {
    let job = JOBS.iter().find(|known| known.name == job).ok_or("no such job")?;
    let entry = job.entries().find(|entry| entry.client == client).ok_or("no such client")?;
    println!("{}", (entry.run)(&Task { count, path })?);
    Ok(())
}

/// Lists the entries whose instructions and system calls are of interest, for the scripts: the job, the
/// client, two numbers of operations, and whose code it is.
fn counted() -> Anything {
    for job in JOBS {
        let Some((less, more)) = job.counted else { continue };
        for entry in job.entries() {
            let side = match entry.side {
                Side::Floor => "floor",
                Side::Ours => "ours",
                Side::Peer => "peer",
            };
            println!("{}\t{}\t{less}\t{more}\t{side}", job.name, entry.client);
        }
    }
    Ok(())
}
