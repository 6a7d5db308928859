//! The log of a job, written in arbitrary pieces: no secret comes out, neither at the sink nor from a single text.
#![no_main]

use std::sync::LazyLock;

use build_runner::logs::{Capture, JobLog, LogPolicy, Stream};
use libfuzzer_sys::fuzz_target;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"));

fuzz_target!(|input: (Vec<&str>, Vec<(u8, &str)>)| {
    let (mut secrets, pieces) = input;
    // A mask may complete a secret that has its character.
    secrets.retain(|secret| secret.trim().chars().count() >= 4 && !secret.contains('*'));
    let whole: String = pieces.iter().flat_map(|(secret, text)| [named(&secrets, *secret), text]).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let capture = Capture::default();
    let log = JobLog::open(folder.path(), LogPolicy::default(), Box::new(capture.clone())).expect("a log");
    for secret in &secrets {
        log.add_secret(secret);
    }
    let redacted = log.redact(&whole);
    let pipe = log.pipe(Stream::Stdout);
    for (secret, text) in &pieces {
        let (head, tail) = halves(named(&secrets, *secret).as_bytes());
        pipe.write(head);
        pipe.write(tail);
        pipe.write(text.as_bytes());
    }
    drop(pipe);
    RUNTIME.block_on(log.flush());
    let lines = capture.texts().join("\n");
    for secret in &secrets {
        assert!(!redacted.contains(secret), "{secret:?} is in {redacted:?}");
        assert!(!lines.contains(secret), "{secret:?} is in {lines:?}");
    }
});

/// A secret, for most numbers; so that there is something to hide.
fn named<'a>(secrets: &[&'a str], number: u8) -> &'a str {
    secrets.get(usize::from(number) % (secrets.len() + 1)).copied().unwrap_or_default()
}

fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len() / 2)
}
