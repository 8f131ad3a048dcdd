//! The handle of a mirror, and how its holders wait.

use std::sync::Arc;
use std::time::Duration;

use qmp_client::{Request, Result};

use super::changes::Changes;
use super::hold::Hold;
use super::keeper::{Keeper, Source};
use super::part::{Part, Parts};
use super::policy::Policy;
use super::rules;
use super::shared::Shared;
use super::view::View;
use crate::monitor::session::Call;
use crate::supervise::{Supervisable, Supervised};

/// A mirror of a virtual machine: a [`View`] that is kept current.
///
/// It is a handle, cheap to clone. The [module](super) explains it. The connection stays open while the
/// keeper follows it; when the last handle is dropped, the keeper ends.
#[derive(Debug)]
pub struct Mirror<M: Supervisable>(Arc<Hold<M>>);

impl<M: Supervisable> Clone for Mirror<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Supervisable> Mirror<M> {
    /// Creates a mirror of the machine of this client, and what keeps it current, which is to be
    /// [run](Keeper::run).
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::mirror::Mirror;
    ///
    /// let (mirror, keeper) = Mirror::of(&vm);
    /// std::thread::spawn(move || keeper.run());
    /// let view = mirror.current(PATIENCE)?;
    /// println!("{:?}", view.run_state());
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(vm: &M) -> (Self, Keeper<M>) {
        Self::with(vm, Policy::new())
    }

    /// Creates a mirror with a policy of its own.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_client::blocking::Client) {
    /// use qmp_vm::mirror::{Mirror, Policy};
    ///
    /// let (mirror, keeper) = Mirror::with(vm, Policy::new());
    /// # }
    /// ```
    pub fn with(vm: &M, policy: Policy) -> (Self, Keeper<M>) {
        Self::create(policy, Source::Client(vm.clone()))
    }

    /// Creates a mirror that follows a supervised connection, from one connection to the next. It
    /// holds the supervised connection until the last handle of the mirror is dropped.
    pub fn supervised(vm: &Supervised<M>, policy: Policy) -> (Self, Keeper<M>) {
        Self::create(policy, Source::Supervised(vm.changes()))
    }

    /// Creates a mirror of a machine that is not connected yet. Its keeper
    /// [follows](Keeper::follow) one connection after the other.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")] {
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::mirror::{Mirror, Policy};
    ///
    /// let (mirror, keeper) = Mirror::<Client>::unconnected(Policy::new());
    /// # }
    /// ```
    pub fn unconnected(policy: Policy) -> (Self, Keeper<M>) {
        Self::create(policy, Source::Caller)
    }

    fn create(policy: Policy, source: Source<M>) -> (Self, Keeper<M>) {
        // Commands can be executed before the keeper runs.
        let vm = match &source {
            Source::Client(vm) => Some(vm.clone()),
            Source::Supervised(_) | Source::Caller => None,
        };
        let shared = Arc::new(Shared::new(policy, vm));
        let keeper = Keeper::new(Arc::clone(&shared), source);
        (Self(Arc::new(Hold(shared))), keeper)
    }

    /// Returns the present view, without waiting.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> qmp_client::Result<()> {
    /// // What is known now; nothing is asked.
    /// println!("{:?}", mirror.view().run_state());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.0.0.view()
    }

    /// Returns the parts that may differ from the present view: those that are being asked for.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) {
    /// for part in mirror.stale() {
    ///     println!("{} is to be asked again", part.query());
    /// }
    /// # }
    /// ```
    pub fn stale(&self) -> impl Iterator<Item = Part> + use<M> {
        self.0.0.stale().iter()
    }

    /// Waits until everything that is known to have changed before this call is in the view, and
    /// returns that view. What changed without an event or a [note](Self::note) is not known.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// let view = mirror.current(PATIENCE)?;
    /// println!("running: {}", view.is_running());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The deadline passes, for example because a part cannot be asked for; or the mirror has ended.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn current(&self, within: Duration) -> M::Outcome<'_, Result<Arc<View>>> {
        M::run(async move { self.0.reach(within, false, |_| true).await })
    }

    /// Asks for everything again, and returns the view with the answers.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let view = mirror.refresh(Duration::from_secs(5))?;
    /// println!("{:?}", view.run_state());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`current`](Self::current).
    ///
    /// # Cancel safety
    /// If the future is dropped after it was polled, the queries are sent all the same.
    pub fn refresh(&self, within: Duration) -> M::Outcome<'_, Result<Arc<View>>> {
        M::run(async move {
            self.0.0.refresh();
            self.0.reach(within, false, |_| true).await
        })
    }

    /// Waits until a view satisfies a condition, and returns it. The condition is tried with the view
    /// that is [current](Self::current), leaving out parts that cannot be asked for, and then with
    /// each later one.
    ///
    /// Views that follow quickly upon each other are one. Wait for a state that lasts: a job that
    /// dismisses itself may never be seen as concluded.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>)
    /// # -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// let view = mirror.wait_until(|vm| vm.job("backup").is_none(), Duration::from_secs(60))?;
    /// println!("{:?}", view.run_state());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The deadline passes, or the mirror has ended.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn wait_until<'a>(
        &'a self,
        condition: impl FnMut(&View) -> bool + Send + 'a,
        within: Duration,
    ) -> M::Outcome<'a, Result<Arc<View>>> {
        M::run(self.0.reach(within, true, condition))
    }

    /// Subscribes to changes, from the present view on.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) {
    /// let changes = mirror.changes();
    /// println!("{:?}", changes.view().run_state());
    /// # }
    /// ```
    pub fn changes(&self) -> Changes<M> {
        Changes::new(Arc::clone(&self.0))
    }

    /// Executes a command on the connection that the mirror follows, and takes
    /// [note](Self::note) of it when it has been answered.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_client::qmp::commands::Stop;
    ///
    /// // The mirror learns that a command may have changed something.
    /// mirror.execute(Stop::new())?;
    /// assert!(!mirror.current(PATIENCE)?.is_running());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`; and the mirror is not connected, which this does not wait for.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, the command is executed all the same, and
    /// noted.
    pub fn execute<'a, R: Request<Return: Send> + Send + 'a>(
        &'a self,
        request: R,
    ) -> M::Outcome<'a, Result<R::Return>> {
        M::run(async move {
            let hold = &self.0;
            let changed = match request.is_read_only() {
                true => Parts::NONE,
                false => rules::changed_by_command(&request.name()),
            };
            let Some(vm) = hold.0.vm() else { return Err(hold.unconnected(Some(&request))) };
            let _noted = Noted { shared: &hold.0, changed };
            vm.call(request).execute().await
        })
    }

    /// Takes note that a command of this name has been executed by another handle, so that the parts
    /// that it may have changed are asked for. Nothing happens for a command that only asks.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) {
    /// // Another client of this program has executed it.
    /// mirror.note("object-add");
    /// # }
    /// ```
    pub fn note(&self, command: &str) {
        self.0.0.mark(rules::changed_by_command(command));
    }
}

/// Marks what a command has changed when this is dropped: the command may have been executed.
struct Noted<'a, M> {
    shared: &'a Shared<M>,
    changed: Parts,
}

impl<M> Drop for Noted<'_, M> {
    fn drop(&mut self) {
        self.shared.mark(self.changed);
    }
}
