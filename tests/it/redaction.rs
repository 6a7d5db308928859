//! Secrets in the output of real tools, in the forms that these tools give them.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use build_runner::logs::{Capture, JobLog, LogPolicy};
use build_runner::process::{Command, Environment};
use build_runner::shutdown::Cancel;

/// Forty bytes with everything that encoders treat specially.
const SECRET: &str = "tok/en+with \"quotes\" & <marks>='s%and-more";

/// Runs `script` with the secret in `$SECRET` and gives what its log says.
async fn log_of(script: &str) -> (String, String) {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Capture::default());
    let log = JobLog::open(&folder.path().join("log"), LogPolicy::default(), Box::new(sink.clone())).expect("opened");
    log.add_secret(SECRET);
    let environment = Environment::new("run-redaction", folder.path(), folder.path()).with("SECRET", SECRET);
    let command = Command::new("/bin/bash", &environment).args(["-c", script]);
    let done = command.run(&Cancel::new(), &log).await.expect("ran");
    assert!(done.exit.is_success(), "{script}: {:?}", done.tail);
    assert!(log.flush().await);
    let mut stored = String::new();
    for entry in std::fs::read_dir(folder.path().join("log")).expect("readable") {
        stored.push_str(&std::fs::read_to_string(entry.expect("readable").path()).expect("text"));
    }
    (sink.texts().join("\n") + &done.tail.join("\n"), stored)
}

#[tokio::test]
async fn what_tools_make_of_a_secret_is_hidden() {
    // Each script prints the secret in some form, whose beginning must not appear; `X` marks that the rest of the output is there.
    for (script, beginning) in [
        ("echo \"X $SECRET\"", "tok/en"),
        ("printf 'X '; printf %s \"$SECRET\" | base64 -w0", "dG9rL2Vu"),
        ("echo X; echo \"$SECRET\" | base64", "dG9rL2Vu"),
        ("printf 'X '; printf 'u:%s' \"$SECRET\" | base64 -w0", "rL2VuK3dp"),
        ("printf 'X '; printf 'us:%s' \"$SECRET\" | base64 -w0", "2tlbi"),
        ("printf 'X '; printf %s \"$SECRET\" | od -An -v -tx1 | tr -d ' \\n'", "746f6b2f"),
        ("printf 'X %q\\n' \"$SECRET\"", "tok/en"),
        ("set -x; : X \"$SECRET\"", "tok/en"),
        ("printf 'X '; perl -e 'use JSON::PP; print JSON::PP->new->allow_nonref->encode($ENV{SECRET})'", "tok/en"),
        ("printf 'X '; perl -e '$_=$ENV{SECRET}; s/([^A-Za-z0-9_.~-])/sprintf(\"%%%02X\",ord $1)/ge; print'", "tok%2Fen"),
        ("printf 'X '; perl -e '$|=1; for (split //, $ENV{SECRET}) { print; select undef,undef,undef,0.001 }'", "tok/en"),
        ("printf 'X '; printf '%s\\033[0m%s' \"${SECRET:0:9}\" \"${SECRET:9}\"", "tok/en"),
        ("echo X; echo \"$SECRET\" >&2", "tok/en"),
    ] {
        let (log, stored) = log_of(script).await;
        assert!(log.contains('X') && log.contains("***"), "{script}: {log}");
        assert!(!log.contains(beginning), "{script}: {log}");
        assert!(!stored.contains(beginning), "{script}: {stored}");
    }
}

#[tokio::test]
async fn progress_bars_and_escapes_do_not_reach_the_terminal() {
    let (log, _) = log_of("printf '10%%\\r50%%\\r100%%\\n\\033]0;title\\007\\033[2Jplain\\n'").await;
    assert!(log.starts_with("100%\nplain"), "{log:?}");
}
