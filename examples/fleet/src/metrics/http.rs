//! As much of HTTP as a scrape needs: one request a connection, whose head is limited in size and time.
//!
//! This is written by hand: it reads nothing of a request but its first line, and a server of the whole
//! protocol would be the largest part of the program.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::say;

/// The longest head of a request, in bytes.
const HEAD: usize = 8 << 10;

/// The greatest number of connections at a time. Others wait in the listener's queue.
const MOST: usize = 32;

/// The time that a client has to send its request, and to read the response.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers `GET /metrics` with the text that a function returns, for as long as it is polled.
pub async fn serve<R>(listener: TcpListener, render: R)
where
    R: Fn() -> String + Clone + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let render = render.clone();
                tokio::spawn(async move {
                    // A client that goes away is none of our business.
                    let _ = timeout(PATIENCE, answer(stream, render)).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Such as too many open files.
                say(&format!("cannot accept a connection: {error}"));
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, render: impl Fn() -> String) -> io::Result<()> {
    let mut head = Vec::new();
    let mut response = loop {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..count]);
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            break respond(&head, render);
        }
        if head.len() > HEAD {
            break plain("431 Request Header Fields Too Large", "the request is too large\n");
        }
    };
    if head.starts_with(b"HEAD ") {
        let end = response.find("\r\n\r\n").map_or(response.len(), |at| at + 4);
        response.truncate(end);
    }
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    // Until the client has closed it: closing with unread input would reset the connection, and the
    // client might not read the response.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

fn respond(head: &[u8], render: impl Fn() -> String) -> String {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_http = words.next().is_some_and(|version| version.starts_with(b"HTTP/1."));
    match (method, path) {
        _ if !is_http => plain("400 Bad Request", "not a request of HTTP/1.1\n"),
        (b"GET" | b"HEAD", b"/metrics") => {
            response("200 OK", "text/plain; version=0.0.4; charset=utf-8", &render())
        }
        (b"GET" | b"HEAD", _) => plain("404 Not Found", "the metrics are at /metrics\n"),
        _ => plain("405 Method Not Allowed", "only GET is allowed\n"),
    }
}

fn plain(status: &str, body: &str) -> String {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
         Connection: close\r\n\r\n{body}"
    )
}
