//! The image as `buildctl` exports it: a tar stream of an image layout (image-spec `image-layout.md`), taken apart as it comes.
//!
//! The other way to export, a folder (`tar=false`), asks the client about each blob in turn: for an image of a few layers, that alone takes the
//! daemon a tenth of a second.
//!
//! Input: the reading end of a pipe that `buildctl` holds open. Output: the layout folder. What else is in the stream (`manifest.json` for `docker load`)
//! is left out. Called by the backend. Blocking.

use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Component, Path, PathBuf},
};

use super::super::layout::unreadable;
use crate::job::Failure;

/// Most entries of a stream: an image has at most some hundred layers, a few documents, and this many platforms.
const MOST: usize = 100_000;
const PIECE: usize = 256 << 10;

/// Takes `stream` apart into the folder `out`, to its end.
pub(super) fn unpack(stream: impl Read, out: &Path) -> Result<(), Failure> {
    let mut stream = BufReader::with_capacity(PIECE, stream);
    let mut archive = tar::Archive::new(&mut stream);
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if number == MOST {
            return Err(unreadable("export", &format!("it has more than {MOST} entries")));
        }
        let Some(name) = wanted(&entry.path()?).filter(|_| entry.header().entry_type().is_file()) else { continue };
        let file = out.join(name);
        fs_err::create_dir_all(file.parent().unwrap_or(out))?;
        let mut file = BufWriter::with_capacity(PIECE, fs_err::File::create(file)?);
        io::copy(&mut entry, &mut file)?;
        file.flush()?;
    }
    // Whoever writes the padding at the end is not to find the pipe closed.
    io::copy(&mut stream, &mut io::sink()).map(drop).map_err(Failure::from)
}

/// Where an entry belongs, if it is one of a layout: two documents, and blobs by algorithm and digest.
fn wanted(path: &Path) -> Option<PathBuf> {
    let plain: Vec<&str> = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| if let Component::Normal(name) = part { name.to_str() } else { None })
        .collect::<Option<_>>()?;
    matches!(plain.as_slice(), ["index.json" | "oci-layout"] | ["blobs", _, _]).then(|| plain.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(name.len() as u64);
            header.set_entry_type(if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
            header.set_mode(0o644);
            header.set_cksum();
            tar.append(&header, name.as_bytes()).expect("written");
        }
        tar.into_inner().expect("ended")
    }

    #[test]
    fn of_a_stream_only_what_belongs_to_a_layout_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("image");
        let names = ["./oci-layout", "index.json", "manifest.json", "blobs/sha256/ab", "blobs/sha256/../../../evil", "/blobs/sha256/root"];
        unpack(&*stream(&names), &out).expect("unpacked");
        let mut found: Vec<String> = walkdir(&out);
        found.sort();
        assert_eq!(found, ["blobs/sha256/ab", "index.json", "oci-layout"]);
        assert_eq!(fs_err::read_dir(folder.path()).expect("read").count(), 1, "nothing beside it");
        assert_eq!(fs_err::read_to_string(out.join("blobs/sha256/ab")).expect("read"), "blobs/sha256/ab");
    }

    fn walkdir(folder: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(folder).expect("read").flatten();
        entries
            .flat_map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.path().is_dir() {
                    walkdir(&entry.path()).into_iter().map(|below| format!("{name}/{below}")).collect()
                } else {
                    vec![name]
                }
            })
            .collect()
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error_and_padding_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut bytes = stream(&["index.json", "blobs/sha256/ab"]);
        let cut = unpack(&bytes[..1024 + 520], &folder.path().join("cut"));
        assert!(cut.is_err());
        bytes.resize(bytes.len() + 10_240, 0);
        let mut left = &*bytes;
        unpack(&mut left, &folder.path().join("whole")).expect("unpacked");
        assert!(left.is_empty());
    }
}
