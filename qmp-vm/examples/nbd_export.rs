//! Exports a disk of a running VM over NBD, and ends the export properly.
//!
//! 1. `nbd-server-start`: QEMU has one such server. If it runs already, it belongs to another
//!    program, and has another address: then this fails, and leaves it alone.
//! 2. `block-export-add` exports the disk under a name.
//! 3. Any NBD client reads `nbd+unix:///NAME?socket=PATH`.
//! 4. `block-export-del` ends the export. It refuses while a client is connected; `mode=hard`
//!    disconnects the client. The reply only says that the export is ending: connections are still
//!    being closed.
//! 5. The event `BLOCK_EXPORT_DELETED` says that the export has ended, and that the node can be
//!    closed.
//! 6. `nbd-server-stop` comes last, since it ends all exports.
//!
//! If this program is killed, these may be left in QEMU:
//!
//! - the export `export-NODE`, which `block-export-del` ends: until then, the node cannot be
//!   deleted;
//! - the NBD server, which `nbd-server-stop` ends, together with all exports.
//!
//! ```console
//! $ cargo run --example nbd_export --features tokio -- unix:/run/vm.sock disk0 /run/disk0.nbd
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::qmp::commands::{BlockExportAdd, BlockExportDel, NbdServerStart, NbdServerStop};
use qmp_client::qmp::events::BlockExportDeleted;
use qmp_client::qmp::types::{
    BlockExportOptions, BlockExportOptionsNbd, BlockExportRemoveMode, SocketAddressLegacy,
    UnixSocketAddress, UnixSocketAddressWrapper,
};
use qmp_client::{Client, Result};

/// The time that requests in flight may take.
const ENDING: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, node, socket] = &arguments[..] else {
        return Err("usage: nbd_export ADDRESS NODE SOCKET".into());
    };
    let enter = async {
        println!("press Enter to end the export");
        let read = || std::io::stdin().read_line(&mut String::new());
        let _ = tokio::task::spawn_blocking(read).await;
    };
    run(address, node, socket, enter).await.map_err(|error| error.report())?;
    Ok(())
}

/// Exports the node until `in_use` completes.
pub async fn run(
    address: &str,
    node: &str,
    socket: &str,
    in_use: impl Future<Output = ()>,
) -> Result<()> {
    let vm = Client::connect(address).await?;
    let unix = UnixSocketAddressWrapper::new(UnixSocketAddress::new(socket));
    vm.execute(NbdServerStart::new(SocketAddressLegacy::Unix(unix))).await?;
    let exported = export(&vm, node, socket, in_use).await;
    // This program has started the server, so it stops it, even if the export failed.
    let stopped = vm.execute(NbdServerStop::new()).await;
    exported?;
    stopped?;
    println!("the server is stopped");
    Ok(())
}

async fn export(
    vm: &Client,
    node: &str,
    socket: &str,
    in_use: impl Future<Output = ()>,
) -> Result<()> {
    let id = format!("export-{node}");
    let nbd = BlockExportOptionsNbd::new().name(node);
    let options = BlockExportOptions::new(nbd, id.as_str(), node);
    // `writable` is false: only the guest may write to its disk.
    vm.execute(BlockExportAdd::new(options)).await?;
    println!("nbd+unix:///{node}?socket={socket}");

    in_use.await;

    // The event and the command are waited for together, since the event may arrive first.
    let deleted = |event: &BlockExportDeleted| event.id == id;
    let delete = BlockExportDel::new(id.as_str());
    match vm.call(delete).within(ENDING).until(deleted).await {
        Ok(_) => {}
        Err(error) if error.server().is_some() => {
            println!("{}; disconnecting the clients", error.report());
            let delete = BlockExportDel::new(id.as_str()).mode(BlockExportRemoveMode::Hard);
            vm.call(delete).within(ENDING).until(deleted).await?;
        }
        Err(error) => return Err(error),
    }
    println!("the export has ended");
    Ok(())
}
