//! The asynchronous client on streams of `futures-io`: launching.
//!
//! ```no_run
//! # async fn example() -> qmp_client::Result<()> {
//! # fn spawn<F>(_: F) {}
//! use qmp_vm::{Launch, futures_io};
//!
//! let qemu = Launch::new("qemu-system-x86_64").args(["-M", "none", "-display", "none"]);
//! let (launching, driver) = futures_io::launch(qemu)?;
//! spawn(driver);
//! let vm = launching.await?;
//! println!("{}", vm.version());
//! vm.quit().await?;
//! # Ok(())
//! # }
//! ```

use std::os::unix::net::UnixStream;

use async_io::Async;
use qmp_client::{Client, Result};

use crate::another::{self, AnotherMonitor};
use crate::launch::started::no_socket;
use crate::launch::{Launch, Launching};

pub use qmp_client::futures_io::Driver;

/// Starts a program with its monitor connected to this program alone, and returns the client to be
/// and its driver, which has to be spawned.
///
/// # Errors
/// [`Error::Launch`](qmp_client::Error::Launch): the program does not start.
pub fn launch(program: Launch) -> Result<(Launching, Driver<Async<UnixStream>>)> {
    program.start_with(|stream, options| {
        Ok(qmp_client::futures_io::over(Async::new(stream)?, options))
    })
}

/// Opens another monitor of the machine, as [`Workflows::open_monitor`](crate::Workflows::open_monitor)
/// does. `spawn` has to spawn the driver, without waiting for it.
///
/// # Errors
/// Those of [`Workflows::open_monitor`](crate::Workflows::open_monitor).
///
/// # Cancel safety
/// That of [`Workflows::open_monitor`](crate::Workflows::open_monitor).
pub async fn open_monitor(
    vm: &Client,
    spawn: impl FnOnce(Driver<Async<UnixStream>>) + Send,
) -> Result<AnotherMonitor> {
    let connect = |stream, options| async move {
        let stream = Async::new(stream).map_err(no_socket)?;
        let (connecting, driver) = qmp_client::futures_io::over(stream, &options);
        spawn(driver);
        connecting.await
    };
    another::open(vm, connect).await
}
