//! The OCI artifact of a module: one manifest that several tools read as it is.
//!
//! | reader | takes |
//! |---|---|
//! | OpenTofu ≥ 1.10, `oci://` | the one `archive/zip` layer of a manifest of this `artifactType`; it ignores layers of other types |
//! | Flux `OCIRepository` | the first layer, a gzipped tar |
//! | Argo CD ≥ 3.1 | the one layer whose type ends with `tar+gzip` |
//!
//! Sources: OpenTofu `internal/getmodules/oci_getter.go`, Flux `pkg/oci`, Argo CD `util/oci/client.go`.

use std::collections::BTreeMap;

use crate::{
    executor::shared::{ANNOTATION, Stamp},
    oci,
};

/// `artifactType` of a module package (OpenTofu, "Module Packages in OCI Registries").
pub(crate) const TYPE: &str = "application/vnd.opentofu.modulepkg";

/// The artifact.
pub(crate) fn package(layers: [oci::Blob; 2], annotations: BTreeMap<String, String>) -> oci::Package {
    oci::Package { artifact_type: Some(TYPE.to_owned()), config: oci::Blob::empty(), layers: layers.into(), annotations, subject: None }
}

/// Annotations of the manifest. Labels of the plan may replace all but title and version.
pub(crate) fn annotations(stamp: &Stamp, path: &str, tag: &str, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = stamp.annotations();
    all.extend(labels.iter().filter(|(key, _)| !key.is_empty()).map(|(key, value)| (key.clone(), value.clone())));
    all.insert(format!("{ANNOTATION}title"), title(stamp, path));
    all.insert(format!("{ANNOTATION}version"), tag.to_owned());
    all
}

/// The module's folder, or else its repository. A folder of this machine is called something else on the next.
fn title(stamp: &Stamp, path: &str) -> String {
    let last = |text: &str| text.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
    let repository = || last(stamp.url.as_deref()?.trim_end_matches('/').trim_end_matches(".git"));
    last(path).or_else(repository).unwrap_or_else(|| "terraform-module".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_the_same_everywhere() {
        let at = |url: Option<&str>| Stamp { url: url.map(str::to_owned), ..Stamp::default() };
        assert_eq!(title(&at(None), "modules/vpc/"), "vpc");
        assert_eq!(title(&at(Some("https://host/team/tf-vpc.git")), ""), "tf-vpc");
        assert_eq!(title(&at(None), ""), "terraform-module");
    }

    #[test]
    fn labels_are_annotations() {
        let labels = [("k", "v"), ("org.opencontainers.image.title", "no"), ("", "x")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let expected = [
            ("k", "v"),
            ("org.opencontainers.image.created", "1970-01-01T00:00:00Z"),
            ("org.opencontainers.image.title", "vpc"),
            ("org.opencontainers.image.version", "1.0.0"),
        ];
        assert_eq!(annotations(&Stamp::default(), "vpc", "1.0.0", &labels), expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}
