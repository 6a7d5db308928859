//! From the store to a layout: one image, with layers compressed by buildah.
//!
//! ```text
//!  store ── push ───────────────────────────────────────────────────────────────────────────────────────► layout      as root
//!  store ── push ─► folder of tar files ─► without the notes of the overlay ─► manifest push (compresses) ─► layout      without
//! ```
//!
//! Without root the kernel keeps the notes of an overlay in attributes that everybody may write (kernel, `overlayfs.rst`, "User xattr"), and buildah, as of
//! 1.28, takes them for attributes of the files. They would be in every image, and make its digest another one than that of the same build by root.
//!
//! Called by the build.

use std::{
    io::{BufReader, BufWriter, Write as _},
    path::Path,
};

use serde_json::{Value, json};

use super::{
    super::{
        layer::{self, Change},
        layout::{self, Hashing, Layout},
    },
    invocation::Invocation,
    sandbox::Users,
};
use crate::{
    digest::Digest,
    executor::{
        docker_build::{Handle, Request},
        shared::blocking,
    },
    job::Failure,
    oci::{Descriptor, media_type},
    process::Output,
    shutdown::Cancel,
};

/// The key of such an attribute in a tar file (Go, `archive/tar`; star(1)).
const NOTES: &str = "SCHILY.xattr.user.overlay.";
/// The type of a layer that is not compressed.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The annotation by which a layout names its images.
const NAME: &str = "org.opencontainers.image.ref.name";
/// Bytes that are read or written at once.
const PIECE: usize = 128 << 10;

/// Adds an image of the store to the layout of the request, under the name `number`.
pub(super) async fn image(
    invocation: &Invocation<'_>,
    request: &Request,
    handle: &Handle,
    image: &str,
    number: usize,
) -> Result<(), Failure> {
    let cx = invocation.cx;
    if invocation.sandbox.users == Users::All {
        invocation.push(image, &request.out, number).stdout(Output::Quiet).run(&cx.cancel, &cx.log).await?.success()?;
        return Ok(());
    }
    let folder = cx.workspace.folder(&format!("export-{number}"))?;
    let (unpacked, clean) = (folder.join("unpacked"), folder.join("clean"));
    invocation.unpack(image, &unpacked).stdout(Output::Quiet).run(&cx.cancel, &cx.log).await?.success()?;
    let (to, cancel) = (clean.clone(), cx.cancel.clone());
    blocking(move || without_notes(&unpacked, &to, number, &cancel)).await??;
    // Any name will do that nobody used before.
    let list = format!("localhost/export-{}:{number}", Digest::of(handle.name.as_bytes()).hex());
    for command in invocation.compress(&list, &clean, &request.out, number) {
        command.stdout(Output::Quiet).stderr(Output::Quiet).run(&cx.cancel, &cx.log).await?.success()?;
    }
    Ok(blocking(move || fs_err::remove_dir_all(folder)).await??)
}

/// The image manifest that an entry of an index leads to: itself, or the one manifest of a list.
pub(super) fn manifest(layout: &Layout, entry: &Descriptor) -> Result<Value, Failure> {
    let manifest = layout.json(&entry.digest)?;
    match manifest["manifests"].get(0) {
        None => Ok(manifest),
        Some(only) => layout.json(&descriptor(only)?.digest),
    }
}

/// A descriptor of what buildah exported.
pub(super) fn descriptor(value: &Value) -> Result<Descriptor, Failure> {
    serde_json::from_value(value.clone()).map_err(|error| layout::unreadable("manifest", &error))
}

/// Writes the image of `folder` (containers-transports(5), "dir:") without the notes into the layout at `to`. Blocking.
fn without_notes(folder: &Path, to: &Path, number: usize, cancel: &Cancel) -> Result<(), Failure> {
    let layout = Layout::at(to)?;
    let mut manifest = layout::read_json(&folder.join("manifest.json"))?;
    let mut config = layout::read_json(&folder.join(descriptor(&manifest["config"])?.digest.hex()))?;
    for (number, entry) in manifest["layers"].as_array_mut().into_iter().flatten().enumerate() {
        let file = folder.join(descriptor(entry)?.digest.hex());
        let layer = clean(&file, &layout, cancel)?;
        fs_err::remove_file(file)?;
        config["rootfs"]["diff_ids"][number] = json!(layer.digest);
        *entry = json!(layer);
    }
    manifest["config"] = json!(layout.put(media_type::OCI_CONFIG, &config)?);
    let mut image = layout.put(media_type::OCI_MANIFEST, &manifest)?;
    image.annotations.insert(NAME.to_owned(), number.to_string());
    fs_err::write(to.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(fs_err::write(to.join("index.json"), json!({"schemaVersion": 2, "manifests": [image]}).to_string())?)
}

/// Writes the layer `file` into the layout.
fn clean(file: &Path, layout: &Layout, cancel: &Cancel) -> Result<Descriptor, Failure> {
    let temporary = layout.blob(&Digest::of(b"")).with_file_name("layer.partial");
    let mut from = BufReader::with_capacity(PIECE, fs_err::File::open(file)?);
    let mut into = Hashing::new(BufWriter::with_capacity(PIECE, fs_err::File::create(&temporary)?));
    layer::change(&mut from, &mut into, Change::Drop(NOTES), cancel)?;
    let (mut file, digest, size) = into.finish();
    file.flush()?;
    fs_err::rename(temporary, layout.blob(&digest))?;
    Ok(Descriptor::new(LAYER, digest, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_built_without_root_is_that_of_root() {
        let tar = |notes: bool| {
            let mut tar = tar::Builder::new(Vec::new());
            if notes {
                tar.append_pax_extensions([("SCHILY.xattr.user.overlay.origin", &b""[..])]).expect("appended");
            }
            let mut header = tar::Header::new_ustar();
            header.set_size(1);
            tar.append_data(&mut header, "f", &b"x"[..]).expect("appended");
            tar.into_inner().expect("finished")
        };
        let made = |notes: bool| {
            let folder = tempfile::tempdir().expect("a folder");
            let put = |name: &str, content: &[u8]| fs_err::write(folder.path().join(name), content).expect("written");
            let layer = Descriptor::of(LAYER, &tar(notes));
            put(layer.digest.hex(), &tar(notes));
            let config =
                json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer.digest]}}).to_string();
            let place = Descriptor::of(media_type::OCI_CONFIG, config.as_bytes());
            put(place.digest.hex(), config.as_bytes());
            put("manifest.json", json!({"schemaVersion": 2, "config": place, "layers": [layer]}).to_string().as_bytes());
            let to = folder.path().join("clean");
            without_notes(folder.path(), &to, 3, &Cancel::new()).expect("cleaned");
            let index = layout::read_json(&to.join("index.json")).expect("read");
            assert_eq!(index["manifests"][0]["annotations"][NAME], "3");
            let entry = descriptor(&index["manifests"][0]).expect("a descriptor");
            let image = manifest(&Layout::at(&to).expect("opened"), &entry).expect("read");
            assert_eq!(image["layers"][0]["digest"], json!(Digest::of(&tar(false))));
            entry.digest
        };
        assert_eq!(made(true), made(false));
    }
}
