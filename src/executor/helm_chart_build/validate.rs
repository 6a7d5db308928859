//! Whether a Chart.yaml makes sense, by helm's rules (`Metadata.Validate`), and the cleaning of its texts that goes with it.

use crate::versions::{Constraint, Version};

use super::{
    decode::{Defect, Problem},
    metadata::{API_V1, API_V2, Dependency, Metadata},
};

/// Cleans and checks `metadata`, which was read from `file`.
pub(crate) fn metadata(file: &str, metadata: &mut Metadata) -> Result<(), Defect> {
    clean(metadata);
    check(metadata).map_err(|problem| Defect { file: file.to_owned(), at: None, problem })
}

fn check(metadata: &Metadata) -> Result<(), Problem> {
    let refuse = |key: &str, value: &str, remedy| Err(Problem::Value { key: key.to_owned(), value: value.to_owned(), remedy });
    if !matches!(metadata.api_version.as_str(), API_V1 | API_V2) {
        return refuse("apiVersion", &metadata.api_version, "use v2 (or v1 for a chart with requirements.yaml)");
    }
    if metadata.name.is_empty() {
        return Err(Problem::Required { key: "name", example: "name: my-chart" });
    }
    if matches!(metadata.name.as_str(), "." | "..") || metadata.name.contains('/') {
        return refuse("name", &metadata.name, "it has to be usable as a folder name: no '/', not '.' or '..'");
    }
    if metadata.version.is_empty() {
        return Err(Problem::Required { key: "version", example: "version: 0.1.0" });
    }
    if metadata.version.parse::<Version>().is_err() {
        return refuse("version", &metadata.version, "write it as SemVer, like 1.2.3 or 1.2.3-rc.1");
    }
    if !matches!(metadata.kind.as_str(), "" | "application" | "library") {
        return refuse("type", &metadata.kind, "use application or library");
    }
    let mut names = std::collections::BTreeSet::new();
    for (index, dependency) in metadata.dependencies().iter().enumerate() {
        check_dependency(index, dependency)?;
        let name = if dependency.alias.is_empty() { &dependency.name } else { &dependency.alias };
        if !names.insert(name) {
            return Err(Problem::SameName(name.clone()));
        }
    }
    Ok(())
}

fn check_dependency(index: usize, dependency: &Dependency) -> Result<(), Problem> {
    let refuse = |key: &str, value: &str, remedy| {
        Err(Problem::Value { key: format!("dependencies[{index}].{key}"), value: value.to_owned(), remedy })
    };
    if dependency.name.is_empty() || matches!(dependency.name.as_str(), "." | "..") || dependency.name.contains(['/', '\\']) {
        return refuse("name", &dependency.name, "give the name of a chart");
    }
    if dependency.alias.bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'-' && b != b'_') {
        return refuse("alias", &dependency.alias, "use letters, digits, '-' and '_' only");
    }
    if !dependency.version.is_empty() && dependency.version.parse::<Constraint>().is_err() {
        return refuse("version", &dependency.version, "write a version or range, like 1.2.3, ^1.2.0 or \">=1.2 <2.0\"");
    }
    Ok(())
}

fn clean(metadata: &mut Metadata) {
    let Metadata { name, home, description, icon, condition, tags, app_version, kube_version, .. } = metadata;
    let texts = [name, home, description, icon, condition, tags, app_version, kube_version];
    texts.into_iter().chain(&mut metadata.sources).chain(&mut metadata.keywords).for_each(sanitize);
    for maintainer in &mut metadata.maintainers {
        [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url].into_iter().for_each(sanitize);
    }
    if metadata.api_version.is_empty() {
        API_V1.clone_into(&mut metadata.api_version);
    }
    for dependency in metadata.dependencies.iter_mut().flatten() {
        let Dependency { name, version, repository, condition, tags, .. } = dependency;
        [name, version, repository, condition].into_iter().chain(tags).for_each(sanitize);
    }
}

/// White space becomes a space, what cannot be printed goes (helm `sanitizeString`).
fn sanitize(text: &mut String) {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}')
    };
    if text.chars().any(|c| (c.is_whitespace() && c != ' ') || invisible(c)) {
        *text = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !invisible(*c)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(more: &str) -> Result<Metadata, String> {
        let text = format!("{more}\n");
        let mut read = super::super::decode::chart_yaml("Chart.yaml", text.as_bytes(), &mut Vec::new()).map_err(|e| e.to_string())?;
        metadata("Chart.yaml", &mut read).map_err(|e| e.to_string())?;
        Ok(read)
    }

    #[test]
    fn every_rule_has_its_message() {
        for (text, message) in [
            ("apiVersion: v2\nversion: 1.0.0", "Chart.yaml: name is missing; add 'name: my-chart'"),
            ("apiVersion: v2\nname: a", "Chart.yaml: version is missing; add 'version: 0.1.0'"),
            (
                "apiVersion: v9\nname: a\nversion: 1.0.0",
                "Chart.yaml: apiVersion 'v9' is not allowed; use v2 (or v1 for a chart with requirements.yaml)",
            ),
            (
                "apiVersion: v2\nname: ../a\nversion: 1.0.0",
                "Chart.yaml: name '../a' is not allowed; it has to be usable as a folder name: no '/', not '.' or '..'",
            ),
            (
                "apiVersion: v2\nname: a\nversion: one",
                "Chart.yaml: version 'one' is not allowed; write it as SemVer, like 1.2.3 or 1.2.3-rc.1",
            ),
            ("apiVersion: v2\nname: a\nversion: 1.0.0\ntype: app", "Chart.yaml: type 'app' is not allowed; use application or library"),
            (
                "apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies: [{name: b}, {name: c, alias: b}]",
                "Chart.yaml: two dependencies are called 'b'; give one of them another alias",
            ),
            (
                "apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies: [{name: b, alias: 'x y'}]",
                "Chart.yaml: dependencies[0].alias 'x y' is not allowed; use letters, digits, '-' and '_' only",
            ),
            (
                "apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies: [{name: b, version: '>>1'}]",
                "Chart.yaml: dependencies[0].version '>>1' is not allowed; write a version or range, like 1.2.3, ^1.2.0 or \">=1.2 <2.0\"",
            ),
        ] {
            assert_eq!(chart(text).expect_err(text), message);
        }
    }

    #[test]
    fn texts_are_cleaned_and_a_missing_api_version_means_v1() {
        let read = chart("name: a\nversion: v1.2\ndescription: \"a\\tb\\u200bc\"").expect("valid");
        assert_eq!((read.api_version.as_str(), read.description.as_str()), ("v1", "a bc"));
    }
}
