//! Reading a log, finished or still being written, by this runner or one that is dead, with a marker wherever lines are missing.
//!
//! Input: the folder alone, so that whoever reads needs nothing of whoever writes. The writer makes lines whole before it counts them, never
//! takes a whole line back, ends a segment before it begins the next one, and removes the oldest of the tail first.

use std::{
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{
    record::Record,
    segment::{self, Header, gap, size},
};

/// Bytes read at once, unless a line is longer.
const PIECE: usize = 64 << 10;

/// A place in a log. Holds no buffer between two calls: many may wait for their logs to grow.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    segment: Option<Segment>,
    /// Number of the last record that was handed out, or that nobody wants.
    last: u64,
    /// Bytes of all records up to that one, if they are known.
    offset: Option<u64>,
    /// A marker that still needs the time of the record behind it.
    marker: Option<Record>,
}

/// An open segment.
#[derive(Debug)]
struct Segment {
    index: u64,
    file: fs_err::File,
    header: Header,
    /// Bytes of it that were read.
    at: u64,
}

/// What is read at once, and how much of it there may be.
struct Batch {
    records: Vec<Record>,
    bytes: usize,
    max_bytes: usize,
    max_records: usize,
}

impl Batch {
    /// Whether a record of that size is one too many. The first never is.
    fn is_full(&self, bytes: usize) -> bool {
        !self.records.is_empty() && (self.bytes + bytes > self.max_bytes || self.records.len() >= self.max_records)
    }

    fn push(&mut self, record: Record, bytes: usize) {
        self.bytes += bytes;
        self.records.push(record);
    }
}

impl Follower {
    /// Reads the log in `folder`, which need not be there yet, from behind the record numbered `after_seq`: 0 for all of it.
    ///
    /// # Errors
    /// When there is a log and it cannot be read.
    pub fn open(folder: &Path, after_seq: u64) -> io::Result<Self> {
        let offset = (after_seq == 0).then_some(0);
        let mut follower = Self { folder: folder.to_owned(), segment: None, last: after_seq, offset, marker: None };
        // The last segment that begins no later than what is wanted.
        for index in segment::indices(folder)?.into_iter().rev() {
            let Some(segment) = Segment::open(folder, index)? else { continue };
            if segment.header.seq <= after_seq.saturating_add(1) {
                follower.enter(segment);
                break;
            }
        }
        Ok(follower)
    }

    /// The next records, in order: as many as there are, up to `max_bytes` (as stored) and `max_records`, but for one that is longer. Empty when
    /// nothing is new. What is missing (rolled away before it was read) is told by one [`super::Stream::Gap`] record, which has the number of the
    /// last missing line.
    ///
    /// # Errors
    /// When the disk cannot be read; the next call goes on where this one began.
    pub fn next_batch(&mut self, max_bytes: usize, max_records: usize) -> io::Result<Vec<Record>> {
        let mut batch = Batch { records: Vec::new(), bytes: 0, max_bytes, max_records };
        loop {
            if self.fill(&mut batch)? {
                break;
            }
            let Some(later) = self.later()? else { break };
            // The segment was complete before that one was begun: what has come since the last look is the rest of it.
            if self.fill(&mut batch)? {
                break;
            }
            self.enter(later);
        }
        Ok(batch.records)
    }

    /// Number of the last record that was handed out.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.last
    }

    /// The oldest segment behind the current one that has begun.
    fn later(&self) -> io::Result<Option<Segment>> {
        let current = self.segment.as_ref().map(|segment| segment.index);
        for index in segment::indices(&self.folder)?.into_iter().filter(|index| Some(*index) > current) {
            if let Some(segment) = Segment::open(&self.folder, index)? {
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, segment: Segment) {
        let Header { offset, seq } = segment.header;
        let missing = seq.saturating_sub(self.last.saturating_add(1));
        // Before the first byte nothing is missing, wherever one begins to read.
        let expected = self.offset.or_else(|| (offset == 0).then_some(0));
        let bytes = expected.map(|expected| offset.saturating_sub(expected));
        // Numbers without bytes were lost to a full disk: a record tells of them.
        if missing > 0 && bytes != Some(0) {
            let bytes = bytes.map_or_else(String::new, |bytes| format!(" ({})", size(bytes)));
            let text = format!("… {missing} lines{bytes} are left out here: the log keeps its beginning and its end …");
            self.marker = Some(gap(seq - 1, jiff::Timestamp::UNIX_EPOCH, text));
        }
        self.offset = Some(offset);
        self.segment = Some(segment);
    }

    /// Takes what the current segment has. Returns whether the batch is full.
    fn fill(&mut self, batch: &mut Batch) -> io::Result<bool> {
        let Self { segment: Some(segment), last, offset, marker, .. } = self else { return Ok(false) };
        let mut piece = vec![0; PIECE];
        loop {
            let count = read_at(&segment.file, &mut piece, segment.at)?;
            let Some(end) = piece[..count].iter().rposition(|byte| *byte == b'\n') else {
                if count < piece.len() {
                    // Nothing, or a record that is being written, or was when its writer died.
                    return Ok(false);
                }
                piece.resize(2 * piece.len(), 0);
                continue;
            };
            for line in piece[..=end].split_inclusive(|byte| *byte == b'\n') {
                // What is known already is not read in full: that may be most of a log.
                // What a marker counts as missing does not come after it.
                let known = marker.as_ref().map_or(*last, |marker| marker.seq);
                if segment::number(line) > known
                    && let Ok(record) = serde_json::from_slice::<Record>(line)
                {
                    if let Some(gap) = marker.take_if(|marker| !batch.is_full(marker.text.len())) {
                        *last = gap.seq;
                        let length = gap.text.len();
                        batch.push(Record { time: record.time, ..gap }, length);
                    }
                    // A marker that does not fit any more comes first in the next batch.
                    if marker.is_some() || batch.is_full(line.len()) {
                        return Ok(true);
                    }
                    *last = record.seq;
                    batch.push(record, line.len());
                }
                segment.at += line.len() as u64;
                *offset = offset.map(|offset| offset.saturating_add(line.len() as u64));
            }
        }
    }
}

impl Segment {
    /// `None` when it is gone, or its first line is not there (yet, or ever: the disk was full).
    fn open(folder: &Path, index: u64) -> io::Result<Option<Self>> {
        let file = match fs_err::File::open(segment::file(folder, index)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut start = [0; segment::LONGEST_HEADER];
        let count = read_at(&file, &mut start, 0)?;
        let header = Header::of(&start[..count]);
        Ok(header.map(|(header, length)| Self { index, file, header, at: length }))
    }
}

/// Reads until `into` is full or the file ends.
fn read_at(file: &fs_err::File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match file.file().read_at(&mut into[count..], at + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// All records of the log in `folder`, of a living or a dead runner, oldest first, with markers where lines are missing. Reads piece by
/// piece.
///
/// # Errors
/// When the folder cannot be read.
pub fn replay(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<Record>>> {
    let mut follower = Follower::open(folder, 0)?;
    let mut ready = std::collections::VecDeque::new();
    Ok(std::iter::from_fn(move || {
        if ready.is_empty() {
            match follower.next_batch(4 * PIECE, usize::MAX) {
                Ok(records) => ready.extend(records),
                Err(error) => return Some(Err(error)),
            }
        }
        ready.pop_front().map(Ok)
    }))
}

#[cfg(test)]
mod tests;
