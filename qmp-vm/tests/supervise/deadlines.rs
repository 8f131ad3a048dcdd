//! Every method that waits keeps its deadline, in an outage and with a peer that has stopped.

use std::time::{Duration, Instant};

use qmp_client::qmp::commands::QueryStatus;
use qmp_vm::supervise::Supervised;

use crate::front::{Front, PATIENCE, SOON, policy, scenarios};
use crate::host::{Act, Host, path};

/// Methods that have no deadline.
const WITHOUT: &[&str] = &["Changes::next", "Events::next", "Supervised::ended"];

/// Returns the methods in a source whose result is an outcome.
fn methods(text: &str) -> Vec<String> {
    let (mut of, mut methods) = ("", Vec::new());
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("impl<C: Supervisable") {
            let names = ["Changes", "Call", "Events", "Supervised"];
            of = names.into_iter().find(|name| line.contains(&format!(" {name}<"))).unwrap_or("");
        }
        let Some(method) = line.strip_prefix("    pub fn ") else { continue };
        let signature: String = text.lines().skip(index).take(6).collect();
        if signature.split('{').next().unwrap().contains("::Outcome<") {
            let name = method.split(['(', '<']).next().unwrap();
            methods.push(format!("{of}::{name}"));
        }
    }
    methods
}

#[test]
fn every_method_is_tried() {
    let mut found = Vec::new();
    for file in ["call.rs", "changes.rs", "events.rs", "handle.rs"] {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/supervise");
        let text = std::fs::read_to_string(format!("{source}/{file}")).unwrap();
        found.extend(methods(&text));
    }
    let named: Vec<_> = include_str!("deadlines.rs").split('"').collect();
    let missing: Vec<_> = found.iter().filter(|name| !named.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "not tried: {missing:?}");
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(WITHOUT.iter().all(|name| found.iter().any(|method| method == name)), "{found:?}");
}

/// Runs each method that has a deadline, and checks that it passes.
fn each<F: Front>(vm: &Supervised<F::Client>) {
    let timed = |name: &str, failed: &dyn Fn() -> bool| {
        let begin = Instant::now();
        assert!(failed(), "{name}");
        let took = begin.elapsed();
        // A busy host is late.
        assert!(took >= SOON && took < SOON + Duration::from_secs(20), "{name}: {took:?}");
    };
    timed("Call::execute", &|| {
        let error = F::get(vm.call(QueryStatus::new()).within(SOON).execute()).unwrap_err();
        error.error.is_timeout()
    });
    timed("Supervised::execute", &|| {
        F::get(vm.execute(QueryStatus::new())).unwrap_err().error.is_timeout()
    });
    timed("Changes::next_within", &|| {
        let mut changes = vm.changes();
        if vm.client().is_some() {
            F::get(changes.next_within(PATIENCE)).unwrap().unwrap();
        }
        F::get(changes.next_within(SOON)).unwrap().unwrap_err().is_timeout()
    });
    timed("Events::next_within", &|| {
        F::get(vm.raw_events().next_within(SOON)).unwrap().unwrap_err().is_timeout()
    });
}

scenarios! {
    fn in_an_outage<F>() {
        let options = qmp_client::Options::new().calls_within(SOON);
        let vm = F::dial(&path(), policy().options(options));
        each::<F>(&vm);
        let (name, begin) = ("Supervised::client_within", Instant::now());
        assert!(F::get(vm.client_within(SOON)).unwrap_err().is_timeout(), "{name}");
        assert!(begin.elapsed() >= SOON, "{name}");
    }

    fn with_a_peer_that_has_stopped<F>() {
        let options = qmp_client::Options::new().calls_within(SOON);
        let host = Host::new(|_, _| Act::Ignore);
        let vm = F::dial(host.path(), policy().options(options));
        F::get(vm.client_within(PATIENCE)).unwrap();
        each::<F>(&vm);
    }
}
