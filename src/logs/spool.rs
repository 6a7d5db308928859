//! The log on disk while it is written: a head that stays and a tail that rolls.
//!
//! Input: records in order. Output: segments (see [`super::segment`]), never more than head + tail bytes of them. A disk that takes nothing
//! more costs log lines, which are counted and told about, and never the job. A log whose writer died is gone on with.

use std::{collections::VecDeque, io, io::Write as _, os::unix::fs::FileExt as _, path::PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::{
    found::Found,
    record::{LogPolicy, Record},
    segment::{self, Header, Loss, gap, size},
};

/// The tail is this many segments: forgetting one forgets that part of it.
const TAIL_SEGMENTS: u64 = 8;

/// Bytes of records that are gathered before they are written.
const GATHER: usize = 64 << 10;

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
    /// Begins a log in `folder`, which is made if need be (0700), or goes on with the one that is there. Its next record gets a number higher
    /// than `after_seq`, whatever is there.
    pub(super) fn open(folder: PathBuf, policy: LogPolicy, after_seq: u64) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
            io::Error::new(error.kind(), format!("the folder of the log, '{}', cannot be made: {error}", folder.display()))
        })?;
        let found = Found::look(&folder)?;
        let mut spool = Self {
            folder,
            policy,
            index: found.index,
            file: found.file,
            length: found.length,
            filled: found.filled,
            pending: Vec::new(),
            pending_lines: 0,
            offset: found.offset,
            next_seq: found.next_seq.max(after_seq.saturating_add(1)),
            tail: found.tail,
            lost: Loss::default(),
            notice: None,
        };
        if spool.file.is_none() {
            spool.begin_segment()?;
        }
        Ok(spool)
    }

    /// Number of the last record.
    pub(super) const fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Numbers `record` and takes it; [`Spool::flush`] brings it to disk.
    pub(super) fn append(&mut self, record: Record) {
        self.tell_loss(record.time);
        self.take(record);
        // One read of a pipe can make many times its bytes of records.
        if self.pending.len() >= GATHER {
            self.write();
        }
    }

    /// If the disk refused lines, the next record says so.
    pub(super) fn tell_loss(&mut self, time: jiff::Timestamp) {
        if self.lost.is_some() && self.notice.is_none() {
            let text = format!("{} lines ({}) of the log are lost here: its disk was full", self.lost.lines, size(self.lost.bytes));
            self.notice = self.take(gap(0, time, text));
        }
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

    /// Bytes that wait to be written.
    pub(super) const fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Brings everything to the file, for readers to see. Returns what the disk has refused and no record tells of yet.
    pub(super) fn flush(&mut self) -> Loss {
        self.write();
        self.lost
    }

    fn write(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let notice = self.notice.take();
        let before = self.length;
        let error = self.try_write().err();
        // Whole lines that are there may have been read: they stay, and the next write begins behind them.
        let written = usize::try_from(self.length - before).unwrap_or(0).min(self.pending.len());
        let kept = self.pending[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.length = before + kept as u64;
        if kept > 0 && notice.is_some() {
            self.lost = Loss::default();
        }
        if let Some(error) = error {
            tracing::debug!(%error, "the log cannot be written");
            if let Some(file) = &self.file {
                let _ = file.set_len(self.length);
            }
            let lines = self.pending[kept..].split_inclusive(|byte| *byte == b'\n').count() as u64;
            // The notice, which comes first, is not a line of the log.
            let notice = notice.filter(|_| kept == 0);
            self.lost.add(self.pending.len() - kept - notice.unwrap_or(0), lines - u64::from(notice.is_some()));
            self.offset -= (self.pending.len() - kept) as u64;
        }
        self.pending.clear();
        self.pending_lines = 0;
    }

    /// Adds what it writes to `length`, and may stop anywhere.
    fn try_write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.begin_segment()?;
        }
        let Some(file) = &self.file else { return Ok(()) };
        let start = self.length;
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            match file.file().write_at(rest, self.length) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.length += count as u64;
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        debug_assert_eq!(self.length - start, self.pending.len() as u64);
        Ok(())
    }

    /// Opens the current segment and writes its header.
    fn begin_segment(&mut self) -> io::Result<()> {
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
        if let Err(error) = self.begin_segment() {
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
        let mut spool = Spool::open(folder.path().to_owned(), policy, 0).expect("made");
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
        let mut spool = Spool::open(folder.path().to_owned(), policy, 0).expect("made");
        // The first tail segment is on a device that is always full; the next one works.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("tail-00000001.log")).expect("linked");
        let mut lost = 0;
        for number in 1..=40 {
            spool.append(record(format!("line {number}")));
            lost = lost.max(spool.flush().lines);
        }
        assert!(lost > 3, "{lost}");
        let texts = texts(folder.path());
        assert_eq!((texts.first().map(String::as_str), texts.last().map(String::as_str)), (Some("line 1"), Some("line 40")));
        let notice = texts.iter().position(|text| text.contains("its disk was full")).expect("a notice");
        assert!(texts[notice].starts_with(&format!("{lost} lines (")), "{}", texts[notice]);
        assert_eq!(texts.len() as u64, 40 - lost + 1, "{texts:?}");
    }
}
