//! Receipts: printed, and kept under the state folder.

use std::{
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::job::Receipt;

/// How many receipts are kept; the oldest go first.
const KEPT: usize = 500;

/// Writes a receipt to `<state>/receipts/<finished>-<id>.json` (0600), whole or not at all, and drops the oldest beyond [`KEPT`].
/// A copy for people: what counts was printed, so it is not worth the wait for the disk.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn keep(state_dir: &Path, receipt: &Receipt) -> io::Result<()> {
    let dir = state_dir.join("receipts");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let name = format!("{}-{}.json", receipt.finished_at.as_microsecond(), receipt.id);
    let partial = dir.join(format!(".{name}"));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(&serde_json::to_vec(receipt)?)?;
    fs_err::rename(&partial, dir.join(name))?;
    prune(&dir)
}

fn prune(dir: &Path) -> io::Result<()> {
    let mut names: Vec<_> = fs_err::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    if names.len() > KEPT {
        names.sort_unstable();
        for name in &names[..names.len() - KEPT] {
            fs_err::remove_file(dir.join(name))?;
        }
    }
    Ok(())
}
