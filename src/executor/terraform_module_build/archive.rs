//! The package as two archives, written at the same time: a tar for Flux and Argo CD, a zip for OpenTofu.
//!
//! In: the package. Out: two blobs in the workspace. Invariants: entries by name, files only; modes 0644 and 0755, and nothing else of the
//! machine's; nothing but pieces of a large file is in memory.

use std::{fs, path::Path, sync::Arc};

use crate::{
    executor::{
        Context,
        shared::{ANNOTATION, blocking},
    },
    job::Failure,
    oci::{
        self, Descriptor, media_type,
        pack::{self, Effort, Meta, PackError, Packed, zip},
    },
};

use super::package::{Content, File};

/// Names that clients give the blobs when they store them as files.
const TAR: &str = "module.tar.gz";
const ZIP: &str = "module.zip";

/// Writes both archives. `mtime` is what the tar's entries say; the zip's say 1980.
pub(crate) async fn write(cx: &Context, files: Vec<File>, mtime: u64) -> Result<[oci::Blob; 2], Failure> {
    let files = Arc::new(files);
    let tar = {
        let (files, path, cancel) = (Arc::clone(&files), cx.workspace.root().join(TAR), cx.cancel.clone());
        blocking(move || {
            pack::to_file(&path, Effort::Fast, &cancel, |packer| {
                each(&files, mtime, |name, meta, size, content| packer.file(name, meta, size, content))
            })
        })
    };
    let zip = {
        let (path, cancel) = (cx.workspace.root().join(ZIP), cx.cancel.clone());
        blocking(move || {
            zip::to_file(&path, &cancel, |packer| each(&files, mtime, |name, meta, size, content| packer.file(name, meta, size, content)))
        })
    };
    let (tar, zip) = tokio::join!(tar, zip);
    let (tar, zip): (Packed, zip::Zipped) = (tar??, zip??);
    let blob = |media_type: &str, digest, size, name: &str| {
        let descriptor = Descriptor::new(media_type, digest, size).annotate(format!("{ANNOTATION}title"), name);
        oci::Blob::file(descriptor, cx.workspace.root().join(name))
    };
    Ok([blob(media_type::OCI_LAYER_GZIP, tar.digest, tar.size, TAR), blob(media_type::ZIP, zip.digest, zip.size, ZIP)])
}

/// Hands every file to `append`.
fn each(
    files: &[File],
    mtime: u64,
    mut append: impl FnMut(&str, Meta, u64, &mut dyn std::io::Read) -> Result<(), PackError>,
) -> Result<(), PackError> {
    for file in files {
        let meta = Meta { mtime, ..if file.executable { Meta::EXECUTABLE } else { Meta::FILE } };
        match &file.content {
            Content::Kept(bytes) => append(&file.name, meta, file.size, &mut bytes.as_ref())?,
            Content::OnDisk(path) => append(&file.name, meta, file.size, &mut open(path)?)?,
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<fs::File, PackError> {
    Ok(fs::File::open(path)?)
}
