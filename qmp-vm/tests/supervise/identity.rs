//! Which QEMU answers, as far as a server of this process can tell; `live.rs` has real ones.

use qmp_client::qmp::commands::QueryStatus;
use qmp_vm::supervise::{Change, SameQemu};

use crate::front::{PATIENCE, policy, scenarios};
use crate::host::{Act, Host, wait_until};

scenarios! {
    fn another_machine_at_the_same_address_is_told<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy());
        let mut changes = vm.changes();
        assert!(matches!(F::get(changes.next()), Some(Change::Connected(_))));
        let identity = vm.identity().unwrap();
        assert_eq!((identity.uuid(), identity.version()), (Some("a"), Some("10.0.2")));
        assert_eq!(identity.pid(), None, "this process is not a QEMU");
        let path = host.path().to_owned();
        drop(host);
        assert!(matches!(F::get(changes.next()), Some(Change::Lost(_))));
        let _host = Host::at(path, "b", |_, _| Act::Answer);
        let Some(Change::Connected(second)) = F::get(changes.next()) else { panic!() };
        let SameQemu::Another(why) = &second.same_qemu else { panic!("{second:?}") };
        assert_eq!(why, "its UUID was a and is b");
    }

    /// A monitor serves one client, and others wait in its queue.
    fn a_monitor_that_serves_another_client_is_waited_for<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let other = qmp_client::blocking::Client::connect(host.path()).unwrap();
        let vm = F::dial(host.path(), policy());
        std::thread::scope(|scope| {
            let call = scope.spawn(|| F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()));
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!call.is_finished());
            drop(other);
            call.join().unwrap().unwrap();
        });
        wait_until("one connection each", || host.connections() == 2);
    }
}
