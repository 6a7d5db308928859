//! A real control plane and real runners: children with folders of their own, killed and started again at will.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::process::{self, Done, PATIENCE, Running};
use super::tools;

/// A control plane on a loopback port, and the folder of its data; both outlive a kill.
#[derive(Debug)]
pub(crate) struct Plane {
    dir: TempDir,
    address: SocketAddr,
    extra: Vec<String>,
    child: Option<Running>,
    http: reqwest::Client,
    runtime: Runtime,
}

impl Plane {
    /// A plane that answers.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A plane started with more arguments.
    pub(crate) fn with(extra: &[&str]) -> Self {
        // Fails when another test of this process was first: then it is there.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::Builder::new().prefix("plane-").tempdir().unwrap();
        let extra = extra.iter().map(ToString::to_string).collect();
        let mut plane = Self { dir, address, extra, child: None, http, runtime };
        plane.restart();
        plane
    }

    /// Starts it (again) on the same data and the same port. Returns when it answers.
    pub(crate) fn restart(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-runner"));
        command.args(["control-plane", "--listen", &self.address.to_string(), "--data-dir"]).arg(self.data()).args(&self.extra);
        command.env_clear().env("PATH", tools::path()).env("HOME", self.dir.path()).env("TMPDIR", self.dir.path());
        let child = process::spawn(&mut command);
        child.stdout_line(&self.address.to_string());
        self.child = Some(child);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        // Dropping a child kills it and waits for it.
        self.child.take().unwrap();
    }

    /// The running process.
    pub(crate) fn process(&self) -> &Running {
        self.child.as_ref().unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder of its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The file with the token of operators (`operator`) or runners (`runner`).
    pub(crate) fn token_file(&self, kind: &str) -> PathBuf {
        self.data().join(format!("{kind}.token"))
    }

    /// That token.
    pub(crate) fn token(&self, kind: &str) -> String {
        fs::read_to_string(self.token_file(kind)).unwrap().trim().to_owned()
    }

    /// One request with the operator's token: status and JSON (`null` when it is none).
    pub(crate) fn operator(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.request(method, path, "operator", body)
    }

    /// One request with a runner's token.
    pub(crate) fn as_runner(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.request(method, path, "runner", body)
    }

    fn request(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url())).bearer_auth(self.token(token));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
        })
    }

    /// Submits a job and gives its id.
    pub(crate) fn submit(&self, job: &Value) -> String {
        let (status, answer) = self.operator("POST", "/v1/jobs", Some(job));
        assert_eq!(status, 201, "{answer:#}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// A job as it is now.
    pub(crate) fn job(&self, id: &str) -> Value {
        let (status, job) = self.operator("GET", &format!("/v1/jobs/{id}"), None);
        assert_eq!(status, 200, "{job:#}");
        job
    }

    /// Every job, newest first.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let (mut jobs, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = self.operator("GET", &format!("/v1/jobs?limit=100{cursor}"), None);
            assert_eq!(status, 200, "{page:#}");
            jobs.extend(page["jobs"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return jobs,
            }
        }
    }

    /// Follows the log of a job until the job is over, by server-sent events. The lines, and the job.
    pub(crate) fn follow(&self, id: &str) -> (Vec<Value>, Value) {
        let url = format!("{}/v1/jobs/{id}/logs", self.url());
        let request = self.http.get(url).bearer_auth(self.token("operator")).header("accept", "text/event-stream");
        let followed = self.runtime.block_on(async {
            let mut answer = request.send().await.unwrap().error_for_status().unwrap();
            let (mut text, mut records) = (Vec::new(), Vec::new());
            while let Ok(Some(piece)) = answer.chunk().await {
                text.extend_from_slice(&piece);
                while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                    let event: Vec<u8> = text.drain(..end + 2).collect();
                    let event = String::from_utf8(event).unwrap();
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    match field("event") {
                        Some("record") => records.push(serde_json::from_str(field("data").unwrap()).unwrap()),
                        Some("end") => return Ok((records, serde_json::from_str(field("data").unwrap()).unwrap())),
                        _ => {}
                    }
                }
            }
            Err(records)
        });
        followed.unwrap_or_else(|records| panic!("the stream of {id} ended without the end of the job: {records:#?}\n{:#}", self.job(id)))
    }

    /// Waits until a job is over.
    pub(crate) fn ended(&self, id: &str) -> Value {
        self.follow(id).1
    }
}

/// A polling runner, and its state folder; both outlive a kill.
#[derive(Debug)]
pub(crate) struct Agent {
    dir: TempDir,
    url: String,
    token: PathBuf,
    id: String,
    extra: Vec<String>,
    path: String,
    child: Option<Running>,
}

impl Agent {
    /// A runner of `plane`, not started yet.
    pub(crate) fn of(plane: &Plane, id: &str) -> Self {
        Self::at(&plane.url(), &plane.token_file("runner"), id)
    }

    /// A runner of the plane at `url`, not started yet.
    pub(crate) fn at(url: &str, token: &Path, id: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("agent-").tempdir().unwrap();
        for name in ["home", "tmp", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let path = tools::path().into_string().unwrap();
        Self { dir, url: url.to_owned(), token: token.to_owned(), id: id.to_owned(), extra: Vec::new(), path, child: None }
    }

    /// Adds arguments for its next start.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.extra.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Puts a program of that name in front of the real one: what jobs are to do. `SELF` in the script is the real one.
    pub(crate) fn program(mut self, name: &str, script: &str) -> Self {
        let folder = self.dir.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let real = tools::find(name).unwrap_or_else(|| panic!("{name} is not installed"));
        fs::write(folder.join(name), script.replace("SELF", real.to_str().unwrap())).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        if !self.path.starts_with(folder.to_str().unwrap()) {
            self.path = format!("{}:{}", folder.display(), self.path);
        }
        self
    }

    /// Starts it (again) on the same state.
    pub(crate) fn start(&mut self) -> &Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-runner"));
        command.args(["run", "--api-url", &self.url, "--runner-id", &self.id, "--api-token-file"]).arg(&self.token);
        command.arg("--state-dir").arg(self.state()).args(&self.extra).current_dir(self.work());
        command.env_clear().env("PATH", &self.path).env("HOME", self.dir.path().join("home")).env("TMPDIR", self.dir.path().join("tmp"));
        self.child = Some(process::spawn(&mut command));
        self.process()
    }

    /// Started.
    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    /// The running process.
    pub(crate) fn process(&self) -> &Running {
        self.child.as_ref().unwrap()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.take().unwrap();
    }

    /// Asks it to drain and waits for its end.
    pub(crate) fn drained(&mut self) -> Done {
        self.process().signal(Signal::SIGTERM);
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> Done {
        self.child.take().unwrap().wait()
    }

    /// Its state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The folder it runs in.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// What is left in workspaces, logs and temporary files: nothing, once everything is delivered.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        for folder in ["tmp", "state/workspaces", "state/logs"] {
            let Ok(entries) = fs::read_dir(self.dir.path().join(folder)) else { continue };
            left.extend(entries.map(|entry| entry.unwrap().path()));
        }
        left
    }
}

/// Waits for something that announces itself nowhere, such as another process's death. Looks often; gives up after [`PATIENCE`].
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !reached() {
        assert!(std::time::Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
