//! Log records packed into one blob per batch: JSON lines, deflated when that pays.
//!
//! One row per batch and not per line: ten thousand lines are ten rows. Inputs and outputs: records, in order. Called by the stores.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::{Error, NewRecord};

/// Shorter than this, compression costs more than it saves.
const WORTH_IT: usize = 512;

/// Longest unpacked batch, in bytes; far above what a request may carry.
const LONGEST: u64 = 256 << 20;

/// A batch as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    /// The blob.
    pub blob: Vec<u8>,
    /// Whether it is deflated.
    pub deflated: bool,
    /// How many records.
    pub count: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Lowest and highest `seq`, if any record has one.
    pub seqs: Option<(u64, u64)>,
}

/// Packs records.
pub(super) fn pack(records: &[NewRecord]) -> Result<Packed, Error> {
    let bytes = records.iter().map(|record| record.text.len() as u64).sum();
    let mut lines = Vec::with_capacity(records.iter().map(|record| record.text.len() + 96).sum());
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(|_| Error::Damaged("log"))?;
        lines.push(b'\n');
    }
    let deflated = lines.len() >= WORTH_IT;
    let blob = if deflated { deflate(&lines)? } else { lines };
    let seqs = || records.iter().filter_map(|record| record.seq);
    Ok(Packed { blob, deflated, count: records.len() as u64, bytes, seqs: seqs().min().zip(seqs().max()) })
}

fn deflate(lines: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
    encoder.write_all(lines).and_then(|()| encoder.finish()).map_err(|_| Error::Damaged("log"))
}

/// The records of a blob.
pub(super) fn unpack(blob: &[u8], deflated: bool) -> Result<Vec<NewRecord>, Error> {
    let mut inflated = Vec::new();
    let lines = if deflated {
        DeflateDecoder::new(blob).take(LONGEST).read_to_end(&mut inflated).map_err(|_| Error::Damaged("log"))?;
        &inflated
    } else {
        blob
    };
    serde_json::Deserializer::from_slice(lines).into_iter().collect::<Result<_, _>>().map_err(|_| Error::Damaged("log"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Stream;

    #[test]
    fn records_come_back_as_they_went_in() {
        let record = |seq, text: &str| NewRecord {
            seq,
            time: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
            stream: Stream::Stderr,
            step: "execute".into(),
            text: text.into(),
        };
        let few = vec![record(Some(3), "a\nb\u{2028}\"é"), record(None, "")];
        let many: Vec<_> = (0..1000).map(|n| record(Some(n), "the same again and again")).collect();
        for (records, deflated, seqs) in [(few, false, Some((3, 3))), (many, true, Some((0, 999))), (vec![], false, None)] {
            let packed = pack(&records).unwrap();
            assert_eq!((packed.deflated, packed.count, packed.seqs), (deflated, records.len() as u64, seqs));
            assert_eq!(unpack(&packed.blob, packed.deflated).unwrap(), records);
        }
        assert!(unpack(b"not deflate", true).is_err());
    }
}
