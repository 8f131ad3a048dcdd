//! Runs every scenario with the client on streams of `futures-io`.

#![cfg(all(unix, feature = "futures-io"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

#[macro_use]
mod scenarios;

use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_io::{Async, block_on};
use futures_io::{AsyncRead, AsyncWrite};
use qmp_client::Dropped;
use qmp_client::futures_io::over;
use qmp_client::{Client, Error, Events, Options, RawEvent, Request};

use scenarios::Front;

/// Reads and writes one byte at a time.
struct Dripping(Async<UnixStream>);

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, &mut buffer[..1])
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..1])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

struct Smol {
    client: Client,
    events: Events,
}

impl Front for Smol {
    fn connect(stream: UnixStream, drip: bool, options: &Options) -> Result<Self, Error> {
        let stream = Async::new(stream).unwrap();
        // Before the driver runs, since some events arrive before the greeting.
        let (connecting, events) = if drip {
            let (connecting, driver) = over(Dripping(stream), options);
            let events = connecting.raw_events().unwrap();
            std::thread::spawn(|| block_on(driver));
            (connecting, events)
        } else {
            let (connecting, driver) = over(stream, options);
            let events = connecting.raw_events().unwrap();
            std::thread::spawn(|| block_on(driver));
            (connecting, events)
        };
        block_on(connecting).map(|client| Self { client, events })
    }

    fn execute<R: Request>(&mut self, request: R, within: Duration) -> Result<R::Return, Error> {
        block_on(self.client.call(request).within(within).execute())
    }

    fn execute_all<R: Request>(&mut self, requests: Vec<R>) -> Vec<Result<R::Return, Error>> {
        let mut calls: Vec<_> = requests.into_iter().map(|one| self.client.execute(one)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        // The driver runs in its own thread, so some may be answered by then.
        let polled: Vec<_> = calls.iter_mut().map(|call| Pin::new(call).poll(&mut cx)).collect();
        let calls = calls.into_iter().zip(polled);
        calls
            .map(|(call, polled)| match polled {
                Poll::Ready(result) => result,
                Poll::Pending => block_on(call),
            })
            .collect()
    }

    fn cancel<R: Request>(&mut self, request: R) {
        let mut call = pin!(self.client.execute(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }

    fn event(&mut self, within: Duration) -> Result<RawEvent, Error> {
        match block_on(self.events.next_within(within)) {
            Some(event) => event,
            None => Err(Error::Closed(Box::new(self.client.ended().unwrap()))),
        }
    }

    fn dropped(&self) -> Dropped {
        self.client.dropped()
    }
}

scenarios!(Smol);
