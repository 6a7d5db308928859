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

/// The failure of `docker build`.
pub(super) fn of_build(request: &Request, dockerfile: &Dockerfile, progress: &Progress, done: &Finished) -> Failure {
    let (instruction, lines) = progress.evidence();
    let failure = classify(request, dockerfile, instruction.as_deref().unwrap_or_default(), &lines);
    let failure = failure.with_tool("docker", Some(done.exit.code()));
    lines.iter().fold(failure, |failure, line| failure.with_evidence("build", line))
}

/// The failure of `docker pull` of a base image.
pub(super) fn of_pull(request: &Request, dockerfile: &Dockerfile, image: &str, done: &Finished) -> Failure {
    let said = done.tail.last().map_or("", String::as_str);
    let name = &request.dockerfile_name;
    let place = dockerfile.line_of_image(image, &request.build_args).map_or_else(|| name.clone(), |line| format!("{name}:{line}"));
    let kind = trouble::kind(said).unwrap_or(FailureKind::ImagePull);
    let failure = trouble::base_image(&place, image, &dockerfile::host(image), kind, said);
    done.tail.iter().fold(failure.with_tool("docker", Some(done.exit.code())), |failure, line| failure.with_evidence("pull", line))
}

fn classify(request: &Request, dockerfile: &Dockerfile, instruction: &str, lines: &[String]) -> Failure {
    let name = &request.dockerfile_name;
    let place = dockerfile.place(name, instruction);
    let has = |words: &str| lines.iter().find(|line| line.contains(words));
    if lines.iter().any(|line| trouble::kind(line) == Some(FailureKind::DiskFull)) {
        let text = format!("{place}: the disk of the Docker engine is full: free space there, or make the image smaller");
        return Failure::new(FailureKind::DiskFull, text);
    }
    if has("target stage").or_else(|| has("failed to reach build target")).is_some() {
        let target = request.target.as_deref().unwrap_or_default();
        return Failure::new(FailureKind::InvalidPlan, format!("target: '{target}' is not a stage of {name}"));
    }
    if let Some(line) = has("arse error") {
        // `… dockerfile parse error line 2: unknown instruction: COPPY`, also `on line 2` and `Dockerfile parse error`.
        let told = line.split("arse error").nth(1).unwrap_or_default().trim_start_matches([' ', ':']).trim_start_matches("on ");
        let (number, why) = told.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).unwrap_or(("", told));
        let place = if number.is_empty() { name.clone() } else { format!("{name}:{number}") };
        return Failure::new(FailureKind::InvalidSource, format!("{place}: {why}"));
    }
    if let Some(line) = lines.iter().find(|line| line.contains("exit code: ") || line.contains("returned a non-zero code: ")) {
        let code = line.rsplit(": ").next().unwrap_or_default();
        let said = lines.iter().rev().find(|said| !said.contains("exit code: ") && !said.contains("non-zero code: "));
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        let shown: String = instruction.chars().take(120).collect();
        return Failure::new(FailureKind::ToolFailed, format!("{place}: '{shown}' failed with exit code {code}{said}"));
    }
    let last = lines.last().map_or("it said nothing", String::as_str);
    if matches!(instruction.split_whitespace().next(), Some("COPY" | "ADD")) && last.contains("not found") {
        return Failure::new(FailureKind::InvalidSource, format!("{place}: '{instruction}': {last}"));
    }
    if let Some(frontend) = dockerfile.syntax.as_deref().filter(|_| last.contains("frontend gateway.v0")) {
        let (kind, host) = (trouble::kind(last).unwrap_or(FailureKind::ImagePull), dockerfile::host(frontend));
        return Failure::new(kind, format!("{name}: the image '{frontend}' of its syntax line cannot be had from {host}: {last}"));
    }
    if last.starts_with("secret ") && last.contains("not found") {
        return Failure::new(FailureKind::InvalidPlan, format!("secrets: {place} needs a secret that the plan does not give: {last}"));
    }
    if last.starts_with("no SSH key") {
        let text = format!("ssh: {place} mounts an ssh agent; set ssh in the plan and docker_ssh_agent on the runner");
        return Failure::new(FailureKind::InvalidPlan, text);
    }
    let images = dockerfile.images(&request.build_args);
    let unresolved = last.contains("load metadata") || last.contains("pull access") || last.ends_with(": not found");
    if let Some(image) = images.iter().find(|image| unresolved && last.contains(image.as_str())) {
        let kind = trouble::kind(last).unwrap_or(FailureKind::SourceNotFound);
        return trouble::base_image(&place, image, &dockerfile::host(image), kind, last);
    }
    Failure::new(FailureKind::ToolFailed, format!("{place}: docker build failed: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_says_is_told_apart() {
        let request = super::super::super::tests::request();
        let dockerfile = Dockerfile::parse("# syntax=docker/dockerfile:1\nFROM h:1/base\nRUN exit 7\nCOPY nope /\n");
        for (instruction, lines, kind, part) in [
            (
                "RUN exit 7",
                &["one", "executor failed running [/bin/sh -c exit 7]: exit code: 7"][..],
                FailureKind::ToolFailed,
                "Dockerfile:3: 'RUN exit 7' failed with exit code 7: one",
            ),
            (
                "",
                &[
                    "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: COPPY",
                ],
                FailureKind::InvalidSource,
                "Dockerfile:2: unknown instruction: COPPY",
            ),
            (
                "",
                &["failed to solve: dockerfile parse error on line 3: unknown instruction: X"],
                FailureKind::InvalidSource,
                "Dockerfile:3: unknown instruction: X",
            ),
            (
                "COPY nope /",
                &["failed to compute cache key: \"/nope\" not found: not found"],
                FailureKind::InvalidSource,
                "Dockerfile:4: 'COPY nope /'",
            ),
            ("", &["failed to create LLB definition: target stage zz could not be found"], FailureKind::InvalidPlan, "'zz' is not a stage"),
            (
                "",
                &["failed to create LLB definition: h:1/base: not found"],
                FailureKind::SourceNotFound,
                "'h:1/base' does not exist at h:1",
            ),
            (
                "",
                &[
                    "failed to solve with frontend dockerfile.v0: failed to solve with frontend gateway.v0: failed to do request: dial tcp: lookup registry-1.docker.io: no such host",
                ],
                FailureKind::RegistryUnavailable,
                "the image 'docker/dockerfile:1' of its syntax line cannot be had from docker.io",
            ),
            ("RUN exit 7", &["secret x not found: not found"], FailureKind::InvalidPlan, "secrets: app/Dockerfile:3 needs a secret"),
            ("RUN exit 7", &["no SSH key \"\" forwarded from the client"], FailureKind::InvalidPlan, "ssh: app/Dockerfile:3 mounts"),
            ("RUN dd", &["dd: No space left on device", "exit code: 1"], FailureKind::DiskFull, "is full"),
        ] {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            let failure = classify(&request, &dockerfile, instruction, &lines);
            assert_eq!(failure.kind, kind, "{lines:?}");
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }
}
