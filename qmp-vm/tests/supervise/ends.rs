//! The end of a supervised connection.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use qmp_client::qmp::commands::QueryStatus;
use qmp_vm::supervise::{Ended, Status, Supervision};

use crate::front::{PATIENCE, SOON, policy, scenarios};
use crate::host::{Act, Host, path, wait_until};

scenarios! {
    /// Whatever the last handle is, and also for clients that were handed out.
    fn dropping_the_last_handle_closes_the_connection<F>() {
        let host = Host::new(|_, _| Act::Answer);
        for kind in 0..4 {
            let vm = F::dial(host.path(), policy());
            let client = F::get(vm.client_within(PATIENCE)).unwrap();
            let last: Box<dyn std::any::Any> = match kind {
                0 => Box::new(vm.clone()),
                1 => Box::new(vm.raw_events()),
                2 => Box::new(vm.changes()),
                _ => Box::new(vm.call(QueryStatus::new())),
            };
            drop(vm);
            std::thread::sleep(Duration::from_millis(20));
            assert!(host.is_used(), "a handle is left");
            drop(last);
            wait_until("the end of the connection", || !host.is_used());
            drop(client);
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(host.connections(), 4);
    }

    /// Neither the handshake nor the pause between two attempts outlasts the handles.
    fn dropping_the_last_handle_ends_attempts<F>() {
        let path = path();
        let listener = UnixListener::bind(&path).unwrap();
        let vm = F::dial(&path, policy());
        let (mut stream, _) = listener.accept().unwrap();
        drop(vm);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        // In the pause before the second attempt.
        let vm = F::dial(&path, Supervision::new().pauses(PATIENCE * 10, PATIENCE * 10));
        drop(listener.accept().unwrap());
        wait_until("the failure", || matches!(vm.status(), Status::Outage { attempts: 1, .. }));
        let ended = std::thread::spawn({
            let vm = vm.clone();
            move || F::get(vm.ended())
        });
        vm.close();
        assert!(matches!(ended.join().unwrap(), Ended::Local));
        std::fs::remove_file(path).unwrap();
    }

    fn it_gives_up_when_the_policy_says_so<F>() {
        let vm = F::dial(&path(), policy().give_up_after(SOON));
        let ended = F::get(vm.ended());
        let Ended::GaveUp { ref error, .. } = ended else { panic!("{ended:?}") };
        assert!(error.report().contains("No such file"), "{}", error.report());
        let error = F::get(vm.execute(QueryStatus::new())).unwrap_err();
        assert!(error.error.is_closed());
        let report = qmp_client::Error::from(error).report();
        assert!(report.contains("gave up connecting after 0.3 s"), "{report}");

        let vm = F::dial(&path(), policy().retry_if(|error| error.is_timeout()));
        let ended = F::get(vm.ended());
        assert!(matches!(ended, Ended::Policy(_)), "{ended:?}");
    }

    /// Callers are told that nothing connects any more.
    fn a_policy_that_panics_ends_it<F>() {
        let vm = F::dial(&path(), policy().retry_if(|_| panic!("on purpose")));
        assert!(matches!(F::get(vm.ended()), Ended::NoKeeper));
        assert!(F::get(vm.execute(QueryStatus::new())).unwrap_err().error.is_closed());
    }

    /// An outage that ends in time does not count for the next one.
    fn each_outage_has_the_whole_time<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let vm = F::dial(host.path(), policy().give_up_after(PATIENCE));
        for _ in 0..3 {
            F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
            host.cut();
        }
        F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
        assert!(host.connections() >= 4);
    }

    /// An attempt that gets no greeting is one of several, and says so.
    fn a_silent_server_is_not_waited_for_forever<F>() {
        let path = path();
        let listener = UnixListener::bind(&path).unwrap();
        let vm = F::dial(&path, policy().attempts_within(SOON));
        let (first, _) = listener.accept().unwrap();
        let (_second, _) = listener.accept().unwrap();
        assert_eq!(BufReader::new(first).lines().count(), 0);
        let Status::Outage { error: Some(error), .. } = vm.status() else { panic!() };
        assert!(error.is_timeout() && error.report().contains("greeting"), "{}", error.report());
        std::fs::remove_file(path).unwrap();
    }

    /// A program that knows that QEMU is stuck.
    fn reconnecting_closes_and_hurries<F>() {
        let host = Host::new(|_, _| Act::Answer);
        let slow = Supervision::new().pauses(PATIENCE * 10, PATIENCE * 10);
        let vm = F::dial(host.path(), slow);
        F::get(vm.client_within(PATIENCE)).unwrap();
        vm.reconnect();
        wait_until("the second connection", || host.connections() == 2);
        F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();

        let path = path();
        let vm = F::dial(&path, Supervision::new().pauses(PATIENCE * 10, PATIENCE * 10));
        wait_until("the failure", || matches!(vm.status(), Status::Outage { attempts: 1, .. }));
        let _host = Host::at(path, "a", |_, _| Act::Answer);
        vm.reconnect();
        F::get(vm.call(QueryStatus::new()).within(PATIENCE).execute()).unwrap();
    }

    /// A QEMU that ends just after it was started is not connected to in a tight loop.
    fn pauses_grow_while_connections_are_short<F>() {
        let host = Host::new(|_, _| Act::Cut);
        let pauses = Supervision::new().pauses(Duration::from_millis(100), PATIENCE);
        let vm = F::dial(host.path(), pauses);
        let begin = std::time::Instant::now();
        let _ = F::get(vm.call(QueryStatus::new()).within(SOON * 3).execute());
        // At least half of 100, 200 and 400 ms lies between four connections.
        let most = if begin.elapsed() < Duration::from_secs(2) { 6 } else { 12 };
        assert!(host.connections() <= most, "{}", host.connections());
    }
}
