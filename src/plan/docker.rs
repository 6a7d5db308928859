//! The plan of an image build: the hosted control plane's keys (`build_args`, `target`, `context`, `dockerfile`) and ours.

use std::collections::BTreeMap;

use super::{
    Build, Defect, Registry, RegistryType, Secret, Text,
    envelope::{BuildPlan, require_source},
    macros::{choice, object},
    reader::{Object, Reader},
    syntax::{self, SyntaxError},
};
use crate::yaml::Kind;

object! {
    /// An image from a Dockerfile.
    #[derive(Debug)]
    pub struct DockerBuildPlan {
        /// Build arguments; null leaves one at the Dockerfile's default, for builds see nothing of the runner's environment.
        build_args: BTreeMap<String, Option<Text>> = ["build_args"],
        /// Stage to build; the last one when absent.
        target: Option<String> = ["target"],
        /// Folder that is sent to the build, relative to the source path; the source path itself when absent.
        context: Option<String> = ["context"],
        /// Dockerfile, relative to the source path or, if there is none, to the context; `Dockerfile` when absent.
        dockerfile: Option<String> = ["dockerfile"],
        /// Platforms to build for, as os/architecture; that of the machine when empty.
        platforms: Vec<String> = ["platforms"],
        /// Secrets a build step can mount, by id.
        secrets: BTreeMap<String, Secret> = ["secrets"],
        /// Labels of the image.
        labels: BTreeMap<String, String> = ["labels", "Labels"],
        /// Whether steps may use the ssh agent that the runner is configured with, mounted as `default`.
        ssh: bool = ["ssh"] or false,
        /// Which steps of earlier builds may be reused.
        cache: Option<BuildCache> = ["cache"],
        /// Network of the steps.
        network: BuildNetwork = ["network"] or BuildNetwork::Default,
        /// Registries whose credentials may be used for base images and cache.
        registries: Vec<Registry> = ["registries"],
        /// File of the source with a list of what is in the image (SPDX or `CycloneDX`, JSON), to be published beside it.
        sbom: Option<String> = ["sbom"],
        /// Image that lists what is in the built image, to be published beside it: a generator of `BuildKit`'s SBOM scanning protocol.
        sbom_generator: Option<String> = ["sbom_generator"],
    }
    check check_docker;
}

choice! {
    /// The network that the steps of a build have.
    BuildNetwork is "a network" {
        /// What the backend gives by default.
        Default = "default",
        /// None but loopback.
        None = "none",
        /// The machine's.
        Host = "host",
    }
}

object! {
    /// Which steps of earlier builds may be reused.
    #[derive(Debug)]
    pub struct BuildCache {
        /// Whether those that this machine did may be.
        local: bool = ["local"] or true,
        /// Images or cache artifacts in registries whose steps may be, as references.
        from: Vec<String> = ["from"],
        /// Where to put the steps of this build for others, as a reference.
        to: Option<String> = ["to"],
    }
    check check_cache;
}

fn check_cache(value: &BuildCache, object: &Object<'_>, r: &mut Reader<'_>) {
    for (name, reference) in value.from.iter().map(|from| ("from", from)).chain(value.to.iter().map(|to| ("to", to))) {
        object.check(r, name, syntax::image(reference));
    }
}

fn check_docker(value: &DockerBuildPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    for name in value.build_args.keys() {
        object.check(r, "build_args", syntax::variable_name(name));
    }
    for (name, path) in [("context", &value.context), ("dockerfile", &value.dockerfile), ("sbom", &value.sbom)] {
        if let Some(path) = path {
            object.check(r, name, below_some_folder(path));
        }
    }
    if let Some(generator) = &value.sbom_generator {
        object.check(r, "sbom_generator", syntax::image(generator));
    }
    if let Some(target) = &value.target {
        object.check(r, "target", syntax::plain_name(target, "a build stage"));
    }
    for platform in &value.platforms {
        object.check(r, "platforms", syntax::platform(platform));
    }
    for id in value.secrets.keys() {
        object.check(r, "secrets", syntax::plain_name(id, "a secret id"));
    }
    for key in value.labels.keys() {
        object.check(r, "labels", label_key(key));
    }
    if value.registries.iter().any(|registry| registry.registry_type == RegistryType::OciLayout) {
        object.report(r, "registries", Defect::Contradiction("has an oci_layout, from which no base image is pulled; name registries"));
    }
}

/// A path that climbs out of the source path first is fine here: how deep that lies in the repository is known to whoever knows the envelope.
fn below_some_folder(path: &str) -> Result<(), SyntaxError> {
    let mut rest = path;
    while let Some(after) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("./")).or_else(|| (rest == "..").then_some("")) {
        rest = after;
    }
    syntax::relative_path(rest)
}

/// `labels` go to the tools as `key=value`.
fn label_key(key: &str) -> Result<(), SyntaxError> {
    if !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic() && c != '=' && c != ',') {
        return Ok(());
    }
    let rule = "use letters, digits and punctuation other than '=' and ','";
    Err(SyntaxError::Name { value: syntax::shown(key), what: "a label", rule })
}

impl BuildPlan for DockerBuildPlan {
    const KEY: &'static str = "docker_build_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        require_source(build, object, r);
        let folder = build.git_source.as_ref().and_then(|source| source.path.as_deref()).unwrap_or_default().trim_start_matches('/');
        let plan = &build.plan;
        let context = joined(folder, plan.context.as_deref().unwrap_or_default());
        let leaves = |base: &str, path: &str| syntax::relative_path(&joined(base, path)).map_err(|_| outside(path));
        for (name, path, bases) in [
            ("context", &plan.context, [folder, folder]),
            // It may be meant relative to either.
            ("dockerfile", &plan.dockerfile, [folder, context.as_str()]),
            ("sbom", &plan.sbom, [folder, folder]),
        ] {
            let Some(path) = path else { continue };
            if let (Err(error), Err(_)) = (leaves(bases[0], path), leaves(bases[1], path)) {
                report_inside(object, r, name, error);
            }
        }
    }
}

fn joined(base: &str, path: &str) -> String {
    if base.is_empty() { path.to_owned() } else { format!("{base}/{path}") }
}

fn outside(path: &str) -> SyntaxError {
    SyntaxError::Path { value: syntax::shown(path), problem: "leaves the source" }
}

/// Records a mistake of a key of this plan, told by somebody who holds the envelope.
fn report_inside(envelope: &Object<'_>, r: &mut Reader<'_>, name: &str, error: SyntaxError) {
    let plan = envelope.entry(DockerBuildPlan::KEY);
    let value = plan.and_then(|plan| match &plan.value.kind {
        Kind::Mapping(entries) => entries.iter().find(|entry| entry.key == name),
        _ => None,
    });
    let at = value.map_or(envelope.at, |value| value.value.at);
    r.within(DockerBuildPlan::KEY, |r| r.within(name, |r| r.report(at, error)));
}

impl DockerBuildPlan {
    /// A plan with nothing but a context and a Dockerfile.
    #[must_use]
    pub fn plain(context: Option<&str>, dockerfile: Option<&str>) -> Self {
        Self {
            build_args: BTreeMap::new(),
            target: None,
            context: context.map(str::to_owned),
            dockerfile: dockerfile.map(str::to_owned),
            platforms: Vec::new(),
            secrets: BTreeMap::new(),
            labels: BTreeMap::new(),
            ssh: false,
            cache: None,
            network: BuildNetwork::Default,
            registries: Vec::new(),
            sbom: None,
            sbom_generator: None,
        }
    }
}
