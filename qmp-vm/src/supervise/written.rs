//! Requests that can be sent more than once.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use qmp_client::{Misuse, Request};
use serde::de::DeserializeOwned;

use qmp_client::protocol::Kind;

/// A request whose arguments have been written: cheap to clone.
///
/// It is not shown, because the arguments may be secret.
pub(super) struct Written<T> {
    name: Cow<'static, str>,
    kind: Kind,
    success_response: bool,
    arguments: Option<Arc<[u8]>>,
    returns: PhantomData<fn() -> T>,
}

impl<T> Clone for Written<T> {
    fn clone(&self) -> Self {
        let (name, arguments) = (self.name.clone(), self.arguments.clone());
        Self { name, arguments, ..*self }
    }
}

impl<T> Written<T> {
    /// Writes the arguments of a request.
    ///
    /// # Errors
    /// They cannot be written as JSON.
    pub(super) fn new<R: Request<Return = T>>(request: &R) -> Result<Self, Misuse> {
        let mut text = Vec::new();
        if request.has_arguments() {
            request.write_arguments(&mut text).map_err(|error| Misuse::Arguments {
                command: request.name(),
                error: Some(error),
            })?;
        }
        Ok(Self {
            name: request.name(),
            kind: request.kind(),
            success_response: request.success_response(),
            arguments: request.has_arguments().then(|| text.into()),
            returns: PhantomData,
        })
    }
}

impl<T: DeserializeOwned> Request for Written<T> {
    type Return = T;

    fn name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn success_response(&self) -> bool {
        self.success_response
    }

    fn has_arguments(&self) -> bool {
        self.arguments.is_some()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(self.arguments.as_deref().unwrap_or_default());
        Ok(())
    }
}
