//! Typing into a VM, and looking at its screen: what tests of installers and boot loaders do.
//!
//! - `send-key` takes key codes, and a text is typed as on a keyboard of the United States, with
//!   shift where it needs it. A guest with another layout reads other letters.
//! - QEMU puts the keys into a queue and lets them go one by one: the reply says that they are in
//!   it, not that the guest has read them. So the screen is looked at again and again, until it
//!   shows something else.
//! - The picture comes by a piece of memory that QEMU is handed: no file that QEMU can write, and
//!   nobody else can read, has to be agreed on.
//!
//! ```console
//! $ cargo run --example screen -- unix:/run/vm.sock root screen.ppm
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use qmp_client::Result;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::qmp::types::RunState;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, text, path] = &arguments[..] else {
        return Err("usage: screen ADDRESS TEXT PPM-FILE".into());
    };
    let picture = run(address, &format!("{text}\n"), Duration::from_secs(5));
    std::fs::write(path, picture.map_err(|error| error.report())?)?;
    Ok(())
}

/// Types the text, and gives what is on the screen when it has changed, or after this time, as the
/// bytes of a PPM image.
pub fn run(address: &str, text: &str, patience: Duration) -> Result<Vec<u8>> {
    let mut vm = Client::connect(address)?;
    if vm.execute(QueryStatus::new())?.status != RunState::Running {
        println!("the guest does not run: nobody reads what is typed");
    }
    let before = vm.screenshot()?;
    vm.type_text(text)?;
    let begin = Instant::now();
    let mut after = vm.screenshot()?;
    while after == before && begin.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(100));
        after = vm.screenshot()?;
    }
    let changed = if after == before { "shows the same" } else { "has changed" };
    println!("{:?} typed, the screen {changed}", text);
    Ok(after)
}
