//! Injects faults at the bytes of recorded sessions: at some of them, or with `FAULTS=all`, at each.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // tests

use trust::faults::{Outcome, inject_all};

/// The distance between the positions that are tried.
const SOME: u64 = 53;

#[test]
fn every_fault_is_survived_or_told() {
    let step = if std::env::var("FAULTS").is_ok_and(|which| which == "all") { 1 } else { SOME };
    let summary = inject_all(step);
    for ((session, front, kind), outcomes) in &summary.outcomes {
        println!("{session}, {front:?}, {kind}: {outcomes:?}");
    }
    let (faults, positions) = (summary.faults(), summary.positions);
    println!("{faults} faults at {positions} positions");
    for (plan, violation) in summary.violations.iter().take(30) {
        let (session, front) = (plan.session.name, plan.front);
        println!("{session}, {front:?}, {} at once, {:?}: {violation}", plan.pipelined, plan.fault);
    }
    assert!(summary.violations.is_empty(), "{} violations", summary.violations.len());
    // Faults that lead to nothing test nothing.
    for outcome in [Outcome::AllRight, Outcome::SomeFailed, Outcome::Closed, Outcome::NoClient] {
        assert!(summary.count(outcome) > faults / 100, "{outcome:?}");
    }
}
