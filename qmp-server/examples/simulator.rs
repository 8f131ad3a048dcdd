//! A simulated virtual machine to talk to by hand.
//!
//! ```text
//! $ cargo run -p qmp-server --example simulator -- 127.0.0.1:4444
//! $ telnet 127.0.0.1 4444
//! {"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, ...
//! { "execute": "qmp_capabilities" }
//! {"return": {}}
//! { "execute": "query-status" }
//! {"return": {"running": true, "status": "running"}}
//! ```
//!
//! With `unix:PATH` as the address, it listens on a Unix socket, and receives descriptors.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;

use qmp_server::Simulator;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4444".to_owned());
    #[cfg(unix)]
    if let Some(path) = address.strip_prefix("unix:") {
        let listener = UnixListener::bind(path)?;
        eprintln!("listening on {path}; the command `quit` ends the simulator");
        return Simulator::new().server().serve_unix(&listener);
    }
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on {}; the command `quit` ends the simulator", listener.local_addr()?);
    Simulator::new().server().serve_tcp(&listener)
}
