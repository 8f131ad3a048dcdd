//! Types into a VM, and looks at its screen, as tests of installers and boot loaders do.
//!
//! - `send-key` takes key codes. `type_text` finds those that type a text on a US keyboard, with
//!   shift where needed. A guest with another layout reads other letters.
//! - QEMU queues the keys and drops those that do not fit its queue, so `type_text` waits after each
//!   character: a text takes 40 ms for each, and 80 ms with shift.
//! - The guest reacts later still, so the program takes screenshots until the screen has changed.
//! - QEMU writes the screenshot to memory that this program passes to it. No file is needed that
//!   QEMU can write and other programs cannot read.
//!
//! If this program is killed, this may be left in QEMU:
//!
//! - a set of descriptors, which `remove-fd` removes: its memory is freed then.
//!
//! ```console
//! $ cargo run --example screen -- unix:/run/vm.sock root screen.ppm
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::qmp::types::RunState;
use qmp_vm::Workflows;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, text, path] = &arguments[..] else {
        return Err("usage: screen ADDRESS TEXT PPM-FILE".into());
    };
    let picture = run(address, &format!("{text}\n"), Duration::from_secs(5));
    std::fs::write(path, picture.map_err(|error| error.report())?)?;
    Ok(())
}

/// Types a text. Returns the screen when it has changed, or when `patience` has passed, as the bytes
/// of a PPM image.
pub fn run(address: &str, text: &str, patience: Duration) -> Result<Vec<u8>> {
    let vm = Client::connect(address)?;
    if vm.execute(QueryStatus::new())?.status != RunState::Running {
        println!("the guest does not run, so it does not read the keyboard");
    }
    let before = vm.screenshot()?;
    vm.type_text(text)?;
    let end = vm.now() + patience;
    let mut after = vm.screenshot()?;
    while after == before && vm.now() < end {
        vm.pause(Duration::from_millis(100));
        after = vm.screenshot()?;
    }
    let changed = if after == before { "has not changed" } else { "has changed" };
    println!("typed {text:?}; the screen {changed}");
    Ok(after)
}
