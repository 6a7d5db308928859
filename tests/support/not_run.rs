//! Tests that did not run for want of a component: recorded, counted, and a failure in CI.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Appends `test <TAB> reason` to the file named by `BUILD_RUNNER_NOT_RUN`, which `scripts/test` reads.
///
/// `place` is the type name of an item inside the test, `it::module::test::here`.
///
/// # Panics
/// Under `CI=true`, where everything has to be there.
pub(crate) fn record(place: &str, reason: &str) {
    let test = test_name(place);
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} has to run in CI, but {reason}");
    if let Some(file) = std::env::var_os("BUILD_RUNNER_NOT_RUN") {
        // One write of one short line: appends of several test threads do not mix.
        let line = format!("{test}\t{reason}\n");
        OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
}

fn test_name(place: &str) -> &str {
    let place = place.strip_suffix("::here").unwrap_or(place);
    let place = place.strip_suffix("::{{closure}}").unwrap_or(place);
    place.split_once("::").map_or(place, |(_, test)| test)
}
