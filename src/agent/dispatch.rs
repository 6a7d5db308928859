//! From a plan to its executor: one exhaustive match, so that a new job type does not compile until somebody decided about it.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;

use crate::{
    executor::{Context, Executor, Readiness, helm_chart_build::HelmChartBuild, noop::Noop, oci_sync::OciSync},
    job::{Failure, FailureKind, JobType, Outputs},
    plan::Plan,
    shutdown::Cancel,
};

/// Every executor of this build.
#[derive(Debug, Default)]
pub struct Executors {
    /// Stands in for `noop` in tests of the layers above.
    #[cfg(test)]
    pub(super) scripted: Option<crate::executor::scripted::Scripted>,
}

impl Executors {
    /// Drives the executor that `plan` asks for, cleanup included.
    ///
    /// # Errors
    /// Whatever failed first. A failure of cleanup is logged, never returned.
    pub async fn run(&self, plan: &Plan, cx: &Context, cleanup_deadline: Duration) -> Result<Outputs, Failure> {
        #[cfg(test)]
        if let (Plan::Noop(_), Some(scripted)) = (plan, &self.scripted) {
            return drive(scripted, cx, &(), cleanup_deadline).await;
        }
        let noop = Noop { job_type: plan.job_type() };
        match plan {
            Plan::NoopBuild(_) | Plan::NoopSync(_) | Plan::Noop(_) | Plan::HealthCheck(_) => drive(&noop, cx, &(), cleanup_deadline).await,
            Plan::HelmChartBuild(plan) => drive(&HelmChartBuild, cx, plan, cleanup_deadline).await,
            Plan::OciSync(plan) => drive(&OciSync, cx, plan, cleanup_deadline).await,
            Plan::DockerBuild(_)
            | Plan::ContainerImageBuild(_)
            | Plan::TerraformModuleBuild(_)
            | Plan::KubernetesManifestBuild(_)
            | Plan::KubernetesManifestDeploy(_)
            | Plan::ShipwrightBuild(_)
            | Plan::PipelineRun(_)
            | Plan::FlatpakBuild(_)
            | Plan::FlatpakUpload(_) => Err(unsupported(plan.job_type())),
        }
    }

    /// Whether jobs of each type can run here.
    pub async fn probe(&self) -> Vec<(JobType, Readiness)> {
        let mut found = Vec::with_capacity(JobType::ALL.len());
        for &job_type in JobType::ALL {
            let readiness = match job_type {
                JobType::NoopBuild | JobType::NoopSync | JobType::Noop | JobType::HealthCheck => Noop { job_type }.probe().await,
                JobType::HelmChartBuild => HelmChartBuild.probe().await,
                JobType::OciSync => OciSync.probe().await,
                JobType::DockerBuild
                | JobType::ContainerImageBuild
                | JobType::TerraformModuleBuild
                | JobType::KubernetesManifestBuild
                | JobType::KubernetesManifestDeploy
                | JobType::ShipwrightBuild
                | JobType::PipelineRun
                | JobType::FlatpakBuild
                | JobType::FlatpakUpload => {
                    let remedy = "use a build of build-runner that has it".to_owned();
                    Readiness::NotReady { reason: "not supported by this build".to_owned(), remedy }
                }
            };
            found.push((job_type, readiness));
        }
        found
    }
}

fn unsupported(job_type: JobType) -> Failure {
    let message = format!("{job_type} is not supported by this build of build-runner; `build-runner doctor` lists what is");
    Failure::new(FailureKind::Unsupported, message)
}

/// The order of calls that [`Executor`] promises. A panic of the executor is a failure of the job, not the end of the runner.
pub(super) async fn drive<E: Executor>(executor: &E, cx: &Context, plan: &E::Plan, cleanup_deadline: Duration) -> Result<Outputs, Failure> {
    let handle = executor.handle(&cx.job, &cx.execution, plan);
    let work = async {
        let mut work = executor.prepare(cx, plan, &handle).await?;
        executor.execute(cx, plan, &handle, &mut work).await?;
        executor.collect(cx, plan, &handle, work).await
    };
    let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
    let result = result.map_err(|failure| failure.at_step(cx.progress.current_step()));
    clean_up(executor, cx, &handle, cleanup_deadline).await;
    result
}

/// Cleanup has a token and a deadline of its own: the job's may be long gone.
async fn clean_up<E: Executor>(executor: &E, cx: &Context, handle: &E::Handle, deadline: Duration) {
    let cx = Context { cancel: Cancel::new(), ..cx.clone() };
    let cleanup = AssertUnwindSafe(executor.cleanup(&cx, handle)).catch_unwind();
    let problem = match tokio::time::timeout(deadline, cleanup).await {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(failure))) => failure.message,
        Ok(Err(panic)) => panicked(panic.as_ref()).message,
        Err(_) => format!("not done after {} s", deadline.as_secs()),
    };
    cx.log.warn(format_args!("cleanup: {problem}"));
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    let message = "the executor panicked; this is a defect of build-runner, please report it".to_owned();
    Failure::new(FailureKind::Internal, message).with_evidence("panic", text.unwrap_or_default())
}
