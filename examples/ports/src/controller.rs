//! The part of a controller that starts, stops and watches one virtual machine, and tells the rest of
//! the controller which state it is in.
//!
//! A task follows the events of the machine. Its end is reported once, whether the guest shut down, QEMU
//! was told to quit, or it was killed and sent nothing. A reset by the guest is told apart from one that
//! the controller has asked for, because QEMU says which of the two it was.

use std::time::Duration;

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{Cont, QueryStatus, Stop, SystemReset};
use qmp_client::qmp::events::Reset;
use qmp_client::qmp::types::{RunState, ShutdownCause};
use qmp_client::{Client, Error, Result};
use qmp_vm::{ShutDown, Workflows};
use tokio::sync::watch;

/// The state of a machine, as users of the controller see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// The guest runs.
    Running,
    /// The guest does not run: it was paused, or waits for something.
    Paused(RunState),
    /// The machine has ended, for this reason; `None` if QEMU did not say why, as when it is killed.
    Ended(Option<ShutdownCause>),
}

/// A machine under control.
#[derive(Clone, Debug)]
pub struct Controller {
    vm: Client,
    states: watch::Receiver<State>,
    guest_resets: watch::Receiver<u64>,
}

impl Controller {
    /// Takes control of a machine. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub async fn adopt(vm: Client) -> Result<Self> {
        // Subscribe first, and query the state afterwards, so that no change is missed.
        let mut events = vm.events::<AnyEvent>();
        let (state, states) = watch::channel(current(&vm).await?);
        let (resets, guest_resets) = watch::channel(0);
        let follower = vm.clone();
        tokio::spawn(async move {
            let mut reason = None;
            while let Some(event) = events.next().await {
                match event.map(|event| event.event) {
                    Ok(AnyEvent::Shutdown(shutdown)) => reason = Some(shutdown.reason),
                    Ok(AnyEvent::Reset(reset)) if reset.guest => {
                        resets.send_modify(|count| *count += 1);
                    }
                    // After a gap, too, the state is asked for again.
                    Ok(AnyEvent::Stop(_) | AnyEvent::Resume(_) | AnyEvent::Suspend(_))
                    | Err(Error::Lagged(_)) => {
                        if let Ok(known) = current(&follower).await {
                            state.send_replace(known);
                        }
                    }
                    _ => {}
                }
            }
            // The subscription ends with the connection, and so with QEMU.
            state.send_replace(State::Ended(reason));
        });
        Ok(Self { vm, states, guest_resets })
    }

    /// Returns the state of the machine.
    #[must_use]
    pub fn state(&self) -> State {
        self.states.borrow().clone()
    }

    /// Waits until the state satisfies a condition, and returns it; `None` if the machine ends before.
    pub async fn wait_until(&self, condition: impl FnMut(&State) -> bool) -> Option<State> {
        let mut states = self.states.clone();
        states.wait_for(condition).await.ok().map(|state| state.clone())
    }

    /// Returns how often the guest has reset itself.
    #[must_use]
    pub fn guest_resets(&self) -> u64 {
        *self.guest_resets.borrow()
    }

    /// Lets the guest run: after its start with `-S`, or after [`pause`](Self::pause).
    ///
    /// # Errors
    /// Those of `Client::execute`.
    pub async fn start(&self) -> Result<()> {
        self.vm.execute(Cont::new()).await.map(|_| ())
    }

    /// Pauses the guest.
    ///
    /// # Errors
    /// Those of `Client::execute`.
    pub async fn pause(&self) -> Result<()> {
        self.vm.execute(Stop::new()).await.map(|_| ())
    }

    /// Resets the machine, and waits until it has been reset.
    ///
    /// # Errors
    /// QEMU refuses, or does not reset the machine in time.
    pub async fn restart(&self, patience: Duration) -> Result<()> {
        let reset = self.vm.call(SystemReset::new()).within(patience);
        reset.until(|reset: &Reset| !reset.guest).await.map(|_| ())
    }

    /// Asks the guest to shut down. If it does not, QEMU is told to quit.
    ///
    /// # Errors
    /// QEMU does not end.
    pub async fn stop(&self, patience: Duration) -> Result<ShutDown> {
        self.vm.shut_down(patience).await
    }
}

async fn current(vm: &Client) -> Result<State> {
    let info = vm.execute(QueryStatus::new()).await?;
    Ok(if info.running { State::Running } else { State::Paused(info.status) })
}
