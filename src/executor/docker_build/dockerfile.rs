//! Reading Dockerfiles as far as a runner has to: which base images are named, and on which line an instruction is.
//!
//! The backends parse for themselves; what is read here serves materials, credentials and messages, so whatever is not understood is left out.
//! The rules are those of the Dockerfile reference ("Format", "Parser directives", "Understand how ARG and FROM interact", "Here-documents").
//!
//! Called by the backends; the BuildKit one takes only the names of images from here.

use std::path::Path;

use crate::job::{Failure, FailureKind};

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
    pub(super) fn split(&self) -> (String, &str) {
        let (word, rest) = self.text.split_once(char::is_whitespace).unwrap_or((&self.text, ""));
        (word.to_ascii_uppercase(), rest.trim())
    }
}

/// A Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dockerfile {
    pub(super) instructions: Vec<Instruction>,
    /// The image that reads the file, of the directive `# syntax=`.
    pub(super) syntax: Option<String>,
}

impl Dockerfile {
    /// Reads the file; one that cannot be read is empty here, and the backend says what is wrong with it.
    pub(super) fn read(path: &Path) -> Self {
        Self::known(path).unwrap_or_default()
    }

    fn known(path: &Path) -> Option<Self> {
        let small = fs_err::metadata(path).is_ok_and(|found| found.len() <= MAX_SIZE);
        let bytes = small.then(|| fs_err::read(path).ok()).flatten()?;
        Some(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// Refuses a file that makes no image, which every backend says in other words, or not at all. Files of another syntax may need no `FROM`.
    pub(super) fn check(path: &Path, name: &str) -> Result<(), Failure> {
        let has_stage = |known: Self| known.syntax.is_some() || known.line_with("FROM").is_some();
        if Self::known(path).is_none_or(has_stage) {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::InvalidSource,
            format!("{name} has no FROM instruction: say what the image is made from, or 'FROM scratch'"),
        ))
    }

    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        let escape = if directive(text, "escape") == Some("`") { '`' } else { '\\' };
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
        Self { instructions, syntax: directive(text, "syntax").map(str::to_owned) }
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
}

/// What a directive on top of the file says.
fn directive<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut directives = text.lines().map_while(|line| line.trim().strip_prefix('#')?.split_once('='));
    directives.find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
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
    fn a_file_without_stages_is_refused_unless_another_frontend_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("Dockerfile");
        let check = |text: &str| {
            fs_err::write(&path, text).expect("written");
            Dockerfile::check(&path, "app/Dockerfile").map_err(|failure| format!("{}: {}", failure.kind, failure.message))
        };
        for text in ["", "# only\n# comments\n", "RUN true\n", "# x\n# syntax=a/b\nRUN true\n"] {
            let refused = check(text).expect_err(text);
            assert!(refused.starts_with("InvalidSource: app/Dockerfile has no FROM instruction"), "{refused}");
        }
        check("from scratch\n").expect("a stage");
        check("#syntax = docker/other:1\nprint x\n").expect("another language");
        Dockerfile::check(folder.path(), "x").expect("what cannot be read is for the backend to refuse");
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
