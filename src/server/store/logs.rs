//! Log records on their way into and out of the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    job::{ExecutionId, JobId},
    logs::Stream,
};

/// One line as a runner hands it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRecord {
    /// Its number in the execution's log, which makes handing it in twice harmless; runners other than ours have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was written.
    pub time: Timestamp,
    /// Where it comes from.
    pub stream: Stream,
    /// The step under way; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// The line.
    pub text: String,
}

/// Records of one execution, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The job.
    pub job: JobId,
    /// The execution, which fences.
    pub execution: ExecutionId,
    /// The records.
    pub records: Vec<NewRecord>,
}

/// A line as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in the job's log, counted from 1 over all executions without holes: the cursor to read on after it.
    pub position: u64,
    /// Whose line.
    pub execution: ExecutionId,
    /// The line.
    pub record: NewRecord,
}

/// A piece of a job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The records, in the order in which they were stored.
    pub records: Vec<StoredRecord>,
    /// Position of the last one, or the one that was asked for: go on after it.
    pub next: u64,
    /// Nothing comes after these: the job is over, its runner has said so (or is gone), and all of its log has been read.
    pub end: bool,
}
