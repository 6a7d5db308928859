//! The stages of a Dockerfile, and the images that they are made from (Dockerfile reference, "Understand how ARG and FROM interact", "Multi-stage builds").
//!
//! What is not understood is left out of lists of images; a stage whose origin is not understood counts as made from every stage before it.
//!
//! Called by the backends.

use std::collections::BTreeMap;

use super::dockerfile::Dockerfile;

/// One stage.
#[derive(Debug, Default)]
struct Stage {
    name: String,
    /// What `FROM`, `COPY --from` and mounts name, in this order.
    sources: Vec<Source>,
}

/// What is named as the source of something, arguments filled in.
#[derive(Debug)]
struct Source {
    line: usize,
    reference: String,
    origin: Origin,
}

/// Where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The stage of that number.
    Stage(usize),
    Image,
    Nothing,
    Unclear,
}

/// A stage that is named in other letters than its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherCase {
    pub(super) line: usize,
    pub(super) reference: String,
    pub(super) name: String,
}

impl Dockerfile {
    /// Images that are pulled for all stages: of `FROM`, `COPY --from` and mounts.
    pub(super) fn images(&self, build_args: &[(String, String)]) -> Vec<String> {
        images(&self.stages(build_args))
    }

    /// Those that `target`, or the last stage, is made from.
    pub(super) fn images_of(&self, build_args: &[(String, String)], target: Option<&str>) -> Vec<String> {
        let mut stages = self.stages(build_args);
        let mut needed = vec![false; stages.len()];
        let mut open: Vec<usize> = wanted(&stages, target).into_iter().collect();
        while let Some(number) = open.pop() {
            if std::mem::replace(&mut needed[number], true) {
                continue;
            }
            for source in &stages[number].sources {
                match source.origin {
                    Origin::Stage(below) => open.push(below),
                    Origin::Unclear => open.extend(0..number),
                    Origin::Image | Origin::Nothing => {}
                }
            }
        }
        let mut needed = needed.into_iter();
        stages.retain(|_| needed.next().unwrap_or(true));
        images(&stages)
    }

    /// The line that names `image` first.
    pub(super) fn line_of_image(&self, image: &str, build_args: &[(String, String)]) -> Option<usize> {
        let stages = self.stages(build_args);
        stages.iter().flat_map(|stage| &stage.sources).find(|source| source.reference == image).map(|source| source.line)
    }

    /// The name of the stage that a plan calls `target`, as the Dockerfile has it.
    pub(super) fn stage_name(&self, target: &str) -> Option<String> {
        let mut stages = self.stages(&[]);
        named(&stages, target).map(|number| stages.swap_remove(number).name)
    }

    /// Whether `target`, or the last stage, is made from nothing: `FROM scratch`, or a stage that is.
    pub(super) fn is_from_scratch(&self, build_args: &[(String, String)], target: Option<&str>) -> bool {
        let stages = self.stages(build_args);
        let mut next = wanted(&stages, target);
        while let Some(number) = next {
            match stages[number].sources.first().map(|base| base.origin) {
                Some(Origin::Stage(below)) => next = Some(below),
                origin => return origin == Some(Origin::Nothing),
            }
        }
        false
    }

    /// The first stage that is named in other letters than its own, which Docker takes for the same.
    pub(super) fn other_case(&self, build_args: &[(String, String)]) -> Option<OtherCase> {
        let stages = self.stages(build_args);
        let mut sources = stages.iter().flat_map(|stage| &stage.sources);
        sources.find_map(|source| {
            let Origin::Stage(number) = source.origin else { return None };
            let (reference, name) = (&source.reference, &stages[number].name);
            let other = reference != name && reference.eq_ignore_ascii_case(name);
            other.then(|| OtherCase { line: source.line, reference: reference.clone(), name: name.clone() })
        })
    }

    fn stages(&self, build_args: &[(String, String)]) -> Vec<Stage> {
        let mut arguments: BTreeMap<String, String> = BTreeMap::new();
        let mut stages: Vec<Stage> = Vec::new();
        for instruction in &self.instructions {
            let (keyword, rest) = instruction.split();
            match keyword.as_str() {
                "ARG" if stages.is_empty() => {
                    for word in rest.split_whitespace() {
                        let (name, default) = word.split_once('=').unwrap_or((word, ""));
                        let given = build_args.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
                        let value = given.map_or_else(|| fill(default.trim_matches(['"', '\'']), &arguments), str::to_owned);
                        arguments.insert(name.to_owned(), value);
                    }
                }
                "FROM" => {
                    let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
                    let reference = fill(words.next().unwrap_or_default(), &arguments);
                    let base = Source { line: instruction.line, origin: origin(&stages, &reference), reference };
                    let name = words.next().filter(|word| word.eq_ignore_ascii_case("as")).and_then(|_| words.next());
                    stages.push(Stage { name: name.unwrap_or_default().to_owned(), sources: vec![base] });
                }
                _ => {
                    for flag in rest.split_whitespace().take_while(|word| word.starts_with("--")) {
                        let from = flag.strip_prefix("--from=").or_else(|| {
                            let mount = flag.strip_prefix("--mount=")?;
                            mount.split(',').find_map(|part| part.strip_prefix("from="))
                        });
                        let Some(from) = from else { continue };
                        let before = stages.len().saturating_sub(1);
                        let number = from.parse().ok().filter(|number| *number < before).map(Origin::Stage);
                        // A stage that names itself is wrong, and no image.
                        let origin = number.unwrap_or_else(|| origin(&stages, from));
                        if let Some(stage) = stages.last_mut() {
                            stage.sources.push(Source { line: instruction.line, reference: from.to_owned(), origin });
                        }
                    }
                }
            }
        }
        stages
    }
}

/// The images among the sources of `stages`, each once, in their order.
fn images(stages: &[Stage]) -> Vec<String> {
    let mut images: Vec<String> = Vec::new();
    for source in stages.iter().flat_map(|stage| &stage.sources) {
        if source.origin == Origin::Image && !source.reference.is_empty() && !images.contains(&source.reference) {
            images.push(source.reference.clone());
        }
    }
    images
}

/// The stage of that name; of several the last, as BuildKit has it.
fn named(stages: &[Stage], name: &str) -> Option<usize> {
    stages.iter().rposition(|stage| stage.name.eq_ignore_ascii_case(name)).filter(|_| !name.is_empty())
}

/// The stage that is built.
fn wanted(stages: &[Stage], target: Option<&str>) -> Option<usize> {
    target.map_or_else(|| stages.len().checked_sub(1), |target| named(stages, target))
}

/// What a reference means behind `stages`.
fn origin(stages: &[Stage], reference: &str) -> Origin {
    if let Some(number) = named(stages, reference) {
        Origin::Stage(number)
    } else if reference == "scratch" {
        Origin::Nothing
    } else if reference.contains(['$', ' ']) || reference.bytes().all(|byte| byte.is_ascii_digit()) {
        Origin::Unclear
    } else {
        Origin::Image
    }
}

/// Fills in `$NAME`, `${NAME}` and `${NAME:-default}`; what else there is stays as it is.
fn fill(text: &str, arguments: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, default, tail) = if let Some((inside, tail)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
            (name, default, tail)
        } else {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            (&after[..end], "", &after[end..])
        };
        match arguments.get(name).filter(|value| !value.is_empty()) {
            Some(value) => out.push_str(value),
            None if !default.is_empty() => out.push_str(default),
            None => return text.to_owned(),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ARG BASE=debian\nARG TAG\nFROM --platform=$BUILDPLATFORM ${BASE}:${TAG:-bookworm} AS build\nRUN one\n\
                        FROM build\nFROM unused AS docs\nFROM scratch\nCOPY --from=Build --chown=0 /a /b\nCOPY --from=quay.io/x/y:1 /a /\n\
                        RUN --mount=type=bind,from=tools,target=/t true\nCOPY --from=0 /a /\n";

    #[test]
    fn images_are_found_with_their_arguments() {
        let dockerfile = Dockerfile::parse(TEXT);
        assert_eq!(dockerfile.images(&[]), ["debian:bookworm", "unused", "quay.io/x/y:1", "tools"]);
        let given = [("BASE".to_owned(), "h:5000/alpine".to_owned()), ("TAG".to_owned(), "3".to_owned())];
        assert_eq!(dockerfile.images(&given)[0], "h:5000/alpine:3");
        assert_eq!((dockerfile.line_of_image("tools", &[]), dockerfile.line_of_image("debian:bookworm", &[])), (Some(10), Some(3)));
        assert!(Dockerfile::parse("FROM scratch AS a\nCOPY --from=a /b /c\n").images(&[]).is_empty());
        assert!(Dockerfile::parse("FROM $UNKNOWN\n").images(&[]).is_empty());
    }

    #[test]
    fn images_of_a_stage_are_those_it_is_made_from() {
        let dockerfile = Dockerfile::parse(TEXT);
        let all = dockerfile.images(&[]);
        for (target, images) in [
            (None, &["debian:bookworm", "quay.io/x/y:1", "tools"][..]),
            (Some("BUILD"), &["debian:bookworm"]),
            (Some("docs"), &["unused"]),
            (Some("nothing"), &[]),
        ] {
            assert_eq!(dockerfile.images_of(&[], target), images, "{target:?}");
        }
        let unclear = Dockerfile::parse(&format!("{TEXT}FROM build-$TARGETARCH\n"));
        assert_eq!(unclear.images_of(&[], None), all, "any stage may be meant");
        assert!(Dockerfile::default().images_of(&[], None).is_empty());
    }

    #[test]
    fn stages_made_from_nothing_are_found_through_others() {
        let dockerfile = Dockerfile::parse("FROM scratch AS a\nFROM A\nFROM b AS c\nFROM c AS d\nFROM a AS last\n");
        for (target, expected) in [(None, true), (Some("a"), true), (Some("d"), false), (Some("none"), false)] {
            assert_eq!(dockerfile.is_from_scratch(&[], target), expected, "{target:?}");
        }
        assert!(!Dockerfile::parse("FROM $X\n").is_from_scratch(&[], None));
    }

    #[test]
    fn stages_have_one_spelling() {
        let dockerfile = Dockerfile::parse(TEXT);
        assert_eq!(dockerfile.stage_name("BUILD").as_deref(), Some("build"));
        assert_eq!(dockerfile.stage_name("0"), None);
        let other = OtherCase { line: 8, reference: "Build".to_owned(), name: "build".to_owned() };
        assert_eq!(dockerfile.other_case(&[]), Some(other));
        assert_eq!(Dockerfile::parse("FROM a AS B\nFROM b:1\nCOPY --from=B / /\nCOPY --from=0 / /\n").other_case(&[]), None);
    }
}
