//! Names and link targets of archive entries that stay where they belong.

use std::path::{Component, Path, PathBuf};

use super::Error;

fn refuse(name: &[u8], why: &'static str) -> Error {
    let shown = String::from_utf8_lossy(name).chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect();
    Error::Entry { entry: shown, why }
}

/// The name of an entry as a clean path below the destination; empty for the destination itself.
pub(super) fn inside(name: &[u8]) -> Result<PathBuf, Error> {
    let text = std::str::from_utf8(name).map_err(|_| refuse(name, "has a name that is not UTF-8"))?;
    if text.contains('\0') || text.is_empty() {
        return Err(refuse(name, "has no usable name"));
    }
    let mut clean = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(refuse(name, "has '..' in its name")),
            Component::RootDir | Component::Prefix(_) => return Err(refuse(name, "has an absolute name")),
        }
    }
    Ok(clean)
}

/// The target of the symbolic link at `at`, if it cannot lead out of the destination.
///
/// `..` is allowed only in front: the folders above a link are real ones (the unpacker sees to it), so going up from there is exact. What
/// follows leads down, possibly through other links, which by the same rule stay inside.
pub(super) fn link(at: &Path, target: &[u8]) -> Result<PathBuf, Error> {
    let entry = at.as_os_str().as_encoded_bytes();
    let text = std::str::from_utf8(target).map_err(|_| refuse(entry, "is a link to a name that is not UTF-8"))?;
    if text.is_empty() || text.contains('\0') {
        return Err(refuse(entry, "is a link to nothing"));
    }
    let mut room = at.components().count().saturating_sub(1);
    let mut down = false;
    for part in Path::new(text).components() {
        match part {
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::ParentDir if down => return Err(refuse(entry, "is a link with '..' inside of its target")),
            Component::ParentDir => room = room.checked_sub(1).ok_or_else(|| refuse(entry, "is a link that leads out"))?,
            Component::RootDir | Component::Prefix(_) => return Err(refuse(entry, "is a link that leads out")),
        }
    }
    Ok(PathBuf::from(text))
}
