//! From `docker save` to an image layout.
//!
//! Input: the archive (`moby`, `image/spec/v1.2.md`: `manifest.json`, a configuration, one tar for each layer; newer engines lay the same out
//! as OCI blobs, which may be compressed). Output: a layout. Layers of base images stay as they are; those of the build are dated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write},
    path::Path,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};

use super::super::{
    layer::{self, Change},
    layout::{Hashing, Layout, Times, unreadable},
};
use crate::{
    digest::Digest,
    job::{Failure, FailureKind},
    oci::{Descriptor, media_type},
    shutdown::Cancel,
};

/// Largest JSON document in the archive.
const MAX_JSON: u64 = 8 << 20;
/// Most entries of an archive.
const MOST: usize = 100_000;
const PIECE: usize = 128 << 10;

/// How the times of the image are replaced.
#[derive(Debug, Clone)]
pub(super) struct Dates {
    /// Files of the build's own layers are not younger than this.
    pub(super) mark: u64,
    /// The time of the image and its history.
    pub(super) epoch: u64,
    /// Digests of the uncompressed layers that base images have.
    pub(super) base_layers: BTreeSet<String>,
}

/// Where something lies in the archive.
#[derive(Debug, Clone)]
enum Place {
    At { offset: u64, size: u64 },
    Link(String),
}

/// Converts `archive` into a layout at `out`. Blocking.
pub(super) fn convert(archive: &Path, out: &Path, dates: &Dates, cancel: &Cancel) -> Result<(), Failure> {
    let saved = Saved::open(archive)?;
    let manifest = saved.json("manifest.json")?;
    let image = manifest.get(0).ok_or_else(|| unreadable("archive", &"it has no image"))?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| unreadable("manifest.json", &"a name is missing"));
    let mut config = saved.json(&text(&image["Config"])?)?;
    let layout = Layout::at(out)?;
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    let before = config["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
    for (number, name) in image["Layers"].as_array().into_iter().flatten().enumerate() {
        let is_base = before.get(number).and_then(Value::as_str).is_some_and(|id| dates.base_layers.contains(id));
        let mark = if is_base { None } else { Some(dates.mark) };
        let (layer, diff_id) = pack(saved.file(&text(name)?)?, &layout, mark, cancel)?;
        if is_base && before.get(number).and_then(Value::as_str) != Some(diff_id.as_str()) {
            return Err(Failure::new(FailureKind::DigestMismatch, format!("the engine exported another base layer than {diff_id}")));
        }
        layers.push(layer);
        diff_ids.push(diff_id);
    }
    if layers.len() != before.len() {
        return Err(unreadable("archive", &format!("it has {} layers, the configuration {}", layers.len(), before.len())));
    }
    config["rootfs"]["diff_ids"] = json!(diff_ids);
    let root = layout.image(config, &layers, Times::All, dates.epoch)?;
    layout.finish(vec![root])
}

/// Writes one layer; returns its descriptor and the digest of what is inside.
fn pack(mut from: Box<dyn Read>, layout: &Layout, mark: Option<u64>, cancel: &Cancel) -> Result<(Descriptor, Digest), Failure> {
    let temporary = layout.blob(&Digest::of(b"")).with_file_name("layer.partial");
    let file = BufWriter::with_capacity(PIECE, fs_err::File::create(&temporary)?);
    let outer = Hashing::new(file);
    // The header has neither name nor time nor system.
    let mut inner = Hashing::new(GzEncoder::new(outer, Compression::default()));
    match mark {
        Some(mark) => layer::change(&mut from, &mut inner, Change::Date(mark), cancel)?,
        None => copy(&mut from, &mut inner, cancel)?,
    }
    let (gzip, diff_id, _) = inner.finish();
    let (mut file, digest, size) = gzip.finish()?.finish();
    file.flush()?;
    fs_err::rename(&temporary, layout.blob(&digest))?;
    Ok((Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size), diff_id))
}

fn copy(from: &mut dyn Read, into: &mut dyn Write, cancel: &Cancel) -> Result<(), Failure> {
    let mut piece = vec![0; PIECE];
    loop {
        cancel.check()?;
        match from.read(&mut piece)? {
            0 => return Ok(()),
            count => into.write_all(&piece[..count])?,
        }
    }
}

/// An archive, by name.
struct Saved {
    path: std::path::PathBuf,
    places: BTreeMap<String, Place>,
}

impl Saved {
    fn open(path: &Path) -> Result<Self, Failure> {
        let mut places = BTreeMap::new();
        let mut archive = tar::Archive::new(File::open(path)?);
        for entry in archive.entries_with_seek()?.take(MOST) {
            let entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            let place = match entry.link_name()? {
                Some(target) => Place::Link(beside(&name, &target)),
                None => Place::At { offset: entry.raw_file_position(), size: entry.size() },
            };
            places.insert(name, place);
        }
        Ok(Self { path: path.to_owned(), places })
    }

    /// A file, a link to one followed.
    fn find(&self, name: &str) -> Result<(u64, u64), Failure> {
        let mut name = name;
        for _ in 0..8 {
            match self.places.get(name) {
                Some(Place::At { offset, size }) => return Ok((*offset, *size)),
                Some(Place::Link(target)) => name = target,
                None => break,
            }
        }
        Err(unreadable("archive", &format!("'{name}' is not in it")))
    }

    fn raw(&self, name: &str) -> Result<io::Take<File>, Failure> {
        let (offset, size) = self.find(name)?;
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.take(size))
    }

    /// A file's content, decompressed if need be.
    fn file(&self, name: &str) -> Result<Box<dyn Read>, Failure> {
        let mut magic = [0; 2];
        let compressed = self.raw(name)?.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        let plain = BufReader::with_capacity(PIECE, self.raw(name)?);
        Ok(if compressed { Box::new(BufReader::with_capacity(PIECE, GzDecoder::new(plain))) } else { Box::new(plain) })
    }

    fn json(&self, name: &str) -> Result<Value, Failure> {
        let (_, size) = self.find(name)?;
        if size > MAX_JSON {
            return Err(Failure::new(FailureKind::LimitExceeded, format!("{name} of the built image is larger than {MAX_JSON} bytes")));
        }
        let mut text = Vec::new();
        self.raw(name)?.read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(|error| unreadable(name, &error))
    }
}

/// What a link in the folder of `name` leads to: `../<id>/layer.tar`.
fn beside(name: &str, target: &Path) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    let target = target.to_string_lossy().into_owned();
    let mut all: Vec<String> = parts.into_iter().map(str::to_owned).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                all.pop();
            }
            part => all.push(part.to_owned()),
        }
    }
    all.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(time: u64) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mtime(time);
        header.set_size(1);
        tar.append_data(&mut header, "f", &b"x"[..]).expect("appended");
        tar.into_inner().expect("finished")
    }

    /// What an engine saves: a base layer, one of the build, and the same again as a link.
    fn saved(path: &Path, time: u64, compress: bool) -> String {
        let base = layer(5_000);
        let own = layer(time);
        let base_id = Digest::of(&base).to_string();
        let ids = [base_id.clone(), Digest::of(&own).to_string(), Digest::of(&own).to_string()];
        let config = json!({"os": "linux", "architecture": "amd64", "created": format!("20{}-01-01T00:00:00Z", time % 50 + 20),
                            "rootfs": {"type": "layers", "diff_ids": ids}});
        let manifest = json!([{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}]);
        let mut tar = tar::Builder::new(File::create(path).expect("created"));
        let own = if compress {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&own).expect("written");
            gzip.finish().expect("finished")
        } else {
            own
        };
        for (name, content) in [
            ("a/layer.tar", &base),
            ("b/layer.tar", &own),
            ("c.json", &config.to_string().into()),
            ("manifest.json", &manifest.to_string().into()),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, &content[..]).expect("appended");
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "c/layer.tar", "../b/layer.tar").expect("appended");
        tar.finish().expect("finished");
        base_id
    }

    #[test]
    fn the_same_build_at_another_time_is_the_same_layout_and_base_layers_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut indexes = Vec::new();
        for (number, compress) in [(0, false), (1, true)] {
            let (archive, out) = (folder.path().join("a.tar"), folder.path().join(format!("out{number}")));
            let base = saved(&archive, 2_000 + number, compress);
            let dates = Dates { mark: 100, epoch: 1_000, base_layers: [base.clone()].into() };
            convert(&archive, &out, &dates, &Cancel::new()).expect("converted");
            let index = fs_err::read(out.join("index.json")).expect("read");
            let layout = Layout::at(&out).expect("opened");
            let root: Descriptor = serde_json::from_value(serde_json::from_slice::<Value>(&index).expect("JSON")["manifests"][0].clone())
                .expect("a descriptor");
            let manifest = layout.json(&root.digest).expect("read");
            let config: Digest = manifest["config"]["digest"].as_str().expect("text").parse().expect("a digest");
            let config = layout.json(&config).expect("read");
            assert_eq!(config["rootfs"]["diff_ids"][0], *base);
            assert_eq!(config["rootfs"]["diff_ids"][1], *Digest::of(&layer(100)).to_string());
            assert_eq!((config["created"].as_str(), manifest["layers"].as_array().map(Vec::len)), (Some("1970-01-01T00:16:40Z"), Some(3)));
            indexes.push(index);
        }
        assert_eq!(indexes[0], indexes[1]);
    }
}
