//! What a writer that died left of a log, for the one that goes on with it.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _},
    path::Path,
};

use super::segment::{self, Header};

/// Where to go on.
#[derive(Debug)]
pub(super) struct Found {
    /// Segment to write.
    pub(super) index: u64,
    /// The segment, if it has begun.
    pub(super) file: Option<fs_err::File>,
    /// Bytes of it that are whole records, header included.
    pub(super) length: u64,
    /// Bytes of records in it.
    pub(super) filled: u64,
    /// Bytes of all records so far.
    pub(super) offset: u64,
    /// Number of the next record.
    pub(super) next_seq: u64,
    /// Tail segments before it, and their sizes.
    pub(super) tail: VecDeque<(u64, u64)>,
}

impl Found {
    /// Looks at the log in `folder`. The last segment loses what was half written.
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
        let mut indices = segment::indices(folder)?;
        let mut found = Self { index: 0, file: None, length: 0, filled: 0, offset: 0, next_seq: 1, tail: VecDeque::new() };
        while let Some(index) = indices.pop() {
            let path = segment::file(folder, index);
            let file = fs_err::OpenOptions::new().read(true).write(true).open(&path)?;
            let Some((Header { offset, seq }, start)) = header(&file)? else {
                // Begun and never written to: it begins anew, or is in the way of nobody.
                drop(file);
                let _ = fs_err::remove_file(path);
                continue;
            };
            let (length, last) = whole(&file, start)?;
            file.set_len(length)?;
            let filled = length - start;
            let offset = offset.saturating_add(filled);
            found = Self { index, file: Some(file), length, filled, offset, next_seq: seq.max(last.saturating_add(1)), ..found };
            break;
        }
        for index in indices.into_iter().filter(|index| *index > 0) {
            found.tail.push_back((index, std::fs::metadata(segment::file(folder, index)).map_or(0, |metadata| metadata.len())));
        }
        Ok(found)
    }
}

fn header(file: &fs_err::File) -> io::Result<Option<(Header, u64)>> {
    use std::os::unix::fs::FileExt as _;
    let mut start = [0; segment::LONGEST_HEADER];
    let count = file.file().read_at(&mut start, 0)?;
    Ok(Header::of(&start[..count]))
}

/// Bytes up to the end of the last record, and the highest number of any.
fn whole(file: &fs_err::File, start: u64) -> io::Result<(u64, u64)> {
    let mut reader = io::BufReader::with_capacity(64 << 10, file);
    io::Seek::seek(&mut reader, io::SeekFrom::Start(start))?;
    let (mut at, mut length, mut last) = (start, start, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok((length, last));
        }
        at += count as u64;
        if line.ends_with(b"\n") && segment::number(&line) > 0 {
            (length, last) = (at, last.max(segment::number(&line)));
        }
    }
}
