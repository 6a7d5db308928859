//! An executor for tests: how long it runs, what it prints, how it ends and whether it obeys are knobs. Not in any release.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{Context, Executor, Made, Readiness};
use crate::{
    job::{ExecutionId, Failure, FailureKind, JobId, Outputs},
    logs::Stream,
};

/// How the scripted work ends.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Success,
    Failure(FailureKind, String),
    Panic,
}

/// The knobs, and what was called.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    pub(crate) duration: Duration,
    /// Bytes of output, in lines of 100.
    pub(crate) output: usize,
    pub(crate) end: End,
    /// Goes on although it was cancelled.
    pub(crate) deaf: bool,
    pub(crate) fail_prepare: bool,
    pub(crate) secret: String,
    pub(crate) cleanups: Arc<AtomicUsize>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            duration: Duration::ZERO,
            output: 0,
            end: End::Success,
            deaf: false,
            fail_prepare: false,
            secret: String::new(),
            cleanups: Arc::default(),
        }
    }
}

#[async_trait]
impl Executor for Scripted {
    type Plan = ();
    type Handle = String;
    type Work = ();

    async fn probe(&self) -> Readiness {
        Readiness::Ready("scripted".to_owned())
    }

    fn handle(&self, _job: &JobId, execution: &ExecutionId, (): &()) -> String {
        format!("scripted-{execution}")
    }

    async fn prepare(&self, cx: &Context, (): &(), _handle: &String) -> Result<(), Failure> {
        cx.step("prepare");
        if self.fail_prepare { Err(Failure::new(FailureKind::SourceNotFound, "no source")) } else { Ok(()) }
    }

    async fn execute(&self, cx: &Context, (): &(), _handle: &String, (): &mut ()) -> Result<(), Failure> {
        cx.step("work");
        if !self.secret.is_empty() {
            cx.log.add_secret(&self.secret);
            cx.log.info(format_args!("the secret is {}", self.secret));
        }
        let line = format!("{}\n", "x".repeat(99));
        let pipe = cx.log.pipe(Stream::Stdout);
        for _ in 0..self.output / line.len() {
            pipe.write(line.as_bytes());
            pipe.room().await;
        }
        drop(pipe);
        let sleep = tokio::time::sleep(self.duration);
        if self.deaf {
            sleep.await;
        } else {
            cx.cancel.run(sleep).await?;
        }
        match &self.end {
            End::Success => Ok(()),
            End::Failure(kind, message) => {
                Err(Failure::new(*kind, message.clone()).with_evidence("stderr", format!("it was {}", self.secret)))
            }
            End::Panic => panic!("scripted panic"),
        }
    }

    async fn collect(&self, _cx: &Context, (): &(), _handle: &String, (): ()) -> Result<Made, Failure> {
        Ok(Outputs::default().with("leak", self.secret.clone().into()).into())
    }

    async fn cleanup(&self, _cx: &Context, handle: &String) -> Result<(), Failure> {
        assert!(handle.starts_with("scripted-"));
        self.cleanups.fetch_add(1, Ordering::SeqCst);
        Err(Failure::new(FailureKind::Io, "a failure of cleanup never changes the outcome"))
    }
}
