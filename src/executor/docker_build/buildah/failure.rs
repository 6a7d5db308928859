//! What a failed build says, as a typed failure.

use super::{
    super::{
        dockerfile::{self, Dockerfile},
        trouble,
    },
    progress::Progress,
};
use crate::{
    executor::docker_build::Request,
    job::{Failure, FailureKind},
    process::Finished,
};

/// What is known of a build that failed.
pub(super) struct Evidence<'a> {
    pub(super) request: &'a Request,
    pub(super) dockerfile: &'a Dockerfile,
    /// The instruction under way.
    instruction: Option<String>,
    /// The last lines of that step, `Error: …` among them.
    lines: Vec<String>,
    code: i32,
}

impl<'a> Evidence<'a> {
    pub(super) fn of(request: &'a Request, dockerfile: &'a Dockerfile, progress: &Progress, done: &Finished) -> Self {
        let (instruction, lines) = progress.evidence();
        Self { request, dockerfile, instruction, lines, code: done.exit.code() }
    }

    /// The failure.
    pub(super) fn failure(&self) -> Failure {
        let mut failure = self.classify().with_tool("buildah", Some(self.code));
        for line in &self.lines {
            failure = failure.with_evidence("build", line);
        }
        failure
    }

    fn classify(&self) -> Failure {
        let error = self.lines.iter().rev().find_map(|line| line.strip_prefix("Error: ")).unwrap_or_default();
        let instruction = self.instruction.as_deref().unwrap_or_default();
        let place = self.dockerfile.place(&self.request.dockerfile_name, instruction);
        let trouble = self.lines.iter().find_map(|line| trouble::kind(line).filter(|kind| *kind == FailureKind::DiskFull));
        if trouble.is_some() {
            let text = format!("{place}: the runner's disk is full: free space below its state folder, or make the image smaller");
            return Failure::new(FailureKind::DiskFull, text);
        }
        if error.starts_with("The target ") && error.contains("not found") || error.contains("target not found") {
            let target = self.request.target.as_deref().unwrap_or_default();
            return Failure::new(
                FailureKind::InvalidPlan,
                format!("target: '{target}' is not a stage of {}", self.request.dockerfile_name),
            );
        }
        if error.contains("secret required but no secret") {
            return Failure::new(FailureKind::InvalidPlan, format!("secrets: {place} needs a secret that the plan does not give: {error}"));
        }
        if error.contains("ssh required but no ssh") {
            let text = format!("ssh: {place} mounts an ssh agent; set ssh in the plan and docker_ssh_agent on the runner");
            return Failure::new(FailureKind::InvalidPlan, text);
        }
        if let Some(image) = self.image(instruction, error) {
            let kind = trouble::kind(error).unwrap_or(FailureKind::ImagePull);
            return trouble::base_image(&place, &image, &dockerfile::host(&image), kind, error);
        }
        if is_syntax(error) {
            return Failure::new(FailureKind::InvalidSource, format!("{place}: {}", plain(error)));
        }
        if let Some(code) = run_code(error).filter(|_| keyword(instruction) == "RUN") {
            let of_buildah = |line: &str| line.starts_with("Error: ") || line.starts_with(": exit status");
            let said = self.lines.iter().rev().find(|line| !of_buildah(line));
            let said = said.map(|line| format!(": {line}")).unwrap_or_default();
            let text = format!("{place}: '{}' failed with exit code {code}{said}", short(instruction));
            return Failure::new(FailureKind::ToolFailed, text);
        }
        if matches!(keyword(instruction).as_str(), "COPY" | "ADD")
            && (error.contains("no such file") || error.contains("no items matching"))
        {
            return Failure::new(FailureKind::InvalidSource, format!("{place}: '{}': {}", short(instruction), plain(error)));
        }
        let said = if error.is_empty() { self.lines.last().map_or("it said nothing", String::as_str) } else { plain(error) };
        Failure::new(FailureKind::ToolFailed, format!("{place}: buildah failed with exit code {}: {said}", self.code))
    }

    /// The base image that could not be had, if that is what failed.
    fn image(&self, instruction: &str, error: &str) -> Option<String> {
        let from = keyword(instruction) == "FROM";
        let copied = error.contains("no stage or image found with that name");
        let pulled = error.contains("creating build container") || error.contains("initializing source docker://");
        let ours = pulled || copied || from && trouble::kind(error).is_some();
        if !ours {
            return None;
        }
        let images = self.dockerfile.images(&self.request.build_args);
        let named = |image: &&String| {
            let full = dockerfile::canonical(image);
            error.contains(&full) || error.contains(full.trim_end_matches(":latest")) || instruction.contains(image.as_str())
        };
        let first = || instruction.split_whitespace().skip(1).find(|word| !word.starts_with("--")).map(str::to_owned);
        images.iter().find(named).cloned().or_else(first)
    }
}

fn keyword(instruction: &str) -> String {
    instruction.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
}

/// The exit code in `building at STEP "RUN …": exit status 7`.
fn run_code(error: &str) -> Option<i32> {
    let (_, rest) = error.rsplit_once("exit status ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_syntax(error: &str) -> bool {
    [
        "Unknown instruction",
        "no FROM statement found",
        "unknown flag",
        "dockerfile parse error",
        "Dockerfile parse error",
        "requires at least",
        " only supports the --",
    ]
    .iter()
    .any(|words| error.contains(words))
        || error.contains("can't find") && error.contains("dockerfile")
        || error.ends_with("unexpected end of statement")
}

/// The message without the step before it, which is named anyway, and buildah's debugging output behind it.
fn plain(error: &str) -> &str {
    let marks = ["Build error: ", "copier: ", "\": "];
    let behind = |mark: &&str| error.starts_with("building at STEP").then(|| error.split_once(*mark)).flatten();
    let error = marks.iter().find_map(behind).map_or(error, |(_, rest)| rest);
    error.split_once(" &imagebuilder.").map_or(error, |(before, _)| before)
}

fn short(instruction: &str) -> String {
    const SHOWN: usize = 120;
    let mut text: String = instruction.chars().take(SHOWN).collect();
    if instruction.chars().count() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(instruction: &str, lines: &[&str], code: i32) -> Failure {
        let request = super::super::super::tests::request();
        let dockerfile = Dockerfile::parse("FROM 127.0.0.1:1/none:1\nRUN echo one; exit 7\nCOPPY a b\nCOPY nothere /\n");
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Evidence { request: &request, dockerfile: &dockerfile, instruction: Some(instruction.to_owned()), lines, code }.failure()
    }

    #[test]
    fn what_buildah_says_is_told_apart() {
        let refused = "Error: creating build container: initializing source docker://127.0.0.1:1/none:1: pinging container registry 127.0.0.1:1: \
                       Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused";
        let missing = "Error: creating build container: initializing source docker://127.0.0.1:1/none:1: reading manifest 1 in 127.0.0.1:1/none: \
                       manifest unknown: manifest unknown";
        let denied = "Error: creating build container: initializing source docker://127.0.0.1:1/none:1: unable to retrieve auth token: \
                      invalid username/password: unauthorized: authentication required";
        let run = ["one", "Error: building at STEP \"RUN echo one; exit 7\": exit status 7"];
        let full = ["dd: error writing '/f': No space left on device", "Error: building at STEP \"RUN dd\": exit status 1"];
        let syntax = "Error: building at STEP \"COPPY \": Build error: Unknown instruction: \"COPPY\" &imagebuilder.Step{Env:[]}";
        let secret =
            "Error: building at STEP \"RUN echo one; exit 7\": resolving mountpoints: secret required but no secret with id x found";
        let copy = "Error: building at STEP \"COPY nothere /\": checking on sources under \"/w\": copier: stat: \"/nothere\": no such file or directory";
        let target = "Error: The target \"zz\" was not found in the provided Dockerfile";
        for (instruction, lines, kind, part) in [
            (
                "FROM 127.0.0.1:1/none:1",
                &[refused][..],
                FailureKind::RegistryUnavailable,
                "app/Dockerfile:1: the base image '127.0.0.1:1/none:1'",
            ),
            ("FROM 127.0.0.1:1/none:1", &[missing], FailureKind::SourceNotFound, "does not exist at 127.0.0.1:1"),
            ("FROM 127.0.0.1:1/none:1", &[denied], FailureKind::AuthDenied, "the registry 127.0.0.1:1 does not let"),
            (
                "RUN echo one; exit 7",
                &run,
                FailureKind::ToolFailed,
                "app/Dockerfile:2: 'RUN echo one; exit 7' failed with exit code 7: one",
            ),
            (
                "RUN echo one; exit 7",
                &[secret],
                FailureKind::InvalidPlan,
                "secrets: app/Dockerfile:2 needs a secret that the plan does not give",
            ),
            ("RUN dd", &full, FailureKind::DiskFull, "disk is full"),
            ("COPPY a b", &[syntax], FailureKind::InvalidSource, "app/Dockerfile:3: Unknown instruction: \"COPPY\""),
            ("COPY nothere /", &[copy], FailureKind::InvalidSource, "app/Dockerfile:4: 'COPY nothere /'"),
            ("", &[target], FailureKind::InvalidPlan, "'zz' is not a stage of app/Dockerfile"),
            ("RUN x", &["Error: something else"], FailureKind::ToolFailed, "something else"),
        ] {
            let failure = failure(instruction, lines, 125);
            assert_eq!(failure.kind, kind, "{lines:?}");
            assert!(failure.message.contains(part), "{}", failure.message);
            assert_eq!((failure.evidence.len(), failure.tool.as_deref()), (lines.len(), Some("buildah")));
        }
    }
}
