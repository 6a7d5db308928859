//! A process that adopts orphans: the escaped are found even when nothing tells whose they are, and the dead do not pile up.
//!
//! A test binary of its own, because adopting is a property of the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to panic")]

use build_runner::logs::JobLog;
use build_runner::process::{Command, Environment, adopt_orphans};
use build_runner::shutdown::Cancel;

/// Children of this process by state: `Z` for the dead that nobody waited for.
fn children() -> Vec<(i32, char)> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let read = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (head, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?);
        (parent == own).then_some((head.split(' ').next()?.parse().ok()?, state))
    };
    entries.filter_map(read).collect()
}

#[tokio::test]
async fn escaped_and_dead_orphans_are_taken_care_of() {
    adopt_orphans().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::new("run-orphans", folder.path(), folder.path());
    // Twice: what dies while one command is swept is reaped when the next one ends.
    for script in [
        "(setsid env -i sleep 600 >/dev/null 2>&1 &) ; (setsid env -i true &) ; while [ -z \"$(pgrep -xf 'sleep 600')\" ]; do :; done",
        "true",
    ] {
        let done = Command::new("/bin/sh", &environment).args(["-c", script]).run(&Cancel::new(), &JobLog::discard()).await.unwrap();
        assert!(done.exit.is_success(), "{:?}", done.tail);
    }
    assert_eq!(children(), []);
}
