//! One entry as a line: `CRC JSON\n`, the CRC-32 (ISO-HDLC, as in gzip) of the JSON in eight hexadecimal digits.
//!
//! The checksum tells a torn or overwritten line from a whole one; JSON never holds a raw line end.

use super::Entry;

/// Digits of the checksum and the space behind them.
const PREFIX: usize = 9;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not what was written: torn, or overwritten.
    Checksum,
    /// It is what was written, by a runner that knows other entries.
    Unknown,
}

/// Appends the line of `entry` to `out`.
pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[b' '; PREFIX]);
    if let Err(error) = serde_json::to_writer(&mut *out, entry) {
        // Only a map with keys that are no strings could do this, and entries hold none.
        tracing::error!(%error, "an entry of the journal cannot be written down");
        out.truncate(start);
        return;
    }
    let sum = format!("{:08x}", checksum(&out[start + PREFIX..]));
    out[start..start + PREFIX - 1].copy_from_slice(sum.as_bytes());
    out.push(b'\n');
}

/// The entry of a line, given without its end.
pub(super) fn decode(line: &[u8]) -> Result<Entry, Flaw> {
    let (sum, json) = line.split_at_checked(PREFIX).ok_or(Flaw::Checksum)?;
    let sum = std::str::from_utf8(sum).ok().and_then(|sum| sum.strip_suffix(' ')).ok_or(Flaw::Checksum)?;
    if sum != format!("{:08x}", checksum(json)) {
        return Err(Flaw::Checksum);
    }
    serde_json::from_slice(json).map_err(|_| Flaw::Unknown)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_every_changed_byte_is_noticed() {
        let entry = Entry::Unclaimed { key: "a key\nwith a line end".to_owned() };
        let mut line = Vec::new();
        encode(&entry, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert_eq!(decode(&line), Ok(entry));
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), Err(Flaw::Checksum), "byte {at}");
            assert_eq!(decode(&line[..at]), Err(Flaw::Checksum), "{at} bytes");
        }
    }

    #[test]
    fn an_entry_of_a_newer_runner_is_told_from_a_torn_one() {
        let json = br#"{"entry":"adopted","execution":"run1"}"#;
        let line = [format!("{:08x} ", checksum(json)).as_bytes(), json].concat();
        assert_eq!(decode(&line), Err(Flaw::Unknown));
    }
}
