//! `build-runner jobs submit`: every file is read and checked before the first job is sent.

use std::path::{Component, Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::{args::SubmitArgs, client::Plane, error::Error, follow, show};
use crate::{
    cli::{Console, Exit, args::OutputFormat},
    job::JobId,
    source::job_file::{self, JobFile},
};

/// A job that is ready to be sent.
struct Submission {
    body: Value,
    key: String,
}

/// Submits the jobs, and with `--wait` shows what becomes of them.
pub(super) async fn submit(console: Console, plane: &Plane, arguments: &SubmitArgs) -> Result<Exit, Error> {
    let submissions = read(arguments)?;
    let format = arguments.output.output;
    let mut jobs = Vec::with_capacity(submissions.len());
    for submission in &submissions {
        match send(plane, submission).await {
            Ok(job) => {
                if format == OutputFormat::Text {
                    console.shown(format_args!("submitted {} {}", show::text(&job, "type"), show::text(&job, "id")));
                }
                jobs.push(job);
            }
            Err(error) => {
                if format == OutputFormat::Json {
                    console.json(&jobs);
                }
                if submissions.len() > 1 {
                    console.error(format_args!("{} of {} jobs were submitted", jobs.len(), submissions.len()));
                }
                return Err(error);
            }
        }
    }
    let exit = if arguments.wait { wait(console, plane, &mut jobs, format).await? } else { Exit::Success };
    if format == OutputFormat::Json {
        console.json(&jobs);
    }
    Ok(exit)
}

async fn send(plane: &Plane, submission: &Submission) -> Result<Value, Error> {
    let sent = || plane.request(Method::POST, plane.jobs(&[])).header("idempotency-key", &submission.key).json(&submission.body);
    let job = plane.ask(sent).await?;
    if show::text(&job, "id").is_empty() {
        return Err(Error::Broken(format!("{} answered without a job's id", plane.name())));
    }
    Ok(job)
}

/// Shows the logs of the jobs, one job after the other, and puts how each ended in its place.
async fn wait(console: Console, plane: &Plane, jobs: &mut [Value], format: OutputFormat) -> Result<Exit, Error> {
    let mut exit = Exit::Success;
    for job in jobs {
        let id: JobId =
            show::text(job, "id").parse().map_err(|_| Error::Broken(format!("{} answered with an unusable id", plane.name())))?;
        console.note(format_args!("{} {id}", show::text(job, "type")));
        follow::follow(console, plane, &id, |record| console.note(show::text(record, "text"))).await?;
        // The end of a log says little; the outputs are with the job.
        *job = plane.ask(|| plane.request(Method::GET, plane.jobs(&[id.as_str()]))).await?;
        show::end(console, job);
        if format == OutputFormat::Text {
            show::artifacts(job).for_each(|artifact| console.shown(artifact));
        }
        exit = exit.gravest(show::exit(job));
    }
    Ok(exit)
}

/// Reads and checks every job file, with the messages that `run` has for them.
fn read(arguments: &SubmitArgs) -> Result<Vec<Submission>, Error> {
    let files = job_file::read_all(&arguments.files).map_err(|rejected| Error::Usage(rejected.to_string()))?;
    let mut problems: Vec<_> =
        files.iter().filter_map(|file| file.check_destination().err()).map(|rejected| rejected.to_string()).collect();
    let key = arguments.idempotency_key.clone().unwrap_or_else(|| JobId::generate().to_string());
    if key.is_empty() || key.len() > 200 || !key.chars().all(|c| c.is_ascii_graphic()) {
        problems.push("--idempotency-key: use 1 to 200 visible ASCII characters".to_owned());
    }
    if !problems.is_empty() {
        return Err(Error::Usage(problems.join("\n")));
    }
    let several = files.len() > 1;
    let submission = |(index, file): (usize, &JobFile)| Submission {
        body: body(file, arguments),
        key: if several { format!("{key}.{}", index + 1) } else { key.clone() },
    };
    Ok(files.iter().enumerate().map(submission).collect())
}

fn body(file: &JobFile, arguments: &SubmitArgs) -> Value {
    let mut body = file.portable.to_json(|path| absolute(&file.base, path));
    if let Some(runner) = &arguments.for_runner {
        body["runner_id"] = json!(runner);
    }
    if let Some(count) = arguments.max_executions {
        body["max_executions"] = json!(count);
    }
    body
}

/// `path` of a job file in `base`, for a runner that is started somewhere else. A `file://` URL is absolute already.
fn absolute(base: &Path, path: &str) -> String {
    if path.starts_with("file://") {
        return path.to_owned();
    }
    let mut whole = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            // `whole` has no links in it as far as it exists: what stands above it is its parent.
            Component::ParentDir => drop(whole.pop()),
            other => {
                whole.push(other);
                whole = std::fs::canonicalize(&whole).unwrap_or(whole);
            }
        }
    }
    whole.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_whether_they_exist_or_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().canonicalize().expect("there");
        std::fs::create_dir_all(base.join("real/inner")).expect("makes");
        std::os::unix::fs::symlink(base.join("real/inner"), base.join("link")).expect("links");
        let expect = |path: &str, below: &str| assert_eq!(absolute(&base, path), base.join(below).display().to_string(), "{path}");
        expect("./real/../real/inner", "real/inner");
        expect("link/../x", "real/x");
        expect("not/there/../yet", "not/yet");
        assert_eq!(absolute(&base, "/srv/../x"), "/x");
        assert_eq!(absolute(&base, "file:///srv/repo"), "file:///srv/repo");
    }
}
