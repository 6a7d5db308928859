//! What the plan asks for: which repository, and which version there. Pure.

use std::path::Path;

use crate::{
    job::{Failure, FailureKind},
    oci::{self, Credentials, Location},
    plan::{ContainerImagePullPlan, ImageName},
    versions::Constraint,
};

/// How the version is named.
#[derive(Debug, Clone)]
pub(super) enum Version {
    /// By a name that may move.
    Tag(String),
    /// By content; the tag is what people call it.
    Digest { digest: String, tag: Option<String> },
    /// As the newest of those in a range.
    Newest { range: Constraint, text: String },
}

/// A version of an image somewhere.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) location: Location,
    pub(super) version: Version,
}

impl Wanted {
    /// Reads the plan. `repo_config` says where when it is there, and `image` is only a name then; a digest goes before a tag, and
    /// `update_policy` before a tag, as at the hosted control plane, whose plans always have one. `base` is the folder that layouts may be
    /// relative to.
    pub(super) fn of(plan: &ContainerImagePullPlan, base: Option<&Path>) -> Result<Self, Failure> {
        let name = ImageName::split(&plan.image);
        let location = match &plan.repo_config {
            Some(registry) => Location::from_plan(registry, base).map_err(|error| at("repo_config", error))?,
            None => Location::repository(name.repository, Credentials::Configured).map_err(|error| at("image", error))?,
        };
        let (digest, tag) = match &plan.tag {
            Some(digest) if digest.contains(':') => (Some(digest.as_str()), name.tag),
            tag => (name.digest, tag.as_deref().or(name.tag)),
        };
        let version = match (digest, &plan.update_policy, tag) {
            (Some(digest), None, tag) => Version::Digest { digest: digest.to_owned(), tag: tag.map(str::to_owned) },
            (None, Some(text), _) => {
                let range = text.parse().map_err(|error| invalid(format!("update_policy: {error}")))?;
                Version::Newest { range, text: text.clone() }
            }
            (None, None, Some(tag)) => Version::Tag(tag.to_owned()),
            (Some(_), Some(_), _) => return Err(invalid("update_policy has nothing to choose where image or tag is a digest".to_owned())),
            (None, None, None) => {
                return Err(invalid("tag is missing; name the tag of the image, or an update_policy that chooses one".to_owned()));
            }
        };
        Ok(Self { location, version })
    }
}

fn at(field: &str, error: oci::LocationError) -> Failure {
    Failure::from(oci::Error::from(error)).context(field)
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureKind::InvalidPlan, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::{Plan, Strictness};

    fn wanted(plan: &Value) -> String {
        let whole = json!({"dst_registry": {"RegistryType": "public_oci", "Repository": "r.example/x"}, "container_image_pull_plan": plan});
        let decoded = match Plan::decode(crate::job::JobType::ContainerImageBuild, &whole, Strictness::JobFile) {
            Ok(decoded) => decoded,
            Err(problems) => return format!("{problems:?}"),
        };
        let Plan::ContainerImageBuild(build) = decoded.plan else { return "another type".to_owned() };
        match Wanted::of(&build.plan, Some(Path::new("/jobs"))) {
            Ok(Wanted { location, version }) => match version {
                Version::Tag(tag) => format!("{}:{tag}", location.display()),
                Version::Digest { digest, tag } => format!("{}@{} {tag:?}", location.display(), &digest[..10]),
                Version::Newest { text, .. } => format!("{} {text}", location.display()),
            },
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn short_names_are_docker_hub_s() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (plan, expected) in [
            (json!({"image": "nginx", "tag": "1.27"}), "docker.io/library/nginx:1.27"),
            (json!({"image": "nginx:1.27"}), "docker.io/library/nginx:1.27"),
            (json!({"image": "bitnami/redis:7", "tag": "7"}), "docker.io/bitnami/redis:7"),
            (json!({"image": "index.docker.io/nginx", "tag": "1"}), "docker.io/library/nginx:1"),
            (json!({"image": "localhost:5000/a/b:1"}), "localhost:5000/a/b:1"),
            (json!({"image": "r.example:5000/a", "tag": "1"}), "r.example:5000/a:1"),
            (json!({"image": format!("r.example/a@{digest}")}), "r.example/a@sha256:aba None"),
            (json!({"image": format!("r.example/a:1@{digest}")}), "r.example/a@sha256:aba Some(\"1\")"),
            (json!({"image": "r.example/a:1", "tag": digest}), "r.example/a@sha256:aba Some(\"1\")"),
            (json!({"image": "r.example/a", "tag": "latest", "update_policy": "^1"}), "r.example/a ^1"),
        ] {
            assert_eq!(wanted(&plan), expected, "{plan}");
        }
    }

    #[test]
    fn the_registry_object_says_where() {
        let layout = json!({"RegistryType": "oci_layout", "Repository": "../out"});
        let hub = json!({"RegistryType": "public_oci", "Repository": "nginx", "LoginServer": "index.docker.io"});
        let mirror = json!({"RegistryType": "private_oci", "Repository": "mirror.example/library/nginx"});
        assert_eq!(wanted(&json!({"image": "hello", "tag": "1", "repo_config": layout})), "/out:1");
        assert_eq!(wanted(&json!({"image": "nginx", "tag": "1", "repo_config": hub})), "docker.io/library/nginx:1");
        assert_eq!(wanted(&json!({"image": "nginx:1.27", "repo_config": mirror})), "mirror.example/library/nginx:1.27");
    }
}
