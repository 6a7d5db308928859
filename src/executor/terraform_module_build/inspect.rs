//! Looking into files: what they are, whether they may be published, what they configure.
//!
//! In: a file that was found. Out: [`Seen`]. Files know nothing of one another, so several are looked at at the same time.
//! Invariants: a file is read once; of large ones only the beginning; what is kept in memory is bounded.

use std::{
    io::Read as _,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use crate::shutdown::Cancel;

use super::{
    config::{Config, ConfigError, Syntax},
    package::{PackageError, Values},
    path,
    secrets::{self, Secret},
    tree::{Found, Tree, TreeError},
};

/// Largest configuration file.
pub(crate) const MAX_CONFIG: u64 = 4 << 20;
/// Largest file that is kept in memory, and how much is kept in all.
const MAX_KEPT: u64 = 128 << 10;
const MAX_ALL_KEPT: u64 = 16 << 20;

/// A configuration file, or why it is none.
pub(crate) type Parsed = Result<Config, ConfigError>;

/// What a file turned out to be.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It has values for variables.
    Values,
    /// It must not be published.
    Refused(Secret),
    /// It is packed.
    Fit { content: Option<Bytes>, parsed: Option<Parsed> },
}

/// Looks at files of one source.
#[derive(Debug)]
pub(crate) struct Inspector {
    values: Values,
    /// The source's root, without links.
    root: PathBuf,
    cancel: Cancel,
    kept: AtomicU64,
}

impl Inspector {
    pub(crate) fn new(values: Values, tree: &Tree, cancel: Cancel) -> Self {
        Self { values, root: tree.root().to_owned(), cancel, kept: AtomicU64::new(0) }
    }

    /// Looks at one.
    pub(crate) fn look(&self, found: &Found) -> Result<Seen, PackageError> {
        self.cancel.check().map_err(TreeError::from)?;
        let behind = found.real.strip_prefix(&self.root).unwrap_or(&found.real).to_string_lossy();
        // A link shows what it leads to, whatever it is called.
        let names = [found.path.as_str(), behind.as_ref()];
        if self.values == Values::Excluded && names.iter().any(|name| name.ends_with(".tfvars") || name.ends_with(".tfvars.json")) {
            return Ok(Seen::Values);
        }
        if let Some(secret) = names.iter().find_map(|name| secrets::by_name(name)) {
            return Ok(Seen::Refused(secret));
        }
        let syntax = Syntax::of(path::name(&found.path));
        if syntax.is_some() && found.size > MAX_CONFIG {
            return Err(PackageError::LargeConfig { file: found.path.clone(), size: found.size });
        }
        let whole = syntax.is_some() || found.size <= MAX_KEPT;
        let content = read(found, if whole { found.size + 1 } else { secrets::HEAD as u64 })?;
        if let Some(secret) = names.iter().find_map(|name| secrets::by_content(name, &content)) {
            return Ok(Seen::Refused(secret));
        }
        let parsed = syntax.map(|syntax| syntax.parse(&content));
        // One that is growing is left to the packer, which says so.
        let keep = content.len() as u64 == found.size && found.size <= MAX_KEPT && self.reserve(found.size);
        Ok(Seen::Fit { content: keep.then(|| content.into()), parsed })
    }

    fn reserve(&self, size: u64) -> bool {
        self.kept.fetch_add(size, Ordering::Relaxed) + size <= MAX_ALL_KEPT
    }
}

/// The first `limit` bytes of a file.
pub(crate) fn read(found: &Found, limit: u64) -> Result<Vec<u8>, TreeError> {
    let failed = |source| TreeError::Io { file: found.path.clone(), source };
    let mut content = Vec::with_capacity(usize::try_from(limit.min(found.size + 1)).unwrap_or_default());
    let file = std::fs::File::open(&found.real).map_err(failed)?;
    file.take(limit).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}
