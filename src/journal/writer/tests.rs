use super::super::{files, replay};
use super::*;

struct Bench {
    state: tempfile::TempDir,
    writer: Writer,
}

fn bench() -> Bench {
    let state = tempfile::tempdir().expect("a folder");
    let (files, ledger) = files::open(state.path()).expect("opened");
    Bench { writer: Writer::new(Arc::default(), files, ledger), state }
}

impl Bench {
    /// Gives the writer one more entry and lets it save.
    fn save(&mut self, number: usize, padding: usize) -> bool {
        let key = format!("key{number:06}{}", "x".repeat(padding));
        let job = format!("job{number}").parse().expect("an id");
        let entry = Entry::Claiming { job, key, at: jiff::Timestamp::UNIX_EPOCH, intent: crate::journal::Intent::default() };
        line::encode(&entry, &mut self.writer.unsaved);
        self.writer.ledger.apply(entry);
        self.writer.entries += 1;
        self.writer.save()
    }

    fn close(&mut self, number: usize, padding: usize) {
        let key = format!("key{number:06}{}", "x".repeat(padding));
        let entry = Entry::Unclaimed { key };
        line::encode(&entry, &mut self.writer.unsaved);
        self.writer.ledger.apply(entry);
        self.writer.entries += 1;
    }

    /// What a runner that starts now would find.
    fn on_disk(&self) -> usize {
        replay(&std::fs::read(self.state.path().join("journal/journal.log")).expect("readable")).open.len()
    }

    fn trouble(&self) -> Option<String> {
        self.writer.desk.trouble()
    }

    fn put(&mut self, device: &str) -> fs_err::File {
        let file = fs_err::OpenOptions::new().write(true).open(device).expect("a device");
        self.writer.files.swap_file(file)
    }
}

#[test]
fn a_full_disk_is_told_about_and_nothing_is_lost_when_there_is_room_again() {
    let mut bench = bench();
    assert!(bench.save(1, 0));
    let file = bench.put("/dev/full");
    assert!(!bench.save(2, 0));
    assert!(!bench.save(3, 0));
    let text = bench.trouble().expect("trouble");
    assert!(text.contains("(No space left on device (os error 28)): 2 entries wait in memory"), "{text}");
    assert!(text.contains(&format!("'{}'", bench.state.path().join("journal").display())), "{text}");
    assert_eq!(bench.on_disk(), 1);
    bench.writer.files.swap_file(file);
    assert!(bench.save(4, 0));
    assert_eq!((bench.trouble(), bench.on_disk()), (None, 4));
}

#[test]
fn memory_stays_bounded_while_the_disk_refuses() {
    let mut bench = bench();
    let _file = bench.put("/dev/full");
    // What is closed again while the disk is full leaves nothing behind.
    for number in 1..=3000 {
        let folder = bench.state.path().join("journal");
        // A new file is refused, too: its name is taken by a folder.
        let _ = std::fs::create_dir(folder.join("journal.new"));
        assert!(!bench.save(number, 1000));
        bench.close(number, 1000);
        assert!(bench.writer.unsaved.len() < UNSAVED_LIMIT + 10_000);
    }
    assert!(bench.writer.needs_new_file);
    std::fs::remove_dir(bench.state.path().join("journal/journal.new")).expect("removed");
    assert!(bench.save(5000, 0), "a new file takes the place of the one that is full");
    assert_eq!(bench.on_disk(), 1);
    assert!(bench.save(5001, 0));
    assert_eq!(bench.on_disk(), 2);
}

#[test]
fn a_failed_sync_is_answered_by_a_new_file() {
    let mut bench = bench();
    assert!(bench.save(1, 0));
    // A pipe takes no write at an offset, and is not full.
    let (_read, write) = io::pipe().expect("a pipe");
    let pipe = std::fs::File::from(std::os::fd::OwnedFd::from(write));
    bench.writer.files.swap_file(fs_err::File::from_parts(pipe, "pipe"));
    assert!(!bench.save(2, 0));
    assert!(bench.writer.needs_new_file);
    assert!(bench.save(3, 0));
    assert_eq!((bench.trouble(), bench.on_disk()), (None, 3));
}

#[test]
fn a_file_that_is_mostly_about_what_is_closed_gets_short_again() {
    let mut bench = bench();
    let mut longest = 0;
    bench.save(1, 0);
    for number in 2..600 {
        assert!(bench.save(number, 30_000));
        bench.close(number, 30_000);
        longest = longest.max(std::fs::metadata(bench.state.path().join("journal/journal.log")).expect("there").len());
    }
    assert!(bench.writer.save());
    let length = std::fs::metadata(bench.state.path().join("journal/journal.log")).expect("there").len();
    assert!(longest > (8 << 20) && longest < (9 << 20), "{longest}");
    assert!(bench.on_disk() == 1 && length < longest, "{length}");
}

#[test]
fn space_is_reserved_ahead_without_readers_seeing_it() {
    use std::os::unix::fs::MetadataExt as _;
    let mut bench = bench();
    bench.save(1, 0);
    let metadata = std::fs::metadata(bench.state.path().join("journal/journal.log")).expect("there");
    assert!(metadata.len() < 200, "{}", metadata.len());
    // Not every file system can; where it can, it does.
    let probe = fs_err::File::create(bench.state.path().join("probe")).expect("made");
    let can = nix::fcntl::fallocate(probe.file(), nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, 4096).is_ok();
    assert!(!can || metadata.blocks() * 512 >= 1 << 20, "{} blocks", metadata.blocks());
}

#[test]
fn a_disk_that_hangs_is_told_about() {
    let bench = bench();
    let Some(since) = Instant::now().checked_sub(Duration::from_secs(7)) else { return };
    bench.writer.desk.troubles().trying_since = Some(since);
    assert!(bench.trouble().expect("trouble").contains("has not answered for 7 s"));
}
