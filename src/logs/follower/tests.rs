use proptest::prelude::*;

use super::super::{Bell, JobLog, LogPolicy, Stream, spool::Spool};
use super::*;

/// What happens to a log and its reader.
#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Flush,
    Read(usize, usize),
    /// The reader forgets everything but how far it came.
    Resume,
    /// The writer dies, half a line is left, and another one goes on.
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..300).prop_map(Step::Write),
        4 => Just(Step::Flush),
        4 => (1_usize..3000, 1_usize..20).prop_map(|(bytes, records)| Step::Read(bytes, records)),
        1 => Just(Step::Resume),
        1 => Just(Step::Restart),
    ]
}

fn record(text: String) -> Record {
    Record { seq: 0, time: jiff::Timestamp::UNIX_EPOCH, stream: Stream::Stdout, step: String::new(), text }
}

/// Holds records to what was written: each once, in order, or counted by a marker. Returns the number of the last.
fn check(records: &[Record], mut last: u64, written: &[String]) -> Result<u64, TestCaseError> {
    for record in records {
        if record.stream == Stream::Gap {
            let missing: u64 = record.text.split(' ').nth(1).and_then(|count| count.parse().ok()).expect("a count");
            prop_assert_eq!(record.seq, last + missing, "{}", record.text);
        } else {
            prop_assert_eq!(record.seq, last + 1);
            prop_assert_eq!(Some(&record.text), written.get(usize::try_from(last).expect("small")));
        }
        last = record.seq;
    }
    Ok(last)
}

fn rest(follower: &mut Follower) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let batch = follower.next_batch(700, 7).expect("readable");
        if batch.is_empty() {
            return all;
        }
        assert!(batch.len() <= 7);
        all.extend(batch);
    }
}

/// A log that somebody else wrote, or a power cut: numbers that repeat or jump, half lines, zeros.
fn any_log() -> impl Strategy<Value = Vec<u8>> {
    let number = || prop_oneof![0_u64..12, Just(u64::MAX)];
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        number().prop_map(|seq| serde_json::to_vec(&Record { seq, ..record("x".to_owned()) }).expect("JSON")),
        number().prop_map(|seq| format!("{{\"seq\":{seq},\"half").into_bytes()),
        (number(), number()).prop_map(|(offset, seq)| format!("{{\"offset\":{offset},\"seq\":{seq}}}").into_bytes()),
        Just(vec![0; 30]),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.join(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_the_files_hold_is_read_in_order_and_gone_on_with(log in any_log(), has_header in any::<bool>(), after in 0_u64..14) {
        let folder = tempfile::tempdir().expect("a folder");
        let header: &[u8] = if has_header { b"{\"offset\":0,\"seq\":1}\n" } else { b"" };
        std::fs::write(folder.path().join("head.log"), [header, &log].concat()).expect("written");
        let read = |after| rest(&mut Follower::open(folder.path(), after).expect("opened"));
        let all = read(0);
        prop_assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
        let late = read(after);
        prop_assert_eq!(late.last(), all.iter().rfind(|record| record.seq > after));
        let spool = Spool::open(folder.path().to_owned(), LogPolicy::default(), 0).expect("gone on with");
        prop_assert!(all.last().is_none_or(|last| last.seq == u64::MAX || last.seq <= spool.last_seq()));
        prop_assert_eq!(read(0), all);
    }

    #[test]
    fn a_growing_log_is_read_once_whatever_happens(steps in prop::collection::vec(any_step(), 1..120), head in 200_u64..4000, tail in 800_u64..6000) {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = LogPolicy { head, tail, ..LogPolicy::default() };
        let mut spool = Spool::open(folder.path().to_owned(), policy, 0).expect("made");
        let mut follower = Follower::open(folder.path(), 0).expect("opened");
        let (mut written, mut last, mut flushed) = (Vec::new(), 0, 0);
        for step in steps {
            match step {
                Step::Write(length) => {
                    written.push(format!("{}{}", written.len(), "x".repeat(length)));
                    spool.append(record(written[written.len() - 1].clone()));
                }
                Step::Flush => {
                    prop_assert!(!spool.flush().is_some());
                    flushed = written.len() as u64;
                }
                Step::Read(bytes, records) => {
                    let batch = follower.next_batch(bytes, records).expect("readable");
                    prop_assert!(batch.len() <= records);
                    prop_assert!(batch.len() <= 1 || batch.iter().map(|record| record.text.len()).sum::<usize>() <= bytes);
                    last = check(&batch, last, &written)?;
                    prop_assert_eq!(last, follower.last_seq());
                }
                Step::Resume => follower = Follower::open(folder.path(), last).expect("opened"),
                Step::Restart => {
                    let newest = segment::indices(folder.path()).expect("readable").pop().expect("a segment");
                    let mut file = fs_err::OpenOptions::new().append(true).open(segment::file(folder.path(), newest)).expect("there");
                    io::Write::write_all(&mut file, br#"{"seq":99999,"ti"#).expect("written");
                    spool = Spool::open(folder.path().to_owned(), policy, 0).expect("resumed");
                    prop_assert!(spool.last_seq() >= flushed);
                    written.truncate(usize::try_from(spool.last_seq()).expect("small"));
                }
            }
        }
        spool.flush();
        last = check(&rest(&mut follower), last, &written)?;
        prop_assert_eq!(last, written.len() as u64);
        // A reader that comes back anywhere, also in the middle of what is missing.
        for after in 0..=written.len() as u64 {
            let mut late = Follower::open(folder.path(), after).expect("opened");
            prop_assert_eq!(check(&rest(&mut late), after, &written)?, written.len() as u64);
        }
    }

    #[test]
    fn however_output_is_cut_its_lines_arrive_once(
        lines in prop::collection::vec("[a-z \"\\\\]{0,60}", 1..60), cuts in prop::collection::vec(1_usize..40, 1..10), head in 200_u64..2000
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = LogPolicy { head, tail: 4000, queue: 500, ..LogPolicy::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let bell = Bell::new();
            let log = JobLog::open(folder.path(), policy, Box::new(bell.clone())).expect("opened");
            let mut follower = Follower::open(folder.path(), 0).expect("opened");
            let (mut last, bytes) = (0, lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect::<Vec<_>>());
            let (mut left, mut cuts) = (bytes.as_slice(), cuts.iter().cycle());
            let pipe = log.pipe(Stream::Stdout);
            while !left.is_empty() {
                let (piece, after) = left.split_at(left.len().min(*cuts.next().expect("endless")));
                pipe.write(piece);
                pipe.room().await;
                left = after;
                last = check(&follower.next_batch(1000, 10).expect("readable"), last, &lines)?;
            }
            drop(pipe);
            prop_assert!(log.flush().await);
            bell.rung().await;
            prop_assert_eq!(check(&rest(&mut follower), last, &lines)?, lines.len() as u64);
            Ok(())
        })?;
    }
}

#[test]
fn a_log_that_is_not_there_yet_has_nothing_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut follower = Follower::open(&log, 0).expect("opened");
    assert_eq!(follower.next_batch(1000, 10).expect("nothing"), []);
    let mut spool = Spool::open(log, LogPolicy::default(), 0).expect("made");
    assert_eq!(follower.next_batch(1000, 10).expect("nothing"), []);
    spool.append(record("first".to_owned()));
    spool.flush();
    assert_eq!(follower.next_batch(1000, 10).expect("one").len(), 1);
    assert_eq!(follower.next_batch(1000, 10).expect("nothing"), []);
}

#[test]
fn a_line_longer_than_any_limit_is_a_batch_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut spool = Spool::open(folder.path().to_owned(), LogPolicy::default(), 0).expect("made");
    for text in ["short".to_owned(), "\"".repeat(200_000), "short".to_owned()] {
        spool.append(record(text));
    }
    spool.flush();
    let mut follower = Follower::open(folder.path(), 0).expect("opened");
    let lengths = std::iter::from_fn(|| follower.next_batch(1000, 10).ok().filter(|batch| !batch.is_empty()));
    let lengths: Vec<Vec<usize>> = lengths.map(|batch| batch.iter().map(|record| record.text.len()).collect()).collect();
    assert_eq!(lengths, [vec![5], vec![200_000], vec![5]]);
}
