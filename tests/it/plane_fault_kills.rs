//! Runners that are killed (SIGKILL) at a moment that the control plane chooses: while it holds a certain request.

use super::plane_faults::{agent, assert_whole_log, judged};
use crate::support::fake_plane::{Endpoint, FakePlane, Fault, Habits, What};

/// Kills a runner while the plane holds a request to `endpoint`, starts it again, and gives the status its job ends with.
fn killed_at(habits: Habits, endpoint: Endpoint, what: What) -> String {
    let plane = FakePlane::start(habits);
    let mut agent = agent(&plane).started();
    plane.fault(Fault::once(endpoint, what).always());
    let before = plane.count(endpoint);
    let id = plane.submit("noop", "{}");
    plane.seen(endpoint, before + 1);
    agent.kill();
    plane.behave();
    agent.start();
    let status = plane.ended(&id).status;
    let job = judged(&plane, &id, &status);
    if status == "finished" {
        assert_whole_log(&job, "has nothing to do");
    } else {
        let result = &job.execution().results[0];
        assert!(result.to_string().contains("nterrupted"), "{endpoint:?} {what:?}: {result:#}");
    }
    // Nothing is owed any more: a third start finds nothing, and the next job is served.
    let next = plane.submit("noop", "{}");
    judged(&plane, &next, "finished");
    let done = agent.drained();
    assert_eq!(done.code, Some(0), "{endpoint:?} {what:?}: {}{}", done.stdout, done.stderr);
    assert_eq!(agent.leftovers(), Vec::<std::path::PathBuf>::new(), "{endpoint:?} {what:?}");
    status
}

#[test]
fn a_claim_whose_answer_died_with_the_runner_is_found_again() {
    for habits in [Habits::default(), Habits::hosted()] {
        assert_eq!(killed_at(habits, Endpoint::Claim, What::Mute), "finished", "{habits:?}");
        assert_eq!(killed_at(habits, Endpoint::Claim, What::Hang), "finished", "{habits:?}");
    }
}

#[test]
fn work_that_had_not_begun_is_told_truthfully() {
    for what in [What::Hang, What::Mute] {
        let status = killed_at(Habits::default(), Endpoint::Plan, what);
        assert!(matches!(status.as_str(), "finished" | "failed"), "{what:?}: {status}");
    }
}

#[test]
fn work_that_was_done_is_reported_as_done() {
    for what in [What::Hang, What::Mute] {
        for endpoint in [Endpoint::Result, Endpoint::Outputs, Endpoint::End] {
            assert_eq!(killed_at(Habits::default(), endpoint, what), "finished", "{endpoint:?} {what:?}");
        }
    }
}

#[test]
fn a_log_that_was_on_its_way_arrives_whole() {
    for what in [What::Hang, What::Mute] {
        for habits in [Habits::default(), Habits::hosted()] {
            let status = killed_at(habits, Endpoint::Logs, what);
            assert!(matches!(status.as_str(), "finished" | "failed"), "{what:?}: {status}");
        }
    }
}
