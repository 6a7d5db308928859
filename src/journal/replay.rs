//! From the bytes of a journal to what it says, whatever happened to them.

use super::{
    Recovered,
    ledger::Ledger,
    line::{self, Flaw},
};

/// What the bytes of a journal say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replay {
    /// Everything that is not closed, oldest first.
    pub open: Vec<Recovered>,
    /// Lines that were skipped although later ones are whole, counted from 1: the file was damaged, or is of a newer runner.
    pub damaged: Vec<usize>,
    /// Bytes up to the end of the last line that is not torn; what comes behind was never called durable.
    pub whole: usize,
}

/// Reads a journal. Never fails: a torn end is cut off, a damaged line is skipped and reported.
#[must_use]
pub fn replay(bytes: &[u8]) -> Replay {
    let (ledger, damaged, whole) = fold(bytes);
    Replay { open: ledger.recovered(), damaged, whole }
}

pub(super) fn fold(bytes: &[u8]) -> (Ledger, Vec<usize>, usize) {
    let (mut ledger, mut damaged, mut whole) = (Ledger::default(), Vec::new(), 0);
    // Bad lines at the end are what a kill or power cut left of the last batch. Which ones are at the end shows only later.
    let mut torn = Vec::new();
    let mut at = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        at += line.len();
        let decoded = line.strip_suffix(b"\n").ok_or(Flaw::Checksum).and_then(line::decode);
        match decoded {
            Err(Flaw::Checksum) => {
                torn.push(index + 1);
                continue;
            }
            Err(Flaw::Unknown) => torn.push(index + 1),
            Ok(entry) => ledger.apply(entry),
        }
        damaged.append(&mut torn);
        whole = at;
    }
    (ledger, damaged, whole)
}
