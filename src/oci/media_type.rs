//! Media types of manifests and of the content this project reads or makes.
//!
//! Sources: OCI image-spec 1.1 `media-types.md`, Docker "Image Manifest Version 2, Schema 2", Helm `pkg/registry/constants.go`.

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI artifact manifest of image-spec 1.1-rc, withdrawn before 1.1 but still found in registries.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// Docker's first manifest format, signed; copied as it is and never understood.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// The two-byte blob `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Layer: gzipped tar.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Zip archive, the layer of OpenTofu's module packages.
pub const ZIP: &str = "archive/zip";
/// Helm chart metadata.
pub const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// Helm chart archive.
pub const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Helm provenance file.
pub const HELM_PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";

/// Content of the empty descriptor.
pub const EMPTY_JSON: &[u8] = b"{}";

/// What a GET or HEAD of a manifest says it accepts: everything there is, so that a registry never converts.
pub const ACCEPT_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json, application/vnd.docker.distribution.manifest.v1+prettyjws, */*;q=0.5";

/// Whether it is the type of an index or manifest list.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether it is the type of any manifest or index that refers to other content.
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    is_index(media_type) || matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST | OCI_ARTIFACT | DOCKER_SCHEMA1)
}

/// Whether the type says nothing about what the content is.
#[must_use]
pub fn is_general(media_type: &str) -> bool {
    matches!(media_type, "" | "application/json" | "application/octet-stream") || media_type.starts_with("text/")
}

/// Whether a layer of that type may be missing from registries: its content stands at the descriptor's `urls`
/// (image-spec `layer.md`, "Non-Distributable Layers"; Docker's foreign layers).
#[must_use]
pub fn is_nondistributable(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}
