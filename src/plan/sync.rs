//! Registry to registry copies, deployments of manifests, and the jobs that do nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    AwsAuth, AzureAuth, Defect, GitSource, GoDuration, OciArtifactSource, Registry, SandboxMode, Secret,
    macros::{choice, object},
    reader::{Object, Reader},
    syntax,
};

choice! {
    /// Whose word is taken for the digests of copied content.
    VerifyPolicy is "a verification policy" {
        /// The destination's, which checks what it stores.
        Destination = "destination",
        /// Ours: everything read is hashed.
        Source = "source",
        /// Both.
        Both = "both",
    }
}

object! {
    /// Copy of an artifact from one repository to another, digests kept.
    #[derive(Debug)]
    pub struct SyncPlan {
        /// Where it is.
        src_registry: Registry = ["src_registry"],
        /// Its tag there, or a digest.
        src_tag: String = ["src_tag"],
        /// Where it goes.
        dst_registry: Option<Registry> = ["dst_registry"],
        /// Its tag there; that of the source when absent.
        dst_tag: Option<String> = ["dst_tag"],
        /// Platforms of an index to copy, as os/architecture; all when empty.
        platforms: Vec<String> = ["platforms"],
        /// Whether signatures, SBOMs and attestations that refer to it come along.
        referrers: bool = ["referrers"] or true,
        /// Whose word is taken for digests.
        verify: VerifyPolicy = ["verify"] or VerifyPolicy::Destination,
        /// What to pretend instead.
        sandbox_mode: Option<SandboxMode> = ["sandbox_mode"],
    }
    check check_sync;
}

fn check_sync(value: &SyncPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "src_tag", syntax::tag_or_digest(&value.src_tag));
    match &value.dst_tag {
        Some(tag) => object.check(r, "dst_tag", syntax::tag(tag)),
        None if value.src_tag.contains(':') => {
            object.report(r, "dst_tag", Defect::Missing { expected: "a tag, since src_tag is a digest" });
        }
        None => {}
    }
    for platform in &value.platforms {
        object.check(r, "platforms", syntax::platform(platform));
    }
    let same_place = value.dst_registry.as_ref().is_some_and(|dst| {
        dst.registry_type == value.src_registry.registry_type
            && dst.repository == value.src_registry.repository
            && dst.login_server == value.src_registry.login_server
    });
    if same_place && value.dst_tag.as_ref().is_none_or(|tag| *tag == value.src_tag) {
        object.report(r, "dst_registry", Defect::Contradiction("is the source itself with the same tag; change Repository or dst_tag"));
    }
}

object! {
    /// Manifests applied to a cluster.
    #[derive(Debug)]
    pub struct DeployPlan {
        /// Install that is deployed to.
        install_id: Option<String> = ["install_id"],
        /// Its app.
        app_id: Option<String> = ["app_id"],
        /// The app's configuration.
        app_config_id: Option<String> = ["app_config_id"],
        /// Component that is deployed.
        component_id: Option<String> = ["component_id"],
        /// Its name.
        component_name: Option<String> = ["component_name"],
        /// Where the manifest artifact is.
        src_registry: Option<Registry> = ["src_registry"],
        /// Its tag there, or a digest.
        src_tag: Option<String> = ["src_tag"],
        /// What to apply, and how.
        kubernetes_manifest: KubernetesManifestDeploy = ["kubernetes_manifest"],
        /// Hosted plans name every kind; this type takes null alone.
        helm: Option<Unsupported> = ["helm"],
        /// Hosted plans name every kind; this type takes null alone.
        terraform: Option<Unsupported> = ["terraform"],
        /// Hosted plans name every kind; this type takes null alone.
        noop: Option<Unsupported> = ["noop"],
        /// The plan to carry out, for operation `apply-plan`: base64 of gzip.
        apply_plan_contents: Option<String> = ["apply_plan_contents"],
        /// The same for people.
        apply_plan_display: Option<String> = ["apply_plan_display"],
        /// What to pretend instead.
        sandbox_mode: Option<SandboxMode> = ["sandbox_mode"],
    }
    check check_deploy;
}

/// A plan of another deploy type, which is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported;

impl super::values::Decode for Unsupported {
    const WHAT: &'static str = "null";

    fn decode(node: &crate::yaml::Node, r: &mut Reader<'_>) -> Option<Self> {
        r.report(node.at, Defect::Contradiction("does not go with type 'kubernetes-manifest-deploy'; remove it"));
        None
    }
}

impl schemars::JsonSchema for Unsupported {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Unsupported".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "null" })
    }
}

fn check_deploy(value: &DeployPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    if let Some(tag) = &value.src_tag {
        object.check(r, "src_tag", syntax::tag_or_digest(tag));
    }
    if value.src_registry.is_some() && value.src_tag.is_none() {
        object.report(r, "src_tag", Defect::Missing { expected: "the tag or digest of the artifact in src_registry" });
    }
    let manifest = &value.kubernetes_manifest;
    let sources = [manifest.manifest.is_some(), manifest.oci_artifact.is_some(), value.src_registry.is_some()];
    match sources.into_iter().filter(|given| *given).count() {
        0 => {
            let expected = "manifest, oci_artifact, or src_registry and src_tag beside it";
            object.report(r, "kubernetes_manifest", Defect::Missing { expected });
        }
        // Hosted plans always name the registry; the closer one wins.
        2.. if r.is_job_file() => {
            let why = "has more than one source; keep one of manifest, oci_artifact, src_registry";
            object.report(r, "kubernetes_manifest", Defect::Contradiction(why));
        }
        _ => {}
    }
}

choice! {
    /// What happens to what owned objects leave behind.
    DeletePolicy is "a delete policy" {
        /// Dependents go first.
        Foreground = "foreground",
        /// Dependents go later.
        Background = "background",
        /// Dependents stay.
        Orphan = "orphan",
    }
}

object! {
    /// What to apply, and how.
    #[derive(Debug)]
    pub struct KubernetesManifestDeploy {
        /// The cluster; that of the runner when absent.
        cluster_info: Option<ClusterInfo> = ["cluster_info"],
        /// Namespace of objects that name none.
        namespace: String = ["namespace"],
        /// The manifests as text.
        manifest: Option<String> = ["manifest"],
        /// The manifests as an artifact.
        oci_artifact: Option<OciArtifactSource> = ["oci_artifact"],
        /// Whether objects that are no longer in the manifests are removed.
        prune: bool = ["prune"] or true,
        /// Whether to wait until everything is ready.
        wait: bool = ["wait"] or true,
        /// How long to wait.
        timeout: Option<GoDuration> = ["timeout"],
        /// Whether to take fields over that somebody else manages.
        force_conflicts: bool = ["force_conflicts"] or false,
        /// How objects are removed.
        delete_policy: Option<DeletePolicy> = ["delete_policy"],
        /// Most objects that may be pruned, in percent of those that are there.
        max_prune_percent: u8 = ["max_prune_percent"] or 50,
    }
    check check_manifest_deploy;
}

fn check_manifest_deploy(value: &KubernetesManifestDeploy, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "namespace", syntax::kubernetes_name(&value.namespace, false));
    if value.max_prune_percent > 100 {
        object.report(r, "max_prune_percent", Defect::Contradiction("is more than 100; write a number of percent from 0 to 100"));
    }
}

object! {
    /// A cluster and how to reach it.
    #[derive(Debug)]
    pub struct ClusterInfo {
        /// Name of the cluster.
        id: Option<String> = ["id"],
        /// Address of the API server.
        endpoint: Option<String> = ["endpoint"],
        /// Certificate authority: base64 of PEM.
        ca_data: Option<String> = ["ca_data"],
        /// Environment for credential plugins.
        env_vars: BTreeMap<String, String> = ["env_vars"],
        /// A kubeconfig file's content.
        kube_config: Option<Secret> = ["kube_config"],
        /// Amazon credentials.
        aws_auth: Option<AwsAuth> = ["aws_auth"],
        /// Azure credentials.
        azure_auth: Option<AzureAuth> = ["azure_auth"],
        /// Whether the credentials are in the object itself.
        inline: bool = ["inline"] or false,
        /// Amazon role the cluster trusts.
        trusted_role_arn: Option<String> = ["trusted_role_arn"],
    }
    blank true;
}

object! {
    /// A job that does nothing; takes whatever a plan of its group carries.
    #[derive(Debug)]
    pub struct NoopPlan {
        /// Component that is not built.
        component_id: Option<String> = ["component_id"],
        /// The build of it.
        component_build_id: Option<String> = ["component_build_id"],
        /// Not fetched.
        git_source: Option<GitSource> = ["git_source"],
        /// Not read.
        src_registry: Option<Registry> = ["src_registry"],
        /// Not read.
        src_tag: Option<String> = ["src_tag"],
        /// Not written.
        dst_registry: Option<Registry> = ["dst_registry"],
        /// Not written.
        dst_tag: Option<String> = ["dst_tag"],
        /// Of hosted deploy plans.
        noop: Option<Map<String, Value>> = ["noop"],
        /// What to pretend instead.
        sandbox_mode: Option<SandboxMode> = ["sandbox_mode"],
    }
}
