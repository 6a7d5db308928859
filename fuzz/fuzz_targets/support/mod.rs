//! What a target needs that runs a whole executor: a context in a folder of its own, and the steps in their order.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use build_runner::executor::{Context, Executor};
use build_runner::job::{Artifact, ExecutionId, Failure, JobId, JobType};
use build_runner::logs::{JobLog, Progress};
use build_runner::oci;
use build_runner::plan::{Plan, Strictness};
use build_runner::shutdown::Cancel;
use build_runner::workspace::{self, Workspace};
use serde_json::Value;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// Runs a job of type `kind` in `scratch`; `pick` takes the executor's plan out of the decoded one.
pub fn build<E: Executor>(
    executor: &E,
    scratch: &Path,
    kind: JobType,
    plan: &Value,
    pick: impl FnOnce(Plan) -> Option<E::Plan>,
) -> Result<Vec<Artifact>, Failure> {
    let plan = pick(Plan::decode(kind, plan, Strictness::JobFile).expect("a plan").plan).expect("it is of that type");
    RUNTIME.block_on(async {
        let (job, execution) = (JobId::generate(), ExecutionId::generate());
        let state = scratch.join("state");
        workspace::open_state(&state)?;
        let cx = Context {
            workspace: Arc::new(Workspace::create(&state, &execution)?),
            cancel: Cancel::new(),
            log: JobLog::discard(),
            progress: Progress::default(),
            oci: Arc::new(oci::Client::new(oci::Settings::default())?),
            git: Arc::default(),
            local_base: Some(scratch.to_owned()),
            job,
            execution,
        };
        let handle = executor.handle(&cx.job, &cx.execution, &plan);
        let mut work = executor.prepare(&cx, &plan, &handle).await?;
        executor.execute(&cx, &plan, &handle, &mut work).await?;
        Ok(executor.collect(&cx, &plan, &handle, work).await?.outputs.artifacts)
    })
}
