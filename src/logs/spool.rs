//! The log on disk while it is written: a head that stays and a tail that rolls.
//!
//! Input: records in order. Output: segments (see [`super::segment`]), never more than head + tail bytes of them. A disk that takes nothing
//! more costs log lines, which are counted and told about, and never the job.

use std::{collections::VecDeque, io, io::Write as _, path::PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::{
    record::{LogPolicy, Record},
    segment::{self, Header, Loss, gap, size},
};

/// The tail is this many segments: forgetting one forgets that part of it.
const TAIL_SEGMENTS: u64 = 8;

/// How far readers may read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Oldest segment of the tail that is still there; 0 while there is no tail.
    pub(super) oldest: u64,
    /// Segment being written.
    pub(super) newest: u64,
    /// Bytes of it that are whole records.
    pub(super) length: u64,
}

/// Writer of one log.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    policy: LogPolicy,
    index: u64,
    file: Option<fs_err::File>,
    /// Bytes of the current segment that are on disk.
    length: u64,
    /// Bytes of records in the current segment, pending ones included.
    filled: u64,
    pending: Vec<u8>,
    pending_lines: u64,
    /// Bytes of all records so far.
    offset: u64,
    next_seq: u64,
    /// Tail segments and their sizes, the current one excluded.
    tail: VecDeque<(u64, u64)>,
    /// What the disk refused and no record on disk tells of.
    lost: Loss,
    /// Size of the pending record that tells of it.
    notice: Option<usize>,
}

impl Spool {
    /// Begins a log in `folder`, which is made if need be (0700).
    pub(super) fn create(folder: PathBuf, policy: LogPolicy) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
            io::Error::new(error.kind(), format!("the folder of the log, '{}', cannot be made: {error}", folder.display()))
        })?;
        let mut spool = Self {
            folder,
            policy,
            index: 0,
            file: None,
            length: 0,
            filled: 0,
            pending: Vec::new(),
            pending_lines: 0,
            offset: 0,
            next_seq: 1,
            tail: VecDeque::new(),
            lost: Loss::default(),
            notice: None,
        };
        spool.open()?;
        Ok(spool)
    }

    /// Numbers `record` and takes it; [`Spool::flush`] brings it to disk.
    pub(super) fn append(&mut self, record: Record) {
        if self.lost.is_some() && self.notice.is_none() {
            let text = format!("{} lines ({}) of the log are lost here: its disk was full", self.lost.lines, size(self.lost.bytes));
            self.notice = self.take(gap(0, record.time, text));
        }
        self.take(record);
    }

    /// Returns the size of the record as stored.
    fn take(&mut self, mut record: Record) -> Option<usize> {
        record.seq = self.next_seq;
        let mut line = serde_json::to_vec(&record).ok()?;
        line.push(b'\n');
        let limit = if self.index == 0 { self.policy.head } else { self.policy.tail / TAIL_SEGMENTS };
        if self.filled > 0 && self.filled + line.len() as u64 > limit {
            self.rotate();
        }
        self.next_seq += 1;
        self.offset += line.len() as u64;
        self.filled += line.len() as u64;
        self.pending.extend_from_slice(&line);
        self.pending_lines += 1;
        Some(line.len())
    }

    /// Brings everything to the file. Returns how far readers may read, and what the disk has refused and no record tells of yet.
    pub(super) fn flush(&mut self) -> (Extent, Loss) {
        self.write();
        let oldest = self.tail.front().map_or(self.index, |(index, _)| *index);
        (Extent { oldest, newest: self.index, length: self.length }, self.lost)
    }

    fn write(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let notice = self.notice.take();
        match self.try_write() {
            Ok(()) if notice.is_some() => self.lost = Loss::default(),
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(%error, "the log cannot be written");
                if let Some(file) = &self.file {
                    // Part of a record may be there: readers stop at the last whole one, and the next write begins there.
                    let _ = file.set_len(self.length);
                }
                // The notice is not a line of the log.
                self.lost.add(self.pending.len() - notice.unwrap_or(0), self.pending_lines - u64::from(notice.is_some()));
                self.offset -= self.pending.len() as u64;
            }
        }
        self.pending.clear();
        self.pending_lines = 0;
    }

    fn try_write(&mut self) -> io::Result<()> {
        use io::Seek as _;
        if self.file.is_none() {
            self.open()?;
        }
        if let Some(file) = &mut self.file {
            file.seek(io::SeekFrom::Start(self.length))?;
            file.write_all(&self.pending)?;
            self.length += self.pending.len() as u64;
        }
        Ok(())
    }

    /// Opens the current segment and writes its header.
    fn open(&mut self) -> io::Result<()> {
        let path = segment::file(&self.folder, self.index);
        let mut file = fs_err::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let header = Header { offset: self.offset - self.pending.len() as u64, seq: self.next_seq - self.pending_lines };
        let mut line = serde_json::to_vec(&header)?;
        line.push(b'\n');
        file.write_all(&line)?;
        self.length = line.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) {
        self.write();
        if self.index > 0 {
            self.tail.push_back((self.index, self.filled));
        }
        self.index += 1;
        (self.file, self.length, self.filled) = (None, 0, 0);
        // Room for the segment that begins now is made before it fills.
        let room = self.policy.tail - self.policy.tail / TAIL_SEGMENTS;
        while self.tail.iter().map(|(_, bytes)| bytes).sum::<u64>() > room
            && let Some((index, _)) = self.tail.pop_front()
        {
            let _ = std::fs::remove_file(segment::file(&self.folder, index));
        }
        if let Err(error) = self.open() {
            tracing::debug!(%error, "a segment of the log cannot be opened");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{Stream, replay};

    fn record(text: String) -> Record {
        Record { seq: 0, time: jiff::Timestamp::UNIX_EPOCH, stream: Stream::Stdout, step: String::new(), text }
    }

    fn texts(folder: &std::path::Path) -> Vec<String> {
        replay(folder).expect("readable").map(|record| record.expect("readable").text).collect()
    }

    fn bytes(folder: &std::path::Path) -> u64 {
        std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").metadata().expect("there").len()).sum()
    }

    #[test]
    fn keeps_head_and_tail_and_says_what_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = LogPolicy { head: 1000, tail: 4000, ..LogPolicy::default() };
        let mut spool = Spool::create(folder.path().to_owned(), policy).expect("made");
        for number in 1..=2000 {
            spool.append(record(format!("line {number}")));
            if number % 7 == 0 {
                spool.flush();
                assert!(bytes(folder.path()) < 6000, "{}", bytes(folder.path()));
            }
        }
        spool.flush();
        let texts = texts(folder.path());
        assert_eq!((texts.first().map(String::as_str), texts.last().map(String::as_str)), (Some("line 1"), Some("line 2000")));
        let gaps: Vec<usize> = (0..texts.len()).filter(|at| texts[*at].contains("left out here")).collect();
        let [at] = gaps[..] else { panic!("one gap in {texts:?}") };
        assert!(at > 5 && texts.len() - at > 25, "{at} of {}", texts.len());
        let missing = 2000 - (texts.len() - 1);
        assert!(texts[at].starts_with(&format!("… {missing} lines (")), "{}", texts[at]);
    }

    #[test]
    fn a_full_disk_costs_lines_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = LogPolicy { head: 300, tail: 8000, ..LogPolicy::default() };
        // The first tail segment is on a device that is always full; the next one works.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("tail-00000001.log")).expect("linked");
        let mut spool = Spool::create(folder.path().to_owned(), policy).expect("made");
        let mut lost = 0;
        for number in 1..=40 {
            spool.append(record(format!("line {number}")));
            lost = lost.max(spool.flush().1.lines);
        }
        assert!(lost > 3, "{lost}");
        let texts = texts(folder.path());
        assert_eq!((texts.first().map(String::as_str), texts.last().map(String::as_str)), (Some("line 1"), Some("line 40")));
        let notice = texts.iter().position(|text| text.contains("its disk was full")).expect("a notice");
        assert!(texts[notice].starts_with(&format!("{lost} lines (")), "{}", texts[notice]);
        assert_eq!(texts.len() as u64, 40 - lost + 1, "{texts:?}");
    }
}
