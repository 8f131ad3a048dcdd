//! Measures a command that goes through a proxy in this process, together with the client that sends it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use qmp_client::qmp::commands::QueryStatus;
use qmp_client::transport::Unix;
use qmp_client::{Address, Options, blocking};
use qmp_vm::proxy::{Access, Proxy};
use rustix::event::{PollFd, PollFlags, poll};

use crate::Anything;
use crate::entry::Task;
use crate::measure::Meter;

/// Without a proxy.
pub fn direct(task: &Task<'_>) -> Anything<f64> {
    measure(task, UnixStream::connect(task.path)?)
}

/// Through a thread that passes on bytes. The lower bound of a proxy with a thread of its own.
pub fn relay(task: &Task<'_>) -> Anything<f64> {
    let (client, inner) = UnixStream::pair()?;
    let outer = UnixStream::connect(task.path)?;
    std::thread::spawn(move || pass_on(&inner, &outer));
    measure(task, client)
}

pub fn ours(task: &Task<'_>) -> Anything<f64> {
    let proxy = Proxy::connect_to(&Address::Unix(task.path.into()))?;
    measure(task, proxy.connect(Access::new())?)
}

fn measure(task: &Task<'_>, stream: UnixStream) -> Anything<f64> {
    let client = blocking::Client::over(Unix::from_stream(stream)?, &Options::new())?;
    let meter = Meter::start();
    for _ in 0..task.count {
        client.execute(QueryStatus::new())?;
    }
    Ok(meter.each(task.count))
}

fn pass_on(inner: &UnixStream, outer: &UnixStream) -> Anything {
    let mut buffer = [0; 4096];
    loop {
        let mut fds = [inner, outer].map(|stream| PollFd::new(stream, PollFlags::IN));
        poll(&mut fds, None)?;
        for (fd, (mut from, mut to)) in fds.iter().zip([(inner, outer), (outer, inner)]) {
            if fd.revents().is_empty() {
                continue;
            }
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                length => to.write_all(&buffer[..length])?,
            }
        }
    }
}
