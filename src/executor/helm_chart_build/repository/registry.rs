//! Charts in OCI registries, as `helm push` leaves them there: tags are versions with `_` for `+`, one layer is the archive.

use percent_encoding::percent_decode_str;

use crate::{
    executor::Context,
    job::{Failure, FailureKind},
    oci::{self, Credentials, Location, Manifest, media_type},
    versions::{Constraint, NotARange, Version},
};

use super::{super::dependencies::Fetched, MAX_ARCHIVE, OCI, index::listed};

/// The layer type of Helm before 3.7, still pulled by helm.
const LEGACY_CHART: &str = "application/tar+gzip";

/// An OCI repository without a usable chart.
#[derive(Debug, thiserror::Error)]
enum RegistryError {
    #[error("'{place}' is not a repository of charts: write oci://HOST/PATH")]
    Place { place: String },
    #[error("{reference} is no Helm chart: {why}; push charts with 'helm push'")]
    NotAChart { reference: String, why: String },
    #[error("{repository} has no version that fits '{wanted}'; it has {available}")]
    NoVersion { repository: String, wanted: String, available: String },
    #[error("version {0}")]
    Range(#[from] NotARange),
    #[error(transparent)]
    Location(#[from] oci::LocationError),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let kind = match &error {
            RegistryError::Place { .. } | RegistryError::Range(_) | RegistryError::Location(_) => FailureKind::InvalidPlan,
            RegistryError::NotAChart { .. } => FailureKind::InvalidSource,
            RegistryError::NoVersion { .. } => FailureKind::SourceNotFound,
        };
        Self::new(kind, error.to_string())
    }
}

/// The newest version of `chart` in the range `wanted` below `place` (`HOST/PATH`).
pub(super) async fn by_version(cx: &Context, place: &str, chart: &str, wanted: &str) -> Result<Fetched, Failure> {
    let repository = open(cx, &format!("{}/{chart}", place.trim_end_matches('/')))?;
    let tag = match wanted.parse::<Version>() {
        Ok(exact) => exact.as_str().to_owned(),
        Err(_) => newest(&repository.tags(cx.oci_cx()).await?, &repository.display(), wanted)?,
    };
    pull(cx, &repository, &tag.replace('+', "_")).await
}

/// The chart at `oci://HOST/PATH:TAG`, as an index may name it.
pub(super) async fn by_reference(cx: &Context, reference: &str) -> Result<Fetched, Failure> {
    let place = reference.strip_prefix(OCI).unwrap_or(reference);
    let wrong = || RegistryError::Place { place: super::shown(reference) };
    let (repository, tag) = place.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).ok_or_else(wrong)?;
    let repository = open(cx, repository)?;
    pull(cx, &repository, &tag.replace('+', "_")).await
}

/// Opens `[USER:PASSWORD@]HOST/PATH`.
fn open(cx: &Context, place: &str) -> Result<oci::Repository, Failure> {
    let (userinfo, place) = place.rsplit_once('@').map_or((None, place), |(userinfo, place)| (Some(userinfo), place));
    let (host, path) = place.split_once('/').ok_or_else(|| RegistryError::Place { place: place.to_owned() })?;
    let credentials = userinfo.map_or(Credentials::Configured, |userinfo| {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let (username, secret) = (decode(user), decode(password));
        for text in if secret.is_empty() { [user, username.as_str()] } else { [password, secret.as_str()] } {
            cx.log.add_secret(text);
        }
        Credentials::Static { username, password: secret.into(), origin: "the repository URL".to_owned() }
    });
    let location = Location::registry(host, path, false, credentials).map_err(RegistryError::Location)?;
    Ok(cx.oci.open(&location)?)
}

/// The newest of the tags that are versions and in range.
fn newest(tags: &[String], repository: &str, wanted: &str) -> Result<String, RegistryError> {
    let range: Constraint = if wanted.is_empty() { "*" } else { wanted }.parse()?;
    let mut versions: Vec<Version> = tags.iter().filter_map(|tag| tag.replace('_', "+").parse().ok()).filter(Version::is_strict).collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.iter().find(|version| range.allows(version)).map(ToString::to_string).ok_or_else(|| RegistryError::NoVersion {
        repository: repository.to_owned(),
        wanted: if wanted.is_empty() { "any release".to_owned() } else { wanted.to_owned() },
        available: listed(versions.iter().map(Version::as_str)),
    })
}

async fn pull(cx: &Context, repository: &oci::Repository, tag: &str) -> Result<Fetched, Failure> {
    let reference = format!("{OCI}{}:{tag}", repository.display());
    let (descriptor, bytes) = repository.manifest(cx.oci_cx(), tag).await?;
    let not_a_chart = |why: String| RegistryError::NotAChart { reference: reference.clone(), why };
    let manifest = match Manifest::parse(&descriptor.media_type, &bytes).map_err(oci::Error::from)? {
        Manifest::Image(manifest) => manifest,
        Manifest::Index(_) | Manifest::Artifact(_) | Manifest::Unknown => {
            return Err(not_a_chart(format!("it has the media type {}", descriptor.media_type)).into());
        }
    };
    if manifest.config.media_type != media_type::HELM_CONFIG {
        return Err(not_a_chart(format!("its config has the media type {}", manifest.config.media_type)).into());
    }
    let layer = manifest.layers.iter().find(|layer| layer.media_type == media_type::HELM_CHART);
    let layer = layer.or_else(|| manifest.layers.iter().find(|layer| layer.media_type == LEGACY_CHART));
    let layer = layer.ok_or_else(|| not_a_chart(format!("it has no layer of type {}", media_type::HELM_CHART)))?;
    cx.log.info(format_args!("downloading {reference} ({})", descriptor.digest));
    let archive = repository.blob(cx.oci_cx(), layer, MAX_ARCHIVE).await?;
    Ok(Fetched { archive, from: reference.clone(), digest: layer.digest.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_versions_with_an_underscore_for_the_plus() {
        let tags = ["latest", "1.0.0", "1.2.0_build.1", "2.0.0-rc.1", "v3.0.0", "3", "sha256-ab.sig"].map(str::to_owned);
        assert_eq!(newest(&tags, "r", "").expect("one"), "1.2.0+build.1");
        assert_eq!(newest(&tags, "r", "~1.0").expect("one"), "1.0.0");
        assert_eq!(newest(&tags, "r", ">=2.0.0-0").expect("one"), "2.0.0-rc.1");
        assert_eq!(
            newest(&tags, "h/r", "^9").expect_err("none").to_string(),
            "h/r has no version that fits '^9'; it has 2.0.0-rc.1, 1.2.0+build.1, 1.0.0"
        );
    }
}
