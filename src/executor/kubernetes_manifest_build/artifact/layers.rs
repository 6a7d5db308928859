//! Layers to files. What a layer is, its bytes say: media types differ from tool to tool.

use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use crate::{
    job::Failure,
    oci::{Descriptor, media_type},
    shutdown::Cancel,
    workspace::archive::{self, Limits},
};

use super::ArtifactError;

/// What may come out of one layer.
const LIMITS: Limits = Limits { entries: 20_000, bytes: 256 << 20, file_bytes: 64 << 20, ratio: 200 };
/// Name of a layer's file or folder (image-spec `annotations.md`).
const TITLE: &str = "org.opencontainers.image.title";
/// Says that the layer is a folder, packed (oras-go `content/file`).
const UNPACK: &str = "io.deis.oras.content.unpack";

/// A fetched layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) descriptor: Descriptor,
    pub(super) content: Bytes,
}

/// Puts the files of every layer into `folder`.
pub(super) fn unpack(cancel: &Cancel, folder: &Path, reference: &str, layers: Vec<Layer>) -> Result<(), Failure> {
    for (number, layer) in (1..).zip(layers) {
        cancel.check()?;
        let wrong = |why| ArtifactError::Layer { reference: reference.to_owned(), number, why };
        if layer.descriptor.media_type == media_type::EMPTY {
            continue;
        }
        let title = layer.descriptor.annotations.get(TITLE).map(String::as_str).unwrap_or_default();
        let clean = inside(title).ok_or_else(|| wrong("has a title that is no path inside of the artifact"))?;
        if layer.is_archive() {
            let scratch = folder.join(format!(".layer-{number}"));
            archive::unpack(cancel, layer.content.as_ref(), &scratch, &LIMITS)
                .map_err(|error| Failure::from(error).context(format_args!("{reference}: layer {number}")))?;
            let titled = layer.is_packed_folder() && !clean.as_os_str().is_empty() && !scratch.join(&clean).exists();
            merge(&scratch, &if titled { folder.join(&clean) } else { folder.to_owned() }, &wrong)?;
        } else {
            let name = if clean.as_os_str().is_empty() { PathBuf::from(format!("manifest-{number}.yaml")) } else { clean };
            let target = folder.join(name);
            if target.exists() {
                return Err(wrong("has a file that another layer has too").into());
            }
            if let Some(parent) = target.parent() {
                fs_err::create_dir_all(parent)?;
            }
            fs_err::write(target, &layer.content)?;
        }
    }
    Ok(())
}

impl Layer {
    fn is_archive(&self) -> bool {
        // Its media type is also what oras gives to any file.
        self.content.starts_with(&[0x1f, 0x8b]) || is_tar(&self.content) || self.is_packed_folder()
    }

    fn is_packed_folder(&self) -> bool {
        self.descriptor.annotations.get(UNPACK).is_some_and(|value| value == "true")
    }
}

/// Whether the first block is that of a tar: the header of an entry, which has a checksum even in tars from before POSIX, or the end of one that
/// has no entries (POSIX.1-2017 pax, "ustar Interchange Format").
fn is_tar(content: &[u8]) -> bool {
    let Some(block) = content.get(..512) else { return false };
    let header = tar::Header::from_byte_slice(block);
    let sum = |(at, &byte): (usize, &u8)| u32::from(if (148..156).contains(&at) { b' ' } else { byte });
    let is_header = || header.cksum().is_ok_and(|said| said == block.iter().enumerate().map(sum).sum::<u32>());
    content.iter().all(|&byte| byte == 0) || is_header()
}

/// A title as a path; empty for none and for the artifact itself.
fn inside(title: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in Path::new(title).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!title.contains(['\0', '\\'])).then_some(clean)
}

/// Moves everything in `from` to `to`, where nothing of the same name may be but folders.
fn merge(from: &Path, to: &Path, wrong: &impl Fn(&'static str) -> ArtifactError) -> Result<(), Failure> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let existing = std::fs::symlink_metadata(&target).ok();
        match existing {
            None => fs_err::rename(entry.path(), &target)?,
            Some(there) if there.is_dir() && entry.file_type()?.is_dir() => merge(&entry.path(), &target, wrong)?,
            Some(_) => return Err(wrong("has a file that another layer has too").into()),
        }
    }
    Ok(fs_err::remove_dir_all(from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tars_are_known_by_their_first_block() {
        let mut header = tar::Header::new_old();
        header.set_path("a.yaml").expect("fits");
        header.set_size(0);
        header.set_cksum();
        let mut old = header.as_bytes().to_vec();
        assert!(is_tar(&old) && is_tar(&[0; 1024]) && is_tar(&tar::Builder::new(Vec::new()).into_inner().expect("an empty tar")));
        old[0] = b'b';
        assert!(!is_tar(&old) && !is_tar(&[b'a'; 600]) && !is_tar(b"a: 1\n") && !is_tar(&[0; 100]));
    }
}
