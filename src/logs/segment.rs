//! How a log lies on disk: `head.log`, then `tail-00000001.log` and so on; the oldest tail segments go when there are too many.
//!
//! Each file begins with a [`Header`] line and holds one JSON record per line. The header counts what came before, so that a reader knows how
//! much is missing when segments were removed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{Record, Stream};

/// More bytes than the first line of a segment has.
pub(super) const LONGEST_HEADER: usize = 128;

/// First line of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Bytes of all records before this segment.
    pub(super) offset: u64,
    /// Sequence number of its first record.
    pub(super) seq: u64,
}

impl Header {
    /// Header, and its length as stored, of a segment that begins with `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Option<(Self, u64)> {
        let length = bytes.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n')?;
        Some((serde_json::from_slice(&bytes[..length]).ok()?, length as u64 + 1))
    }
}

/// What is missing somewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) bytes: u64,
    pub(super) lines: u64,
}

impl Loss {
    pub(super) fn is_some(self) -> bool {
        self != Self::default()
    }

    pub(super) fn add(&mut self, bytes: usize, lines: u64) {
        self.bytes += bytes as u64;
        self.lines += lines;
    }
}

/// Number of the record in a line as it is stored: [`Record::seq`] comes first. 0 for anything else.
pub(super) fn number(line: &[u8]) -> u64 {
    let digits = line.strip_prefix(b"{\"seq\":").unwrap_or_default();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The file of a segment; 0 is the head.
pub(super) fn file(folder: &Path, index: u64) -> PathBuf {
    if index == 0 { folder.join("head.log") } else { folder.join(format!("tail-{index:08}.log")) }
}

/// The indices of the segments in `folder`, ascending; none if there is no such folder.
pub(super) fn indices(folder: &Path) -> std::io::Result<Vec<u64>> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<u64> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            if name == "head.log" { Some(0) } else { name.strip_prefix("tail-")?.strip_suffix(".log")?.parse().ok() }
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// A record that stands for missing ones.
pub(super) fn gap(seq: u64, time: jiff::Timestamp, text: String) -> Record {
    Record { seq, time, stream: Stream::Gap, step: String::new(), text }
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
