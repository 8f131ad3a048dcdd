//! Monitors that a proxy has: it serves the other end of a socket pair, which travels with a command of
//! its own.

use std::os::unix::net::UnixStream;

use qmp_client::{Raw, Result};
use serde_json::Value;

use crate::launch::started::no_socket;
use crate::monitor::Monitor;
use crate::monitor::session::Call;

/// The command of a proxy that opens a monitor: `proxy::OPEN_MONITOR`.
pub(crate) const OPEN_MONITOR: &str = "__qmp-vm_open-monitor";

/// Opens a monitor. Nothing has to be undone: the proxy serves the other end for as long as this one
/// exists.
pub(super) async fn open<M: Monitor>(vm: &M) -> Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair().map_err(no_socket)?;
    vm.call(Raw::<Value>::new(OPEN_MONITOR)).with_fd(theirs.into()).execute().await?;
    Ok(ours)
}
