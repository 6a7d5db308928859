//! What several executors do the same way: fetch the source, find the destination, look for tools, report copies.

pub(crate) mod copied;
mod source;
mod target;
pub(crate) mod tool;

use std::{fs::FileType, os::unix::fs::FileTypeExt as _};

pub(crate) use source::{ANNOTATION, Source, Stamp, fetch, parameters};
pub(crate) use target::Target;

use crate::job::{Failure, FailureKind};

/// What something is that cannot be packed, for people.
pub(crate) fn special(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}

/// Runs work that computes or reads files where it does not hold up anybody else.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::new(FailureKind::Internal, format!("a worker thread failed: {error}")))
}
