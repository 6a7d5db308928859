//! The envelope every build plan sits in, and where its source comes from.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{job::JobType, yaml::Node};

use super::{
    Defect, Registry,
    macros::object,
    reader::{Object, Reader},
    schema::ObjectSchema,
    syntax::{self, GitPlace},
    values::{Decode, Fields},
};

object! {
    /// Where the source of a build comes from.
    pub struct GitSource {
        /// URL git fetches from; in a job file also a folder, relative to the file.
        url: String = ["url"],
        /// Branch, tag, full ref or commit; the default branch when absent. A local folder without a ref is taken as it stands.
        git_ref: Option<String> = ["ref"],
        /// Folder inside the source.
        path: Option<String> = ["path"],
        /// Whether submodules are fetched too.
        recurse_submodules: bool = ["recurse_submodules"] or false,
    }
    check check_git_source;
    blank true;
}

impl GitSource {
    /// Whether the URL is a folder of this machine (or `file://`).
    #[must_use]
    pub fn is_local(&self) -> bool {
        syntax::git_url(&self.url) == Ok(GitPlace::Local)
    }

    /// The URL without user name and password, for people.
    #[must_use]
    pub fn display_url(&self) -> String {
        syntax::without_userinfo(&self.url)
    }
}

impl fmt::Debug for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitSource")
            .field("url", &self.display_url())
            .field("git_ref", &self.git_ref)
            .field("path", &self.path)
            .field("recurse_submodules", &self.recurse_submodules)
            .finish()
    }
}

fn check_git_source(value: &GitSource, object: &Object<'_>, r: &mut Reader<'_>) {
    match syntax::git_url(&value.url) {
        Ok(GitPlace::Local) => object.is_local_path(r, "url"),
        result => object.check(r, "url", result.map(drop)),
    }
    if let Some(text) = &value.git_ref {
        object.check(r, "ref", syntax::git_ref(text));
    }
    if let Some(text) = &value.path {
        // The hosted control plane joins a leading slash away.
        let text = if r.is_job_file() { text } else { text.trim_start_matches('/') };
        object.check(r, "path", syntax::relative_path(text));
    }
    // Hosted plans carry the clone token in the URL.
    if let Some((user, password)) = syntax::userinfo(&value.url) {
        let secret = if password.is_empty() { user } else { password };
        r.secrets.push(SecretString::from(secret));
        let decoded = percent_encoding::percent_decode_str(secret).decode_utf8_lossy();
        if decoded != secret {
            r.secrets.push(SecretString::from(decoded.into_owned()));
        }
    }
}

object! {
    /// What a runner in sandbox mode pretends to have made.
    #[derive(Debug)]
    pub struct SandboxMode {
        /// Whether the job is only pretended.
        enabled: bool = ["enabled"] or false,
        /// Outputs to report.
        outputs: Option<Map<String, Value>> = ["outputs"],
        /// State and plan to report for terraform.
        terraform: Option<Map<String, Value>> = ["terraform"],
        /// Plan to report for helm.
        helm: Option<Map<String, Value>> = ["helm"],
        /// Plan to report for manifests.
        kubernetes_manifest: Option<Map<String, Value>> = ["kubernetes_manifest"],
    }
}

/// A build plan: what is common to all, and what is of its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Build<T> {
    /// Component that is built.
    pub component_id: Option<String>,
    /// The build of it.
    pub component_build_id: Option<String>,
    /// Where the source comes from.
    pub git_source: Option<GitSource>,
    /// Where the artifact goes.
    pub dst_registry: Option<Registry>,
    /// Its tag there.
    pub dst_tag: Option<String>,
    /// What to pretend instead.
    pub sandbox_mode: Option<SandboxMode>,
    /// What is of the type.
    pub plan: T,
}

/// A type of build plan.
pub(crate) trait BuildPlan: Decode + JsonSchema {
    /// Key of it in the envelope.
    const KEY: &'static str;
    /// Checks what concerns envelope and plan together.
    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>);
    /// Keys of the envelope.
    const FIELDS: Fields =
        &[&["component_id"], &["component_build_id"], &["git_source"], &["dst_registry"], &["dst_tag"], &["sandbox_mode"], &[Self::KEY]];
}

/// Keys of the other types' plans, for a better word than "unknown".
const PLAN_KEYS: [(&str, JobType); 13] = [
    ("docker_build_plan", JobType::DockerBuild),
    ("container_image_pull_plan", JobType::ContainerImageBuild),
    ("helm_build_plan", JobType::HelmChartBuild),
    ("terraform_build_plan", JobType::TerraformModuleBuild),
    ("kubernetes_manifest_build_plan", JobType::KubernetesManifestBuild),
    ("kubernetes_manifest", JobType::KubernetesManifestDeploy),
    ("shipwright_build_plan", JobType::ShipwrightBuild),
    ("pipeline_plan", JobType::PipelineRun),
    ("flatpak_build_plan", JobType::FlatpakBuild),
    ("flatpak_upload_plan", JobType::FlatpakUpload),
    ("src_registry", JobType::OciSync),
    ("src_tag", JobType::OciSync),
    ("noop", JobType::Noop),
];

/// The defect of a key that belongs to the plan of another type.
pub(crate) fn foreign(key: &str) -> Option<Defect> {
    PLAN_KEYS.iter().find(|(name, _)| *name == key).map(|&(_, owner)| Defect::ForeignPlan { owner })
}

impl<T: BuildPlan> Decode for Build<T> {
    const WHAT: &'static str = "an object";

    fn decode(node: &Node, r: &mut Reader<'_>) -> Option<Self> {
        let object = r.object_except(node, T::FIELDS, foreign)?;
        let component_id = object.field(r, "component_id");
        let component_build_id = object.field(r, "component_build_id");
        let git_source = object.field(r, "git_source");
        let dst_registry = object.field(r, "dst_registry");
        let dst_tag: Option<Option<String>> = object.field(r, "dst_tag");
        let sandbox_mode = object.field(r, "sandbox_mode");
        let plan = object.field(r, T::KEY);
        if let Some(Some(tag)) = &dst_tag {
            object.check(r, "dst_tag", syntax::tag(tag));
        }
        let build = Self {
            component_id: component_id?,
            component_build_id: component_build_id?,
            git_source: git_source?,
            dst_registry: dst_registry?,
            dst_tag: dst_tag?,
            sandbox_mode: sandbox_mode?,
            plan: plan?,
        };
        T::check(&build, &object, r);
        Some(build)
    }
}

impl<T: BuildPlan> JsonSchema for Build<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Build.{}", T::KEY).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ObjectSchema::new(&["A build plan."]);
        schema.property::<Option<String>>(generator, &["component_id"], &["Component that is built."], false);
        schema.property::<Option<String>>(generator, &["component_build_id"], &["The build of it."], false);
        schema.property::<Option<GitSource>>(generator, &["git_source"], &["Where the source comes from."], false);
        schema.property::<Option<Registry>>(generator, &["dst_registry"], &["Where the artifact goes."], false);
        schema.property::<Option<String>>(generator, &["dst_tag"], &["Its tag there."], false);
        schema.property::<Option<SandboxMode>>(generator, &["sandbox_mode"], &["What to pretend instead."], false);
        schema.property::<T>(generator, &[T::KEY], &["What is of this type."], false);
        schema.finish()
    }
}

/// Records a missing source for a plan that cannot do without.
pub(crate) fn require_source<T>(build: &Build<T>, object: &Object<'_>, r: &mut Reader<'_>) {
    if build.git_source.is_none() {
        let expected = "an object with url, and ref or path if needed";
        object.report(r, "git_source", Defect::Missing { expected });
    }
}
