//! Making layouts reproducible: what a tool wrote into an image about its own time and its own cache is replaced by what the source says.
//!
//! Inputs: configurations and layers that a backend exported. Outputs: one image layout with one root. Invariants: the same layers and the
//! same configuration but for times give the same digest; an index lists its images in the order of the request.
//!
//! Called by the buildah and engine backends. Blocking.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    digest::{Algorithm, Digest, Hasher},
    job::{Failure, FailureKind, Platform},
    oci::{Descriptor, media_type},
};

/// Largest JSON document of a layout that is read.
const MAX_JSON: u64 = 8 << 20;

/// A layout that is being put together.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

/// Which times of a configuration are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// Those that are exactly this, in seconds since 1970: the mark of what this build made.
    Marked(u64),
    /// All of them, because it cannot be told whose they are.
    All,
}

impl Layout {
    /// The layout at `root`, made if need be.
    pub(super) fn at(root: &Path) -> io::Result<Self> {
        fs_err::create_dir_all(root.join("blobs/sha256"))?;
        Ok(Self { root: root.to_owned() })
    }

    /// The file of a blob.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Reads a JSON document.
    pub(super) fn json(&self, digest: &Digest) -> Result<Value, Failure> {
        read_json(&self.blob(digest))
    }

    /// Writes a JSON document.
    pub(super) fn put(&self, kind: &str, value: &Value) -> Result<Descriptor, Failure> {
        let bytes = serde_json::to_vec(value).map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
        let descriptor = Descriptor::of(kind, &bytes);
        fs_err::File::create(self.blob(&descriptor.digest))?.write_all(&bytes)?;
        Ok(descriptor)
    }

    /// Writes an image of these layers, with the times of `config` replaced by `epoch`.
    pub(super) fn image(&self, mut config: Value, layers: &[Descriptor], times: Times, epoch: u64) -> Result<Descriptor, Failure> {
        let platform: Platform = serde_json::from_value(config.clone()).map_err(|error| unreadable("image configuration", &error))?;
        set_times(&mut config, times, epoch);
        let config = self.put(media_type::OCI_CONFIG, &config)?;
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.put(media_type::OCI_MANIFEST, &manifest)?;
        descriptor.platform = Some(platform);
        Ok(descriptor)
    }

    /// Ends it with one image, or an index of several.
    pub(super) fn finish(self, mut images: Vec<Descriptor>) -> Result<(), Failure> {
        let root = if images.len() == 1 {
            images.remove(0)
        } else {
            let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": images});
            self.put(media_type::OCI_INDEX, &index)?
        };
        let index = json!({"schemaVersion": 2, "manifests": [Descriptor { platform: None, ..root }]});
        fs_err::write(self.root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        fs_err::write(self.root.join("index.json"), index.to_string())?;
        Ok(())
    }
}

/// Reads a JSON file of bounded size.
pub(super) fn read_json(path: &Path) -> Result<Value, Failure> {
    let what = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if fs_err::metadata(path)?.len() > MAX_JSON {
        return Err(Failure::new(FailureKind::LimitExceeded, format!("{} of the built image is larger than {MAX_JSON} bytes", what())));
    }
    serde_json::from_slice(&fs_err::read(path)?).map_err(|error| unreadable(&what(), &error))
}

/// What the backend wrote is not what it says.
pub(super) fn unreadable(what: &str, error: &impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Internal, format!("the {what} that the backend wrote cannot be read: {error}"))
}

/// Replaces times, and drops what else differs from build to build: the ids of cached steps and of the container that a step ran in.
fn set_times(config: &mut Value, times: Times, epoch: u64) {
    let as_text = |seconds: u64| Timestamp::from_second(i64::try_from(seconds).unwrap_or(0)).unwrap_or_default().to_string();
    let epoch = as_text(epoch);
    let ours = |value: &Value| match times {
        Times::All => true,
        Times::Marked(mark) => value.as_str() == Some(&as_text(mark)),
    };
    let Some(config) = config.as_object_mut() else { return };
    if let Some(history) = config.get_mut("history").and_then(Value::as_array_mut) {
        for entry in history.iter_mut().filter_map(Value::as_object_mut) {
            if entry.get("created").is_some_and(ours) {
                entry.insert("created".to_owned(), json!(epoch));
            }
            if entry.get("comment").and_then(Value::as_str).is_some_and(|comment| comment.starts_with("FROM ")) {
                entry.remove("comment");
            }
        }
    }
    config.insert("created".to_owned(), json!(epoch));
    for key in ["container", "container_config", "docker_version", "moby.buildkit.buildinfo.v1", "moby.buildkit.cache.v0"] {
        config.remove(key);
    }
}

/// Hashes and counts what goes through.
#[derive(Debug)]
pub(super) struct Hashing<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W> Hashing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), size: 0 }
    }

    /// What it wrote to, the digest and the number of bytes.
    pub(super) fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_build_at_another_time_is_the_same_image() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::at(folder.path()).expect("made");
        let config = |mark: &str, from: &str| {
            json!({"created": mark, "architecture": "amd64", "os": "linux", "container": from,
                   "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "base"}, {"created": mark, "comment": format!("FROM {from}")}]})
        };
        let one = layout.image(config("1980-01-01T00:00:00Z", "aa"), &[], Times::Marked(315_532_800), 1_700_000_000).expect("written");
        let two = layout.image(config("1970-01-01T00:00:01Z", "bb"), &[], Times::Marked(1), 1_700_000_000).expect("written");
        assert_eq!(one.digest, two.digest);
        let manifest = layout.json(&one.digest).expect("read");
        let digest: Digest = manifest["config"]["digest"].as_str().expect("text").parse().expect("a digest");
        let config = layout.json(&digest).expect("read");
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        assert_eq!(config["history"][0]["created"], "2020-01-01T00:00:00Z");
        assert_eq!(config["history"][1], json!({"created": "2023-11-14T22:13:20Z"}));
        layout.finish(vec![one.clone(), one]).expect("finished");
        assert_eq!(read_json(&folder.path().join("index.json")).expect("read")["manifests"].as_array().map(Vec::len), Some(1));
    }
}
