//! The model with a clock that the tests set.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::sync::Arc;

use qmp_types::qmp::types::{BalloonInfo, JobInfo, JobStatus};
use serde_json::json;

use super::*;

/// A model with a clock, whose queries are answered by the tests.
struct Bench {
    model: Model,
    now: Instant,
    view: View,
}

impl Bench {
    fn new(policy: Policy) -> Self {
        let mut bench =
            Self { model: Model::new(policy), now: Instant::now(), view: View::empty() };
        bench.model.connect();
        bench
    }

    /// Creates one that has answered everything once.
    fn settled() -> Self {
        let mut bench = Self::new(Policy::new().period(None));
        let (parts, stamp) = bench.asks();
        assert_eq!(parts, Parts::ALL);
        bench.refuse(parts, stamp);
        assert!(bench.publish());
        bench
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    fn asks(&mut self) -> (Parts, Stamp) {
        match self.model.next(self.now) {
            Step::Ask(parts, stamp) => (parts, stamp),
            Step::Wait(wait) => panic!("waits for {wait:?}"),
        }
    }

    fn waits(&mut self) -> Duration {
        match self.model.next(self.now) {
            Step::Ask(parts, _) => panic!("asks for {parts:?}"),
            Step::Wait(wait) => wait,
        }
    }

    fn answer(&mut self, part: Part, stamp: Stamp, outcome: Outcome) {
        self.model.answer(part, stamp, outcome, self.now);
    }

    fn refuse(&mut self, parts: Parts, stamp: Stamp) {
        for part in parts.iter() {
            self.answer(part, stamp, Outcome::Absent(Absence::NotSupported));
        }
    }

    fn publish(&mut self) -> bool {
        let view = self.model.publish(&self.view);
        view.map(|view| self.view = view).is_some()
    }
}

fn jobs(status: &str) -> Outcome {
    let job = json!([{"id": "j", "type": "mirror", "status": status, "current-progress": 0,
        "total-progress": 1}]);
    Outcome::Answer(Answer::Jobs(Arc::new(serde_json::from_value::<Vec<JobInfo>>(job).unwrap())))
}

#[test]
fn a_flood_of_events_gives_one_round_and_its_echo() {
    let mut bench = Bench::settled();
    bench.passes(Duration::from_secs(1));
    bench.waits();
    let woken = (0..1000).filter(|_| bench.model.hear("STOP")).count();
    assert_eq!(woken, 1);
    let (parts, stamp) = bench.asks();
    assert!(parts.contains(Part::Status) && !parts.contains(Part::Objects));
    bench.refuse(parts, stamp);
    let echo = bench.waits();
    assert!(echo <= Duration::from_millis(200), "{echo:?}");
    bench.passes(echo);
    let (again, stamp) = bench.asks();
    assert_eq!(again, parts);
    bench.refuse(again, stamp);
    assert_eq!(bench.waits(), LONGEST_WAIT);
}

/// An answer that was sent before an event may arrive after it.
#[test]
fn a_query_that_was_sent_before_an_event_does_not_count() {
    let mut bench = Bench::settled();
    bench.passes(Duration::from_secs(1));
    bench.model.hear("JOB_STATUS_CHANGE");
    let (parts, stamp) = bench.asks();
    bench.model.hear("JOB_STATUS_CHANGE");
    bench.answer(Part::Jobs, stamp, jobs("created"));
    bench.refuse(parts, stamp);
    assert!(bench.model.stale().contains(Part::Jobs));
    assert!(!bench.publish(), "a torn view");
    bench.passes(Duration::from_millis(25));
    let (again, stamp) = bench.asks();
    bench.refuse(again, stamp);
    bench.answer(Part::Jobs, stamp, jobs("concluded"));
    assert!(bench.publish() && bench.view.is_current());
    assert_eq!(bench.view.job("j").unwrap().status, JobStatus::Concluded);
}

#[test]
fn a_flood_that_does_not_end_hides_nothing_for_long() {
    let mut bench = Bench::settled();
    let mut published = 0;
    for _ in 0..12 {
        bench.passes(Duration::from_millis(25));
        bench.model.hear("STOP");
        let (parts, stamp) = bench.asks();
        bench.model.hear("STOP");
        bench.refuse(parts, stamp);
        published += u32::from(bench.publish());
    }
    assert_eq!(published, 3);
    assert!(!bench.view.is_current());
    assert!(bench.view.stale().any(|part| part == Part::Status));
}

#[test]
fn what_fails_stays_stale_and_is_asked_again_ever_more_rarely() {
    let mut bench = Bench::settled();
    bench.passes(Duration::from_secs(1));
    bench.model.hear("BALLOON_CHANGE");
    let (parts, stamp) = bench.asks();
    bench.refuse(parts, stamp);
    let size = Arc::new(serde_json::from_value::<BalloonInfo>(json!({"actual": 64})).unwrap());
    bench.answer(Part::Balloon, stamp, Outcome::Answer(Answer::Balloon(size.clone())));
    bench.passes(Duration::from_secs(1));
    let (parts, stamp) = bench.asks();
    bench.refuse(parts, stamp);
    bench.answer(Part::Balloon, stamp, Outcome::Answer(Answer::Balloon(size.clone())));
    bench.passes(Duration::from_secs(1));
    bench.model.mark(Parts::of(&[Part::Balloon]));
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let (parts, stamp) = bench.asks();
        assert_eq!(parts, Parts::of(&[Part::Balloon]));
        bench.answer(Part::Balloon, stamp, Outcome::Failed("no answer".to_owned()));
        assert!(bench.publish());
        assert_eq!(bench.view.failure(Part::Balloon), Some("no answer"));
        assert_eq!(bench.view.balloon(), Some(&*size));
        assert!(!bench.view.is_current());
        let pause = bench.waits();
        bench.passes(pause);
        pauses.push(pause);
    }
    assert!(pauses.is_sorted() && pauses[0] == FIRST_RETRY, "{pauses:?}");
    assert_eq!(pauses.last(), Some(&LAST_RETRY));
    let (_, stamp) = bench.asks();
    bench.answer(Part::Balloon, stamp, Outcome::Absent(Absence::Missing("gone".to_owned())));
    assert!(bench.publish() && bench.view.is_current());
    assert_eq!((bench.view.balloon(), bench.view.failure(Part::Balloon)), (None, None));
}

/// A job's progress has no event.
#[test]
fn a_job_at_work_is_looked_at_until_it_ends() {
    let mut bench = Bench::settled();
    for status in ["running", "running", "concluded"] {
        bench.passes(Duration::from_secs(2));
        if status == "running" && bench.view.jobs().is_none() {
            bench.model.hear("JOB_STATUS_CHANGE");
        }
        let (parts, stamp) = bench.asks();
        bench.refuse(parts, stamp);
        bench.answer(Part::Jobs, stamp, jobs(status));
        assert!(bench.publish());
        // The echo of the event.
        bench.waits();
        bench.passes(Duration::from_millis(200));
        if let Step::Ask(parts, stamp) = bench.model.next(bench.now) {
            bench.refuse(parts, stamp);
            bench.answer(Part::Jobs, stamp, jobs(status));
        }
    }
    bench.passes(Duration::from_secs(2));
    assert_eq!(bench.waits(), LONGEST_WAIT);
}

/// Block nodes are taken back after the last state of a migration that is told, without an event.
#[test]
fn what_follows_the_end_of_a_motion_is_asked_for_again() {
    let mut bench = Bench::settled();
    bench.passes(Duration::from_secs(1));
    bench.model.mark(Parts::of(&[Part::Jobs]));
    let (_, stamp) = bench.asks();
    bench.answer(Part::Jobs, stamp, jobs("running"));
    bench.waits();
    bench.passes(Duration::from_secs(1));
    let (parts, stamp) = bench.asks();
    bench.refuse(parts, stamp);
    bench.answer(Part::Jobs, stamp, jobs("concluded"));
    let echo = bench.waits();
    assert!(echo <= Duration::from_millis(200), "{echo:?}");
    bench.passes(echo);
    let (again, stamp) = bench.asks();
    assert!(again.contains(Part::Graph) && again.contains(Part::Nodes), "{again:?}");
    bench.refuse(again, stamp);
    assert_eq!(bench.waits(), LONGEST_WAIT);
}

#[test]
fn a_new_connection_asks_for_everything() {
    let mut bench = Bench::settled();
    let target = bench.model.target();
    assert!(target.is_reached(&bench.view, false));
    bench.model.disconnect();
    assert!(bench.publish() && !bench.view.is_connected());
    assert_eq!(bench.waits(), LONGEST_WAIT);
    bench.model.connect();
    let target = bench.model.target();
    let (parts, stamp) = bench.asks();
    assert_eq!(parts, Parts::ALL);
    assert!(!target.is_reached(&bench.view, true));
    bench.refuse(parts, stamp);
    assert!(bench.publish() && target.is_reached(&bench.view, false));
    assert_eq!(bench.view.connections(), 2);
}

/// Several threads ask. One that was held up took its reply to be the newest, and nothing asked again.
#[test]
fn an_answer_that_was_overtaken_does_not_count() {
    let mut bench = Bench::settled();
    bench.passes(Duration::from_secs(1));
    bench.model.mark(Parts::of(&[Part::Jobs]));
    let (parts, earlier) = bench.asks();
    bench.model.abandon(parts);
    bench.passes(Duration::from_secs(1));
    bench.model.hear("JOB_STATUS_CHANGE");
    let (parts, later) = bench.asks();
    bench.refuse(parts, later);
    bench.answer(Part::Jobs, later, jobs("concluded"));
    bench.answer(Part::Jobs, earlier, jobs("running"));
    bench.answer(Part::Jobs, earlier, Outcome::Failed("late".to_owned()));
    assert!(bench.publish() && bench.view.is_current());
    assert_eq!(bench.view.job("j").unwrap().status, JobStatus::Concluded);
    assert_eq!(bench.view.failure(Part::Jobs), None);
}

/// The connection was made again, to another machine, before a thread took its reply.
#[test]
fn an_answer_of_an_earlier_connection_does_not_count() {
    let mut bench = Bench::settled();
    bench.passes(Duration::from_secs(1));
    bench.model.mark(Parts::of(&[Part::Jobs]));
    let (_, earlier) = bench.asks();
    bench.model.disconnect();
    bench.model.forget();
    bench.model.connect();
    let (parts, _) = bench.asks();
    assert!(parts.contains(Part::Jobs));
    bench.answer(Part::Jobs, earlier, jobs("running"));
    assert!(!bench.model.values.has(Part::Jobs));
    // The query of this connection is still in flight.
    bench.waits();
}
