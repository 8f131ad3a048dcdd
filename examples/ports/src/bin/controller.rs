//! Controls a machine: `controller ADDRESS`.
//!
//! Starts the guest if it is paused, prints each change of its state, and ends with it.

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    use ports::controller::{Controller, State};
    use qmp_client::Client;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: controller ADDRESS".into()) };
    let vm = Client::connect(address.as_str()).await.map_err(|error| error.report())?;
    let controller = Controller::adopt(vm).await.map_err(|error| error.report())?;
    if matches!(controller.state(), State::Paused(_)) {
        controller.start().await.map_err(|error| error.report())?;
    }
    let mut last = None;
    while let Some(state) = controller.wait_until(|state| Some(state) != last.as_ref()).await {
        println!("{state:?}");
        if matches!(state, State::Ended(_)) {
            break;
        }
        last = Some(state);
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() {}
