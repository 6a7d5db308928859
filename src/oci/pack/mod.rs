//! Deterministic `tar+gzip` layers: the same entries give the same bytes, and so the same digest, on every machine.
//!
//! Input: entries in the order the caller wants them (readers of some formats care), each with its own mode and time.
//! Output: the compressed stream, written once, with its digest and size and the digest of the uncompressed stream
//! (`diff_id`) computed on the way.
//!
//! Invariants: plain ustar headers, PAX records only for names that ustar cannot hold; uid and gid 0, owner names empty; one gzip member
//! without name or time (OS byte 255, "unknown"), compression level fixed ([`Effort`]); two zero blocks at the end and no padding after them.
//! Names are relative, without `..`, and occur once, so no reader can be led out of the folder it unpacks into.
//!
//! Blocking: call it from `tokio::task::spawn_blocking`. Called by the executors that make artifacts.

mod header;
pub mod zip;

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    path::Path,
};

use flate2::{Compression, GzBuilder, write::GzEncoder};

use crate::{
    digest::{Algorithm, Digest, Hasher},
    job::{Failure, FailureKind},
    shutdown::{Cancel, Cancelled},
};

/// How much work goes into making an archive small. Fixed for ever: another level would change every digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// A sixth larger or so, in less than half the time.
    Fast,
    /// What gzip does by itself.
    Usual,
}

impl Effort {
    const fn level(self) -> Compression {
        match self {
            Self::Fast => Compression::new(2),
            Self::Usual => Compression::new(6),
        }
    }
}
/// Bytes read from a file at a time.
const CHUNK: usize = 64 * 1024;
/// Tar's unit.
const BLOCK: usize = 512;

/// An archive that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A name no reader should be asked to unpack.
    #[error("'{0}' cannot be packed: names are relative, without '..', backslash or control characters, at most 4096 bytes")]
    Name(String),
    /// A name given twice.
    #[error("'{0}' would be packed twice")]
    Duplicate(String),
    /// Tar's size field holds 33 bits.
    #[error("'{name}' has {size} bytes; one file of an archive may have 8 GiB")]
    TooLarge {
        /// Which entry.
        name: String,
        /// Its size.
        size: u64,
    },
    /// Zip without Zip64 counts in 32 and 16 bits.
    #[error("'{0}' does not fit: a zip archive may have 65534 files and 4 GiB")]
    ZipLimit(String),
    /// The file gave another number of bytes than announced.
    #[error("'{name}' changed while it was packed: {expected} bytes were announced, {actual} read")]
    Changed {
        /// Which entry.
        name: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes read, the one too many included.
        actual: u64,
    },
    /// The work was stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Reading an entry or writing the archive failed.
    #[error("the archive cannot be written")]
    Io(#[from] io::Error),
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Name(_) | PackError::Duplicate(_) => Self::new(FailureKind::InvalidSource, error.to_string()),
            PackError::TooLarge { .. } | PackError::ZipLimit(_) => Self::new(FailureKind::LimitExceeded, error.to_string()),
            PackError::Changed { .. } => Self::new(FailureKind::Io, error.to_string()),
            PackError::Cancelled(stopped) => stopped.into(),
            PackError::Io(error) => Self::from(error).context("the archive cannot be written"),
        }
    }
}

/// What stands beside an entry's name in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, such as `0o644`.
    pub mode: u32,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub mtime: u64,
}

impl Meta {
    /// A plain file of 1970.
    pub const FILE: Self = Self { mode: 0o644, mtime: 0 };
    /// An executable file, or a folder, of 1970.
    pub const EXECUTABLE: Self = Self { mode: 0o755, mtime: 0 };
}

/// A finished archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Digest of the compressed bytes: what the layer's descriptor says.
    pub digest: Digest,
    /// Number of compressed bytes.
    pub size: u64,
    /// Digest of the uncompressed tar stream (`rootfs.diff_ids` of an image configuration).
    pub diff_id: Digest,
    /// Number of uncompressed bytes.
    pub unpacked: u64,
}

/// Counts and hashes what passes through.
struct Tap<W> {
    inner: W,
    hasher: Hasher,
    count: u64,
}

impl<W: Write> Tap<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), count: 0 }
    }
}

impl<W: Write> Write for Tap<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes one archive.
pub struct Packer<W: Write> {
    tar: Tap<GzEncoder<Tap<W>>>,
    names: BTreeSet<Box<str>>,
    /// For reading files.
    buffer: Vec<u8>,
    cancel: Cancel,
}

impl<W: Write> Packer<W> {
    /// An archive written to `out`; stops at the next entry or chunk once `cancel` fires.
    pub fn new(out: W, effort: Effort, cancel: Cancel) -> Self {
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Tap::new(out), effort.level());
        Self { tar: Tap::new(gzip), names: BTreeSet::new(), buffer: Vec::new(), cancel }
    }

    /// Appends a regular file of exactly `size` bytes.
    ///
    /// # Errors
    /// When the name is unfit or taken, or `content` has another number of bytes.
    pub fn file(&mut self, name: &str, meta: Meta, size: u64, mut content: impl Read) -> Result<(), PackError> {
        self.entry(name, header::Kind::File, meta, size)?;
        // Clearing a new one would cost more than most files do.
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(CHUNK, 0);
        let result = self.through(name, size, &mut content, &mut buffer);
        self.buffer = buffer;
        result
    }

    fn through(&mut self, name: &str, size: u64, content: &mut impl Read, buffer: &mut [u8]) -> Result<(), PackError> {
        let mut actual = 0;
        loop {
            self.cancel.check()?;
            let read = content.read(buffer)?;
            actual += read as u64;
            if actual > size || (read == 0 && actual < size) {
                return Err(PackError::Changed { name: name.to_owned(), expected: size, actual });
            }
            if read == 0 {
                break;
            }
            self.tar.write_all(&buffer[..read])?;
        }
        let padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or_default();
        self.tar.write_all(&[0; BLOCK][..padding])?;
        Ok(())
    }

    /// Appends a regular file.
    ///
    /// # Errors
    /// As [`Packer::file`].
    pub fn bytes(&mut self, name: &str, meta: Meta, content: &[u8]) -> Result<(), PackError> {
        self.file(name, meta, content.len() as u64, content)
    }

    /// Appends a folder; a slash at the end of the name is added when it is missing.
    ///
    /// # Errors
    /// When the name is unfit or taken.
    pub fn directory(&mut self, name: &str, meta: Meta) -> Result<(), PackError> {
        let name = name.trim_end_matches('/');
        self.entry(name, header::Kind::Directory, meta, 0)
    }

    fn entry(&mut self, name: &str, kind: header::Kind, meta: Meta, size: u64) -> Result<(), PackError> {
        self.cancel.check()?;
        header::check_name(name)?;
        if !self.names.insert(name.into()) {
            return Err(PackError::Duplicate(name.to_owned()));
        }
        let blocks = header::encode(name, kind, meta, size)?;
        self.tar.write_all(&blocks)?;
        Ok(())
    }

    /// Ends the archive and gives back where it was written to.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub fn finish(mut self) -> Result<(Packed, W), PackError> {
        self.tar.write_all(&[0; 2 * BLOCK])?;
        let Tap { inner: gzip, hasher: tar_hasher, count: unpacked } = self.tar;
        let mut out = gzip.finish()?;
        out.flush()?;
        let packed = Packed { digest: out.hasher.finish(), size: out.count, diff_id: tar_hasher.finish(), unpacked };
        Ok((packed, out.inner))
    }
}

/// Writes an archive to a new file at `path`: `entries` appends them.
///
/// # Errors
/// Those of `entries`; when the file exists already or cannot be written. A half-written file is removed.
pub fn to_file<E: From<PackError>>(
    path: &Path,
    effort: Effort,
    cancel: &Cancel,
    entries: impl FnOnce(&mut Packer<io::BufWriter<fs_err::File>>) -> Result<(), E>,
) -> Result<Packed, E> {
    let file = fs_err::OpenOptions::new().write(true).create_new(true).open(path).map_err(PackError::Io)?;
    let write = || {
        let mut packer = Packer::new(io::BufWriter::with_capacity(CHUNK, file), effort, cancel.clone());
        entries(&mut packer)?;
        Ok(packer.finish()?.0)
    };
    write().inspect_err(|_| {
        // The error that led here says more than one about a file nobody will read.
        let _ = fs_err::remove_file(path);
    })
}

#[cfg(test)]
mod tests;
