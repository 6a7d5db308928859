//! Where a build pushes: `dst_registry` and `dst_tag` of its plan.

use crate::{
    executor::Context,
    job::{Failure, FailureKind},
    oci::{self, Location, Repository},
    plan::Build,
};

/// The destination of a build.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where it goes.
    pub(crate) repository: Repository,
    /// The tag, if the plan says one.
    pub(crate) tag: Option<String>,
}

impl Target {
    /// The destination that the plan names. Nobody is asked yet: a plan that cannot be pushed is not worth a checkout.
    pub(crate) fn open<P>(cx: &Context, plan: &Build<P>) -> Result<Self, Failure> {
        let Some(registry) = &plan.dst_registry else {
            return Err(Failure::new(FailureKind::InvalidPlan, "dst_registry is missing; say where the artifact is to be pushed"));
        };
        let location = Location::from_plan(registry, cx.local_base.as_deref()).map_err(oci::Error::from)?;
        Ok(Self { repository: cx.oci.open(&location)?, tag: plan.dst_tag.clone().filter(|tag| !tag.is_empty()) })
    }

    /// The tag of the plan, for types that cannot make one up.
    pub(crate) fn required_tag(&self) -> Result<&str, Failure> {
        self.tag.as_deref().ok_or_else(|| Failure::new(FailureKind::InvalidPlan, "dst_tag is missing; say under which tag to push"))
    }
}
