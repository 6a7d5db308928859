//! A journal and a log as somebody else may have left them on disk: read without a panic, and the same whenever they are read again.
#![no_main]

use build_runner::{
    journal::{Journal, replay},
    logs::{Bell, Follower, JobLog, LogPolicy},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], u64)| {
    let (journal, log, after) = input;
    let read = replay(journal);
    assert!(read.whole <= journal.len());
    assert_eq!(replay(&journal[..read.whole]).open, read.open);

    let state = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(state.path().join("journal")).expect("made");
    std::fs::write(state.path().join("journal/journal.log"), journal).expect("written");
    let (_journal, open) = Journal::open(state.path()).expect("opened");
    assert_eq!(open, read.open);
    let compacted = std::fs::read(state.path().join("journal/journal.log")).expect("readable");
    assert_eq!(replay(&compacted).open, open);

    let folder = state.path().join("log");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("head.log"), log).expect("written");
    let records = |after| {
        let mut follower = Follower::open(&folder, after).expect("opened");
        std::iter::from_fn(move || follower.next_batch(100, 3).ok().filter(|batch| !batch.is_empty())).flatten().collect::<Vec<_>>()
    };
    let all = records(0);
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
    let mut rest = all.clone();
    rest.retain(|record| record.seq > after);
    assert_eq!(records(after).last(), rest.last());
    drop(JobLog::open(&folder, LogPolicy::default(), Box::new(Bell::new())).expect("gone on with"));
    assert_eq!(records(0), all);
});
