//! The three front ends on the stream in memory.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qmp_client::transport::Transport;
use qmp_client::{Client, Connecting, Error, Raw, blocking, protocol};
use serde_json::Value;

use super::stream::{Read, Stream, Write};
use super::{Front, Plan, Played};

/// The stream, as all front ends share it.
#[derive(Debug)]
struct Shared {
    stream: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    stream: Stream,
    reader: Option<Waker>,
    is_closed: bool,
}

#[derive(Clone, Debug)]
struct Pipe(Arc<Shared>);

impl Pipe {
    fn new(stream: Stream) -> Self {
        let inner = Inner { stream, reader: None, is_closed: false };
        Self(Arc::new(Shared { stream: Mutex::new(inner), changed: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_read(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        Poll::Ready(match inner.stream.read(buffer) {
            Read::Some(count) => Ok(count),
            Read::Ended => Ok(0),
            Read::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Read::Nothing => {
                inner.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Read::NotNow => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        let written = inner.stream.write(bytes);
        let reader = inner.reader.take();
        drop(inner);
        reader.into_iter().for_each(Waker::wake);
        match written {
            Write::Some(count) => Poll::Ready(Ok(count)),
            Write::Broken => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Write::NotNow => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Transport for Pipe {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut inner = self.lock();
        loop {
            match inner.stream.read(buffer) {
                _ if inner.is_closed => return Ok(0),
                Read::Some(count) => return Ok(count),
                Read::Ended => return Ok(0),
                Read::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                // An interrupted system call.
                Read::NotNow => return Err(io::ErrorKind::Interrupted.into()),
                Read::Nothing => {}
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let (changed, left) = (&self.0.changed, left.unwrap_or(Duration::from_secs(3600)));
            let waited = changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(
        &self,
        bytes: &[u8],
        _: &[protocol::Descriptor],
        _: Option<Duration>,
    ) -> io::Result<usize> {
        let written = self.lock().stream.write(bytes);
        self.0.changed.notify_all();
        match written {
            Write::Some(count) => Ok(count),
            Write::Broken => Err(io::ErrorKind::BrokenPipe.into()),
            Write::NotNow => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl tokio::io::AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Self::poll_read(&self, cx, buffer.initialize_unfilled());
        read.map_ok(|count| buffer.advance(count))
    }
}

impl tokio::io::AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl futures_io::AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_read(&self, cx, buffer)
    }
}

impl futures_io::AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Plays a plan with a front end.
pub(crate) fn play(plan: &Plan) -> Played {
    let pipe = Pipe::new(Stream::new(&plan.session, plan.fault));
    let mut played = Played::default();
    match plan.front {
        Front::Blocking => play_blocking(plan, pipe.clone(), &mut played),
        Front::Tokio => tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(async {
                let now = || tokio::time::Instant::now().into_std();
                let (connecting, driver) = qmp_client::tokio::over(pipe.clone(), &plan.options());
                beside(driver, play_async(plan, connecting, &mut played, now)).await;
            }),
        Front::FuturesIo => async_io::block_on(async {
            let options = plan.options();
            let (connecting, driver) = qmp_client::futures_io::over(pipe.clone(), &options);
            beside(driver, play_async(plan, connecting, &mut played, Instant::now)).await;
        }),
    }
    let inner = pipe.lock();
    played.struck = inner.stream.struck;
    played.lengths = inner.stream.lengths();
    played.received.clone_from(&inner.stream.received);
    played.sent.clone_from(&inner.stream.sent);
    played
}

/// Polls a driver until another future is ready.
async fn beside<T>(driver: impl Future<Output = ()>, future: impl Future<Output = T>) -> T {
    let (mut driver, mut future) = (pin!(driver), pin!(future));
    let mut is_done = false;
    poll_fn(|cx| {
        is_done = is_done || driver.as_mut().poll(cx).is_ready();
        future.as_mut().poll(cx)
    })
    .await
}

type Result<T> = std::result::Result<T, Error>;

impl Played {
    fn add(&mut self, begin: Instant, now: Instant, result: Result<Value>) {
        self.calls.push((result, now.saturating_duration_since(begin)));
    }
}

fn play_blocking(plan: &Plan, pipe: Pipe, played: &mut Played) {
    let client = match blocking::Client::over(pipe, &plan.options()) {
        Ok(client) => client,
        Err(error) => return played.refused = Some(error),
    };
    let mut events = client.raw_events();
    let requests: Vec<Raw> = plan.session.steps.iter().map(super::session::Step::request).collect();
    if plan.pipelined {
        let begin = Instant::now();
        let sent: Vec<_> = requests.into_iter().map(|request| client.send(request)).collect();
        for ticket in sent {
            let result = ticket.and_then(blocking::Ticket::receive);
            played.add(begin, Instant::now(), result);
        }
    } else {
        for request in requests {
            let begin = Instant::now();
            let result = client.execute(request);
            played.add(begin, Instant::now(), result);
            if played.is_hopeless() {
                break;
            }
        }
    }
    // The last events have arrived with the last reply.
    while let Some(Ok(event)) = events.next_within(Duration::ZERO) {
        played.events.push(event.name.to_string());
    }
    drop(events);
    played.pending = client.pending();
    played.stats = client.stats();
}

async fn play_async(
    plan: &Plan,
    connecting: Connecting,
    played: &mut Played,
    now: impl Fn() -> Instant,
) {
    let client: Client = match connecting.await {
        Ok(client) => client,
        Err(error) => return played.refused = Some(error),
    };
    let mut events = client.raw_events();
    let requests: Vec<Raw> = plan.session.steps.iter().map(super::session::Step::request).collect();
    if plan.pipelined {
        let begin = now();
        let sent: Vec<_> = requests.into_iter().map(|request| client.send(request)).collect();
        for ticket in sent {
            let result = match ticket {
                Ok(ticket) => ticket.receive().await,
                Err(error) => Err(error),
            };
            played.add(begin, now(), result);
        }
    } else {
        for request in requests {
            let begin = now();
            let result = client.execute(request).await;
            played.add(begin, now(), result);
            if played.is_hopeless() {
                break;
            }
        }
    }
    while let Some(Ok(event)) = events.next_within(Duration::ZERO).await {
        played.events.push(event.name.to_string());
    }
    drop(events);
    played.pending = client.pending();
    played.stats = client.stats();
}
