//! The system below the copy of the server: sockets, a poller, a runtime and time, all in memory.
//!
//! A wait ends when what it waits for has happened. A short one, of less than [`SHORT`], may also end by
//! itself, after others have had a turn. A long one does not: what only its end would notice is late, and
//! here never happens. Waits for [`IDLE`] may end as often as a scenario [permits](permit_idle_ends).

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Add, Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LockResult, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{PollFlags, Timespec};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync as shuttled;
use shuttle::thread;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The time from which a wait does not end by itself.
const SHORT: Duration = Duration::from_millis(20);

/// The time after which a thread of the server without work ends.
const IDLE: Duration = Duration::from_secs(5);

// Time, which passes when a wait ends by itself.

thread_local! {
    // Threads of the scheduler share one of the system, and the time.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Instant(Duration);

impl Instant {
    pub fn now() -> Self {
        Self(NOW.get())
    }

    /// Returns the first moment.
    pub fn zero() -> Self {
        Self(Duration::ZERO)
    }

    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }

    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

/// Lets time pass, and others have a turn.
pub fn sleep(time: Duration) {
    NOW.set(NOW.get() + time);
    thread::yield_now();
}

// Locks as those of shuttle, with short waits that end.

#[derive(Debug, Default)]
pub struct Mutex<T>(shuttled::Mutex<T>);

pub struct MutexGuard<'m, T> {
    mutex: &'m Mutex<T>,
    guard: shuttled::MutexGuard<'m, T>,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(shuttled::Mutex::new(value))
    }

    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        // A panic does not matter: the code under test ignores it, too.
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard { mutex: self, guard })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[derive(Debug, Default)]
pub struct Condvar(shuttled::Condvar);

impl Condvar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    pub fn wait<'m, T>(&self, guard: MutexGuard<'m, T>) -> LockResult<MutexGuard<'m, T>> {
        let MutexGuard { mutex, guard } = guard;
        let guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard { mutex, guard })
    }

    /// Waits. Also returns whether that has taken too long.
    pub fn wait_timeout<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'m, T>, bool)> {
        if time >= SHORT {
            return Ok((unpoisoned(self.wait(guard)), false));
        }
        let mutex = guard.mutex;
        drop(guard);
        sleep(time);
        Ok((unpoisoned(mutex.lock()), true))
    }
}

fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

// Sockets.

shuttle::lazy_static! {
    static ref WORLD: Mutex<World> = Mutex::new(World { room: usize::MAX, ..World::default() });
    static ref CHANGED: Condvar = Condvar::new();
}

/// All sockets, and those who wait for them.
#[derive(Default)]
struct World {
    pipes: Vec<Pipe>,
    queues: Vec<VecDeque<UnixStream>>,
    wakers: Vec<Waker>,
    room: usize,
    idle_ends: usize,
}

/// One direction of a connection.
#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    has_reader: bool,
    has_writer: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Stream { input: usize, output: usize },
    Listener(usize),
}

/// A socket, which is closed when it is dropped.
#[derive(Debug)]
struct Open {
    kind: Kind,
    is_nonblocking: AtomicBool,
}

impl Open {
    fn new(kind: Kind) -> OwnedFd {
        OwnedFd(Arc::new(Self { kind, is_nonblocking: AtomicBool::new(false) }))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut world = world();
        let mut waiting = VecDeque::new();
        match self.kind {
            Kind::Stream { input, output } => {
                world.pipes[input].has_reader = false;
                world.pipes[output].has_writer = false;
            }
            Kind::Listener(queue) => waiting = std::mem::take(&mut world.queues[queue]),
        }
        announce(world);
        drop(waiting);
    }
}

/// Sets how many bytes fit into the way from the second to the first socket of the pairs that are created
/// in this schedule.
pub fn set_room(room: usize) {
    world().room = room;
}

/// Lets threads without work end this often in this schedule.
pub fn permit_idle_ends(count: usize) {
    world().idle_ends = count;
}

fn world() -> MutexGuard<'static, World> {
    unpoisoned(WORLD.lock())
}

fn announce(mut world: MutexGuard<'static, World>) {
    let wakers = std::mem::take(&mut world.wakers);
    drop(world);
    CHANGED.notify_all();
    wakers.into_iter().for_each(Waker::wake);
}

impl World {
    fn ready(&self, kind: Kind) -> PollFlags {
        let mut ready = PollFlags::empty();
        match kind {
            Kind::Listener(queue) => ready.set(PollFlags::IN, !self.queues[queue].is_empty()),
            Kind::Stream { input, output } => {
                let (input, output) = (&self.pipes[input], &self.pipes[output]);
                let has_ended = !input.has_writer || !input.has_reader;
                ready.set(PollFlags::IN, !input.bytes.is_empty() || has_ended);
                let has_room = output.bytes.len() < output.room;
                ready.set(PollFlags::OUT, has_room || !output.has_reader);
                ready.set(PollFlags::HUP, !input.has_writer && !output.has_reader);
            }
        }
        ready
    }

    fn read(&mut self, kind: Kind, bytes: &mut [u8]) -> io::Result<usize> {
        let Kind::Stream { input, .. } = kind else { return Err(ErrorKind::NotConnected.into()) };
        let pipe = &mut self.pipes[input];
        let count = pipe.bytes.len().min(bytes.len());
        if count == 0 && pipe.has_reader && pipe.has_writer {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (place, byte) in bytes.iter_mut().zip(pipe.bytes.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn write(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<usize> {
        let Kind::Stream { output, .. } = kind else { return Err(ErrorKind::NotConnected.into()) };
        let pipe = &mut self.pipes[output];
        if !pipe.has_reader || !pipe.has_writer {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(pipe.room - pipe.bytes.len());
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        pipe.bytes.extend(&bytes[..count]);
        Ok(count)
    }
}

fn read(kind: Kind, bytes: &mut [u8]) -> io::Result<usize> {
    let mut world = world();
    let count = world.read(kind, bytes)?;
    announce(world);
    Ok(count)
}

fn write(kind: Kind, bytes: &[u8]) -> io::Result<usize> {
    let mut world = world();
    let count = world.write(kind, bytes)?;
    announce(world);
    Ok(count)
}

/// Performs an action without waiting, and has the task woken by any change if it is not possible.
fn attempt<T>(
    cx: &Context<'_>,
    action: impl FnOnce(&mut World) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    let mut world = world();
    match action(&mut world) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            if !world.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                world.wakers.push(cx.waker().clone());
            }
            Poll::Pending
        }
        result => {
            announce(world);
            Poll::Ready(result)
        }
    }
}

/// A wait with a time limit.
struct Patience {
    limit: Option<Duration>,
    looks: usize,
}

impl Patience {
    fn new(limit: Option<Duration>) -> Self {
        let looks = match limit {
            Some(limit) if limit < SHORT && !limit.is_zero() => thread_rng().gen_range(1..4),
            _ => 0,
        };
        Self { limit, looks }
    }

    /// Waits for a change. Returns `None` at the end of the time.
    fn wait(
        &mut self,
        mut world: MutexGuard<'static, World>,
    ) -> Option<MutexGuard<'static, World>> {
        match self.limit {
            Some(limit) if limit < SHORT => {
                drop(world);
                if self.looks == 0 {
                    return None;
                }
                self.looks -= 1;
                sleep(if self.looks == 0 { limit } else { Duration::ZERO });
                Some(self::world())
            }
            Some(limit) if limit == IDLE && world.idle_ends > 0 && thread_rng().gen_bool(0.3) => {
                world.idle_ends -= 1;
                drop(world);
                sleep(limit);
                None
            }
            _ => Some(unpoisoned(CHANGED.wait(world))),
        }
    }
}

/// A file descriptor.
#[derive(Clone, Debug)]
pub struct OwnedFd(Arc<Open>);

#[derive(Clone, Copy, Debug)]
pub struct BorrowedFd<'f>(&'f OwnedFd);

impl BorrowedFd<'_> {
    pub fn try_clone_to_owned(self) -> io::Result<OwnedFd> {
        Ok(self.0.clone())
    }
}

pub trait AsFd {
    fn as_fd(&self) -> BorrowedFd<'_>;
}

impl AsFd for OwnedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        BorrowedFd(self)
    }
}

impl AsFd for BorrowedFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        *self
    }
}

impl<F: AsFd> AsFd for &F {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (**self).as_fd()
    }
}

impl<F: AsFd> AsFd for Arc<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (**self).as_fd()
    }
}

fn kind(fd: impl AsFd) -> Kind {
    fd.as_fd().0.0.kind
}

/// A connected socket. TCP is the same here.
#[derive(Clone, Debug)]
pub struct UnixStream(OwnedFd);
pub type TcpStream = UnixStream;

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<UnixStream> for OwnedFd {
    fn from(stream: UnixStream) -> Self {
        stream.0
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    Read,
    Write,
    Both,
}

pub fn shutdown(fd: impl AsFd, how: Shutdown) -> io::Result<()> {
    let mut world = world();
    if let Kind::Stream { input, output } = kind(fd) {
        if how != Shutdown::Write {
            world.pipes[input].has_reader = false;
        }
        if how != Shutdown::Read {
            world.pipes[output].has_writer = false;
        }
    }
    announce(world);
    Ok(())
}

impl UnixStream {
    pub fn pair() -> io::Result<(Self, Self)> {
        let mut world = world();
        let first = world.pipes.len();
        for room in [world.room, usize::MAX] {
            let bytes = VecDeque::new();
            world.pipes.push(Pipe { bytes, room, has_reader: true, has_writer: true });
        }
        drop(world);
        let stream = |input, output| Self(Open::new(Kind::Stream { input, output }));
        Ok((stream(first, first + 1), stream(first + 1, first)))
    }

    pub fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        self.0.0.is_nonblocking.store(is_nonblocking, Ordering::Relaxed);
        Ok(())
    }

    pub fn into_std(self) -> io::Result<Self> {
        Ok(self)
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Connects to a listener by its [address](UnixListener::local_addr).
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let (client, server) = Self::pair()?;
        let mut world = world();
        world.queues[usize::from(address.port())].push_back(server);
        announce(world);
        Ok(client)
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        shutdown(self, how)
    }

    /// Waits until a read or write is possible, unless the socket is non-blocking.
    fn wait(&self, flags: PollFlags) {
        if !self.0.0.is_nonblocking.load(Ordering::Relaxed) {
            let _ = poll(&mut [PollFd::new(self, flags)], None);
        }
    }
}

impl io::Read for &UnixStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.wait(PollFlags::IN);
        read(kind(*self), bytes)
    }
}

impl io::Write for &UnixStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT);
        write(kind(*self), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = |world: &mut World| world.read(kind(&*self), buffer.initialize_unfilled());
        attempt(cx, read).map_ok(|count| buffer.advance(count))
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        attempt(cx, |world| world.write(kind(&*self), bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }
}

/// A listener, to which clients [connect](Self::connect).
#[derive(Clone, Debug)]
pub struct UnixListener(OwnedFd);
pub type TcpListener = UnixListener;

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl UnixListener {
    pub fn new() -> Self {
        let mut world = world();
        world.queues.push(VecDeque::new());
        let queue = world.queues.len() - 1;
        drop(world);
        Self(Open::new(Kind::Listener(queue)))
    }

    /// Returns an address that is only a number.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let Kind::Listener(queue) = kind(self) else { unreachable!() };
        Ok((Ipv4Addr::LOCALHOST, u16::try_from(queue).unwrap()).into())
    }

    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.local_addr().unwrap()).unwrap()
    }

    pub fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        self.0.0.is_nonblocking.store(is_nonblocking, Ordering::Relaxed);
        Ok(())
    }

    pub fn accept(&self) -> io::Result<(UnixStream, ())> {
        if !self.0.0.is_nonblocking.load(Ordering::Relaxed) {
            let _ = poll(&mut [PollFd::new(self, PollFlags::IN)], None);
        }
        let Kind::Listener(queue) = kind(self) else { unreachable!() };
        let client = world().queues[queue].pop_front();
        client.map(|client| (client, ())).ok_or_else(|| ErrorKind::WouldBlock.into())
    }
}

/// A socket for [`poll`].
#[derive(Debug)]
pub struct PollFd {
    kind: Kind,
    wanted: PollFlags,
    ready: PollFlags,
}

impl PollFd {
    pub fn new(fd: &impl AsFd, wanted: PollFlags) -> Self {
        Self { kind: kind(fd), wanted, ready: PollFlags::empty() }
    }

    pub fn from_borrowed_fd(fd: BorrowedFd<'_>, wanted: PollFlags) -> Self {
        Self::new(&fd, wanted)
    }

    pub fn revents(&self) -> PollFlags {
        self.ready
    }
}

pub fn poll(fds: &mut [PollFd], timeout: Option<&Timespec>) -> rustix::io::Result<usize> {
    let mut patience = Patience::new(timeout.map(|time| {
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }));
    let mut world = world();
    loop {
        for fd in &mut *fds {
            fd.ready = world.ready(fd.kind) & (fd.wanted | PollFlags::HUP);
        }
        match fds.iter().filter(|fd| !fd.ready.is_empty()).count() {
            0 => match patience.wait(world) {
                Some(again) => world = again,
                None => return Ok(0),
            },
            count => return Ok(count),
        }
    }
}

/// A replacement for `threads/poller/kept.rs`.
#[derive(Debug)]
pub struct Poller(Mutex<BTreeMap<u64, (Kind, Option<PollFlags>)>>);

impl Poller {
    pub fn new() -> io::Result<Self> {
        Ok(Self(Mutex::default()))
    }

    pub fn add(&self, key: u64, socket: impl AsFd) -> io::Result<()> {
        self.change(key, Some((kind(socket), None)))
    }

    pub fn arm(&self, key: u64, socket: impl AsFd, wanted: PollFlags) -> io::Result<()> {
        self.change(key, Some((kind(socket), Some(wanted))))
    }

    pub fn remove(&self, key: u64, _: impl AsFd) {
        let _ = self.change(key, None);
    }

    fn change(&self, key: u64, socket: Option<(Kind, Option<PollFlags>)>) -> io::Result<()> {
        let world = world();
        let mut sockets = unpoisoned(self.0.lock());
        let is_known = sockets.remove(&key).is_some();
        match socket {
            Some((_, Some(_))) if !is_known => return Err(ErrorKind::NotFound.into()),
            Some(socket) => drop(sockets.insert(key, socket)),
            None => {}
        }
        drop(sockets);
        announce(world);
        Ok(())
    }

    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<(u64, PollFlags)>> {
        let mut patience = Patience::new(timeout);
        let mut world = world();
        loop {
            let mut sockets = unpoisoned(self.0.lock());
            let ready: Vec<(u64, PollFlags)> = sockets
                .iter()
                .filter_map(|(key, (kind, wanted))| {
                    Some((*key, world.ready(*kind) & ((*wanted)? | PollFlags::HUP)))
                })
                .filter(|(_, ready)| !ready.is_empty())
                .collect();
            if !ready.is_empty() {
                let (key, ready) = ready[thread_rng().gen_range(0..ready.len())];
                sockets.get_mut(&key).unwrap().1 = None;
                return Ok(Some((key, ready)));
            }
            drop(sockets);
            match patience.wait(world) {
                Some(again) => world = again,
                None => return Ok(None),
            }
        }
    }
}

/// A replacement for `socket.rs`.
pub mod socket {
    use super::*;
    use crate::client::Identity;

    #[derive(Debug)]
    pub struct Socket(OwnedFd, Identity);

    impl From<UnixStream> for Socket {
        fn from(stream: UnixStream) -> Self {
            Self(stream.into(), Identity::default())
        }
    }

    impl AsFd for Socket {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Socket {
        pub(crate) fn identity(&self) -> &Identity {
            &self.1
        }
    }

    #[derive(Debug)]
    pub(crate) struct Received {
        pub(crate) count: usize,
        pub(crate) descriptors: Vec<crate::Descriptor>,
    }

    pub(crate) fn write(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        super::write(kind(socket), bytes)
    }

    pub(crate) fn read(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<Received> {
        let count = super::read(kind(socket), bytes)?;
        Ok(Received { count, descriptors: Vec::new() })
    }

    pub(crate) fn set_timeout(_: impl AsFd, time: Duration) -> io::Result<()> {
        assert_eq!(time, SHORT, "the time that a thread stays with a client");
        Ok(())
    }

    pub(crate) fn read_waiting(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<Received> {
        let time = Timespec::try_from(SHORT / 2).unwrap();
        let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&time));
        read(socket, bytes)
    }

    pub(crate) fn close_gently(socket: impl AsFd) {
        let _ = shutdown(&socket, Shutdown::Write);
        let mut bytes = [0; 100];
        while matches!(read(&socket, &mut bytes), Ok(Received { count: 1.., .. })) {}
    }

    pub(crate) fn is_not_ready(error: &io::Error) -> bool {
        error.kind() == ErrorKind::WouldBlock
    }
}

/// Spawns a thread of a scope, of which the builder of the scheduler's threads has none.
pub fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<thread::ScopedJoinHandle<'scope, T>> {
    Ok(scope.spawn(work))
}

/// A replacement for a runtime of tokio.
#[derive(Clone, Debug)]
pub struct Handle;

impl Handle {
    pub fn try_current() -> Result<Self, ()> {
        Ok(Self)
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(future));
    }
}

/// A replacement for `tokio/watched.rs`.
#[derive(Debug)]
pub(crate) struct Watched(Arc<OwnedFd>);

impl Watched {
    pub(crate) fn new(socket: impl Into<OwnedFd>, _: Handle) -> io::Result<Self> {
        Ok(Self(Arc::new(socket.into())))
    }

    pub(crate) fn writer(&self) -> Arc<crate::peer::Write> {
        let socket = Arc::clone(&self.0);
        Arc::new(move |bytes: &[u8]| socket::write(&*socket, bytes))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        attempt(cx, |world| world.write(kind(&*self.0), bytes))
    }

    pub(crate) fn flushed(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        attempt(cx, |world| match world.ready(kind(&*self.0)).contains(PollFlags::HUP) {
            true => Ok(()),
            false => Err(ErrorKind::WouldBlock.into()),
        })
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        attempt(cx, |world| world.read(kind(&*self.0), bytes))
    }

    pub(crate) fn close_gently(&self) {
        socket::close_gently(&*self.0);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("pipes", &self.pipes).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
