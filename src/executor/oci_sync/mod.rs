//! `oci-sync`: copies an artifact from one repository to another, digests kept, with what is about it (signatures, SBOMs,
//! attestations).
//!
//! Input: a [`SyncPlan`]. Output: the artifact as the destination says it has it, and beside it `image` (the keys of the hosted control
//! plane's sync outputs), `source`, `referrers`, `blobs` and `no_op`. The work itself is [`oci::copy`]'s; nothing of it touches the
//! workspace.
//!
//! Called by the supervisor's dispatch.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    executor::{Context, Executor, Made, NoHandle, Readiness, shared::copied},
    job::{ExecutionId, Failure, FailureKind, JobId, Platform},
    oci::{
        self, Location, Repository,
        transfer::{CopyOptions, CopyReport, Verify},
    },
    plan::{Registry, SyncPlan, VerifyPolicy},
};

/// Copies artifacts.
#[derive(Debug, Clone, Copy, Default)]
pub struct OciSync;

/// What one execution carries from step to step.
#[derive(Debug)]
pub struct Work {
    source: Repository,
    destination: Repository,
    tag: String,
    report: Option<CopyReport>,
}

#[async_trait]
impl Executor for OciSync {
    type Plan = SyncPlan;
    type Handle = NoHandle;
    type Work = Work;

    async fn probe(&self) -> Readiness {
        Readiness::Ready("native".to_owned())
    }

    fn handle(&self, _job: &JobId, _execution: &ExecutionId, _plan: &SyncPlan) -> NoHandle {
        NoHandle {}
    }

    async fn prepare(&self, cx: &Context, plan: &SyncPlan, _handle: &NoHandle) -> Result<Work, Failure> {
        cx.step("resolve");
        let Some(registry) = &plan.dst_registry else {
            return Err(Failure::new(FailureKind::InvalidPlan, "dst_registry is missing; say where the artifact is to be copied to"));
        };
        let source = open(cx, &plan.src_registry).map_err(|failure| failure.context("src_registry"))?;
        let destination = open(cx, registry).map_err(|failure| failure.context("dst_registry"))?;
        let tag = plan.dst_tag.clone().filter(|tag| !tag.is_empty()).unwrap_or_else(|| plan.src_tag.clone());
        if tag.contains(':') {
            return Err(Failure::new(FailureKind::InvalidPlan, "dst_tag is missing; name a tag, since src_tag is a digest"));
        }
        Ok(Work { source, destination, tag, report: None })
    }

    async fn execute(&self, cx: &Context, plan: &SyncPlan, _handle: &NoHandle, work: &mut Work) -> Result<(), Failure> {
        cx.step("copy");
        let (source, destination) = (&work.source, &work.destination);
        cx.log.info(format_args!("{} {} → {} {}", source.display(), plan.src_tag, destination.display(), work.tag));
        let options = options(plan)?;
        let report = oci::copy(cx.oci_cx(), source, &plan.src_tag, destination, &work.tag, &options).await?;
        cx.log.info(copied::summary(&report));
        work.report = Some(report);
        Ok(())
    }

    async fn collect(&self, cx: &Context, plan: &SyncPlan, _handle: &NoHandle, work: Work) -> Result<Made, Failure> {
        cx.step("collect");
        // The destination has said what it stored; asking once more would only be a race with the next job.
        let report = work.report.ok_or_else(|| Failure::new(FailureKind::Internal, "nothing was copied"))?;
        // A copy has the provenance that its source has; referrers travel with it.
        let (digest, no_op) = (report.artifact.digest.clone(), report.no_op);
        Ok(copied::outputs(report)
            .with("source", json!({"repository": work.source.display(), "reference": plan.src_tag, "digest": digest}))
            .with("no_op", Value::Bool(no_op))
            .into())
    }

    async fn cleanup(&self, _cx: &Context, _handle: &NoHandle) -> Result<(), Failure> {
        Ok(())
    }
}

fn open(cx: &Context, registry: &Registry) -> Result<Repository, Failure> {
    let location = Location::from_plan(registry, cx.local_base.as_deref()).map_err(oci::Error::from)?;
    Ok(cx.oci.open(&location)?)
}

fn options(plan: &SyncPlan) -> Result<CopyOptions, Failure> {
    let platforms = plan.platforms.iter().map(|text| platform(text)).collect::<Result<_, _>>()?;
    let verify = match plan.verify {
        VerifyPolicy::Destination => Verify::Destination,
        // The destination's own check cannot be switched off, so ours alone is both.
        VerifyPolicy::Source | VerifyPolicy::Both => Verify::Always,
    };
    Ok(CopyOptions { referrers: plan.referrers, platforms, verify, ..CopyOptions::default() })
}

/// `os/architecture[/variant]`, which decoding the plan has checked.
fn platform(text: &str) -> Result<Platform, Failure> {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    let (Some(os), Some(architecture)) = (parts.next(), parts.next()) else {
        return Err(Failure::new(FailureKind::InvalidPlan, format!("platforms: '{text}' is not a platform; write os/architecture")));
    };
    Ok(Platform { os, architecture, variant: parts.next(), os_version: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_two_or_three_parts() {
        let shown = |text: &str| platform(text).map(|platform| platform.to_string()).map_err(|failure| failure.message);
        assert_eq!(shown("linux/arm64"), Ok("linux/arm64".to_owned()));
        assert_eq!(shown("linux/arm/v7"), Ok("linux/arm/v7".to_owned()));
        assert!(shown("linux").unwrap_err().contains("write os/architecture"));
    }
}
