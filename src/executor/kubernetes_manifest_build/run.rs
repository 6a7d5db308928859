//! The executor: the steps in their order, and what is reported at the end.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    executor::{
        Context, Executor, Made, NoHandle, Readiness, Settings,
        shared::{self, Target, blocking},
    },
    job::{ExecutionId, Failure, FailureKind, JobId, Outputs},
    oci::Repository,
    plan::{Build, KubernetesManifestBuildPlan, ManifestSource},
    provenance::{Material, Record},
};

use super::{
    artifact, kustomize,
    manifests::{self, Manifests, Resource},
    publish::{self, Published},
};

type Plan = Build<KubernetesManifestBuildPlan>;

/// Renders and packs manifests.
#[derive(Debug, Clone, Copy, Default)]
pub struct KubernetesManifestBuild {
    /// What the runner's owner says about what kustomizations fetch.
    pub remote_bases: kustomize::RemoteBases,
}

/// What one execution carries from step to step.
#[derive(Debug)]
pub struct Work {
    target: Target,
    source: Source,
    built: Option<Built>,
}

/// Where the manifests come from.
#[derive(Debug)]
enum Source {
    Inline,
    Git(shared::Source),
    Artifact { repository: Repository, pulled: Option<Box<artifact::Pulled>> },
}

/// A pushed artifact.
#[derive(Debug)]
struct Built {
    published: Published,
    resources: Vec<Resource>,
    kinds: BTreeMap<String, usize>,
}

impl KubernetesManifestBuild {
    /// An executor with these settings.
    #[must_use]
    pub const fn new(settings: &Settings) -> Self {
        Self { remote_bases: settings.kustomize_remote_bases }
    }
}

#[async_trait]
impl Executor for KubernetesManifestBuild {
    type Plan = Plan;
    type Handle = NoHandle;
    type Work = Work;

    async fn probe(&self) -> Readiness {
        Readiness::Ready(kustomize::readiness().await)
    }

    fn handle(&self, _job: &JobId, _execution: &ExecutionId, _plan: &Plan) -> NoHandle {
        NoHandle {}
    }

    async fn prepare(&self, cx: &Context, plan: &Plan, _handle: &NoHandle) -> Result<Work, Failure> {
        cx.step("checkout");
        let target = Target::open(cx, plan)?;
        target.required_tag()?;
        let source = match plan.plan.source_type {
            ManifestSource::Inline => Source::Inline,
            ManifestSource::Kustomize => {
                let git = plan.git_source.as_ref().filter(|git| !git.url.is_empty());
                let missing =
                    || Failure::new(FailureKind::InvalidPlan, "git_source.url is missing; say where the kustomization comes from");
                Source::Git(shared::fetch(cx, git.ok_or_else(missing)?).await?)
            }
            ManifestSource::OciArtifact => {
                let missing = || Failure::new(FailureKind::InvalidPlan, "oci_artifact_source is missing; say which artifact to take");
                let source = plan.plan.oci_artifact_source.as_ref().ok_or_else(missing)?;
                Source::Artifact { repository: artifact::open(cx, source)?, pulled: None }
            }
        };
        Ok(Work { target, source, built: None })
    }

    async fn execute(&self, cx: &Context, plan: &Plan, _handle: &NoHandle, work: &mut Work) -> Result<(), Failure> {
        let manifests = Box::pin(self.manifests(cx, plan, &mut work.source)).await?;
        let kinds: BTreeMap<_, _> = manifests.kinds().into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
        let shown: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        cx.log.info(format_args!("{} objects: {}", manifests.resources.len(), shown.join(", ")));
        let annotations = publish::annotations(work.source.annotations(), &plan.plan.labels);
        let Manifests { text, resources } = manifests;
        let published = Box::pin(publish::publish(cx, &work.target.repository, work.target.required_tag()?, text, annotations)).await?;
        work.built = Some(Built { published, resources, kinds });
        Ok(())
    }

    async fn collect(&self, cx: &Context, plan: &Plan, _handle: &NoHandle, work: Work) -> Result<Made, Failure> {
        cx.step("collect");
        let Some(Built { published: Published { artifact, manifest_size }, resources, kinds }) = work.built else {
            return Err(Failure::new(FailureKind::Internal, "nothing was pushed"));
        };
        let record = record(work.target.repository, plan, work.source.material());
        let image = json!({
            "tag": artifact.tag,
            "repository": artifact.repository,
            "media_type": artifact.media_type,
            "digest": artifact.digest,
            "size": manifest_size,
        });
        let outputs = Outputs::of(artifact)
            .with("resources", json!(resources))
            .with("kinds", json!(kinds))
            .with("image", image)
            .with("source", work.source.info());
        Ok(Made { outputs, record: Some(record) })
    }

    async fn cleanup(&self, _cx: &Context, _handle: &NoHandle) -> Result<(), Failure> {
        Ok(())
    }
}

impl KubernetesManifestBuild {
    /// The manifests that the plan asks for, checked.
    async fn manifests(&self, cx: &Context, plan: &Plan, source: &mut Source) -> Result<Manifests, Failure> {
        let parse = |sources: Vec<(String, String)>| {
            cx.step("parse");
            let cancel = cx.cancel.clone();
            let read = move || manifests::read(sources.iter().map(|(name, text)| (name.as_str(), text.as_str())), &cancel);
            async { Ok::<_, Failure>(cx.cancel.run(blocking(read)).await???) }
        };
        match source {
            Source::Inline => {
                let text = plan.plan.inline_manifest.clone().unwrap_or_default();
                parse(vec![("inline_manifest".to_owned(), text)]).await
            }
            Source::Git(source) => {
                let request = kustomize::Request {
                    root: &source.root,
                    base: &source.path,
                    path: plan.plan.kustomize_path.as_deref().unwrap_or_default(),
                    config: plan.plan.kustomize_config.as_ref(),
                    owner: self.remote_bases,
                };
                let text = Box::pin(kustomize::render(cx, request)).await?;
                parse(vec![("the output of kustomize".to_owned(), text)]).await
            }
            Source::Artifact { repository, pulled } => {
                cx.step("pull");
                let Some(wanted) = &plan.plan.oci_artifact_source else {
                    return Err(Failure::new(FailureKind::Internal, "the artifact was not opened"));
                };
                let found = Box::pin(artifact::pull(cx, repository, wanted)).await?;
                let folder = found.folder.clone();
                *pulled = Some(Box::new(found));
                if kustomize::is_kustomization(&folder) {
                    // As Flux would build it, with nothing from elsewhere.
                    let request =
                        kustomize::Request { root: &folder, base: &folder, path: "", config: None, owner: kustomize::RemoteBases::Deny };
                    let text = Box::pin(kustomize::render(cx, request)).await?;
                    return parse(vec![("the output of kustomize".to_owned(), text)]).await;
                }
                let cancel = cx.cancel.clone();
                let files = cx.cancel.run(blocking(move || artifact::read(&folder, &cancel))).await???;
                parse(files).await
            }
        }
    }
}

impl Source {
    /// What the artifact says about where it is from.
    fn annotations(&self) -> BTreeMap<String, String> {
        let mut all = match self {
            Self::Git(source) => source.stamp.annotations(),
            Self::Inline | Self::Artifact { .. } => shared::Stamp::default().annotations(),
        };
        if let Self::Artifact { pulled: Some(pulled), .. } = self {
            all.extend(pulled.annotations.clone());
        }
        all
    }

    fn material(&self) -> Option<Material> {
        match self {
            Self::Inline => None,
            Self::Git(source) => source.material(),
            Self::Artifact { pulled, .. } => pulled.as_ref().map(|pulled| pulled.material.clone()),
        }
    }

    /// For the receipt.
    fn info(&self) -> Value {
        match self {
            Self::Inline => json!({"kind": "inline"}),
            Self::Git(source) => source.info.clone(),
            Self::Artifact { pulled, .. } => pulled.as_ref().map_or(Value::Null, |pulled| pulled.info.clone()),
        }
    }
}

/// What the artifact was made of.
fn record(repository: Repository, plan: &Plan, source: Option<Material>) -> Record {
    let wanted = &plan.plan;
    let git = plan.git_source.as_ref().filter(|_| wanted.source_type == ManifestSource::Kustomize);
    let config = wanted.kustomize_config.as_ref().map(|config| {
        json!({
            "patches": config.patches,
            "enable_helm": config.enable_helm,
            "load_restrictor": config.load_restrictor.as_str(),
            "remote_bases": config.remote_bases.map(crate::plan::RemoteBases::as_str),
        })
    });
    let artifact = wanted.oci_artifact_source.as_ref().map(|source| json!({"url": source.url, "tag": source.tag, "digest": source.digest}));
    Record::new(repository)
        .parameter("source_type", wanted.source_type.as_str())
        .parameter("git_source", git.map_or_else(Default::default, shared::parameters))
        .parameter("kustomize_path", git.and(wanted.kustomize_path.clone()))
        .parameter("kustomize_config", git.and(config))
        .parameter("oci_artifact_source", artifact)
        .parameter("labels", json!(wanted.labels))
        .material(source)
}
