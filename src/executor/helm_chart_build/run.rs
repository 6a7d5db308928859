//! The executor: the steps in their order, and what is reported at the end.

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;

use crate::{
    executor::{
        Context, Executor, Made, NoHandle, Readiness,
        shared::{self, Stamp, Target, blocking},
    },
    job::{Artifact, ExecutionId, Failure, FailureKind, JobId, Outputs},
    oci::{
        self, Descriptor, Repository, media_type,
        pack::{self, Effort, Meta, PackError},
    },
    plan::{Build, HelmBuildPlan},
    provenance::{Material, Record},
};

use super::{
    artifact,
    chart::Chart,
    dependencies::{Resolved, Vendor},
    metadata::Metadata,
    repository::{self, Repositories},
    source::{self, Loaded, Source},
};

/// Packages charts.
#[derive(Debug, Clone, Copy, Default)]
pub struct HelmChartBuild;

/// What one execution carries from step to step.
#[derive(Debug)]
pub struct Work {
    target: Target,
    source: Source,
    built: Option<Built>,
}

/// A pushed chart.
#[derive(Debug)]
struct Built {
    artifact: Artifact,
    metadata: Metadata,
    dependencies: Vec<Resolved>,
}

#[async_trait]
impl Executor for HelmChartBuild {
    type Plan = Build<HelmBuildPlan>;
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
        Ok(Work { target, source: source::fetch(cx, plan).await?, built: None })
    }

    async fn execute(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle, work: &mut Work) -> Result<(), Failure> {
        cx.step("load");
        let Loaded { mut chart, folder, archive, mut budget, mut notes } = work.source.load(cx).await?;
        cx.log.info(format_args!("chart {} {}", chart.metadata.name, chart.metadata.version));

        cx.step("dependencies");
        let mut repositories = Repositories::new(cx);
        let subcharts = chart.subcharts.len();
        let vendor = Vendor {
            chart: &mut chart,
            folder: folder.as_ref(),
            budget: &mut budget,
            notes: &mut notes,
            source: &mut repositories,
            cancel: &cx.cancel,
        };
        let dependencies = vendor.run().await?;
        for note in &notes {
            cx.log.warn(note);
        }

        cx.step("package");
        let metadata = chart.metadata.clone();
        let archive = archive.filter(|_| chart.subcharts.len() == subcharts);
        let layer = match archive {
            // What was published is passed on byte for byte, so the layer has the digest that its repository promises.
            Some(published) => oci::Blob::new(media_type::HELM_CHART, published),
            None => package(cx, chart, &work.source.stamp).await?,
        };

        cx.step("push");
        let package = oci::Package {
            artifact_type: None,
            config: oci::Blob::new(media_type::HELM_CONFIG, Bytes::from(metadata.config_json())),
            layers: vec![layer],
            annotations: artifact::annotations(&metadata, &work.source.stamp, &plan.plan.labels),
            subject: None,
        };
        let target = &work.target;
        let tag = target.tag.clone().unwrap_or_else(|| artifact::version_tag(&metadata));
        let artifact = oci::push(cx.oci_cx(), &target.repository, &tag, package).await?;
        work.built = Some(Built { artifact, metadata, dependencies });
        Ok(())
    }

    async fn collect(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle, work: Work) -> Result<Made, Failure> {
        cx.step("collect");
        // The artifact is what the registry says it has.
        let Some(Built { artifact, metadata, dependencies }) = work.built else {
            return Err(Failure::new(FailureKind::Internal, "nothing was pushed"));
        };
        let mut chart = json!({"name": metadata.name, "version": metadata.version});
        if !metadata.app_version.is_empty() {
            chart["app_version"] = json!(metadata.app_version);
        }
        let record = record(work.target.repository, plan, work.source.material, &dependencies);
        let outputs = Outputs::of(artifact).with("chart", chart).with("dependencies", json!(dependencies)).with("source", work.source.info);
        Ok(Made { outputs, record: Some(record) })
    }

    async fn cleanup(&self, _cx: &Context, _handle: &NoHandle) -> Result<(), Failure> {
        Ok(())
    }
}

/// What the chart was made of.
fn record(repository: Repository, plan: &Build<HelmBuildPlan>, source: Option<Material>, dependencies: &[Resolved]) -> Record {
    let chart = plan.plan.helm_repo_config.as_ref();
    let pinned = dependencies.iter().filter_map(Resolved::material);
    Record::new(repository)
        .parameter("git_source", plan.git_source.as_ref().filter(|_| chart.is_none()).map_or_else(Default::default, shared::parameters))
        .parameter(
            "chart",
            chart.map(|chart| json!({"repository": repository::shown(&chart.repo_url), "chart": chart.chart, "version": chart.version})),
        )
        .parameter("labels", json!(plan.plan.labels))
        .material(source)
        .material(pinned)
}

/// Writes the package into the workspace.
async fn package(cx: &Context, chart: Chart, stamp: &Stamp) -> Result<oci::Blob, Failure> {
    let path = cx.workspace.root().join("chart.tgz");
    let (file, cancel) = (path.clone(), cx.cancel.clone());
    let meta = Meta { mtime: stamp.epoch(), ..Meta::FILE };
    let work = move || {
        pack::to_file(&file, Effort::Usual, &cancel, |packer| {
            chart.package().into_iter().try_for_each(|(name, data)| packer.bytes(&name, meta, &data))
        })
    };
    let packed: Result<pack::Packed, PackError> = cx.cancel.run(blocking(work)).await??;
    let packed = packed?;
    Ok(oci::Blob::file(Descriptor::new(media_type::HELM_CHART, packed.digest, packed.size), path))
}
