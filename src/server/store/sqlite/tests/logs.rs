//! Logs: each record once, in order, in few rows, within a bound.

use std::ops::RangeInclusive;

use super::*;
use crate::logs::Stream;

fn record(seq: u64) -> NewRecord {
    NewRecord {
        seq: Some(seq),
        time: "2026-11-21T12:00:00Z".parse().unwrap(),
        stream: Stream::Stdout,
        step: "execute".into(),
        text: format!("line {seq}"),
    }
}

pub(super) fn batch(job: &JobId, execution: &ExecutionId, seqs: RangeInclusive<u64>) -> Batch {
    Batch { job: job.clone(), execution: execution.clone(), records: seqs.map(record).collect() }
}

async fn all(bench: &Bench, job: &JobId, limit: usize) -> Vec<StoredRecord> {
    let (mut records, mut after) = (Vec::new(), 0);
    loop {
        let page = bench.store.log(job, after, limit).await.unwrap();
        if page.records.is_empty() {
            return records;
        }
        after = page.next;
        records.extend(page.records);
    }
}

fn seqs(records: &[StoredRecord]) -> Vec<u64> {
    records.iter().filter_map(|stored| stored.record.seq).collect()
}

#[tokio::test]
async fn a_batch_that_comes_twice_or_cut_differently_is_stored_once() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    let append = async |seqs| bench.store.append_log(batch(&job, &run, seqs), bench.now).await.unwrap();
    assert_eq!(append(1..=3).await, 3);
    assert_eq!(append(1..=3).await, 0);
    assert_eq!(append(2..=5).await, 2);
    assert_eq!(append(9..=9).await, 1);
    assert_eq!(append(4..=10).await, 4, "what came too early is not doubled, what was left out is not lost");
    let records = all(&bench, &job, 2).await;
    assert_eq!(seqs(&records), [1, 2, 3, 4, 5, 9, 6, 7, 8, 10]);
    assert_eq!(records.iter().map(|stored| stored.position).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(records[0].record, record(1));
}

#[tokio::test]
async fn records_without_a_number_are_all_kept() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    for _ in 0..2 {
        let records = vec![NewRecord { seq: None, ..record(0) }; 2];
        assert_eq!(bench.store.append_log(Batch { job: job.clone(), execution: run.clone(), records }, bench.now).await.unwrap(), 2);
    }
    assert_eq!(bench.store.append_log(Batch { job: job.clone(), execution: run, records: vec![] }, bench.now).await.unwrap(), 0);
    assert_eq!(all(&bench, &job, 100).await.len(), 4);
}

#[tokio::test]
async fn the_log_of_a_job_goes_on_over_its_executions_and_ends_with_it() {
    let bench = Bench::new().await;
    let (job, first) = bench.running().await;
    let mut bell = bench.store.bells().job(&job);
    bench.store.append_log(batch(&job, &first, 1..=2), bench.now).await.unwrap();
    bell.rung().await;
    bench.set(&job, &first, ExecutionStatus::Failed).await.unwrap();
    assert!(bench.store.log(&job, 0, 2).await.unwrap().end);
    bench.store.retry(&job, bench.now).await.unwrap();
    assert!(!bench.store.log(&job, 2, 2).await.unwrap().end);
    let second = bench.take(&job, "r2").await;
    bench.store.append_log(batch(&job, &second, 1..=2), bench.now).await.unwrap();
    bench.set(&job, &second, ExecutionStatus::Finished).await.unwrap();
    let records = all(&bench, &job, 100).await;
    let expected = [(1, &first, 1), (2, &first, 2), (3, &second, 1), (4, &second, 2)];
    assert_eq!(records.iter().map(|stored| (stored.position, &stored.execution, stored.record.seq.unwrap())).collect::<Vec<_>>(), expected);
    let page = bench.store.log(&job, 3, 1).await.unwrap();
    assert_eq!((page.records.len(), page.next, page.end), (1, 4, true));
    assert_eq!(bench.store.log(&job, 99, 1).await.unwrap(), LogPage { records: vec![], next: 99, end: true });
    assert!(matches!(bench.store.log(&JobId::generate(), 0, 1).await, Err(Error::UnknownJob(_))));
}

#[tokio::test]
async fn a_log_has_a_bound() {
    let bench = Bench::with(Limits { log: 20, ..Limits::default() }).await;
    let (job, run) = bench.running().await;
    assert_eq!(bench.store.append_log(batch(&job, &run, 1..=3), bench.now).await.unwrap(), 3);
    assert!(matches!(bench.store.append_log(batch(&job, &run, 4..=4), bench.now).await, Err(Error::LogLimit { limit: 20, .. })));
    assert_eq!(bench.store.append_log(batch(&job, &run, 1..=3), bench.now).await.unwrap(), 0, "what is stored may still be repeated");
    assert_eq!(bench.set(&job, &run, ExecutionStatus::Finished).await.unwrap(), Written::Changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_batches_are_no_trouble() {
    let bench = std::sync::Arc::new(Bench::new().await);
    let (job, run) = bench.running().await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..20_u64 {
        let (bench, job, run) = (std::sync::Arc::clone(&bench), job.clone(), run.clone());
        senders.spawn(async move {
            for n in 0..500 {
                let seq = 1 + sender * 500 + n;
                bench.store.append_log(batch(&job, &run, seq..=seq), bench.now).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    let mut found = seqs(&all(&bench, &job, 1000).await);
    found.sort_unstable();
    assert_eq!(found, (1..=10_000).collect::<Vec<_>>());
}
