//! Exporting a disk of a running VM by NBD, and ending that in order.
//!
//! 1. `nbd-server-start`: a VM has one such server. If it runs already, it is somebody else's, with
//!    another address: then this fails, and leaves it alone.
//! 2. `block-export-add`: the disk, under a name.
//! 3. Whoever wants reads `nbd+unix:///NAME?socket=PATH`.
//! 4. `block-export-del` of the disk. It refuses while somebody is connected; `mode=hard` cuts them
//!    off. Its reply says that it has begun: connections are still being closed.
//! 5. `BLOCK_EXPORT_DELETED` says that it is gone, and that the node can be closed.
//! 6. `nbd-server-stop`, only then. Whatever was exported, and was not taken back, ends with it.
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

/// How long requests that are under way may take.
const ENDING: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, node, socket] = &arguments[..] else {
        return Err("usage: nbd_export ADDRESS NODE SOCKET".into());
    };
    let enter = async {
        println!("it ends with the enter key");
        let read = || std::io::stdin().read_line(&mut String::new());
        let _ = tokio::task::spawn_blocking(read).await;
    };
    run(address, node, socket, enter).await.map_err(|error| error.report())?;
    Ok(())
}

/// Exports the node for as long as `in_use` takes.
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
    // Whatever came of the export: the server is ours.
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
    // Nobody else may write to what the guest writes to; `writable` is false.
    vm.execute(BlockExportAdd::new(options)).await?;
    println!("nbd+unix:///{node}?socket={socket}");

    in_use.await;

    // An export can also be gone by now: somebody has stopped the server.
    let gone = |event: &BlockExportDeleted| event.id == id;
    let delete = BlockExportDel::new(id.as_str());
    match vm.execute(delete).within(ENDING).until(gone).await {
        Ok(_) => {}
        Err(error) if error.server().is_some() => {
            println!("{}; cutting them off", error.report());
            let delete = BlockExportDel::new(id.as_str()).mode(BlockExportRemoveMode::Hard);
            vm.execute(delete).within(ENDING).until(gone).await?;
        }
        Err(error) => return Err(error),
    }
    println!("the export is gone");
    Ok(())
}
