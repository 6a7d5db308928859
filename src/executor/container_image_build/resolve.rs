//! From what the plan asks for to a digest. Everything after goes by that digest.

use jiff::Timestamp;

use crate::{
    executor::Context,
    job::{Failure, FailureKind},
    oci::{Descriptor, Repository},
    versions,
};

use super::wanted::Version;

/// What was found, and when.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    /// Root manifest or index.
    pub(super) root: Descriptor,
    /// The tag that led there, or that people call the digest.
    pub(super) tag: Option<String>,
    /// `HOST/NAME:TAG`, or `HOST/NAME@DIGEST` when a digest was asked for.
    pub(super) reference: String,
    pub(super) at: Timestamp,
}

/// Asks the source what it has. Of a tag only the head is fetched.
pub(super) async fn resolve(cx: &Context, source: &Repository, version: &Version) -> Result<Resolved, Failure> {
    let place = source.display();
    let (asked, reference, tag) = match version {
        Version::Tag(tag) => (tag.clone(), format!("{place}:{tag}"), Some(tag.clone())),
        Version::Digest { digest, tag } => (digest.clone(), format!("{place}@{digest}"), tag.clone()),
        Version::Newest { range, text } => {
            let all = source.tags(cx.oci_cx()).await?;
            let tags = versions::tagged(all.iter().map(String::as_str));
            let chosen = versions::newest(&tags, range).ok_or_else(|| no_version(&place, text, all.len(), &tags))?;
            cx.log.info(format_args!("{place}: update_policy '{text}' chooses {} of {} versions", chosen.tag, tags.len()));
            (chosen.tag.clone(), format!("{place}:{}", chosen.tag), Some(chosen.tag.clone()))
        }
    };
    let root = source.resolve(cx.oci_cx(), &asked).await.map_err(|error| match version {
        Version::Newest { text, .. } if error.is_not_found() => deleted(&place, text, &asked),
        _ => error.into(),
    })?;
    if asked == root.digest.as_str() {
        cx.log.info(format_args!("{reference} is there ({})", root.media_type));
    } else {
        cx.log.info(format_args!("{reference} is {} ({})", root.digest, root.media_type));
    }
    Ok(Resolved { root, tag, reference, at: Timestamp::now() })
}

/// An older version is not taken instead: what was deleted may be a release that was withdrawn, or a registry that has lost something.
fn deleted(place: &str, range: &str, tag: &str) -> Failure {
    let message = format!(
        "update_policy '{range}' chooses tag '{tag}', which {place} lists and does not have: it was deleted just now, or in part; delete the tag \
         as well, or leave it out of the range"
    );
    Failure::new(FailureKind::SourceNotFound, message)
}

fn no_version(place: &str, range: &str, count: usize, tags: &[versions::Tagged]) -> Failure {
    let message = if count == 0 {
        format!("{place} has no version for update_policy '{range}'; it has no tags")
    } else if tags.is_empty() {
        format!("{place} has no version for update_policy '{range}'; none of its {count} tags is a whole version like 1.2.3 or v1.2.3")
    } else {
        format!("{place} has no version that fits update_policy '{range}'; it has {}", versions::listed(tags))
    };
    Failure::new(FailureKind::SourceNotFound, message)
}
