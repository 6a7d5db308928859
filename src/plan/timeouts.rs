//! Limits of time of a job.

use super::{
    Defect, GoDuration,
    macros::object,
    reader::{Object, Reader},
};

object! {
    /// Limits of time.
    #[derive(Debug, Default, Copy)]
    pub struct Timeouts {
        /// How long one attempt may take; that of the job's type when absent.
        execution: Option<GoDuration> = ["execution"],
        /// How long everything may take, waiting and further attempts included.
        overall: Option<GoDuration> = ["overall"],
    }
    check check_timeouts;
}

fn check_timeouts(value: &Timeouts, object: &Object<'_>, r: &mut Reader<'_>) {
    if let (Some(execution), Some(overall)) = (value.execution, value.overall)
        && overall < execution
    {
        object.report(r, "overall", Defect::Contradiction("is shorter than timeouts.execution; raise it or remove it"));
    }
}
