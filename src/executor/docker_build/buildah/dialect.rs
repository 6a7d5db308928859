//! What of a Dockerfile this version of buildah, or an image in OCI format, does not know.

use semver::Version;

use super::super::{Request, dockerfile::Dockerfile, stages::OtherCase};
use crate::job::{Failure, FailureKind};

/// The first version that reads here-documents (buildah `CHANGELOG.md`, v1.33.0).
const HERE_DOCUMENTS: Version = Version::new(1, 33, 0);

/// The format that steps are built in. Only Docker's has a `SHELL`; in the other one buildah would run the steps behind it by `/bin/sh`
/// and say so in a warning. What is exported is an OCI image in either case.
pub(super) fn format(dockerfile: &Dockerfile) -> &'static str {
    if dockerfile.line_with("SHELL").is_some() { "docker" } else { "oci" }
}

/// Refuses what would be misread: an old buildah takes the lines of a here-document for instructions, and every one a stage that is named in other
/// letters for an image of that name, which it pulls.
pub(super) fn check(request: &Request, dockerfile: &Dockerfile, version: &str) -> Result<(), Failure> {
    let name = &request.dockerfile_name;
    if let Some(OtherCase { line, reference, name: stage }) = dockerfile.other_case(&request.build_args) {
        let text = format!(
            "{name}:{line}: buildah would pull an image '{reference}' instead of taking the stage '{stage}': write the stage's name in small letters in both places"
        );
        return Err(Failure::new(FailureKind::InvalidSource, text));
    }
    let (Some(line), Ok(version)) = (dockerfile.here_document(), version.parse::<Version>()) else { return Ok(()) };
    if version >= HERE_DOCUMENTS {
        return Ok(());
    }
    let text = format!(
        "{name}:{line}: buildah {version} does not know here-documents: install buildah {HERE_DOCUMENTS} or newer, or BuildKit, or write the \
         lines without '<<'"
    );
    Err(Failure::new(FailureKind::ToolMissing, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_buildah_is_not_given_what_it_would_misread() {
        let request = super::super::super::tests::request();
        let dockerfile = Dockerfile::parse("FROM scratch\nRUN <<EOF\nSHELL x\nEOF\n");
        let failure = check(&request, &dockerfile, "1.28.2").expect_err("too old");
        assert_eq!(failure.kind, FailureKind::ToolMissing);
        assert!(failure.message.starts_with("app/Dockerfile:2: buildah 1.28.2 does not know here-documents"), "{}", failure.message);
        assert_eq!(format(&dockerfile), "oci");
        check(&request, &dockerfile, "1.41.0").expect("new enough");
        let plain = Dockerfile::parse("FROM scratch\nshell [\"/bin/sh\"]\nRUN echo 1\n");
        check(&request, &plain, "1.28.2").expect("nothing to misread");
        assert_eq!(format(&plain), "docker");
        let other = Dockerfile::parse("FROM scratch AS Build\nFROM scratch\nCOPY --from=build / /\n");
        let failure = check(&request, &other, "1.41.0").expect_err("an image would be pulled");
        assert_eq!(failure.kind, FailureKind::InvalidSource);
        assert!(failure.message.starts_with("app/Dockerfile:3: buildah would pull an image 'build' instead"), "{}", failure.message);
    }
}
