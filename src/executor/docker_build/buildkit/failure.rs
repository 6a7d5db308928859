//! From a build that did not succeed to one typed failure, with the instruction and its last lines as evidence.

use super::{
    super::Request,
    attestations,
    diagnosis::{Diagnosis, diagnose},
    generator::Generator,
    progress::{Failed, Summary},
};
use crate::{
    executor::Context,
    job::{Failure, FailureKind},
    logs::visible,
    process::Finished,
};

/// Lines of evidence.
const LINES: usize = 20;

/// The failure of a build.
pub(super) fn of(cx: &Context, request: &Request, done: &Finished, summary: &Summary) -> Failure {
    let error = error_text(summary);
    let tail = summary.failed.as_ref().map(|failed| last_lines(cx, failed)).unwrap_or_default();
    let generator = request.sbom_generator.as_deref().map(Generator::of);
    // What goes wrong with the generator stands in no Dockerfile.
    let generators = summary.failed.as_ref().is_some_and(|failed| generator.as_ref().is_some_and(|generator| generator.is_of(failed)));
    let place = if generators { "sbom_generator".to_owned() } else { place(request, &summary.lines) };
    let mut failure = match diagnose(&error, &tail.join("\n")) {
        Diagnosis::Step { code } => {
            let name = summary.failed.as_ref().map_or("a step", |failed| instruction(&failed.name));
            let why = match (code, tail.last()) {
                (137, _) => ": it was killed; memory running out is the usual reason".to_owned(),
                (_, Some(line)) => format!(": {line}"),
                (_, None) => String::new(),
            };
            Failure::new(FailureKind::ToolFailed, format!("{place}: {name} failed with exit code {code}{why}"))
                .with_tool(if generators { "sbom_generator" } else { "RUN" }, Some(code))
        }
        Diagnosis::Image { reference, kind } if reference.is_empty() && request.cache.export.is_some() => {
            let text = "the registry does not take the cache: check that it can be reached, and its user name and password in registries of the plan";
            Failure::new(kind, format!("cache.to: {text}: {error}"))
        }
        Diagnosis::Image { reference, kind } => Failure::new(kind, image_text(&place, &reference, kind, &error)),
        Diagnosis::Source => Failure::new(FailureKind::InvalidSource, format!("{place}: {}", source_text(&error))),
        Diagnosis::Plan(field, remedy) => Failure::new(FailureKind::InvalidPlan, format!("{field}: {error}: {remedy}")),
        Diagnosis::Generator => {
            let name = request.sbom_generator.as_deref().unwrap_or_default();
            Failure::new(FailureKind::ToolFailed, format!("sbom_generator: '{name}': {error}: {}", attestations::SAY))
                .with_tool("sbom_generator", None)
        }
        Diagnosis::Machine(FailureKind::DiskFull) => {
            let text = format!("{place}: no space left on the disk of the builder: give it more, or lower docker_cache_limit");
            Failure::new(FailureKind::DiskFull, text)
        }
        Diagnosis::Machine(kind) => {
            Failure::new(kind, format!("{place}: memory ran out: give the builder more memory or the step less to do"))
        }
        Diagnosis::Daemon => {
            let text = format!("the BuildKit daemon cannot be reached any more: {error}; look into its log, and whether it was restarted");
            Failure::new(FailureKind::Io, text).with_tool("buildctl", Some(done.exit.code()))
        }
        Diagnosis::Unknown => {
            let text = if error.is_empty() { format!("buildctl failed with {}", done.exit) } else { format!("{place}: {error}") };
            Failure::new(FailureKind::ToolFailed, text).with_tool("buildctl", Some(done.exit.code()))
        }
    };
    for line in summary.lines.iter().filter(|line| line.contains(">>>")).take(LINES) {
        failure = failure.with_evidence("Dockerfile", line.trim());
    }
    if !error.is_empty() {
        failure = failure.with_evidence("buildkit", error);
    }
    tail.into_iter().fold(failure, |failure, line| failure.with_evidence("output", line))
}

/// What buildctl says at the end, without its lead; else what the step said.
fn error_text(summary: &Summary) -> String {
    let said = summary.lines.iter().rposition(|line| line.to_ascii_lowercase().starts_with("error: "));
    let text = match (said, &summary.failed) {
        (Some(at), _) => summary.lines[at..].join("\n"),
        (None, Some(failed)) => failed.error.clone(),
        (None, None) => summary.lines.last().cloned().unwrap_or_default(),
    };
    let text = text.get(..7).filter(|lead| lead.eq_ignore_ascii_case("error: ")).map_or(text.as_str(), |lead| &text[lead.len()..]);
    text.strip_prefix("failed to solve: ").unwrap_or(text).trim().to_owned()
}

/// `Dockerfile:6`, from the head of buildctl's excerpt, with the name that people know.
fn place(request: &Request, lines: &[String]) -> String {
    let file = request.dockerfile.file_name().unwrap_or_default().to_string_lossy();
    let number = lines.iter().find_map(|line| {
        let number = line.strip_prefix(&*file)?.strip_prefix(':')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
    });
    number.map_or_else(|| request.dockerfile_name.clone(), |number| format!("{}:{number}", request.dockerfile_name))
}

/// `[stage 2/3] RUN make` without the brackets.
fn instruction(name: &str) -> &str {
    name.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(name, |(_, instruction)| instruction)
}

fn last_lines(cx: &Context, failed: &Failed) -> Vec<String> {
    let text = cx.log.redact(&String::from_utf8_lossy(&failed.tail));
    let mut lines: Vec<String> = text
        .split(['\n', '\r'])
        .rev()
        .map(|line| visible(line.as_bytes()).chars().take(500).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .take(LINES)
        .collect();
    lines.reverse();
    lines
}

/// The lead `failed to compute cache key: failed to calculate checksum of ref A::B: "/x": not found` has nothing for people in it.
fn source_text(error: &str) -> String {
    match error.split_once("failed to calculate checksum of ref ").and_then(|(_, rest)| rest.split_once(": ")) {
        Some((_, rest)) => format!("{rest} in the context, or excluded by its .dockerignore"),
        None => error.to_owned(),
    }
}

fn image_text(place: &str, reference: &str, kind: FailureKind, error: &str) -> String {
    let host = reference.split('/').next().filter(|_| reference.contains('/')).unwrap_or("a registry");
    match kind {
        FailureKind::AuthDenied => format!(
            "{place}: {host} does not give the image '{reference}' with these credentials: add the registry with user name and password to registries of the plan, or correct them"
        ),
        FailureKind::SourceNotFound => {
            format!("{place}: the image '{reference}' is not at {host}, or not for this platform; correct the name")
        }
        _ => format!("{place}: the image '{reference}' cannot be had from {host}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::arguments::tests::request, *};

    #[test]
    fn the_place_and_the_error_are_taken_out_of_what_buildctl_says() {
        let text = "Dockerfile:6\n--------------------\n   6 | >>> RUN x\n--------------------\nerror: failed to solve: process \"x\" did not\nsecond";
        let summary = Summary { lines: text.lines().map(str::to_owned).collect(), ..Summary::default() };
        let mut request = request();
        request.dockerfile_name = "app/Dockerfile".to_owned();
        assert_eq!(place(&request, &summary.lines), "app/Dockerfile:6");
        assert_eq!(error_text(&summary), "process \"x\" did not\nsecond");
        let missing = "failed to compute cache key: failed to calculate checksum of ref a::b: \"/x\": not found";
        assert_eq!(source_text(missing), "\"/x\": not found in the context, or excluded by its .dockerignore");
        assert_eq!(instruction("[stage-1 2/2] RUN [x] y"), "RUN [x] y");
    }
}
