//! Which container runtime runs the steps. Called by the backends that start one themselves.

use std::path::Path;

use crate::process::Environment;

/// Where the unified hierarchy is beside those of version 1 (systemd, "hybrid"), and the controllers it has.
const HYBRID: &str = "/sys/fs/cgroup/unified/cgroup.controllers";

/// The first of `preferred` that is there and can start containers on this machine.
pub(super) fn find(environment: &Environment, preferred: [&'static str; 2]) -> Option<&'static str> {
    preferred.into_iter().find(|runtime| environment.find(runtime).is_some() && works(runtime, Path::new(HYBRID)))
}

/// crun starts nothing where the unified hierarchy has controllers beside version 1 (crun, `libcrun_cgroup_enter`).
fn works(runtime: &str, hybrid: &Path) -> bool {
    runtime != "crun" || std::fs::read(hybrid).map_or(true, |controllers| controllers.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crun_is_not_used_where_it_refuses_the_control_groups() {
        let folder = tempfile::tempdir().expect("a folder");
        let controllers = folder.path().join("cgroup.controllers");
        assert!(works("crun", &controllers), "no hybrid");
        fs_err::write(&controllers, "").expect("written");
        assert!(works("crun", &controllers), "no controllers");
        fs_err::write(&controllers, "hugetlb\n").expect("written");
        assert_eq!((works("crun", &controllers), works("runc", &controllers)), (false, true));
    }
}
