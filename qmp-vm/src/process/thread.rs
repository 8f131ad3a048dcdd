//! Threads for work that blocks, and futures of what they return.

use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use qmp_client::{Result, TransportError};

use super::sync::lock;

/// Spawns a thread.
///
/// # Errors
/// The system has no thread to offer.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("qmp-vm".to_owned()).spawn(work).map(|_| ())
}

/// Runs `work` on a new thread, and returns its result. If the future is dropped, the work goes on.
///
/// # Errors
/// The system has no thread to offer, or the work panicked.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let promise = Promise(Arc::new(Mutex::new(State::Running(None))));
    let state = Arc::clone(&promise.0);
    spawn(move || promise.keep(work())).map_err(failed)?;
    let result = std::future::poll_fn(move |cx| {
        let mut state = lock(&state);
        match std::mem::replace(&mut *state, State::Done(None)) {
            State::Done(result) => Poll::Ready(result),
            State::Running(earlier) => {
                *state = State::Running(Some(cx.waker().clone()));
                drop(state);
                // A waker may own a task: it is dropped after the lock is released.
                drop(earlier);
                Poll::Pending
            }
        }
    });
    result.await.ok_or_else(|| failed(io::Error::other("the thread panicked")).into())
}

fn failed(error: io::Error) -> TransportError {
    TransportError::new("cannot run work on a thread", error)
}

/// The thread's side: dropping it without a result means that the work panicked.
struct Promise<T>(Arc<Mutex<State<T>>>);

enum State<T> {
    Running(Option<Waker>),
    Done(Option<T>),
}

impl<T> Promise<T> {
    fn keep(self, result: T) {
        self.finish(Some(result));
    }

    fn finish(&self, result: Option<T>) {
        let mut state = lock(&self.0);
        if let State::Running(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Done(result);
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.finish(None);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Wake};

    use super::*;

    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let (sender, receiver) = mpsc::channel();
        let waker = Waker::from(Arc::new(Bell(sender)));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => receiver.recv().unwrap(),
            }
        }
    }

    #[test]
    fn the_result_arrives_and_a_panic_is_an_error() {
        assert_eq!(block_on(run(|| 7)).unwrap(), 7);
        let (sender, receiver) = mpsc::channel::<()>();
        let waits = async move {
            let work = run(move || receiver.recv().unwrap());
            sender.send(()).unwrap();
            work.await
        };
        block_on(waits).unwrap();
        assert!(block_on(run(|| assert!(std::env::args().count() == 0))).is_err());
    }
}
