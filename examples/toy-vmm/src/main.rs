//! Serves the toy VMM at the path of a socket.
//!
//! ```console
//! $ cargo run -p toy-vmm -- /tmp/vmm.sock
//! $ cargo run --bin qmp-shell -- /tmp/vmm.sock
//! ```

use std::error::Error;

use qmp_server::SocketFile;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: toy-vmm PATH")?;
    let socket = SocketFile::bind(path, 0o600)?;
    toy_vmm::server()?.serve_unix(socket.listener())?;
    Ok(())
}
