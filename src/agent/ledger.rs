//! What an execution tells while it goes on: the names it will leave behind, and how far it is.
//!
//! In: calls by the supervisor, in order. Out: whatever the ledger makes of them; [`Unkept`] makes nothing of them, because a job that a
//! person runs from a file has nobody it could be told to after a crash.
//!
//! Called by the supervisor alone, which is the single writer of phases.

use async_trait::async_trait;
use serde_json::Value;

use crate::job::{ExecutionId, Phase};

/// Hears of an execution's progress before it happens.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// `handle` names everything that the executor will make outside its workspace. Returns when the handle would be found again after a crash, or when
    /// that cannot be had: a disk that refuses stops no job. Nothing is made before it returns.
    async fn handle(&self, execution: &ExecutionId, handle: Value);

    /// The execution enters `phase`: [`Phase::Preparing`], [`Phase::Running`], [`Phase::Collecting`], [`Phase::CleaningUp`], each at most once and
    /// in this order; a failure skips to the last.
    async fn phase(&self, execution: &ExecutionId, phase: Phase);
}

/// Keeps nothing: for jobs of this machine's user.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unkept;

#[async_trait]
impl Ledger for Unkept {
    async fn handle(&self, _execution: &ExecutionId, _handle: Value) {}

    async fn phase(&self, _execution: &ExecutionId, _phase: Phase) {}
}
