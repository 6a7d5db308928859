//! Repositories behind a real server: exactly the ref, credentials that leave no trace, servers that refuse, faults on the way.

use std::path::Path;
use std::time::{Duration, Instant};

use build_runner::job::{CancelCause, ExecutionId, Failure, FailureKind};
use build_runner::logs::{Capture, JobLog, LogPolicy, Progress};
use build_runner::process;
use build_runner::retry::Policy;
use build_runner::shutdown::Cancel;
use build_runner::workspace::git::{Checkout, Error, Options, Source, checkout};
use build_runner::workspace::{Cx, Workspace};

use crate::git_local::{git, repository, write};
use crate::support::git_server::{self, GitServer};

const USER: &str = "x-access-token";
const TOKEN: &str = "ghs_Pl4nted70ken-forTests";

/// A state folder, a log and repositories to serve.
struct Bench {
    folder: tempfile::TempDir,
    workspace: Workspace,
    log: JobLog,
    sink: Capture,
    cancel: Cancel,
    one: String,
    two: String,
}

impl Bench {
    /// With the repository `app.git` of two commits.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work/app");
        let (one, two) = repository(&work);
        publish(folder.path(), "app");
        let state = folder.path().join("state");
        let workspace = Workspace::create(&state, &ExecutionId::generate()).unwrap();
        let sink = Capture::default();
        let log = JobLog::open(&state.join("log"), LogPolicy::default(), Box::new(sink.clone())).unwrap();
        Self { folder, workspace, log, sink, cancel: Cancel::new(), one, two }
    }

    fn serve(&self, options: git_server::Options) -> GitServer {
        GitServer::start(&self.folder.path().join("served"), options)
    }

    fn locked(&self) -> GitServer {
        let password = Some((USER.to_owned(), TOKEN.to_owned()));
        self.serve(git_server::Options { password, secret: TOKEN.to_owned(), ..git_server::Options::default() })
    }

    async fn checkout(&self, url: &str, git_ref: Option<&str>) -> Result<Checkout, Error> {
        let (progress, dest) = (Progress::default(), tempfile::tempdir_in(self.workspace.root()).unwrap().keep());
        let cx = Cx { cancel: &self.cancel, log: &self.log, progress: &progress, workspace: &self.workspace };
        let source =
            Source { url: url.to_owned(), git_ref: git_ref.map(str::to_owned), path: "charts/app".to_owned(), recurse_submodules: true };
        let retry = Policy { tries: 3, min_delay: Duration::from_millis(1), max_delay: Duration::from_millis(5) };
        checkout(&cx, &source, &Options { retry, ..Options::default() }, &dest).await
    }

    /// Everything that was written or logged, searched for the token and its encodings.
    async fn assert_no_trace(&self, server: &GitServer) {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{TOKEN}"));
        assert!(self.log.flush().await);
        let log = self.sink.texts().join("\n");
        for secret in [TOKEN, &encoded] {
            assert!(!log.contains(secret), "{log}");
            let found = grep(&self.folder.path().join("state"), secret.as_bytes());
            assert!(found.is_empty(), "{found:?}");
        }
        assert_eq!(server.seen().leaks, [""; 0]);
    }
}

/// Makes the work tree `work/<name>` a bare repository that servers serve.
fn publish(folder: &Path, name: &str) {
    let bare = folder.join("served").join(format!("{name}.git"));
    let _ = std::fs::remove_dir_all(&bare);
    git(folder, &["clone", "-q", "--bare", &format!("work/{name}"), bare.to_str().unwrap()]);
}

/// Files below `root` that hold `needle`.
fn grep(root: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn version(done: &Checkout) -> String {
    std::fs::read_to_string(done.path.join("Chart.yaml")).unwrap()
}

#[tokio::test]
async fn every_kind_of_ref_is_one_commit() {
    let bench = Bench::new();
    for tips_only in [false, true] {
        let server = bench.serve(git_server::Options { tips_only, ..git_server::Options::default() });
        let (one, two) = (bench.one.as_str(), bench.two.as_str());
        for (name, commit) in [
            (None, two),
            (Some("main"), two),
            (Some("feature/x"), one),
            (Some("v1"), one),
            (Some("refs/tags/v1"), one),
            (Some("refs/heads/main"), two),
            (Some(two), two),
            (Some(one), one),
            (Some(&one[..10]), one),
        ] {
            let done = bench.checkout(&server.url("app.git"), name).await.unwrap_or_else(|error| panic!("{name:?}, {tips_only}: {error}"));
            assert_eq!(done.source.commit.as_deref(), Some(commit), "{name:?}, {tips_only}");
            assert_eq!(version(&done), if commit == one { "version: 1" } else { "version: 2" }, "{name:?}, {tips_only}");
            assert_eq!((done.source.git_ref.as_deref(), done.source.url.as_str()), (name, server.url("app.git").as_str()));
            assert!(done.source.commit_time.is_some() && !done.root.join(".git").exists());
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_no_tip_is_found_in_the_history_of_a_server_that_hands_out_tips_only() {
    let bench = Bench::new();
    let work = bench.folder.path().join("work/app");
    git(&work, &["tag", "-d", "v1"]);
    git(&work, &["branch", "-D", "feature/x"]);
    publish(bench.folder.path(), "app");
    let server = bench.serve(git_server::Options { tips_only: true, ..git_server::Options::default() });
    let done = bench.checkout(&server.url("app.git"), Some(&bench.one)).await.unwrap();
    assert_eq!(version(&done), "version: 1");
    let nowhere = "0123456789abcdef0123456789abcdef01234567";
    let error = bench.checkout(&server.url("app.git"), Some(nowhere)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("the commit '{nowhere}' was not found")), "{error}");
}

#[tokio::test]
async fn credentials_leave_no_trace() {
    let bench = Bench::new();
    let server = bench.locked();
    let done = bench.checkout(&server.url_as(USER, TOKEN, "app.git"), Some("main")).await.unwrap();
    assert_eq!((version(&done).as_str(), done.source.url), ("version: 2", server.url("app.git")));
    let seen = server.seen();
    assert!(!seen.authorizations.is_empty() && seen.requests.iter().any(|request| request.contains("git-upload-pack")), "{seen:?}");
    bench.assert_no_trace(&server).await;
}

#[tokio::test]
async fn the_search_for_leaks_finds_one() {
    let bench = Bench::new();
    let server = bench.locked();
    let leaky = std::process::Command::new("sleep").arg("60").env("TOKEN", TOKEN).spawn().unwrap();
    let _ = bench.checkout(&server.url("app.git"), None).await;
    let mut leaky = leaky;
    leaky.kill().unwrap();
    leaky.wait().unwrap();
    assert!(server.seen().leaks.iter().any(|leak| leak.contains(&format!("/proc/{}/environ", leaky.id()))));
    std::fs::write(bench.workspace.root().join("leak"), format!("x{TOKEN}y")).unwrap();
    assert_eq!(grep(bench.folder.path(), TOKEN.as_bytes()).len(), 1);
}

#[tokio::test]
async fn refused_credentials_are_told_from_missing_things() {
    let bench = Bench::new();
    let (server, open) = (bench.locked(), bench.serve(git_server::Options::default()));
    for (url, name, kind, text) in [
        (server.url("app.git"), "main", FailureKind::AuthDenied, "refused access"),
        (server.url_as(USER, "wr0ng-Pl4nted", "app.git"), "main", FailureKind::AuthDenied, "put credentials that may read it"),
        (open.url("none.git"), "main", FailureKind::SourceNotFound, "the repository was not found"),
        (open.url("app.git"), "nope", FailureKind::SourceNotFound, "a branch or tag 'nope' was not found"),
        (open.url("app.git"), "refs/pull/1/head", FailureKind::SourceNotFound, "the ref 'refs/pull/1/head' was not found"),
        ("http://127.0.0.1:9/app.git".to_owned(), "main", FailureKind::SourceUnavailable, "cannot be reached just now"),
        ("file:///etc".to_owned(), "main", FailureKind::InvalidPlan, "only in job files of this machine"),
    ] {
        let begun = Instant::now();
        let failure = Failure::from(bench.checkout(&url, Some(name)).await.unwrap_err());
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains(text) && !failure.message.contains("wr0ng"), "{failure}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    bench.assert_no_trace(&server).await;
    assert!(!bench.sink.texts().join("\n").contains("wr0ng-Pl4nted"));
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again() {
    let bench = Bench::new();
    let server = bench.serve(git_server::Options { failures: vec![503, 502], ..git_server::Options::default() });
    assert_eq!(version(&bench.checkout(&server.url("app.git"), Some("main")).await.unwrap()), "version: 2");
    let server = bench.serve(git_server::Options { failures: vec![503; 20], ..git_server::Options::default() });
    let failure = Failure::from(bench.checkout(&server.url("app.git"), Some("main")).await.unwrap_err());
    assert_eq!((failure.kind, failure.retryable), (FailureKind::SourceUnavailable, true));
    assert_eq!(server.seen().requests.len(), 3);
}

#[tokio::test]
async fn submodules_of_the_same_host_share_its_credentials_and_others_get_none() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    repository(&folder.join("work/library"));
    publish(folder, "library");
    let work = folder.join("work/app");
    git(&work, &["submodule", "add", "-q", "../library", "charts/app/library"]);
    git(&work, &["config", "-f", ".gitmodules", "submodule.charts/app/library.url", "../library.git"]);
    git(&work, &["commit", "-qam", "submodule"]);
    publish(folder, "app");
    let server = bench.locked();
    let done = bench.checkout(&server.url_as(USER, TOKEN, "app.git"), Some("main")).await.unwrap();
    assert_eq!(std::fs::read_to_string(done.path.join("library/charts/app/Chart.yaml")).unwrap(), "version: 2");
    assert!(!done.path.join("library/.git").exists());
    bench.assert_no_trace(&server).await;

    // The same submodule on another host, which wants the same password: it is not offered.
    let other = bench.locked();
    git(&work, &["config", "-f", ".gitmodules", "submodule.charts/app/library.url", &other.url("library.git")]);
    git(&work, &["commit", "-qam", "elsewhere"]);
    publish(folder, "app");
    let failure = Failure::from(bench.checkout(&server.url_as(USER, TOKEN, "app.git"), Some("main")).await.unwrap_err());
    assert_eq!(failure.kind, FailureKind::AuthDenied, "{failure}");
    assert!(!other.seen().requests.is_empty());
    assert_eq!(other.seen().authorizations, [""; 0]);
}

#[tokio::test]
async fn hostile_submodules_do_not_reach_this_machine() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    let work = folder.join("work/app");
    repository(&folder.join("work/library"));
    git(&work, &["submodule", "add", "-q", "../library", "charts/app/library"]);
    let secret = format!("file://{}", folder.join("work/library").display());
    git(&work, &["config", "-f", ".gitmodules", "submodule.charts/app/library.url", &secret]);
    git(&work, &["commit", "-qam", "a folder of the runner"]);
    publish(folder, "app");
    let server = bench.serve(git_server::Options::default());
    let error = bench.checkout(&server.url("app.git"), Some("main")).await.unwrap_err();
    assert!(Failure::from(error).evidence.iter().any(|line| line.text.contains("transport 'file' not allowed")));
}

#[tokio::test]
async fn a_fetch_that_hangs_is_cancelled() {
    let bench = Bench::new();
    let server = bench.serve(git_server::Options { stalls: true, ..git_server::Options::default() });
    let url = server.url("app.git");
    let stop = async {
        server.asked("git-upload-pack").await;
        bench.cancel.cancel(CancelCause::Requested);
    };
    let begun = Instant::now();
    let (ended, ()) = tokio::join!(bench.checkout(&url, Some("main")), stop);
    assert!(matches!(ended, Err(Error::Git(process::Error::Cancelled(_)))), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(process::stop_execution(bench.workspace.execution()), []);
}

#[tokio::test]
async fn files_in_lfs_are_fetched() {
    require_tools!("git-lfs");
    let bench = Bench::new();
    let work = bench.folder.path().join("work/app");
    git(&work, &["lfs", "install", "--local", "--skip-repo"]);
    git(&work, &["lfs", "track", "*.bin"]);
    write(&work, "charts/app/data.bin", "the real content");
    git(&work, &["add", "."]);
    git(&work, &["commit", "-qm", "lfs"]);
    assert!(git(&work, &["show", "HEAD:charts/app/data.bin"]).starts_with("version https://git-lfs"));
    let (progress, dest) = (Progress::default(), bench.workspace.root().join("lfs"));
    let cx = Cx { cancel: &bench.cancel, log: &bench.log, progress: &progress, workspace: &bench.workspace };
    let source =
        Source { url: "app".to_owned(), git_ref: Some("main".to_owned()), path: "charts/app".to_owned(), recurse_submodules: false };
    let options = Options { local_base: Some(bench.folder.path().join("work")), ..Options::default() };
    let done = checkout(&cx, &source, &options, &dest).await.unwrap();
    assert_eq!(std::fs::read_to_string(done.path.join("data.bin")).unwrap(), "the real content");
}
