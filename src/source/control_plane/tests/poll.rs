//! Polling, with and without a long poll at the other end.

use super::*;
use crate::{
    job::{CancelCause, JobGroup},
    shutdown::Cancel,
    source::{Source as _, Wanted},
};

const ANY: Wanted = Wanted { groups: None, limit: 10 };

/// A job that was created in that second.
fn offered(id: &str, second: u32) -> Value {
    json!({"id": id, "type": "noop-build", "status": "available", "created_at": format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60)})
}

async fn ids(client: &Client, wanted: &Wanted) -> Vec<String> {
    let offers = client.poll(wanted, &Cancel::new()).await.expect("an answer");
    offers.into_iter().map(|offer| offer.id.to_string()).collect()
}

#[tokio::test]
async fn a_long_poll_asks_for_everything_wanted_and_sorts_what_comes() {
    let plane = Plane::saying(|| {
        let mut full = offered("job2", 2);
        full["type"] = json!("sandbox-terraform");
        full["execution_timeout"] = json!(60_000_000_000_i64);
        full["log_stream_id"] = json!("log2");
        full["metadata"] = json!({"app": "a"});
        let mut running = offered("job4", 0);
        running["status"] = json!("in-progress");
        let odd = [json!({"id": 7}), json!("job"), json!({"id": "../etc", "status": "available"}), running];
        ok([offered("job3", 3), full].into_iter().chain(odd).chain([offered("job1", 1), offered("job3", 3)]).collect())
    })
    .await;
    let offers = plane.client().poll(&ANY, &Cancel::new()).await.expect("offers");
    assert_eq!(plane.lines(), ["GET /v1/runners/runner-1/jobs/tail?group=any&wait=300ms&limit=10"]);
    assert_eq!(offers.iter().map(|offer| offer.id.as_str()).collect::<Vec<_>>(), ["job1", "job2", "job3"]);
    let unknown = &offers[1];
    assert_eq!((unknown.job_type.as_str(), unknown.log_stream.as_str()), ("sandbox-terraform", "log2"));
    assert_eq!((unknown.execution_timeout, unknown.metadata["app"].as_str()), (Some(Duration::from_mins(1)), "a"));
    assert_eq!(ids(&plane.client(), &Wanted { limit: 2, ..ANY }).await, ["job1", "job2"]);
}

#[tokio::test]
async fn several_groups_are_asked_at_once_and_the_first_answer_counts() {
    let plane = Plane::start(|seen| if seen.line.contains("group=sync&") { ok(json!([offered("job1", 1)])) } else { Reply::Hang }).await;
    let wanted = Wanted { groups: Some(vec![JobGroup::Build, JobGroup::Sync]), limit: 1 };
    assert_eq!(ids(&plane.client(), &wanted).await, ["job1"]);
    let all = Wanted { groups: Some(JobGroup::ALL.to_vec()), limit: 1 };
    let poll = plane.client();
    let _ = poll.poll(&all, &Cancel::new()).await;
    assert!(plane.lines().last().expect("a request").contains("group=any&"));
}

#[tokio::test]
async fn a_plane_without_long_poll_is_listed_and_asked_again_later() {
    let plane = Plane::start(|seen| {
        let has_tail = seen.number >= 4;
        match (seen.is("GET /v1/runners/runner-1/jobs/tail"), has_tail) {
            (true, true) => ok(json!([offered("job9", 1)])),
            (true, false) => refusal(404, "record not found"),
            _ => ok(json!([offered("job2", 2), offered("job1", 1)])),
        }
    })
    .await;
    let client = Client::new(ClientOptions { probe_again: Duration::from_millis(600), ..plane.options() }).expect("a client");
    for _ in 0..2 {
        assert_eq!(ids(&client, &ANY).await, ["job1", "job2"]);
    }
    let list = "GET /v1/runners/runner-1/jobs?group=any&limit=60";
    let tail = "GET /v1/runners/runner-1/jobs/tail?group=any&wait=300ms&limit=10";
    assert_eq!(plane.lines(), [tail, list, list]);
    while ids(&client, &ANY).await != ["job9"] {}
    assert_eq!(plane.lines().last().map(String::as_str), Some(tail));
}

#[tokio::test]
async fn where_nothing_answers_the_long_poll_is_not_given_up() {
    let plane = Plane::start(|seen| match seen.number {
        0 | 1 => Reply::Text(404, "text/plain", "default backend - 404"),
        _ => ok(json!([offered("job1", 1)])),
    })
    .await;
    let client = plane.client();
    let error = client.poll(&ANY, &Cancel::new()).await.expect_err("nothing there");
    assert_eq!(kind(&error), "unavailable");
    assert_eq!(ids(&client, &ANY).await, ["job1"]);
    assert!(plane.seen()[2].is("GET /v1/runners/runner-1/jobs/tail?"));
}

#[tokio::test]
async fn a_plane_that_takes_tail_for_a_job_is_listed() {
    for answer in [json!({"id": "tail"}), json!(null), json!("x")] {
        let plane =
            Plane::start(
                move |seen| {
                    if seen.is("GET /v1/runners/runner-1/jobs/tail") { ok(answer.clone()) } else { ok(json!([offered("job1", 1)])) }
                },
            )
            .await;
        assert_eq!(ids(&plane.client(), &ANY).await, ["job1"]);
    }
}

#[tokio::test]
async fn the_oldest_job_is_found_behind_the_first_page() {
    let plane = Plane::start(|seen| {
        if seen.is("GET /v1/runners/runner-1/jobs/tail") {
            return refusal(404, "no");
        }
        // Newest first, as the hosted plane lists.
        let page = if seen.line.contains("offset=60") { 0..5 } else { 5..65 };
        ok(page.rev().map(|second| offered(&format!("job{second}"), second)).collect())
    })
    .await;
    assert_eq!(ids(&plane.client(), &Wanted { limit: 2, ..ANY }).await, ["job0", "job1"]);
    assert_eq!(plane.lines().len(), 3);
}

#[tokio::test]
async fn a_plane_that_does_not_know_offsets_is_not_asked_for_ever() {
    let plane = Plane::start(|seen| {
        if seen.is("GET /v1/runners/runner-1/jobs/tail") {
            return refusal(404, "no");
        }
        ok((0..60).map(|second| offered(&format!("job{second}"), second)).collect())
    })
    .await;
    assert_eq!(ids(&plane.client(), &Wanted { limit: 1, ..ANY }).await, ["job0"]);
    assert_eq!(plane.lines().len(), 3);
}

#[tokio::test]
async fn lists_are_asked_for_in_intervals() {
    let plane = Plane::start(|seen| if seen.line.contains("tail") { refusal(404, "no") } else { ok(json!([])) }).await;
    let interval = Duration::from_millis(200);
    let client = Client::new(ClientOptions { poll_interval: interval, ..plane.options() }).expect("a client");
    let began = std::time::Instant::now();
    for _ in 0..4 {
        assert!(ids(&client, &ANY).await.is_empty());
    }
    // The first comes at once; jitter takes a fifth off at most.
    assert!(began.elapsed() >= (3 * interval).mul_f64(0.8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_poll_stops_when_it_is_told_to() {
    let plane = Plane::saying(|| Reply::Hang).await;
    let options = ClientOptions { wait: Duration::from_mins(10), ..plane.options() };
    let (client, cancel) = (Client::new(options).expect("a client"), Cancel::new());
    let stop = async {
        while plane.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel(CancelCause::Shutdown);
    };
    let (answer, ()) = tokio::join!(client.poll(&ANY, &cancel), stop);
    assert_eq!(answer, Err(Error::Cancelled));
}

#[tokio::test]
async fn a_poll_that_is_refused_says_so() {
    for (status, expected) in [(401, "unauthorized"), (500, "unavailable"), (422, "refused")] {
        let plane = Plane::saying(move || refusal(status, "no")).await;
        assert_eq!(kind(&plane.client().poll(&ANY, &Cancel::new()).await.expect_err("refused")), expected);
        assert_eq!(plane.seen().len(), 1, "{status} says nothing about the long poll");
    }
    let plane = Plane::saying(|| Reply::Cut).await;
    assert_eq!(kind(&plane.client().poll(&ANY, &Cancel::new()).await.expect_err("cut")), "unavailable");
}
