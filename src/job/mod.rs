//! What a job is and how one ends: the vocabulary every other module speaks.
//!
//! Pure data, no IO. A job is a typed request; an [`Execution`](ExecutionId) is one attempt at it and its id is the
//! fencing token; an [`Outcome`] is the one true end of an execution; [`Outputs`] carry the digests of what was made.
//!
//! Called by everybody; imports nothing of this crate but [`crate::digest`].

mod condition;
mod failure;
mod id;
mod kind;
mod outcome;
mod outputs;
mod receipt;
mod status;
mod words;

pub use condition::{Condition, ConditionStatus, Conditions};
pub use failure::{Evidence, Failure, FailureKind, Fault};
pub use id::{ExecutionId, IdError, JobId, RunnerId, TokenId};
pub use kind::{JobGroup, JobType, Operation};
pub use outcome::{CancelCause, Outcome, Phase};
pub use outputs::{Artifact, Outputs, Platform};
pub use receipt::{Receipt, ReceiptOutcome};
pub use status::{ExecutionStatus, JobStatus};
pub(crate) use status::{execution_statuses, job_statuses};
