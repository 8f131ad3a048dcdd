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

use std::io;
use std::net::TcpListener;

use qmp_server::Simulator;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4444".to_owned());
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on {}; the command `quit` ends the simulator", listener.local_addr()?);
    Simulator::new().server().serve_tcp(&listener)
}
