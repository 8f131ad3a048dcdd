//! The front ends that each scenario is played on.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use qmp_client::{Client, blocking};
use qmp_vm::supervise::{Supervisable, Supervised, Supervision};

/// Longer than anything takes that succeeds, even on a busy host.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A deadline that is to pass.
pub const SOON: Duration = Duration::from_millis(300);

pub trait Front: 'static {
    type Client: Supervisable;

    /// Waits for an outcome.
    fn get<'a, T: Send + 'a>(outcome: <Self::Client as qmp_vm::Monitor>::Outcome<'a, T>) -> T;
    fn dial(path: &Path, policy: Supervision) -> Supervised<Self::Client>;
    fn accept(listener: UnixListener, policy: Supervision) -> Supervised<Self::Client>;
    fn accept_tcp(listener: std::net::TcpListener, policy: Supervision)
    -> Supervised<Self::Client>;
    fn connector(
        connect: impl FnMut() -> std::io::Result<std::os::unix::net::UnixStream> + Send + 'static,
        policy: Supervision,
    ) -> Supervised<Self::Client>;
}

pub struct Blocking;
pub struct Tokio;
pub struct FuturesIo;

impl Front for Blocking {
    type Client = blocking::Client;

    fn get<'a, T: Send + 'a>(outcome: T) -> T {
        outcome
    }

    fn dial(path: &Path, policy: Supervision) -> Supervised<Self::Client> {
        qmp_vm::blocking::supervise(path, policy).unwrap()
    }

    fn accept(listener: UnixListener, policy: Supervision) -> Supervised<Self::Client> {
        let source = qmp_vm::blocking::accept_unix("a listener", listener);
        qmp_vm::blocking::supervise_source(source, policy).unwrap()
    }

    fn accept_tcp(
        listener: std::net::TcpListener,
        policy: Supervision,
    ) -> Supervised<Self::Client> {
        let source = qmp_vm::blocking::accept_tcp("a listener", listener);
        qmp_vm::blocking::supervise_source(source, policy).unwrap()
    }

    fn connector(
        mut connect: impl FnMut() -> std::io::Result<std::os::unix::net::UnixStream> + Send + 'static,
        policy: Supervision,
    ) -> Supervised<Self::Client> {
        let connect = move |_| qmp_client::transport::Unix::from_stream(connect()?);
        let source = qmp_vm::blocking::connector("a function", connect);
        qmp_vm::blocking::supervise_source(source, policy).unwrap()
    }
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap())
}

impl Front for Tokio {
    type Client = Client;

    fn get<'a, T: Send + 'a>(outcome: <Client as qmp_vm::Monitor>::Outcome<'a, T>) -> T {
        runtime().block_on(outcome)
    }

    fn dial(path: &Path, policy: Supervision) -> Supervised<Client> {
        let _entered = runtime().enter();
        qmp_vm::tokio::supervise(path, policy).unwrap()
    }

    fn accept(listener: UnixListener, policy: Supervision) -> Supervised<Client> {
        let _entered = runtime().enter();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        let source = qmp_vm::tokio::accept_unix("a listener", listener);
        qmp_vm::tokio::supervise_source(source, policy)
    }

    fn accept_tcp(listener: std::net::TcpListener, policy: Supervision) -> Supervised<Client> {
        let _entered = runtime().enter();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let source = qmp_vm::tokio::accept_tcp("a listener", listener);
        qmp_vm::tokio::supervise_source(source, policy)
    }

    fn connector(
        mut connect: impl FnMut() -> std::io::Result<std::os::unix::net::UnixStream> + Send + 'static,
        policy: Supervision,
    ) -> Supervised<Client> {
        let _entered = runtime().enter();
        let source = qmp_vm::tokio::connector("a function", move || {
            let stream = connect();
            async {
                let stream = stream?;
                stream.set_nonblocking(true)?;
                tokio::net::UnixStream::from_std(stream)
            }
        });
        qmp_vm::tokio::supervise_source(source, policy)
    }
}

fn spawn(keeper: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(move || async_io::block_on(keeper));
}

impl Front for FuturesIo {
    type Client = Client;

    fn get<'a, T: Send + 'a>(outcome: <Client as qmp_vm::Monitor>::Outcome<'a, T>) -> T {
        async_io::block_on(outcome)
    }

    fn dial(path: &Path, policy: Supervision) -> Supervised<Client> {
        let (supervised, keeper) = qmp_vm::futures_io::supervise(path, policy).unwrap();
        spawn(keeper);
        supervised
    }

    fn accept(listener: UnixListener, policy: Supervision) -> Supervised<Client> {
        let listener = async_io::Async::new(listener).unwrap();
        let source = qmp_vm::futures_io::accept_unix("a listener", listener);
        let (supervised, keeper) = qmp_vm::futures_io::supervise_source(source, policy);
        spawn(keeper);
        supervised
    }

    fn accept_tcp(listener: std::net::TcpListener, policy: Supervision) -> Supervised<Client> {
        let listener = async_io::Async::new(listener).unwrap();
        let source = qmp_vm::futures_io::accept_tcp("a listener", listener);
        let (supervised, keeper) = qmp_vm::futures_io::supervise_source(source, policy);
        spawn(keeper);
        supervised
    }

    fn connector(
        mut connect: impl FnMut() -> std::io::Result<std::os::unix::net::UnixStream> + Send + 'static,
        policy: Supervision,
    ) -> Supervised<Client> {
        let source = qmp_vm::futures_io::connector("a function", move || {
            let stream = connect();
            async { async_io::Async::new(stream?) }
        });
        let (supervised, keeper) = qmp_vm::futures_io::supervise_source(source, policy);
        spawn(keeper);
        supervised
    }
}

/// Plays each scenario on each front end.
macro_rules! scenarios {
    ($($(#[doc = $doc:literal])* fn $name:ident<$front:ident>() $body:block)*) => {$(
        crate::front::on_each_front! {
            $(#[doc = $doc])* fn $name<$front>() $body
        }
    )*};
}

/// The same with real QEMUs.
macro_rules! live_scenarios {
    ($($(#[doc = $doc:literal])* fn $name:ident<$front:ident>() $body:block)*) => {$(
        crate::front::on_each_front! {
            #[cfg_attr(not(qemu), ignore = "needs QEMU")]
            $(#[doc = $doc])* fn $name<$front>() $body
        }
    )*};
}

macro_rules! on_each_front {
    (
        $(#[cfg_attr($($ignored:tt)*)])? $(#[doc = $doc:literal])*
        fn $name:ident<$front:ident>() $body:block
    ) => {
        $(#[doc = $doc])*
        mod $name {
            use super::*;

            fn scenario<$front: crate::front::Front>() $body

            #[test]
            $(#[cfg_attr($($ignored)*)])?
            fn blocking() {
                scenario::<crate::front::Blocking>();
            }

            #[test]
            $(#[cfg_attr($($ignored)*)])?
            fn tokio() {
                scenario::<crate::front::Tokio>();
            }

            #[test]
            $(#[cfg_attr($($ignored)*)])?
            fn futures_io() {
                scenario::<crate::front::FuturesIo>();
            }
        }
    };
}

pub(crate) use {live_scenarios, on_each_front, scenarios};

/// A policy that tries often.
pub fn policy() -> Supervision {
    Supervision::new().pauses(Duration::from_millis(5), Duration::from_millis(20))
}
