//! Tasks, and the flags that wake them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::random::Random;

/// Says that a task is to be polled.
#[derive(Debug, Default)]
struct Flag {
    woken: AtomicBool,
    /// Each of this many wakes is lost: a fault that is planted.
    loses: AtomicU32,
    wakes: AtomicU32,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (wakes, loses) = (self.wakes.fetch_add(1, Ordering::Relaxed), &self.loses);
        let loses = loses.load(Ordering::Relaxed);
        if loses == 0 || wakes % loses != loses - 1 {
            self.woken.store(true, Ordering::Relaxed);
        }
    }
}

pub(crate) struct Task {
    pub(crate) name: String,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    flag: Arc<Flag>,
    /// Whether what the task waits for is to be dropped the next time it is polled.
    pub(crate) cancel: Arc<AtomicBool>,
    loses: u32,
}

impl Task {
    pub(crate) fn new(
        name: String,
        cancel: Arc<AtomicBool>,
        loses: u32,
        future: impl Future<Output = ()> + 'static,
    ) -> Self {
        let flag = Arc::new(Flag::default());
        flag.loses.store(loses, Ordering::Relaxed);
        flag.woken.store(true, Ordering::Relaxed);
        Self { name, future: Some(Box::pin(future)), flag, cancel, loses }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.future.is_none()
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.future.is_some() && self.flag.woken.load(Ordering::Relaxed)
    }

    /// Takes the wake of the task, if it is woken, to be passed on later.
    pub(crate) fn take_woken(&mut self) -> Option<Waker> {
        let is_woken = self.is_woken();
        self.flag.woken.store(false, Ordering::Relaxed);
        is_woken.then(|| Waker::from(Arc::clone(&self.flag)))
    }

    /// Polls the task, now and then with another waker: only the latest one counts.
    pub(crate) fn poll(&mut self, random: &mut Random) {
        let Some(future) = &mut self.future else { return };
        if random.chance(200) {
            self.flag = Arc::new(Flag::default());
            self.flag.loses.store(self.loses, Ordering::Relaxed);
        }
        self.flag.woken.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.flag));
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.future = None;
        }
    }

    /// Drops what the task waits for.
    pub(crate) fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
        self.flag.woken.store(true, Ordering::Relaxed);
    }

    /// Drops the task.
    pub(crate) fn drop_future(&mut self) {
        self.future = None;
    }
}

/// Awaits a future until it is canceled: then the future is dropped, and the result is none.
pub(crate) async fn until_canceled<F: Future>(cancel: &AtomicBool, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|cx| {
        if cancel.swap(false, Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
