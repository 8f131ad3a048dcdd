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
use qmp_client::Result;

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
