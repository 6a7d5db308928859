//! `pipeline-run`: what to run, where and with what. The steps themselves are in [`super::definition`].

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Build, Defect, GoDuration, PipelineFile, Quantity, Resources, Secret,
    envelope::{BuildPlan, require_source},
    macros::{choice, object},
    reader::{Object, Reader},
    syntax,
};

object! {
    /// A run of a pipeline.
    #[derive(Debug)]
    pub struct PipelinePlan {
        /// The run; value of `$PIPELINE_ID`.
        pipeline_id: String = ["pipeline_id"],
        /// The project it runs for.
        project: Project = ["project"],
        /// What is built.
        git_ref: PipelineRef = ["ref"],
        /// What set it off.
        trigger: Option<TriggerKind> = ["trigger"],
        /// Definition file in the repository; `.platform.yaml` when absent.
        file: Option<String> = ["file"],
        /// The definition itself: what the file would hold.
        definition: Option<PipelineFile> = ["definition"],
        /// What runs the steps.
        backend: Option<PipelineBackend> = ["backend"],
        /// Namespace of the pods.
        namespace: Option<String> = ["namespace"],
        /// Service account of the pods.
        service_account: Option<String> = ["service_account"],
        /// Labels of the nodes they may run on.
        node_selector: BTreeMap<String, String> = ["node_selector"],
        /// Taints they tolerate, as Kubernetes writes them.
        tolerations: Vec<Map<String, Value>> = ["tolerations"],
        /// Names of Secrets with credentials for images.
        image_pull_secrets: Vec<String> = ["image_pull_secrets"],
        /// The volume that the steps share.
        workspace: Option<PipelineWorkspace> = ["workspace"],
        /// What holds for every step that does not say otherwise.
        defaults: Option<StepDefaults> = ["defaults"],
        /// Value of `$REGISTRY`.
        registry: Option<String> = ["registry"],
        /// Secrets that steps can refer to, by name.
        secrets: BTreeMap<String, Secret> = ["secrets"],
        /// Where logs and artifacts go.
        storage: Option<Storage> = ["storage"],
        /// How often to try again.
        retries: Option<Retries> = ["retries"],
    }
    check check_pipeline;
}

fn check_pipeline(value: &PipelinePlan, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "pipeline_id", syntax::plain_name(&value.pipeline_id, "a pipeline id"));
    if value.file.is_some() && value.definition.is_some() {
        object.report(r, "file", Defect::Contradiction("is given beside definition; keep one"));
    }
    if let Some(path) = &value.file {
        object.check(r, "file", syntax::relative_path(path));
    }
    if let Some(namespace) = &value.namespace {
        object.check(r, "namespace", syntax::kubernetes_name(namespace, false));
    }
    for name in &value.image_pull_secrets {
        object.check(r, "image_pull_secrets", syntax::kubernetes_name(name, true));
    }
    for name in value.secrets.keys() {
        object.check(r, "secrets", syntax::variable_name(name));
    }
    if let Some(definition) = &value.definition {
        let unknown = definition.pipeline.secret_names().into_iter().find(|name| !value.secrets.contains_key(*name));
        if let Some(name) = unknown {
            let remedy = "add it to pipeline_plan.secrets".into();
            object.report(
                r,
                "definition",
                Defect::Reference { problem: "a step uses the unknown secret", name: syntax::shown(name), remedy },
            );
        }
    }
}

object! {
    /// A project.
    #[derive(Debug)]
    pub struct Project {
        /// Its id; value of `$PLATFORM_PROJECT_ID`.
        id: String = ["id"],
        /// Its name; value of `$PROJECT`.
        name: String = ["name"],
    }
}

object! {
    /// The commit that is built.
    #[derive(Debug)]
    pub struct PipelineRef {
        /// Full ref; value of `$COMMIT_REF`.
        name: String = ["name"],
        /// Branch; value of `$COMMIT_BRANCH`.
        branch: Option<String> = ["branch"],
        /// Commit; value of `$COMMIT_SHA`.
        sha: String = ["sha"],
    }
    check check_ref;
}

fn check_ref(value: &PipelineRef, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "name", syntax::git_ref(&value.name));
    let hex = value.sha.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !hex || !matches!(value.sha.len(), 40 | 64) {
        let rule = "write all 40 (or 64) lower-case hexadecimal digits";
        object.report(r, "sha", syntax::SyntaxError::Name { value: syntax::shown(&value.sha), what: "a commit", rule });
    }
}

choice! {
    /// What set a pipeline off.
    TriggerKind is "a trigger" {
        /// Commits were pushed.
        Push = "push",
        /// A merge request was opened or changed.
        MergeRequest = "mr",
        /// Its time has come.
        Schedule = "schedule",
        /// Somebody asked for it.
        Api = "api",
    }
}

choice! {
    /// What runs the steps of a pipeline.
    PipelineBackend is "a backend" {
        /// Pods.
        Kubernetes = "kubernetes",
        /// Containers of this machine.
        Container = "container",
        /// Processes of this machine.
        Process = "process",
    }
}

object! {
    /// The volume that steps share.
    #[derive(Debug)]
    pub struct PipelineWorkspace {
        /// Its size.
        size: Option<Quantity> = ["size"],
        /// Its storage class.
        storage_class: Option<String> = ["storage_class"],
    }
}

object! {
    /// What holds for every step that does not say otherwise.
    #[derive(Debug)]
    pub struct StepDefaults {
        /// What it asks for and may use.
        resources: Option<Resources> = ["resources"],
        /// How long it may take.
        timeout: Option<GoDuration> = ["timeout"],
    }
}

object! {
    /// Where logs and artifacts go.
    #[derive(Debug)]
    pub struct Storage {
        /// `s3://bucket/prefix` or `file:///folder`.
        url: String = ["url"],
        /// Address of an S3 server other than Amazon's.
        endpoint: Option<String> = ["endpoint"],
        /// Region of the bucket.
        region: Option<String> = ["region"],
        /// Key id.
        access_key_id: Option<Secret> = ["access_key_id"],
        /// The key.
        secret_access_key: Option<Secret> = ["secret_access_key"],
        /// Whether the bucket stands in the path instead of the host name.
        path_style: bool = ["path_style"] or false,
    }
    check check_storage;
}

fn check_storage(value: &Storage, object: &Object<'_>, r: &mut Reader<'_>) {
    match value.url.split_once("://") {
        Some(("s3", rest)) if !rest.is_empty() && !rest.starts_with('/') => {}
        Some(("file", rest)) if rest.starts_with('/') => object.is_local_path(r, "url"),
        _ => object.report(r, "url", Defect::Contradiction("is not a storage; write s3://BUCKET/PREFIX or file:///FOLDER")),
    }
    if let Some(endpoint) = &value.endpoint {
        object.check(r, "endpoint", syntax::address(endpoint, &["https", "http"], "the scheme is not one of https, http"));
    }
    if value.access_key_id.is_some() != value.secret_access_key.is_some() {
        object.report(r, "access_key_id", Defect::Contradiction("goes together with secret_access_key; give both or neither"));
    }
}

object! {
    /// How often to try again.
    #[derive(Debug)]
    pub struct Retries {
        /// After the cluster's fault: evicted, node lost, pull error. Never for a step that failed.
        infrastructure: u32 = ["infrastructure"] or 0,
    }
    check check_retries;
}

fn check_retries(value: &Retries, object: &Object<'_>, r: &mut Reader<'_>) {
    if value.infrastructure > 10 {
        object.report(r, "infrastructure", Defect::Contradiction("is more than 10; write a number from 0 to 10"));
    }
}

impl BuildPlan for PipelinePlan {
    const KEY: &'static str = "pipeline_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        if build.plan.definition.is_none() {
            require_source(build, object, r);
        }
    }
}
