//! Looks up the addresses of hosts.
//!
//! The system does not limit the time that this takes. So a thread does it, and is left alone if it
//! takes too long: neither a deadline nor the end of a runtime waits for it.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
#[cfg(feature = "blocking")]
use std::time::Duration;
use std::vec;

/// The stack of the thread, in bytes: as much as the standard library gives to any thread, unless
/// `RUST_MIN_STACK` says otherwise, for which a small program need not look.
const STACK: usize = 2 << 20;

type Found = io::Result<vec::IntoIter<SocketAddr>>;

/// A look-up that a thread does. A thread can wait for the result, and so can a task.
#[derive(Debug)]
pub(crate) struct Lookup(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    found: Condvar,
}

#[derive(Debug, Default)]
struct State {
    found: Option<Found>,
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, found: Found) {
        let mut state = self.lock();
        state.found = Some(found);
        let waker = state.waker.take();
        drop(state);
        self.found.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Lookup {
    /// Looks up the addresses of a host.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn new(host: &str, port: u16) -> io::Result<Self> {
        if let Ok(address) = host.parse::<IpAddr>() {
            let shared = Arc::<Shared>::default();
            shared.set(Ok(vec![(address, port).into()].into_iter()));
            return Ok(Self(shared));
        }
        let host = host.to_owned();
        Self::start(move || (host.as_str(), port).to_socket_addrs())
    }

    fn start(find: impl FnOnce() -> Found + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new().stack_size(STACK).spawn(move || of_thread.set(find()))?;
        Ok(Self(shared))
    }

    /// Waits for the addresses at most `within`.
    ///
    /// # Errors
    /// The system's, and [`TimedOut`](io::ErrorKind::TimedOut).
    #[cfg(feature = "blocking")]
    pub(crate) fn wait(&self, within: Duration) -> Found {
        let is_open = |state: &mut State| state.found.is_none();
        let waited = self.0.found.wait_timeout_while(self.0.lock(), within, is_open);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.found.take().unwrap_or_else(|| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the look-up of the host takes too long"))
        })
    }
}

impl Future for Lookup {
    type Output = Found;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Found> {
        let mut state = self.0.lock();
        if let Some(found) = state.found.take() {
            return Poll::Ready(found);
        }
        let replaced = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Instant;

    /// A look-up that ends when the sender is dropped.
    fn slow() -> (Lookup, std::sync::mpsc::Sender<()>) {
        let (sender, receiver) = channel::<()>();
        let find = move || {
            let _ = receiver.recv();
            Ok(vec![([127, 0, 0, 1], 4444).into()].into_iter())
        };
        (Lookup::start(find).unwrap(), sender)
    }

    #[test]
    #[cfg(feature = "blocking")]
    fn a_look_up_takes_no_longer_than_its_deadline() {
        let (lookup, sender) = slow();
        let begin = Instant::now();
        let error = lookup.wait(Duration::from_millis(60)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        drop(sender);
        assert_eq!(lookup.wait(Duration::from_secs(10)).unwrap().len(), 1);
    }

    #[test]
    fn a_task_waits_for_a_look_up_without_blocking_its_thread() {
        struct Flag(std::sync::mpsc::Sender<()>);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                let _ = self.0.send(());
            }
        }
        let (mut lookup, sender) = slow();
        let (woken, wakes) = channel();
        let waker = Arc::new(Flag(woken)).into();
        let mut cx = Context::from_waker(&waker);
        let begin = Instant::now();
        assert!(Pin::new(&mut lookup).poll(&mut cx).is_pending());
        assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
        drop(sender);
        wakes.recv().unwrap();
        assert!(Pin::new(&mut lookup).poll(&mut cx).is_ready());
    }

    #[test]
    fn a_number_is_not_looked_up() {
        let mut lookup = Lookup::new("::1", 1).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(found) = Pin::new(&mut lookup).poll(&mut cx) else { unreachable!() };
        assert_eq!(found.unwrap().as_slice(), ["[::1]:1".parse().unwrap()]);
    }
}
