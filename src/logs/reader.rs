//! Reading a log, finished or still being written, with a marker wherever lines are missing.

use std::{
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    record::Record,
    segment::{self, Header, gap, size},
    spool::Extent,
};

/// Bytes read at once.
const PIECE: u64 = 256 << 10;

/// A place in a log.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    index: u64,
    file: Option<fs_err::File>,
    at: u64,
    /// Where the next segment should begin if nothing is missing.
    expected: Header,
    time: Timestamp,
}

impl Reader {
    pub(super) fn new(folder: &Path) -> Self {
        let time = Timestamp::UNIX_EPOCH;
        Self { folder: folder.to_owned(), index: 0, file: None, at: 0, expected: Header { offset: 0, seq: 1 }, time }
    }

    /// The next records within `extent`; empty when there are none yet.
    pub(super) fn read(&mut self, extent: Extent) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        loop {
            if self.file.is_none() && !self.open(extent, &mut records)? {
                return Ok(records);
            }
            let Some(file) = &self.file else { return Ok(records) };
            let end = if self.index == extent.newest { extent.length } else { file.metadata()?.len() };
            if self.at < end {
                self.take(end, &mut records)?;
            } else if self.index < extent.newest {
                self.file = None;
                self.index += 1;
            } else {
                return Ok(records);
            }
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }

    /// Opens the current segment, or the oldest one there still is. Returns whether there is any.
    fn open(&mut self, extent: Extent, records: &mut Vec<Record>) -> io::Result<bool> {
        if self.index > 0 {
            self.index = self.index.max(extent.oldest);
        }
        while self.index <= extent.newest {
            let file = match fs_err::File::open(segment::file(&self.folder, self.index)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.index = (self.index + 1).max(extent.oldest);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut start = [0; 128];
            let count = file.file().read_at(&mut start, 0)?;
            let Some(length) = start[..count].iter().position(|byte| *byte == b'\n') else {
                // Its header is not there yet, or never will be: the disk was full.
                if self.index == extent.newest {
                    return Ok(false);
                }
                self.index += 1;
                continue;
            };
            if let Ok(header) = serde_json::from_slice::<Header>(&start[..length]) {
                self.note_gap(header, records);
            }
            (self.at, self.file) = (length as u64 + 1, Some(file));
            return Ok(true);
        }
        Ok(false)
    }

    fn note_gap(&mut self, found: Header, records: &mut Vec<Record>) {
        if let (Some(bytes @ 1..), lines) = (found.offset.checked_sub(self.expected.offset), found.seq.saturating_sub(self.expected.seq)) {
            let text = format!("… {lines} lines ({}) are left out here: the log keeps its beginning and its end …", size(bytes));
            records.push(gap(self.expected.seq, self.time, text));
        }
        self.expected = found;
    }

    /// Reads whole lines up to `end`.
    fn take(&mut self, end: u64, records: &mut Vec<Record>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut wanted = PIECE;
        loop {
            let length = wanted.min(end - self.at);
            let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
            let count = file.file().read_at(&mut piece, self.at)?;
            let Some(last) = piece[..count].iter().rposition(|byte| *byte == b'\n') else {
                if (count as u64) < wanted {
                    // Half a record at the end of a log whose writer was killed.
                    self.at = end;
                    return Ok(());
                }
                wanted *= 2;
                continue;
            };
            for line in piece[..=last].split_inclusive(|byte| *byte == b'\n') {
                if let Ok(record) = serde_json::from_slice::<Record>(line) {
                    self.expected = Header { offset: self.expected.offset + line.len() as u64, seq: record.seq + 1 };
                    self.time = record.time;
                    records.push(record);
                }
            }
            self.at += last as u64 + 1;
            return Ok(());
        }
    }
}

/// All records of the log in `folder`, of a living or a dead runner, oldest first, with markers where lines are missing. Reads piece by
/// piece.
///
/// # Errors
/// When the folder cannot be read.
pub fn replay(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<Record>>> {
    let indices = segment::indices(folder)?;
    let newest = indices.last().copied().unwrap_or(0);
    let oldest = indices.iter().copied().find(|index| *index > 0).unwrap_or(0);
    let length = std::fs::metadata(segment::file(folder, newest)).map_or(0, |metadata| metadata.len());
    let extent = Extent { oldest, newest, length };
    let mut reader = Reader::new(folder);
    let mut ready = std::collections::VecDeque::new();
    Ok(std::iter::from_fn(move || {
        if ready.is_empty() {
            match reader.read(extent) {
                Ok(records) => ready.extend(records),
                Err(error) => return Some(Err(error)),
            }
        }
        ready.pop_front().map(Ok)
    }))
}
