//! `noop-build`, `noop-sync`, `noop` and `health-check`: prove the path from claim to report without doing anything.
//!
//! `health-check` also proves that the workspace can be written to and that hashing works, because a runner that cannot do
//! either fails every job it takes.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Context, Executor, Made, Readiness};
use crate::{
    digest::Digest,
    job::{ExecutionId, Failure, FailureKind, JobId, JobType, Outputs},
};

/// The executor of every job type that makes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Noop {
    /// Which of them it stands for.
    pub job_type: JobType,
}

/// Nothing is created outside the workspace.
#[derive(Debug, Serialize, Deserialize)]
pub struct Nothing {}

#[async_trait]
impl Executor for Noop {
    type Plan = ();
    type Handle = Nothing;
    type Work = serde_json::Map<String, serde_json::Value>;

    async fn probe(&self) -> Readiness {
        Readiness::Ready(String::new())
    }

    fn handle(&self, _job: &JobId, _execution: &ExecutionId, (): &()) -> Nothing {
        Nothing {}
    }

    async fn prepare(&self, _cx: &Context, (): &(), _handle: &Nothing) -> Result<Self::Work, Failure> {
        Ok(Self::Work::new())
    }

    async fn execute(&self, cx: &Context, (): &(), _handle: &Nothing, work: &mut Self::Work) -> Result<(), Failure> {
        if self.job_type == JobType::HealthCheck {
            cx.step("check");
            check_disk(cx)?;
            work.insert("checks".to_owned(), json!({"workspace": "ok"}));
        }
        cx.log.info(format_args!("{} has nothing to do", self.job_type));
        Ok(())
    }

    async fn collect(&self, _cx: &Context, (): &(), _handle: &Nothing, work: Self::Work) -> Result<Made, Failure> {
        Ok(Outputs { artifacts: Vec::new(), details: work }.into())
    }

    async fn cleanup(&self, _cx: &Context, _handle: &Nothing) -> Result<(), Failure> {
        Ok(())
    }
}

/// Writes a file into the workspace and reads it back.
fn check_disk(cx: &Context) -> Result<(), Failure> {
    let path = cx.workspace.root().join("health-check");
    let text = cx.execution.as_str().as_bytes();
    fs_err::write(&path, text)?;
    if Digest::of(text).matches(&fs_err::read(&path)?) {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Io, format!("{} reads back different from what was written; check the disk", path.display())))
}
