//! Changing a layer as it streams by: files get a time, or extended headers lose what does not belong there. Nothing else of the tar stream changes.
//!
//! Formats: POSIX.1-2017 `pax` ("ustar Interchange Format", "pax Extended Header"), GNU tar manual ("Basic Tar Format", large numbers in
//! base 256). Inputs and outputs are streams; memory is one block and one extended header.
//!
//! Called by the engine and buildah backends. Blocking.

use std::io::{self, Read, Write};

use super::layout::unreadable;
use crate::{job::Failure, shutdown::Cancel};

const BLOCK: usize = 512;
/// Largest extended header that is read.
const MAX_PAX: u64 = 1 << 20;

const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// No file is younger than this afterwards, in seconds since 1970.
    Date(u64),
    /// No record of an extended header has a key that begins like this.
    Drop(&'static str),
}

impl Change {
    /// Whether a record `KEY=VALUE` goes.
    fn drops(self, record: &[u8]) -> bool {
        match self {
            Self::Date(_) => [&b"atime="[..], b"ctime=", b"mtime="].iter().any(|key| record.starts_with(key)),
            Self::Drop(key) => record.starts_with(key.as_bytes()),
        }
    }
}

/// Copies a tar stream, changed.
pub(super) fn change(from: &mut dyn Read, into: &mut dyn Write, change: Change, cancel: &Cancel) -> Result<(), Failure> {
    let mut block = [0_u8; BLOCK];
    loop {
        cancel.check()?;
        if !read_block(from, &mut block)? {
            return Ok(());
        }
        if block.iter().all(|byte| *byte == 0) {
            // The end: zeros to the end of the stream.
            into.write_all(&block)?;
            io::copy(from, into)?;
            return Ok(());
        }
        let size = number(&block[SIZE]).ok_or_else(|| unreadable("layer", &"a size in it is no number"))?;
        match block[KIND] {
            b'x' | b'g' => extended(from, into, change, &mut block, size)?,
            _ => {
                if let Change::Date(mark) = change
                    && number(&block[MTIME]).is_none_or(|time| time > mark)
                {
                    put_octal(&mut block[MTIME], mark);
                    seal(&mut block);
                }
                into.write_all(&block)?;
                copy(from, into, padded(size), cancel)?;
            }
        }
    }
}

/// An extended header loses records; if it has no others, all of it goes.
fn extended(from: &mut dyn Read, into: &mut dyn Write, change: Change, block: &mut [u8; BLOCK], size: u64) -> Result<(), Failure> {
    if size > MAX_PAX {
        return Err(unreadable("layer", &format!("an extended header in it has {size} bytes")));
    }
    let mut body = vec![0; usize::try_from(padded(size)).unwrap_or(0)];
    from.read_exact(&mut body)?;
    body.truncate(usize::try_from(size).unwrap_or(0));
    let kept = kept(&body, change).ok_or_else(|| unreadable("layer", &"an extended header in it is broken"))?;
    if kept.is_empty() {
        return Ok(());
    }
    put_octal(&mut block[SIZE], kept.len() as u64);
    if let Change::Date(_) = change {
        put_octal(&mut block[MTIME], 0);
    }
    seal(block);
    into.write_all(block)?;
    into.write_all(&kept)?;
    let padding = padded(kept.len() as u64) - kept.len() as u64;
    Ok(io::copy(&mut io::repeat(0).take(padding), into).map(drop)?)
}

/// The records `LENGTH KEY=VALUE\n` of a header that stay.
fn kept(mut body: &[u8], change: Change) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(body.len());
    while !body.is_empty() {
        let space = body.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&body[..space]).ok()?.parse().ok()?;
        let record = body.get(..length)?;
        let rest = record.get(space + 1..)?;
        if !change.drops(rest) {
            kept.extend_from_slice(record);
        }
        body = &body[length..];
    }
    Some(kept)
}

/// Reads one block; false at the end of the stream.
fn read_block(from: &mut dyn Read, block: &mut [u8; BLOCK]) -> io::Result<bool> {
    match from.read(&mut block[..1]) {
        Ok(0) => Ok(false),
        Ok(_) => from.read_exact(&mut block[1..]).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => read_block(from, block),
        Err(error) => Err(error),
    }
}

fn copy(from: &mut dyn Read, into: &mut dyn Write, mut left: u64, cancel: &Cancel) -> Result<(), Failure> {
    const PIECE: u64 = 8 << 20;
    while left > 0 {
        cancel.check()?;
        let piece = left.min(PIECE);
        if io::copy(&mut Read::take(&mut *from, piece), into)? < piece {
            return Err(unreadable("layer", &"it ends in the middle of a file"));
        }
        left -= piece;
    }
    Ok(())
}

const fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64) * BLOCK as u64
}

/// A number of a header: octal digits, or base 256 when the first bit is set. Negative ones (times before 1970) count as 0.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first == 0xff {
        return Some(0);
    }
    if first & 0x80 != 0 {
        return rest.iter().try_fold(u64::from(first & 0x7f), |value, byte| Some(value.checked_mul(256)? + u64::from(*byte)));
    }
    let digits = field.iter().copied().skip_while(|byte| *byte == b' ').take_while(|byte| !matches!(byte, 0 | b' '));
    digits
        .into_iter()
        .try_fold(0_u64, |value, byte| (b'0'..=b'7').contains(&byte).then(|| value.checked_mul(8)?.checked_add(u64::from(byte - b'0')))?)
}

fn put_octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    field[..width].copy_from_slice(format!("{value:0width$o}").as_bytes());
    field[width] = 0;
}

/// Writes the checksum: the sum of all bytes, its own field counted as spaces. Six digits, a zero byte and a space, or seven digits and
/// a zero byte: as whoever wrote the header has it.
fn seal(block: &mut [u8; BLOCK]) {
    let digits = if block[CHECKSUM.end - 2].is_ascii_digit() { 7 } else { 6 };
    block[CHECKSUM].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    put_octal(&mut block[CHECKSUM.start..=CHECKSUM.start + digits], sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(time: u64) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(time);
        header.set_size(700);
        header.set_cksum();
        let records = [("mtime", format!("{time}.5").into_bytes()), ("SCHILY.xattr.user.a", b"b".to_vec())];
        tar.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_slice()))).expect("appended");
        tar.append_data(&mut header, "a/file", &[7_u8; 700][..]).expect("appended");
        tar.append_pax_extensions([("mtime", b"9.9".as_slice())]).expect("appended");
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "link", "a/file").expect("appended");
        tar.into_inner().expect("finished")
    }

    fn dated(archive: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        change(&mut &*archive, &mut out, Change::Date(100), &Cancel::new()).expect("dated");
        out
    }

    #[test]
    fn records_are_dropped_and_nothing_else_changes() {
        let dropped = |archive: &[u8], key| {
            let mut out = Vec::new();
            change(&mut &*archive, &mut out, Change::Drop(key), &Cancel::new()).expect("changed");
            out
        };
        let whole = archive(1_700_000_000);
        assert_eq!(dropped(&whole, "SCHILY.xattr.user.b"), whole);
        let less = dropped(&whole, "SCHILY.xattr.user.");
        assert_eq!(less.len(), whole.len(), "the time is still in the header");
        assert_eq!(dropped(&dated(&whole), "SCHILY.xattr.user.").len(), whole.len() - 4 * BLOCK, "both headers are gone");
    }

    #[test]
    fn files_are_dated_and_nothing_else_changes() {
        let (one, two) = (dated(&archive(1_700_000_000)), dated(&archive(1_800_000_000)));
        assert_eq!(one, two, "the same at another time");
        assert_eq!(dated(&one), one, "twice is once");
        let mut read = tar::Archive::new(&*one);
        let mut seen = Vec::new();
        for entry in read.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("read");
            let pax: Vec<String> = entry
                .pax_extensions()
                .expect("read")
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|pax| pax.key().ok().map(str::to_owned))
                .collect();
            seen.push((entry.path().expect("a path").display().to_string(), entry.header().mtime().expect("a time"), content.len(), pax));
        }
        assert_eq!(seen, [("a/file".to_owned(), 100, 700, vec!["SCHILY.xattr.user.a".to_owned()]), ("link".to_owned(), 100, 0, vec![])]);
    }

    #[test]
    fn older_files_keep_their_time_and_broken_archives_are_refused() {
        let mut old = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mtime(42);
        header.set_size(0);
        old.append_data(&mut header, "old", &[][..]).expect("appended");
        let old = old.into_inner().expect("finished");
        assert_eq!(dated(&old), old);
        let whole = archive(1);
        for cut in [10, 600, 1100, 1600] {
            assert!(change(&mut &whole[..cut], &mut Vec::new(), Change::Date(100), &Cancel::new()).is_err(), "{cut}");
        }
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(b"0000000009\0 "), None);
    }
}
