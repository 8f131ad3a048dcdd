//! A connection that is cut after some number of bytes, in the middle of whatever is being sent.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

/// Connects a stream to a server for this many bytes in both directions together.
pub fn cut_after(server: UnixStream, bytes: i64) -> UnixStream {
    let (client, ours) = UnixStream::pair().unwrap();
    let left = Arc::new(AtomicI64::new(bytes));
    let (server_too, ours_too) = (server.try_clone().unwrap(), ours.try_clone().unwrap());
    let left_too = Arc::clone(&left);
    thread::spawn(move || forward(server, ours, &left));
    thread::spawn(move || forward(ours_too, server_too, &left_too));
    client
}

fn forward(mut from: UnixStream, mut to: UnixStream, left: &AtomicI64) {
    let mut buffer = [0; 4096];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        let before = left.fetch_sub(length as i64, Ordering::SeqCst);
        let length = length.min(usize::try_from(before).unwrap_or(0));
        let is_sent = to.write_all(&buffer[..length]).is_ok();
        if length == 0 || !is_sent || left.load(Ordering::SeqCst) <= 0 {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
