//! The fates of calls.

use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{Cont, MigratePause, QueryStatus, Stop};
use qmp_client::{Error, OutOfBand};
use qmp_vm::supervise::{Fate, Status};

use crate::front::{PATIENCE, SOON, policy, scenarios};
use crate::host::{Act, Host, path, wait_until};

scenarios! {
    /// A manager that is started before its machines.
    fn a_call_waits_for_the_first_connection<F>() {
        let path = path();
        let vm = F::dial(&path, policy());
        wait_until("it tries", || matches!(vm.status(), Status::Outage { attempts: 2.., .. }));
        let host = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            Host::at(path, "a", |_, _| Act::Answer)
        });
        assert!(F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap().running);
        let host = host.join().unwrap();
        assert_eq!(host.executed("query-status"), 1);
    }

    fn a_command_that_only_asks_is_repeated<F>() {
        let host = Host::new(|number, _| if number < 4 { Act::Cut } else { Act::Answer });
        let vm = F::dial(host.path(), policy());
        assert!(F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap().running);
        assert_eq!(host.executed("query-status"), 4);
    }

    /// Otherwise it might be executed twice.
    fn a_command_that_changes_something_is_not_repeated<F>() {
        let host = Host::new(|number, _| if number == 1 { Act::Cut } else { Act::Answer });
        let vm = F::dial(host.path(), policy());
        let error = F::get(vm.call(Stop::new()).within(PATIENCE).execute()).unwrap_err();
        assert_eq!(error.fate, Fate::MaybeExecuted, "{error:?}");
        assert!(error.error.is_closed());
        assert_eq!(format!("{error:?}").matches("MaybeExecuted").count(), 1, "{error:?}");
        assert!(format!("{error:?}").starts_with(&format!("CallError({error} (")), "{error:?}");
        // The supervised connection goes on.
        F::get(vm.call(Cont::new()).within(PATIENCE).execute()).unwrap();
        assert_eq!((host.executed("stop"), host.executed("cont")), (1, 1));
    }

    fn a_program_may_allow_repetitions<F>() {
        let host = Host::new(|number, _| if number == 1 { Act::Cut } else { Act::Answer });
        let vm = F::dial(host.path(), policy());
        F::get(vm.call(Stop::new()).repeat().within(PATIENCE).execute()).unwrap();
        assert_eq!(host.executed("stop"), 2);
    }

    /// The next connection may not allow what the one before did. The error is that of an attempt that was
    /// not made, and the command was executed all the same.
    fn an_attempt_that_may_have_been_executed_is_remembered<F>() {
        let host = Host::new(|number, _| if number == 1 { Act::Cut } else { Act::Ignore });
        let vm = F::dial(host.path(), policy());
        let stop = OutOfBand(MigratePause::new());
        let error = F::get(vm.call(stop).repeat().within(PATIENCE).execute()).unwrap_err();
        assert!(matches!(error.error, Error::Misuse(_)), "{error:?}");
        assert_eq!(host.executed("out-of-band"), 1);
        assert_eq!(error.fate, Fate::MaybeExecuted);
    }

    fn a_call_in_an_outage_fails_at_its_deadline_or_at_once<F>() {
        let vm = F::dial(&path(), policy());
        wait_until("it tries", || matches!(vm.status(), Status::Outage { attempts: 1.., .. }));
        let begin = Instant::now();
        let error = F::get(vm.call(Stop::new()).within(SOON).execute()).unwrap_err();
        assert!(begin.elapsed() >= SOON);
        assert_eq!(error.fate, Fate::NotExecuted);
        assert!(error.error.is_timeout());
        let report = Error::from(error).report();
        assert!(report.contains("supervise-") && report.contains("No such file"), "{report}");

        let error = F::get(vm.call(Stop::new()).fail_fast().within(PATIENCE).execute());
        let error = error.unwrap_err();
        assert_eq!(error.fate, Fate::NotExecuted);
        let report = Error::from(error).report();
        assert!(report.contains("`stop`") && report.contains("No such file"), "{report}");
        let vm = F::dial(&path(), policy().fail_fast());
        let error = F::get(vm.execute(QueryStatus::new())).unwrap_err();
        assert_eq!(error.fate, Fate::NotExecuted);
    }

    /// The total deadline counts, not that of each attempt.
    fn repetitions_keep_the_deadline<F>() {
        let host = Host::new(|_, _| Act::Cut);
        let vm = F::dial(host.path(), policy());
        F::get(vm.client_within(PATIENCE)).unwrap();
        let begin = Instant::now();
        let error = F::get(vm.call(QueryStatus::new()).within(SOON).execute()).unwrap_err();
        let took = begin.elapsed();
        assert!(took >= SOON && took < PATIENCE / 2, "{took:?}");
        assert!(error.error.is_timeout(), "{error:?}");
        assert_eq!(error.fate, Fate::MaybeExecuted, "{error:?}");
    }

    /// A server that stalls fails the call, and the connection stays.
    fn a_stalled_command_may_have_been_executed<F>() {
        let host = Host::new(|_, name| if name == "stop" { Act::Ignore } else { Act::Answer });
        let vm = F::dial(host.path(), policy());
        F::get(vm.client_within(PATIENCE)).unwrap();
        let error = F::get(vm.call(Stop::new()).within(SOON).execute()).unwrap_err();
        assert_eq!(error.fate, Fate::MaybeExecuted);
        assert!(error.error.is_timeout());
        F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
        assert_eq!(host.connections(), 1);
    }

    /// Nothing is known of a machine that was started again at the same address.
    fn a_command_for_one_machine_is_not_executed_by_another<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy());
        F::get(vm.client_within(PATIENCE)).unwrap();
        let path = host.path().to_owned();
        drop(host);
        wait_until("the outage", || matches!(vm.status(), Status::Outage { .. }));
        std::thread::scope(|scope| {
            let stop = scope.spawn(|| F::get(vm.call(Stop::new()).within(PATIENCE).execute()));
            let anyone = scope.spawn(|| {
                F::get(vm.call(Cont::new()).on_any_qemu().within(PATIENCE).execute())
            });
            let asks = scope.spawn(|| {
                F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute())
            });
            // Whether the calls have begun is not seen from outside.
            std::thread::sleep(Duration::from_millis(100));
            let host = Host::at(path, "b", |_, _| Act::Answer);
            let error = stop.join().unwrap().unwrap_err();
            assert_eq!(error.fate, Fate::NotExecuted);
            let report = Error::from(error).report();
            assert!(report.contains("cannot execute `stop` on another QEMU"), "{report}");
            assert!(report.contains("UUID was a and is b"), "{report}");
            anyone.join().unwrap().unwrap();
            asks.join().unwrap().unwrap();
            assert_eq!((host.executed("stop"), host.executed("cont")), (0, 1));
        });
        // A call that begins now is one for this machine.
    }

    /// A descriptor travels with each attempt.
    fn descriptors_travel_with_a_command<F>() {
        let host = Host::new(|number, _| if number == 1 { Act::Cut } else { Act::Answer });
        let vm = F::dial(host.path(), policy());
        let null = std::fs::File::open("/dev/null").unwrap();
        let call = vm.call(qmp_client::qmp::commands::Getfd::new("fd"));
        F::get(call.with_fd(null).repeat().within(PATIENCE).execute()).unwrap();
        assert_eq!(host.executed("getfd"), 2);
    }
}
