//! Attestations: taken out of the layout that BuildKit exported, so that the image is the one it would be without them.
//!
//! BuildKit keeps what it attests in the index beside the images: a manifest each, with an in-toto statement as each layer (buildkit
//! `docs/attestations/attestation-storage.md`). A referrer is where other tools look, and changes no digest.
//!
//! Inputs: the layout folder, the generator of the plan. Outputs: the SBOMs by the image they are about; the generator as a material; the layout
//! with its root as it is when nothing is attested. Called by the backend. Blocking.

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    super::{
        layout::{Layout, read_json, unreadable},
        run::MAX_SBOM,
    },
    generator::Generator,
};
use crate::{
    digest::Digest,
    job::{Failure, FailureKind},
    oci::{Descriptor, ImageManifest, media_type},
    provenance::{Material, Sbom},
};

/// Annotations of an entry that is an attestation: what it is, and the digest of the image it is about.
const TYPE: &str = "vnd.docker.reference.type";
const ABOUT: &str = "vnd.docker.reference.digest";
/// What statements are stored as.
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Annotation of a layer that says what its statement is about; one without is looked into.
const PREDICATE: &str = "in-toto.io/predicate-type";
/// Most bytes of all SBOMs of one build: they are in memory until they are attached.
const MAX_ALL: u64 = 4 * MAX_SBOM;
/// Most statements about one image. A generator writes one for each file system that it scanned.
const MAX_STATEMENTS: usize = 64;

/// What was taken out.
#[derive(Debug)]
pub(super) struct Taken {
    /// At least one for each image, in the order of the index; of an image the one about its own file system first.
    pub(super) sboms: Vec<Sbom>,
    /// The generator by its digest, as far as it is known.
    pub(super) generator: Vec<Material>,
}

/// What is read of a statement (in-toto attestation framework, "Statement").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(default)]
    predicate_type: String,
    #[serde(borrow)]
    predicate: Option<&'a RawValue>,
}

/// What is read of BuildKit's provenance: SLSA v0.2 has `materials`, v1 `resolvedDependencies`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Slsa {
    materials: Vec<Dependency>,
    build_definition: Definition,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Definition {
    resolved_dependencies: Vec<Dependency>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dependency {
    uri: String,
    digest: std::collections::BTreeMap<String, String>,
}

/// Takes the attestations out of the layout at `out`. `several`: whether the image is an index also without them.
///
/// # Errors
/// [`FailureKind::ToolFailed`] when there is no SBOM of an image, [`FailureKind::LimitExceeded`] when there is too much of them.
pub(super) fn take(out: &Path, generator: &Generator, several: bool) -> Result<Taken, Failure> {
    let layout = Layout::at(out)?;
    let mut top = read_json(&out.join("index.json"))?;
    let root: Descriptor = read(&top["manifests"][0], "index.json")?;
    if !media_type::is_index(&root.media_type) {
        return Err(nothing(generator, None));
    }
    let mut index = layout.json(&root.digest)?;
    let entries = match index.get_mut("manifests").map(Value::take) {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    let (attestations, images): (Vec<Value>, Vec<Value>) = entries.into_iter().partition(|entry| entry["annotations"][TYPE].is_string());
    let mut reader = Reader { layout: &layout, generator, left: MAX_ALL, materials: Vec::new() };
    let mut sboms: Vec<Sbom> = Vec::new();
    for image in &images {
        let image: Descriptor = read(image, "index")?;
        let is_about_it = |entry: &&Value| entry["annotations"][ABOUT].as_str() == Some(image.digest.as_str());
        let mut seen = Vec::new();
        for entry in attestations.iter().filter(is_about_it) {
            let entry: Descriptor = read(entry, "index")?;
            // A platform that was asked for twice has everything twice.
            if !seen.contains(&entry.digest) {
                reader.manifest(&entry, &image.digest, &mut sboms)?;
                seen.push(entry.digest);
            }
        }
        if !sboms.iter().any(|sbom| sbom.subject.as_ref() == Some(&image.digest)) {
            let platform = image.platform.filter(|_| several).map(|platform| platform.to_string());
            return Err(nothing(generator, platform.as_deref()));
        }
    }
    let mut materials = reader.materials;
    if materials.is_empty() {
        materials.extend(generator.pinned());
    }
    top["manifests"] = match images.as_slice() {
        [] => return Err(nothing(generator, None)),
        [only, ..] if !several => json!([only]),
        _ => {
            index["manifests"] = Value::Array(images);
            json!([layout.put(&root.media_type, &index)?])
        }
    };
    fs_err::write(out.join("index.json"), top.to_string())?;
    Ok(Taken { sboms, generator: materials })
}

/// Reads attestation manifests.
struct Reader<'a> {
    layout: &'a Layout,
    generator: &'a Generator,
    /// Bytes of SBOMs that may still be read.
    left: u64,
    /// The generator, as BuildKit's provenance names it.
    materials: Vec<Material>,
}

impl Reader<'_> {
    /// Adds the SBOMs of one attestation manifest, about the image `about`, to `sboms`.
    fn manifest(&mut self, entry: &Descriptor, about: &Digest, sboms: &mut Vec<Sbom>) -> Result<(), Failure> {
        let manifest: ImageManifest = read(&self.layout.json(&entry.digest)?, "attestation manifest")?;
        let statements: Vec<Descriptor> = manifest.layers.into_iter().filter(|layer| layer.media_type == IN_TOTO).collect();
        if statements.len() > MAX_STATEMENTS {
            let text = format!("{} wrote {} documents; {MAX_STATEMENTS} are read", named(self.generator), statements.len());
            return Err(Failure::new(FailureKind::LimitExceeded, text));
        }
        for layer in statements {
            let kind = layer.annotations.get(PREDICATE).map(String::as_str);
            if kind.is_none_or(|kind| is_slsa(kind) || sbom_type(kind).is_some()) {
                let sbom = self.statement(&layer.digest, about)?;
                sboms.extend(sbom.filter(|sbom| !sboms.contains(sbom)));
            }
        }
        Ok(())
    }

    /// The SBOM that a statement holds, if it is about that.
    fn statement(&mut self, digest: &Digest, about: &Digest) -> Result<Option<Sbom>, Failure> {
        let bytes = self.bytes(digest)?;
        let statement: Statement<'_> = serde_json::from_slice(&bytes).map_err(|error| unreadable("attestation", &error))?;
        let document = statement.predicate.map_or("null", RawValue::get);
        if is_slsa(&statement.predicate_type) {
            self.dependencies(document);
        }
        let Some(media_type) = sbom_type(&statement.predicate_type) else { return Ok(None) };
        if !matches!(Sbom::media_type_of(document.as_bytes()), Ok(Some(found)) if found == media_type) {
            let text = format!("{} wrote something of type {media_type} that is none: {SAY}", named(self.generator));
            return Err(failed(text));
        }
        self.left = self.left.saturating_sub(bytes.len() as u64);
        let content = Bytes::copy_from_slice(document.as_bytes());
        Ok(Some(Sbom { media_type: media_type.to_owned(), content, subject: Some(about.clone()) }))
    }

    /// A statement of at most what is left.
    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, Failure> {
        let path = self.layout.blob(digest);
        let (size, limit) = (fs_err::metadata(&path)?.len(), MAX_SBOM.min(self.left));
        if size > limit {
            let text = format!(
                "{} wrote a document of {size} bytes; {MAX_SBOM} are attached of each, {MAX_ALL} of all: let it list packages without files",
                named(self.generator)
            );
            return Err(Failure::new(FailureKind::LimitExceeded, text));
        }
        Ok(fs_err::read(&path)?)
    }

    /// Finds the generator among the dependencies of BuildKit's provenance. What cannot be read there is no loss to the image.
    fn dependencies(&mut self, document: &str) {
        let Ok(slsa) = serde_json::from_str::<Slsa>(document) else { return };
        for dependency in slsa.materials.iter().chain(&slsa.build_definition.resolved_dependencies) {
            let digest = dependency.digest.get("sha256").and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            let material = digest.and_then(|digest| self.generator.material(&dependency.uri, &digest));
            self.materials.extend(material.filter(|material| !self.materials.contains(material)));
        }
    }
}

fn is_slsa(predicate_type: &str) -> bool {
    predicate_type.starts_with("https://slsa.dev/provenance/")
}

/// The media type of an SBOM in a predicate of that type (in-toto attestation `spec/predicates/{spdx,cyclonedx}.md`), versions included.
fn sbom_type(predicate_type: &str) -> Option<&'static str> {
    let is = |base: &str| predicate_type.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is("https://spdx.dev/Document") {
        Some("application/spdx+json")
    } else if is("https://cyclonedx.org/bom") {
        Some("application/vnd.cyclonedx+json")
    } else {
        None
    }
}

/// What a generator has to do.
pub(super) const SAY: &str =
    "a generator writes an in-toto statement with an SPDX document into a file *.spdx.json of $BUILDKIT_SCAN_DESTINATION";

fn nothing(generator: &Generator, platform: Option<&str>) -> Failure {
    let what = platform.map(|platform| format!(" for {platform}")).unwrap_or_default();
    failed(format!("{} wrote no SBOM{what}: {SAY}, and BuildKit runs it from version 0.11 on", named(generator)))
}

fn named(generator: &Generator) -> String {
    format!("sbom_generator: '{}'", generator.shown())
}

fn failed(text: String) -> Failure {
    Failure::new(FailureKind::ToolFailed, text).with_tool("sbom_generator", None)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value, what: &str) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| unreadable(what, &error))
}

#[cfg(test)]
mod tests;
