//! Why a journal cannot be opened.

use std::{io, path::PathBuf};

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder cannot be made, or its lock file cannot be opened.
    #[error("the folder '{}' for the runner's journal cannot be used", .folder.display())]
    Folder {
        /// `<state>/journal`.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another runner holds it.
    #[error("the state folder '{}' is in use by another runner{}: stop that one, or give this one a folder of its own (state_dir)", .state.display(), .owner)]
    InUse {
        /// The state folder.
        state: PathBuf,
        /// ` (process 123)`, if it is known.
        owner: String,
    },
    /// The file is there and cannot be read.
    #[error("the runner's journal cannot be read")]
    Read(#[source] io::Error),
    /// The file can neither be made nor opened for writing.
    #[error("the runner's journal cannot be written")]
    Write(#[source] io::Error),
    /// No thread can be had.
    #[error("the thread that writes the runner's journal cannot be started")]
    Thread(#[source] io::Error),
}
