//! Grows a sandbox: `container-runtime ADDRESS IMAGE`.
//!
//! Plugs in the image as a disk, a CPU and 512 MiB of memory, and prints where the guest finds the disk.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::fs::File;
    use std::time::Duration;

    use ports::hotplug::Sandbox;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, image] = &arguments[..] else {
        return Err("usage: container-runtime ADDRESS IMAGE".into());
    };
    let image = File::options().read(true).write(true).open(image)?;
    let grow = || -> qmp_client::Result<()> {
        let sandbox = Sandbox::connect(address, Duration::from_secs(30))?;
        let place = sandbox.plug_disk("data", image, None)?;
        println!("the disk is at {}", place.as_deref().unwrap_or("no PCI address"));
        println!("{} CPUs plugged in", sandbox.plug_cpus(1)?);
        sandbox.plug_memory("more", 512 << 20)?;
        println!("{} MiB plugged in", sandbox.plugged_memory()? >> 20);
        Ok(())
    };
    grow().map_err(|error| error.report().into())
}

#[cfg(not(unix))]
fn main() {}
