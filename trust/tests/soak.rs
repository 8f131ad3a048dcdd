//! The traffic of some hours, or of a month with `SOAK_HOURS=720`, with both clients.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // tests

#[cfg(unix)]
#[test]
fn memory_does_not_grow_and_nothing_is_left() {
    use trust::soak::{asynchronous, blocking};

    /// The most that memory may grow by after the first tenth, in KiB: less than a byte a second of a
    /// month.
    const GROWTH: u64 = 2048;

    let hours = std::env::var("SOAK_HOURS").map_or(2, |hours| hours.parse().unwrap());
    for (name, soak) in [("blocking", blocking as fn(u64) -> _), ("async", asynchronous)] {
        let soaked = soak(hours);
        let (before, after) = soaked.memory;
        println!("{name}: {hours} hours, {}", soaked.stats);
        println!(
            "{} executed, {} events, {before} KiB, {after} KiB",
            soaked.executed, soaked.events
        );
        // Six of 3600 calls an hour are refused, six dropped, and six undone by another; one is last.
        let calls = &soaked.stats.calls;
        assert_eq!(calls.refused.total(), 6 * hours);
        assert_eq!(calls.timed_out + calls.closed + calls.mismatched + calls.failed, 0);
        assert!(calls.succeeded >= (3600 - 12) * hours, "{calls:?}");
        assert!(soaked.executed >= (3600 - 6) * hours, "{}", soaked.executed);
        assert!(soaked.events > 0 && soaked.stats.events.lagged == 0);
        assert!(after <= before + GROWTH, "{before} KiB became {after} KiB");
    }
}
