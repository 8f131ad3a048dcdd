//! Handlers of commands, with their types erased.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
#[cfg(feature = "simulator")]
use std::time::Duration;

use qmp_types::{Command, QmpError};
use serde::de::DeserializeOwned;

use crate::arguments::{self, Fault};
use crate::call::Call;
use crate::context::Context;
use crate::handle::MachineHandle;
use crate::json::encode_return;
use crate::reply::{Reply, Responder};

/// The stack size in bytes of the thread of a handler that may block.
const BLOCKING_STACK_SIZE: usize = 2 << 20;

type Borrowing<M> =
    dyn Fn(&mut M, Arguments, &mut Context) -> Result<String, QmpError> + Send + Sync;
type Replying<M> = dyn Fn(&MachineHandle<M>, Arguments, Responder) + Send + Sync;

/// A handler of a command.
pub(crate) enum Handler<M> {
    /// Borrows the machine, and returns the result. Handlers of this kind are executed one at a time.
    Borrowing(Box<Borrowing<M>>),
    /// Returns soon, and may reply later.
    Replying(Box<Replying<M>>),
}

/// Checked arguments that a handler has to decode.
pub(crate) struct Arguments {
    /// JSON text rather than a value, because decoding text reports the position of an error.
    pub(crate) text: Cow<'static, str>,
    /// A fault whose message depends on the error of decoding.
    pub(crate) fault: Option<Fault>,
}

impl Arguments {
    fn decode<C: DeserializeOwned>(self) -> Result<C, QmpError> {
        let mut decoded = qmp_types::decode::<C>(&self.text);
        let mut text = self.text;
        // QEMU takes negative numbers as the unsigned ones with the same bits.
        while let Some(next) =
            decoded.as_ref().err().and_then(|error| arguments::without_sign(&text, error))
        {
            decoded = qmp_types::decode::<C>(&next);
            text = Cow::Owned(next);
        }
        match (decoded, self.fault) {
            (Ok(command), None) => Ok(command),
            (decoded, fault) => Err(arguments::explain(fault, decoded.err().as_ref())),
        }
    }
}

impl<M> Handler<M> {
    pub(crate) fn borrowing<C, H>(handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&mut M, C, &mut Context) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        Self::Borrowing(Box::new(move |machine, arguments, context| {
            let command = arguments.decode::<C>()?;
            encode_return(&handler(machine, command, context)?)
        }))
    }

    pub(crate) fn replying<C, H>(handler: H) -> Self
    where
        C: Command + DeserializeOwned,
        H: Fn(&MachineHandle<M>, C, Reply<C>) + Send + Sync + 'static,
    {
        Self::Replying(Box::new(move |machine, arguments, responder| {
            match arguments.decode::<C>() {
                Ok(command) => handler(machine, command, Reply::new(responder)),
                Err(error) => responder.send(Err(error)),
            }
        }))
    }

    pub(crate) fn blocking<C, H>(handler: H) -> Self
    where
        M: Send + 'static,
        C: Command + DeserializeOwned + Send + 'static,
        H: Fn(&MachineHandle<M>, C, &Call) -> Result<C::Return, QmpError> + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        Self::replying(move |machine: &MachineHandle<M>, command: C, reply: Reply<C>| {
            let place = match machine.hub().take_place(C::NAME) {
                Ok(place) => place,
                Err(error) => return reply.send(Err(error)),
            };
            let (handler, machine) = (Arc::clone(&handler), machine.clone());
            let thread = thread::Builder::new()
                .name(C::NAME.to_owned())
                .stack_size(BLOCKING_STACK_SIZE)
                .spawn(move || {
                    // If the handler panics, the reply is dropped, which answers the command. If no
                    // thread can be spawned, it is dropped with the closure.
                    let result = handler(&machine, command, reply.call());
                    // First, so that the client can go on at once.
                    drop(place);
                    reply.send(result);
                });
            drop(thread);
        })
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn asynchronous<C, H, F>(handler: H) -> Self
    where
        M: Send + 'static,
        C: Command + DeserializeOwned + Send + 'static,
        H: Fn(MachineHandle<M>, C, Call) -> F + Send + Sync + 'static,
        F: Future<Output = Result<C::Return, QmpError>> + Send + 'static,
    {
        Self::replying(move |machine: &MachineHandle<M>, command: C, reply: Reply<C>| {
            let Some(runtime) = machine.hub().runtime() else {
                let desc = format!(
                    "the command {} needs a tokio runtime, and the server was built and is served \
                     outside of one",
                    C::NAME
                );
                return reply.send(Err(QmpError::generic(desc)));
            };
            let place = match machine.hub().take_place(C::NAME) {
                Ok(place) => place,
                Err(error) => return reply.send(Err(error)),
            };
            let future = handler(machine.clone(), command, reply.call().clone());
            runtime.spawn(async move {
                let result = future.await;
                drop(place);
                reply.send(result);
            });
        })
    }

    /// Returns a handler that calls an action first.
    pub(crate) fn after(self, action: Arc<dyn Fn() + Send + Sync>) -> Self
    where
        M: 'static,
    {
        match self {
            Self::Borrowing(handler) => {
                Self::Borrowing(Box::new(move |machine, arguments, context| {
                    action();
                    handler(machine, arguments, context)
                }))
            }
            Self::Replying(handler) => {
                Self::Replying(Box::new(move |machine, arguments, responder| {
                    action();
                    handler(machine, arguments, responder);
                }))
            }
        }
    }

    /// Returns a handler that waits before it does what this one does, on a thread of its own.
    #[cfg(feature = "simulator")]
    pub(crate) fn delayed(self, time: Duration) -> Self
    where
        M: Send + 'static,
    {
        let handler = Arc::new(self);
        Self::Replying(Box::new(move |machine, arguments, responder| {
            let place = match machine.hub().take_place(responder.name()) {
                Ok(place) => place,
                Err(error) => return responder.send(Err(error)),
            };
            let (handler, machine) = (Arc::clone(&handler), machine.clone());
            let thread = thread::Builder::new().stack_size(BLOCKING_STACK_SIZE);
            // If no thread can be spawned, the responder is dropped, which answers the command.
            let _ = thread.spawn(move || {
                thread::sleep(time);
                drop(place);
                handler.execute(&machine, arguments, responder);
            });
        }))
    }

    /// Returns whether the handler borrows the machine, and so waits for other handlers.
    #[cfg(unix)]
    pub(crate) fn is_borrowing(&self) -> bool {
        matches!(self, Self::Borrowing(_))
    }

    /// Executes a command. A panic of the handler is an error reply.
    pub(crate) fn execute(
        &self,
        machine: &MachineHandle<M>,
        arguments: Arguments,
        responder: Responder,
    ) {
        match self {
            Self::Borrowing(handler) => borrow(&**handler, machine, arguments, responder),
            Self::Replying(handler) => {
                let execute = || handler(machine, arguments, responder);
                // Unwinding drops the responder, which answers the command.
                let _ = catch_unwind(AssertUnwindSafe(execute));
            }
        }
    }
}

fn borrow<M>(
    handler: &Borrowing<M>,
    machine: &MachineHandle<M>,
    arguments: Arguments,
    mut responder: Responder,
) {
    let call = responder.call();
    let context = Context::of_command(
        call.hub(),
        call.client().clone(),
        call.is_out_of_band(),
        call.descriptors().clone(),
    );
    let name = Arc::clone(responder.name());
    let execute = |machine: &mut M, context: &mut Context| {
        let execute = || handler(machine, arguments, context);
        catch_unwind(AssertUnwindSafe(execute)).unwrap_or_else(|_| Err(panicked(&name)))
    };
    let result = machine.run(context, execute, |result| responder.put(result));
    if let Err(error) = result {
        responder.put(&Err(QmpError::generic(error.to_string())));
    }
    responder.notify();
}

fn panicked(name: &str) -> QmpError {
    QmpError::generic(format!("the handler of the command {name} panicked"))
}
