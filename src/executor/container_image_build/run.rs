//! The executor: the steps in their order.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::{
    executor::{
        Context, Executor, Made, NoHandle, Readiness, Settings,
        shared::{Target, copied},
    },
    job::{ExecutionId, Failure, FailureKind, JobId},
    oci::{
        self, Repository,
        layout::LayoutProblem,
        transfer::{CopyOptions, CopyReport},
    },
    plan::{Build, ContainerImagePullPlan},
    provenance::cosign::{self, Authorities, Vouched},
};

use super::{
    authorities, report,
    resolve::{self, Resolved},
    wanted::{Version, Wanted},
};

/// Copies images of others.
#[derive(Debug, Clone, Default)]
pub struct ContainerImageBuild {
    /// Trust root for identities of plans that bring none: a Sigstore `trusted_root.json`.
    trusted_root: Option<PathBuf>,
}

impl ContainerImageBuild {
    /// With what the runner's configuration says.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { trusted_root: settings.trusted_root.clone() }
    }
}

/// What one execution carries from step to step.
#[derive(Debug)]
pub struct Work {
    source: Repository,
    version: Version,
    authorities: Option<Authorities>,
    destination: Repository,
    tag: String,
    done: Option<Done>,
}

/// A copy that is over.
#[derive(Debug)]
struct Done {
    resolved: Resolved,
    vouched: Option<Vouched>,
    no_op: bool,
    copy: CopyReport,
}

#[async_trait]
impl Executor for ContainerImageBuild {
    type Plan = Build<ContainerImagePullPlan>;
    type Handle = NoHandle;
    type Work = Work;

    async fn probe(&self) -> Readiness {
        Readiness::Ready("native".to_owned())
    }

    fn handle(&self, _job: &JobId, _execution: &ExecutionId, _plan: &Self::Plan) -> NoHandle {
        NoHandle {}
    }

    async fn prepare(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle) -> Result<Work, Failure> {
        cx.step("prepare");
        let target = Target::open(cx, plan)?;
        let tag = target.required_tag()?.to_owned();
        let Wanted { location, version } = Wanted::of(&plan.plan, cx.local_base.as_deref())?;
        let authorities = match &plan.plan.verification {
            Some(verification) => Some(authorities::read(cx, verification, self.trusted_root.clone()).await?),
            None => None,
        };
        let source = cx.oci.open(&location)?;
        Ok(Work { source, version, authorities, destination: target.repository, tag, done: None })
    }

    async fn execute(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle, work: &mut Work) -> Result<(), Failure> {
        cx.step("resolve");
        let plan = &plan.plan;
        if let (Version::Newest { .. }, Some(tag)) = (&work.version, &plan.tag) {
            cx.log.info(format_args!("tag '{tag}' of the plan is not looked at, because update_policy goes before it"));
        }
        let resolved = resolve::resolve(cx, &work.source, &work.version).await?;
        let no_op = plan.previous_source_digest.as_deref() == Some(resolved.root.digest.as_str());

        let mut vouched = None;
        if let Some(authorities) = &work.authorities {
            cx.step("verify");
            let found = cosign::verify(cx.oci_cx(), &work.source, &resolved.root, authorities).await?;
            cx.log.info(&found);
            vouched = Some(found);
        }

        cx.step("copy");
        let copy = work.copy(cx, &resolved, no_op).await?;
        work.done = Some(Done { resolved, vouched, no_op, copy });
        Ok(())
    }

    async fn collect(&self, cx: &Context, plan: &Self::Plan, _handle: &NoHandle, work: Work) -> Result<Made, Failure> {
        cx.step("collect");
        // The destination has said what it stored; asking once more would only be a race with the next job.
        let Some(Done { resolved, vouched, no_op, copy }) = work.done else {
            return Err(Failure::new(FailureKind::Internal, "nothing was copied"));
        };
        let outputs = copied::outputs(copy).with("source", report::source(&resolved, &plan.plan, vouched.as_ref(), no_op));
        let record = report::record(work.destination, &work.source, &resolved, &plan.plan);
        Ok(Made { outputs, record: Some(record) })
    }

    async fn cleanup(&self, _cx: &Context, _handle: &NoHandle) -> Result<(), Failure> {
        Ok(())
    }
}

impl Work {
    /// Copies by digest: whole graph, all platforms, referrers and digest tags. An image that the last build copied already gets its new tag
    /// at the destination alone, if it is still there.
    async fn copy(&self, cx: &Context, resolved: &Resolved, no_op: bool) -> Result<CopyReport, Failure> {
        let digest = resolved.root.digest.as_str();
        let (destination, tag) = (&self.destination, self.tag.as_str());
        if no_op {
            cx.log.info(format_args!("{digest} is what the last build copied; it only gets the tag '{tag}'"));
            let options = CopyOptions { referrers: false, ..CopyOptions::default() };
            match oci::copy(cx.oci_cx(), destination, digest, destination, tag, &options).await {
                Err(error) if error.is_not_found() || lacks_layout(&error) => {
                    cx.log.info(format_args!("{} does not have it any more: it is copied again", destination.display()));
                }
                done => return Ok(done?),
            }
        }
        cx.log.info(format_args!("{} → {}:{tag}", resolved.reference, destination.display()));
        let report = oci::copy(cx.oci_cx(), &self.source, digest, destination, tag, &CopyOptions::default()).await?;
        cx.log.info(copied::summary(&report));
        Ok(report)
    }
}

/// A layout folder that is not there yet has nothing either.
fn lacks_layout(error: &oci::Error) -> bool {
    matches!(error, oci::Error::Layout(error) if matches!(error.problem, LayoutProblem::Missing))
}
