//! Reading Dockerfiles as far as a runner has to: which base images are named, and on which line an instruction is.
//!
//! The backends parse for themselves; what is read here serves materials, credentials and messages, so whatever is not understood is left out.
//! The rules are those of the Dockerfile reference ("Format", "Parser directives", "Understand how ARG and FROM interact", "Here-documents").
//!
//! Called by the backends; the BuildKit one takes only the names of images from here.

use std::{collections::BTreeMap, path::Path};

/// Largest Dockerfile that is read.
const MAX_SIZE: u64 = 1 << 20;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Where it begins, counted from 1.
    pub(super) line: usize,
    /// Its text in one line, continuations joined, comments left out.
    pub(super) text: String,
}

impl Instruction {
    /// Keyword in capitals, and the rest.
    fn split(&self) -> (String, &str) {
        let (word, rest) = self.text.split_once(char::is_whitespace).unwrap_or((&self.text, ""));
        (word.to_ascii_uppercase(), rest.trim())
    }
}

/// A Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dockerfile {
    instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Reads the file; one that cannot be read is empty here, and the backend says what is wrong with it.
    pub(super) fn read(path: &Path) -> Self {
        let small = fs_err::metadata(path).is_ok_and(|found| found.len() <= MAX_SIZE);
        let bytes = if small { fs_err::read(path).unwrap_or_default() } else { Vec::new() };
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        let escape = escape(text);
        let mut instructions: Vec<Instruction> = Vec::new();
        let mut open: Option<Instruction> = None;
        let mut ends: Vec<End> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(End { word, indented }) = ends.first() {
                if (if *indented { line.trim_start_matches('\t') } else { line }) == word {
                    ends.remove(0);
                }
                continue;
            }
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let (piece, goes_on) = match trimmed.strip_suffix(escape) {
                Some(piece) => (piece.trim_end(), true),
                None => (trimmed, false),
            };
            let instruction = open.get_or_insert_with(|| Instruction { line: number + 1, text: String::new() });
            if !instruction.text.is_empty() && !piece.is_empty() {
                instruction.text.push(' ');
            }
            instruction.text.push_str(piece);
            if !goes_on {
                ends = heredocs(&instruction.text);
                instructions.extend(open.take());
            }
        }
        instructions.extend(open);
        Self { instructions }
    }

    /// Whether the text of an instruction mentions `word`.
    pub(super) fn mentions(&self, word: &str) -> bool {
        self.instructions.iter().any(|instruction| instruction.text.contains(word))
    }

    /// The line of the first instruction with that keyword.
    pub(super) fn line_with(&self, keyword: &str) -> Option<usize> {
        self.instructions.iter().find(|instruction| instruction.split().0 == keyword).map(|instruction| instruction.line)
    }

    /// The line of the first instruction with a here-document.
    pub(super) fn here_document(&self) -> Option<usize> {
        self.instructions.iter().find(|instruction| !heredocs(&instruction.text).is_empty()).map(|instruction| instruction.line)
    }

    /// The line of the instruction that a tool calls `shown`: its own text, spaces apart, or the beginning of it.
    pub(super) fn line_of(&self, shown: &str) -> Option<usize> {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = squeeze(shown);
        let same = |instruction: &&Instruction| squeeze(&instruction.text).eq_ignore_ascii_case(&shown);
        let begins = |instruction: &&Instruction| !shown.is_empty() && squeeze(&instruction.text).starts_with(&shown);
        let all = || self.instructions.iter();
        all().find(same).or_else(|| all().find(begins)).map(|instruction| instruction.line)
    }

    /// File and line of an instruction, or the file alone; `name` is how people know the file.
    pub(super) fn place(&self, name: &str, instruction: &str) -> String {
        self.line_of(instruction).map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"))
    }

    /// Images that are pulled: of `FROM`, `COPY --from` and mounts, stages and `scratch` left out; arguments filled in.
    pub(super) fn images(&self, build_args: &[(String, String)]) -> Vec<String> {
        let mut arguments: BTreeMap<String, String> = BTreeMap::new();
        let mut stages: Vec<String> = Vec::new();
        let mut images: Vec<String> = Vec::new();
        let mut add = |reference: String, stages: &[String]| {
            let named = stages.iter().any(|stage| stage.eq_ignore_ascii_case(&reference));
            let unclear = reference.contains(['$', ' ']) || reference.bytes().all(|byte| byte.is_ascii_digit());
            if !named && !unclear && reference != "scratch" && !images.contains(&reference) {
                images.push(reference);
            }
        };
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
                    add(fill(words.next().unwrap_or_default(), &arguments), &stages);
                    let name = words.next().filter(|word| word.eq_ignore_ascii_case("as")).and_then(|_| words.next());
                    stages.push(name.unwrap_or_default().to_owned());
                }
                _ => {
                    for flag in rest.split_whitespace().take_while(|word| word.starts_with("--")) {
                        let from = flag.strip_prefix("--from=").or_else(|| {
                            let mount = flag.strip_prefix("--mount=")?;
                            mount.split(',').find_map(|part| part.strip_prefix("from="))
                        });
                        if let Some(from) = from {
                            add(from.to_owned(), &stages);
                        }
                    }
                }
            }
        }
        images.retain(|image| !image.is_empty());
        images
    }
}

/// The character that joins lines: `\` unless a directive on top says otherwise.
fn escape(text: &str) -> char {
    let directives = text.lines().map_while(|line| line.trim().strip_prefix('#')?.split_once('='));
    let mut found = '\\';
    for (name, value) in directives {
        if name.trim().eq_ignore_ascii_case("escape") && value.trim() == "`" {
            found = '`';
        }
    }
    found
}

/// What ends a here-document.
struct End {
    word: String,
    /// Tabs may stand before it (`<<-`).
    indented: bool,
}

/// The ends of the here-documents an instruction begins (`RUN <<EOF`, `COPY <<-"A" <<B.txt /`; buildkit `parser.ParseHeredoc`).
fn heredocs(text: &str) -> Vec<End> {
    let words = words(text);
    let keyword = words.first().map(|word| word.to_ascii_uppercase());
    if !matches!(keyword.as_deref(), Some("RUN" | "COPY" | "ADD")) {
        return Vec::new();
    }
    let ends = words.iter().filter_map(|word| {
        let name = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (name, indented) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
        let word: String = name.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
        (!word.is_empty() && !word.contains('<')).then_some(End { word, indented })
    });
    ends.collect()
}

/// Words as a shell tells them apart, with their quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        if quote.is_none() && c.is_whitespace() {
            words.push(std::mem::take(&mut word));
            continue;
        }
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
        word.push(c);
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
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

/// An image reference as registries know it: `debian` is `docker.io/library/debian:latest`.
pub(super) fn canonical(reference: &str) -> String {
    let (host, rest) = match reference.split_once('/') {
        Some((host, rest)) if host == "localhost" || host.contains(['.', ':']) => {
            (if host == "index.docker.io" { "docker.io" } else { host }, rest)
        }
        _ => ("docker.io", reference),
    };
    let library = if host == "docker.io" && !rest.contains('/') { "library/" } else { "" };
    let name = rest.rsplit('/').next().unwrap_or(rest);
    let tag = if name.contains([':', '@']) { "" } else { ":latest" };
    format!("{host}/{library}{rest}{tag}")
}

/// The registry host of an image reference.
pub(super) fn host(reference: &str) -> String {
    let canonical = canonical(reference);
    canonical.split_once('/').map_or_else(|| canonical.clone(), |(host, _)| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# syntax=docker/dockerfile:1\nARG BASE=debian\nARG TAG\nFROM --platform=$BUILDPLATFORM ${BASE}:${TAG:-bookworm} AS build\n\
                        # a comment\nRUN one \\\n  # inside\n\n  two\nRUN <<EOF\nFROM not/an/image\nEOF\nFROM build\nFROM scratch\n\
                        COPY --from=build --chown=0 /a /b\nCOPY --from=quay.io/x/y:1 /a /\nRUN --mount=type=bind,from=tools,target=/t true\n\
                        COPY --from=0 /a /\n  coppy  a   b\n";

    #[test]
    fn images_are_found_with_their_arguments() {
        let dockerfile = Dockerfile::parse(TEXT);
        assert_eq!(dockerfile.images(&[]), ["debian:bookworm", "quay.io/x/y:1", "tools"]);
        let given = [("BASE".to_owned(), "h:5000/alpine".to_owned()), ("TAG".to_owned(), "3".to_owned())];
        assert_eq!(dockerfile.images(&given)[0], "h:5000/alpine:3");
        assert!(Dockerfile::parse("FROM $UNKNOWN\n").images(&[]).is_empty());
    }

    #[test]
    fn instructions_have_the_line_they_begin_on() {
        let dockerfile = Dockerfile::parse(TEXT);
        for (shown, line) in
            [("RUN one   two", Some(6)), ("COPPY a b", Some(19)), ("FROM scratch", Some(14)), ("RUN <<EOF", Some(10)), ("RUN x", None)]
        {
            assert_eq!(dockerfile.line_of(shown), line, "{shown}");
        }
        assert_eq!(Dockerfile::parse("# escape=`\nFROM a\nRUN c:\\`\n x\nRUN y").line_of("RUN y"), Some(5));
    }

    #[test]
    fn here_documents_hide_what_looks_like_instructions() {
        for (text, images) in [
            ("FROM a\nRUN <<END-OF.sh\nFROM no\nEND-OF.sh\nFROM b", ["a", "b"]),
            ("FROM a\nRUN cat <<-\"E\" >x\nFROM no\n\tE\nFROM b", ["a", "b"]),
            ("FROM a\nCOPY <<E /x\n\tE\nFROM no\nE\nFROM b", ["a", "b"]),
            ("FROM a\nRUN echo 'one <<E two'\nFROM b", ["a", "b"]),
            ("FROM a\nRUN cat <<<E\nFROM b", ["a", "b"]),
        ] {
            assert_eq!(Dockerfile::parse(text).images(&[]), images, "{text}");
        }
    }

    #[test]
    fn short_names_are_those_of_docker_hub() {
        for (short, long) in [
            ("debian", "docker.io/library/debian:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("index.docker.io/library/a", "docker.io/library/a:latest"),
            ("localhost/x@sha256:00", "localhost/x@sha256:00"),
        ] {
            assert_eq!(canonical(short), long);
        }
        assert_eq!(host("debian"), "docker.io");
        assert_eq!(host("127.0.0.1:1/none"), "127.0.0.1:1");
    }
}
