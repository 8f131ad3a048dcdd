//! The state that a server's handles, connections and threads share.

use std::sync::Arc;

use crate::call::Call;
use crate::dispatch::{Action, Dispatch};
use crate::handle::MachineHandle;
use crate::hub::Hub;
use crate::peer::Peer;
use crate::reply::Responder;
use crate::request::Request;
#[cfg(unix)]
use crate::threads::engine::Engine;

pub(crate) struct Shared<M> {
    dispatch: Dispatch<M>,
    machine: MachineHandle<M>,
    #[cfg(unix)]
    engine: Arc<Engine>,
}

impl<M> Shared<M> {
    pub(crate) fn new(dispatch: Dispatch<M>, machine: MachineHandle<M>) -> Arc<Self> {
        Arc::new(Self {
            dispatch,
            machine,
            #[cfg(unix)]
            engine: Arc::default(),
        })
    }

    pub(crate) fn dispatch(&self) -> &Dispatch<M> {
        &self.dispatch
    }

    pub(crate) fn machine(&self) -> &MachineHandle<M> {
        &self.machine
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        self.machine.hub()
    }

    /// Returns the threads that serve clients.
    #[cfg(unix)]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Executes a client's command. The reply may be sent later.
    pub(crate) fn execute(&self, peer: &Arc<Peer>, request: Request) {
        let Request { ticket, name, arguments, descriptors, charge, .. } = request;
        let out_of_band = ticket.out_of_band;
        let call = Call::new(self.hub(), peer, out_of_band, descriptors);
        let responder = Responder::new(call, name.as_str().into(), ticket);
        let action = self.dispatch.find(&name, arguments, out_of_band);
        drop(charge);
        match action {
            Err(error) => responder.send(Err(error)),
            Ok(Action::Reply(value)) => responder.send(Ok(value)),
            Ok(Action::Handle { handler, arguments, success_response }) => {
                let responder = match success_response {
                    true => responder,
                    false => responder.without_success_response(),
                };
                handler.execute(&self.machine, arguments, responder);
            }
        }
    }
}
