//! The executor: the steps in their order, and what is reported at the end.

use async_trait::async_trait;
use serde_json::json;

use crate::{
    executor::{
        Context, Executor, Made, NoHandle, Readiness,
        shared::{self, Source, Target, blocking},
    },
    job::{Artifact, ExecutionId, Failure, FailureKind, JobId, Outputs},
    oci,
    plan::{Build, TerraformBuildPlan, TerraformValues},
    provenance::Record,
};

use super::{
    about::About,
    archive, artifact,
    package::{self, Mirrored, Note, PackageError, Values},
    tree::TreeError,
};

/// Packages modules.
#[derive(Debug, Clone, Copy, Default)]
pub struct TerraformModuleBuild;

/// What one execution carries from step to step.
#[derive(Debug)]
pub struct Work {
    target: Target,
    source: Source,
    built: Option<Built>,
}

/// A pushed module.
#[derive(Debug)]
struct Built {
    artifact: Artifact,
    /// Bytes of the manifest alone.
    manifest: u64,
    about: About,
    mirrored: Vec<Mirrored>,
    files: usize,
    bytes: u64,
}

#[async_trait]
impl Executor for TerraformModuleBuild {
    type Plan = Build<TerraformBuildPlan>;
    type Handle = NoHandle;
    type Work = Work;

    async fn probe(&self) -> Readiness {
        Readiness::Ready("native packaging; git for sources in repositories".to_owned())
    }

    fn handle(&self, _job: &JobId, _execution: &ExecutionId, _plan: &Self::Plan) -> NoHandle {
        NoHandle {}
    }

    async fn prepare(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle) -> Result<Work, Failure> {
        cx.step("checkout");
        let target = Target::open(cx, plan)?;
        target.required_tag()?;
        let Some(git) = plan.git_source.as_ref().filter(|git| !git.url.is_empty()) else {
            return Err(Failure::new(FailureKind::InvalidPlan, "git_source.url is missing; give the repository that the module is in"));
        };
        Ok(Work { target, source: shared::fetch(cx, git).await?, built: None })
    }

    async fn execute(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle, work: &mut Work) -> Result<(), Failure> {
        cx.step("load");
        let values = match plan.plan.tfvars {
            TerraformValues::Exclude => Values::Excluded,
            TerraformValues::Include => Values::Included,
        };
        let (root, path, cancel) = (work.source.root.clone(), work.source.path.clone(), cx.cancel.clone());
        let package = blocking(move || package::assemble(&root, &path, values, cancel)).await?.map_err(failure)?;
        for note in &package.notes {
            match note {
                Note::Info(_) => cx.log.info(note),
                Note::Warning(_) => cx.log.warn(note),
            }
        }
        let (files, bytes) = (package.files.len(), package.files.iter().map(|file| file.size).sum::<u64>());
        cx.log.info(format_args!("{files} files, {bytes} bytes"));

        cx.step("package");
        let layers = archive::write(cx, package.files, work.source.stamp.epoch()).await?;

        cx.step("push");
        let tag = work.target.required_tag()?;
        let path = plan.git_source.as_ref().and_then(|git| git.path.as_deref()).unwrap_or_default();
        let annotations = artifact::annotations(&work.source.stamp, path, tag, &plan.plan.labels);
        let content = artifact::package(layers, annotations);
        let blobs: u64 = content.layers.iter().chain([&content.config]).map(|blob| blob.descriptor.size).sum();
        // Nobody needs the source any more: it goes while the package does. What this leaves goes with the workspace.
        let source = work.source.root.clone();
        let removal = blocking(move || drop(std::fs::remove_dir_all(source)));
        let (artifact, _) = tokio::join!(oci::push(cx.oci_cx(), &work.target.repository, tag, content), removal);
        let artifact = artifact?;
        let manifest = artifact.size.saturating_sub(blobs);
        work.built = Some(Built { artifact, manifest, about: package.about, mirrored: package.mirrored, files, bytes });
        Ok(())
    }

    async fn collect(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle, work: Work) -> Result<Made, Failure> {
        cx.step("collect");
        let Some(Built { artifact, manifest, about, mirrored, files, bytes }) = work.built else {
            return Err(Failure::new(FailureKind::Internal, "nothing was pushed"));
        };
        let record = Record::new(work.target.repository)
            .parameter("git_source", plan.git_source.as_ref().map_or_else(Default::default, shared::parameters))
            .parameter("labels", json!(plan.plan.labels))
            .parameter("tfvars", plan.plan.tfvars.as_str())
            .material(work.source.material());
        // The hosted control plane's key; its size is that of the manifest alone.
        let image = json!({
            "tag": artifact.tag,
            "repository": artifact.repository,
            "media_type": artifact.media_type,
            "digest": artifact.digest,
            "size": manifest,
            "artifact_type": artifact::TYPE,
        });
        let outputs = Outputs::of(artifact)
            .with("image", image)
            .with("module", json!(about))
            .with("modules", json!(mirrored))
            .with("files", json!({"count": files, "bytes": bytes}))
            .with("source", work.source.info);
        Ok(Made { outputs, record: Some(record) })
    }

    async fn cleanup(&self, _cx: &Context, _handle: &NoHandle) -> Result<(), Failure> {
        Ok(())
    }
}

fn failure(error: PackageError) -> Failure {
    match error {
        PackageError::Tree(TreeError::Cancelled(stopped)) => stopped.into(),
        PackageError::Tree(TreeError::Io { file, source }) => Failure::from(source).context(format_args!("'{file}' cannot be read")),
        other => Failure::new(other.kind(), other.to_string()),
    }
}
