//! Subscriptions and changes.

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::events::{Resume, Stop};
use qmp_client::{Closed, Options};
use qmp_vm::supervise::{Change, Ended, Gap, Item, SameQemu, Status};

use crate::front::{PATIENCE, SOON, policy, scenarios};
use crate::host::{Act, Host, path, wait_until};

scenarios! {
    /// Older events come before the gap, and newer ones after it.
    fn a_gap_stands_between_the_events_of_two_connections<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy());
        F::get(vm.client_within(PATIENCE)).unwrap();
        let mut raw = vm.raw_events();
        let mut stops = vm.events_of::<Stop>();
        let mut all = vm.events::<AnyEvent>().matching(|event| !matches!(event.event, AnyEvent::Resume(_)));
        host.send("STOP");
        host.send("RESUME");
        host.cut();
        // A subscription that is not looked at loses nothing either.
        wait_until("another connection", || host.connections() == 2 && host.is_used());
        let mut shown = Vec::new();
        for _ in 0..3 {
            match F::get(raw.next_within(PATIENCE)).unwrap().unwrap() {
                Item::Event(event) => shown.push(event.name.to_string()),
                Item::Gap(gap) => shown.push(gap.to_string()),
                _ => unreachable!(),
            }
        }
        assert_eq!(shown[..2], ["STOP", "RESUME"]);
        assert!(shown[2].starts_with("connected anew, to perhaps another QEMU"), "{shown:?}");

        assert!(matches!(F::get(stops.next_within(PATIENCE)), Some(Ok(Item::Event(_)))));
        assert!(matches!(F::get(stops.next_within(PATIENCE)), Some(Ok(Item::Gap(Gap::Reconnected(_))))));
        assert!(matches!(F::get(all.next_within(PATIENCE)), Some(Ok(Item::Event(_)))));
        assert!(matches!(F::get(all.next_within(PATIENCE)), Some(Ok(Item::Gap(_)))));
        host.send("RESUME");
        host.send("STOP");
        for name in ["RESUME", "STOP"] {
            let Some(Ok(Item::Event(event))) = F::get(raw.next_within(PATIENCE)) else { panic!() };
            assert_eq!(*event.name, *name);
        }
        assert!(matches!(F::get(stops.next_within(PATIENCE)), Some(Ok(Item::Event(_)))));
        let Some(Ok(Item::Event(event))) = F::get(all.next_within(PATIENCE)) else { panic!() };
        assert!(matches!(event.event, AnyEvent::Stop(_)));
    }

    /// Events that the previous connection had left were delivered without being selected.
    fn a_selection_holds_for_events_that_are_older<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy());
        F::get(vm.client_within(PATIENCE)).unwrap();
        let stops = vm.events_of::<Stop>();
        host.send("STOP");
        host.cut();
        wait_until("another connection", || matches!(vm.status(), Status::Connected { number: 2, .. }));
        let mut none = stops.matching(|_| false);
        let item = F::get(none.next_within(PATIENCE)).unwrap().unwrap();
        assert!(matches!(item, Item::Gap(Gap::Reconnected(_))), "{item:?}");
    }

    /// Nothing was listening before it was made.
    fn a_subscription_that_begins_in_an_outage_begins_with_a_gap<F>() {
        let path = path();
        let vm = F::dial(&path, policy());
        let mut events = vm.events_of::<Resume>();
        let host = Host::at(path, "a", |_, _| Act::Answer);
        let Some(Ok(Item::Gap(Gap::Reconnected(first)))) = F::get(events.next_within(PATIENCE)) else {
            panic!()
        };
        assert_eq!(first.same_qemu, SameQemu::First);
        assert_eq!(first.number, 1);
        host.send("RESUME");
        assert!(matches!(F::get(events.next_within(PATIENCE)), Some(Ok(Item::Event(_)))));
    }

    /// A full queue is a gap like any other.
    fn lag_is_a_gap<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy().options(Options::new().event_capacity(2)));
        let client = F::get(vm.client_within(PATIENCE)).unwrap();
        let mut events = vm.raw_events();
        for _ in 0..5 {
            host.send("STOP");
        }
        // Its reply comes after the events.
        F::get(vm.call(qmp_client::qmp::commands::QueryStatus::new()).within(PATIENCE).execute()).unwrap();
        drop(client);
        assert!(matches!(F::get(events.next_within(PATIENCE)), Some(Ok(Item::Gap(Gap::Lagged(3))))));
        for _ in 0..2 {
            assert!(matches!(F::get(events.next_within(PATIENCE)), Some(Ok(Item::Event(_)))));
        }
    }

    /// The last item says why, and none follows.
    fn subscriptions_end_with_the_supervision<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy());
        F::get(vm.client_within(PATIENCE)).unwrap();
        let (mut events, mut changes) = (vm.raw_events(), vm.changes());
        host.send("STOP");
        assert!(matches!(F::get(changes.next_within(PATIENCE)), Some(Ok(Change::Connected(_)))));
        assert!(F::get(changes.next_within(SOON)).unwrap().unwrap_err().is_timeout());
        assert!(matches!(F::get(events.next_within(PATIENCE)), Some(Ok(Item::Event(_)))));
        assert!(F::get(events.next_within(SOON)).unwrap().unwrap_err().is_timeout());
        vm.close();
        assert!(F::get(events.next()).unwrap().unwrap_err().is_closed());
        assert!(F::get(events.next()).is_none());
        assert!(matches!(F::get(changes.next()), Some(Change::Ended(Ended::Local))));
        assert!(F::get(changes.next()).is_none());
        assert!(matches!(F::get(vm.ended()), Ended::Local));
        wait_until("the end of the connection", || !host.is_used());
    }

    /// Only the newest changes are kept, so that a consumer that does not look takes no memory.
    fn changes_are_told_in_order_and_may_be_left_out<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy());
        let (mut quick, mut slow) = (vm.changes(), vm.changes());
        let mut next = || F::get(quick.next_within(PATIENCE)).unwrap().unwrap();
        let Change::Connected(first) = next() else { panic!() };
        assert!(!first.events_missed());
        assert!(matches!(F::get(slow.next()), Some(Change::Connected(_))));
        for number in 2..5 {
            host.cut();
            let Change::Lost(Closed { reason, .. }) = next() else { panic!() };
            assert!(reason.to_string().contains("closed it"), "{reason}");
            let Change::Connected(connection) = next() else { panic!() };
            assert_eq!(connection.number, number);
            assert!(connection.events_missed());
            assert!(matches!(connection.same_qemu, SameQemu::Unknown(_)));
        }
        let Some(Change::Connected(last)) = F::get(slow.next()) else { panic!() };
        assert_eq!(last.number, 4);
        assert!(last.events_missed());
    }
}
