//! The blocking client: a keeper that is a thread, and threads that wait.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use qmp_client::blocking::{Client, over};
use qmp_client::protocol::Descriptor;
use qmp_client::transport::Transport;
use qmp_client::{Closed, Options, Result, TransportError};

use super::connection::Ended;
use super::front::{Limits, Opening, Supervisable};
use super::handle::Supervised;
use super::keep::keep;
use super::nonblocking::no_stream;
use super::shared::{Hold, Phase, Shared, State};
use super::supervision::Supervision;
use crate::monitor::Monitor;

/// The time after which a thread that waits for QEMU to connect looks whether it is still needed.
const SLICE: Duration = Duration::from_millis(200);

type Open = Box<dyn FnMut(Duration) -> io::Result<Socket> + Send>;

/// A stream, and the process at the other end.
pub(crate) type Socket = (Arc<dyn Transport>, Option<u32>);

/// Where a monitor is reached, for the blocking client: an address, a listener with which QEMU
/// connects, or a function that connects. The functions of [this module](crate::blocking) create it.
pub struct Source {
    name: Box<str>,
    open: Open,
    /// Whether it waits until QEMU connects, however long that takes.
    waits: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn new(
        name: impl Into<Box<str>>,
        waits: bool,
        open: impl FnMut(Duration) -> io::Result<Socket> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), open: Box::new(open), waits }
    }
}

/// Starts the thread that keeps a connection.
pub(crate) fn start(source: Source, policy: Supervision) -> Result<Supervised<Client>> {
    let shared = Arc::new(Shared::new(source.name.clone(), Instant::now, &policy, Client::close));
    let supervised = Supervised::new(Hold::new(Arc::clone(&shared)));
    let thread = std::thread::Builder::new().name("qmp-supervise".to_owned());
    let keeper = move || {
        let end = End(shared);
        Client::run(keep(Arc::clone(&end.0), source, policy));
    };
    thread.spawn(keeper).map_err(|error| TransportError::new("cannot start a thread", error))?;
    Ok(supervised)
}

/// Ends the supervision when the thread ends, also if the policy of the program panics.
struct End(Arc<Shared<Client>>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.enter(Phase::Ended(Ended::NoKeeper));
    }
}

/// A transport that another thread can close.
#[derive(Clone, Debug)]
struct Closable(Arc<dyn Transport>);

impl Transport for Closable {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.0.read(buffer, timeout)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.0.write(bytes, descriptors, timeout)
    }

    fn close(&self) {
        self.0.close();
    }

    fn passes_descriptors(&self) -> bool {
        self.0.passes_descriptors()
    }

    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        self.0.wait_readable(timeout)
    }

    fn has_arrived(&self) -> bool {
        self.0.has_arrived()
    }
}

impl Supervisable for Client {
    type Source = Source;
    type Io = ();

    async fn open(
        shared: &Arc<Shared<Self>>,
        source: &mut Source,
        options: &Options,
        limits: Limits,
    ) -> Result<Opening<Self>> {
        let (stream, peer) =
            connect(shared, source, limits).map_err(|error| no_stream(&source.name, error))?;
        let interrupt = Arc::clone(&stream);
        let deserted = {
            let mut state = shared.lock();
            state.interrupt = Some(Box::new(move || interrupt.close()));
            state.deserted
        };
        if deserted {
            stream.close();
        }
        match over(Closable(stream), options).negotiate() {
            Ok(client) => Ok(Opening { client, io: (), peer }),
            Err(error) => {
                let interrupt = shared.lock().interrupt.take();
                drop(interrupt);
                Err(error)
            }
        }
    }

    async fn beside<T: Send>((): &mut (), future: impl Future<Output = T> + Send) -> T {
        future.await
    }

    async fn serve(client: &Self, (): ()) -> Closed {
        client.closed()
    }

    fn close(client: &Self) {
        client.close();
    }

    fn server_version(client: &Self) -> String {
        client.version().to_string()
    }

    async fn wait<T: Send>(
        shared: &Shared<Self>,
        deadline: Option<Instant>,
        look: impl FnMut(&mut State<Self>) -> Option<T> + Send,
    ) -> Option<T> {
        wait(shared, deadline, look)
    }
}

fn wait<T>(
    shared: &Shared<Client>,
    deadline: Option<Instant>,
    mut look: impl FnMut(&mut State<Client>) -> Option<T>,
) -> Option<T> {
    let mut state = shared.lock();
    loop {
        if let Some(found) = look(&mut state) {
            return Some(found);
        }
        state = match deadline {
            None => shared.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                let waited = shared.bell.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// Opens a stream. One that waits for QEMU to connect does so in slices, between which it looks
/// whether it is still needed.
fn connect(shared: &Shared<Client>, source: &mut Source, limits: Limits) -> io::Result<Socket> {
    if !source.waits {
        return (source.open)(limits.within);
    }
    loop {
        let left =
            limits.give_up.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        match (source.open)(left.min(SLICE)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut && left > SLICE => {
                if shared.lock().deserted {
                    return Err(error);
                }
            }
            opened => return opened,
        }
    }
}

/// Waits until a listener has a connection to accept.
#[cfg(unix)]
pub(crate) fn wait_readable(socket: impl std::os::fd::AsFd, within: Duration) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec::try_from(within).ok();
    match poll(&mut [PollFd::new(&socket, PollFlags::IN)], timeout.as_ref())? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
