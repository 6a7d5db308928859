//! What a build reports, and what its provenance says it was asked to do.

use serde_json::{Map, Value, json};

use super::{Request, run::Pushed};
use crate::{
    executor::shared,
    job::Outputs,
    oci::Repository,
    plan::{self, Build, DockerBuildPlan},
    provenance::Record,
};

/// Parts of names by which BuildKit knows arguments that hold a secret (its check `SecretsUsedInArgOrEnv`).
const SECRET: [&str; 10] = ["apikey", "auth", "credential", "credentials", "key", "passwd", "password", "pword", "secret", "token"];

/// The artifact, `image` (the hosted control plane's keys), `platforms` and `steps`.
pub(crate) fn outputs(pushed: Pushed) -> Outputs {
    let Pushed { mut report, image, built } = pushed;
    let platforms: Vec<Value> = image
        .images
        .iter()
        .map(|image| json!({"platform": image.platform.to_string(), "digest": image.descriptor.digest, "size": image.size}))
        .collect();
    if let [only] = image.images.as_slice() {
        report.artifact.platform = Some(only.platform.clone());
    }
    let artifact = &report.artifact;
    let mut shown = Map::new();
    shown.insert("tag".to_owned(), json!(artifact.tag));
    shown.insert("repository".to_owned(), json!(artifact.repository));
    shown.insert("media_type".to_owned(), json!(artifact.media_type));
    shown.insert("digest".to_owned(), json!(artifact.digest));
    shown.insert("size".to_owned(), json!(report.root.size));
    if let Some(platform) = &artifact.platform {
        shown.insert("platform".to_owned(), json!(platform));
    }
    Outputs::of(report.artifact)
        .with("image", Value::Object(shown))
        .with("platforms", Value::Array(platforms))
        .with("steps", json!({"total": built.steps.total, "cached": built.steps.cached}))
}

/// The parameters of a build: everything of the plan that decides about the image, and no secret.
pub(crate) fn record(repository: Repository, plan: &Build<DockerBuildPlan>, request: &Request) -> Record {
    let asked = &plan.plan;
    let args: Map<String, Value> = request.build_args.iter().map(|(name, value)| (name.clone(), shown(name, value).into())).collect();
    let secrets: Vec<&String> = asked.secrets.keys().collect();
    let network = Some(request.network.as_str()).filter(|network| *network != "default");
    Record::new(repository)
        .parameter("git_source", plan.git_source.as_ref().map_or_else(Default::default, shared::parameters))
        .parameter("dockerfile", request.dockerfile_name.as_str())
        .parameter("context", asked.context.as_deref())
        .parameter("target", asked.target.as_deref())
        .parameter("build_args", Value::Object(args))
        .parameter("platforms", json!(asked.platforms))
        .parameter("labels", json!(asked.labels))
        .parameter("secret_ids", json!(secrets))
        .parameter("network", network)
        .parameter("sbom_generator", asked.sbom_generator.as_deref())
}

/// The value of a build argument for everybody who can pull the image: not that of one that is a secret by its name, and URLs without passwords.
fn shown(name: &str, value: &str) -> String {
    let name = name.to_ascii_lowercase();
    let has = |wanted: &[&str]| name.split('_').any(|part| wanted.contains(&part));
    if has(&SECRET) && !has(&["public"]) { "***".to_owned() } else { plan::without_userinfo(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_secrets_are_not_told() {
        for (name, value, expected) in [
            ("NPM_TOKEN", "npm_1", "***"),
            ("password", "p", "***"),
            ("SIGNING_PUBLIC_KEY", "k", "k"),
            ("MONKEY", "m", "m"),
            ("PIP_INDEX_URL", "https://u:p@pypi.example/simple", "https://pypi.example/simple"),
            ("HTTP_PROXY", "http://u:p@proxy:3128", "http://proxy:3128"),
            ("PROFILE", "a@b://c", "a@b://c"),
        ] {
            assert_eq!(shown(name, value), expected, "{name}");
        }
    }
}
