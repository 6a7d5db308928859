//! From a plan to its executor: one exhaustive match, so that a new job type does not compile until somebody decided about it.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde_json::Value;

use super::Ledger;
use crate::{
    executor::{
        Context, Executor, Made, Readiness, Settings, container_image_build::ContainerImageBuild, docker_build::DockerBuild,
        helm_chart_build::HelmChartBuild, kubernetes_manifest_build::KubernetesManifestBuild, noop::Noop, oci_sync::OciSync,
        terraform_module_build::TerraformModuleBuild,
    },
    job::{Failure, FailureKind, JobType, Outputs, Phase},
    plan::Plan,
    provenance::{KeySource, Occasion, attest, check_key},
    shutdown::Cancel,
};

/// Every executor of this build.
#[derive(Debug, Default)]
pub struct Executors {
    /// What each is told by the configuration.
    pub(super) settings: Settings,
    /// The key that signs where artifacts come from; `None` when nothing is to be said about that.
    pub(super) signer: Option<KeySource>,
    /// Stands in for `noop` in tests of the layers above.
    #[cfg(test)]
    pub(super) scripted: Option<crate::executor::scripted::Scripted>,
}

impl Executors {
    /// Executors with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The same, attaching provenance that is signed by that key to what is pushed.
    #[must_use]
    pub fn signing_with(self, key: KeySource) -> Self {
        Self { signer: Some(key), ..self }
    }

    /// Drives the executor that `plan` asks for, cleanup included, and attaches provenance to what it made. `ledger` hears of its handle before
    /// anything is made, and of each phase.
    ///
    /// # Errors
    /// Whatever failed first. A failure of cleanup is logged, never returned.
    pub async fn run(&self, plan: &Plan, cx: &Context, ledger: &dyn Ledger, cleanup_deadline: Duration) -> Result<Outputs, Failure> {
        let started_at = Timestamp::now();
        if let Some(key) = self.signer.as_ref().filter(|_| is_signed(plan)) {
            check_key(cx.oci_cx(), key).await.map_err(|failure| failure.at_step("attest"))?;
        }
        let Made { mut outputs, record } = self.make(plan, cx, ledger, cleanup_deadline).await?;
        if let (Some(key), Some(record)) = (&self.signer, record) {
            cx.step("attest");
            let finished_at = Timestamp::now();
            let occasion = Occasion { job_type: plan.job_type(), execution: &cx.execution, started_at, finished_at };
            let attested = attest(cx.oci_cx(), key, &record, &outputs.artifacts, occasion);
            let attested = AssertUnwindSafe(attested).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
            outputs.details.extend(attested.map_err(|failure| failure.at_step("attest"))?);
        }
        Ok(outputs)
    }

    async fn make(&self, plan: &Plan, cx: &Context, ledger: &dyn Ledger, cleanup_deadline: Duration) -> Result<Made, Failure> {
        #[cfg(test)]
        if let (Plan::Noop(_), Some(scripted)) = (plan, &self.scripted) {
            return drive(scripted, cx, &(), ledger, cleanup_deadline).await;
        }
        let noop = Noop { job_type: plan.job_type() };
        match plan {
            Plan::NoopBuild(_) | Plan::NoopSync(_) | Plan::Noop(_) | Plan::HealthCheck(_) => {
                drive(&noop, cx, &(), ledger, cleanup_deadline).await
            }
            Plan::HelmChartBuild(plan) => drive(&HelmChartBuild, cx, plan, ledger, cleanup_deadline).await,
            Plan::OciSync(plan) => drive(&OciSync, cx, plan, ledger, cleanup_deadline).await,
            Plan::DockerBuild(plan) => drive(&DockerBuild::new(&self.settings), cx, plan, ledger, cleanup_deadline).await,
            Plan::ContainerImageBuild(plan) => drive(&ContainerImageBuild::new(&self.settings), cx, plan, ledger, cleanup_deadline).await,
            Plan::TerraformModuleBuild(plan) => drive(&TerraformModuleBuild, cx, plan, ledger, cleanup_deadline).await,
            Plan::KubernetesManifestBuild(plan) => {
                drive(&KubernetesManifestBuild::new(&self.settings), cx, plan, ledger, cleanup_deadline).await
            }
            Plan::KubernetesManifestDeploy(_)
            | Plan::ShipwrightBuild(_)
            | Plan::PipelineRun(_)
            | Plan::FlatpakBuild(_)
            | Plan::FlatpakUpload(_) => Err(unsupported(plan.job_type())),
        }
    }

    /// Removes what an execution of that type may have left, by the handle that was written down before it began. Harmless when
    /// nothing was left.
    ///
    /// # Errors
    /// When the handle is not one of that type's, when something cannot be removed, or not within `deadline`.
    pub async fn clean_up_after(&self, job_type: JobType, handle: Value, cx: &Context, deadline: Duration) -> Result<(), Failure> {
        #[cfg(test)]
        if let (JobType::Noop, Some(scripted)) = (job_type, &self.scripted) {
            return revisit(scripted, handle, cx, deadline).await;
        }
        match job_type {
            JobType::NoopBuild | JobType::NoopSync | JobType::Noop | JobType::HealthCheck => {
                revisit(&Noop { job_type }, handle, cx, deadline).await
            }
            JobType::HelmChartBuild => revisit(&HelmChartBuild, handle, cx, deadline).await,
            JobType::OciSync => revisit(&OciSync, handle, cx, deadline).await,
            JobType::DockerBuild => revisit(&DockerBuild::new(&self.settings), handle, cx, deadline).await,
            JobType::ContainerImageBuild => revisit(&ContainerImageBuild::new(&self.settings), handle, cx, deadline).await,
            JobType::TerraformModuleBuild => revisit(&TerraformModuleBuild, handle, cx, deadline).await,
            JobType::KubernetesManifestBuild => revisit(&KubernetesManifestBuild::new(&self.settings), handle, cx, deadline).await,
            JobType::KubernetesManifestDeploy
            | JobType::ShipwrightBuild
            | JobType::PipelineRun
            | JobType::FlatpakBuild
            | JobType::FlatpakUpload => Err(unsupported(job_type)),
        }
    }

    /// Whether jobs of each type can run here.
    pub async fn probe(&self) -> Vec<(JobType, Readiness)> {
        let mut found = Vec::with_capacity(JobType::ALL.len());
        for &job_type in JobType::ALL {
            found.push((job_type, self.readiness(job_type).await));
        }
        found
    }

    /// Whether jobs of that type can run here.
    pub async fn readiness(&self, job_type: JobType) -> Readiness {
        match job_type {
            JobType::NoopBuild | JobType::NoopSync | JobType::Noop | JobType::HealthCheck => Noop { job_type }.probe().await,
            JobType::HelmChartBuild => HelmChartBuild.probe().await,
            JobType::OciSync => OciSync.probe().await,
            JobType::DockerBuild => DockerBuild::new(&self.settings).probe().await,
            JobType::ContainerImageBuild => ContainerImageBuild::new(&self.settings).probe().await,
            JobType::TerraformModuleBuild => TerraformModuleBuild.probe().await,
            JobType::KubernetesManifestBuild => KubernetesManifestBuild::new(&self.settings).probe().await,
            JobType::KubernetesManifestDeploy
            | JobType::ShipwrightBuild
            | JobType::PipelineRun
            | JobType::FlatpakBuild
            | JobType::FlatpakUpload => missing(),
        }
    }
}

/// Whether what jobs of this type push is signed.
const fn is_signed(plan: &Plan) -> bool {
    matches!(
        plan,
        Plan::HelmChartBuild(_)
            | Plan::DockerBuild(_)
            | Plan::ContainerImageBuild(_)
            | Plan::TerraformModuleBuild(_)
            | Plan::KubernetesManifestBuild(_)
    )
}

fn missing() -> Readiness {
    let remedy = "use a build of build-runner that has it".to_owned();
    Readiness::NotReady { reason: "not supported by this build".to_owned(), remedy }
}

fn unsupported(job_type: JobType) -> Failure {
    let message = format!("{job_type} is not supported by this build of build-runner; `build-runner doctor` lists what is");
    Failure::new(FailureKind::Unsupported, message)
}

/// The order of calls that [`Executor`] promises. A panic of the executor is a failure of the job, not the end of the runner.
pub(super) async fn drive<E: Executor>(
    executor: &E,
    cx: &Context,
    plan: &E::Plan,
    ledger: &dyn Ledger,
    cleanup_deadline: Duration,
) -> Result<Made, Failure> {
    let handle = executor.handle(&cx.job, &cx.execution, plan);
    // Whatever cannot be found again after a crash is not made in the first place.
    let written = serde_json::to_value(&handle).map_err(|error| {
        Failure::new(FailureKind::Internal, format!("the handle of the execution cannot be written down: {error}; please report it"))
    })?;
    ledger.handle(&cx.execution, written).await;
    let work = async {
        ledger.phase(&cx.execution, Phase::Preparing).await;
        let mut work = executor.prepare(cx, plan, &handle).await?;
        ledger.phase(&cx.execution, Phase::Running).await;
        executor.execute(cx, plan, &handle, &mut work).await?;
        ledger.phase(&cx.execution, Phase::Collecting).await;
        executor.collect(cx, plan, &handle, work).await
    };
    let result: Result<Made, Failure> = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
    let result = result.map_err(|failure| failure.at_step(cx.progress.current_step()));
    ledger.phase(&cx.execution, Phase::CleaningUp).await;
    if let Err(failure) = clean_up(executor, cx, &handle, cleanup_deadline).await {
        cx.log.warn(format_args!("cleanup: {}", failure.message));
    }
    result
}

/// Cleans up with nothing but the handle.
async fn revisit<E: Executor>(executor: &E, handle: Value, cx: &Context, deadline: Duration) -> Result<(), Failure> {
    let handle = serde_json::from_value(handle).map_err(|error| {
        Failure::new(FailureKind::Internal, format!("the handle that was written down is not one of this build's: {error}"))
    })?;
    clean_up(executor, cx, &handle, deadline).await
}

/// Cleanup has a token and a deadline of its own: the job's may be long gone.
async fn clean_up<E: Executor>(executor: &E, cx: &Context, handle: &E::Handle, deadline: Duration) -> Result<(), Failure> {
    let cx = Context { cancel: Cancel::new(), ..cx.clone() };
    let cleanup = AssertUnwindSafe(executor.cleanup(&cx, handle)).catch_unwind();
    match tokio::time::timeout(deadline, cleanup).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(panicked(panic.as_ref())),
        Err(_) => Err(Failure::new(FailureKind::Internal, format!("not done after {} s", deadline.as_secs()))),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    let message = "the executor panicked; this is a defect of build-runner, please report it".to_owned();
    Failure::new(FailureKind::Internal, message).with_evidence("panic", text.unwrap_or_default())
}
