//! `.platform.yaml`: the steps of a pipeline, what it keeps and what sets it off.

use std::collections::{BTreeMap, BTreeSet};

use crate::yaml;

use super::{
    Age, Defect, GoDuration, Problem, Problems, Resources, Strictness, Text, TriggerKind,
    macros::{choice, object},
    reader::{Object, Reader},
    syntax::{self, SyntaxError},
    values::Decode,
};

object! {
    /// Steps, artifacts and triggers.
    #[derive(Debug)]
    pub struct PipelineDefinition {
        /// The steps; without `depends_on` they run one after the other.
        steps: Vec<PipelineStep> = ["steps"],
        /// Files that are kept.
        artifacts: Vec<PipelineArtifact> = ["artifacts"],
        /// What sets the pipeline off.
        on: Option<Triggers> = ["on"],
    }
    check check_definition;
}

object! {
    /// A `.platform.yaml`.
    #[derive(Debug)]
    pub struct PipelineFile {
        /// What it defines.
        pipeline: PipelineDefinition = ["pipeline"],
    }
}

impl PipelineFile {
    /// Reads the text of a `.platform.yaml`, and reports every mistake in it.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let node = yaml::parse_one(text, yaml::Dialect::Core, yaml::Limits::default()).map_err(|error| {
            Problems(vec![Problem { path: String::new(), at: error.at, defect: SyntaxError::from(error.problem).into() }])
        })?;
        let mut reader = Reader::new(Strictness::JobFile, None);
        match PipelineFile::decode(&node, &mut reader) {
            Some(file) if reader.problems.is_empty() => Ok(file),
            _ => Err(Problems(reader.problems)),
        }
    }
}

impl PipelineDefinition {
    /// Names in `${{ secrets.NAME }}` of any step.
    #[must_use]
    pub fn secret_names(&self) -> BTreeSet<&str> {
        let texts = self.steps.iter().flat_map(|step| {
            step.commands.iter().chain(std::iter::once(&step.image)).map(String::as_str).chain(step.environment.values().map(Text::as_str))
        });
        texts.flat_map(secrets_in).collect()
    }
}

fn secrets_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("${{").skip(1).filter_map(|rest| rest.split_once("}}")?.0.trim().strip_prefix("secrets.").map(str::trim))
}

fn check_definition(value: &PipelineDefinition, object: &Object<'_>, r: &mut Reader<'_>) {
    if value.steps.is_empty() {
        object.report(r, "steps", Defect::Empty);
    }
    let report = |r: &mut Reader<'_>, index: usize, key: &str, problem, name: &str, remedy: &'static str| {
        let at = object
            .entry("steps")
            .and_then(|entry| entry.value.items()?.get(index))
            .map(|step| step.get(key).unwrap_or(step))
            .and_then(|node| node.at);
        let defect = Defect::Reference { problem, name: syntax::shown(name), remedy: remedy.into() };
        r.within("steps", |r| r.within(&format!("[{index}]"), |r| r.within(key, |r| r.report(at, defect))));
    };
    let mut places = BTreeMap::new();
    for (index, step) in value.steps.iter().enumerate() {
        // The first one keeps the name, so that its circles are found all the same.
        if *places.entry(step.name.as_str()).or_insert(index) != index {
            report(r, index, "name", "a second step is called", &step.name, "give every step its own name");
        }
    }
    for (index, step) in value.steps.iter().enumerate() {
        for name in step.depends_on.iter().flatten().filter(|name| !places.contains_key(name.as_str())) {
            report(r, index, "depends_on", "there is no step", name, "name a step of this pipeline");
        }
    }
    if let Some(index) = cycle(&value.steps, &places) {
        let name = &value.steps[index].name;
        report(r, index, "depends_on", "the steps wait for one another in a circle, through", name, "remove one depends_on of the circle");
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = value.artifacts.iter().find(|artifact| !names.insert(&artifact.name)) {
        let defect = Defect::Reference {
            problem: "a second artifact is called",
            name: syntax::shown(&twice.name),
            remedy: "give every artifact its own name".into(),
        };
        object.report(r, "artifacts", defect);
    }
}

/// A step that waits for itself, by way of others or not (Kahn's algorithm: whatever cannot be ordered is in or behind a circle).
fn cycle(steps: &[PipelineStep], places: &BTreeMap<&str, usize>) -> Option<usize> {
    let before: Vec<Vec<usize>> =
        steps.iter().map(|step| step.depends_on.iter().flatten().filter_map(|name| places.get(name.as_str()).copied()).collect()).collect();
    let mut done = vec![false; steps.len()];
    loop {
        let ready: Vec<_> = (0..steps.len()).filter(|&step| !done[step] && before[step].iter().all(|&other| done[other])).collect();
        if ready.is_empty() {
            break;
        }
        for step in ready {
            done[step] = true;
        }
    }
    let mut current = done.iter().position(|done| !done)?;
    // Whoever is followed long enough along unfinished predecessors is inside a circle.
    for _ in 0..steps.len() {
        current = before[current].iter().copied().find(|&other| !done[other]).unwrap_or(current);
    }
    Some(current)
}

object! {
    /// One step: commands in a container.
    #[derive(Debug)]
    pub struct PipelineStep {
        /// Its name; value of `$STEP_NAME`.
        name: String = ["name"],
        /// Image it runs in.
        image: String = ["image"],
        /// Shell commands, one after the other; the image's own command when empty.
        commands: Vec<String> = ["commands"],
        /// Environment variables.
        environment: BTreeMap<String, Text> = ["environment"],
        /// Steps that have to succeed before; the step above when absent.
        depends_on: Option<Vec<String>> = ["depends_on"],
        /// When it runs at all.
        when: Option<When> = ["when"],
        /// What it asks for and may use.
        resources: Option<Resources> = ["resources"],
        /// How long it may take.
        timeout: Option<GoDuration> = ["timeout"],
        /// Whether the image it pushes is handed over for deployment.
        deploy: bool = ["deploy"] or false,
    }
    check check_step;
}

fn check_step(value: &PipelineStep, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "name", syntax::plain_name(&value.name, "a step name"));
    // Variables are put in later, so only what cannot become an image is refused.
    if !value.image.contains('$') {
        object.check(r, "image", syntax::image(&value.image));
    }
    for name in value.environment.keys() {
        object.check(r, "environment", syntax::variable_name(name));
    }
}

choice! {
    /// How things went so far.
    WhenStatus is "a status" {
        /// Nothing failed.
        Success = "success",
        /// Something failed.
        Failure = "failure",
        /// Either.
        Always = "always",
    }
}

object! {
    /// When a step runs; everything that is given has to hold.
    #[derive(Debug)]
    pub struct When {
        /// What set the pipeline off, any of these.
        trigger: Vec<TriggerKind> = ["trigger"],
        /// Branch, any of these patterns.
        branches: Vec<String> = ["branches"],
        /// Tag, any of these patterns.
        tags: Vec<String> = ["tags"],
        /// How things went so far.
        status: WhenStatus = ["status"] or WhenStatus::Success,
    }
}

object! {
    /// Files that are kept.
    #[derive(Debug)]
    pub struct PipelineArtifact {
        /// Name it is kept under.
        name: String = ["name"],
        /// File or folder, relative to the working folder.
        path: String = ["path"],
        /// How long it is kept.
        expires: Option<Age> = ["expires"],
        /// When it is kept.
        when: WhenStatus = ["when"] or WhenStatus::Success,
    }
    check check_artifact;
}

fn check_artifact(value: &PipelineArtifact, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "name", syntax::plain_name(&value.name, "an artifact name"));
    object.check(r, "path", syntax::relative_path(&value.path));
}

object! {
    /// What sets a pipeline off.
    #[derive(Debug)]
    pub struct Triggers {
        /// Pushes.
        push: Option<PushTrigger> = ["push"],
        /// Merge requests.
        mr: Option<MergeRequestTrigger> = ["mr"],
        /// Times.
        schedule: Vec<ScheduleTrigger> = ["schedule"],
    }
}

object! {
    /// Pushes that set a pipeline off; any when nothing is named.
    #[derive(Debug)]
    pub struct PushTrigger {
        /// Patterns of branches.
        branches: Vec<String> = ["branches"],
        /// Patterns of tags.
        tags: Vec<String> = ["tags"],
    }
}

object! {
    /// Merge requests that set a pipeline off; any when nothing is named.
    #[derive(Debug)]
    pub struct MergeRequestTrigger {
        /// What happened to it: opened, synchronized, reopened, closed.
        actions: Vec<MergeRequestAction> = ["actions"],
        /// Patterns of target branches.
        branches: Vec<String> = ["branches"],
    }
}

choice! {
    /// What happened to a merge request.
    MergeRequestAction is "an action" {
        /// It is new.
        Opened = "opened",
        /// Its commits changed.
        Synchronized = "synchronized",
        /// It is open again.
        Reopened = "reopened",
        /// It is closed or merged.
        Closed = "closed",
    }
}

object! {
    /// A time that sets a pipeline off.
    #[derive(Debug)]
    pub struct ScheduleTrigger {
        /// Five fields: minute, hour, day of month, month, day of week.
        cron: String = ["cron"],
        /// Time zone by its IANA name; UTC when absent.
        timezone: Option<String> = ["timezone"],
        /// Branch to build; the default branch when absent.
        branch: Option<String> = ["branch"],
    }
    check check_schedule;
}

fn check_schedule(value: &ScheduleTrigger, object: &Object<'_>, r: &mut Reader<'_>) {
    let field = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '/' | ',' | '-'));
    if value.cron.split_whitespace().count() != 5 || !value.cron.split_whitespace().all(field) {
        let rule = "write five fields: minute, hour, day of month, month, day of week, such as '0 3 * * 1'";
        object.report(r, "cron", SyntaxError::Name { value: syntax::shown(&value.cron), what: "a schedule", rule });
    }
}
