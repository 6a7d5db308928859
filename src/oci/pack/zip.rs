//! Deterministic zip archives (PKWARE APPNOTE 6.3): the same entries give the same bytes on every machine.
//!
//! Input: entries in the order the caller wants them. Output: the archive, written once, front to back, with its digest and size computed on
//! the way. Invariants: files only; names and limits are those of [`super`], the effort is [`Effort::Fast`]; every time is 1980-01-01T00:00:00, the first there is;
//! modes are stored as Unix has them; no extra fields, no comments. Sizes and checksums follow the content (general purpose bit 3), as in
//! what Go's `archive/zip` writes, and stand in the directory at the end. No archive needs Zip64.
//!
//! Blocking, like its parent. Called by the executor that packs modules: `archive/zip` is the only form OpenTofu installs.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    path::Path,
};

use flate2::{Compress, Crc, FlushCompress, Status};

use super::{CHUNK, Effort, Meta, PackError, Tap, header};
use crate::{digest::Digest, shutdown::Cancel};

/// 1980-01-01 in the format of MS-DOS: year since 1980, month and day in 7, 4 and 5 bits.
const DATE: u16 = 1 << 5 | 1;
/// Version 2.0: deflate and folders.
const VERSION: u16 = 20;
/// "Made by" Unix, so that readers take the modes for what they are.
const UNIX: u16 = 3 << 8 | VERSION;
/// A regular file, beside the permission bits.
const REGULAR: u32 = 0o100_000;
/// Sizes follow the content.
const DESCRIPTOR: u16 = 1 << 3;
/// The name is UTF-8.
const UTF8: u16 = 1 << 11;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// A finished archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zipped {
    /// Digest of the archive.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

/// What the directory at the end says of an entry.
struct Entry {
    name: Box<str>,
    mode: u32,
    crc: u32,
    compressed: u32,
    size: u32,
    offset: u32,
}

/// Writes one archive.
pub struct Zipper<W: Write> {
    out: Tap<W>,
    entries: Vec<Entry>,
    names: BTreeSet<Box<str>>,
    deflate: Compress,
    /// What is read and what is written, one piece each: most files of a module are smaller than it would be to clear new ones.
    pieces: Pieces,
    cancel: Cancel,
}

#[derive(Default)]
struct Pieces {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Entry {
    const fn method(&self) -> u16 {
        if self.size == 0 { STORED } else { DEFLATED }
    }

    fn flags(&self) -> u16 {
        let descriptor = if self.size == 0 { 0 } else { DESCRIPTOR };
        let utf8 = if self.name.is_ascii() { 0 } else { UTF8 };
        descriptor | utf8
    }

    /// What the local header and the directory have in common, from the version on.
    fn common(&self, sizes: [u32; 3]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(26);
        for field in [VERSION, self.flags(), self.method(), 0, DATE] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        for field in sizes {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        // At most 4096 bytes, by the check of names.
        bytes.extend_from_slice(&u16::try_from(self.name.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        bytes
    }
}

impl<W: Write> Zipper<W> {
    /// An archive written to `out`; stops at the next entry or chunk once `cancel` fires.
    pub fn new(out: W, cancel: Cancel) -> Self {
        Self {
            out: Tap::new(out),
            entries: Vec::new(),
            names: BTreeSet::new(),
            deflate: Compress::new(Effort::Fast.level(), false),
            pieces: Pieces::default(),
            cancel,
        }
    }

    /// Appends a regular file of exactly `size` bytes. Of `meta` the mode counts.
    ///
    /// # Errors
    /// When the name is unfit or taken, `content` has another number of bytes, or the archive would need Zip64.
    pub fn file(&mut self, name: &str, meta: Meta, size: u64, content: impl Read) -> Result<(), PackError> {
        self.cancel.check()?;
        header::check_name(name)?;
        let full = || PackError::ZipLimit(name.to_owned());
        let small = |number: u64| u32::try_from(number).ok().filter(|&number| number < u32::MAX).ok_or_else(full);
        if self.entries.len() >= usize::from(u16::MAX) - 1 {
            return Err(full());
        }
        if !self.names.insert(name.into()) {
            return Err(PackError::Duplicate(name.to_owned()));
        }
        let (size, offset) = (small(size)?, small(self.out.count)?);
        let mut entry = Entry { name: name.into(), mode: meta.mode & 0o777, crc: 0, compressed: 0, size, offset };
        self.out.write_all(b"PK\x03\x04")?;
        self.out.write_all(&entry.common([0; 3]))?;
        self.out.write_all(name.as_bytes())?;
        if size > 0 {
            let before = self.out.count;
            entry.crc = self.content(name, u64::from(size), content)?;
            entry.compressed = small(self.out.count - before)?;
            self.out.write_all(b"PK\x07\x08")?;
            for field in [entry.crc, entry.compressed, entry.size] {
                self.out.write_all(&field.to_le_bytes())?;
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the content, compressed, and gives its checksum.
    fn content(&mut self, name: &str, size: u64, mut content: impl Read) -> Result<u32, PackError> {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.input.resize(CHUNK, 0);
        pieces.output.resize(CHUNK, 0);
        let sum = self.through(name, size, &mut content, &mut pieces);
        self.pieces = pieces;
        sum
    }

    fn through(&mut self, name: &str, size: u64, content: &mut impl Read, pieces: &mut Pieces) -> Result<u32, PackError> {
        let Pieces { input, output } = pieces;
        self.deflate.reset();
        let (mut crc, mut actual) = (Crc::new(), 0_u64);
        loop {
            self.cancel.check()?;
            let read = content.read(input)?;
            actual += read as u64;
            if actual > size || (read == 0 && actual < size) {
                return Err(PackError::Changed { name: name.to_owned(), expected: size, actual });
            }
            crc.update(&input[..read]);
            let is_last = actual == size;
            self.compress(&input[..read], output, if is_last { FlushCompress::Finish } else { FlushCompress::None })?;
            if is_last {
                // One byte more would be one too many.
                return if content.read(&mut input[..1])? == 0 {
                    Ok(crc.sum())
                } else {
                    Err(PackError::Changed { name: name.to_owned(), expected: size, actual: actual + 1 })
                };
            }
        }
    }

    fn compress(&mut self, mut input: &[u8], output: &mut [u8], flush: FlushCompress) -> Result<(), PackError> {
        loop {
            let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress(input, output, flush).map_err(io::Error::other)?;
            let fits = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
            let (read, written) = (fits(self.deflate.total_in() - read), fits(self.deflate.total_out() - written));
            self.out.write_all(&output[..written])?;
            input = &input[read..];
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => input.is_empty() && written < output.len(),
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// Writes the directory and gives back where the archive was written to.
    ///
    /// # Errors
    /// When the last bytes cannot be written, or are beyond what a directory without Zip64 can name.
    pub fn finish(mut self) -> Result<(Zipped, W), PackError> {
        let limit = |count: u64| u32::try_from(count).map_err(|_| PackError::ZipLimit("its directory".to_owned()));
        let begin = self.out.count;
        for entry in std::mem::take(&mut self.entries) {
            self.out.write_all(b"PK\x01\x02")?;
            self.out.write_all(&UNIX.to_le_bytes())?;
            self.out.write_all(&entry.common([entry.crc, entry.compressed, entry.size]))?;
            // Comment length, disk and internal attributes.
            self.out.write_all(&[0; 6])?;
            self.out.write_all(&((REGULAR | entry.mode) << 16).to_le_bytes())?;
            self.out.write_all(&entry.offset.to_le_bytes())?;
            self.out.write_all(entry.name.as_bytes())?;
        }
        let count = u16::try_from(self.names.len()).unwrap_or(u16::MAX).to_le_bytes();
        self.out.write_all(b"PK\x05\x06\0\0\0\0")?;
        self.out.write_all(&count)?;
        self.out.write_all(&count)?;
        let length = limit(self.out.count - 12 - begin)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&limit(begin)?.to_le_bytes())?;
        self.out.write_all(&[0; 2])?;
        self.out.flush()?;
        Ok((Zipped { digest: self.out.hasher.finish(), size: self.out.count }, self.out.inner))
    }
}

/// Writes an archive to a new file at `path`: `entries` appends them.
///
/// # Errors
/// Those of `entries`; when the file exists already or cannot be written. A half-written file is removed.
pub fn to_file<E: From<PackError>>(
    path: &Path,
    cancel: &Cancel,
    entries: impl FnOnce(&mut Zipper<io::BufWriter<fs_err::File>>) -> Result<(), E>,
) -> Result<Zipped, E> {
    let file = fs_err::OpenOptions::new().write(true).create_new(true).open(path).map_err(PackError::Io)?;
    let write = || {
        let mut zipper = Zipper::new(io::BufWriter::with_capacity(CHUNK, file), cancel.clone());
        entries(&mut zipper)?;
        Ok(zipper.finish()?.0)
    };
    write().inspect_err(|_| {
        // The error that led here says more than one about a file nobody will read.
        let _ = fs_err::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(entries: &[(&str, Meta, &[u8])]) -> Result<Vec<u8>, PackError> {
        let mut zipper = Zipper::new(Vec::new(), Cancel::new());
        for (name, meta, content) in entries {
            zipper.file(name, *meta, content.len() as u64, *content)?;
        }
        let (done, bytes) = zipper.finish()?;
        assert_eq!((done.size, &done.digest), (bytes.len() as u64, &Digest::of(&bytes)));
        Ok(bytes)
    }

    #[test]
    fn the_bytes_never_change() {
        let bytes =
            zip(&[("a.tf", Meta::FILE, b"aaaaaaaaaaaaaaaaaaaa"), ("empty", Meta::FILE, b""), ("ü.sh", Meta::EXECUTABLE, b"x")]).unwrap();
        let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let expected = concat!(
            "504b03041400080008000000210000000000000000000000000004000000612e74664b4cc40400504b0708ce8b6f260500000014000000",
            "504b03041400000000000000210000000000000000000000000005000000656d707479",
            "504b03041400080808000000210000000000000000000000000005000000c3bc2e7368ab0000504b07088316dc8c0300000001000000",
            "504b0102140314000800080000002100ce8b6f260500000014000000040000000000000000000000a48100000000612e7466",
            "504b0102140314000000000000002100000000000000000000000000050000000000000000000000a48137000000656d707479",
            "504b01021403140008080800000021008316dc8c0300000001000000050000000000000000000000ed815a000000c3bc2e7368",
            "504b0506000000000300030098000000900000000000",
        );
        assert_eq!(hex, expected);
    }

    #[test]
    fn large_content_goes_through_in_pieces() {
        let noise: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
        let bytes = zip(&[("noise", Meta::FILE, &noise)]).unwrap();
        let begin = 30 + "noise".len();
        let mut inflated = Vec::new();
        flate2::read::DeflateDecoder::new(&bytes[begin..]).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated, noise);
    }

    #[test]
    fn what_a_reader_cannot_unpack_is_refused() {
        assert!(matches!(zip(&[("../a", Meta::FILE, b"")]), Err(PackError::Name(_))));
        assert!(matches!(zip(&[("a", Meta::FILE, b""), ("a", Meta::FILE, b"")]), Err(PackError::Duplicate(_))));
        let mut zipper = Zipper::new(io::sink(), Cancel::new());
        assert!(matches!(zipper.file("a", Meta::FILE, 5 << 30, io::empty()), Err(PackError::ZipLimit(_))));
        assert!(matches!(zipper.file("b", Meta::FILE, 3, b"xx".as_slice()), Err(PackError::Changed { actual: 2, .. })));
    }
}
