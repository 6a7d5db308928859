use std::path::PathBuf;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use super::{ledger::Ledger, line::encode};
use crate::job::{CancelCause, ExecutionId, Failure, FailureKind, JobId, Outcome, Outputs, Phase, Receipt};

fn at(second: u8) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::from(second)).expect("a time")
}

fn job(number: u8) -> JobId {
    format!("job{number}").parse().expect("an id")
}

fn execution(number: u8) -> ExecutionId {
    format!("run{number}").parse().expect("an id")
}

fn claiming(number: u8) -> Entry {
    Entry::Claiming { job: job(number), key: format!("key{number}"), at: at(number), intent: intent() }
}

fn intent() -> Intent {
    let timeout = Some(std::time::Duration::from_secs(90));
    Intent { job_type: "noop".to_owned(), operation: "exec".to_owned(), log_stream: "logs".to_owned(), timeout }
}

fn claimed(number: u8) -> Entry {
    Entry::Claimed {
        key: format!("key{number}"),
        job: job(number),
        execution: execution(number),
        job_type: "noop".to_owned(),
        log_stream: "logs".to_owned(),
        at: at(number.saturating_add(1)),
    }
}

fn receipt(number: u8) -> Receipt {
    let outcome = match number % 3 {
        0 => Outcome::Succeeded(Box::new(Outputs::default().with("source", json!({"ref": "main", "size": 12.5, "n": u64::MAX})))),
        1 => Outcome::Failed(Box::new(Failure::new(FailureKind::DiskFull, "no \"space\"\nleft").with_evidence("stderr", "äöü\u{2028}"))),
        _ => Outcome::Cancelled(CancelCause::Shutdown),
    };
    Receipt::new(job(number), "noop", at(number), at(number), outcome)
}

fn finished(number: u8) -> Entry {
    Entry::Finished { execution: execution(number), receipt: Box::new(receipt(number)) }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let phases = [Phase::Preparing, Phase::Running, Phase::Collecting, Phase::CleaningUp];
    (0_u8..9, 0_u8..4, any::<u64>(), any::<String>()).prop_map(move |(kind, number, seq, text)| match kind {
        0 | 1 => claiming(number),
        2 => Entry::Unclaimed { key: format!("key{number}") },
        3 | 4 => claimed(number),
        5 => Entry::Handle { execution: execution(number), handle: json!({"name": text, "number": seq, "list": [null, true]}) },
        6 => Entry::Phase { execution: execution(number), phase: phases[usize::from(number)] },
        7 if seq % 2 == 0 => Entry::Closed { execution: execution(number) },
        7 => Entry::LogsSent { execution: execution(number), seq },
        _ => finished(number),
    })
}

fn ledger(entries: &[Entry]) -> Ledger {
    let mut ledger = Ledger::default();
    entries.iter().cloned().for_each(|entry| ledger.apply(entry));
    ledger
}

/// What a runner could have written: a claim begins once, is answered once, and is closed once, in this order.
fn in_order(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut stages = std::collections::HashMap::<String, u8>::new();
    entries.retain(|entry| {
        let (name, stage, once) = match entry {
            Entry::Claiming { key, .. } => (key.as_str(), 0, true),
            Entry::Claimed { key, .. } => (key.as_str(), 1, true),
            Entry::Unclaimed { key } => (key.as_str(), 3, true),
            Entry::Handle { execution, .. }
            | Entry::Phase { execution, .. }
            | Entry::Finished { execution, .. }
            | Entry::LogsSent { execution, .. } => (execution.as_str(), 2, false),
            Entry::Closed { execution } => (execution.as_str(), 3, true),
        };
        let next = stages.entry(name.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned()).or_default();
        let fits = *next <= stage && (stage < 2 || *next >= 1);
        if fits {
            *next = if once { stage + 1 } else { stage };
        }
        fits
    });
    entries
}

fn bytes(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        encode(entry, &mut bytes);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_cut_off_the_whole_lines_count(entries in prop::collection::vec(any_entry(), 0..8)) {
        let bytes = bytes(&entries);
        for cut in 0..=bytes.len() {
            let whole = bytes[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines = bytes[..cut].split(|byte| *byte == b'\n').count() - 1;
            let expected = Replay { open: ledger(&entries[..lines]).recovered(), damaged: Vec::new(), whole };
            prop_assert_eq!(replay(&bytes[..cut]), expected);
            // As a file system leaves it that had made the file longer and not written it.
            let zeros = [&bytes[..cut], &[0; 100]].concat();
            prop_assert_eq!(replay(&zeros).open, ledger(&entries[..lines]).recovered());
        }
    }

    #[test]
    fn compaction_changes_nothing(entries in prop::collection::vec(any_entry(), 0..40)) {
        let before = ledger(&entries);
        let compacted: Vec<_> = before.entries().collect();
        prop_assert!(compacted.len() <= 5 * before.recovered().len());
        prop_assert_eq!(ledger(&compacted), before);
    }

    #[test]
    fn a_damaged_line_costs_itself(entries in prop::collection::vec(any_entry(), 2..12), line in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let damaged = line.index(entries.len() - 1);
        let start = bytes(&entries[..damaged]).len();
        let mut bytes = bytes(&entries);
        let length = bytes[start..].iter().position(|byte| *byte == b'\n').expect("a line");
        bytes[start + usize::from(byte) % length] ^= 0x80;
        let without = [&entries[..damaged], &entries[damaged + 1..]].concat();
        let expected = Replay { open: ledger(&without).recovered(), damaged: vec![damaged + 1], whole: bytes.len() };
        prop_assert_eq!(replay(&bytes), expected);
    }

    #[test]
    fn a_batch_that_is_written_twice_counts_once(entries in prop::collection::vec(any_entry(), 0..20), from in any::<prop::sample::Index>()) {
        // A compaction whose new name could not be synced is followed by the lines that it holds already.
        let entries = in_order(entries);
        let all = ledger(&entries);
        let again: Vec<_> = all.entries().chain(entries[from.index(entries.len() + 1)..].iter().cloned()).collect();
        prop_assert_eq!(ledger(&again), all);
    }
}

#[test]
fn a_life_from_intent_to_close() {
    let handle = json!({"pod": "build-1"});
    let life = [
        claiming(1),
        claimed(1),
        Entry::Handle { execution: execution(1), handle: handle.clone() },
        Entry::Phase { execution: execution(1), phase: Phase::Running },
        Entry::Phase { execution: execution(1), phase: Phase::Preparing },
        Entry::LogsSent { execution: execution(1), seq: 7 },
        Entry::LogsSent { execution: execution(1), seq: 3 },
        finished(1),
    ];
    let intent = Recovered { key: "key1".to_owned(), job: job(1), at: at(1), intent: intent(), claimed: None };
    assert_eq!(ledger(&life[..1]).recovered(), std::slice::from_ref(&intent));
    let claimed = RecoveredExecution {
        execution: execution(1),
        job_type: "noop".to_owned(),
        log_stream: "logs".to_owned(),
        handle: Some(handle),
        phase: Phase::Running,
        receipt: Some(receipt(1)),
        logs_sent: 7,
    };
    let open = ledger(&life);
    assert_eq!(open.recovered(), [Recovered { claimed: Some(claimed), ..intent }]);
    let mut closed = open.clone();
    closed.apply(Entry::Closed { execution: execution(1) });
    assert_eq!(closed, Ledger::default());
    let mut unclaimed = open;
    unclaimed.apply(Entry::Unclaimed { key: "key1".to_owned() });
    assert_eq!(unclaimed, Ledger::default());
}

fn log_of(state: &tempfile::TempDir) -> PathBuf {
    state.path().join("journal/journal.log")
}

#[tokio::test]
async fn what_was_written_is_there_at_the_next_start_oldest_first() {
    let state = tempfile::tempdir().expect("a folder");
    let (journal, open) = Journal::open(state.path()).expect("opened");
    assert_eq!(open, []);
    for entry in [claiming(3), claiming(1), claimed(1), claiming(2), claimed(2), finished(2)] {
        assert!(journal.write(entry).await);
    }
    journal.note(Entry::LogsSent { execution: execution(2), seq: 9 });
    journal.note(Entry::LogsSent { execution: execution(2), seq: 12 });
    assert!(journal.write(Entry::Closed { execution: execution(1) }).await);
    assert_eq!(journal.trouble(), None);
    let text = std::fs::read_to_string(log_of(&state)).expect("text");
    assert_eq!((text.lines().count(), text.contains("\"seq\":9")), (8, false), "notes are gathered: {text}");
    drop(journal);
    let (_journal, open) = Journal::open(state.path()).expect("opened again");
    assert_eq!(open.iter().map(|open| open.key.as_str()).collect::<Vec<_>>(), ["key2", "key3"]);
    let claimed = open[0].claimed.as_ref().expect("claimed");
    assert_eq!((claimed.receipt.as_ref(), claimed.logs_sent), (Some(&receipt(2)), 12));
    assert_eq!(std::fs::read_to_string(log_of(&state)).expect("text").lines().count(), 5, "compacted");
}

#[tokio::test]
async fn a_note_nobody_waits_for_is_written_soon() {
    let state = tempfile::tempdir().expect("a folder");
    let (journal, _) = Journal::open(state.path()).expect("opened");
    journal.note(claiming(1));
    while std::fs::metadata(log_of(&state)).expect("there").len() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(replay(&std::fs::read(log_of(&state)).expect("readable")).open.len(), 1);
}

#[test]
fn a_second_runner_is_told_about_the_first() {
    let state = tempfile::tempdir().expect("a folder");
    let (journal, _) = Journal::open(state.path()).expect("opened");
    let error = Journal::open(state.path()).expect_err("in use").to_string();
    let (folder, pid) = (state.path().display(), std::process::id());
    assert!(error.starts_with(&format!("the state folder '{folder}' is in use by another runner (process {pid})")), "{error}");
    drop(journal);
    Journal::open(state.path()).expect("free again");
}

#[test]
fn a_damaged_file_is_kept_and_the_rest_of_it_counts() {
    let state = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(state.path().join("journal")).expect("made");
    let text = [bytes(&[claiming(1)]), b"garbage\n".to_vec(), bytes(&[claiming(2)]), b"torn".to_vec()].concat();
    std::fs::write(log_of(&state), &text).expect("written");
    let (_journal, open) = Journal::open(state.path()).expect("opened");
    assert_eq!(open.len(), 2);
    assert_eq!(std::fs::read(state.path().join("journal/journal.damaged")).expect("kept"), text);
    assert_eq!(std::fs::read(log_of(&state)).expect("readable"), bytes(&[claiming(1), claiming(2)]));
}

#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = tempfile::tempdir().expect("a folder");
    let _open = Journal::open(state.path()).expect("opened");
    let mode = |path: &str| std::fs::metadata(state.path().join(path)).expect("there").permissions().mode() & 0o777;
    assert_eq!([mode("journal"), mode("journal/journal.log"), mode("journal/lock")], [0o700, 0o600, 0o600]);
}
