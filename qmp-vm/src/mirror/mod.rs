//! A mirror of a machine.

mod change;
mod changes;
mod handle;
mod keeper;
mod model;
mod part;
mod policy;
mod round;
mod rules;
mod shared;
mod view;

pub use change::{Change, Fate};
pub use changes::{Changes, Update};
pub use handle::Mirror;
pub use keeper::Keeper;
pub use part::Part;
pub use policy::Policy;
pub use view::{Absence, View};
