//! Where a job and its executions stand, and which way they may go.
//!
//! The words are those of the runner API (`RunnerJobStatus`, `RunnerJobExecutionStatus`), and this is where they are written down:
//! [`crate::source::control_plane`] makes from the same lists the types that also take a word which this build does not know.
//! Inputs and outputs: the enums alone. Invariant: the running statuses of an execution are ordered and a terminal one is never left.
//! Used by the control plane and its clients.

use super::words::wire_enum;

/// Hands the statuses of jobs, with their words, to a macro.
macro_rules! job_statuses {
    ($make:ident) => {
        $make! {
            /// Where a job stands.
            JobStatus {
                /// Not yet for runners; the reference control plane skips it.
                Queued = "queued",
                /// Waiting to be claimed.
                Available = "available",
                /// An execution is under way.
                InProgress = "in-progress",
                /// Done.
                Finished = "finished",
                /// Ended without success, or lost with its runner.
                Failed = "failed",
                /// Ended by a time limit.
                TimedOut = "timed-out",
                /// Given up before anybody worked on it.
                NotAttempted = "not-attempted",
                /// Withdrawn.
                Cancelled = "cancelled",
            }
        }
    };
}

/// Hands the statuses of executions, with their words, to a macro.
macro_rules! execution_statuses {
    ($make:ident) => {
        $make! {
            /// Where an execution stands. Ordered: a running one only goes up.
            ExecutionStatus {
                /// Claimed.
                Pending = "pending",
                /// Being prepared.
                Initializing = "initializing",
                /// At work.
                InProgress = "in-progress",
                /// Done but for the cleanup.
                CleaningUp = "cleaning-up",
                /// Succeeded.
                Finished = "finished",
                /// Ended without success.
                Failed = "failed",
                /// Ended by a time limit, or by the end of its lease.
                TimedOut = "timed-out",
                /// Never begun.
                NotAttempted = "not-attempted",
                /// Stopped on request.
                Cancelled = "cancelled",
            }
        }
    };
}

pub(crate) use execution_statuses;
pub(crate) use job_statuses;

job_statuses!(wire_enum);
execution_statuses!(wire_enum);

impl JobStatus {
    /// Whether it is over; only a retry leads out of it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Available | Self::InProgress)
    }
}

impl ExecutionStatus {
    /// Whether it is over.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::TimedOut | Self::NotAttempted | Self::Cancelled)
    }

    /// What the job is when its latest execution is this: the same word, so that a deadline is told apart from a failure (the hosted
    /// control plane calls both `failed`).
    #[must_use]
    pub const fn job(self) -> JobStatus {
        match self {
            Self::Pending | Self::Initializing | Self::InProgress | Self::CleaningUp => JobStatus::InProgress,
            Self::Finished => JobStatus::Finished,
            Self::Failed => JobStatus::Failed,
            Self::TimedOut => JobStatus::TimedOut,
            Self::NotAttempted => JobStatus::NotAttempted,
            Self::Cancelled => JobStatus::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_jobs_end_with_their_executions() {
        for &status in JobStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for &status in ExecutionStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(status.is_terminal(), status.job().is_terminal());
        }
        assert!("unknown".parse::<JobStatus>().is_err());
    }
}
