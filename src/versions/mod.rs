//! Versions and ranges of versions as helm reads them (Masterminds semver 3), which is what people write into plans.
//!
//! Pure. Called by `plan`, which refuses what is no range, and by the executors that choose among versions: of charts, of tags.

mod constraint;
mod tags;
mod version;

pub(crate) use constraint::{Constraint, NotARange};
pub(crate) use tags::{Tagged, listed, newest, tagged};
pub(crate) use version::{NotAVersion, Version};
