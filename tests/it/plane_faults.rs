//! Runners against a control plane that answers wrongly: every job still ends once, truthfully, with its whole log.

use std::thread;

use serde_json::Value;

use crate::support::fake_plane::{Endpoint, FakePlane, Fault, Habits, Job, RUNNER, What};
use crate::support::plane::Agent;

/// Answers that are over soon.
const WRONG: [What; 11] = [
    What::Status(500),
    What::Status(401),
    What::Status(429),
    What::Page,
    What::ErrorPage(502),
    What::Cut,
    What::Lost,
    What::Half,
    What::Drip,
    What::Garbage,
    What::Endless,
];

/// A runner of the plane.
pub(super) fn agent(plane: &FakePlane) -> Agent {
    Agent::at(&plane.url(), &plane.token_file(), RUNNER)
}

/// Holds a job to what every job has to be when it is over, whatever went wrong: executed once, one terminal status however often
/// it was sent, a result that agrees with it, every line of its log once and none changed.
pub(super) fn judged(plane: &FakePlane, id: &str, status: &str) -> Job {
    let job = plane.ended(id);
    let execution = job.execution();
    assert_eq!((job.status.as_str(), execution.status()), (status, status), "{job:#?}");
    let receipt = execution.receipt();
    let outcome = if status == "finished" { "succeeded" } else { status };
    assert_eq!(receipt["outcome"], outcome, "{receipt:#}");
    let results: Vec<Value> = execution.results.iter().map(|result| result["contents"].clone()).collect();
    assert!(results.iter().all(|result| *result == results[0]), "the result was told in two ways: {results:#?}");
    assert!(execution.outputs.iter().all(|outputs| *outputs == execution.outputs[0]), "{:#?}", execution.outputs);
    assert_eq!(execution.contradictions, [], "{job:#?}");
    job
}

/// The log of a job is there from its first line to its last.
pub(super) fn assert_whole_log(job: &Job, line: &str) {
    let execution = job.execution();
    let numbers: Vec<u64> = execution.lines.keys().copied().collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{job:#?}");
    assert!(execution.lines.values().any(|text| text.contains(line)), "{job:#?}");
}

/// A fresh plane and runner for each endpoint, side by side; for each, all wrong answers one after the other.
fn survive(habits: Habits, endpoints: &[Endpoint], wrong: &[What]) {
    thread::scope(|scope| {
        for &endpoint in endpoints {
            scope.spawn(move || {
                let plane = FakePlane::start(habits);
                let mut agent = agent(&plane).started();
                for &what in wrong {
                    let asked = plane.count(endpoint);
                    plane.fault(Fault::once(endpoint, what));
                    let id = plane.submit("noop", "{}");
                    println!("{endpoint:?} {what:?}: {id}");
                    // A plan that is not one is the plane's last word about it.
                    let is_plan = endpoint == Endpoint::Plan && matches!(what, What::Garbage | What::Endless);
                    let job = judged(&plane, &id, if is_plan { "failed" } else { "finished" });
                    if !is_plan {
                        assert_whole_log(&job, "has nothing to do");
                    }
                    if endpoint == Endpoint::End && matches!(what, What::Lost | What::Half | What::Mute) {
                        // It took effect and nobody heard of it: the runner has to ask again before it may forget.
                        plane.seen(endpoint, asked + 2);
                    }
                    plane.behave();
                }
                let done = agent.drained();
                assert_eq!(done.code, Some(0), "{endpoint:?}: {}{}", done.stdout, done.stderr);
                assert_eq!(agent.leftovers(), Vec::<std::path::PathBuf>::new(), "{endpoint:?}");
            });
        }
    });
}

#[test]
fn wrong_answers_of_a_plane_are_survived() {
    use Endpoint::{Claim, End, Heartbeat, JobsTail, Logs, Outputs, Plan, Result, Settings, Standings, Status};
    survive(Habits::default(), &[Settings, Heartbeat, JobsTail, Standings, Claim, Plan, Status, Logs, Result, Outputs, End], &WRONG);
}

#[test]
fn wrong_answers_of_a_hosted_plane_are_survived() {
    use Endpoint::{Claim, End, Job, Jobs, Logs, Plan, Result};
    survive(Habits::hosted(), &[Jobs, Job, Claim, Plan, Logs, Result, End], &WRONG);
}

#[test]
fn requests_without_an_answer_are_given_up_and_made_again() {
    use Endpoint::{Claim, End, Heartbeat, JobsTail, Logs, Plan, Result, Settings, Standings, Status};
    let endpoints = [Settings, Heartbeat, JobsTail, Standings, Claim, Plan, Status, Logs, Result, End];
    thread::scope(|scope| {
        scope.spawn(|| survive(Habits::default(), &endpoints, &[What::Hang]));
        scope.spawn(|| survive(Habits::default(), &[Claim, Logs, Result, End], &[What::Mute]));
        scope.spawn(|| survive(Habits::hosted(), &[Endpoint::Jobs, Claim, End], &[What::Mute]));
    });
}

#[test]
fn plans_that_are_none_fail_their_job_by_name() {
    let plane = FakePlane::start(Habits::default());
    let mut agent = agent(&plane).started();
    let huge = format!("{{\"a\": \"{}\"}}", "x".repeat(17 << 20));
    for (job_type, plan, words) in [
        ("helm-chart-build", "", "plan"),
        ("helm-chart-build", "{}", "required key is missing"),
        ("helm-chart-build", "}{", "plan is not JSON"),
        ("helm-chart-build", "[1, 2]", "plan"),
        ("helm-chart-build", &huge, "longer than"),
        ("no-such-type", "{}", "no-such-type"),
    ] {
        let job = plane.ended(&plane.submit(job_type, plan));
        let shown = &plan[..plan.len().min(40)];
        assert!(matches!(job.status.as_str(), "failed" | "not-attempted"), "{shown}: {}", job.status);
        let failure = &job.execution().results[0]["error_metadata"];
        let message = failure["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{shown}: {failure:#}");
        assert!(message.len() < 1000, "{shown}: {} bytes", message.len());
    }
    // And it still works, also without a plan where none is needed.
    let id = plane.submit("noop", "");
    judged(&plane, &id, "finished");
    assert_eq!(agent.drained().code, Some(0));
}

#[test]
fn a_job_that_is_offered_twice_is_executed_once() {
    for habits in [Habits { doubles: true, ..Habits::default() }, Habits { doubles: true, ..Habits::hosted() }] {
        let plane = FakePlane::start(habits);
        let ids: Vec<String> = (0..5).map(|_| plane.submit("noop", "{}")).collect();
        let mut agent = agent(&plane).args(&["--slots", "4"]).started();
        for id in &ids {
            assert_whole_log(&judged(&plane, id, "finished"), "has nothing to do");
        }
        assert_eq!(agent.drained().code, Some(0));
        assert_eq!(plane.count(Endpoint::Claim), ids.len());
    }
}

#[test]
fn a_job_that_somebody_else_has_is_left_alone() {
    let plane = FakePlane::start(Habits::default());
    plane.fault(Fault::once(Endpoint::Claim, What::Status(409)));
    let id = plane.submit("noop", "{}");
    let mut agent = agent(&plane).started();
    // It is still offered, so it is tried once more.
    judged(&plane, &id, "finished");
    assert_eq!(agent.drained().code, Some(0));
}

#[test]
fn a_plane_that_wants_no_logs_still_hears_how_it_ended() {
    for what in [What::Status(400), What::Status(413), What::Status(404)] {
        let plane = FakePlane::start(Habits::default());
        plane.fault(Fault::once(Endpoint::Logs, what).always());
        let mut agent = agent(&plane).started();
        let id = plane.submit("noop", "{}");
        judged(&plane, &id, "finished");
        assert_eq!(agent.drained().code, Some(0));
        assert_eq!(agent.leftovers(), Vec::<std::path::PathBuf>::new(), "{what:?}");
    }
}

#[test]
fn a_plane_that_is_down_for_a_while_gets_everything_afterwards() {
    use Endpoint::{End, Heartbeat, Logs, Result, Standings, Status};
    let plane = FakePlane::start(Habits::default());
    let mut agent = agent(&plane).started();
    plane.fault(Fault::once(Heartbeat, What::Status(500)).always());
    plane.fault(Fault::once(Standings, What::Status(503)).always());
    plane.fault(Fault::once(Status, What::Status(500)).always());
    plane.fault(Fault::once(Logs, What::ErrorPage(503)).times(4));
    plane.fault(Fault::once(Result, What::Status(500)).times(4));
    plane.fault(Fault::once(End, What::Status(503)).times(3));
    let id = plane.submit("noop", "{}");
    assert_whole_log(&judged(&plane, &id, "finished"), "has nothing to do");
    assert_eq!(agent.drained().code, Some(0));
}
