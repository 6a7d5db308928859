//! The executor: the steps in their order, and what is reported at the end.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    executor::{Context, Executor, Readiness},
    job::{Artifact, ExecutionId, Failure, FailureKind, JobId, Outputs},
    oci::{
        self, Descriptor, Location, media_type,
        pack::{self, Meta, PackError},
    },
    plan::{Build, HelmBuildPlan},
};

use super::{
    artifact, blocking,
    chart::Chart,
    dependencies::{Resolved, Vendor},
    metadata::Metadata,
    repository::Repositories,
    source::{self, Loaded, Source},
};

/// Packages charts.
#[derive(Debug, Clone, Copy, Default)]
pub struct HelmChartBuild;

/// An execution makes nothing outside its workspace but the artifact, whose blobs nobody sees before its tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {}

/// What one execution carries from step to step.
#[derive(Debug)]
pub struct Work {
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
    type Handle = Handle;
    type Work = Work;

    async fn probe(&self) -> Readiness {
        Readiness::Ready("native packaging; git for sources in repositories".to_owned())
    }

    fn handle(&self, _job: &JobId, _execution: &ExecutionId, _plan: &Self::Plan) -> Handle {
        Handle {}
    }

    async fn prepare(&self, cx: &Context, plan: &Self::Plan, _handle: &Handle) -> Result<Work, Failure> {
        cx.progress.step("checkout");
        // A plan that cannot be pushed is not worth a checkout.
        destination(cx, plan)?;
        Ok(Work { source: source::fetch(cx, plan).await?, built: None })
    }

    async fn execute(&self, cx: &Context, plan: &Self::Plan, _handle: &Handle, work: &mut Work) -> Result<(), Failure> {
        cx.progress.step("load");
        let Loaded { mut chart, folder, archive, mut budget, mut notes } = work.source.load(cx).await?;
        cx.log.info(format_args!("chart {} {}", chart.metadata.name, chart.metadata.version));

        cx.progress.step("dependencies");
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

        cx.progress.step("package");
        let metadata = chart.metadata.clone();
        let archive = archive.filter(|_| chart.subcharts.len() == subcharts);
        let layer = match archive {
            // What was published is passed on byte for byte, so the layer has the digest that its repository promises.
            Some(published) => oci::Blob::new(media_type::HELM_CHART, published),
            None => package(cx, chart, work.source.provenance.created).await?,
        };

        cx.progress.step("push");
        let package = oci::Package {
            artifact_type: None,
            config: oci::Blob::new(media_type::HELM_CONFIG, Bytes::from(metadata.config_json())),
            layers: vec![layer],
            annotations: artifact::annotations(&metadata, &work.source.provenance, &plan.plan.labels),
            subject: None,
        };
        let (location, tag) = destination(cx, plan)?;
        let tag = tag.unwrap_or_else(|| artifact::version_tag(&metadata));
        let repository = cx.oci.open(&location)?;
        let artifact = oci::push(oci_cx(cx), &repository, &tag, package).await?;
        work.built = Some(Built { artifact, metadata, dependencies });
        Ok(())
    }

    async fn collect(&self, cx: &Context, _plan: &Self::Plan, _handle: &Handle, work: Work) -> Result<Outputs, Failure> {
        cx.progress.step("collect");
        // The artifact is what the registry says it has.
        let Some(Built { artifact, metadata, dependencies }) = work.built else {
            return Err(Failure::new(FailureKind::Internal, "nothing was pushed"));
        };
        let mut chart = json!({"name": metadata.name, "version": metadata.version});
        if !metadata.app_version.is_empty() {
            chart["app_version"] = json!(metadata.app_version);
        }
        Ok(Outputs::of(artifact).with("chart", chart).with("dependencies", json!(dependencies)).with("source", work.source.info))
    }

    async fn cleanup(&self, _cx: &Context, _handle: &Handle) -> Result<(), Failure> {
        Ok(())
    }
}

const fn oci_cx(cx: &Context) -> oci::Cx<'_> {
    oci::Cx { cancel: &cx.cancel, log: &cx.log, progress: &cx.progress }
}

/// Where the artifact goes, and under which tag if the plan says so.
fn destination(cx: &Context, plan: &Build<HelmBuildPlan>) -> Result<(Location, Option<String>), Failure> {
    let Some(registry) = &plan.dst_registry else {
        return Err(Failure::new(FailureKind::InvalidPlan, "dst_registry is missing; say where the chart is to be pushed"));
    };
    let location = Location::from_plan(registry, cx.local_base.as_deref()).map_err(oci::Error::from)?;
    Ok((location, plan.dst_tag.clone().filter(|tag| !tag.is_empty())))
}

/// Writes the package into the workspace.
async fn package(cx: &Context, chart: Chart, created: jiff::Timestamp) -> Result<oci::Blob, Failure> {
    let path = cx.workspace.root().join("chart.tgz");
    let (file, cancel) = (path.clone(), cx.cancel.clone());
    // Tar knows no time before 1970.
    let meta = Meta { mtime: u64::try_from(created.as_second()).unwrap_or(0), ..Meta::FILE };
    let work = move || {
        pack::to_file(&file, &cancel, |packer| chart.package().into_iter().try_for_each(|(name, data)| packer.bytes(&name, meta, &data)))
    };
    let packed: Result<pack::Packed, PackError> = cx.cancel.run(blocking(work)).await??;
    let packed = packed?;
    Ok(oci::Blob::file(Descriptor::new(media_type::HELM_CHART, packed.digest, packed.size), path))
}
