//! Jobs, several at once.

use qmp_client::{Error, Options, Raw, Result};
use qmp_vm::{JobOutcome, Workflows};
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::{PATIENCE, SOON, play, play_blocking, play_with};

fn change(peer: &mut Peer, id: &str, status: &str) {
    let data = json!({"id": id, "status": status});
    peer.send(&json!({"event": "JOB_STATUS_CHANGE", "data": data}).to_string());
}

fn block_job(peer: &mut Peer, event: &str, id: &str, error: Option<&str>) {
    let mut data = json!({"type": "backup", "device": id, "len": 1, "offset": 1, "speed": 0});
    if let Some(error) = error {
        data["error"] = error.into();
    }
    peer.send(&json!({"event": event, "data": data}).to_string());
}

/// Answers `query-jobs` with jobs, their states and errors.
fn lists(peer: &mut Peer, jobs: &[(&str, &str, Option<&str>)]) {
    let job = |(id, status, error): &(&str, &str, Option<&str>)| {
        let mut job = json!({"id": id, "type": "backup", "status": status, "current-progress": 0,
            "total-progress": 1});
        if let Some(error) = error {
            job["error"] = (*error).into();
        }
        job
    };
    let id = peer.expect("query-jobs");
    peer.succeed(&id, jobs.iter().map(job).collect());
}

/// Expects a command for this job, and accepts it.
fn obeys(peer: &mut Peer, name: &str, job: &str) {
    let command = peer.command();
    assert_eq!((&command["execute"], &command["arguments"]["id"]), (&json!(name), &json!(job)));
    peer.succeed(&command["id"], json!({}));
}

fn refuses(peer: &mut Peer, name: &str) {
    let id = peer.expect(name);
    let error = json!({"class": "GenericError", "desc": "no"});
    peer.send(&json!({"error": error, "id": id}).to_string());
}

fn begin() -> Raw<Value> {
    Raw::new("begin")
}

/// Starts the jobs `one` and `two`, and finishes them, with both clients.
fn finished(script: impl Fn(&mut Peer) + Send + Sync, check: impl Fn(Result<Vec<JobOutcome>>)) {
    play(&script, async |client| {
        let mut jobs = client.watch_jobs(["one", "two"]);
        client.execute(begin()).await.unwrap();
        check(jobs.finish(PATIENCE).await);
        drop(jobs);
        assert_eq!((client.pending().calls, client.pending().subscriptions), (0, 0));
    });
    play_blocking(&script, |client| {
        let mut jobs = client.watch_jobs(["one", "two"]);
        client.execute(begin()).unwrap();
        check(jobs.finish(PATIENCE));
    });
}

fn errors(outcomes: &[JobOutcome]) -> Vec<(&str, Option<&str>)> {
    outcomes.iter().map(|outcome| (&*outcome.id, outcome.error.as_deref())).collect()
}

#[test]
fn several_jobs_are_finished() {
    let script = |peer: &mut Peer| {
        let id = peer.expect("begin");
        // Events of earlier jobs with the same ids, and of a job with another id.
        for job in ["one", "two"] {
            change(peer, job, "concluded");
            change(peer, job, "null");
        }
        change(peer, "three", "concluded");
        peer.succeed(&id, json!({}));
        lists(peer, &[("two", "running", None), ("one", "ready", None), ("three", "ready", None)]);
        obeys(peer, "job-complete", "one");
        change(peer, "three", "null");
        // The job stays ready for a while, and is completed once.
        change(peer, "one", "ready");
        change(peer, "one", "concluded");
        change(peer, "two", "pending");
        obeys(peer, "job-finalize", "two");
        change(peer, "two", "concluded");
        lists(peer, &[("two", "concluded", Some("no space")), ("one", "concluded", None)]);
        obeys(peer, "job-dismiss", "two");
        refuses(peer, "job-dismiss");
    };
    finished(script, |outcomes| {
        let outcomes = outcomes.unwrap();
        assert_eq!(errors(&outcomes), [("one", None), ("two", Some("no space"))]);
        assert!(outcomes[0].success() && !outcomes[1].success());
    });
}

/// The jobs had ended and dismissed themselves before the first look, and their events arrived just
/// before its reply: they were not read, and the jobs seemed never to have existed.
#[test]
fn jobs_that_are_gone_at_once() {
    let script = |peer: &mut Peer| {
        let id = peer.expect("begin");
        peer.succeed(&id, json!({}));
        let id = peer.expect("query-jobs");
        // An error that stopped the job earlier, and was resolved.
        peer.send(
            &json!({"event": "BLOCK_JOB_ERROR", "data": {"device": "one", "operation": "read",
                "action": "stop"}})
            .to_string(),
        );
        block_job(peer, "BLOCK_JOB_COMPLETED", "one", None);
        block_job(peer, "BLOCK_JOB_COMPLETED", "two", Some("no space"));
        for job in ["one", "two"] {
            change(peer, job, "concluded");
            change(peer, job, "null");
        }
        peer.succeed(&id, json!([]));
        lists(peer, &[]);
    };
    finished(script, |outcomes| {
        assert_eq!(errors(&outcomes.unwrap()), [("one", None), ("two", Some("no space"))]);
    });
}

/// The jobs had concluded before the first look, so no event is waited for.
#[test]
fn jobs_that_conclude_at_once() {
    let script = |peer: &mut Peer| {
        let id = peer.expect("begin");
        for job in ["one", "two"] {
            change(peer, job, "concluded");
        }
        peer.succeed(&id, json!({}));
        let jobs = [("one", "concluded", None), ("two", "concluded", None)];
        lists(peer, &jobs);
        lists(peer, &jobs);
        obeys(peer, "job-dismiss", "one");
        obeys(peer, "job-dismiss", "two");
    };
    finished(script, |outcomes| assert!(outcomes.unwrap().iter().all(JobOutcome::success)));
}

/// The jobs dismiss themselves, so only events tell how they ended: the last ones, since an earlier
/// job may have had the same id. A job that never existed has not succeeded.
#[test]
fn jobs_that_dismiss_themselves() {
    for cancelled in [false, true] {
        let script = move |peer: &mut Peer| {
            let id = peer.expect("begin");
            block_job(peer, "BLOCK_JOB_COMPLETED", "one", None);
            if cancelled {
                block_job(peer, "BLOCK_JOB_CANCELLED", "one", None);
            } else {
                block_job(peer, "BLOCK_JOB_COMPLETED", "one", Some("no space"));
            }
            change(peer, "one", "null");
            peer.succeed(&id, json!({}));
            lists(peer, &[]);
            lists(peer, &[]);
        };
        finished(script, |outcomes| {
            let outcomes = outcomes.unwrap();
            let error = if cancelled { "the job was cancelled" } else { "no space" };
            assert_eq!(outcomes[0].error.as_deref(), Some(error));
            assert!(outcomes[1].error.as_ref().unwrap().contains("does not exist"), "{outcomes:?}");
        });
    }
    // The same while this client waits.
    let script = |peer: &mut Peer| {
        let id = peer.expect("begin");
        peer.succeed(&id, json!({}));
        lists(peer, &[("one", "running", None), ("two", "running", None)]);
        for job in ["two", "one"] {
            block_job(peer, "BLOCK_JOB_COMPLETED", job, Some(job).filter(|job| *job == "two"));
            change(peer, job, "concluded");
            change(peer, job, "null");
        }
        lists(peer, &[]);
    };
    finished(script, |outcomes| {
        assert_eq!(errors(&outcomes.unwrap()), [("one", None), ("two", Some("two"))]);
    });
}

/// The job fails at the moment at which it is to complete.
#[test]
fn a_job_that_is_not_ready_any_more() {
    for still in [false, true] {
        let script = move |peer: &mut Peer| {
            let id = peer.expect("begin");
            peer.succeed(&id, json!({}));
            lists(peer, &[("one", "ready", None), ("two", "concluded", None)]);
            refuses(peer, "job-complete");
            let status = if still { "ready" } else { "concluded" };
            lists(peer, &[("one", status, None), ("two", "concluded", None)]);
            if !still {
                change(peer, "one", "concluded");
                lists(peer, &[("one", "concluded", Some("no")), ("two", "concluded", None)]);
                obeys(peer, "job-dismiss", "one");
                obeys(peer, "job-dismiss", "two");
            }
        };
        finished(script, |outcomes| match outcomes {
            Ok(outcomes) => assert_eq!(errors(&outcomes), [("one", Some("no")), ("two", None)]),
            Err(error) => assert!(still && error.command() == Some("job-complete"), "{error:?}"),
        });
    }
}

/// No job is dismissed, so that the second attempt still learns how they ended.
#[test]
fn jobs_that_take_too_long() {
    let script = |peer: &mut Peer| {
        lists(peer, &[("one", "concluded", None), ("two", "running", None)]);
        let id = peer.expect("too-late");
        change(peer, "two", "concluded");
        peer.succeed(&id, json!({}));
        let jobs = [("one", "concluded", Some("no space")), ("two", "concluded", None)];
        lists(peer, &jobs);
        lists(peer, &jobs);
        obeys(peer, "job-dismiss", "one");
        obeys(peer, "job-dismiss", "two");
    };
    let too_late = || Raw::<Value>::new("too-late");
    play(script, async |client| {
        let mut jobs = client.watch_jobs(["one", "two"]);
        assert!(jobs.finish(SOON).await.unwrap_err().is_timeout());
        client.execute(too_late()).await.unwrap();
        let outcomes = jobs.finish(PATIENCE).await.unwrap();
        assert_eq!(errors(&outcomes), [("one", Some("no space")), ("two", None)]);
    });
    play_blocking(script, |client| {
        let mut jobs = client.watch_jobs(["one", "two"]);
        let error = jobs.finish(SOON).unwrap_err().to_string();
        assert!(error.contains("jobs `one` (concluded), `two` (running) to conclude"), "{error}");
        client.execute(too_late()).unwrap();
        let outcomes = jobs.finish(PATIENCE).unwrap();
        assert_eq!(errors(&outcomes), [("one", Some("no space")), ("two", None)]);
    });
}

/// The job waits for something other than this program: the error says in which state.
#[test]
fn jobs_that_wait() {
    for state in ["created", "waiting", "aborting", "newer"] {
        let script = |peer: &mut Peer| {
            lists(peer, &[("one", state, None), ("two", "concluded", None)]);
            // Neither was dismissed.
            peer.status();
        };
        let check = |error: Error| {
            assert!(error.is_timeout(), "{error:?}");
            let states = format!("jobs `one` ({state}), `two` (concluded) to conclude");
            assert!(error.to_string().contains(&states), "{error}");
        };
        let status = || Raw::<Value>::new("query-status");
        play(script, async |client| {
            check(client.watch_jobs(["one", "two"]).finish(SOON).await.unwrap_err());
            client.execute(status()).await.unwrap();
        });
        play_blocking(script, |client| {
            check(client.watch_jobs(["one", "two"]).finish(SOON).unwrap_err());
            client.execute(status()).unwrap();
        });
    }
}

/// Lists the block jobs, with what I/O errors have done to them.
fn lists_block_jobs(peer: &mut Peer, jobs: &[(&str, &str)]) {
    let job = |(id, io_status): &(&str, &str)| {
        json!({"device": id, "type": "mirror", "len": 1, "offset": 0, "busy": false,
            "paused": true, "speed": 0, "io-status": io_status, "ready": false,
            "status": "paused", "auto-finalize": true, "auto-dismiss": true})
    };
    let id = peer.expect("query-block-jobs");
    peer.succeed(&id, jobs.iter().map(job).collect());
}

fn io_error(peer: &mut Peer, id: &str, action: &str) {
    let data = json!({"device": id, "operation": "write", "action": action});
    peer.send(&json!({"event": "BLOCK_JOB_ERROR", "data": data}).to_string());
}

/// The disk is full, and QEMU waits for a command: the caller is told at once, can make room, and
/// waits for the job again. A job that its owner has paused is waited for.
#[test]
fn a_job_that_an_io_error_has_paused() {
    let script = |peer: &mut Peer| {
        lists(peer, &[("one", "paused", None), ("two", "running", None)]);
        lists_block_jobs(peer, &[("one", "ok")]);
        io_error(peer, "two", "report");
        io_error(peer, "three", "stop");
        io_error(peer, "two", "stop");
        lists(peer, &[("one", "paused", None), ("two", "paused", None)]);
        let id = peer.expect("resume");
        change(peer, "two", "running");
        peer.succeed(&id, json!({}));
        // The other job has been stopped meanwhile.
        lists(peer, &[("one", "paused", None), ("two", "running", None)]);
        lists_block_jobs(peer, &[("one", "nospace")]);
        lists(peer, &[("one", "paused", None), ("two", "running", None)]);
        let id = peer.expect("resume");
        peer.succeed(&id, json!({}));
        let jobs = [("one", "concluded", None), ("two", "concluded", None)];
        lists(peer, &jobs);
        lists(peer, &jobs);
        obeys(peer, "job-dismiss", "one");
        obeys(peer, "job-dismiss", "two");
    };
    let check = |outcomes: &[JobOutcome], stopped: usize| {
        assert!(outcomes.iter().all(|outcome| !outcome.concluded && !outcome.success()));
        for (number, outcome) in outcomes.iter().enumerate() {
            let error = outcome.error.as_ref().unwrap();
            assert_eq!(error.contains("job-resume"), number == stopped, "{outcomes:?}");
        }
    };
    let resume = || Raw::<Value>::new("resume");
    play(script, async |client| {
        let mut jobs = client.watch_jobs(["one", "two"]);
        for stopped in [1, 0] {
            check(&jobs.finish(PATIENCE).await.unwrap(), stopped);
            client.execute(resume()).await.unwrap();
        }
        assert!(jobs.finish(PATIENCE).await.unwrap().iter().all(|outcome| outcome.concluded));
    });
    play_blocking(script, |client| {
        let mut jobs = client.watch_jobs(["one", "two"]);
        for stopped in [1, 0] {
            check(&jobs.finish(PATIENCE).unwrap(), stopped);
            client.execute(resume()).unwrap();
        }
        assert!(jobs.finish(PATIENCE).unwrap().iter().all(JobOutcome::success));
    });
}

/// An I/O error does not keep a job from being cancelled.
#[test]
fn a_paused_job_is_cancelled() {
    let script = |peer: &mut Peer| {
        obeys(peer, "job-cancel", "one");
        lists(peer, &[("one", "paused", None)]);
        io_error(peer, "one", "stop");
        change(peer, "one", "concluded");
        lists(peer, &[("one", "concluded", Some("cancelled"))]);
        obeys(peer, "job-dismiss", "one");
    };
    play(script, async |client| {
        assert!(client.cancel_job("one", PATIENCE).await.unwrap().concluded)
    });
    play_blocking(script, |client| assert!(client.cancel_job("one", PATIENCE).unwrap().concluded));
}

/// The queue of events is too short for all events of the jobs.
#[test]
fn jobs_whose_events_are_lost() {
    let options = Options::new().event_capacity(3);
    let script = |peer: &mut Peer| {
        let id = peer.expect("begin");
        peer.succeed(&id, json!({}));
        lists(peer, &[("one", "ready", None), ("two", "running", None)]);
        let complete = peer.command();
        for job in ["one", "two"] {
            change(peer, job, "concluded");
        }
        // Later events displace them.
        for _ in 0..3 {
            change(peer, "one", "concluded");
        }
        peer.succeed(&complete["id"], json!({}));
        let jobs = [("one", "concluded", None), ("two", "concluded", None)];
        lists(peer, &jobs);
        lists(peer, &jobs);
        obeys(peer, "job-dismiss", "one");
        obeys(peer, "job-dismiss", "two");
    };
    play_with(
        &options,
        script,
        async |client| {
            let mut jobs = client.watch_jobs(["one", "two"]);
            client.execute(begin()).await.unwrap();
            assert!(jobs.finish(PATIENCE).await.unwrap().iter().all(JobOutcome::success));
        },
        |client| {
            let mut jobs = client.watch_jobs(["one", "two"]);
            client.execute(begin()).unwrap();
            let outcomes = jobs.finish(PATIENCE).unwrap();
            assert!(outcomes.iter().all(JobOutcome::success));
        },
    );
}

/// A job that is cancelled is not completed, and its conclusion is waited for.
#[test]
fn a_job_is_cancelled() {
    let cancelled = |script: fn(&mut Peer), check: fn(Result<JobOutcome>)| {
        play(script, async |client| check(client.cancel_job("one", PATIENCE).await));
        play_blocking(script, |client| check(client.cancel_job("one", PATIENCE)));
    };
    cancelled(
        |peer| {
            obeys(peer, "job-cancel", "one");
            lists(peer, &[("one", "ready", None)]);
            change(peer, "one", "ready");
            change(peer, "one", "pending");
            obeys(peer, "job-finalize", "one");
            change(peer, "one", "concluded");
            lists(peer, &[("one", "concluded", Some("Operation canceled"))]);
            obeys(peer, "job-dismiss", "one");
        },
        |outcome| assert_eq!(outcome.unwrap().error.as_deref(), Some("Operation canceled")),
    );
    // The job has concluded already, and then the job does not exist.
    cancelled(
        |peer| {
            refuses(peer, "job-cancel");
            (0..3).for_each(|_| lists(peer, &[("one", "concluded", None)]));
            obeys(peer, "job-dismiss", "one");
        },
        |outcome| assert!(outcome.unwrap().success()),
    );
    cancelled(
        |peer| {
            refuses(peer, "job-cancel");
            lists(peer, &[("two", "running", None)]);
        },
        |outcome| assert_eq!(outcome.unwrap_err().command(), Some("job-cancel")),
    );
}
