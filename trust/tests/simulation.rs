//! Simulates connections, each decided by a seed.
//!
//! `SEEDS=100000` sets their number, and `SEED=7` shows the steps of one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // tests

use trust::simulation::{Plant, simulate, simulate_all};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn every_interleaving_is_right() {
    if let Some(seed) = number("SEED") {
        let run = simulate(seed, None, true);
        run.trace.iter().for_each(|line| println!("{line}"));
        assert_eq!(run.violation, None, "with seed {seed}");
        return;
    }
    let summary = simulate_all(0..number("SEEDS").unwrap_or(1000), None);
    println!("{} runs, {} steps: {:?}", summary.runs, summary.steps, summary.outcomes);
    for run in summary.failed.iter().take(20) {
        println!("SEED={}: {}", run.seed, run.violation.as_deref().unwrap());
    }
    assert!(summary.failed.is_empty(), "{} of {} runs failed", summary.failed.len(), summary.runs);
    // A simulation that executes nothing finds nothing; a few seeds may execute little.
    let outcomes = summary.outcomes;
    let counts = [outcomes.answered, outcomes.refused, outcomes.canceled, outcomes.closed];
    let counts = counts.into_iter().chain([outcomes.timed_out, outcomes.events, outcomes.lagged]);
    assert!(summary.runs < 500 || counts.min() > Some(0), "{outcomes:?}");
}

/// A check that finds nothing may look nowhere.
#[test]
fn planted_faults_are_found() {
    for plant in Plant::ALL {
        let summary = simulate_all(0..300, Some(plant));
        let first = summary.failed.first().and_then(|run| run.violation.clone());
        println!("{plant:?}: {} of {} runs, {first:?}", summary.failed.len(), summary.runs);
        assert!(!summary.failed.is_empty(), "{plant:?}");
    }
}

/// A seed that failed must fail again.
#[test]
fn a_seed_decides_everything() {
    for seed in 0..20 {
        let traces = [(); 2].map(|()| simulate(seed, None, true).trace);
        assert!(traces[0].len() > 10);
        assert_eq!(traces[0], traces[1], "with seed {seed}");
    }
}
