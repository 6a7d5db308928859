//! The executor: the steps in their order, and what is reported at the end.

use async_trait::async_trait;
use serde_json::json;

use super::{
    Backend, Built, Handle, Request, choice, dead,
    image::{self, Image},
    outputs, request, source,
};
use crate::{
    executor::{
        Context, Executor, Made, Readiness, Settings,
        shared::{self, Source, Target, blocking},
    },
    job::{ExecutionId, Failure, FailureKind, JobId},
    oci::{self, CopyOptions, CopyReport, transfer::Verify},
    plan::{Build, DockerBuildPlan},
    provenance::Sbom,
};

/// Largest list of contents that is read.
pub(super) const MAX_SBOM: u64 = 64 << 20;

/// Builds images.
#[derive(Debug, Clone, Default)]
pub struct DockerBuild {
    settings: Settings,
}

/// What one execution carries from step to step.
pub struct Work {
    target: Target,
    source: Source,
    backend: Box<dyn Backend>,
    request: Request,
    sbom: Option<Sbom>,
    pushed: Option<Pushed>,
}

/// A pushed image.
pub(crate) struct Pushed {
    pub(crate) report: CopyReport,
    pub(crate) image: Image,
    pub(crate) built: Built,
}

impl DockerBuild {
    /// An executor with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone() }
    }
}

#[async_trait]
impl Executor for DockerBuild {
    type Plan = Build<DockerBuildPlan>;
    type Handle = Handle;
    type Work = Work;

    async fn probe(&self) -> Readiness {
        match choice::first_ready(choice::candidates(&self.settings)).await {
            Ok((backend, detail)) => Readiness::Ready(format!("{}: {detail}", backend.name())),
            Err(not_ready) => not_ready,
        }
    }

    fn handle(&self, _job: &JobId, execution: &ExecutionId, _plan: &Self::Plan) -> Handle {
        Handle::of(execution)
    }

    async fn prepare(&self, cx: &Context, plan: &Self::Plan, handle: &Handle) -> Result<Work, Failure> {
        cx.step("checkout");
        let target = Target::open(cx, plan)?;
        target.required_tag()?;
        for handle in dead::handles(cx, &self.settings.state_dir) {
            if let Err(failure) = self.cleanup(cx, &handle).await {
                cx.log.warn(format_args!("what a build that was killed left behind cannot be removed: {failure}"));
            }
        }
        let wanted = plan.git_source.as_ref();
        let wanted = wanted.ok_or_else(|| Failure::new(FailureKind::InvalidPlan, "git_source is missing; say where the source is"))?;
        let choose = cx.cancel.run(choice::choose(&self.settings, plan.plan.sbom_generator.as_deref()));
        let (chosen, source) = tokio::join!(choose, shared::fetch(cx, wanted));
        let (backend, detail) = chosen??;
        let source = source?;
        let request = request::make(cx, &plan.plan, &self.settings.docker, &source).await?;
        let sbom = match &plan.plan.sbom {
            None => None,
            Some(name) => {
                let (source, name) = (source.clone(), name.clone());
                Some(cx.cancel.run(blocking(move || read_sbom(&source, &name))).await???)
            }
        };
        cx.log.info(format_args!("building {} with {}: {detail}", request.dockerfile_name, backend.name()));
        choice::note(&self.settings.state_dir, handle, backend.name())?;
        Ok(Work { target, source, backend, request, sbom, pushed: None })
    }

    async fn execute(&self, cx: &Context, plan: &Self::Plan, handle: &Handle, work: &mut Work) -> Result<(), Failure> {
        cx.step("build");
        let mut built = work.backend.build(cx, &work.request, handle).await?;
        cx.step("push");
        let image = image::open(cx, &built.layout).await?;
        let mut annotations = work.source.stamp.annotations();
        annotations.extend(plan.plan.labels.clone());
        let bare = image.root.digest.clone();
        let image = image.annotate(cx, annotations).await?;
        for sbom in built.sboms.iter_mut().filter(|sbom| sbom.subject.as_ref() == Some(&bare)) {
            sbom.subject = Some(image.root.digest.clone());
        }
        let options = CopyOptions { referrers: false, verify: Verify::Fresh, ..CopyOptions::default() };
        let (repository, tag) = (&work.target.repository, work.target.required_tag()?);
        let report = oci::copy(cx.oci_cx(), &image.layout, image.root.digest.as_str(), repository, tag, &options).await?;
        cx.log.info(format_args!("pushed {}:{tag} {}", repository.display(), report.artifact.digest));
        work.pushed = Some(Pushed { report, image, built });
        Ok(())
    }

    async fn collect(&self, cx: &Context, plan: &Self::Plan, _handle: &Handle, work: Work) -> Result<Made, Failure> {
        cx.step("collect");
        // The destination has said what it stored.
        let pushed = work.pushed.ok_or_else(|| Failure::new(FailureKind::Internal, "nothing was pushed"))?;
        let mut record = outputs::record(work.target.repository, plan, &work.request).material(work.source.material());
        record.materials.extend(pushed.built.materials.iter().cloned());
        record.sboms.extend(work.sbom.into_iter().chain(pushed.built.sboms.iter().cloned()));
        let backend = json!({"name": work.backend.name(), "version": pushed.built.version});
        let outputs = outputs::outputs(pushed).with("source", work.source.info).with("backend", backend);
        Ok(Made { outputs, record: Some(record) })
    }

    async fn cleanup(&self, cx: &Context, handle: &Handle) -> Result<(), Failure> {
        let state = &self.settings.state_dir;
        let Some(name) = choice::noted(state, handle)? else { return Ok(()) };
        // The setting may have changed since; what was begun is still cleaned up by whoever began it.
        let everybody = Settings {
            docker: crate::executor::DockerSettings { backend: crate::executor::DockerBackend::Auto, ..self.settings.docker.clone() },
            ..self.settings.clone()
        };
        if let Some(backend) = choice::candidates(&everybody).into_iter().find(|backend| backend.name() == name) {
            backend.cleanup(cx, handle).await?;
        }
        Ok(choice::forget(state, handle)?)
    }
}

/// A list of contents that the plan names. Blocking.
fn read_sbom(source: &Source, name: &str) -> Result<Sbom, Failure> {
    let wrong = |why: &str| Failure::new(FailureKind::InvalidSource, format!("sbom: '{name}' {why}"));
    let path = source::file(source, "sbom", name)?;
    if fs_err::metadata(&path)?.len() > MAX_SBOM {
        return Err(wrong(&format!("is larger than the {MAX_SBOM} bytes that are read")));
    }
    let content = fs_err::read(&path)?;
    let media_type = Sbom::media_type_of(&content)
        .map_err(|error| wrong(&format!("is not JSON: {error}")))?
        .ok_or_else(|| wrong("is neither SPDX (spdxVersion, or its @context) nor CycloneDX (bomFormat)"))?;
    Ok(Sbom { media_type: media_type.to_owned(), content: content.into(), subject: None })
}
