//! Submitting, listing, claiming.

use secrecy::ExposeSecret as _;

use super::*;

fn key(key: &str, body: u8) -> SubmitKey {
    SubmitKey { key: key.into(), body: [body; 32] }
}

#[tokio::test]
async fn a_submission_can_be_repeated_but_not_with_another_body() {
    let bench = Bench::new().await;
    let Submitted::Created(job) = bench.store.submit(new_job(), Some(key("k", 1)), bench.now).await.unwrap() else { panic!() };
    assert_eq!(bench.job(&job.id).await, job, "what was answered is what is stored");
    assert_eq!(job.owner_id, job.id.as_str());
    bench.take(&job.id, "r1").await;
    match bench.store.submit(new_job(), Some(key("k", 1)), bench.now).await.unwrap() {
        Submitted::Replayed(again) => assert_eq!((again.id, again.status), (job.id.clone(), JobStatus::InProgress)),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.store.submit(new_job(), Some(key("k", 2)), bench.now).await.unwrap(), Submitted::KeyReused(job.id.clone()));
    let taken = NewJob { id: Some(job.id.clone()), ..new_job() };
    assert!(matches!(bench.store.submit(taken, None, bench.now).await, Err(Error::JobExists(id)) if id == job.id));
    assert_eq!(bench.store.jobs(&JobFilter::default(), None, 10).await.unwrap().jobs.len(), 1);
    assert_eq!(bench.store.plan(&job.id).await.unwrap().expose_secret(), new_job().plan.expose_secret());
    assert!(matches!(bench.store.plan(&JobId::generate()).await, Err(Error::UnknownJob(_))));
}

#[tokio::test]
async fn jobs_are_listed_newest_first_in_pages_and_filtered() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(bench.submit_with(|job| job.group = if n % 2 == 0 { "build" } else { "sync" }.into()).await);
    }
    bench.take(&ids[0], "r1").await;
    ids.reverse();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.jobs(&JobFilter::default(), after, 2).await.unwrap();
        seen.extend(page.jobs.into_iter().map(|job| job.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let count = async |filter: JobFilter| bench.store.jobs(&filter, None, 10).await.unwrap().jobs.len();
    assert_eq!(count(JobFilter { group: Some("sync".into()), ..JobFilter::default() }).await, 2);
    assert_eq!(count(JobFilter { statuses: vec![JobStatus::InProgress, JobStatus::Failed], ..JobFilter::default() }).await, 1);
    assert_eq!(count(JobFilter { runner: Some(runner("r1")), ..JobFilter::default() }).await, 1);
    assert_eq!(count(JobFilter { job_type: Some("oci-sync".into()), ..JobFilter::default() }).await, 0);
    let counts = bench.store.counts().await.unwrap();
    assert_eq!(counts.jobs, [(JobStatus::Available, 4), (JobStatus::InProgress, 1)].into());
    assert_eq!(counts.oldest_available, Some(bench.now));
    assert!(counts.bytes > 0);
}

#[tokio::test]
async fn a_runner_is_offered_the_oldest_jobs_it_may_have() {
    let bench = Bench::new().await;
    let first = bench.submit().await;
    let bound = bench.submit_with(|job| job.runner = Some(runner("r2"))).await;
    let sync = bench.submit_with(|job| job.group = "sync".into()).await;
    let available = async |by: &str, groups: Option<&[String]>| -> Vec<JobId> {
        bench.store.available(&runner(by), groups, 10).await.unwrap().into_iter().map(|job| job.id).collect()
    };
    assert_eq!(available("r1", None).await, [first.clone(), sync.clone()]);
    assert_eq!(available("r2", Some(&["build".into()])).await, [first.clone(), bound.clone()]);
    assert_eq!(bench.claim(&bound, "r1").await, Claimed::Lost(Lost::OtherRunner));
    let anonymous = Claim { runner: None, ..claim(&bound, "r2", None) };
    match bench.store.claim(anonymous, bench.now).await.unwrap() {
        Claimed::New(execution) => assert_eq!(execution.runner, Some(runner("r2")), "the runner it is bound to"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(bench.store.claim(claim(&JobId::generate(), "r1", None), bench.now).await, Err(Error::UnknownJob(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_claims_at_once_exactly_one_wins() {
    let bench = std::sync::Arc::new(Bench::new().await);
    for _ in 0..5 {
        let job = bench.submit().await;
        let mut claims = tokio::task::JoinSet::new();
        for n in 0..50 {
            let (bench, job) = (std::sync::Arc::clone(&bench), job.clone());
            claims.spawn(async move { bench.store.claim(claim(&job, &format!("r{n}"), Some(&format!("k{n}"))), bench.now).await.unwrap() });
        }
        let claims = claims.join_all().await;
        let won: Vec<_> = claims.iter().filter(|claimed| matches!(claimed, Claimed::New(_))).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(claims.iter().filter(|claimed| **claimed == Claimed::Lost(Lost::Gone(JobStatus::InProgress))).count(), 49);
        let job = bench.job(&job).await;
        assert_eq!((job.execution_count, Claimed::New(job.latest.unwrap())), (1, won[0].clone()));
    }
}

#[tokio::test]
async fn the_same_key_gets_the_same_execution_also_after_its_end() {
    let bench = Bench::new().await;
    let job = bench.submit_with(|job| job.max_executions = 2).await;
    let again = || bench.store.claim(claim(&job, "r1", Some("key")), bench.now);
    let Claimed::New(execution) = again().await.unwrap() else { panic!() };
    assert_eq!(again().await.unwrap(), Claimed::Same(execution.clone()));
    bench.store.expire(bench.at(61)).await.unwrap();
    assert_eq!(bench.status(&job).await, JobStatus::Available);
    match again().await.unwrap() {
        Claimed::Same(same) => assert_eq!((same.id, same.ending), (execution.id, Ending::Expired)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(bench.store.claim(claim(&job, "r1", Some("other")), bench.now).await.unwrap(), Claimed::New(_)));
}

#[tokio::test]
async fn a_poll_waits_for_a_job_and_gets_the_one_it_was_called_for() {
    let bench = Bench::new().await;
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    let name = runner("r1");
    let (jobs, job) = tokio::join!(next_jobs(&bench.store, &name, None, 3, until), async {
        while bench.store.bells().parked() == 0 {
            tokio::task::yield_now().await;
        }
        bench.submit().await
    });
    assert_eq!(jobs.unwrap().into_iter().map(|job| job.id).collect::<Vec<_>>(), [job]);
    let soon = tokio::time::Instant::now() + Duration::from_millis(20);
    assert_eq!(next_jobs(&bench.store, &name, Some(&["sync".into()]), 3, soon).await.unwrap(), []);
}
