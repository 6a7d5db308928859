//! Recovery's way to the executors: cleanup by a journalled handle.

use async_trait::async_trait;
use serde_json::Value;

use super::{Supervisor, recovery::Cleaner};
use crate::{
    job::{ExecutionId, Failure, FailureKind, JobId},
    logs::JobLog,
};

#[async_trait]
impl Cleaner for Supervisor {
    async fn clean_up_after(&self, job: &JobId, execution: &ExecutionId, job_type: &str, handle: &Value) -> Result<(), Failure> {
        let job_type = job_type.parse().map_err(|unknown| {
            Failure::new(FailureKind::Unsupported, format!("job type '{unknown}' is not known to this version of build-runner"))
        })?;
        // Without a log: recovery writes the last lines of the killed runner's, and tells there what is left.
        Self::clean_up_after(self, job, job_type, execution, handle.clone(), &JobLog::discard()).await
    }
}
