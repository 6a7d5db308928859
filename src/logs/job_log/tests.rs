use super::super::{Bell, Capture, Follower, Record, replay};
use super::*;

struct Bench {
    folder: tempfile::TempDir,
    sink: Capture,
    log: JobLog,
}

fn open(policy: LogPolicy) -> Bench {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Capture::default());
    let log = JobLog::open(folder.path(), policy, Box::new(sink.clone())).expect("opened");
    Bench { folder, sink, log }
}

#[tokio::test]
async fn everything_is_there_after_the_barrier() {
    let Bench { folder, sink, log } = open(LogPolicy::default());
    let progress = Progress::default();
    let log = log.with_progress(&progress);
    log.add_secret("hunter2-hunter2");
    progress.step("fetch");
    log.info("begin\nhere is hunter2-hunter2");
    let pipe = log.pipe(Stream::Stderr);
    pipe.write(b"tool says hunter2-");
    log.pipe(Stream::Stdout).write(b"other tool\n");
    pipe.write(b"hunter2\x1b[0m, done\nno end");
    drop(pipe);
    log.warn("careful");
    assert!(log.flush().await);
    let expected = [
        (Stream::Runner, "begin"),
        (Stream::Runner, "here is ***"),
        (Stream::Stdout, "other tool"),
        (Stream::Stderr, "tool says ***, done"),
        (Stream::Stderr, "no end"),
        (Stream::Warning, "careful"),
    ];
    let records = sink.records();
    assert_eq!(records.iter().map(|record| (record.stream, record.text.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(records.iter().all(|record| record.step == "fetch"));
    assert_eq!(replay(folder.path()).expect("readable").collect::<Result<Vec<Record>, _>>().expect("readable"), records);
}

#[tokio::test]
async fn short_secrets_are_named_as_such() {
    let Bench { sink, log, folder: _folder } = open(LogPolicy::default());
    log.add_secret("abc");
    log.add_secret("abc");
    log.info("abc");
    log.add_secret("x");
    log.flush().await;
    let warning = |count: &str| format!("a secret of {count} is too short to be hidden in logs");
    assert_eq!(sink.texts(), [warning("3 characters"), "abc".to_owned(), warning("1 characters")]);
}

#[tokio::test]
async fn a_flood_without_line_breaks_stays_bounded() {
    let policy = LogPolicy { head: 100_000, tail: 100_000, line: 1000, ..LogPolicy::default() };
    let Bench { folder, sink, log } = open(policy);
    let pipe = log.pipe(Stream::Stdout);
    for _ in 0..1000 {
        pipe.write(&vec![b'x'; 64 << 10]);
        pipe.room().await;
    }
    drop(pipe);
    log.flush().await;
    let texts = sink.texts();
    assert_eq!(texts.len(), 1, "{}", texts.len());
    assert!(texts[0].ends_with("bytes left out]") && texts[0].len() < 1100);
    assert!(std::fs::read_dir(folder.path()).expect("readable").count() < 4);
}

/// A sink that waits until it is let go.
struct Slow(mpsc::Receiver<()>, Capture);

impl Sink for Slow {
    fn record(&mut self, record: &Record) {
        if record.seq == 1 {
            let _ = self.0.recv();
        }
        self.1.record(record);
    }
}

#[tokio::test]
async fn a_slow_sink_does_not_hold_up_the_job_and_hears_what_it_missed() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Capture::default());
    let (go, wait) = mpsc::channel();
    let policy = LogPolicy { head: 2000, tail: 8000, flush_limit: Duration::from_millis(50), ..LogPolicy::default() };
    let log = JobLog::open(folder.path(), policy, Box::new(Slow(wait, sink.clone()))).expect("opened");
    log.info("first");
    let pipe = log.pipe(Stream::Stdout);
    for number in 0..20_000 {
        pipe.write(format!("line {number}\n").as_bytes());
        pipe.room().await;
    }
    drop(pipe);
    assert!(!log.flush().await, "the sink still holds the first line");
    go.send(()).expect("it waits");
    while !log.flush().await {}
    let texts = sink.texts();
    assert_eq!((texts[0].as_str(), texts.last().map(String::as_str)), ("first", Some("line 19999")));
    // The writer may still have been at it when the sink went on: then there is more than one.
    assert!(texts.iter().any(|text| text.contains("left out here")), "{}", texts.len());
    assert!(texts.len() < 10_000, "{}", texts.len());
}

/// A sink on the writer's own thread, so that it can stand for a disk that hangs.
struct Hanging(Arc<tokio::sync::Notify>, mpsc::Receiver<()>);

impl Sink for Hanging {
    fn record(&mut self, _: &Record) {}

    fn caught_up(&mut self) {
        self.0.notify_one();
        // Over when the other end is dropped.
        let _ = self.1.recv();
    }

    fn reads(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_disk_that_hangs_holds_tools_up_for_a_while_and_then_what_does_not_fit_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (go, wait) = mpsc::channel();
    let policy = LogPolicy { queue: 10_000, stall_limit: Duration::from_millis(50), ..LogPolicy::default() };
    let hangs = Arc::<tokio::sync::Notify>::default();
    let log = JobLog::open(folder.path(), policy, Box::new(Hanging(Arc::clone(&hangs), wait))).expect("opened");
    log.info("first");
    hangs.notified().await;
    let pipe = log.pipe(Stream::Stdout);
    let line = [b"x".repeat(999), b"\n".to_vec()].concat();
    for _ in 0..100 {
        pipe.write(&line);
        pipe.room().await;
    }
    for _ in 0..10 {
        log.info("never dropped");
    }
    drop((go, pipe));
    assert!(log.flush().await);
    let records: Vec<_> = replay(folder.path()).expect("readable").collect::<Result<_, _>>().expect("readable");
    let texts = |text: &str| records.iter().filter(|record| record.text.contains(text)).count();
    let kept = texts("xxx");
    assert!((4..10).contains(&kept), "{kept}");
    assert_eq!((texts("first"), texts("never dropped")), (1, 10));
    let told: Vec<_> = records.iter().filter(|record| record.stream == Stream::Gap).map(|record| record.text.as_str()).collect();
    let lost = super::super::segment::size(1000 * (100 - kept as u64));
    assert_eq!(told, [format!("{lost} of output are lost here: the disk of the log took nothing for too long")]);
}

#[tokio::test]
async fn nothing_is_lost_however_small_the_queue_and_however_many_tools() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = JobLog::open(folder.path(), LogPolicy { queue: 1000, ..LogPolicy::default() }, Box::new(Bell::new())).expect("opened");
    let tool = async |name: usize| {
        let pipe = log.pipe(Stream::Stdout);
        for number in 0..500 {
            pipe.write(format!("{name}: {number}\n").as_bytes());
            pipe.room().await;
        }
    };
    futures_util::future::join_all((0..8).map(tool)).await;
    assert!(log.flush().await && !log.is_behind());
    let texts: Vec<_> = replay(folder.path()).expect("readable").map(|record| record.expect("readable").text).collect();
    for name in 0..8 {
        let own: Vec<_> = texts.iter().filter(|text| text.starts_with(&format!("{name}: "))).cloned().collect();
        assert_eq!(own, (0..500).map(|number| format!("{name}: {number}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_bell_rings_when_the_log_has_grown_and_remembers_it() {
    let (folder, bell) = (tempfile::tempdir().expect("a folder"), Bell::new());
    let log = JobLog::open(folder.path(), LogPolicy::default(), Box::new(bell.clone())).expect("opened");
    let mut follower = Follower::open(folder.path(), 0).expect("opened");
    let mut texts = Vec::new();
    for number in 0..3 {
        log.info(format_args!("line {number}"));
        while texts.len() <= number {
            bell.rung().await;
            texts.extend(follower.next_batch(1000, 10).expect("readable").into_iter().map(|record| record.text));
        }
    }
    assert_eq!(texts, ["line 0", "line 1", "line 2"]);
    log.info("nobody waits");
    assert!(log.flush().await);
    bell.rung().await;
    assert_eq!(follower.next_batch(1000, 10).expect("readable").len(), 1);
    assert_eq!(bell.untold(), None);
}

#[tokio::test]
async fn a_log_goes_on_where_a_dead_runner_left_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy { head: 300, ..LogPolicy::default() };
    for life in 0..3 {
        let sink = Capture::default();
        let log = JobLog::open(folder.path(), policy, Box::new(sink.clone())).expect("opened");
        for line in 0..5 {
            log.info(format_args!("life {life}, line {line}"));
        }
        assert!(log.flush().await);
        assert_eq!(sink.records().first().map(|record| record.seq), Some(5 * life + 1), "a sink gets what is new");
        drop(log);
        // Half a record, as a kill leaves it.
        let newest = super::super::segment::indices(folder.path()).expect("readable").pop().expect("a segment");
        let mut file = fs_err::OpenOptions::new().append(true).open(super::super::segment::file(folder.path(), newest)).expect("there");
        std::io::Write::write_all(&mut file, br#"{"seq":1000,"time":"20"#).expect("written");
    }
    let records: Vec<_> = replay(folder.path()).expect("readable").collect::<Result<_, _>>().expect("readable");
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (1..=15).collect::<Vec<_>>());
    assert_eq!(records[14].text, "life 2, line 4");
    // A power cut may take what a reader has seen.
    let log = JobLog::reopen(folder.path(), policy, Box::new(Bell::new()), 40).expect("opened");
    log.info("after");
    assert!(log.flush().await);
    let rest = Follower::open(folder.path(), 40).expect("opened").next_batch(1000, 10).expect("readable");
    assert_eq!(rest.iter().map(|record| (record.seq, record.text.as_str())).collect::<Vec<_>>(), [(41, "after")]);
}

#[tokio::test]
async fn lines_that_a_full_disk_refused_to_the_end_are_told_by_the_bell() {
    let (folder, bell) = (tempfile::tempdir().expect("a folder"), Bell::new());
    let policy = LogPolicy { head: 200, ..LogPolicy::default() };
    let log = JobLog::open(folder.path(), policy, Box::new(bell.clone())).expect("opened");
    std::os::unix::fs::symlink("/dev/full", folder.path().join("tail-00000001.log")).expect("linked");
    for line in 0..5 {
        log.info(format_args!("line {line}"));
    }
    assert!(log.flush().await);
    let kept = replay(folder.path()).expect("readable").count();
    assert!((1..5).contains(&kept), "{kept}");
    let untold = bell.untold().expect("told");
    assert!(untold.text.starts_with(&format!("{} lines (", 5 - kept)) && untold.text.ends_with("its disk is full"), "{}", untold.text);
}
