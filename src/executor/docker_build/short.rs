//! A short name for a folder of temporary files: tools make sockets below it, and the path of one has at most 107 bytes (unix(7)), too few for many a
//! folder of the workspace or the cache.
//!
//! Called by the backends that start the tool which makes the sockets, and by their clean-up.

use std::path::PathBuf;

use super::Handle;
use crate::digest::Digest;

/// Where it is; the same in every process that has the handle.
pub(super) fn name(handle: &Handle) -> PathBuf {
    std::env::temp_dir().join(format!("br-{}", &Digest::of(handle.name.as_bytes()).hex()[..12]))
}
