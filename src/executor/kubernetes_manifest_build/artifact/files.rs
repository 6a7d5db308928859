//! The manifests among an artifact's files.

use std::path::{Path, PathBuf};

use crate::{
    job::{Failure, FailureKind},
    shutdown::Cancel,
};

use super::super::manifests::{MAX_BYTES, ManifestError};

/// Endings that Flux and Argo CD read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 32;

/// Name and text of every manifest file below `folder`, in the order of their names. Hidden files, and links, are passed over.
pub(in super::super) fn read(folder: &Path, cancel: &Cancel) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    collect(folder, 0, &mut all)?;
    all.sort();
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
    // A lone file is the manifest, whatever it is called.
    if all.len() > 1 {
        all.retain(is_manifest);
    }
    if all.is_empty() {
        return Err(Failure::new(FailureKind::InvalidSource, "the artifact has no .yaml, .yml or .json file in it"));
    }
    let (mut files, mut total) = (Vec::new(), 0_u64);
    for path in all {
        cancel.check()?;
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        total += fs_err::metadata(&path)?.len();
        if total > MAX_BYTES as u64 {
            return Err(ManifestError::Limit { name, limit: MAX_BYTES, what: "bytes" }.into());
        }
        let text = String::from_utf8(fs_err::read(&path)?).map_err(|_| ManifestError::NotText { name: name.clone() })?;
        files.push((name, text));
    }
    Ok(files)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}
