//! The control plane and the runner's own client, face to face: what one writes the other reads, and repeats are harmless.

use jiff::Timestamp;

use super::*;
use crate::{
    job::{CancelCause, Failure, FailureKind, Outcome, Outputs, Phase, Receipt},
    shutdown::Cancel,
    source::{
        Claim, Error, Source as _, Standing, Wanted, claim_key,
        control_plane::{Client, ClientOptions, TokenSource},
    },
};

const ANY: Wanted = Wanted { groups: None, limit: 8 };

fn runner(plane: &Plane, id: &str) -> Client {
    let url = format!("http://{}", plane.running.addr).parse().unwrap();
    Client::new(ClientOptions::new(url, id, TokenSource::File(plane.folder.path().join("runner.token")))).unwrap()
}

fn context(job: &JobId, execution: &ExecutionId, stream: &str) -> LogContext {
    LogContext { job: job.clone(), job_type: "noop".to_owned(), execution: execution.clone(), stream: stream.to_owned() }
}

async fn claimed(client: &Client, job: &JobId) -> ExecutionId {
    match client.claim(job, &claim_key(Timestamp::now())).await {
        Ok(Claim::Ours(execution)) => execution,
        other => panic!("not ours: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_be_said_twice_and_counts_once() {
    let plane = Plane::start().await;
    let client = runner(&plane, "r1");
    assert_eq!(client.settings().await.unwrap().heartbeat, Duration::from_secs(5));
    client.heartbeat(Duration::from_secs(1)).await.unwrap();

    let poll = async { client.poll(&ANY, &Cancel::new()).await.unwrap() };
    let (offers, id) = tokio::join!(poll, plane.submit(json!({"type": "noop", "metadata": {"who": "me"}})));
    let offer = &offers[0];
    assert_eq!((offers.len(), offer.id.as_str(), offer.job_type.as_str(), offer.metadata["who"].as_str()), (1, &*id, "noop", "me"));
    assert_eq!(offer.execution_timeout, Some(Duration::from_mins(5)));

    let key = claim_key(Timestamp::now());
    let claim = client.claim(&offer.id, &key).await.unwrap();
    assert_eq!(client.claim(&offer.id, &key).await.unwrap(), claim);
    let Claim::Ours(execution) = claim else { panic!("lost") };
    // The same key from the next process, which looks before it asks.
    let old = claim_key(Timestamp::now() - jiff::SignedDuration::from_secs(10));
    assert_eq!(client.claim(&offer.id, &old).await, Ok(Claim::Ours(execution.clone())));
    assert!(matches!(runner(&plane, "r2").claim(&offer.id, &claim_key(Timestamp::now())).await, Ok(Claim::Lost(_))));

    client.plan(&offer.id).await.unwrap();
    for phase in [Phase::Claimed, Phase::Preparing, Phase::Running, Phase::Running, Phase::CleaningUp] {
        client.phase(&offer.id, &execution, phase).await.unwrap();
    }
    let record = |seq| Record { seq, time: Timestamp::now(), stream: Stream::Stderr, step: "x".to_owned(), text: format!("line {seq}") };
    let context = context(&offer.id, &execution, &offer.log_stream);
    client.logs(&context, &[record(1), record(2)]).await.unwrap();
    client.logs(&context, &[record(2), record(3)]).await.unwrap();
    let outcome = Outcome::Succeeded(Box::new(Outputs::default().with("note", json!("made"))));
    let receipt = Receipt::new(offer.id.clone(), "noop", Timestamp::now(), Timestamp::now(), outcome);
    for _ in 0..2 {
        client.report(&offer.id, &execution, &receipt).await.unwrap();
    }

    let shown = plane.show(&id).await;
    assert_eq!((&shown["status"], &shown["execution_count"], &shown["outputs"]["note"]), (&json!("finished"), &json!(1), &json!("made")));
    let (_, logs) = plane.operate(Method::GET, &format!("/v1/jobs/{id}/logs"), Value::Null).await;
    let texts: Vec<_> = logs["records"].as_array().unwrap().iter().map(|record| record["text"].as_str().unwrap()).collect();
    assert_eq!((texts, &logs["records"][0]["stream"]), (vec!["line 1", "line 2", "line 3"], &json!("stderr")));

    let failed = Outcome::Failed(Box::new(Failure::new(FailureKind::Internal, "another end")));
    let other = Receipt::new(offer.id.clone(), "noop", Timestamp::now(), Timestamp::now(), failed);
    assert!(matches!(client.report(&offer.id, &execution, &other).await, Err(Error::Fenced(_))));
    assert_eq!(plane.show(&id).await["status"], json!("finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_one_who_watches_all_executions() {
    let plane = Plane::start().await;
    let client = runner(&plane, "r1");
    let mut running = Vec::new();
    for _ in 0..3 {
        let job: JobId = plane.submit(json!({"type": "noop"})).await.parse().unwrap();
        running.push((job.clone(), claimed(&client, &job).await));
    }
    let (job, execution) = running[1].clone();
    let path = format!("/v1/jobs/{job}/cancel");
    let cancel = plane.operate(Method::POST, &path, Value::Null);
    let stop = Cancel::new();
    let (standings, (status, _)) = tokio::join!(client.standings(&running, &stop), cancel);
    assert_eq!((status.as_u16(), standings.unwrap()), (202, vec![(execution.clone(), Standing::CancelRequested)]));
    let receipt = Receipt::new(job.clone(), "noop", Timestamp::now(), Timestamp::now(), Outcome::Cancelled(CancelCause::Requested));
    client.report(&job, &execution, &receipt).await.unwrap();
    assert_eq!(plane.show(job.as_str()).await["status"], json!("cancelled"));
    // One that the plane never heard of does not keep its runner waiting.
    let stranger = vec![(job, "run-of-another-plane".parse().unwrap())];
    assert_eq!(client.standings(&stranger, &stop).await.unwrap()[0].1, Standing::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_is_seen_and_its_late_words_are_fenced() {
    let plane = Plane::with(|options| options.lease = Duration::from_millis(300)).await;
    let job: JobId = plane.submit(json!({"type": "noop", "max_executions": 2})).await.parse().unwrap();
    let (first, second) = (runner(&plane, "r1"), runner(&plane, "r2"));
    let execution = claimed(&first, &job).await;
    // The next poll is woken by the end of the lease.
    assert_eq!(second.poll(&ANY, &Cancel::new()).await.unwrap()[0].id, job);
    let newer = claimed(&second, &job).await;
    let standings = first.standings(&[(job.clone(), execution.clone())], &Cancel::new()).await.unwrap();
    assert!(standings[0].1 != Standing::Running, "{standings:?}");
    assert!(matches!(first.phase(&job, &execution, Phase::Running).await, Err(Error::Fenced(_))));
    let outcome = Outcome::Succeeded(Box::default());
    let receipt = Receipt::new(job.clone(), "noop", Timestamp::now(), Timestamp::now(), outcome);
    assert!(matches!(first.report(&job, &execution, &receipt).await, Err(Error::Fenced(_))));
    second.report(&job, &newer, &receipt).await.unwrap();
    assert_eq!(plane.show(job.as_str()).await["status"], json!("finished"));
}
