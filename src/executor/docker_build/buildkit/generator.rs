//! The image that lists what is in the built one, by the names that BuildKit gives it.
//!
//! The plan writes it as `docker pull` takes it; BuildKit resolves short names to Docker Hub and a missing tag to `latest` before it names it
//! anywhere.

use super::{super::dockerfile::canonical, progress::Failed, steps::is_scan};
use crate::{digest::Digest, provenance::Material};

/// A generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Generator {
    /// As the plan names it.
    shown: String,
    /// `HOST/PATH[:TAG][@DIGEST]`, at least one of both.
    full: String,
}

impl Generator {
    pub(super) fn of(reference: &str) -> Self {
        Self { shown: reference.to_owned(), full: canonical(reference) }
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether BuildKit means this image by `reference`.
    pub(super) fn is(&self, reference: &str) -> bool {
        reference == self.full || reference == self.shown
    }

    /// Whether it is what `failed` stands for: looking it up, pulling it, running it.
    pub(super) fn is_of(&self, failed: &Failed) -> bool {
        let looked_up = failed.name.strip_prefix("resolve image config for ").unwrap_or(&failed.name);
        // Long names are cut.
        let pulled = looked_up.strip_prefix("docker-image://").map(|image| image.strip_suffix(" …").unwrap_or(image));
        is_scan(&failed.name) || pulled.is_some_and(|image| !image.is_empty() && (self.full.starts_with(image) || self.is(image)))
    }

    /// The material it is, when a dependency of BuildKit's provenance is it: `pkg:docker/NAME@TAG?platform=…` (package URL, "docker").
    pub(super) fn material(&self, purl: &str, digest: &Digest) -> Option<Material> {
        let name = purl.strip_prefix("pkg:docker/")?.split(['?', '#']).next()?;
        let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
        let path = name.rsplit_once('@').map_or(&*name, |(path, _)| path);
        (repository(&canonical(path)) == repository(&self.full)).then(|| self.at(digest))
    }

    /// The material it is by the digest that the plan names.
    pub(super) fn pinned(&self) -> Option<Material> {
        let (_, digest) = self.full.split_once('@')?;
        Some(self.at(&digest.parse().ok()?))
    }

    fn at(&self, digest: &Digest) -> Material {
        let name = self.full.split_once('@').map_or(self.full.as_str(), |(name, _)| name);
        Material::content(format!("oci://{name}"), digest, "SBOM generator")
    }
}

/// What stands before the tag, which is behind the last colon of the last part, and before the digest.
fn repository(full: &str) -> &str {
    let name = full.split('@').next().unwrap_or(full);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last..].find(':').map_or(name, |colon| &name[..last + colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn a_generator_is_known_by_every_name_that_buildkit_gives_it() {
        let digest: Digest = DIGEST.parse().expect("a digest");
        let pinned = format!("h:5000/a/scan:1@{DIGEST}");
        for (reference, full, purl) in [
            ("scan", "docker.io/library/scan:latest", "pkg:docker/scan@latest?platform=linux%2Famd64"),
            ("docker.io/scan:2", "docker.io/library/scan:2", "pkg:docker/scan@2"),
            ("docker/scan:stable-1", "docker.io/docker/scan:stable-1", "pkg:docker/docker/scan@stable-1"),
            ("localhost/scan", "localhost/scan:latest", "pkg:docker/localhost/scan@latest"),
            (&pinned, &pinned, "pkg:docker/h%3A5000/a/scan@1?digest=sha256:44&platform=linux%2Famd64"),
        ] {
            let generator = Generator::of(reference);
            assert!(generator.is(full) && generator.is(reference) && !generator.is("docker.io/library/other:latest"), "{generator:?}");
            let material = generator.material(purl, &digest).unwrap_or_else(|| panic!("{purl} is {reference}"));
            assert_eq!(material.uri, format!("oci://{}", full.split('@').next().unwrap_or_default()));
            assert_eq!(generator.material("pkg:docker/other@1", &digest), None);
            let failed = |name: String| Failed { name, error: String::new(), tail: Vec::new() };
            assert!(generator.is_of(&failed(format!("resolve image config for docker-image://{full}"))));
            assert!(generator.is_of(&failed(format!("docker-image://{full}"))));
            assert!(generator.is_of(&failed(format!("[linux/amd64] generating sbom using {full}"))));
            assert!(!generator.is_of(&failed("resolve image config for docker-image://docker.io/docker/dockerfile:1".to_owned())));
            assert!(!generator.is_of(&failed("[1/2] RUN generating sbom using".to_owned())));
        }
        assert_eq!(Generator::of("scan").pinned(), None);
        assert_eq!(Generator::of(&pinned).pinned().map(|material| material.uri), Some("oci://h:5000/a/scan:1".to_owned()));
    }
}
