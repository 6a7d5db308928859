//! One delivery, and many, against a scripted control plane, in paused time.

use std::{sync::atomic::Ordering, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::{
    agent::scripted_source::{ScriptedSource, at_once, away},
    job::{Failure, FailureKind, Outcome, Phase, Receipt},
    journal::{Entry, Recovered},
    logs::{Record, Stream},
    source::Error,
    telemetry::Status,
};

struct Bench {
    source: Arc<ScriptedSource>,
    deliveries: Deliveries,
    metrics: Arc<Metrics>,
    journal: Arc<Journal>,
    state: tempfile::TempDir,
}

fn bench() -> Bench {
    let state = tempfile::tempdir().expect("a folder");
    let (journal, _) = Journal::open(state.path()).expect("opened");
    let (source, journal) = (Arc::<ScriptedSource>::default(), Arc::new(journal));
    let metrics = Arc::new(Metrics::new());
    let deliveries = Deliveries::counted(source.clone(), Arc::clone(&journal), Arc::clone(&metrics));
    Bench { source, deliveries, metrics, journal, state }
}

fn receipt() -> Receipt {
    let now = Timestamp::UNIX_EPOCH;
    let id = "job1".parse().expect("an id");
    Receipt::new(id, "noop", now, now, Outcome::Succeeded(Box::default()))
}

fn lines(from: u64, to: u64, text: &str) -> String {
    let record = |seq| Record { seq, time: Timestamp::UNIX_EPOCH, stream: Stream::Stdout, step: "work".to_owned(), text: text.to_owned() };
    (from..=to).flat_map(|seq| [serde_json::to_string(&record(seq)).expect("JSON"), "\n".to_owned()]).collect()
}

impl Bench {
    /// An execution whose log has `count` lines so far, journalled up to the point where a delivery begins.
    fn job(&self, number: usize, count: u64) -> DeliveryJob {
        let execution: ExecutionId = format!("run{number}").parse().expect("an id");
        let job: JobId = format!("job{number}").parse().expect("an id");
        let (key, at) = (format!("key{number}"), Timestamp::UNIX_EPOCH);
        let (job_type, log_stream) = ("noop".to_owned(), "logs".to_owned());
        self.journal.note(Entry::Claimed {
            key,
            job: job.clone(),
            execution: execution.clone(),
            job_type: job_type.clone(),
            log_stream: log_stream.clone(),
            at,
        });
        let job = DeliveryJob {
            job,
            job_type,
            execution: execution.clone(),
            log_stream,
            folder: log_folder(self.state.path(), &execution),
            bell: Bell::new(),
            logs_sent: 0,
        };
        std::fs::create_dir_all(&job.folder).expect("made");
        std::fs::write(job.folder.join("head.log"), "{\"offset\":0,\"seq\":1}\n").expect("written");
        grow(&job, 1, count, "line");
        job
    }

    /// What a runner that starts now would find.
    fn reopened(self) -> Vec<Recovered> {
        let Self { deliveries, journal, state, .. } = self;
        drop((deliveries, journal));
        Journal::open(state.path()).expect("opened again").1
    }
}

fn grow(job: &DeliveryJob, from: u64, to: u64, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).open(job.folder.join("head.log")).expect("there");
    file.write_all(lines(from, to, text).as_bytes()).expect("written");
    job.bell.ring();
}

async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_job_costs_one_log_batch_and_one_report_in_this_order() {
    let bench = bench();
    let job = bench.job(1, 3);
    let delivery = bench.deliveries.begin(job.clone());
    delivery.phase(Phase::Preparing);
    delivery.phase(Phase::Running);
    delivery.finish(receipt());
    assert_eq!(delivery.delivered().await, Some(Delivered::Reported));
    assert_eq!(bench.source.calls(), ["logs 1-3", "report Succeeded"]);
    assert_eq!((bench.deliveries.gauge(), job.folder.exists()), (0, false));
    assert_eq!(bench.reopened(), []);
}

#[tokio::test(start_paused = true)]
async fn without_a_log_there_is_only_the_report() {
    let bench = bench();
    let unwanted = DeliveryJob { log_stream: String::new(), ..bench.job(1, 3) };
    for job in [unwanted, bench.job(2, 0)] {
        let delivery = bench.deliveries.begin(job);
        delivery.finish(receipt());
        delivery.delivered().await.expect("delivered");
    }
    assert_eq!(bench.source.calls(), ["report Succeeded", "report Succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn lines_are_sent_while_the_job_runs_and_phases_that_last() {
    let bench = bench();
    let job = bench.job(1, 2);
    let delivery = bench.deliveries.begin(job.clone());
    delivery.phase(Phase::Preparing);
    pass(0.05).await;
    delivery.phase(Phase::Running);
    pass(0.2).await;
    let mut calls = bench.source.calls();
    calls.sort();
    assert_eq!(calls, ["logs 1-2", "phase Running"]);
    grow(&job, 3, 3, "line");
    pass(0.05).await;
    grow(&job, 4, 5, "line");
    pass(0.2).await;
    assert_eq!(bench.source.calls()[2..], ["logs 3-5"]);
    delivery.phase(Phase::Preparing);
    pass(1.0).await;
    grow(&job, 6, 6, "line");
    delivery.phase(Phase::CleaningUp);
    delivery.finish(receipt());
    delivery.delivered().await.expect("delivered");
    assert_eq!(bench.source.calls()[3..], ["logs 6-6", "report Succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn a_phase_under_way_is_answered_before_the_outcome_is_told_and_a_failed_one_is_told_again() {
    let bench = bench();
    let answers = [at_once(Err(away())), (Duration::from_secs(8), Ok(()))];
    bench.source.on("phase", move |number| answers[number].clone());
    let delivery = bench.deliveries.begin(bench.job(1, 1));
    delivery.phase(Phase::Preparing);
    pass(0.15).await;
    delivery.phase(Phase::Running);
    pass(2.0).await;
    delivery.finish(receipt());
    delivery.delivered().await.expect("delivered");
    assert_eq!(bench.source.calls(), ["logs 1-1", "phase Running", "report Succeeded"]);
    assert_eq!(bench.source.count("phase"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_restart_is_not_sent_again() {
    let bench = bench();
    let job = DeliveryJob { logs_sent: 5, ..bench.job(1, 9) };
    let execution = job.execution.clone();
    let delivery = bench.deliveries.begin(job);
    delivery.finish(receipt());
    delivery.delivered().await.expect("delivered");
    assert_eq!(bench.source.seqs(&execution), [6, 7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_arrive_is_sent_again_and_none_is_lost_or_doubled() {
    let bench = bench();
    bench.source.on("logs", |number| at_once(if number % 3 == 2 { Ok(()) } else { Err(away()) }));
    let job = bench.job(1, 0);
    grow(&job, 1, 3000, &"x".repeat(1000));
    let delivery = bench.deliveries.begin(job.clone());
    pass(5.0).await;
    grow(&job, 3001, 4000, &"y".repeat(1000));
    delivery.finish(receipt());
    delivery.delivered().await.expect("delivered");
    assert_eq!(bench.source.seqs(&job.execution), (1..=4000).collect::<Vec<_>>());
    assert_eq!(bench.source.calls().last().map(String::as_str), Some("report Succeeded"));
    assert!(bench.source.calls().len() > 16, "batches are small");
    let metrics = bench.metrics.encode(&Status::new("runner", 4)).expect("text");
    assert!(metrics.contains("log_records_total 4000\n"), "{metrics}");
    let retries = bench.source.count("logs") - (bench.source.calls().len() - 1);
    assert!(metrics.contains(&format!("delivery_retries_total{{what=\"logs\"}} {retries}\n")), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_everything_and_changes_nothing_of_the_order() {
    let bench = bench();
    let back = Instant::now() + Duration::from_mins(10);
    for kind in ["logs", "report", "phase"] {
        bench.source.on(kind, move |_| at_once(if Instant::now() < back { Err(away()) } else { Ok(()) }));
    }
    let job = bench.job(1, 3);
    let delivery = bench.deliveries.begin(job.clone());
    delivery.phase(Phase::Running);
    delivery.finish(receipt());
    pass(300.0).await;
    assert_eq!((bench.deliveries.gauge(), bench.source.calls().len(), job.folder.exists()), (1, 0, true));
    assert_eq!(delivery.delivered().await, Some(Delivered::Reported));
    assert!(back.elapsed() <= Duration::from_secs(31), "{:?}", back.elapsed());
    assert_eq!(bench.source.calls(), ["logs 1-3", "report Succeeded"]);
    let tries = bench.source.count("logs") + bench.source.count("report");
    assert!((30..160).contains(&tries), "{tries} tries in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_log_endpoint_that_alone_fails_holds_the_outcome_back_for_a_minute() {
    for hangs in [Duration::ZERO, Duration::from_secs(40)] {
        let bench = bench();
        let (begun, back) = (Instant::now(), Instant::now() + Duration::from_mins(10));
        bench.source.on("logs", move |_| (hangs, if Instant::now() + hangs < back { Err(away()) } else { Ok(()) }));
        let job = bench.job(1, 3);
        let delivery = bench.deliveries.begin(job.clone());
        delivery.finish(receipt());
        while bench.source.calls().is_empty() {
            pass(0.5).await;
        }
        assert!((59..=61).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        assert_eq!(bench.source.calls(), ["report Succeeded"]);
        pass(60.0).await;
        assert_eq!((bench.deliveries.gauge(), job.folder.exists()), (1, true), "the log is still owed");
        assert_eq!(delivery.delivered().await, Some(Delivered::Reported));
        assert_eq!(bench.source.calls(), ["report Succeeded", "logs 1-3"]);
        assert_eq!(bench.reopened(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_refused_or_disowned_does_not_hold_back_the_outcome() {
    for error in [Error::Refused { status: 413, message: "too large".to_owned() }, Error::Fenced("no such stream".to_owned())] {
        let bench = bench();
        bench.source.on("logs", move |_| at_once(Err(error.clone())));
        let begun = Instant::now();
        let job = bench.job(1, 3);
        let delivery = bench.deliveries.begin(job.clone());
        pass(1.0).await;
        grow(&job, 4, 4, "line");
        pass(1.0).await;
        delivery.finish(receipt());
        assert_eq!(delivery.delivered().await, Some(Delivered::Reported));
        assert_eq!((bench.source.calls(), bench.source.count("logs")), (vec!["report Succeeded".to_owned()], 1));
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_nobody_wants_is_tried_once_and_closed() {
    for error in [Error::Fenced("superseded".to_owned()), Error::Refused { status: 400, message: "bad".to_owned() }] {
        let bench = bench();
        let message = error.to_string();
        bench.source.on("report", move |_| at_once(Err(error.clone())));
        let delivery = bench.deliveries.begin(bench.job(1, 3));
        delivery.finish(receipt());
        assert_eq!(delivery.delivered().await, Some(Delivered::NotTaken(message)));
        assert_eq!((bench.source.count("report"), bench.source.calls()), (1, vec!["logs 1-3".to_owned()]));
        assert_eq!(bench.reopened(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_and_a_request_to_wait_are_waited_for() {
    let bench = bench();
    let asked = Some(Duration::from_secs(20));
    bench.source.on("report", move |number| {
        at_once(match number {
            0 => Err(Error::Unauthorized("401".to_owned())),
            1 => Err(Error::Unavailable { message: "503".to_owned(), retry_after: asked }),
            _ => Ok(()),
        })
    });
    let begun = Instant::now();
    let delivery = bench.deliveries.begin(bench.job(1, 1));
    delivery.finish(receipt());
    assert_eq!(delivery.delivered().await, Some(Delivered::Reported));
    assert!((20..23).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(bench.source.reports().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disowned_execution_is_closed_without_a_word() {
    let bench = bench();
    bench.source.on("logs", |_| (Duration::from_secs(30), Ok(())));
    let job = bench.job(1, 3);
    let delivery = bench.deliveries.begin(job.clone());
    delivery.phase(Phase::Running);
    pass(1.0).await;
    delivery.disown("the lease is lost");
    delivery.finish(receipt());
    assert_eq!(delivery.delivered().await, Some(Delivered::Disowned));
    assert_eq!(bench.source.calls(), ["phase Running"]);
    assert!(!job.folder.exists());
    assert_eq!(bench.reopened(), []);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_within_the_budget_is_left_to_the_next_start() {
    let bench = bench();
    let fine = bench.deliveries.begin(bench.job(1, 3));
    fine.finish(receipt());
    fine.delivered().await.expect("delivered");
    for kind in ["logs", "report"] {
        bench.source.on(kind, |_| at_once(Err(away())));
    }
    let owed = bench.job(2, 3);
    let delivery = bench.deliveries.begin(owed.clone());
    bench.journal.note(Entry::Finished { execution: owed.execution.clone(), receipt: Box::new(receipt()) });
    delivery.finish(receipt());
    drop(bench.deliveries.begin(bench.job(3, 0)));
    let begun = Instant::now();
    assert_eq!(bench.deliveries.drain(Duration::from_secs(30)).await, 1);
    assert_eq!(begun.elapsed().as_secs(), 30);
    bench.deliveries.stop().await;
    assert_eq!((delivery.delivered().await, owed.folder.exists()), (None, true));
    let left = bench.reopened();
    let left: Vec<_> = left.iter().filter_map(|left| left.claimed.as_ref()).collect();
    let left: Vec<_> = left.iter().map(|left| (left.execution.as_str(), left.receipt.is_some())).collect();
    assert_eq!(left, [("run2", true), ("run3", false)]);
}

#[tokio::test(start_paused = true)]
async fn drain_ends_with_the_last_delivery() {
    let bench = bench();
    bench.source.on("report", |_| (Duration::from_secs(3), Ok(())));
    let delivery = bench.deliveries.begin(bench.job(1, 3));
    delivery.finish(receipt());
    let begun = Instant::now();
    assert_eq!(bench.deliveries.drain(Duration::from_mins(30)).await, 0);
    assert_eq!((begun.elapsed().as_secs(), bench.source.reports().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn many_logs_at_once_are_sent_a_few_at_a_time() {
    let bench = bench();
    bench.source.on("logs", |_| (Duration::from_millis(20), Ok(())));
    let mut deliveries = Vec::new();
    for number in 0..100 {
        let job = bench.job(number, 0);
        grow(&job, 1, 500, &"x".repeat(1000));
        let delivery = bench.deliveries.begin(job.clone());
        delivery.finish(receipt());
        deliveries.push((delivery, job.execution));
    }
    for (delivery, execution) in deliveries {
        assert_eq!(delivery.delivered().await, Some(Delivered::Reported));
        let records = bench.source.records(&execution);
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (1..=500).collect::<Vec<_>>());
    }
    assert!(bench.source.most_uploads.load(Ordering::SeqCst) <= UPLOADS);
    assert_eq!(bench.deliveries.gauge(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_disk_kept_from_the_log_is_told_at_its_end() {
    use crate::logs::Sink as _;
    let bench = bench();
    let mut job = bench.job(1, 3);
    let gap = Record { seq: 0, time: Timestamp::UNIX_EPOCH, stream: Stream::Gap, step: String::new(), text: "9 lines are lost".to_owned() };
    job.bell.record(&gap);
    let execution = job.execution.clone();
    let delivery = bench.deliveries.begin(job);
    let failure = Failure::new(FailureKind::DiskFull, "no space");
    let now = Timestamp::UNIX_EPOCH;
    delivery.finish(Receipt::new("job1".parse().expect("an id"), "noop", now, now, Outcome::Failed(Box::new(failure))));
    delivery.delivered().await.expect("delivered");
    assert_eq!(bench.source.calls(), ["logs 1-3", "logs 4-4", "report Failed"]);
    assert_eq!(bench.source.records(&execution)[3].text, "9 lines are lost");
}
