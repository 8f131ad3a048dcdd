//! Copies a file into the guest or out of it, through the guest agent.
//!
//! - The agent sends and receives files in small pieces, encoded as base64. `read_file` and
//!   `write_file` take care of that, and close the file in the guest even if they fail halfway.
//! - `read_file` needs a limit and a deadline: the guest decides how long the file is, and may be
//!   hostile.
//! - `write_file` overwrites the file in place. A reader in the guest can see half of it, so write to
//!   a temporary name, and move that into place with `exec` if it matters.
//! - The agent runs as root in most guests, and paths are the guest's.
//!
//! If this program is killed, these may be left:
//!
//! - an open file of the guest agent, which is closed when the agent ends: no command lists the
//!   files that it has open;
//! - the file `TO`, with a part of its contents.
//!
//! ```console
//! $ cargo run --example guest_files --features qga -- get unix:/run/agent.sock /etc/fstab fstab
//! $ cargo run --example guest_files --features qga -- put unix:/run/agent.sock fstab /etc/fstab
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::Result;
use qmp_vm::blocking::Agent;

/// The time that copying may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The largest file that is copied out of the guest, in bytes.
const LIMIT: usize = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["get", address, from, to] => {
            let Some(bytes) = get(address, from, LIMIT).map_err(|error| error.report())? else {
                return Err(format!("{from} is larger than {LIMIT} bytes").into());
            };
            Ok(std::fs::write(to, bytes)?)
        }
        ["put", address, from, to] => {
            let bytes = std::fs::read(from)?;
            Ok(put(address, to, &bytes).map_err(|error| error.report())?)
        }
        _ => Err("usage: guest_files get|put AGENT FROM TO".into()),
    }
}

/// Reads a file of the guest; `None` if it is larger than the limit.
pub fn get(address: &str, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
    let guest = Agent::connect(address)?;
    // One byte more than the limit shows whether the file is longer.
    let bytes = guest.read_file(path, limit + 1, PATIENCE)?;
    println!("{} bytes read from {path}", bytes.len());
    Ok(Some(bytes).filter(|bytes| bytes.len() <= limit))
}

/// Writes a file of the guest, and replaces its contents.
pub fn put(address: &str, path: &str, bytes: &[u8]) -> Result<()> {
    let guest = Agent::connect(address)?;
    guest.write_file(path, bytes, PATIENCE)?;
    println!("{} bytes written to {path}", bytes.len());
    Ok(())
}
