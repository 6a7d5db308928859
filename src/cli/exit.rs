//! Exit codes: what scripts may rely on.

use crate::job::ReceiptOutcome;

/// How the process ends. The numbers are a promise (README, reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything succeeded.
    Success = 0,
    /// A job failed, whoever's fault it was.
    JobFailed = 1,
    /// Wrong usage, configuration, job file or plan; nothing was started.
    WrongInput = 2,
    /// The runner could not work.
    RunnerFailed = 3,
    /// A job took too long.
    TimedOut = 124,
    /// A job was cancelled.
    Cancelled = 130,
}

impl Exit {
    /// The exit code of one outcome.
    #[must_use]
    pub const fn of(outcome: ReceiptOutcome) -> Self {
        match outcome {
            ReceiptOutcome::Succeeded => Self::Success,
            ReceiptOutcome::Failed => Self::JobFailed,
            ReceiptOutcome::NotAttempted => Self::RunnerFailed,
            ReceiptOutcome::TimedOut => Self::TimedOut,
            ReceiptOutcome::Cancelled => Self::Cancelled,
        }
    }

    /// Of several jobs the gravest counts: cancelled, then the runner, then a failed job, then a late one.
    #[must_use]
    pub fn gravest(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Success => 0,
            Self::TimedOut => 1,
            Self::JobFailed => 2,
            Self::RunnerFailed => 3,
            Self::WrongInput => 4,
            Self::Cancelled => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_of_several_outcomes_is_the_exit_code() {
        assert_eq!(Exit::Success.gravest(Exit::TimedOut), Exit::TimedOut);
        assert_eq!(Exit::JobFailed.gravest(Exit::TimedOut), Exit::JobFailed);
        assert_eq!(Exit::Cancelled.gravest(Exit::JobFailed), Exit::Cancelled);
        assert_eq!(Exit::of(ReceiptOutcome::NotAttempted) as u8, 3);
    }
}
